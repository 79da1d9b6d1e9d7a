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
    let log: Vec<&[u8]> = log.lines().collect();
    a_byte(&mut worker, &log);
    let ordinary = a_byte(&mut worker, &log);
    for case in CASES {
        let is_long = case.size > 1_000;
        let count = if is_long { LONG_LINES } else { SHORT_LINES };
        let mut made = (0..).map(|index| case.line(generator, index));
        // Other lines for each: the second time a line is cheaper.
        let [together, apart] = [(), ()].map(|()| made.by_ref().take(count).collect::<Vec<_>>());
        let mean = a_byte(&mut worker, &together) / ordinary;
        // Short lines together: one is a matter of microseconds, and of whatever the machine does.
        let at_a_time = if is_long { 1 } else { count };
        let costs = apart.chunks(at_a_time).map(|lines| a_byte(&mut worker, lines) / ordinary);
        let worst = costs.fold(0.0, f64::max);
        println!("{:<44} mean {mean:>6.2} worst {worst:>6.2}", case.name);
        assert!(mean <= bounds.mean, "{}: a byte costs {mean:.1} ordinary ones", case.name);
        assert!(worst <= bounds.worst, "{}: a byte of one costs {worst:.1}", case.name);
    }
}

/// Nanoseconds of processor time for a byte of lines that come together, as the daemon takes them.
fn a_byte<L: AsRef<[u8]>>(worker: &mut Worker, lines: &[L]) -> f64 {
    let mut hits = Vec::new();
    let before = clock();
    for lines in lines.chunks(RECEIVED) {
        hits.clear();
        let lines = lines.iter().map(|line| (line.as_ref(), SPEAKER));
        worker.lines(lines, NOW, &mut hits, |_| ());
        worker.take_told();
    }
    let spent = clock() - before;
    let bytes: usize = lines.iter().map(|line| line.as_ref().len()).sum();
    spent.as_nanos() as f64 / bytes as f64
}

/// Of this thread alone: tests run beside each other.
fn clock() -> Duration {
    clock_gettime(ClockId::CLOCK_THREAD_CPUTIME_ID).expect("Linux has it").into()
}

const LONG_LINES: usize = 8;
const SHORT_LINES: usize = 1_000;
/// As many as the daemon takes from a socket at once.
const RECEIVED: usize = 64;
