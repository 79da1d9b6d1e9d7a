//! What the last hits said, of all offenders together: so that a ban knows why, and a million who are
//! only watched cost no more than their times.

use std::fmt;
use std::net::IpAddr;

use serde::{Deserialize, Serialize};

use crate::model::{JailId, Timestamp};
use crate::pipeline::{Excerpt, Hit};

/// A hit, as a ban keeps it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Evidence {
    /// When.
    pub at: Timestamp,
    /// Who reported it.
    pub sender: IpAddr,
    /// The address that it names.
    pub offender: IpAddr,
    /// The user that it names, cut short.
    pub user: Option<Box<str>>,
    /// The beginning of what the line said.
    pub line: Box<str>,
}

impl Evidence {
    pub(super) fn of(hit: &Hit) -> Evidence {
        let line = hit.excerpt;
        let (at, sender, offender) = (hit.at, hit.speaker.address, hit.offender);
        let user = hit.user.map(|user| user.to_string().into());
        Evidence { at, sender, offender, user, line: line.to_string().into() }
    }
}

/// A ring of the last hits. Each knows the hit of the same offender before it.
pub(super) struct Recent {
    slots: Vec<Slot>,
    most: usize,
    next: u32,
}

#[derive(Clone)]
pub(super) struct Slot {
    number: u32,
    before: u32,
    pub(super) jail: JailId,
    pub(super) at: Timestamp,
    sender: IpAddr,
    pub(super) offender: IpAddr,
    user: Option<crate::model::ShortText>,
    line: Excerpt,
}

impl Recent {
    /// The number of no hit.
    pub(super) const NONE: u32 = u32::MAX;

    pub(super) fn new(most: usize) -> Recent {
        Recent { slots: Vec::new(), most, next: 0 }
    }

    /// Keeps a hit; its number. `before` is the number of the one before it.
    pub(super) fn push(&mut self, hit: &Hit, before: u32) -> u32 {
        let number = self.next;
        self.next = if number + 1 == Recent::NONE { 0 } else { number + 1 };
        let slot = Slot {
            number,
            before,
            jail: hit.jail,
            at: hit.at,
            sender: hit.speaker.address,
            offender: hit.offender,
            user: hit.user,
            line: hit.excerpt,
        };
        let place = number as usize % self.most;
        match self.slots.get_mut(place) {
            Some(there) => *there = slot,
            None => self.slots.push(slot),
        }
        number
    }

    /// From the hit `last` backwards, as long as they are kept and `belongs` says so; oldest first.
    pub(super) fn walk(&self, last: u32, belongs: impl Fn(&Slot) -> bool) -> Vec<Evidence> {
        let mut found = Vec::new();
        let mut number = last;
        while number != Recent::NONE && found.len() < MOST_SHOWN {
            let slot = self.slots.get(number as usize % self.most);
            let Some(slot) = slot.filter(|it| it.number == number && belongs(it)) else { break };
            found.push(Evidence {
                at: slot.at,
                sender: slot.sender,
                offender: slot.offender,
                user: slot.user.map(|user| user.to_string().into()),
                line: slot.line.to_string().into(),
            });
            number = slot.before;
        }
        found.reverse();
        found
    }

    pub(super) fn bytes(&self) -> usize {
        self.slots.len() * size_of::<Slot>()
    }
}

impl fmt::Debug for Recent {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Recent({} of {})", self.slots.len(), self.most)
    }
}

/// Hits that a ban keeps.
const MOST_SHOWN: usize = 10;
