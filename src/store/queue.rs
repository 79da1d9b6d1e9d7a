//! The decider's end of the queue to the store, and the store's figures.
//!
//! The queue is bounded. When it is full nothing blocks: the bans are marked incomplete, and the
//! decider is asked for a snapshot when there is room again. Lines of history are lost, and counted.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::mpsc::{SyncSender, TrySendError};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use super::Restored;
use super::event::{Count, Notes};
use crate::ban::Ban;

/// The decider's end. Without a store it takes everything and does nothing.
#[derive(Debug)]
pub struct Memory {
    work: Option<SyncSender<Work>>,
    state: Arc<State>,
    figures: Arc<Figures>,
    /// Noted and not handed over, and since when. Counted as one bundle in the queue.
    kept: Notes,
    since: Option<Instant>,
}

#[derive(Debug)]
pub(super) enum Work {
    Notes(Notes),
    /// All bans and counts there are.
    Snapshot(Vec<Ban>, Vec<Count>),
}

#[derive(Debug, Default)]
pub(super) struct State {
    /// The file will not be as the ledger says, whatever waits.
    pub(super) stale: AtomicBool,
    /// A snapshot is wanted, and there is room for it.
    wanted: AtomicBool,
    /// What a clock that was ahead had taken for over; shall go before the next snapshot.
    returned: Mutex<Option<Restored>>,
}

/// What the store counts; for metrics and `status`.
#[derive(Debug, Default)]
pub struct Figures {
    commits: AtomicU64,
    failures: AtomicU64,
    stale: AtomicU64,
    lost: AtomicU64,
    queued: AtomicU64,
    pending: AtomicU64,
    bytes: AtomicU64,
    working: AtomicBool,
    said: Mutex<String>,
}

impl Memory {
    pub(super) fn new(
        work: Option<SyncSender<Work>>,
        state: Arc<State>,
        figures: Arc<Figures>,
    ) -> Memory {
        Memory { work, state, figures, kept: Notes::default(), since: None }
    }

    /// Keeps what came about until [`hand_over`](Memory::hand_over), which is [`due`](Memory::due)
    /// a moment later: the store's thread must not wake up while the gate's has its turn, and many
    /// bans are one bundle. More than [`MOST_KEPT`] are handed over at once.
    pub fn note_soon(&mut self, mut notes: Notes) {
        if notes.is_empty() || self.work.is_none() {
            return;
        }
        if self.since.is_none() {
            self.since = Some(Instant::now());
            self.figures.queued.fetch_add(1, Ordering::Relaxed);
        }
        self.kept.bans.append(&mut notes.bans);
        self.kept.events.append(&mut notes.events);
        self.kept.counts.append(&mut notes.counts);
        if self.kept.bans.len().max(self.kept.events.len()) >= MOST_KEPT {
            self.hand_over();
        }
    }

    /// How long until what is kept is to be handed over; `None` when nothing is.
    pub fn due(&self) -> Option<Duration> {
        self.since.map(|since| KEEP.saturating_sub(since.elapsed()))
    }

    /// Hands over what is kept, if anything. Never waits.
    pub fn hand_over(&mut self) {
        if self.since.take().is_some() {
            let notes = std::mem::take(&mut self.kept);
            self.note(notes);
            self.figures.queued.fetch_sub(1, Ordering::Release);
        }
    }

    /// Notes what came about, at once. Never waits.
    pub fn note(&self, notes: Notes) {
        if !notes.is_empty() {
            self.queue(Work::Notes(notes));
        }
    }

    /// Hands over all bans and counts. Answers a call of [`wants_snapshot`](Memory::wants_snapshot).
    pub fn send_snapshot(&mut self, bans: Vec<Ban>, counts: Vec<Count>) {
        // What was noted before is older.
        self.hand_over();
        self.queue(Work::Snapshot(bans, counts));
    }

    /// Whether a snapshot is wanted; asked once, the answer is forgotten.
    pub fn wants_snapshot(&self) -> bool {
        self.state.wanted.swap(false, Ordering::Relaxed)
    }

