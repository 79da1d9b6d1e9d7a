//! fail2ban-rs with all of its own filters on a log: prints filters, patterns, lines a second of
//! processor time, and hits.
//!
//! Its filters are its own, and simpler than fail2ban's. A daemon of it with a jail for each, all on
//! one log, asks each in turn, as here; it would also read dates, which is left out.

use std::hint::black_box;

use fail2ban_rs::detect::filters::FILTERS;
use fail2ban_rs::detect::matcher::JailMatcher;

fn main() {
    let path = std::env::args().nth(1).expect("the log");
    let text = std::fs::read_to_string(path).expect("the log can be read");
    let lines: Vec<&str> = text.lines().collect();
    let jails: Vec<JailMatcher> = FILTERS
        .iter()
        .map(|filter| {
            let patterns: Vec<String> = filter.patterns.iter().map(|it| it.to_string()).collect();
            JailMatcher::new(&patterns).expect("its own patterns")
        })
        .collect();
    let patterns: usize = jails.iter().map(JailMatcher::pattern_count).sum();
    let pass = |lines: &[&str]| {
        let hit = |line: &&&str| {
            jails.iter().filter(|it| black_box(it.try_match(line)).is_some()).count() > 0
        };
        lines.iter().filter(hit).count()
    };
    let (warm_up, measured) = lines.split_at(lines.len() / 3);
    pass(warm_up);
    let before = seconds();
    let hits = pass(measured);
    let rate = measured.len() as f64 / (seconds() - before);
    println!("{} {patterns} {rate} {}", jails.len(), hits * 100 / measured.len());
}

fn seconds() -> f64 {
    let mut time = libc::timespec { tv_sec: 0, tv_nsec: 0 };
    // SAFETY: the clock writes into a place of our own.
    unsafe { libc::clock_gettime(libc::CLOCK_THREAD_CPUTIME_ID, &mut time) };
    time.tv_sec as f64 + time.tv_nsec as f64 / 1e9
}
