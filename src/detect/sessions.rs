//! Session lines to hits: which of them are failures, once the lines around them are known.
//!
//! A session's key holds the sender, so that no host can forge another's `Accepted`.

use std::collections::HashMap;
use std::net::IpAddr;

use crate::filter::fail2ban::{Kind, Sessions as Kept};
use crate::matcher::{FilterId, PatternId};
use crate::model::ShortText;
use crate::pipeline::{Hit, Rules, Told, address};

/// The sessions of all filters.
#[derive(Debug, Default)]
pub struct Sessions {
    by_filter: HashMap<FilterId, Kept>,
}

impl Sessions {
    /// Takes a session line; appends a hit for each jail when it completes a failure.
    pub fn told(&mut self, told: Told, rules: &Rules, hits: &mut Vec<Hit>) {
        let Told { filter, groups, speaker, at } = told;
        let sessions = self.by_filter.entry(filter).or_default();
        let verdict = sessions.judge_of(&sender(speaker.address), groups, at);
        let (Kind::Failure, Some(offender)) = (verdict.kind, address(&verdict.groups)) else {
            return;
        };
        let user = verdict.groups.get("user").and_then(|user| user.as_deref()).map(ShortText::new);
        let pattern = PatternId { filter, index: 0 };
        let hit = |&jail| Hit { jail, pattern, offender, speaker, at, user };
        hits.extend(rules.jails_of(filter).iter().map(hit));
    }
}

/// Of one length in both families, so that no sender's bytes run into a session's name.
fn sender(address: IpAddr) -> [u8; 16] {
    match address {
        IpAddr::V4(v4) => v4.to_ipv6_mapped().octets(),
        IpAddr::V6(v6) => v6.octets(),
    }
}
