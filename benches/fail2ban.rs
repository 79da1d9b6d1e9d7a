//! All of fail2ban's filters on one core, beside fail2ban itself with one.
//!
//!     make fail2ban && cargo bench --bench fail2ban
//!
//! The filters are Debian's, unchanged, with their default options, each with the dates and sessions
//! of its own; the rival is `fail2ban-regex` of the same package with `sshd` alone, on the same log.
//! Both are processor time, ours of one thread. PORTCULLIS_BENCH_SECONDS changes how long each of us
//! runs.

#[expect(dead_code, reason = "the other benches use the rest")]
mod measure;
#[expect(dead_code, reason = "the other benches use the rest")]
mod traffic;

use std::hint::black_box;
use std::time::Instant;

use measure::{cpu_seconds, fail2ban_regex, resident};
use portcullis::filter::fail2ban::conf::Definition;
use portcullis::filter::fail2ban::dates::DateDetector;
use portcullis::filter::fail2ban::{Journal, Judged};
use traffic::fail2ban::{compile, dates, definitions, unpacked, utc};
use traffic::{Generator, NOW, shipped};

fn main() {
    let Some(package) = unpacked() else {
        println!("fail2ban's package is not unpacked under target/fail2ban: run `make fail2ban`");
        return;
    };
    let seconds = seconds();
    measure::head();
    let before = resident();
    let started = cpu_seconds();
    let definitions = definitions(&package);
    let read = cpu_seconds() - started;
    let started = cpu_seconds();
    let mut jails: Vec<Jail> = definitions.iter().map(Jail::new).collect();
    let compiled = cpu_seconds() - started;
    let patterns: usize = jails.iter().map(|jail| jail.patterns).sum();
    println!(
        "filters   {} with {patterns} patterns: read in {:.0} ms, compiled in {:.0} ms, {:.0} MB",
        jails.len(),
        read * 1e3,
        compiled * 1e3,
        (resident() - before) / 1e6
    );

    let log = Log::new(LINES);
    println!("log       {} lines, {} bytes a line, 6 % hits", log.lines.len(), log.bytes_a_line());

    let cold = resident();
    let all = rate(&log, &mut jails, seconds);
    let warm = (resident() - cold) / 1e6;
    jails.sort_by(|a, b| b.seconds.total_cmp(&a.seconds));
    let spent: f64 = jails.iter().map(|jail| jail.seconds).sum();
    let hits: u64 = jails.iter().map(|jail| jail.hits).sum();
    let given_up: u64 = jails.iter().map(|jail| jail.given_up).sum();
    let at = jails.iter().position(|jail| jail.name == "sshd").expect("fail2ban has sshd");
    let one = rate(&log, &mut jails[at..=at], seconds / 2.0);
    let dates_alone = dates_only(&log, seconds / 4.0);
    let lines = log.lines.iter().map(|line| line.as_bytes());
    let theirs = fail2ban_regex::rate(&package, lines, seconds);

    println!("measured  {hits} hits, {given_up} given up, {warm:.0} MB more once warm\n");
    println!("{:<42} {:>11} {:>9}", "", "lines/s", "ratio");
    println!("{:<42} {theirs:>11.0} {:>8.2}x", "fail2ban-regex, sshd alone", 1.0);
    println!("{:<42} {one:>11.0} {:>8.2}x", "ours, sshd alone", one / theirs);
    let name = format!("ours, all {} filters, one by one", jails.len());
    println!("{name:<42} {all:>11.0} {:>8.2}x", all / theirs);
    let (name, each) = ("ours, dates alone, for one filter", 1e6 / dates_alone);
    println!("{name:<42} {dates_alone:>11.0}           {each:.2} µs a line\n");
    println!("where the time of all goes");
    for jail in jails.iter().take(6) {
        println!("{:>6.1} %  {}", jail.seconds * 100.0 / spent, jail.name);
    }
}

/// A filter at work.
struct Jail {
    name: String,
    journal: Journal,
    patterns: usize,
    seconds: f64,
    hits: u64,
    given_up: u64,
}

impl Jail {
    fn new(definition: &Definition) -> Jail {
        let rules = compile(definition);
        let patterns = rules.rules.size();
        let journal = Journal::new(rules.rules, dates(definition));
        let name = definition.name.clone();
        Jail { name, journal, patterns, seconds: 0.0, hits: 0, given_up: 0 }
    }

    fn read(&mut self, lines: &[String]) {
        let started = Instant::now();
        for line in lines {
            match black_box(self.journal.line(line.as_bytes(), NOW)) {
                Ok(judged) => self.hits += u64::from(matches!(judged, Judged::Hit(_))),
                Err(_) => self.given_up += 1,
            }
        }
        self.seconds += started.elapsed().as_secs_f64();
    }
}

/// Lines a second, after a tenth of the time to warm up.
fn rate(log: &Log, jails: &mut [Jail], seconds: f64) -> f64 {
    let mut lines = 0;
    let mut started = cpu_seconds();
    let mut warm = false;
    for chunk in log.lines.chunks(CHUNK).cycle() {
        jails.iter_mut().for_each(|jail| jail.read(chunk));
        lines += chunk.len();
        let spent = cpu_seconds() - started;
        if !warm && spent > seconds / 10.0 {
            (warm, lines, started) = (true, 0, cpu_seconds());
            for jail in &mut *jails {
                (jail.seconds, jail.hits, jail.given_up) = (0.0, 0, 0);
            }
        } else if warm && spent > seconds {
            break;
        }
    }
    lines as f64 / (cpu_seconds() - started)
}

/// Lines a second of the known date formats, which every filter without a `datepattern` looks for.
fn dates_only(log: &Log, seconds: f64) -> f64 {
    let mut dates = DateDetector::new(None, &utc()).expect("the known formats");
    let (mut lines, started) = (0, cpu_seconds());
    for chunk in log.lines.chunks(CHUNK).cycle() {
        for line in chunk {
            black_box(dates.find(line.as_bytes(), NOW));
        }
        lines += chunk.len();
        if cpu_seconds() - started > seconds {
            break;
        }
    }
    lines as f64 / (cpu_seconds() - started)
}

/// The generated log as a file has it: without the priority.
struct Log {
    lines: Vec<String>,
}

impl Log {
    fn new(lines: usize) -> Log {
        let log = Generator::new(&shipped()).log(lines, 6, 2);
        let text = |line| String::from_utf8_lossy(fail2ban_regex::bare(line)).into_owned();
        Log { lines: log.lines().map(text).collect() }
    }

    fn bytes_a_line(&self) -> usize {
        self.lines.iter().map(String::len).sum::<usize>() / self.lines.len()
    }
}

fn seconds() -> f64 {
    match std::env::var("PORTCULLIS_BENCH_SECONDS") {
        Ok(text) => text.parse().expect("PORTCULLIS_BENCH_SECONDS is a number"),
        Err(_) => 12.0,
    }
}

/// Enough that nothing is seen twice before every cache is warm.
const LINES: usize = 100_000;
/// Lines that one filter reads before the next does.
const CHUNK: usize = 200;
