//! What is done when the kernel is not as the ledger says: wait, ask for a snapshot, tell of it.
//!
//! The pause after a failure grows, and what is decided meanwhile is not lost: the snapshot at its
//! end holds it. Knows when and what to say; the thread of the gate does the work.

use std::sync::Arc;
use std::time::{Duration, Instant};

use crate::enforce::{Drops, EnforceError, Mended, Seen, Tally as Dropped};
use crate::metrics::{Metrics, Readiness, Tally};

/// What is known to be wrong.
pub(super) struct Mending {
    metrics: Arc<Metrics>,
    readiness: Readiness,
    trouble: Trouble,
    /// Who changed the table, as far as that is known.
    by: Option<String>,
    /// When a snapshot is to be asked for.
    retry: Option<Instant>,
    /// The pause after the next failure.
    pause: Duration,
    /// What was last said, and when: a failure that goes on is not said every time.
    said: Option<(String, Instant)>,
}

#[derive(Clone, Debug, Default, PartialEq, Eq)]
enum Trouble {
    #[default]
    None,
    /// The kernel refused.
    Refused,
    /// Somebody changed the table.
    Changed,
    /// Somebody may have.
    Uncertain,
}

impl Mending {
    pub(super) fn new(metrics: Arc<Metrics>, readiness: Readiness) -> Mending {
        Mending {
            metrics,
            readiness,
            trouble: Trouble::None,
            by: None,
            retry: None,
            pause: FIRST_PAUSE,
            said: None,
        }
    }

    /// Something failed.
    pub(super) fn failed(&mut self, error: &EnforceError) {
        self.metrics.enforce_errors.add(1);
        self.say(error.to_string());
        if error.is_settled() {
            // Room may come: looked at again, but nothing else waits for it.
            self.retry = Some(Instant::now() + SETTLED_PAUSE);
            self.trouble = Trouble::None;
            self.set_failing(false);
            return;
        }
        self.set_failing(true);
        self.trouble = Trouble::Refused;
        self.retry = Some(Instant::now() + self.pause);
        self.pause = (self.pause * 2).min(LONGEST_PAUSE);
    }

    /// Takes what a look showed; returns whether a snapshot is wanted.
    pub(super) fn seen(&mut self, seen: Seen) -> bool {
        match seen {
            Seen::AsWritten => false,
            // Already asked for.
            _ if self.trouble != Trouble::None => false,
            Seen::Changed(by) => {
                tracing::warn!("what enforces the bans was changed by {by}; mending it");
                self.trouble = Trouble::Changed;
                self.by = Some(by);
                true
            }
            Seen::Uncertain => {
                self.trouble = Trouble::Uncertain;
                true
            }
        }
    }

    /// Everything is as it should be now.
    pub(super) fn mended(&mut self, mended: &Mended) {
        let trouble = std::mem::take(&mut self.trouble);
        self.set_failing(false);
        self.retry = None;
        self.pause = FIRST_PAUSE;
        self.said = None;
        let by = self.by.take().unwrap_or_else(|| "somebody else".to_owned());
        let others = match trouble {
            Trouble::None => false,
            // What is missing may be what was refused.
            Trouble::Refused => mended.made || mended.rewritten,
            Trouble::Changed | Trouble::Uncertain => !mended.is_nothing(),
        };
        if !others {
            return;
        }
        self.metrics.enforce_repairs.add(1);
        let what = match mended {
            Mended { made: true, .. } => "the table was gone and is there again",
            Mended { rewritten: true, .. } => "the table was changed and is as it was",
            _ => "the table stood",
        };
        tracing::warn!(
            "mended after {by}: {what}; {} bans put back, {} that nobody imposed taken out",
            mended.put,
            mended.removed
        );
    }

    /// Whether the kernel is not to be asked yet.
    pub(super) fn is_waiting(&self) -> bool {
        self.trouble == Trouble::Refused
    }

    /// Whether the kernel may not hold what was decided.
    pub(super) fn is_needed(&self) -> bool {
        self.trouble != Trouble::None || self.retry.is_some()
    }

    /// Whether a snapshot is to be asked for now; said once.
    pub(super) fn is_due(&mut self) -> bool {
        self.retry.take_if(|at| *at <= Instant::now()).is_some()
    }

    /// How long until then.
    pub(super) fn pause(&self) -> Duration {
        self.retry.map_or(Duration::MAX, |at| at.saturating_duration_since(Instant::now()))
    }

    fn say(&mut self, words: String) {
        let again =
            self.said.as_ref().is_some_and(|(said, at)| *said == words && at.elapsed() < SAY_EVERY);
        if !again {
            tracing::error!("{words}");
            self.said = Some((words, Instant::now()));
        }
    }

    fn set_failing(&self, failing: bool) {
        self.metrics.enforce_failing.set(failing.into());
        self.readiness.set_enforcing(!failing);
    }
}

/// What of the kernel's counters is counted already.
#[derive(Debug, Default)]
pub(super) struct Counted(Drops);

impl Counted {
    /// Adds what is new. Counters of a table that was made anew begin at zero.
    pub(super) fn count(&mut self, drops: Drops, shown: &[(Tally, Tally); 2]) {
        let families = [(self.0.v4, drops.v4), (self.0.v6, drops.v6)];
        for ((packets, bytes), (before, now)) in shown.iter().zip(families) {
            let anew = now.packets < before.packets || now.bytes < before.bytes;
            let before = if anew { Dropped::default() } else { before };
            packets.add(now.packets - before.packets);
            bytes.add(now.bytes - before.bytes);
        }
        self.0 = drops;
    }

    /// The kernel's counters are at zero.
    pub(super) fn begin_anew(&mut self) {
        self.0 = Drops::default();
    }
}

const FIRST_PAUSE: Duration = Duration::from_millis(100);
const LONGEST_PAUSE: Duration = Duration::from_secs(10);
const SETTLED_PAUSE: Duration = Duration::from_secs(30);
const SAY_EVERY: Duration = Duration::from_secs(60);
