//! All of fail2ban's filters on one core, beside fail2ban itself with one.
//!
//!     make fail2ban && cargo bench --bench fail2ban
//!
//! The filters are Debian's, unchanged, with their default options, each with the dates and sessions
//! of its own; the rival is `fail2ban-regex` of the same package with `sshd` alone, on the same log,
//! by its own count of seconds. Ours is CPU time of one thread. PORTCULLIS_BENCH_SECONDS changes how
//! long each of us runs.

#[expect(dead_code, reason = "the other benches use the rest")]
mod traffic;

use std::hint::black_box;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Arc;
use std::time::Instant;

use nix::sys::resource::{UsageWho, getrusage};
use portcullis::filter::fail2ban::conf::{self, Definition};
use portcullis::filter::fail2ban::dates::{DateDetector, Zone};
use portcullis::filter::fail2ban::{Journal, Judged, Rules};
use portcullis::filter::{Filter, Library};
use traffic::{Generator, NOW};

fn main() {
    let Some(package) = unpacked() else {
        println!("fail2ban's package is not unpacked under target/fail2ban: run `make fail2ban`");
        return;
    };
    let seconds = seconds();
    println!("machine   {}", traffic::machine());
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
    let dates = dates_only(&log, seconds / 4.0);
    let theirs = rival(&package, &log, seconds);

    println!("measured  {hits} hits, {given_up} given up, {warm:.0} MB more once warm\n");
    println!("{:<42} {:>11} {:>9}", "", "lines/s", "ratio");
    println!("{:<42} {theirs:>11.0} {:>8.2}x", "fail2ban-regex, sshd alone", 1.0);
    println!("{:<42} {one:>11.0} {:>8.2}x", "ours, sshd alone", one / theirs);
    let name = format!("ours, all {} filters, one by one", jails.len());
    println!("{name:<42} {all:>11.0} {:>8.2}x", all / theirs);
    let (name, each) = ("ours, dates alone, for one filter", 1e6 / dates);
    println!("{name:<42} {dates:>11.0}           {each:.2} µs a line\n");
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
        let rules = Rules::new(definition).unwrap_or_else(|e| panic!("{}: {e}", definition.name));
        let pattern = definition.datepattern.as_ref().map(|it| &*it.text);
        let dates = DateDetector::new(pattern, &utc()).expect("fail2ban's own date patterns");
        let patterns = rules.size();
        let journal = Journal::new(Arc::new(rules), dates);
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

/// Lines a second of `fail2ban-regex` with its sshd filter, by its own count.
fn rival(package: &Path, log: &Log, seconds: f64) -> f64 {
    let file = std::env::temp_dir().join(format!("portcullis-bench-{}.log", std::process::id()));
    let count = log.lines.len().min((seconds * 9_000.0) as usize);
    let write = || -> std::io::Result<()> {
        let mut out = std::io::BufWriter::new(std::fs::File::create(&file)?);
        log.lines[..count].iter().try_for_each(|line| writeln!(out, "{line}"))?;
        out.flush()
    };
    write().unwrap_or_else(|e| panic!("{}: {e}", file.display()));
    let output = Command::new("python3")
        .arg(package.join("usr/bin/fail2ban-regex"))
        // As fail2ban works: the first pattern that matches, and nothing kept for a report.
        .args(["--no-check-all", "--print-no-missed", "--print-no-ignored"])
        .arg(&file)
        .arg(package.join("etc/fail2ban/filter.d/sshd.conf"))
        .env("PYTHONPATH", package.join("usr/lib/python3/dist-packages"))
        .env("TZ", "UTC")
        .output()
        .expect("python3 runs fail2ban-regex");
    _ = std::fs::remove_file(&file);
    let text = String::from_utf8_lossy(&output.stdout);
    let took =
        text.split("[processed in ").nth(1).and_then(|it| it.split(' ').next()?.parse().ok());
    let took: f64 = took.unwrap_or_else(|| {
        panic!("fail2ban-regex: {text}{}", String::from_utf8_lossy(&output.stderr))
    });
    count as f64 / took
}

/// The generated log as a file has it: without the priority.
struct Log {
    lines: Vec<String>,
}

impl Log {
    fn new(lines: usize) -> Log {
        let library = Library::default();
        let names = library.names().expect("built-in filters have names");
        let load = |name: &String| library.load(name).expect("shipped filters load");
        let filters: Vec<Filter> = names.iter().map(load).collect();
        let log = Generator::new(&filters).log(lines, 6, 2);
        let text = |line: &[u8]| String::from_utf8_lossy(line).into_owned();
        let bare = |line: String| match line.split_once('>') {
            Some((priority, rest)) if priority.len() < 5 => rest.to_owned(),
            _ => line,
        };
        Log { lines: log.lines().map(text).map(bare).collect() }
    }

    fn bytes_a_line(&self) -> usize {
        self.lines.iter().map(String::len).sum::<usize>() / self.lines.len()
    }
}

/// Every filter of the package; files that others include are none.
fn definitions(package: &Path) -> Vec<Definition> {
    let folder = package.join("etc/fail2ban");
    let entries = std::fs::read_dir(folder.join("filter.d")).expect("the package has filter.d");
    let mut paths: Vec<PathBuf> = entries.map(|entry| entry.expect("readable").path()).collect();
    paths.sort();
    let is_filter = |path: &PathBuf| {
        let text = std::fs::read_to_string(path).unwrap_or_default();
        path.extension().is_some_and(|it| it == "conf")
            && text.contains("failregex")
            && !path.file_stem().is_some_and(|it| it.to_string_lossy().ends_with("common"))
    };
    paths.retain(is_filter);
    let load = |path: &PathBuf| {
        let filter = conf::filter(&path.to_string_lossy(), &folder, &[]);
        filter.unwrap_or_else(|e| panic!("{}: {e}", path.display()))
    };
    paths.iter().map(load).collect()
}

fn unpacked() -> Option<PathBuf> {
    let package = Path::new(env!("CARGO_MANIFEST_DIR")).join("target/fail2ban");
    package.join("usr/bin/fail2ban-regex").is_file().then_some(package)
}

fn utc() -> Zone {
    Zone::named("UTC").expect("everybody knows UTC")
}

/// Bytes of this process in memory.
fn resident() -> f64 {
    let text = std::fs::read_to_string("/proc/self/statm").unwrap_or_default();
    let pages = text.split(' ').nth(1).and_then(|pages| pages.parse::<f64>().ok());
    pages.unwrap_or_default() * 4096.0
}

fn cpu_seconds() -> f64 {
    let usage = getrusage(UsageWho::RUSAGE_THREAD).expect("Linux counts by thread");
    let seconds =
        |time: nix::sys::time::TimeVal| time.tv_sec() as f64 + time.tv_usec() as f64 / 1e6;
    seconds(usage.user_time()) + seconds(usage.system_time())
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
