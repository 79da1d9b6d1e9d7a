//! What one core spends on a line: header, automaton, the whole worker; each beside a rival that
//! does the same job on the same lines in the same run.
//!
//!     cargo bench --bench matching
//!
//! The machine is shared and noisy: rounds alternate between us and the rivals, the medians of the
//! thread's own CPU time are shown, and the ratio is what to trust. All memory is warmed up on other
//! lines than those measured. PORTCULLIS_BENCH_LINES and PORTCULLIS_BENCH_ROUNDS change the size.

mod traffic;

use std::hint::black_box;
use std::sync::Arc;

use nix::sys::resource::{UsageWho, getrusage};
use portcullis::filter::{Filter, Library};
use portcullis::matcher::{Matcher, Scratch};
use portcullis::model::JailId;
use portcullis::pipeline::{Hit, Rules, Worker};
use portcullis::syslog::{Message, Parser};
use regex::bytes::{CaptureLocations, Regex, RegexBuilder, RegexSet, RegexSetBuilder};
use syslog_loose::Variant;
use traffic::{Generator, Log, NOW, SPEAKER};

fn main() {
    let filters = shipped();
    let lines = setting("PORTCULLIS_BENCH_LINES", 300_000);
    let rounds = setting("PORTCULLIS_BENCH_ROUNDS", 5);
    let generator = Generator::new(&filters);
    let warm_up = generator.log(lines, 6, 1);
    let log = generator.log(lines, 6, 2);
    let attack_warm_up = generator.log(lines / 10, 100, 3);
    let attack = generator.log(lines / 10, 100, 4);

    let jails = (0..filters.len()).map(|id| vec![JailId(id as u16)]).collect();
    let rules = Arc::new(Rules::new(&filters, jails).expect("the filters compile"));
    let mut worker = Worker::new(Arc::clone(&rules));
    let mut rival = Rival::new(&filters);
    let (filter_count, patterns) = rules.matcher().size();
    println!("machine   {}", traffic::machine());
    println!(
        "mixed     {} lines, {} bytes a line, {:.1} % hits, 15 % of the headers RFC 5424",
        log.len(),
        log.size() / log.len(),
        log.hits as f64 * 100.0 / log.len() as f64
    );
    println!("attack    {} lines, every one a hit", attack.len());
    println!("filters   {filter_count} filters with {patterns} patterns: all that ship");
    println!("measured  medians of {rounds} rounds, CPU time of one thread\n");

    let cold = nanoseconds(&warm_up, || {
        assert_eq!(count_hits(&mut worker, &warm_up), warm_up.hits);
    });
    rival.warm_up(&warm_up);
    for log in [&log, &attack_warm_up, &attack] {
        assert_eq!(count_hits(&mut worker, log), log.hits, "hits, and only hits, are seen");
    }
    rival.warm_up(&attack_warm_up);
    // Not all: syslog_loose reads some devices' headers otherwise than the filters expect.
    let seen = rival.count_hits(&attack) as f64 * 100.0 / attack.hits as f64;
    assert!(seen > 80.0, "the rival does the same job: {seen} %");

    let mut table = Table::new(rounds);
    header(&mut table, &log);
    automaton(&mut table, &rules, &mut rival, &warm_up, &log);
    whole(&mut table, "whole line, mixed", &mut worker, &mut rival, &log);
    whole(&mut table, "whole line, all hits", &mut worker, &mut rival, &attack);
    table.alone("whole line, a new worker's first lines", cold);
    table.print();
    println!("\nThe rival of whole lines finds {seen:.1} % of the hits.");
    println!(
        "cache     {:.1} MB of the lazy automaton, cleared {} times",
        worker.scratch().cache_bytes() as f64 / 1e6,
        worker.scratch().cache_clears()
    );
}

