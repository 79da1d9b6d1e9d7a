//! The candidates, and how each engine compiles a pattern.

use std::collections::BTreeMap;
use std::path::Path;

use portcullis::filter::fail2ban::conf::{self, Definition};
use portcullis::filter::fail2ban::dates::{DateDetector, Zone};
use portcullis::filter::fail2ban::{Outcome, Rules};
use portcullis::filter::python::{Memory, Regex};
use portcullis::filter::{Library, SampleKind};
use portcullis::model::Timestamp;
use portcullis::syslog::Parser;
use regex_syntax::hir::Hir;
use serde_json::Value;

use super::{Compile, Engine};

/// Lines, each with the patterns that are run on it.
#[derive(Default)]
pub(crate) struct Set {
    pub(crate) patterns: Vec<Pattern>,
    pub(crate) candidates: Vec<Candidate>,
}

/// Written for Python, or as the native filters have it.
pub(crate) struct Pattern {
    pub(crate) text: String,
    pub(crate) hir: Option<Hir>,
}

pub(crate) struct Candidate {
    pub(crate) filter: String,
    pub(crate) text: Vec<u8>,
    /// All by their places in the set.
    pub(crate) prefix: Option<usize>,
    pub(crate) fails: Vec<usize>,
    pub(crate) found: Option<usize>,
}

/// The engines that ours is compared with.
pub(crate) const RIVALS: &[(&str, Compile)] = &[
    #[cfg(feature = "pcre2")]
    ("PCRE2, just-in-time", pcre2),
    ("regex crate", regex),
    ("fancy-regex", fancy),
];

/// Every line of fail2ban's cases that its filter takes by itself.
pub(crate) fn foreign() -> Set {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let (corpus, folder) = (
        root.join("../shared/corpora/fail2ban_1.0.2_cases.jsonl"),
        root.join("target/fail2ban/etc/fail2ban"),
    );
    let mut set = Set::default();
    let Ok(corpus) = std::fs::read_to_string(corpus) else { return set };
    if !folder.is_dir() {
        return set;
    }
    let mut filters: BTreeMap<(String, String), Filter> = BTreeMap::new();
    for row in corpus.lines().map(|line| serde_json::from_str::<Value>(line).expect("a case")) {
        for check in row["checks"].as_array().expect("checks") {
            let name = row["filter"].as_str().expect("a filter").to_owned();
            let options = &check["options"];
            let filter = filters
                .entry((name.clone(), options.to_string()))
                .or_insert_with(|| Filter::new(&name, options, &folder, &mut set));
            let before = check["journal_prefix_line"].as_str().unwrap_or_default();
            let line = format!("{before}{}", row["line"].as_str().expect("a line"));
            set.candidates.extend(filter.candidate(&name, line.as_bytes()));
        }
    }
    set
}

struct Filter {
    rules: Rules,
    dates: DateDetector,
    prefix: Option<usize>,
    fails: Vec<usize>,
}

impl Filter {
    fn new(name: &str, options: &Value, folder: &Path, set: &mut Set) -> Filter {
        let path = folder.join(format!("filter.d/{name}.conf"));
        let text = |value: &Value| value.as_str().map_or_else(|| value.to_string(), str::to_owned);
        let options: Vec<_> = options.as_object().expect("options").iter().collect();
        let options: Vec<(String, String)> =
            options.into_iter().map(|(name, value)| (name.clone(), text(value))).collect();
        let path = path.to_string_lossy();
        let definition: Definition =
            conf::filter(&path, folder, &options).expect("fail2ban's own filters");
        let rules = Rules::new(&definition).expect("fail2ban's own patterns");
        let pattern = definition.datepattern.as_ref().map(|it| &*it.text);
        let zone = Zone::named("UTC").expect("everybody knows UTC");
        let dates = DateDetector::new(pattern, &zone).expect("fail2ban's own dates");
        let mut add = |text: &str| {
            set.patterns.push(Pattern { text: text.to_owned(), hir: None });
            set.patterns.len() - 1
        };
        let (prefix, fails) = rules.patterns();
        let prefix = prefix.map(&mut add);
        let fails = fails.map(add).collect();
        Filter { rules, dates, prefix, fails }
    }

