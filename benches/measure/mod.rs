//! What all benches measure with: CPU time, memory, medians, and a head that says where and when.

pub(crate) mod fail2ban_jail;
pub(crate) mod fail2ban_regex;
pub(crate) mod fail2ban_rs;

use nix::time::{ClockId, clock_gettime};

/// Processor, cores, kernel and day: the head of every bench's output.
pub(crate) fn head() {
    println!("machine   {}", machine());
    println!("date      {}", jiff::Zoned::now().date());
}

/// Seconds of processor time that this thread has used. (getrusage(2) counts in ticks here.)
pub(crate) fn cpu_seconds() -> f64 {
    let time = clock_gettime(ClockId::CLOCK_THREAD_CPUTIME_ID).expect("Linux has it");
    std::time::Duration::from(time).as_secs_f64()
}

/// Processor time that `work` needs.
pub(crate) fn seconds_of(work: impl FnOnce()) -> f64 {
    let before = cpu_seconds();
    work();
    cpu_seconds() - before
}

/// Bytes of this process in memory.
pub(crate) fn resident() -> f64 {
    let text = std::fs::read_to_string("/proc/self/statm").unwrap_or_default();
    let pages = text.split(' ').nth(1).and_then(|pages| pages.parse::<f64>().ok());
    pages.unwrap_or_default() * 4096.0
}

/// Bytes that the main thread has allocated and not freed; pages in memory say little once much was
/// freed before.
pub(crate) fn allocated() -> f64 {
    #[expect(unsafe_code, reason = "a C interface")]
    // SAFETY: mallinfo2(3) has no conditions.
    let info = unsafe { libc::mallinfo2() };
    (info.uordblks + info.hblkhd) as f64
}

/// The median of what was measured; the runs are few and the machine is shared.
pub(crate) fn median(mut values: Vec<f64>) -> f64 {
    values.sort_by(f64::total_cmp);
    values[values.len() / 2]
}

/// A number from the environment.
pub(crate) fn setting(name: &str, default: usize) -> usize {
    match std::env::var(name) {
        Ok(text) => text.parse().unwrap_or_else(|_| panic!("{name} is a number, not {text:?}")),
        Err(_) => default,
    }
}

fn machine() -> String {
    let read = |path| std::fs::read_to_string(path).unwrap_or_default();
    let processor = read("/proc/cpuinfo");
    let processor = processor
        .lines()
        .find_map(|line| line.strip_prefix("model name"))
        .map_or("unknown processor", |name| name.trim_start_matches([' ', '\t', ':']));
    let cores = std::thread::available_parallelism().map_or(1, usize::from);
    format!("{processor}, {cores} cores, Linux {}", read("/proc/sys/kernel/osrelease").trim())
}
