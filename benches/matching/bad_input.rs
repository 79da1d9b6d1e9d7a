//! Lines that are made to cost, beside ordinary ones.

use std::hint::black_box;
use std::time::Duration;

use nix::time::{ClockId, clock_gettime};
use portcullis::pipeline::Worker;

use crate::measure::{self, seconds_of};
use crate::ours::{self, RECEIVED};
use crate::sets::Set;
use crate::traffic::hostile::CASES;
use crate::traffic::{NOW, SPEAKER, rules};

/// The worst line alone, and the mean of lines that come together, as ordinary ones do: of each kind, with
/// a worker that ordinary traffic has warmed up.
pub(crate) fn show(set: &Set) {
    let warm_up = set.generator.log(100_000, 6, 11);
    let log = set.generator.log(100_000, 6, 12);
    let mut worker = Worker::new(rules(&set.filters, set.fail2ban()));
    ours::count_hits(&mut worker, &warm_up);
    let mut hits = Vec::new();
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
        // Other lines alone than those that came together: the second time a line is cheaper.
        let mut made = (0..).map(|index| case.line(&set.generator, index));
        let together = Spent::on(&mut worker, &mut made, RECEIVED);
        let alone = Spent::on(&mut worker, &mut made, 1);
        let mean = together.nanoseconds / together.bytes as f64;
        println!(
            "  {:<44} {:>6} {:>11.0} {mean:>9.2} {:>9.1}x",
            case.name,
            together.lines + alone.lines,
            alone.worst / 1e3,
            mean / ordinary
        );
    }
    println!();
}

/// Processor time of lines.
#[derive(Default)]
struct Spent {
    lines: usize,
    bytes: usize,
    nanoseconds: f64,
    /// Of the dearest group.
    worst: f64,
}

impl Spent {
    /// As many lines as there is time for, so many at a time.
    fn on(
        worker: &mut Worker,
        made: &mut impl Iterator<Item = Vec<u8>>,
        at_a_time: usize,
    ) -> Spent {
        let clocks = clocks();
        let (mut spent, mut hits) = (Spent::default(), Vec::new());
        while spent.lines < MOST_LINES
            && spent.bytes < MOST_BYTES
            && spent.nanoseconds < MOST_NANOSECONDS
        {
            let lines: Vec<_> = made.take(at_a_time).collect();
            hits.clear();
            let before = clock();
            let group = lines.iter().map(|line| (&**line, SPEAKER));
            worker.lines(group, NOW, &mut hits, |message| {
                black_box(message);
            });
            let after = clock();
            black_box((&mut hits, worker.take_told()));
            let cost = ((after - before).as_nanos() as f64 - clocks).max(0.0);
            spent.lines += lines.len();
            spent.bytes += lines.iter().map(Vec::len).sum::<usize>();
            spent.nanoseconds += cost;
            spent.worst = spent.worst.max(cost);
        }
        spent
    }
}

/// What reading the clock twice costs.
fn clocks() -> f64 {
    let spent = (0..10_000).map(|_| {
        let before = clock();
        (clock() - before).as_nanos() as f64
    });
    measure::median(spent.collect())
}

fn clock() -> Duration {
    clock_gettime(ClockId::CLOCK_THREAD_CPUTIME_ID).expect("Linux has it").into()
}

const MOST_LINES: usize = 10_000;
const MOST_BYTES: usize = 6 << 20;
const MOST_NANOSECONDS: f64 = 2e9;
