//! Instructions that a line costs, counted by callgrind: a figure without noise, held against
//! `benches/instructions.toml`.
//!
//!     make instructions              fails when a line costs 10 % more than the file says
//!     make instructions UPDATE=1     writes the file anew
//!
//! Only calls of [`measured`] are counted, so neither start nor warm-up is: this program runs itself
//! under valgrind, once for each class of lines. These are generated, the same in every run.

#[expect(dead_code, reason = "the other benches use the rest")]
mod traffic;

use std::collections::BTreeMap;
use std::fs;
use std::hint::black_box;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode};

use portcullis::pipeline::Worker;
use serde::{Deserialize, Serialize};
use traffic::fail2ban::Fail2ban;
use traffic::{Generator, NOW, SPEAKER, rules, shipped};

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().collect();
    if let [_, flag, index, folder] = &arguments[..]
        && flag == UNDER_VALGRIND
    {
        count(index.parse().expect("a class"), Path::new(folder));
        return ExitCode::SUCCESS;
    }
    let folder =
        std::env::temp_dir().join(format!("portcullis-instructions-{}", std::process::id()));
    fs::create_dir_all(&folder).expect("there is room for temporary files");
    let judged = run(&folder).and_then(judge);
    _ = fs::remove_dir_all(&folder);
    match judged {
        Ok(()) => ExitCode::SUCCESS,
        Err(why) => {
            eprintln!("instructions: {why}");
            ExitCode::FAILURE
        }
    }
}

/// Whose lines, and how many of 100 are hits.
struct Class {
    name: &'static str,
    native: bool,
    fail2ban: bool,
    hits: u64,
    lines: usize,
}

const CLASSES: [Class; 5] = [
    Class { name: "shipped, mixed", native: true, fail2ban: false, hits: 6, lines: 10_000 },
    Class {
        name: "shipped, every line a hit",
        native: true,
        fail2ban: false,
        hits: 100,
        lines: 2_000,
    },
    Class { name: "fail2ban, mixed", native: false, fail2ban: true, hits: 6, lines: 5_000 },
    Class {
        name: "fail2ban, every line a hit",
        native: false,
        fail2ban: true,
        hits: 100,
        lines: 500,
    },
    Class { name: "both, mixed", native: true, fail2ban: true, hits: 6, lines: 5_000 },
];

/// The file: instructions a line, by class.
#[derive(Deserialize, Serialize)]
struct Bounds {
    instructions: BTreeMap<String, u64>,
}

/// Writes the logs, and has them counted.
fn run(folder: &Path) -> Result<BTreeMap<String, u64>, String> {
    // Without fail2ban's own test lines, which are not everywhere: the figures must be the same.
    let fail2ban =
        Fail2ban::without_cases().ok_or("fail2ban's package is not unpacked: make fail2ban")?;
    let filters = shipped();
    for (index, class) in CLASSES.iter().enumerate() {
        let native = if class.native { &filters[..] } else { &[] };
        let generator = Generator::of(&filters, native, class.fail2ban.then_some(&fail2ban));
        for (name, seed, lines) in [("warm-up", 1, 3 * class.lines), ("log", 2, class.lines)] {
            let log = generator.log(lines, class.hits, seed);
            let text = log.lines().collect::<Vec<_>>().join(&b'\n');
            fs::write(folder.join(format!("{index}.{name}")), text).map_err(|e| e.to_string())?;
        }
    }
    std::thread::scope(|scope| {
        let runs: Vec<_> =
            (0..CLASSES.len()).map(|index| scope.spawn(move || callgrind(index, folder))).collect();
        let counts = runs.into_iter().map(|run| run.join().expect("no run panics"));
        let names = CLASSES.iter().map(|class| class.name.to_owned());
        names.zip(counts).map(|(name, count)| Ok((name, count?))).collect()
    })
}

/// Instructions a line of one class.
fn callgrind(index: usize, folder: &Path) -> Result<u64, String> {
    let counts = folder.join(format!("{index}.counts"));
    let output = Command::new("valgrind")
        .args(["--tool=callgrind", "--collect-atstart=no"])
        .arg("--toggle-collect=*instructions::measured*")
        .arg(format!("--callgrind-out-file={}", counts.display()))
        .arg(std::env::current_exe().map_err(|e| e.to_string())?)
        .args([UNDER_VALGRIND, &index.to_string()])
        .arg(folder)
        .output()
        .map_err(|e| format!("valgrind: {e}; apt-get install valgrind"))?;
    if !output.status.success() {
        return Err(String::from_utf8_lossy(&output.stderr).into_owned());
    }
    let total = total(&counts).ok_or(format!("{} holds no sum", counts.display()))?;
    Ok(total / CLASSES[index].lines as u64)
}

