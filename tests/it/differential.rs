//! The engine against the slow and obvious: each pattern of each filter alone, with an engine of its
//! own, on every line of the corpora, on the samples, on generated lines and on bad input.

use std::net::IpAddr;
use std::sync::Arc;

use portcullis::filter::fail2ban::{self, Groups, Outcome};
use portcullis::filter::python::Memory;
use portcullis::filter::{Filter, Pattern};
use portcullis::model::{ShortText, normal_address};
use portcullis::pipeline::{Worker, address, trial};
use portcullis::syslog::{Message, Parser};
use regex::bytes::{Regex, RegexBuilder};

use crate::traffic::fail2ban::{Fail2ban, corpus};
use crate::traffic::hostile::CASES;
use crate::traffic::view::{base_name, view};
use crate::traffic::{Generator, NOW, SPEAKER, rules, shipped};

#[test]
fn shipped_filters_find_what_each_pattern_finds_alone() {
    let filters = shipped();
    let generator = Generator::new(&filters);
    let lines = lines(&filters, &generator, 3_000);
    let (hits, told) = compare(&filters, None, &lines);
    assert!(hits > lines.len() / 20, "{hits} hits in {} lines", lines.len());
    assert_eq!(told, 0);
}

#[test]
#[ignore = "needs Debian's fail2ban, unpacked: make test"]
fn filters_of_fail2ban_find_what_each_judges_alone() {
    let fail2ban = Fail2ban::load().expect("fail2ban is unpacked: make fail2ban");
    let filters = shipped();
    let generator = Generator::of(&filters, &filters, Some(&fail2ban));
    let lines = lines(&filters, &generator, 500);
    let (hits, told) = compare(&filters, Some(&fail2ban), &lines);
    assert!(hits > lines.len() / 20, "{hits} hits in {} lines", lines.len());
    assert!(told > 50, "{told} lines of sessions in {}", lines.len());
}

/// What a line came to: by filter, in the order of the filters.
#[derive(Debug, PartialEq)]
enum Verdict {
    Hit { filter: u16, pattern: u16, offender: IpAddr, user: Option<ShortText> },
    Told { filter: u16, groups: Box<Groups> },
}

/// The slow and obvious.
struct Judge<'a> {
    filters: &'a [Filter],
    /// By filter: ignores and patterns.
    exact: Vec<[Vec<Regex>; 2]>,
    fail2ban: &'a [fail2ban::Jailed],
    memory: Memory,
}

impl<'a> Judge<'a> {
    fn new(filters: &'a [Filter], fail2ban: Option<&'a Fail2ban>) -> Judge<'a> {
        let exact = |filter: &Filter| {
            [&filter.ignores, &filter.patterns].map(|of| of.iter().map(regex).collect())
        };
        Judge {
            filters,
            exact: filters.iter().map(exact).collect(),
            fail2ban: fail2ban.map_or(&[], |it| &it.rules),
            memory: Memory::new(),
        }
    }

    /// `None` when one of fail2ban's patterns needs too many steps.
    fn verdicts(&mut self, line: &[u8]) -> Option<(Vec<Verdict>, Vec<Verdict>)> {
        let message = Parser::new().parse(line);
        let native = self.filters.iter().zip(&self.exact).enumerate();
        let mut hits: Vec<_> = native
            .filter_map(|(at, (filter, exact))| native_verdict(at as u16, filter, exact, &message))
            .collect();
        let mut told = Vec::new();
        let view = view(line, &message);
        for (at, filter) in self.fail2ban.iter().enumerate() {
            let judged = filter.rules.judge(&mut vec![view.clone()], &mut self.memory).ok()?;
            let Outcome::Matched(fail2ban::Match { rule, groups }) = judged else { continue };
            let filter = (self.filters.len() + at) as u16;
            if groups.get("mlfid").is_some_and(Option::is_some) {
                told.push(Verdict::Told { filter, groups: groups.into() });
            } else if let Some(offender) = address(&groups) {
                let user = groups.get("user").and_then(|it| it.as_deref()).map(ShortText::new);
                hits.push(Verdict::Hit { filter, pattern: rule as u16, offender, user });
            }
        }
        Some((hits, told))
    }
}

/// The first pattern that matches and names an address, unless an ignore pattern matches.
fn native_verdict(
    number: u16,
    filter: &Filter,
    [ignores, patterns]: &[Vec<Regex>; 2],
    message: &Message<'_>,
) -> Option<Verdict> {
    let program = base_name(message.app);
    let is_meant = |glob: &String| match glob.as_str() {
        "-" => program.is_empty(),
        glob => is_glob_of(glob.as_bytes(), program),
    };
    let is_ours = !program.contains(&0x1f) && filter.programs.iter().any(is_meant);
    if !is_ours || ignores.iter().any(|it| it.is_match(message.text)) {
        return None;
    }
    patterns.iter().enumerate().find_map(|(pattern, regex)| {
        let found = regex.captures(message.text)?;
        let offender = std::str::from_utf8(found.name("ip")?.as_bytes()).ok()?.parse().ok()?;
        Some(Verdict::Hit {
            filter: number,
            pattern: pattern as u16,
            offender: normal_address(offender),
            user: found.name("user").map(|it| ShortText::new(it.as_bytes())),
        })
    })
}

