//! Where hits are decided: the decider behind a lock, and the queue to its thread.
//!
//! When nothing waits, whoever found hits decides them where it stands, if the lock is free: to wake the
//! decide thread first would cost more than all else on the way to the gate. When the lock is held, or
//! something waits, or there is much to decide, the hits go into the queue, and nobody waits for the lock.
//! All that may take long stays with the decide thread: orders, ends of bans, snapshots, the store, the log.
//! It is woken for that when the gate is done, or, should the kernel keep that waiting, by its own nap.
//!
//! **Order.** The thread takes hits out of the queue and decides them under one lock, so who finds the
//! queue empty and has the lock knows that all he sent before is decided.

use std::sync::{Arc, Mutex, OnceLock, PoisonError, TryLockError};
use std::task::{Context, Poll};
use std::thread::{self, Thread};
use std::time::Duration;

use tokio::sync::mpsc;

use super::inputs::{Input, Inputs, waker};
use super::{Batch, Decider};

/// The decider, while it runs.
struct Desk {
    seat: Mutex<Option<Seat>>,
    /// The decide thread, when it has begun.
    thread: OnceLock<Thread>,
}

struct Seat {
    decider: Decider,
    inputs: Inputs,
}

/// What inputs hand their hits to. The decider ends when the last of these is gone.
#[derive(Clone)]
pub(in crate::daemon) struct Hits {
    queue: mpsc::Sender<Batch>,
    desk: Arc<Desk>,
}

impl Hits {
    /// A queue for the `inputs` of `decider`, and what its thread is to run.
    pub(in crate::daemon) fn new(
        queue: mpsc::Sender<Batch>,
        decider: Decider,
        inputs: Inputs,
    ) -> (Hits, impl FnOnce() + Send + 'static) {
        let seat = Mutex::new(Some(Seat { decider, inputs }));
        let desk = Arc::new(Desk { seat, thread: OnceLock::new() });
        let run = Arc::clone(&desk);
        (Hits { queue, desk }, move || run.run())
    }

    /// Decides at once or later; gives back what finds no room. Never waits.
    pub(in crate::daemon) fn try_send(&self, batch: Batch) -> Result<(), Batch> {
        match self.desk.decide(batch) {
            Ok(()) => Ok(()),
            Err(batch) => self.queue.try_send(batch).map_err(|refused| refused.into_inner()),
        }
    }

    /// Decides at once or later; waits for room.
    pub(in crate::daemon) async fn send(&self, batch: Batch) {
        if let Err(batch) = self.desk.decide(batch) {
            // The decider goes away only when the daemon stops.
            _ = self.queue.send(batch).await;
        }
    }
}

impl Desk {
    /// Decides here and now, unless something speaks against it.
    fn decide(&self, batch: Batch) -> Result<(), Batch> {
        let Some(thread) = self.thread.get().filter(|_| batch.is_small()) else {
            return Err(batch);
        };
        let mut seat = match self.seat.try_lock() {
            Ok(seat) => seat,
            // The decide thread sees it, too, and ends the daemon.
            Err(TryLockError::Poisoned(_) | TryLockError::WouldBlock) => return Err(batch),
        };
        let Some(Seat { decider, inputs }) = seat.as_mut() else { return Err(batch) };
        if !inputs.hits.is_empty() || decider.is_behind() {
            return Err(batch);
        }
        let waits = decider.batch(batch, Some(thread));
        drop(seat);
        if waits {
            thread.unpark();
        }
        Ok(())
    }

    /// Decides until nobody sends hits any more.
    fn run(&self) {
        _ = self.thread.set(thread::current());
        let waker = waker();
        let mut context = Context::from_waker(&waker);
        loop {
            // Poisoned by whoever decided and panicked: so does this thread, and the daemon ends.
            let mut locked = self.seat.lock().unwrap_or_else(PoisonError::into_inner);
            assert!(!self.seat.is_poisoned(), "a thread panicked while it decided");
            let Some(seat) = locked.as_mut() else { return };
            let Seat { decider, inputs } = seat;
            let nap = match inputs.poll(&mut context) {
                Poll::Ready(Input::End) => {
                    let seat = locked.take();
                    drop(locked);
                    return seat.into_iter().for_each(|seat| seat.decider.finish());
                }
                Poll::Ready(input) => {
                    decider.take(input);
                    Duration::ZERO
                }
                Poll::Pending => decider.nap(),
            };
            decider.tend(inputs.hits.len());
            let said = decider.take_said();
            drop(locked);
            // Whoever reads the log may be slow.
            said.iter().for_each(|it| it.say());
            if !nap.is_zero() {
                thread::park_timeout(nap);
            }
        }
    }
}

#[cfg(test)]
mod tests;
