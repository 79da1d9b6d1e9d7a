//! What the exact check of a candidate costs, captures included: ours beside PCRE2 with its
//! just-in-time compiler, the regex crate and fancy-regex, on the same patterns and lines.
//!
//!     make fail2ban && cargo bench --bench verify --features pcre2
//!
//! Two sets: every line of fail2ban's own cases that its filter takes (`prefregex`, then each
//! `failregex` in order on what that left, until one matches), and every hit sample of the filters
//! that ship. A rival is compared on the candidates whose patterns it can read at all. Without the
//! feature `pcre2` (it needs libpcre2-dev) that rival is left out. Medians of CPU time of one thread;
//! PORTCULLIS_BENCH_ROUNDS changes how many rounds.

#[cfg(feature = "pcre2")]
mod native;
#[cfg(feature = "pcre2")]
#[expect(unsafe_code, reason = "a foreign library, for the bench alone")]
mod pcre2;
mod sets;

use std::hint::black_box;

use sets::Candidate;

/// An engine with a pattern compiled in it: leaves where `content` matched, or the end of the match.
type Engine<'p> = Box<dyn FnMut(&[u8]) -> Option<(usize, usize)> + 'p>;
/// Compiles a pattern, if the engine can.
type Compile = fn(&sets::Pattern) -> Option<Engine<'_>>;

fn main() {
    let rounds: usize =
        std::env::var("PORTCULLIS_BENCH_ROUNDS").map_or(9, |it| it.parse().expect("a number"));
    for (name, set) in
        [("fail2ban's cases", sets::foreign()), ("samples that ship", sets::native())]
    {
        if set.candidates.is_empty() {
            println!("{name}: not there (make fail2ban)");
            continue;
        }
        println!("{name}: {} candidates, {} patterns", set.candidates.len(), set.patterns.len());
        println!(
            "{:<28}{:>11}{:>14}{:>14}{:>9}",
            "", "candidates", "ns each", "ours, same", "ratio"
        );
        let ours = Runner::new(&set, sets::ours);
        for (name, compile) in sets::RIVALS {
            let theirs = Runner::new(&set, *compile);
            race(name, &set.candidates, ours.clone_of(&set, sets::ours), theirs, rounds);
        }
        if std::env::var_os("PORTCULLIS_BENCH_EACH").is_some() {
            each(&set);
        }
    }
}

/// All patterns of a set in one engine.
struct Runner<'p> {
    engines: Vec<Option<Engine<'p>>>,
}

impl<'p> Runner<'p> {
    fn new(set: &'p sets::Set, compile: Compile) -> Runner<'p> {
        Runner { engines: set.patterns.iter().map(compile).collect() }
    }

    fn clone_of(&self, set: &'p sets::Set, compile: Compile) -> Runner<'p> {
        Runner::new(set, compile)
    }

    /// Can all patterns of the candidate be run, and do they agree that it is one?
    fn knows(&mut self, candidate: &Candidate) -> bool {
        let all = candidate.prefix.iter().chain(&candidate.fails);
        let mut all = all.copied();
        all.all(|it| self.engines[it].is_some()) && self.check(candidate) == candidate.found
    }

    /// The pattern that matches.
    #[inline]
    fn check(&mut self, candidate: &Candidate) -> Option<usize> {
        let mut text = &candidate.text[..];
        let mut joined;
        if let Some(prefix) = candidate.prefix {
            let (start, end) = self.engines[prefix].as_mut()?(text)?;
            if end > start {
                joined = [0; 4096];
                let length = (end - start).min(4095);
                joined[..length].copy_from_slice(&text[start..start + length]);
                joined[length] = b'\n';
                return self.first(candidate, &joined[..=length]);
            }
        }
        text = black_box(text);
        self.first(candidate, text)
    }

    #[inline]
    fn first(&mut self, candidate: &Candidate, text: &[u8]) -> Option<usize> {
        candidate.fails.iter().copied().find(|it| {
            self.engines[*it].as_mut().is_some_and(|engine| black_box(engine(text)).is_some())
        })
    }
}

fn race(name: &str, all: &[Candidate], mut ours: Runner, mut theirs: Runner, rounds: usize) {
    let both: Vec<&Candidate> =
        all.iter().filter(|it| theirs.knows(it) && ours.knows(it)).collect();
    if both.is_empty() {
        return;
    }
    let mut times = [Vec::new(), Vec::new()];
    for _ in 0..rounds {
        times[0].push(time(&mut theirs, &both));
        times[1].push(time(&mut ours, &both));
    }
    let [theirs, ours] = times.map(|mut it| {
        it.sort_by(f64::total_cmp);
        it[it.len() / 2]
    });
    let ratio = theirs / ours;
    println!("{name:<28}{:>11}{theirs:>14.0}{ours:>14.0}{ratio:>8.2}x", both.len());
}

/// Nanoseconds a candidate.
fn time(runner: &mut Runner, candidates: &[&Candidate]) -> f64 {
    let started = cpu_nanoseconds();
    for _ in 0..REPEATS {
        for candidate in candidates {
            black_box(runner.check(candidate));
        }
    }
    (cpu_nanoseconds() - started) / (candidates.len() * REPEATS) as f64
}

/// Where our time goes: the dearest candidates, to find what to do better.
fn each(set: &sets::Set) {
    let mut ours = Runner::new(set, sets::ours);
    let mut rivals: Vec<Runner> =
        sets::RIVALS.iter().take(1).map(|(_, compile)| Runner::new(set, *compile)).collect();
    let mut rows = Vec::new();
    for candidate in &set.candidates {
        let measure = |runner: &mut Runner| {
            let times: Vec<f64> = (0..5).map(|_| time(runner, &[candidate; 10])).collect();
            times.into_iter().fold(f64::MAX, f64::min)
        };
        let mine = measure(&mut ours);
        let theirs = rivals.first_mut().map_or(0.0, measure);
        rows.push((mine, theirs, candidate));
    }
    rows.sort_by(|a, b| (b.0 - b.1).total_cmp(&(a.0 - a.1)));
    for (mine, theirs, candidate) in rows.iter().take(40) {
        let found = candidate.found.map(|it| &set.patterns[it].text);
        println!(
            "{mine:>7.0} {theirs:>7.0} {} {:?}\n    {:?}",
            candidate.filter,
            String::from_utf8_lossy(&candidate.text),
            found
        );
    }
}

fn cpu_nanoseconds() -> f64 {
    let time = nix::time::clock_gettime(nix::time::ClockId::CLOCK_THREAD_CPUTIME_ID)
        .expect("Linux has a clock a thread");
    time.tv_sec() as f64 * 1e9 + time.tv_nsec() as f64
}

const REPEATS: usize = 3;
