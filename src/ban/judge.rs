//! Hits to changes: the detector and the ledger together, as the daemon and `replay` both run them.
//!
//! What is decided here and nowhere else: how long a ban lasts ([`Growth`]), that the bans of jails
//! are the hits of `kind = "recidive"` jails, when the neighbours of those who are banned are banned
//! with them, what only tries (`dry_run`), and what waits, for the operator ([`Breaker`]) or for
//! an answer (`never_ban.command`).

use std::hash::{BuildHasher, RandomState};
use std::net::IpAddr;
use std::sync::Arc;

use super::{
    Breaker, Change, Growth, History, Imposed, Ledger, MOST_PASTS, NeverBan, Order, Origin,
    Refusal, Share, Standing,
};
use crate::detect::{Detector, Evidence, Offence, Threshold};
use crate::model::{DurationWords, JailId, Ports, Prefix, Scope, Timestamp, Until};
use crate::pipeline::{Excerpt, Hit};

/// What the bans of a jail are like.
#[derive(Clone, Debug)]
pub struct Terms {
    /// The jail's name.
    pub jail: Arc<str>,
    /// Its thresholds, and for how long each bans.
    pub thresholds: Vec<(Threshold, DurationWords)>,
    /// How that grows.
    pub growth: Growth,
    /// When so many offenders of one prefix are banned, the prefix is: IPv4, then IPv6.
    pub escalate: [Escalate; 2],
    /// Decided, shown and counted, not enforced.
    pub dry_run: bool,
    /// Whether the bans of other jails are its hits.
    pub recidive: bool,
    /// From what its bans keep.
    pub scope: JailScope,
}

/// What the bans of a jail shut.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum JailScope {
    /// Everything.
    #[default]
    Gateway,
    /// The host that reported the offence.
    Sender,
    /// These ports, of every host.
    Ports(Ports),
}

impl JailScope {
    /// What is shut when `sender` reported the offence.
    pub fn from(self, sender: IpAddr) -> Scope {
        match self {
            JailScope::Gateway => Scope::Gateway,
            JailScope::Sender => Scope::Sender(sender),
            JailScope::Ports(ports) => Scope::Ports(ports),
        }
    }
}

/// When a prefix is banned for those within.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Escalate {
    /// So many; 0 is never.
    pub after: u32,
    /// The length of the prefix: it grows no further.
    pub prefix: u8,
}

/// What came of an offence.
#[derive(Clone, Debug)]
pub enum Decided {
    /// A ban, or more of one.
    Imposed {
        /// The jail.
        jail: Arc<str>,
        /// Who.
        offender: Prefix,
        /// The address that offended.
        address: IpAddr,
        /// Until when.
        until: Until,
        /// Whether it is enforced.
        standing: Standing,
        /// Whether the jail held nothing against him before.
        is_new: bool,
        /// For the stages behind the ledger.
        change: Option<Change>,
    },
    /// None.
    Refused {
        /// The jail.
        jail: Arc<str>,
        /// Why.
        refusal: Refusal,
    },
}

/// Owner of the detector, the ledger, and what they need to decide.
#[derive(Debug)]
pub struct Judge {
    terms: Vec<Terms>,
    detector: Detector,
    /// The table of bans.
    pub ledger: Ledger,
    /// How often offenders were banned before.
    pub history: History,
    /// What holds bans back when there are too many.
    pub breaker: Breaker,
    /// Whether bans wait for the answer of a command.
    asks: bool,
    dice: u64,
}

impl Judge {
    /// `terms` by [`JailId`]; at most so many offenders watched and banned at a time.
    pub fn new(terms: Vec<Terms>, never: NeverBan, watched: usize, banned: usize) -> Judge {
        let thresholds = |it: &Terms| it.thresholds.iter().map(|(it, _)| *it).collect();
        let mut ledger = Ledger::new(never, banned);
        terms.iter().for_each(|it| ledger.show(&it.jail));
        Judge {
            detector: Detector::new(terms.iter().map(thresholds).collect(), watched),
            ledger,
            history: History::new(MOST_PASTS),
            breaker: Breaker::new(0),
            asks: false,
            dice: RandomState::new().hash_one(0) | 1,
            terms,
        }
    }

