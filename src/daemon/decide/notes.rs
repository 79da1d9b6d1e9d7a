//! What the store is told: whose bans changed, lines of history, how often somebody was banned.
//!
//! Kept until the work in hand is done, then handed over together; the store never makes the decider wait.

use std::sync::Arc;

use super::Decider;
use crate::ban::{Change, Origin, Past};
use crate::model::{Prefix, Timestamp, Until};
use crate::pipeline::Hit;
use crate::store::{Count, Event, Notes, What};

impl Decider {
    /// A line of history, if somebody was banned, or for longer.
    pub(super) fn note(
        &mut self,
        change: Option<Change>,
        jail: &str,
        origin: Origin,
        hit: Option<&Hit>,
        at: Timestamp,
    ) {
        let (what, offender, until) = match change {
            None | Some(Change::Lift { .. }) => return,
            Some(Change::Impose { offender, until }) => (What::Ban, offender, until),
            Some(Change::Extend { offender, until }) => (What::Extend, offender, until),
        };
        let (sender, user) = (hit.map(|hit| hit.speaker.address), hit.and_then(|hit| hit.user));
        let jail = jail.into();
        self.events.push(Event { at, what, offender, jail, origin, until, sender, user });
    }

    pub(super) fn note_lift(&mut self, change: Change, jail: &str, at: Timestamp) {
        let (offender, until) = match change {
            Change::Lift { offender } => (offender, Until::At(at)),
            Change::Impose { offender, until } | Change::Extend { offender, until } => {
                (offender, until)
            }
        };
        let (what, jail, origin) = (What::Lift, jail.into(), Origin::Manual);
        let (sender, user) = (None, None);
        self.events.push(Event { at, what, offender, jail, origin, until, sender, user });
    }

    /// How often he was banned by now, for the store.
    pub(super) fn count(&mut self, offender: Prefix, jail: &Arc<str>) {
        for jail in [None, Some(jail)] {
            self.counts.extend(self.judge.history.past(offender, jail).map(count));
        }
    }

    /// Notes what changed, for the store to have a moment later.
    pub(super) fn remember(&mut self) {
        let mut touched = self.judge.ledger.take_touched();
        if touched.len() > 1 {
            touched.sort_unstable();
            touched.dedup();
        }
        let bans = touched.into_iter().map(|it| (it, self.judge.ledger.get(it).cloned())).collect();
        let events = std::mem::take(&mut self.events);
        let counts = std::mem::take(&mut self.counts);
        self.memory.note_soon(Notes { bans, events, counts });
        if self.memory.due().is_some_and(|due| due.is_zero()) {
            self.memory.hand_over();
        }
        if self.memory.wants_snapshot() {
            if self.take_back() {
                let snapshot = self.snapshot();
                self.gate.send_snapshot(snapshot);
            }
            let bans = self.judge.ledger.bans().cloned().collect();
            let counts = self.judge.history.iter().map(count).collect();
            self.memory.send_snapshot(bans, counts);
        }
    }
}

fn count(past: Past) -> Count {
    let Past { offender, jail, bans, quiet_since: last } = past;
    Count { offender, jail: jail.unwrap_or_else(|| "".into()), bans, last }
}