/// Under valgrind: all is made ready and warm, and the log handed to [`measured`].
fn count(index: usize, folder: &Path) {
    let class = &CLASSES[index];
    let filters = if class.native { shipped() } else { Vec::new() };
    let fail2ban = class.fail2ban.then(|| Fail2ban::without_cases().expect("it was there"));
    let mut worker = Worker::new(rules(&filters, fail2ban.as_ref()));
    let read =
        |name: &str| fs::read(folder.join(format!("{index}.{name}"))).expect("the log was written");
    let (warm_up, log) = (read("warm-up"), read("log"));
    let lines = |log| <[u8]>::split(log, |byte| *byte == b'\n').collect::<Vec<_>>();
    let mut hits = Vec::new();
    for line in lines(&warm_up).into_iter().chain(lines(&log)) {
        worker.line(line, SPEAKER, NOW, &mut hits);
        hits.clear();
        worker.take_told();
    }
    let lines = lines(&log);
    hits.reserve(lines.len() * 8);
    measured(&mut worker, &lines, &mut hits);
    black_box((hits, worker.take_told()));
}

/// What callgrind counts; known to it by its name.
#[inline(never)]
fn measured(worker: &mut Worker, lines: &[&[u8]], hits: &mut Vec<portcullis::pipeline::Hit>) {
    for lines in lines.chunks(RECEIVED) {
        worker.lines(lines.iter().map(|line| (*line, SPEAKER)), NOW, hits, |_| ());
    }
}

/// So many lines come with one system call, as datagrams do at the daemon's.
const RECEIVED: usize = 64;

/// The sum in one of callgrind's files.
fn total(path: &PathBuf) -> Option<u64> {
    let text = fs::read_to_string(path).ok()?;
    let line = text.lines().find_map(|line| line.strip_prefix("summary: "))?;
    line.trim().parse().ok()
}

/// Prints what was counted, and compares it with the file, or writes it there.
fn judge(counted: BTreeMap<String, u64>) -> Result<(), String> {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("benches/instructions.toml");
    if std::env::var_os("PORTCULLIS_INSTRUCTIONS_UPDATE").is_some_and(|it| !it.is_empty()) {
        let text = toml::to_string(&Bounds { instructions: counted }).expect("a map of numbers");
        let text = format!("{HEAD}\n{text}");
        fs::write(&path, &text).map_err(|e| format!("{}: {e}", path.display()))?;
        print!("{text}");
        return Ok(());
    }
    let text = fs::read_to_string(&path).map_err(|e| format!("{}: {e}", path.display()))?;
    let bounds: Bounds = toml::from_str(&text).map_err(|e| e.to_string())?;
    let mut worse = Vec::new();
    println!("{:<32} {:>10} {:>10} {:>8}", "instructions a line", "now", "file", "");
    for (name, now) in counted {
        let file = *bounds.instructions.get(&name).ok_or(format!("the file lacks {name:?}"))?;
        let change = (now as f64 / file as f64 - 1.0) * 100.0;
        println!("{name:<32} {now:>10} {file:>10} {change:>+7.1} %");
        if change > MOST_PERCENT {
            worse.push(name);
        } else if change < -MOST_PERCENT {
            println!("    better: `make instructions UPDATE=1` keeps it so");
        }
    }
    if worse.is_empty() {
        return Ok(());
    }
    Err(format!(
        "more than {MOST_PERCENT} % above benches/instructions.toml: {}. If the price is worth it, \
         `make instructions UPDATE=1` and say why in the commit",
        worse.join("; ")
    ))
}

const UNDER_VALGRIND: &str = "--under-valgrind";
const MOST_PERCENT: f64 = 10.0;
const HEAD: &str = "# Instructions that Worker::line needs for a line of each log, once warm: `make instructions` fails\n\
                    # when one is 10 % above. Written by `make instructions UPDATE=1`.";