    /// With a breaker, and with bans that wait for an answer if `asks`.
    pub fn with(mut self, breaker: Breaker, asks: bool) -> Judge {
        (self.breaker, self.asks) = (breaker, asks);
        self
    }

    /// The detector, for its figures.
    pub fn detector(&self) -> &Detector {
        &self.detector
    }

    /// Counts a hit, and hands what is decided for it to `each`. A ban of a jail is a hit of each
    /// recidive jail, and those who are banned may be too many of one prefix: so it can be more
    /// than one.
    pub fn hit(&mut self, hit: &Hit, now: Timestamp, each: &mut dyn FnMut(Decided)) {
        let Some(mut offence) = self.detector.hit(hit) else { return };
        if offence.offender.contains(hit.speaker.address) {
            // The sender's neighbour in an IPv6 /64: to ban them all would silence him.
            offence.offender = Prefix::host(offence.address);
        }
        self.offence(hit, offence, now, each);
    }

    fn offence(
        &mut self,
        hit: &Hit,
        offence: Offence,
        now: Timestamp,
        each: &mut dyn FnMut(Decided),
    ) {
        let id = usize::from(offence.jail.0);
        let Some(imposed) = self.ban(id, offence, hit.speaker.address, now, each) else { return };
        if !imposed.is_new {
            return;
        }
        self.escalate(id, imposed.offender, hit, now, each);
        let (name, dry_run) = (Arc::clone(&self.terms[id].jail), self.terms[id].dry_run);
        let excerpt = Excerpt::new(format!("banned by {name}").as_bytes());
        for other in 0..self.terms.len() {
            let it = &self.terms[other];
            // A jail on trial must keep nobody out, by way of another either; and a recidive jail
            // counts neither its own bans nor another one's, which were counted before.
            if it.recidive && !self.terms[id].recidive && (it.dry_run || !dry_run) {
                let jail = JailId(other as u16);
                let ban = Hit { jail, at: now, weight: 1, counted_by: 0, excerpt, ..*hit };
                self.hit(&ban, now, each);
            }
        }
    }

    /// Imposes a ban for an offence that `sender` reported; `None` if there is none.
    fn ban(
        &mut self,
        id: usize,
        offence: Offence,
        sender: IpAddr,
        now: Timestamp,
        each: &mut dyn FnMut(Decided),
    ) -> Option<Imposed> {
        let Offence { threshold, offender, address, hits, evidence, .. } = offence;
        let terms = &self.terms[id];
        let jail = Arc::clone(&terms.jail);
        let offender = match self.ledger.permitted(offender, Some(address)) {
            Ok(offender) => offender,
            Err(refusal) => {
                each(Decided::Refused { jail, refusal });
                return None;
            }
        };
        let bantime = terms.thresholds[usize::from(threshold)].1;
        let growth = &terms.growth;
        // Its own count for a recidive jail: what it bans for are the bans of all.
        let counts_for = (!growth.all_jails || terms.recidive).then_some(&jail);
        let holds = self.ledger.holds(offender, &jail);
        let earlier = self.history.earlier(offender, counts_for, growth.decay, now);
        // One who offends on while banned is banned from now on, not for longer.
        let earlier = if holds { earlier.saturating_sub(1) } else { earlier };
        self.dice = roll(self.dice);
        let until = growth.until(bantime, earlier, self.dice, now);
        let scope = terms.scope.from(sender);
        let standing = self.standing(id, offender, now);
        let address_of = Some(address);
        let order = Order {
            address: address_of,
            standing,
            scope,
            hits,
            evidence,
            ..Order::new(offender, Arc::clone(&jail), Origin::Hits, until)
        };
        let imposed = match self.ledger.put(order, now) {
            Ok(imposed) => imposed,
            Err(refusal) => {
                each(Decided::Refused { jail, refusal });
                return None;
            }
        };
        let growth = &self.terms[id].growth;
        let whose = [Some(&jail), None];
        // A recidive jail's ban is no further ban in the count of all.
        let whose = if self.terms[id].recidive { &whose[..1] } else { &whose[..] };
        for counts_for in
            whose.iter().filter(|it| it.is_none() || !growth.all_jails || self.terms[id].recidive)
        {
            match imposed.is_new {
                true => self.history.count(offender, *counts_for, growth.decay, until, now),
                false => self.history.prolong(offender, *counts_for, until),
            }
        }
        let (is_new, change) = (imposed.is_new, imposed.change);
        each(Decided::Imposed { jail, offender, address, until, standing, is_new, change });
        Some(imposed)
    }