    /// What is not over after all, now that the clock was set back: to be taken before a snapshot is made.
    pub fn take_returned(&self) -> Option<Restored> {
        self.state.returned.lock().unwrap_or_else(PoisonError::into_inner).take()
    }

    /// The store's figures.
    pub fn figures(&self) -> &Arc<Figures> {
        &self.figures
    }

    fn queue(&self, work: Work) {
        let Some(queue) = &self.work else { return };
        self.figures.queued.fetch_add(1, Ordering::Relaxed);
        let refused = match queue.try_send(work) {
            Ok(()) => return,
            Err(TrySendError::Full(work) | TrySendError::Disconnected(work)) => work,
        };
        self.figures.queued.fetch_sub(1, Ordering::Relaxed);
        self.figures.stale.fetch_add(1, Ordering::Relaxed);
        if let Work::Notes(notes) = refused {
            self.figures.lost.fetch_add(notes.events.len() as u64, Ordering::Relaxed);
        }
        self.state.stale.store(true, Ordering::Relaxed);
    }
}

impl State {
    /// Asks for a snapshot if one is needed: the queue was just emptied.
    pub(super) fn ask_if_stale(&self) {
        if self.stale.swap(false, Ordering::Relaxed) {
            self.wanted.store(true, Ordering::Relaxed);
        }
    }

    pub(super) fn hand_back(&self, returned: Restored) {
        *self.returned.lock().unwrap_or_else(PoisonError::into_inner) = Some(returned);
    }
}

impl Figures {
    /// Transactions written.
    pub fn commits(&self) -> u64 {
        self.commits.load(Ordering::Relaxed)
    }

    /// Transactions, and openings, that failed.
    pub fn failures(&self) -> u64 {
        self.failures.load(Ordering::Relaxed)
    }

    /// Times that the queue was full.
    pub fn stale(&self) -> u64 {
        self.stale.load(Ordering::Relaxed)
    }

    /// Lines of history that found no room.
    pub fn lost(&self) -> u64 {
        self.lost.load(Ordering::Relaxed)
    }

    /// Bundles of notes in the queue. Where this is 0, and [`pending`](Figures::pending) asked next as
    /// well, all is written.
    pub fn queued(&self) -> u64 {
        self.queued.load(Ordering::Acquire)
    }

    /// Notes that wait for the next transaction.
    pub fn pending(&self) -> u64 {
        self.pending.load(Ordering::Relaxed)
    }

    /// Bytes of the file.
    pub fn bytes(&self) -> u64 {
        self.bytes.load(Ordering::Relaxed)
    }

    /// Whether what is decided is also remembered.
    pub fn is_working(&self) -> bool {
        self.working.load(Ordering::Relaxed)
    }

    /// For people: where, or why not.
    pub fn said(&self) -> String {
        self.said.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    pub(super) fn works(&self, said: String) {
        self.working.store(true, Ordering::Relaxed);
        *self.said.lock().unwrap_or_else(PoisonError::into_inner) = said;
    }

    pub(super) fn fails(&self, said: String) {
        self.working.store(false, Ordering::Relaxed);
        *self.said.lock().unwrap_or_else(PoisonError::into_inner) = said;
    }

    pub(super) fn committed(&self, bytes: u64) {
        self.commits.fetch_add(1, Ordering::Relaxed);
        self.bytes.store(bytes, Ordering::Relaxed);
    }

    pub(super) fn failed(&self) {
        self.failures.fetch_add(1, Ordering::Relaxed);
    }

    pub(super) fn took_one(&self) {
        self.queued.fetch_sub(1, Ordering::Release);
    }

    pub(super) fn wait(&self, pending: usize) {
        self.pending.store(pending as u64, Ordering::Relaxed);
    }

    pub(super) fn lose(&self, events: u64) {
        self.lost.fetch_add(events, Ordering::Relaxed);
    }
}

impl Drop for Memory {
    fn drop(&mut self) {
        self.hand_over();
    }
}

/// Notes are kept so long; a part of [`COMMIT_EVERY`](super::COMMIT_EVERY).
pub(super) const KEEP: Duration = Duration::from_millis(10);
const MOST_KEPT: usize = 256;