    fn candidate(&mut self, name: &str, line: &[u8]) -> Option<Candidate> {
        let found = self.dates.find(line, Timestamp::from_seconds(1_124_013_600));
        let cut = found.map_or(line.len()..line.len(), |it| it.date);
        let mut text = [&line[..cut.start], &line[cut.end..]].concat();
        if self.rules.max_lines() > 1 {
            return None;
        }
        let outcome = self.rules.judge(&mut vec![text.clone()], &mut Memory::new());
        let Ok(Outcome::Matched(found)) = outcome else { return None };
        text.push(b'\n');
        let (prefix, fails) = (self.prefix, self.fails.clone());
        let found = Some(fails[found.rule]);
        Some(Candidate { filter: name.to_owned(), text, prefix, fails, found })
    }
}

/// Every hit sample of the filters that ship, with the pattern that it stands under.
pub(crate) fn native() -> Set {
    let library = Library::default();
    let mut set = Set::default();
    for name in library.names().expect("built-in filters have names") {
        let filter = library.load(&name).expect("shipped filters load");
        for pattern in &filter.patterns {
            let at = set.patterns.len();
            let text = pattern.exact.to_string();
            set.patterns.push(Pattern { text, hir: Some(pattern.exact.clone()) });
            for sample in pattern.samples.iter().filter(|it| it.kind == SampleKind::Hit) {
                let mut parser = Parser::new();
                let line = sample.line.as_bytes();
                let text =
                    if line.starts_with(b"<") { parser.parse(line).text } else { line }.to_vec();
                set.candidates.push(Candidate {
                    filter: name.clone(),
                    text,
                    prefix: None,
                    fails: vec![at],
                    found: Some(at),
                });
            }
        }
    }
    set
}

thread_local! {
    /// One a thread, whatever the patterns, as in the daemon.
    static MEMORY: std::cell::RefCell<Memory> = std::cell::RefCell::default();
}

/// This project's engine.
pub(crate) fn ours(pattern: &Pattern) -> Option<Engine<'_>> {
    let regex = match &pattern.hir {
        Some(hir) => Regex::native(hir).ok()?,
        None => Regex::new(&pattern.text).ok()?,
    };
    let content = regex.group("content");
    Some(Box::new(move |text| {
        MEMORY.with_borrow_mut(|memory| {
            let found = regex.find(text, memory, 200_000).ok()??;
            Some(content.and_then(|it| found.group(it)).unwrap_or(found.span()))
        })
    }))
}

#[cfg(feature = "pcre2")]
fn pcre2(pattern: &Pattern) -> Option<Engine<'_>> {
    let text = match &pattern.hir {
        Some(hir) => super::native::perl(hir),
        None => pattern.text.clone(),
    };
    let mut regex = super::pcre2::Pcre::new(&text, false)?;
    let content = regex.group("content");
    Some(Box::new(move |text| {
        let found = regex.find(text)?;
        let of = |group: usize| (found[group * 2], found[group * 2 + 1]);
        let group = content.map(of).filter(|it| it.0 != usize::MAX);
        Some(group.unwrap_or(of(0)))
    }))
}

fn regex(pattern: &Pattern) -> Option<Engine<'_>> {
    let regex = match &pattern.hir {
        Some(hir) => regex_automata::meta::Regex::builder()
            .configure(regex_automata::meta::Config::new().utf8_empty(false))
            .build_from_hir(hir)
            .ok()?,
        // Only the look-behind in an address stands in its way, most of the time.
        None => {
            let text = pattern.text.replace("(?:[0-9a-fA-F]{1,4}|(?<=:))", "[0-9a-fA-F]{0,4}");
            let syntax = regex_automata::util::syntax::Config::new().utf8(false);
            regex_automata::meta::Regex::builder()
                .configure(regex_automata::meta::Config::new().utf8_empty(false))
                .syntax(syntax)
                .build(&text)
                .ok()?
        }
    };
    let mut captures = regex.create_captures();
    let content = regex.group_info().to_index(regex_automata::PatternID::ZERO, "content");
    let mut cache = regex.create_cache();
    Some(Box::new(move |text| {
        regex.search_captures_with(&mut cache, &text.into(), &mut captures);
        let span = content.and_then(|it| captures.get_group(it)).or(captures.get_group(0))?;
        Some((span.start, span.end))
    }))
}

/// It reads text only; lines that are none are left out.
fn fancy(pattern: &Pattern) -> Option<Engine<'_>> {
    if pattern.hir.is_some() {
        return None;
    }
    let regex = fancy_regex::Regex::new(&pattern.text).ok()?;
    Some(Box::new(move |text| {
        let found = regex.captures(std::str::from_utf8(text).ok()?).ok()??;
        let group = found.name("content").or(found.get(0))?;
        Some((group.start(), group.end()))
    }))
}
