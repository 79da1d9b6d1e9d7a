//! What one core spends on a line: header, automaton, the whole worker; beside rivals that do the
//! same job on the same lines in the same run.
//!
//!     make bench                                           all tables, with all rivals
//!     cargo bench --bench matching -- [TABLE]...           without Vectorscan: see `TABLES`
//!
//! Three sets of filters: all that ship, all of Debian's fail2ban, both. Each has a log of its own,
//! generated, of which 6 % are hits; all memory is warmed up on another log than the one that is
//! measured. The rivals of matching alone run the same over-approximated patterns on the same bytes:
//! Vectorscan, reporting each pattern once or at every end, and `regex::RegexSet`. The rivals of
//! whole lines are what one would build from crates, `fail2ban-regex` with its sshd filter alone, and
//! fail2ban's server with its sshd jail alone.
//!
//! The machine is shared and noisy: contestants alternate, medians of the thread's own CPU time are
//! shown, and the ratio is what to trust. PORTCULLIS_BENCH_LINES and PORTCULLIS_BENCH_ROUNDS change
//! the size.

mod bad_input;
mod crates;
mod growth;
#[path = "../measure/mod.rs"]
#[expect(dead_code, reason = "the other benches use the rest")]
mod measure;
mod ours;
mod patterns;
mod race;
mod sets;
mod tables;
mod threads;
#[path = "../traffic/mod.rs"]
mod traffic;
#[cfg(feature = "rivals")]
mod vectorscan;

use std::collections::BTreeSet;

use sets::Set;

fn main() {
    let asked: BTreeSet<String> =
        std::env::args().skip(1).filter(|it| !it.starts_with('-')).collect();
    let known: Vec<&str> = TABLES.iter().map(|(name, _)| *name).collect();
    assert!(asked.iter().all(|it| known.contains(&it.as_str())), "the tables are {known:?}");
    measure::head();
    #[cfg(not(feature = "rivals"))]
    println!("rivals    without Vectorscan: `make bench` installs and runs it");
    let sets = Set::all();
    println!("measured  medians of {} rounds, CPU time of one thread", tables::rounds());
    println!();
    for (name, table) in TABLES {
        if asked.is_empty() || asked.contains(*name) {
            table(&sets);
        }
    }
}

/// A part of the output.
type Table = fn(&[Set]);

const TABLES: &[(&str, Table)] = &[
    ("lines", tables::lines),
    ("fail2ban", tables::beside_fail2ban),
    ("ready", tables::ready),
    ("growth", tables::growth),
    ("bad-input", |sets| sets.iter().for_each(bad_input::show)),
    ("threads", |sets| sets.iter().for_each(threads::show)),
];
