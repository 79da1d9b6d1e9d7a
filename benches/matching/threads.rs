//! Two workers beside one.

use std::sync::{Arc, Barrier};
use std::thread;
use std::time::Instant;

use portcullis::pipeline::Worker;

use crate::sets::Set;
use crate::traffic::{Log, rules};
use crate::{measure, ours};

/// Lines a second of one worker alone and of two at once, by the clock and by processor time.
///
/// On a machine that others use as well the clock tells of them; by processor time, each of two
/// workers must be as fast as one alone, unless they get in each other's way.
pub(crate) fn show(set: &Set) {
    let log = set.generator.log(200_000, 6, 21);
    let rules = rules(&set.filters, set.fail2ban());
    let mut workers = [Worker::new(Arc::clone(&rules)), Worker::new(rules)];
    for worker in &mut workers {
        ours::count_hits(worker, &set.generator.log(100_000, 6, 20));
        ours::count_hits(worker, &log);
    }
    let mut rates = [[Vec::new(), Vec::new()], [Vec::new(), Vec::new()]];
    for _ in 0..ROUNDS {
        for (count, [clock, processor]) in [1, 2].into_iter().zip(&mut rates) {
            let (by_clock, by_processor) = run(&mut workers[..count], &log);
            clock.push(by_clock);
            processor.push(by_processor);
        }
    }
    println!("{:<46} {:>11} {:>11} {:>8}", format!("two workers, {}", set.name), "one", "two", "");
    let [[clock_1, processor_1], [clock_2, processor_2]] = rates;
    for (name, one, two) in [
        ("lines/s of processor time", processor_1, processor_2),
        ("lines/s by the clock", clock_1, clock_2),
    ] {
        let (one, two) = (measure::median(one), measure::median(two));
        println!("  {name:<44} {one:>11.0} {two:>11.0} {:>7.2}x", two / one);
    }
    println!();
}

/// Lines a second of all workers together: by the clock, by each one's own processor time.
fn run(workers: &mut [Worker], log: &Log) -> (f64, f64) {
    let barrier = Barrier::new(workers.len());
    let count = workers.len() * log.len();
    let started = Instant::now();
    let rate: f64 = thread::scope(|scope| {
        let threads = workers.iter_mut().map(|worker| {
            scope.spawn(|| {
                let mut hits = Vec::new();
                barrier.wait();
                log.len() as f64
                    / measure::seconds_of(|| ours::whole(worker, &mut hits, log, 0..log.len()))
            })
        });
        let threads: Vec<_> = threads.collect();
        threads.into_iter().map(|it| it.join().expect("a worker does not panic")).sum()
    });
    (count as f64 / started.elapsed().as_secs_f64(), rate)
}

const ROUNDS: usize = 5;