/// Bytes to header fields.
fn header(table: &mut Table, log: &Log) {
    let mut parser = Parser::new();
    let ours = || {
        for line in log.lines() {
            black_box(parser.parse(line));
        }
    };
    let texts: Vec<&str> = log.lines().map(|line| std::str::from_utf8(line).unwrap()).collect();
    let theirs = || {
        for text in &texts {
            black_box(syslog_loose::parse_message_with_year(text, |_| 2026, Variant::Either));
        }
    };
    table.race("header", log, ours, "syslog_loose", theirs);
}

/// Program and text to hits, fields included; the rival only says which patterns match.
fn automaton(table: &mut Table, rules: &Rules, rival: &mut Rival, warm_up: &Log, log: &Log) {
    let mut parser = Parser::new();
    let messages: Vec<Message<'_>> = log.lines().map(|line| parser.parse(line)).collect();
    let subjects: Vec<Vec<u8>> = messages.iter().map(subject).collect();
    let mut scratch = rules.matcher().scratch();
    for line in warm_up.lines() {
        matches(rules.matcher(), &parser.parse(line), &mut scratch);
    }
    let (mut hits, mut candidates) = (0, 0);
    let ours = || {
        hits = 0;
        for message in &messages {
            hits += matches(rules.matcher(), message, &mut scratch);
        }
    };
    let theirs = || {
        candidates = 0;
        for subject in &subjects {
            candidates += usize::from(rival.set.matches(subject).matched_any());
        }
    };
    table.race("matcher", log, ours, "regex::RegexSet, without fields", theirs);
    assert!(hits >= log.hits && candidates >= log.hits, "{hits}, {candidates} of {}", log.hits);
}

fn matches(matcher: &Matcher, message: &Message<'_>, scratch: &mut Scratch) -> usize {
    let mut count = 0;
    matcher.hits(message.app, message.text, scratch, |found| {
        black_box(found.offender);
        count += 1;
    });
    count
}

/// Bytes to hits, as the daemon does it; the rival is what one would build from crates.
fn whole(table: &mut Table, name: &'static str, worker: &mut Worker, rival: &mut Rival, log: &Log) {
    let mut hits: Vec<Hit> = Vec::new();
    let ours = || {
        for line in log.lines() {
            worker.line(line, SPEAKER, NOW, &mut hits);
            black_box(&hits);
            hits.clear();
        }
    };
    let theirs = || _ = black_box(rival.count_hits(log));
    table.race(name, log, ours, "syslog_loose + RegexSet + Regex", theirs);
}

/// The `regex` crate on the very same patterns and the very same subject, anchored as ours: a set
/// that says which patterns match, and each of these once more for its captures. Its memory for lazy
/// states is as large as ours.
struct Rival {
    set: RegexSet,
    exact: Vec<(Regex, CaptureLocations)>,
}

impl Rival {
    fn new(filters: &[Filter]) -> Rival {
        let mut gates = Vec::new();
        let mut exact = Vec::new();
        for filter in filters {
            let globs = filter.programs.iter().map(|program| match program.as_str() {
                "-" => String::new(),
                glob => regex::escape(glob).replace(r"\*", r"[^\x1f]*"),
            });
            let programs = globs.collect::<Vec<_>>().join("|");
            for pattern in filter.ignores.iter().chain(&filter.patterns) {
                gates.push(format!(r"^(?:{programs})\x1f(?:{})", pattern.gate));
                let regex = RegexBuilder::new(&pattern.exact.to_string())
                    .unicode(false)
                    .build()
                    .expect("our pattern is one of the regex crate");
                let places = regex.capture_locations();
                exact.push((regex, places));
            }
        }
        let set = RegexSetBuilder::new(gates)
            .unicode(false)
            .size_limit(1 << 30)
            .dfa_size_limit(32 << 20)
            .build()
            .expect("our patterns are a set of the regex crate");
        Rival { set, exact }
    }

    fn warm_up(&mut self, log: &Log) {
        self.count_hits(log);
        // Also on our reading of the headers, which finds more programs than syslog_loose.
        let mut parser = Parser::new();
        for line in log.lines() {
            black_box(self.set.matches(&subject(&parser.parse(line))));
        }
    }

