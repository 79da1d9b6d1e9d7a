//! Native patterns against regex-automata: random ones, and all that ship on their samples.

use regex_automata::{Anchored, Input, meta};
use regex_syntax::hir::Hir;

use super::random::Random;
use super::*;
use crate::filter::{Library, syntax};

#[test]
fn random_patterns_match_as_regex_automata_says() {
    let mut random = Random(0xb17e5);
    let (mut patterns, mut hits) = (0, 0);
    while patterns < 2_000 {
        let pattern = format!("^(?:{})", random.native(3));
        let hir = regex_automata::util::syntax::parse_with(&pattern, &syntax()).expect(&pattern);
        let Ok(regex) = Regex::native(&hir) else { continue };
        let other = other(&hir);
        patterns += 1;
        for _ in 0..8 {
            let text = random.text(false);
            hits += usize::from(compare(&regex, &other, &text, &pattern));
        }
    }
    assert!(hits > 3_000, "too few hits to tell: {hits}");
}

#[test]
fn shipped_patterns_match_as_regex_automata_says() {
    let library = Library::default();
    let (mut hits, mut texts) = (0, vec![]);
    let filters: Vec<_> =
        library.names().unwrap().iter().map(|name| library.load(name).unwrap()).collect();
    let patterns = || filters.iter().flat_map(|it| it.patterns.iter().chain(&it.ignores));
    for sample in patterns().flat_map(|it| &it.samples) {
        let line = sample.line.as_bytes();
        let text = line.strip_prefix(b"<").map_or(line, |_| crate_text(line));
        texts.push(text.to_vec());
        texts.push([text, b" x"].concat());
        texts.push(text[..text.len() * 2 / 3].to_vec());
        texts.push(text.iter().map(|it| if *it == b'a' { 0xe9 } else { *it }).collect());
    }
    let corpus = std::path::Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("../shared/corpora/device_lines.jsonl");
    for line in std::fs::read_to_string(corpus).unwrap_or_default().lines() {
        let row: serde_json::Value = serde_json::from_str(line).expect("a row");
        texts.extend(row["line"].as_str().map(|it| crate_text(it.as_bytes()).to_vec()));
    }
    for (at, pattern) in patterns().enumerate() {
        let regex = Regex::native(&pattern.exact);
        let regex = regex.unwrap_or_else(|e| panic!("{}: {e}", pattern.name));
        let other = other(&pattern.exact);
        // All texts, in a rotation; and those of its own.
        let own = pattern.samples.iter().map(|it| it.line.as_bytes().to_vec());
        for text in texts.iter().skip(at % 7).step_by(7).cloned().chain(own) {
            hits += usize::from(compare(&regex, &other, &text, &pattern.name));
        }
    }
    assert!(hits > 300, "too few hits to tell: {hits}");
}

fn crate_text(line: &[u8]) -> &[u8] {
    crate::syslog::Parser::new().parse(line).text
}

fn other(hir: &Hir) -> meta::Regex {
    let config = meta::Config::new().utf8_empty(false).hybrid(false).dfa(false);
    meta::Regex::builder().configure(config).build_from_hir(hir).expect("a pattern")
}

/// Whether it is a hit, by each way, with the same groups.
fn compare(regex: &Regex, other: &meta::Regex, text: &[u8], name: &str) -> bool {
    let mut captures = other.create_captures();
    other.search_captures(&Input::new(text).anchored(Anchored::Yes), &mut captures);
    let expected = captures.is_match().then(|| {
        let span = |at| captures.get_group(at).map(|it| (it.start, it.end));
        (0..captures.group_len()).map(span).collect::<Vec<_>>()
    });
    for mut memory in [
        Memory::new(),
        Memory::backward_first(),
        Memory::remembering_after(0),
        Memory::remembering_after(DEFAULT_STEPS),
    ] {
        assert_eq!(groups(regex, text, &mut memory), expected, "{name} on {text:x?}");
    }
    expected.is_some()
}

/// Thousands of patterns are kept; a line that hits must not wait for memory at each step.
#[test]
fn a_shipped_pattern_is_small() {
    let library = crate::filter::Library::default();
    let mut sizes = Vec::new();
    for name in library.names().unwrap() {
        let filter = library.load(&name).unwrap();
        let patterns = filter.patterns.iter().chain(&filter.ignores);
        sizes.extend(patterns.map(|it| Regex::native(&it.exact).unwrap().bytes()));
    }
    sizes.sort_unstable();
    let (median, mean) = (sizes[sizes.len() / 2], sizes.iter().sum::<usize>() / sizes.len());
    assert!(median <= 4_500 && mean <= 6_000, "{median} bytes, {mean} on average");
}