    /// Whether a ban of `offender` is enforced.
    fn standing(&mut self, id: usize, offender: Prefix, now: Timestamp) -> Standing {
        if self.terms[id].dry_run {
            return Standing::DryRun;
        }
        if let Some(ban) = self.ledger.get(offender) {
            if ban.enforced().is_some() {
                return Standing::Enforced;
            }
            // Who waits already waits on; he is no new ban, and must not trip the breaker alone.
            let mut own = ban.shares.iter().filter(|share| share.jail == self.terms[id].jail);
            let waits = |it: &&Share| matches!(it.standing, Standing::Held | Standing::Asked);
            if let Some(share) = own.find(waits) {
                return share.standing;
            }
        }
        match self.breaker.admits(now) {
            false => Standing::Held,
            true if self.asks => Standing::Asked,
            true => Standing::Enforced,
        }
    }

    /// Bans the prefix around `offender` when enough of it is banned.
    fn escalate(
        &mut self,
        id: usize,
        offender: Prefix,
        hit: &Hit,
        now: Timestamp,
        each: &mut dyn FnMut(Decided),
    ) {
        let Escalate { after, prefix } = self.terms[id].escalate[usize::from(!offender.is_ipv4())];
        let around = Prefix::new(offender.address(), prefix);
        let Some(around) = around.filter(|it| after > 0 && it.length() < offender.length()) else {
            return;
        };
        let dry_run = self.terms[id].dry_run;
        let counts = |standing| dry_run || standing != Standing::DryRun;
        let banned = self.ledger.within(around).filter(|ban| {
            ban.shares.iter().any(|it| it.origin == Origin::Hits && counts(it.standing))
        });
        let banned: Vec<Evidence> = banned
            .take(after as usize)
            .map(|ban| Evidence {
                at: ban.since,
                sender: hit.speaker.address,
                offender: ban.offender.address(),
                user: None,
                line: format!("{} is banned", ban.offender).into(),
            })
            .collect();
        if banned.len() < after as usize {
            return;
        }
        // It must be all of the prefix or nothing: one address of it is banned already.
        let jail = Arc::clone(&self.terms[id].jail);
        if self.ledger.never().touches(around) || around.contains(hit.speaker.address) {
            let refusal = Refusal::HoldsNever(around);
            return each(Decided::Refused { jail, refusal });
        }
        let offence = Offence {
            jail: JailId(id as u16),
            threshold: 0,
            offender: around,
            address: hit.offender,
            at: now,
            hits: banned.len() as u32,
            evidence: banned,
        };
        self.ban(id, offence, hit.speaker.address, now, each);
    }
}

/// xorshift64 (Marsaglia 2003), from any number but 0.
pub(super) fn roll(mut dice: u64) -> u64 {
    dice ^= dice << 13;
    dice ^= dice >> 7;
    dice ^= dice << 17;
    dice
}

#[cfg(test)]
mod tests;
