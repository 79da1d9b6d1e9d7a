//! The thread that talks to the kernel, and the decider's end of the queue to it.
//!
//! The queue is bounded. When it is full nothing blocks and nothing is lost: the queue is marked
//! stale, and the decider sends one snapshot of everything later. The same snapshot makes good what
//! the kernel refused, after a pause that grows, and what others did to the table.

mod mend;

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{Receiver, RecvTimeoutError, SyncSender, TrySendError, sync_channel};
use std::thread::{JoinHandle, Thread};
use std::time::{Duration, Instant};

use tokio_util::sync::DropGuard;

use crate::enforce::{Backend, Seen, Wish};
use crate::metrics::{Metrics, Readiness};
use crate::model::{Prefix, Target, Timestamp, Until};
use mend::{Counted, Mending};

/// The decider's end.
#[derive(Debug)]
pub(super) struct GateQueue {
    work: SyncSender<Work>,
    state: Arc<State>,
    metrics: Arc<Metrics>,
}

#[derive(Debug, Default)]
struct State {
    /// The kernel is not as the ledger says; a snapshot is wanted.
    stale: AtomicBool,
    /// Take everything away at the end.
    flush: AtomicBool,
}

/// Everything that the kernel shall hold.
#[derive(Debug, Default)]
pub(super) struct Snapshot {
    pub(super) bans: Vec<(Target, Until)>,
    pub(super) never: Vec<Prefix>,
}

/// Lines that led to changes.
#[derive(Debug)]
pub(super) struct Cause {
    /// When they arrived.
    pub(super) arrived: Instant,
    /// Who has something to do that can wait until the kernel knows. Woken before, he would want a core
    /// just when this thread does.
    pub(super) then: Option<Thread>,
}

#[derive(Debug)]
enum Work {
    /// With the lines that led to it, if any did.
    Changes(Vec<Wish>, Option<Cause>),
    Snapshot(Snapshot),
    Never(Vec<Prefix>),
    /// All that came before is done, well or badly.
    Tell(SyncSender<()>),
    /// The last of all: done if something before it was lost or failed.
    Last(Snapshot),
}

/// Starts the thread; `standing` goes when it ends.
pub(super) fn start(
    backend: Box<dyn Backend>,
    metrics: Arc<Metrics>,
    readiness: Readiness,
    standing: DropGuard,
) -> std::io::Result<(GateQueue, JoinHandle<()>)> {
    let (work, queue) = sync_channel(QUEUE);
    let state = Arc::new(State::default());
    let thread = Gate {
        backend,
        state: Arc::clone(&state),
        metrics: Arc::clone(&metrics),
        mending: Mending::new(Arc::clone(&metrics), readiness),
        counted: Counted::default(),
    };
    let thread = std::thread::Builder::new().name("enforce".into()).spawn(move || {
        let _standing = standing;
        thread.run(&queue);
    })?;
    Ok((GateQueue { work, state, metrics }, thread))
}

impl GateQueue {
    /// Hands over changes, in order. Whether there were any and there was room: only then somebody is
    /// woken when they are made.
    pub(super) fn send(&self, wishes: Vec<Wish>, cause: Option<Cause>) -> bool {
        !wishes.is_empty() && self.queue(Work::Changes(wishes, cause))
    }

    /// Hands over the never-ban list.
    pub(super) fn send_never(&self, never: Vec<Prefix>) {
        self.queue(Work::Never(never));
    }

    /// Hands over everything. Answers a call of [`is_stale`](GateQueue::is_stale).
    pub(super) fn send_snapshot(&self, snapshot: Snapshot) {
        self.queue(Work::Snapshot(snapshot));
    }

    /// Waits until all that was handed over has reached the kernel, or was refused: whether it did in
    /// time.
    pub(super) fn wait(&self, limit: Duration) -> bool {
        let (done, told) = sync_channel(1);
        self.metrics.enforce_queue.change(1);
        _ = self.work.send(Work::Tell(done)); // the thread is gone only when it has panicked
        told.recv_timeout(limit).is_ok()
    }

    /// Whether a snapshot is wanted; asked once, the answer is forgotten.
    pub(super) fn is_stale(&self) -> bool {
        self.state.stale.swap(false, Ordering::Relaxed)
    }

    /// Hands over everything for the last time: nobody asks [`is_stale`](GateQueue::is_stale) any
    /// more, and what the kernel does not hold now is forgotten with this process. Waits for room.
    pub(super) fn finish(&self, snapshot: Snapshot) {
        self.metrics.enforce_queue.change(1);
        _ = self.work.send(Work::Last(snapshot)); // the thread is gone only when it has panicked
    }

    /// At the end of the queue, take everything out of the kernel.
    pub(super) fn flush_at_end(&self) {
        self.state.flush.store(true, Ordering::Relaxed);
    }

    fn queue(&self, work: Work) -> bool {
        self.metrics.enforce_queue.change(1);
        match self.work.try_send(work) {
            Ok(()) => return true,
            Err(TrySendError::Full(_)) => {
                self.metrics.enforce_queue.change(-1);
                self.metrics.enforce_stale.add(1);
                self.state.stale.store(true, Ordering::Relaxed);
            }
            // The thread is gone only when the daemon stops, or has panicked and said so.
            Err(TrySendError::Disconnected(_)) => {}
        }
        false
    }
}

