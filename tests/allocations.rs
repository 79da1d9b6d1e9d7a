//! What a line allocates once all is warm: nothing, or a little for a hit. A program of its own,
//! because an allocator that counts is for all of a program.

use std::alloc::{GlobalAlloc, Layout, System};
use std::cell::Cell;

use portcullis::filter::Filter;
use portcullis::pipeline::Worker;

#[path = "../benches/traffic/mod.rs"]
#[expect(dead_code, reason = "the benches use the rest")]
mod traffic;

use traffic::fail2ban::Fail2ban;
use traffic::{Generator, Log, NOW, SPEAKER, rules, shipped};

#[test]
fn shipped_filters_allocate_nothing_hit_or_not() {
    let filters = shipped();
    let generator = Generator::new(&filters);
    let measured = measure(&filters, None, &generator);
    assert!(measured.other.lines > 2_000 && measured.hit.lines > 2_000);
    assert_eq!((measured.other.most, measured.hit.most), (0, 0));
}

#[test]
#[ignore = "needs Debian's fail2ban, unpacked: make test"]
fn filters_of_fail2ban_allocate_nothing_but_a_little_for_a_hit() {
    let fail2ban = Fail2ban::load().expect("fail2ban is unpacked: make fail2ban");
    let filters = shipped();
    let generator = Generator::of(&filters, &[], Some(&fail2ban));
    let Measured { other, hit } = measure(&[], Some(&fail2ban), &generator);
    assert!(other.lines > 2_000 && hit.lines > 2_000);
    assert_eq!(other.most, 0, "a line without a hit: {other:?}");
    assert!(hit.most <= MOST_FOR_A_HIT, "a hit: {hit:?}");
}

struct Measured {
    /// Lines that nothing takes.
    other: Class,
    /// Hits, and lines of fail2ban's sessions.
    hit: Class,
}

#[derive(Debug, Default)]
struct Class {
    lines: usize,
    most: u64,
    sum: u64,
}

/// Each line of a log, the second time.
fn measure(filters: &[Filter], fail2ban: Option<&Fail2ban>, generator: &Generator) -> Measured {
    let mut worker = Worker::new(rules(filters, fail2ban));
    let logs = [generator.log(3_000, 6, 31), generator.log(3_000, 100, 32)];
    for log in &logs {
        run(&mut worker, log, &mut |_, _| ());
    }
    let mut measured = Measured { other: Class::default(), hit: Class::default() };
    for log in &logs {
        run(&mut worker, log, &mut |is_hit, count| {
            let class = if is_hit { &mut measured.hit } else { &mut measured.other };
            class.lines += 1;
            class.sum += count;
            class.most = class.most.max(count);
        });
    }
    measured
}

fn run(worker: &mut Worker, log: &Log, each: &mut dyn FnMut(bool, u64)) {
    let mut hits = Vec::with_capacity(256);
    for line in log.lines() {
        hits.clear();
        let count = count(|| _ = worker.line(line, SPEAKER, NOW, &mut hits));
        // Taken every time, so that a line of a session begins its list anew: that counts as well.
        let is_told = !worker.take_told().is_empty();
        each(is_told || !hits.is_empty(), count);
    }
}

/// How many allocations `work` makes on this thread.
fn count(work: impl FnOnce()) -> u64 {
    let before = COUNT.get();
    work();
    COUNT.get() - before
}

#[test]
fn lines_that_come_together_allocate_nothing_without_a_hit() {
    let filters = shipped();
    let mut worker = Worker::new(rules(&filters, None));
    let log = Generator::new(&filters).log(6_000, 0, 33);
    let lines: Vec<_> = log.lines().map(|line| (line, SPEAKER)).collect();
    let mut hits = Vec::with_capacity(256);
    let mut all = |worker: &mut Worker| {
        for lines in lines.chunks(64) {
            worker.lines(lines.iter().copied(), NOW, &mut hits, |_| ());
        }
        assert!(hits.is_empty(), "a log without hits");
    };
    (0..2).for_each(|_| all(&mut worker));
    assert_eq!(count(|| all(&mut worker)), 0);
}

#[test]
fn the_counter_counts() {
    assert_eq!(count(|| drop(std::hint::black_box(Box::new(7)))), 1);
    assert_eq!(count(|| ()), 0);
}

/// What a session keeps of its line: groups that are many or long, and the list of such lines; else
/// values that are put together of several, and a text that ends before its line does.
const MOST_FOR_A_HIT: u64 = 4;

struct Counting;

thread_local! {
    static COUNT: Cell<u64> = const { Cell::new(0) };
}

#[global_allocator]
static ALLOCATOR: Counting = Counting;

#[expect(unsafe_code, reason = "GlobalAlloc is an unsafe trait")]
// SAFETY: hands everything on to the system's allocator; the counter itself needs no memory.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        COUNT.set(COUNT.get() + 1);
        // SAFETY: the caller's promise, handed on.
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, memory: *mut u8, layout: Layout) {
        // SAFETY: the caller's promise, handed on.
        unsafe { System.dealloc(memory, layout) }
    }

    unsafe fn realloc(&self, memory: *mut u8, layout: Layout, size: usize) -> *mut u8 {
        COUNT.set(COUNT.get() + 1);
        // SAFETY: the caller's promise, handed on.
        unsafe { System.realloc(memory, layout, size) }
    }
}
