//! Session lines to hits: which of them are failures, once the lines around them are known.
//!
//! A session's key holds the sender, so that no host can forge another's `Accepted`, and how far the
//! line is trusted.

use std::collections::HashMap;
use std::net::IpAddr;

use crate::filter::fail2ban::{Kind, Sessions as Kept};
use crate::matcher::{FilterId, PatternId};
use crate::model::Trust;
use crate::pipeline::{Hit, Rules, Speaker, Told};

/// The sessions of all filters.
#[derive(Debug, Default)]
pub struct Sessions {
    by_filter: HashMap<FilterId, Kept>,
}

impl Sessions {
    /// Takes a session line; appends a hit for each jail when it completes a failure.
    pub fn told(&mut self, told: Told, rules: &Rules, hits: &mut Vec<Hit>) {
        let Told { filter, groups, speaker, at, excerpt } = told;
        let sessions = self.by_filter.entry(filter).or_default();
        let verdict = sessions.judge_of(&sender(speaker), groups, at);
        if verdict.kind == Kind::Failure {
            let pattern = PatternId { filter, index: 0 };
            rules.foreign_hits(pattern, &verdict.groups, (speaker, at), excerpt, hits);
        }
    }

    /// Sessions that made room for others before their time.
    pub fn crowded_out(&self) -> u64 {
        self.by_filter.values().map(Kept::crowded_out).sum()
    }
}

/// Of one length in both families, so that no sender's bytes run into a session's name. A line that
/// was cut is not trusted like its sender: what it told must not come out as the word of one that is.
fn sender(speaker: Speaker) -> [u8; 17] {
    let mut bytes = [0; 17];
    bytes[..16].copy_from_slice(&match speaker.address {
        IpAddr::V4(v4) => v4.to_ipv6_mapped().octets(),
        IpAddr::V6(v6) => v6.octets(),
    });
    bytes[16] = u8::from(speaker.trust == Trust::Ban);
    bytes
}
