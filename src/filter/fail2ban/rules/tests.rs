mod worst;

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use regex_syntax::hir::Hir;

use super::several::lines_of;
use super::*;
use crate::filter::fail2ban::conf::Located;

#[test]
fn a_match_uses_its_lines_up() {
    let rules = rules(&["^one <ADDR>$<SKIPLINES>^two$"], None, &[], 5);
    let mut buffer = lines(&["one 192.0.2.1", "one 192.0.2.2", "chat", "two"]);
    assert_eq!(who(&rules, &mut buffer).as_deref(), Some("192.0.2.1"));
    assert_eq!(buffer, lines(&["one 192.0.2.2", "chat"]));
}

#[test]
fn an_empty_match_at_the_beginning_uses_up_everything() {
    let rules = rules(&["^"], Some("^door<F-MLFID>.</F-MLFID>"), &[], 3);
    let mut buffer = lines(&["door1", "chat", "chat"]);
    assert!(matches!(judge(&rules, &mut buffer), Ok(Outcome::Matched(_))));
    assert!(buffer.is_empty());
}

#[test]
fn a_filter_for_several_lines_excuses_lines_and_not_their_content() {
    let prefix = Some("^gate: <F-CONTENT>.*</F-CONTENT>$");
    let line = lines(&["gate: no 192.0.2.1"]);
    let several = rules(&["^no <ADDR>$"], prefix, &["^gate"], 2);
    assert_eq!(judge(&several, &mut line.clone()).unwrap(), Outcome::Ignored);
    let one = rules(&["^no <ADDR>$"], prefix, &["^gate"], 1);
    assert!(matches!(judge(&one, &mut line.clone()).unwrap(), Outcome::Matched(_)));
}

#[test]
fn usedns_decides_whether_a_host_may_be_a_name() {
    let takes = |usedns: Option<&str>| {
        let mut definition = definition(&["^no <HOST>$"], None, &[], 1);
        definition.rest.extend(usedns.map(|it| ("usedns".to_owned(), it.to_owned())));
        let rules = Rules::new(&definition).unwrap();
        judge(&rules, &mut lines(&["no a.example"])).unwrap() != Outcome::Missed
    };
    assert_eq!([None, Some("Warn"), Some("raw")].map(takes), [true; 3]);
    assert_eq!([Some("no"), Some("No"), Some("perhaps")].map(takes), [false; 3]);
}

#[test]
fn lines_end_where_python_ends_them() {
    assert_eq!(lines_of(b"a\r\nb\x0bc\n\nd\n"), lines(&["a", "b", "c", "", "d"]));
    assert_eq!(lines_of("a\u{2028}b\n".as_bytes()), lines(&["a", "b"]));
    assert_eq!(lines_of(b"\xff\x0b\n"), [b"\xff\x0b".to_vec()]);
    assert!(lines_of(b"").is_empty());
}

#[test]
fn what_is_wrong_is_shown_with_its_place() {
    let refused = |pattern: &str| {
        let error = Rules::new(&definition(&[pattern], None, &[], 1)).unwrap_err();
        error.to_string()
    };
    assert!(refused("^no <F-USER>x</F-USER>").starts_with("own.conf:3:7: it names nobody"));
    assert!(refused("^(<ADDR>").starts_with("own.conf:3:7: "), "{}", refused("^(<ADDR>"));
    assert!(refused(" ").contains("empty"));
    // The session, or the prefix, may name somebody.
    Rules::new(&definition(&["<F-MLFID>x</F-MLFID>"], None, &[], 1)).unwrap();
    Rules::new(&definition(&["^no"], Some("^<ADDR>"), &[], 1)).unwrap();
}

#[test]
fn a_hostile_line_costs_little() {
    // Each of them asks a backtracking matcher for ages.
    let all = [
        r"^(?:a+)+ by <HOST>$",
        r"^(a*)*\1 by <ADDR>$",
        r"^.*(?:x.*)*(?:y.*)* by <ADDR>$",
        r"(\w+)\s+.*\1.*\1 by <HOST>",
        r"^(?:\[|\S+ |<F-USER>\S+</F-USER>)* by <HOST>",
    ];
    for pattern in all {
        let rules = rules(&[pattern], None, &[], 1);
        for filling in ["a", "x", "xy", "a b ", "192.0.2.1 by ", "::", "[", "\u{fc}", "\x0b"] {
            let line = filling.repeat(65_536 / filling.len());
            let started = Instant::now();
            _ = judge(&rules, &mut lines(&[&line]));
            // Milliseconds when optimised; the machine that tests may be slow, and is not.
            let took = started.elapsed();
            assert!(took < Duration::from_secs(2), "{pattern} {filling:?}: {took:?}");
        }
    }
}

