//! fail2ban's own filters, unchanged: read from the user's disk, never shipped.
//!
//! Enters: `filter.d/NAME.conf` with options, then lines. Leaves: for each line what fail2ban would
//! have counted, with the same groups and the same time. Refuses to know jails and bans.

mod captured;
mod combine;
pub mod conf;
pub mod dates;
mod groups;
mod jailed;
mod journal;
mod log;
mod needs;
mod rules;
mod sessions;
mod tags;

pub use captured::{Captured, Tag, Tagged};
pub use groups::{Groups, Text};
pub use jailed::Jailed;
pub use journal::{Hit, Journal, Judged};
pub use log::Log;
pub use rules::{Gate, Match, Outcome, RuleError, Rules};
pub use sessions::{Kind, Sessions, Verdict, identity, network};
