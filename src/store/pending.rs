//! What waits to be written. Pure.
//!
//! Of many notes on one offender the last holds, so a file that cannot be written costs memory for
//! offenders, not for time. **Bound.** Beyond [`MOST_BANS_PENDING`] the bans are dropped and a snapshot of
//! the ledger is wanted instead; beyond [`MOST_EVENTS`] the oldest events are lost, and counted.

use std::collections::{HashMap, VecDeque};
use std::sync::Arc;

use super::event::{Count, Event, Notes, What};
use crate::ban::{Ban, MOST_BANS};
use crate::model::{Prefix, Timestamp};

#[derive(Debug, Default)]
pub(super) struct Pending {
    /// Forget all bans of the file first.
    pub(super) anew: bool,
    pub(super) bans: HashMap<Prefix, Option<Ban>>,
    pub(super) events: VecDeque<Event>,
    pub(super) counts: HashMap<(Prefix, Arc<str>), (u32, Timestamp)>,
}

/// What found no room.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Dropped {
    /// Lines of history lost.
    pub(super) events: u64,
    /// The bans are no longer complete.
    pub(super) bans: bool,
}

impl Pending {
    pub(super) fn is_empty(&self) -> bool {
        !self.anew && self.bans.is_empty() && self.events.is_empty() && self.counts.is_empty()
    }

    pub(super) fn len(&self) -> usize {
        self.bans.len() + self.events.len() + self.counts.len()
    }

    /// Whether it is better written at once.
    pub(super) fn is_much(&self) -> bool {
        self.len() >= MUCH
    }

    pub(super) fn add(&mut self, notes: Notes) -> Dropped {
        let mut dropped = Dropped::default();
        self.bans.extend(notes.bans);
        for event in notes.events {
            self.add_event(event);
        }
        for Count { offender, jail, bans, last } in notes.counts {
            self.counts.insert((offender, jail), (bans, last));
        }
        while self.events.len() > MOST_EVENTS {
            self.events.pop_front();
            dropped.events += 1;
        }
        if self.bans.len() > MOST_BANS_PENDING {
            self.bans.clear();
            self.anew = false;
            dropped.bans = true;
        }
        if self.counts.len() > MOST_BANS_PENDING {
            self.counts.clear();
        }
        dropped
    }

    /// Everything that the ledger holds: what was noted before says nothing any more. Of the counts, those in
    /// the file that are not among them stay.
    pub(super) fn replace(&mut self, bans: Vec<Ban>, counts: Vec<Count>) {
        self.anew = true;
        let counts = counts.into_iter().map(|it| ((it.offender, it.jail), (it.bans, it.last)));
        self.counts.extend(counts);
        self.bans = bans.into_iter().map(|ban| (ban.offender, Some(ban))).collect();
    }

    /// One who goes on while he is banned is one line, not one for every few of his packets.
    fn add_event(&mut self, event: Event) {
        let again = self.events.back_mut().filter(|last| {
            event.what == What::Extend
                && last.what == What::Extend
                && last.offender == event.offender
                && last.jail == event.jail
        });
        match again {
            Some(last) => *last = event,
            None => self.events.push_back(event),
        }
    }
}

/// Written without waiting for the interval: a larger transaction is not cheaper.
const MUCH: usize = 20_000;
const MOST_EVENTS: usize = 1 << 16;
const MOST_BANS_PENDING: usize = 2 * MOST_BANS;

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ban::Origin;
    use crate::model::Until;

    fn event(what: What, offender: &str, at: i64) -> Event {
        Event {
            at: Timestamp(at),
            what,
            offender: offender.parse().unwrap(),
            jail: "sshd".into(),
            origin: Origin::Hits,
            until: Until::Forever,
            sender: None,
            user: None,
        }
    }

    #[test]
    fn the_last_note_on_an_offender_holds() {
        let mut pending = Pending::default();
        let offender: Prefix = "2001:db8::/64".parse().unwrap();
        let ban = Ban { offender, since: Timestamp(1), shares: Default::default() };
        let note = |ban| Notes { bans: vec![(offender, ban)], ..Notes::default() };
        pending.add(note(Some(ban.clone())));
        pending.add(note(None));
        assert_eq!(pending.bans[&offender], None);
        pending.replace(vec![ban.clone()], Vec::new());
        assert!(pending.anew);
        assert_eq!(pending.bans[&offender], Some(ban));
    }

    #[test]
    fn one_who_goes_on_is_one_line() {
        let mut pending = Pending::default();
        let events = [
            event(What::Ban, "192.0.2.1", 1),
            event(What::Extend, "192.0.2.1", 2),
            event(What::Extend, "192.0.2.1", 3),
            event(What::Extend, "192.0.2.2", 4),
        ];
        pending.add(Notes { events: events.to_vec(), ..Notes::default() });
        let at: Vec<_> = pending.events.iter().map(|event| event.at.0).collect();
        assert_eq!(at, [1, 3, 4]);
    }

    #[test]
    fn a_file_that_cannot_be_written_costs_bounded_memory() {
        let mut pending = Pending::default();
        let mut lost = 0;
        for at in 0..(MOST_EVENTS as i64 + 10) {
            let events = vec![event(What::Ban, "192.0.2.1", at)];
            lost += pending.add(Notes { events, ..Notes::default() }).events;
        }
        assert_eq!((pending.events.len(), lost), (MOST_EVENTS, 10));
        assert_eq!(pending.events[0].at.0, 10, "the oldest go");
        let free = (0..=MOST_BANS_PENDING as u32)
            .map(|n| (Prefix::host(std::net::Ipv4Addr::from_bits(n).into()), None));
        let dropped = pending.add(Notes { bans: free.collect(), ..Notes::default() });
        assert!(dropped.bans && pending.bans.is_empty());
    }
}