    /// Lines that some pattern takes, header and captures read.
    fn count_hits(&mut self, log: &Log) -> usize {
        let mut subject = Vec::new();
        let mut count = 0;
        for line in log.lines() {
            let line = std::str::from_utf8(line).expect("the log is UTF-8");
            let message = syslog_loose::parse_message_with_year(line, |_| 2026, Variant::Either);
            subject.clear();
            subject.extend_from_slice(message.appname.unwrap_or_default().as_bytes());
            subject.push(0x1f);
            subject.extend_from_slice(message.msg.as_bytes());
            let mut hit = false;
            for index in &self.set.matches(&subject) {
                let (regex, places) = &mut self.exact[index];
                hit |= regex.captures_read(places, message.msg.as_bytes()).is_some();
            }
            count += usize::from(hit);
        }
        count
    }
}

/// Lines that some filter takes.
fn count_hits(worker: &mut Worker, log: &Log) -> usize {
    let mut hits: Vec<Hit> = Vec::new();
    let mut count = 0;
    for line in log.lines() {
        worker.line(line, SPEAKER, NOW, &mut hits);
        count += usize::from(!hits.is_empty());
        hits.clear();
    }
    count
}

fn subject(message: &Message<'_>) -> Vec<u8> {
    [message.app, &[0x1f], message.text].concat()
}

/// What is measured, in the order of the flow.
struct Table {
    rounds: usize,
    rows: Vec<Row>,
}

/// Nanoseconds a line: ours, and a rival's with its name.
struct Row {
    name: &'static str,
    ours: f64,
    rival: Option<(&'static str, f64)>,
}

impl Table {
    fn new(rounds: usize) -> Table {
        Table { rounds, rows: Vec::new() }
    }

    /// Both in turn, so that a slow moment of the machine hits both.
    fn race(
        &mut self,
        name: &'static str,
        log: &Log,
        mut ours: impl FnMut(),
        rival: &'static str,
        mut theirs: impl FnMut(),
    ) {
        let (mut us, mut them) = (Vec::new(), Vec::new());
        for _ in 0..self.rounds {
            us.push(nanoseconds(log, &mut ours));
            them.push(nanoseconds(log, &mut theirs));
        }
        let rival = Some((rival, traffic::median(them)));
        self.rows.push(Row { name, ours: traffic::median(us), rival });
    }

    fn alone(&mut self, name: &'static str, ours: f64) {
        self.rows.push(Row { name, ours, rival: None });
    }

    fn print(&self) {
        println!(
            "{:<40} {:>8} {:>11}   {:>8} {:>7}  rival",
            "", "ns/line", "lines/s", "rival", "ratio"
        );
        for Row { name, ours, rival } in &self.rows {
            print!("{name:<40} {ours:>8.0} {:>11.0}", 1e9 / ours);
            match rival {
                Some((rival, theirs)) => {
                    println!("   {theirs:>8.0} {:>6.1}x  {rival}", theirs / ours);
                }
                None => println!(),
            }
        }
    }
}

/// CPU nanoseconds a line.
fn nanoseconds(log: &Log, work: impl FnOnce()) -> f64 {
    let before = cpu_seconds();
    work();
    (cpu_seconds() - before) * 1e9 / log.len() as f64
}

fn cpu_seconds() -> f64 {
    let usage = getrusage(UsageWho::RUSAGE_THREAD).expect("Linux counts by thread");
    let seconds =
        |time: nix::sys::time::TimeVal| time.tv_sec() as f64 + time.tv_usec() as f64 / 1e6;
    seconds(usage.user_time()) + seconds(usage.system_time())
}

/// All filters that ship, opt-in ones included.
fn shipped() -> Vec<Filter> {
    let library = Library::default();
    let names = library.names().expect("built-in filters have names");
    names.iter().map(|name| library.load(name).expect("shipped filters load")).collect()
}

fn setting(name: &str, default: usize) -> usize {
    match std::env::var(name) {
        Ok(text) => text.parse().unwrap_or_else(|_| panic!("{name} is a number, not {text:?}")),
        Err(_) => default,
    }
}
