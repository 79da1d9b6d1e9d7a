//! Against Python 3.11: `tests/cases.jsonl` holds patterns and texts of our own, and what `re.search`
//! of CPython 3.11.7 answered (byte offsets of all groups, or null; `error` where it refuses).

mod bounds;
mod native;
mod oracle;
mod random;

use super::*;

#[derive(serde::Deserialize)]
struct Case {
    pattern: String,
    #[serde(default)]
    text: String,
    #[serde(default)]
    groups: Option<Vec<Option<(usize, usize)>>>,
    #[serde(default)]
    error: bool,
}

#[test]
fn answers_as_python_does() {
    let mut wrong = Vec::new();
    let mut counted = 0;
    for case in cases() {
        match Regex::new(&case.pattern) {
            Err(_) if case.error => {}
            Ok(_) if case.error => wrong.push(format!("{} was accepted", case.pattern)),
            Err(error) => wrong.push(format!("{}: {error}", case.pattern)),
            Ok(regex) => {
                // The quick way; with failures remembered from the first step on, and never.
                for mut memory in [
                    Memory::new(),
                    Memory::backward_first(),
                    Memory::remembering_after(0),
                    Memory::remembering_after(DEFAULT_STEPS),
                ] {
                    let found = groups(&regex, case.text.as_bytes(), &mut memory);
                    if found != case.groups {
                        wrong.push(format!(
                            "{} on {:?}: {found:?}, not {:?}",
                            case.pattern, case.text, case.groups
                        ));
                    }
                }
            }
        }
        counted += 1;
    }
    assert!(counted > 300, "the table has shrunk to {counted}");
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn errors_point_at_the_place() {
    for (pattern, at, problem) in [
        ("ab(c", 2, Problem::Unclosed),
        ("é)", 2, Problem::Unopened),
        ("a[b", 1, Problem::UnclosedClass),
        ("a+*", 2, Problem::MultipleRepeat),
        ("x\\q", 1, Problem::BadEscape("\\q".into())),
        ("a{3,2}", 1, Problem::RepeatOrder),
        ("(?P<a>.)(?P<a>.)", 12, Problem::SameName("a".into())),
        ("a(?<=b*)c", 1, Problem::LookBehindWidth),
    ] {
        assert_eq!(Regex::new(pattern).map(|_| ()), Err(Error { at, problem }), "{pattern}");
    }
    assert!(matches!(
        Regex::new(&"(".repeat(5_000)),
        Err(Error { problem: Problem::TooDeep(_), .. })
    ));
    let huge = Regex::new("(?:(?:ab){999}){999}").map(|_| ());
    assert!(matches!(huge, Err(Error { problem: Problem::TooLarge, .. })));
}

/// Python 3.11 refuses this, older ones took it for the whole pattern, and filters have it.
#[test]
fn flags_in_mid_pattern_count_for_all() {
    let regex = Regex::new("ab(?i)c").expect("accepted");
    assert_eq!(groups(&regex, b"xABC", &mut Memory::new()), Some(vec![Some((1, 4))]));
}

/// The one difference that random patterns have shown. After a failed iteration of a possessive repeat
/// CPython 3.11.7 keeps half of a capture and reports group 1 as empty at 1, which `a` cannot be.
#[test]
fn possessive_repeats_keep_whole_captures() {
    let regex = Regex::new("(?:(a)|b)*+").expect("a pattern");
    assert_eq!(groups(&regex, b"ab", &mut Memory::new()), Some(vec![Some((0, 2)), Some((0, 1))]));
}

#[test]
fn multi_line_from_outside() {
    let regex = Regex::multi_line("^b$").expect("a pattern");
    assert_eq!(groups(&regex, b"a\nb\nc", &mut Memory::new()), Some(vec![Some((2, 3))]));
    assert_eq!(
        Regex::multi_line("a(").map(|_| ()),
        Err(Error { at: 1, problem: Problem::Unclosed })
    );
}

#[test]
fn stray_bytes_are_characters() {
    let mut memory = Memory::new();
    for (pattern, text, span) in [
        (r"a.b", &b"a\xffb"[..], Some((0, 3))),
        (r"a.b", b"a\xc3\xa9b", Some((0, 4))),
        (r"a.b", b"a\xe2\x82b", None),
        (r"a..b", b"a\xe2\x82b", Some((0, 4))),
        (r"^\S+$", b"a\xff\xfe\xc3", Some((0, 4))),
        (r"\w", b"\xff", None),
        (r"(?<=.)b", b"\xffb", Some((1, 2))),
        (r"[^b]+$", b"b\xe9\xc3\xa9", Some((1, 4))),
    ] {
        let regex = Regex::new(pattern).expect(pattern);
        let found =
            regex.search(text, &mut memory, DEFAULT_STEPS).expect("in time").map(|m| m.span());
        assert_eq!(found, span, "{pattern} on {text:x?}");
    }
}

#[test]
fn a_look_behind_sees_what_nothing_else_reaches() {
    let regex = Regex::new("(?<=ab|.c)d").expect("a pattern");
    for text in ["xabd", "xxcd"] {
        let found = groups(&regex, text.as_bytes(), &mut Memory::backward_first());
        assert_eq!(found, Some(vec![Some((3, 4))]), "{text}");
    }
}

#[test]
fn starts_where_it_is_told() {
    let mut memory = Memory::new();
    let regex = Regex::new(r"(?<=a)(?P<rest>b+)").expect("a pattern");
    assert_eq!(regex.match_at(b"abb", 0, &mut memory, 1_000), Ok(None));
    let found = regex.match_at(b"abb", 1, &mut memory, 1_000).expect("in time").expect("a match");
    assert_eq!(
        (found.span(), found.group(regex.group("rest").expect("named"))),
        ((1, 3), Some((1, 3)))
    );
    assert_eq!(regex.match_at(b"abb", 9, &mut memory, 1_000), Ok(None));
}

fn groups(regex: &Regex, text: &[u8], memory: &mut Memory) -> Option<Vec<Option<(usize, usize)>>> {
    let found = regex.search(text, memory, DEFAULT_STEPS).expect("in time")?;
    Some((0..found.groups()).map(|i| found.group(i)).collect())
}

fn cases() -> impl Iterator<Item = Case> {
    let lines = include_str!("tests/cases.jsonl").lines();
    lines.map(|line| serde_json::from_str(line).expect("a case"))
}
