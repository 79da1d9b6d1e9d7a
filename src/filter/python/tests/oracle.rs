//! Random patterns against the real thing: `re` of the Python that is installed, if it is 3.11.

use std::io::Write;
use std::process::{Command, Stdio};

use super::random::Random;
use super::*;

#[test]
fn python_says_the_same() {
    let version = Command::new("python3").arg("--version").output();
    if !version.is_ok_and(|it| it.stdout.starts_with(b"Python 3.11")) {
        println!("no Python 3.11 here: the table in cases.jsonl has to do");
        return;
    }
    let mut random = Random(0x0_5ac1e);
    let mut questions = Vec::new();
    while questions.len() < 6_000 {
        let mut groups = 0;
        let pattern = random.alternatives(3, &mut groups);
        // Half-kept captures of possessive repeats: see `possessive_repeats_keep_whole_captures`.
        if pattern.contains("*+") || pattern.contains("}+") || Regex::new(&pattern).is_err() {
            continue;
        }
        for _ in 0..4 {
            let Ok(text) = String::from_utf8(random.text(false)) else { continue };
            questions.push((pattern.clone(), text));
        }
    }
    let mut python = Command::new("python3")
        .args(["-W", "ignore", "-c", ASK])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .expect("python3 runs");
    let asked: String = questions
        .iter()
        .map(|question| serde_json::to_string(question).expect("text") + "\n")
        .collect();
    let mut input = python.stdin.take().expect("a pipe");
    let writer = std::thread::spawn(move || input.write_all(asked.as_bytes()));
    let output = python.wait_with_output().expect("answers");
    writer.join().expect("written").expect("all of it");
    let answers = String::from_utf8(output.stdout).expect("text");
    let (mut compared, mut hits) = (0, 0);
    for ((pattern, text), answer) in questions.iter().zip(answers.lines()) {
        let expected: Option<Vec<Option<(usize, usize)>>> = match answer {
            "error" => continue, // what Python does not take, and we do
            answer => serde_json::from_str(answer).expect("an answer"),
        };
        compared += 1;
        hits += usize::from(expected.is_some());
        let regex = Regex::new(pattern).expect("was read before");
        for mut memory in [Memory::new(), Memory::backward_first()] {
            let found = groups(&regex, text.as_bytes(), &mut memory);
            assert_eq!(found, expected, "{pattern} on {text:?}");
        }
    }
    assert!(compared > 5_000 && hits > 2_000, "{compared} compared, {hits} hits");
}

/// Reads [pattern, text] a line; writes the byte offsets of all groups, or null, or error.
const ASK: &str = r#"
import json, re, sys
for line in sys.stdin:
    pattern, text = json.loads(line)
    try:
        found = re.search(pattern, text)
    except re.error:
        print("error")
        continue
    if found is None:
        print("null")
        continue
    of = lambda at: len(text[:at].encode())
    spans = [found.span(group) for group in range(found.re.groups + 1)]
    print(json.dumps([None if start < 0 else [of(start), of(end)] for start, end in spans]))
"#;