struct Gate {
    backend: Box<dyn Backend>,
    state: Arc<State>,
    metrics: Arc<Metrics>,
    mending: Mending,
    counted: Counted,
}

impl Gate {
    fn run(mut self, queue: &Receiver<Work>) {
        let mut looked = Instant::now();
        loop {
            match queue.recv_timeout(LOOK_EVERY.min(self.mending.pause())) {
                Ok(work) => self.take(work, queue),
                Err(RecvTimeoutError::Timeout) => {}
                Err(RecvTimeoutError::Disconnected) => break,
            }
            if self.mending.is_due() {
                self.state.stale.store(true, Ordering::Relaxed);
            }
            if looked.elapsed() >= LOOK_EVERY {
                self.look();
                looked = Instant::now();
            }
        }
        self.look();
        if self.state.flush.load(Ordering::Relaxed)
            && let Err(error) = self.backend.remove()
        {
            tracing::error!("cannot take away what enforced the bans: {error}");
        }
    }

    /// Does `work`, and with it whatever changes wait behind it: one transaction for many.
    fn take(&mut self, work: Work, queue: &Receiver<Work>) {
        let mut next = Some(work);
        while let Some(work) = next.take() {
            self.done_one();
            match work {
                // Who asked may have lost patience.
                Work::Tell(done) => _ = done.send(()),
                Work::Last(_) if !self.is_behind() => {}
                Work::Snapshot(snapshot) | Work::Last(snapshot) => self.sync(&snapshot),
                // A snapshot will bring it, when the kernel is asked again.
                Work::Never(_) if self.mending.is_waiting() => {}
                Work::Never(never) => {
                    if let Err(error) = self.backend.set_never(&never) {
                        self.mending.failed(&error);
                    }
                }
                Work::Changes(changes, cause) => next = self.apply(changes, cause, queue),
            }
        }
    }

    /// Makes the changes, and those behind them; returns the first other work behind them.
    fn apply(
        &mut self,
        mut changes: Vec<Wish>,
        cause: Option<Cause>,
        queue: &Receiver<Work>,
    ) -> Option<Work> {
        let mut next = None;
        let mut causes = Vec::from_iter(cause);
        while changes.len() < MOST_TOGETHER {
            match queue.try_recv() {
                Ok(Work::Changes(more, cause)) => {
                    self.done_one();
                    changes.extend(more);
                    causes.extend(cause);
                }
                Ok(other) => {
                    next = Some(other);
                    break;
                }
                Err(_) => break,
            }
        }
        self.make(&changes, &causes);
        // All are one and the same.
        if let Some(then) = causes.iter().find_map(|cause| cause.then.as_ref()) {
            then.unpark();
        }
        next
    }

    fn make(&mut self, changes: &[Wish], causes: &[Cause]) {
        // A snapshot will bring them, when the kernel is asked again.
        if self.mending.is_waiting() {
            return;
        }
        match self.backend.apply(changes, Timestamp::now()) {
            Ok(()) => {
                for cause in causes {
                    self.metrics.enforcement.record(cause.arrived.elapsed().as_secs_f64());
                }
            }
            Err(error) => self.mending.failed(&error),
        }
    }

    fn sync(&mut self, snapshot: &Snapshot) {
        match self.backend.sync(&snapshot.bans, &snapshot.never, Timestamp::now()) {
            Ok(mended) => {
                if mended.made {
                    self.counted.begin_anew();
                }
                self.mending.mended(&mended);
            }
            Err(error) => self.mending.failed(&error),
        }
    }

    /// Fetches what the kernel counted, and sees whether somebody changed the table.
    fn look(&mut self) {
        if self.mending.is_waiting() {
            return;
        }
        match self.backend.look() {
            Ok(Seen::AsWritten) => {}
            Ok(seen) => {
                if self.mending.seen(seen) {
                    self.state.stale.store(true, Ordering::Relaxed);
                }
                return;
            }
            Err(error) => return self.mending.failed(&error),
        }
        match self.backend.drops() {
            Ok(drops) => self.counted.count(drops, &self.metrics.gate),
            Err(error) => self.mending.failed(&error),
        }
    }

    /// Whether the kernel may not hold what was decided.
    fn is_behind(&self) -> bool {
        self.state.stale.load(Ordering::Relaxed) || self.mending.is_needed()
    }

    fn done_one(&self) {
        self.metrics.enforce_queue.change(-1);
    }
}

/// Pieces of work that wait: a burst of this many offences while one transaction runs.
const QUEUE: usize = 4_096;

/// Changes in one transaction: 4 to 5 ms of kernel time (`shared/nftables.md`).
const MOST_TOGETHER: usize = 1_000;

/// What others do to the table is noticed after that time, and mended when the decider has sent
/// what should be there: within twice that time.
const LOOK_EVERY: Duration = Duration::from_millis(250);

#[cfg(test)]
mod tests;
