//! Lines that are made to cost may not cost much more than ordinary ones of their length. Bounds are
//! ratios, so that they hold in any build and on any machine; `benches/matching` shows the figures.

use std::time::Duration;

use nix::time::{ClockId, clock_gettime};
use portcullis::filter::Filter;
use portcullis::pipeline::Worker;

use crate::traffic::fail2ban::Fail2ban;
use crate::traffic::hostile::CASES;
use crate::traffic::{Generator, Log, NOW, SPEAKER, rules, shipped};

#[test]
fn no_line_is_dear_for_the_shipped_filters() {
    let filters = shipped();
    let generator = Generator::new(&filters);
    hold(&filters, None, &generator, Bounds { mean: 20.0, worst: 30.0 });
}

#[test]
#[ignore = "needs Debian's fail2ban, unpacked: make test"]
fn no_line_is_dear_for_filters_of_fail2ban() {
    let fail2ban = Fail2ban::load().expect("fail2ban is unpacked: make fail2ban");
    let filters = shipped();
    let generator = Generator::of(&filters, &filters, Some(&fail2ban));
    hold(&filters, Some(&fail2ban), &generator, Bounds { mean: 10.0, worst: 30.0 });
}

/// Multiples of what a byte of an ordinary line costs: over all lines of a kind, and in any one line
/// (of the short ones: all together). The goal is 10 everywhere.
struct Bounds {
    mean: f64,
    worst: f64,
}

fn hold(filters: &[Filter], fail2ban: Option<&Fail2ban>, generator: &Generator, bounds: Bounds) {
    let mut worker = Worker::new(rules(filters, fail2ban));
    let log: Log = generator.log(4_000, 6, 52);
    cost(&mut worker, log.lines());
    let ordinary = cost(&mut worker, log.lines()) / log.size() as f64;
    for case in CASES {
        let lines = if case.size > 1_000 { LONG_LINES } else { SHORT_LINES };
        let lines: Vec<_> = (0..lines).map(|index| case.line(generator, index)).collect();
        let bytes: usize = lines.iter().map(Vec::len).sum();
        // Short lines together: one is a matter of microseconds, and of whatever the machine does.
        let chunk = if case.size > 1_000 { 1 } else { lines.len() };
        let costs: Vec<f64> = lines
            .chunks(chunk)
            .map(|lines| cost(&mut worker, lines.iter().map(Vec::as_slice)))
            .collect();
        let mean = costs.iter().sum::<f64>() / bytes as f64 / ordinary;
        let worst =
            costs.iter().copied().fold(0.0, f64::max) / (case.size * chunk) as f64 / ordinary;
        println!("{:<44} mean {mean:>6.2} worst {worst:>6.2}", case.name);
        assert!(mean <= bounds.mean, "{}: a byte costs {mean:.1} ordinary ones", case.name);
        assert!(worst <= bounds.worst, "{}: a byte of one costs {worst:.1}", case.name);
    }
}

/// Nanoseconds of processor time.
fn cost<'a>(worker: &mut Worker, lines: impl Iterator<Item = &'a [u8]>) -> f64 {
    let mut hits = Vec::new();
    let before = clock();
    for line in lines {
        hits.clear();
        worker.line(line, SPEAKER, NOW, &mut hits);
        worker.take_told();
    }
    (clock() - before).as_nanos() as f64
}

/// Of this thread alone: tests run beside each other.
fn clock() -> Duration {
    clock_gettime(ClockId::CLOCK_THREAD_CPUTIME_ID).expect("Linux has it").into()
}

const LONG_LINES: u64 = 8;
const SHORT_LINES: u64 = 1_000;
