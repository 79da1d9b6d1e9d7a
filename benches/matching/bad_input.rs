//! Lines that are made to cost, beside ordinary ones.

use std::hint::black_box;
use std::time::Duration;

use nix::time::{ClockId, clock_gettime};
use portcullis::pipeline::{Hit, Worker};

use crate::measure::{self, seconds_of};
use crate::ours;
use crate::sets::Set;
use crate::traffic::hostile::CASES;
use crate::traffic::{NOW, SPEAKER, rules};

/// The worst line and the mean of each kind, with a worker that ordinary traffic has warmed up.
pub(crate) fn show(set: &Set) {
    let warm_up = set.generator.log(100_000, 6, 11);
    let log = set.generator.log(100_000, 6, 12);
    let mut worker = Worker::new(rules(&set.filters, set.fail2ban()));
    ours::count_hits(&mut worker, &warm_up);
    let mut hits = Vec::new();
    let clocks = clocks();
    let seconds = seconds_of(|| ours::whole(&mut worker, &mut hits, &log, 0..log.len()));
    let ordinary = seconds * 1e9 / log.size() as f64;
    println!(
        "{:<46} {:>6} {:>11} {:>9} {:>10}",
        format!("bad input, {}", set.name),
        "lines",
        "worst, µs",
        "ns/byte",
        "ordinary"
    );
    let mean = log.size() / log.len();
    println!(
        "  {:<44} {:>6} {:>11} {ordinary:>9.2} {:>10}",
        format!("ordinary, {mean} bytes"),
        log.len(),
        "",
        "1"
    );
    for case in &CASES {
        let (mut worst, mut spent, mut bytes, mut lines) = (0.0_f64, 0.0, 0, 0);
        while lines < MOST_LINES && bytes < MOST_BYTES && spent < MOST_NANOSECONDS {
            let line = case.line(&set.generator, lines);
            let cost = (nanoseconds(&mut worker, &line, &mut hits) - clocks).max(0.0);
            worst = worst.max(cost);
            spent += cost;
            bytes += line.len();
            lines += 1;
        }
        let mean = spent / bytes as f64;
        println!(
            "  {:<44} {lines:>6} {:>11.0} {mean:>9.2} {:>9.1}x",
            case.name,
            worst / 1e3,
            mean / ordinary
        );
    }
    println!();
}

/// What reading the clock twice costs.
fn clocks() -> f64 {
    let spent = (0..10_000).map(|_| {
        let before = clock();
        (clock() - before).as_nanos() as f64
    });
    measure::median(spent.collect())
}

/// Processor time of one line, and of two looks at the clock.
fn nanoseconds(worker: &mut Worker, line: &[u8], hits: &mut Vec<Hit>) -> f64 {
    hits.clear();
    let before = clock();
    worker.line(line, SPEAKER, NOW, hits);
    let after = clock();
    black_box((&mut *hits, worker.take_told()));
    (after - before).as_nanos() as f64
}

fn clock() -> Duration {
    clock_gettime(ClockId::CLOCK_THREAD_CPUTIME_ID).expect("Linux has it").into()
}

const MOST_LINES: u64 = 20_000;
const MOST_BYTES: usize = 6 << 20;
const MOST_NANOSECONDS: f64 = 4e9;