#[test]
fn a_warm_judge_allocates_for_long_texts_only() {
    use crate::input::allocations;
    let rules = rules(
        &["^denied <F-USER>.*</F-USER> from <ADDR>$", "^no <HOST> <F-ALT_USER>.+</F-ALT_USER>$"],
        Some(r"^\S+ <F-MLFID>gate\[\d+\]</F-MLFID>: <F-CONTENT>.+</F-CONTENT>$"),
        &["nobody"],
        1,
    );
    let mut memory = Memory::new();
    for (line, expected) in [
        ("h gate[7]: denied ann from 192.0.2.1", 0),
        ("h gate[7]: denied ann from 2001:db8::1", 0),
        ("h gate[7]: no 2001:db8::1 bob", 0),
        ("h gate[7]: denied nobody from 192.0.2.1", 0),
        ("h gate[7]: allowed ann from 192.0.2.1", 0),
        ("h door[7]: denied ann from 192.0.2.1", 0),
        ("h gate[7]: denied somebody whose name is long from 192.0.2.1", 1),
    ] {
        let mut run = || _ = rules.judge_line(line.as_bytes(), &mut memory);
        run();
        assert_eq!(allocations::count(run), expected, "{line}");
    }
}

/// [`judge`] holds both ways of judging against each other.
#[test]
fn groups_come_from_the_prefix_unless_the_pattern_has_them() {
    let rules = rules(
        &[
            "^stays<F-ALT_USER>.*</F-ALT_USER> <ADDR>$",
            "^over(?:<F-USER>.+</F-USER>)? <ADDR>$",
            "^first<F-USER>.*</F-USER>,<F-ALT_USER_1>.*</F-ALT_USER_1>,<F-ALT_USER>.*</F-ALT_USER> <ADDR>$",
            "^both <F-ID>.+</F-ID> <F-TUPLE_ID>.+</F-TUPLE_ID>$",
        ],
        Some(r"^<F-USER>\S+</F-USER> <F-CONTENT>.+</F-CONTENT>$"),
        &[],
        1,
    );
    for (line, name, expected) in [
        ("ann stays 192.0.2.1", "user", Some("ann")),
        ("ann staysbob 192.0.2.1", "user", Some("bob")),
        ("ann over 192.0.2.1", "user", None),
        ("ann overbob 2001:db8::1", "user", Some("bob")),
        ("ann firstbob,eve,joe 2001:db8::1", "user", Some("bob")),
        ("ann first,eve,joe 2001:db8::1", "user", Some("joe")),
        ("ann first,eve, 2001:db8::1", "user", Some("eve")),
        ("ann first,, 2001:db8::1", "user", Some("")),
        ("ann both x y", "fid", Some("('x', 'y')")),
    ] {
        let judged = judge(&rules, &mut lines(&[line])).unwrap();
        let Outcome::Matched(found) = judged else { panic!("{line}: {judged:?}") };
        let text = found.groups.get(name).unwrap().as_deref();
        assert_eq!(text, expected.map(str::as_bytes), "{line}");
        assert_eq!(found.groups.get("content"), None, "{line}");
    }
}

fn judge(rules: &Rules, buffer: &mut Vec<Vec<u8>>) -> Result<Outcome, OutOfSteps> {
    // A line by itself has the same verdict either way.
    let alone = match &buffer[..] {
        [line] if rules.max_lines() == 1 => Some(rules.judge_line(line, &mut Memory::new())),
        _ => None,
    };
    let judged = rules.judge(buffer, &mut Memory::new());
    if let Some(alone) = alone {
        assert_eq!(alone, judged);
    }
    judged
}

