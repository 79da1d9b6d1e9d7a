//! What is noted: the words between the decider and the file.

use std::fmt;
use std::net::IpAddr;
use std::sync::Arc;

use crate::ban::{Ban, Origin};
use crate::model::{Prefix, ShortText, Timestamp, Until};

/// What came about together.
#[derive(Clone, Debug, Default)]
pub struct Notes {
    /// The ban of an offender as it is now; `None` when he is free.
    pub bans: Vec<(Prefix, Option<Ban>)>,
    /// For the history.
    pub events: Vec<Event>,
    /// How often somebody was banned by now.
    pub counts: Vec<Count>,
}

impl Notes {
    /// Whether there is nothing to note.
    pub fn is_empty(&self) -> bool {
        self.bans.is_empty() && self.events.is_empty() && self.counts.is_empty()
    }
}

/// One line of history.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Event {
    /// When.
    pub at: Timestamp,
    /// What.
    pub what: What,
    /// To whom.
    pub offender: Prefix,
    /// By which jail; `manual` and `kernel` where none did it.
    pub jail: Arc<str>,
    /// How it came about.
    pub origin: Origin,
    /// The end of the ban, as it was then.
    pub until: Until,
    /// Who reported the hit that led to it.
    pub sender: Option<IpAddr>,
    /// The user that this hit named.
    pub user: Option<ShortText>,
}

/// What happened to an offender. That a ban's time was over is no event: the end stands in it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum What {
    /// He was banned.
    Ban,
    /// He was banned already, and offended again or was banned by another jail.
    Extend,
    /// Somebody let him go before his time.
    Lift,
}

impl What {
    pub(super) const ALL: [What; 3] = [What::Ban, What::Extend, What::Lift];
}

impl fmt::Display for What {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            What::Ban => "ban",
            What::Extend => "extend",
            What::Lift => "lift",
        })
    }
}

/// How often an offender was banned: what a ban time that grows goes by.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Count {
    /// Who.
    pub offender: Prefix,
    /// By which jail; empty for all together.
    pub jail: Arc<str>,
    /// How often; 0 forgets it.
    pub bans: u32,
    /// When for the last time.
    pub last: Timestamp,
}
