//! What the decider waits for: five queues.
//!
//! Without a runtime: between a hit and the gate nothing is to be done that is not needed, and a thread
//! that parks has no timers to file and no tasks to poll. The queues stay those of tokio, because
//! streams wait for room in them without holding a thread.

use std::sync::Arc;
use std::task::{Context, Poll, Wake, Waker};
use std::thread::{self, Thread};

use tokio::sync::mpsc;

use super::{Asked, Batch};
use crate::daemon::never::{Answer, Listed};
use crate::host::Facts;

/// What the decider listens to.
pub(in crate::daemon) struct Inputs {
    pub(in crate::daemon) hits: mpsc::Receiver<Batch>,
    pub(in crate::daemon) orders: mpsc::Receiver<Asked>,
    pub(in crate::daemon) facts: mpsc::Receiver<Facts>,
    pub(in crate::daemon) listed: mpsc::Receiver<Listed>,
    pub(in crate::daemon) answers: mpsc::Receiver<Answer>,
}

/// Something that came.
pub(super) enum Input {
    Facts(Facts),
    Listed(Listed),
    Answer(Answer),
    Asked(Asked),
    Batch(Batch),
    /// Nobody sends hits any more.
    End,
}

impl Inputs {
    /// What came, if anything did: else `context` is woken when something does. Who is never banned goes
    /// before orders, and these before hits.
    pub(super) fn poll(&mut self, context: &mut Context<'_>) -> Poll<Input> {
        // Of these each can end before the hits do.
        if let Poll::Ready(Some(facts)) = self.facts.poll_recv(context) {
            return Poll::Ready(Input::Facts(facts));
        }
        if let Poll::Ready(Some(listed)) = self.listed.poll_recv(context) {
            return Poll::Ready(Input::Listed(listed));
        }
        if let Poll::Ready(Some(answer)) = self.answers.poll_recv(context) {
            return Poll::Ready(Input::Answer(answer));
        }
        if let Poll::Ready(Some(asked)) = self.orders.poll_recv(context) {
            return Poll::Ready(Input::Asked(asked));
        }
        self.hits.poll_recv(context).map(|batch| batch.map_or(Input::End, Input::Batch))
    }
}

/// Wakes the thread that calls this.
pub(super) fn waker() -> Waker {
    struct Unpark(Thread);

    impl Wake for Unpark {
        fn wake(self: Arc<Self>) {
            self.0.unpark();
        }

        fn wake_by_ref(self: &Arc<Self>) {
            self.0.unpark();
        }
    }

    Arc::new(Unpark(thread::current())).into()
}