fn who(rules: &Rules, buffer: &mut Vec<Vec<u8>>) -> Option<String> {
    let Outcome::Matched(found) = judge(rules, buffer).unwrap() else { return None };
    let address = found.groups.get("ip4").cloned().flatten()?;
    String::from_utf8(address.into_vec()).ok()
}

fn lines(texts: &[&str]) -> Vec<Vec<u8>> {
    texts.iter().map(|text| text.as_bytes().to_vec()).collect()
}

fn rules(fails: &[&str], prefix: Option<&str>, ignores: &[&str], several: u32) -> Rules {
    Rules::new(&definition(fails, prefix, ignores, several)).unwrap()
}

fn definition(fails: &[&str], prefix: Option<&str>, ignores: &[&str], several: u32) -> Definition {
    let located = |text: &&str| Located {
        text: (*text).to_owned(),
        place: Place { origin: "own.conf".to_owned(), line: 3, column: 7 },
    };
    Definition {
        name: "own".to_owned(),
        prefregex: prefix.as_ref().map(located),
        failregex: fails.iter().map(located).collect(),
        ignoreregex: ignores.iter().map(located).collect(),
        maxlines: several,
        datepattern: None,
        journalmatch: None,
        logtype: "file".to_owned(),
        rest: BTreeMap::new(),
        remarks: Vec::new(),
    }
}

#[test]
fn a_group_written_by_hand_keeps_its_own_gate() {
    for (pattern, line) in [
        (r"^by <F-DNS>\[[a-z!]+\]</F-DNS>$", "by [ab!c]\n"),
        (r"^by (?P<ip4>[\d.]+/x)$", "by 192.0.2.1/x\n"),
        (r"^by <HOST>$", "by [2001:db8::1]\n"),
        (r"^by <HOST>$", "by ::ffff:192.0.2.1\n"),
    ] {
        let rules = rules(&[pattern], None, &[], 1);
        assert!(gates(&rules).is_match(line), "{pattern} {line}");
        let mut buffer = lines(&[line.trim_end()]);
        assert!(matches!(judge(&rules, &mut buffer), Ok(Outcome::Matched(_))), "{pattern} {line}");
    }
}

#[test]
fn a_prefix_and_what_it_leaves_are_one_gate() {
    let tails = Some(r"^\S+ gate(?:\[\d+\])?: <F-CONTENT>.+</F-CONTENT>$");
    let inside = Some(r"^gate: <F-CONTENT>\S+</F-CONTENT> end$");
    let empty = Some("^gate: ?<F-CONTENT>.*</F-CONTENT>$");
    for (prefix, fail, line, opens) in [
        (tails, "^no <ADDR>$", "h gate[1]: no 192.0.2.1\n", true),
        (tails, r"^no <ADDR>\s*$", "h gate: no 2001:db8::1\n", true),
        (tails, "<ADDR> (?:out|in)$", "h gate: he who is 192.0.2.1 in\n", true),
        (tails, r"\b<ADDR>\b", "h gate: (192.0.2.1)\n", true),
        (tails, "^no <ADDR>$", "h gate: oh no 192.0.2.1\n", false),
        (tails, "^no <ADDR>$", "h door: no 192.0.2.1\n", false),
        // What stands behind the content, or a content of nothing, asks for the prefix alone.
        (inside, "^<ADDR>$", "gate: 192.0.2.1 end\n", true),
        (inside, "^<ADDR>$", "gate: x end\n", true),
        (empty, "^gate: by|<ADDR>$", "gate: by 192.0.2.1\n", true),
    ] {
        let rules = rules(&[fail], prefix, &[], 1);
        assert_eq!(gates(&rules).is_match(line), opens, "{prefix:?} {fail} {line}");
        let judged = judge(&rules, &mut lines(&[line.trim_end()])).unwrap();
        assert!(opens || judged == Outcome::Missed, "{prefix:?} {fail} {line}");
    }
}

/// All gates together, as they are run: from the start of the line.
fn gates(rules: &Rules) -> regex_automata::meta::Regex {
    let gates: Vec<Hir> = rules.gates().into_iter().map(|gate| gate.hir).collect();
    let config = regex_automata::meta::Config::new().utf8_empty(false);
    regex_automata::meta::Regex::builder().configure(config).build_many_from_hir(&gates).unwrap()
}
