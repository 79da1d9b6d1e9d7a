use std::collections::BTreeSet;
use std::sync::Mutex;

use tokio_util::sync::CancellationToken;

use super::*;
use crate::enforce::nftables::GateError;
use crate::enforce::{Drops, EnforceError, Mended, Tally};

/// A kernel that fails the first so many times.
#[derive(Clone, Debug, Default)]
struct Kernel {
    held: Arc<Mutex<BTreeSet<Target>>>,
    never: Arc<Mutex<Vec<Prefix>>>,
    failures: usize,
}

impl Kernel {
    fn fails(&mut self) -> Result<(), EnforceError> {
        if self.failures == 0 {
            return Ok(());
        }
        self.failures -= 1;
        Err(GateError::Gone { table: "t".to_owned() }.into())
    }
}

impl Backend for Kernel {
    fn apply(&mut self, wishes: &[Wish], _: Timestamp) -> Result<(), EnforceError> {
        self.fails()?;
        let mut held = self.held.lock().unwrap();
        for Wish { target, until } in wishes {
            match until {
                Some(_) => _ = held.insert(*target),
                None => _ = held.remove(target),
            }
        }
        Ok(())
    }

    fn sync(
        &mut self,
        bans: &[(Target, Until)],
        never: &[Prefix],
        _: Timestamp,
    ) -> Result<Mended, EnforceError> {
        self.fails()?;
        *self.held.lock().unwrap() = bans.iter().map(|(target, _)| *target).collect();
        never.clone_into(&mut self.never.lock().unwrap());
        Ok(Mended::default())
    }

    fn set_never(&mut self, never: &[Prefix]) -> Result<(), EnforceError> {
        self.fails()?;
        never.clone_into(&mut self.never.lock().unwrap());
        Ok(())
    }

    fn drops(&mut self) -> Result<Drops, EnforceError> {
        Ok(Drops::default())
    }

    fn look(&mut self) -> Result<Seen, EnforceError> {
        Ok(Seen::AsWritten)
    }

    fn remove(self: Box<Self>) -> Result<(), EnforceError> {
        self.held.lock().unwrap().clear();
        Ok(())
    }
}

fn prefix(text: &str) -> Prefix {
    text.parse().unwrap()
}

fn target(text: &str) -> Target {
    prefix(text).into()
}

#[test]
fn what_failed_is_made_good_before_the_end() {
    for failures in [0, 1] {
        let kernel = Kernel { failures, ..Kernel::default() };
        let metrics = Metrics::new(&[]);
        let fallen = CancellationToken::new();
        let (backend, guard) = (Box::new(kernel.clone()), fallen.clone().drop_guard());
        let (queue, thread) =
            start(backend, Arc::clone(&metrics), Readiness::default(), guard).unwrap();
        let bans: Vec<_> =
            ["192.0.2.1", "2001:db8::/64"].map(|it| (target(it), Until::Forever)).into();
        let impose = |&(target, until): &(Target, Until)| Wish { target, until: Some(until) };
        queue.send(bans.iter().map(impose).collect(), None);
        queue.finish(Snapshot { bans: bans.clone(), never: vec![prefix("::1")] });
        assert!(!fallen.is_cancelled());
        drop(queue);
        thread.join().unwrap();
        assert!(fallen.is_cancelled(), "an end is noticed");
        let expected: BTreeSet<_> = bans.iter().map(|(offender, _)| *offender).collect();
        assert_eq!(*kernel.held.lock().unwrap(), expected, "{failures} failures");
        assert_eq!(metrics.enforce_errors.get(), failures as u64);
        assert_eq!(metrics.enforce_queue.get(), 0);
        assert_eq!(kernel.never.lock().unwrap().len(), failures, "no snapshot without need");
    }
}

#[test]
fn a_kernel_that_goes_on_failing_is_asked_less_and_less_and_shown() {
    let kernel = Kernel { failures: 4, ..Kernel::default() };
    let (metrics, readiness) = (Metrics::new(&[]), Readiness::default());
    readiness.set(true);
    let guard = CancellationToken::new().drop_guard();
    let backend = Box::new(kernel.clone());
    let (queue, thread) = start(backend, Arc::clone(&metrics), readiness.clone(), guard).unwrap();
    let bans = vec![(target("192.0.2.1"), Until::Forever), (target("2001:db8::1"), Until::Forever)];
    let began = Instant::now();
    for &(target, until) in &bans {
        queue.send(vec![Wish { target, until: Some(until) }], None);
    }
    // What the decider does: a snapshot whenever one is asked for.
    let (mut asked, mut failed) = (0, false);
    while kernel.held.lock().unwrap().len() < 2 {
        assert!(began.elapsed() < Duration::from_secs(20));
        failed |= metrics.enforce_failing.get() == 1 && !readiness.is_ready();
        if queue.is_stale() {
            asked += 1;
            queue.send_snapshot(Snapshot { bans: bans.clone(), never: Vec::new() });
        }
        std::thread::yield_now();
    }
    assert!(began.elapsed() >= Duration::from_millis(100 + 200 + 400 + 800), "{began:?}");
    assert!(failed, "it was shown");
    assert_eq!((asked, metrics.enforce_errors.get()), (4, 4));
    queue.finish(Snapshot::default());
    drop(queue);
    thread.join().unwrap();
    assert_eq!(kernel.held.lock().unwrap().len(), 2, "nothing was left to do");
    assert!(metrics.enforce_failing.get() == 0 && readiness.is_ready());
}

#[test]
fn counters_that_begin_anew_are_counted_on() {
    let metrics = Metrics::new(&[]);
    let mut counted = Counted::default();
    let drops = |packets| Drops {
        v4: Tally { packets, bytes: packets * 40 },
        v6: Tally { packets: packets * 2, bytes: packets * 80 },
    };
    for (kernel, anew, expected) in
        [(10, false, 10), (12, false, 12), (5, false, 17), (9, true, 26), (9, false, 26)]
    {
        if anew {
            counted.begin_anew();
        }
        counted.count(drops(kernel), &metrics.gate);
        let shown = metrics.gate.each_ref().map(|(packets, bytes)| (packets.get(), bytes.get()));
        let expected = [(expected, expected * 40), (expected * 2, expected * 80)];
        assert_eq!(shown, expected, "after {kernel} in the kernel");
    }
}