fn is_glob_of(glob: &[u8], text: &[u8]) -> bool {
    match glob {
        [] => text.is_empty(),
        [b'*', rest @ ..] => (0..=text.len()).any(|at| is_glob_of(rest, &text[at..])),
        [byte, rest @ ..] => text.first() == Some(byte) && is_glob_of(rest, &text[1..]),
    }
}

fn regex(pattern: &Pattern) -> Regex {
    let anchored = format!(r"\A(?:{})", pattern.exact);
    RegexBuilder::new(&anchored).unicode(false).build().expect("our pattern is one of `regex`")
}

/// Compares line by line: how many hits and lines of sessions there were.
fn compare(filters: &[Filter], fail2ban: Option<&Fail2ban>, lines: &[Vec<u8>]) -> (usize, usize) {
    let rules = rules(filters, fail2ban);
    let half = lines.len().div_ceil(2);
    std::thread::scope(|scope| {
        let threads: Vec<_> = lines
            .chunks(half)
            .map(|lines| {
                let workers = [(); 2].map(|()| Worker::new(Arc::clone(&rules)));
                scope.spawn(|| compare_some(workers, Judge::new(filters, fail2ban), lines))
            })
            .collect();
        let counts = threads.into_iter().map(|it| it.join().expect("all lines compare"));
        counts.fold((0, 0), |sum, more| (sum.0 + more.0, sum.1 + more.1))
    })
}

/// One worker takes line by line, the other as many at once as a system call may bring.
fn compare_some(
    [mut worker, mut abreast]: [Worker; 2],
    mut judge: Judge<'_>,
    lines: &[Vec<u8>],
) -> (usize, usize) {
    let mut count = (0, 0);
    for (at, lines) in lines.chunks(100).enumerate() {
        let mut one_by_one = (Vec::new(), Vec::new());
        for line in lines {
            let before = worker.given_up();
            let (hits, told) = verdicts(&mut worker, &[line]);
            match judge.verdicts(line) {
                Some(expected) => {
                    assert_eq!(
                        (&hits, &told),
                        (&expected.0, &expected.1),
                        "{}",
                        line.escape_ascii()
                    );
                    count = (count.0 + hits.len(), count.1 + told.len());
                }
                None => assert!(worker.given_up() > before, "{}", line.escape_ascii()),
            }
            one_by_one.0.extend(hits);
            one_by_one.1.extend(told);
        }
        // Groups of all sizes, the last one as large as may be.
        let (some, others) = lines.split_at(at % lines.len());
        let mut at_once = verdicts(&mut abreast, some);
        let others = verdicts(&mut abreast, others);
        at_once.0.extend(others.0);
        at_once.1.extend(others.1);
        assert!(at_once == one_by_one, "lines {} to {}", at * 100, at * 100 + lines.len());
    }
    count
}

/// Hits, and lines of sessions.
fn verdicts<L: AsRef<[u8]>>(worker: &mut Worker, lines: &[L]) -> (Vec<Verdict>, Vec<Verdict>) {
    let mut found = Vec::new();
    match lines {
        [line] => _ = worker.line(line.as_ref(), SPEAKER, NOW, &mut found),
        _ => {
            let lines = lines.iter().map(|line| (line.as_ref(), SPEAKER));
            worker.lines(lines, NOW, &mut found, |_| ());
        }
    }
    let hits = found.iter().map(|hit| Verdict::Hit {
        filter: hit.pattern.filter.0,
        pattern: hit.pattern.index,
        offender: hit.offender,
        user: hit.user,
    });
    let told = worker.take_told().into_iter();
    let told = told.map(|it| Verdict::Told { filter: it.filter.0, groups: it.groups.into() });
    (hits.collect(), told.collect())
}

/// Every line that there is, and some that are made.
fn lines(filters: &[Filter], generator: &Generator, generated: usize) -> Vec<Vec<u8>> {
    let mut lines = Vec::new();
    for filter in filters {
        let patterns = filter.patterns.iter().chain(&filter.ignores);
        lines.extend(patterns.flat_map(|it| &it.samples).map(|it| trial::wire(filter, it)));
    }
    for (name, field) in [
        ("device_lines.jsonl", "line"),
        ("syslog_parse_cases.jsonl", "input"),
        ("fail2ban_1.0.2_cases.jsonl", "line"),
    ] {
        let rows = corpus(name);
        lines.extend(rows.iter().filter_map(|row| row[field].as_str()).map(Vec::from));
    }
    let logs = [generator.log(generated, 20, 41), generator.log(generated, 100, 42)];
    lines.extend(logs.iter().flat_map(|log| log.lines()).map(Vec::from));
    for case in CASES {
        let count = if case.size > 1_000 { 3 } else { generated as u64 / 10 };
        lines.extend((0..count).map(|index| case.line(generator, index)));
    }
    lines
}
