//! The work is bounded: on shapes that keep other engines busy for minutes it grows with the text only.

use super::*;

/// The least number of steps, to a factor of two, in which a search ends.
fn steps(regex: &Regex, text: &[u8]) -> u64 {
    let mut memory = Memory::remembering_after(1_000);
    let enough = |steps: &u32| regex.search(text, &mut memory, 1 << steps).is_ok();
    1 << (0..40).find(enough).expect("it ends")
}

/// Text of a length: a head, a unit again and again, a tail.
fn text(head: &str, unit: &str, tail: &str, length: usize) -> Vec<u8> {
    let middle = unit.repeat((length - head.len() - tail.len()) / unit.len());
    format!("{head}{middle}{tail}").into_bytes()
}

#[test]
fn grows_with_the_text_only() {
    let host = r"(?:\[?(?:(?P<ip4>(?:\d{1,3}\.){3}\d{1,3})|(?P<ip6>(?:[0-9a-f]{1,4}::?|::){1,7}(?:[0-9a-f]{1,4}|(?<=:):)))\]?|(?P<dns>[\w\-.]*\w))";
    for (pattern, head, unit, tail) in [
        (r"(a+)+$", "", "a", "b"),
        (r"(.*)*[xy]", "", "a", "b"),
        (r"^(a|a)*$", "", "a", "b"),
        (r"(a|aa)+$", "", "a", "b"),
        (r"^(?:a?b?)*$", "", "ab", "c"),
        (r".*.*.*[xy]", "", "a", "b"),
        (r"(?:x*x*)*[yw]", "", "x", "z"),
        (r"^(?:(?=.*[bc])a)*[de]", "", "a", "b"),
        (r"^(?:(?!.*[cd])a)*[de]", "", "a", "b"),
        (r"(?>a+)+[cd]", "", "a", "b"),
        (r"(?:a++b?)+[cd]", "", "a", "b"),
        (r"^(['x])y\1.*.*.*[uv]", "xyx", "a", "b"),
        (r"^svc: (?:[^\[]+ )*\[?HOST denied\s*$", "svc: ", "a ", "[192.0.2.1] denied x"),
        (r"^svc: (?:[^\[]+ )*\[?HOST denied\s*$", "svc: ", "a ", "[2001:db8::1] denied x"),
        (r" rip=HOST(?:[^>]*(?:, session=<\S+>)?)\s*$", " rip=192.0.2.1", ", session=<a>", " > x"),
        (
            r"^(?P<user>\S+|.*?) from HOST(?: port \d+| on \S+){0,2}\s*$",
            "",
            "a from 192.0.2.1 ",
            "!",
        ),
        (r"^(?P<user>(?:(?! from ).)*?) from HOST(?:, .*)*\s*$", "x from 2001:db8::1", ", ", "\n!"),
    ] {
        let regex = Regex::new(&pattern.replace("HOST", host)).expect(pattern);
        let mut last = 0;
        for length in [4 << 10, 16 << 10, 64 << 10] {
            let text = text(head, unit, tail, length);
            let steps = steps(&regex, &text);
            // A step is a few nanoseconds. Powers of two: four times the text, at most eight times the steps.
            assert!(
                last == 0 || steps <= last * 8,
                "{pattern}: {steps} steps at {length}, {last} before"
            );
            assert!(steps <= 64 * length as u64, "{pattern}: {steps} steps at {length}");
            last = steps;
        }
    }
}

/// Behind a capture that is still to be compared nothing is remembered: then the steps are the bound.
#[test]
fn stops_at_the_callers_bound() {
    let regex = Regex::new(r"^(a*)*(b?)*\1\2$").expect("a pattern");
    let text = text("", "a", "c", 64 << 10);
    let mut memory = Memory::new();
    assert_eq!(regex.search(&text, &mut memory, 10_000), Err(OutOfSteps));
    assert_eq!(regex.search(b"aa", &mut memory, 10_000).map(|m| m.is_some()), Ok(true));
}

#[test]
fn a_warm_memory_does_not_grow() {
    let regex = Regex::new(r"^(?:(\w+) )*(?!x)(\S+)=(\d+)$").expect("a pattern");
    let text = text("", "ab ", "c=1x", 16 << 10);
    let mut memory = Memory::new();
    let mut run = || {
        let found = regex.search(&text, &mut memory, DEFAULT_STEPS).expect("in time");
        assert_eq!(found, None);
        memory.bytes()
    };
    let first = run();
    assert!(first < 4 << 20, "{first} bytes");
    assert_eq!((run(), run()), (first, first));
}
