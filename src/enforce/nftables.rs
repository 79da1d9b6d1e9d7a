//! The gate itself: bans as elements of nf_tables sets, spoken directly over netlink.
//!
//! Owns the table `inet <name>` and everything in it: sets of bans, the accept sets, the rules and
//! the counters of dropped packets. Changes enter; what the kernel holds leaves. Every element
//! carries its own end, so bans expire without us. Blocking: for a thread of its own. Keeps no copy
//! of the bans, and does not know why anybody is banned.

mod batch;
mod commit;
mod dump;
mod element;
mod error;
mod expression;
mod known;
mod layout;
mod message;
mod never;
mod objects;
mod ownership;
mod plan;
mod socket;
mod structure;
#[cfg(test)]
mod tests;
mod watch;

use std::collections::BTreeSet;
use std::time::{Duration, Instant};

pub use error::GateError;
pub use ownership::{Ownership, Reason};

use super::Wish;
use crate::model::{Prefix, Scope, Target, Timestamp, Until};
use commit::Frame;
use dump::Fingerprint;
use element::Abilities;
use known::Known;
use layout::BanSet;
use never::Never;
use objects::Objects;
use plan::Plan;
use socket::{Link, Refusal};
use watch::Watch;

/// How the gate is set up.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Settings {
    /// Name of the table, family `inet`.
    pub table: String,
    /// The size of each set of bans: one for each family, prefix length and scope in use.
    pub most_bans: u32,
    /// What a packet of a banned source gets.
    pub verdict: Verdict,
}

/// What a packet of a banned source gets.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Verdict {
    /// Nothing.
    #[default]
    Drop,
    /// An answer: a reset for TCP, else ICMP "administratively prohibited".
    Reject,
}

/// A ban that the kernel holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Held {
    /// Who is banned.
    pub offender: Prefix,
    /// From what.
    pub scope: Scope,
    /// How much longer; `None` is for ever.
    pub left: Option<Duration>,
}

/// What was dropped since the table was made.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Drops {
    /// Of IPv4.
    pub v4: Tally,
    /// Of IPv6.
    pub v6: Tally,
}

/// Packets, and the bytes in them.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Tally {
    /// How many packets.
    pub packets: u64,
    /// How many bytes, from the network header on.
    pub bytes: u64,
}

/// What a look at the table showed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Seen {
    /// Nobody else wrote to it.
    AsWritten,
    /// Somebody else did: who, as well as the kernel tells.
    Changed(String),
    /// It may have been changed; only a comparison ([`Gate::sync`]) tells.
    Uncertain,
}

/// What [`Gate::sync`] found otherwise than it should be, and mended.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Mended {
    /// The table was gone, and with it its counters.
    pub made: bool,
    /// Chains, rules or sets were not as written.
    pub rewritten: bool,
    /// Bans that were missing, or had another end.
    pub put: usize,
    /// Bans that nobody had imposed.
    pub removed: usize,
}

impl Mended {
    /// Whether nothing had to be mended.
    pub fn is_nothing(&self) -> bool {
        *self == Mended::default()
    }
}

/// The table in the kernel, and the only way to write it.
#[derive(Debug)]
pub struct Gate {
    link: Link,
    table: String,
    most_bans: u32,
    verdict: Verdict,
    sets: BTreeSet<BanSet>,
    abilities: Abilities,
    ownership: Ownership,
    written: Option<Fingerprint>,
    seen_generation: Option<u32>,
    /// What the kernel held when the gate was opened: to read it again would take half of a start.
    known: Option<Known>,
    /// Hears what others do to a table that they can write.
    watch: Option<Watch>,
    /// What the generation would be if nobody else committed anything since the last comparison.
    compared: Compared,
}

/// The last comparison of every element.
#[derive(Clone, Copy, Debug)]
struct Compared {
    at: Instant,
    generation: u32,
    /// Our commits since.
    ours: u32,
}

impl Gate {
    /// Makes or adopts the table and writes its chains and rules in one transaction. Bans held stay
    /// in force throughout, and so do counters and the accept sets.
    pub fn open(settings: &Settings) -> Result<(Gate, Vec<Held>), GateError> {
        let name = &settings.table;
        if !is_table_name(name) {
            return Err(GateError::Name(name.clone()));
        }
        let link = Link::open().map_err(|refusal| GateError::from_refusal(refusal, name))?;
        let mut gate = Gate {
            link,
            table: name.clone(),
            most_bans: settings.most_bans.max(1),
            verdict: settings.verdict,
            sets: BTreeSet::new(),
            abilities: Abilities::LEAST,
            ownership: Ownership::Shared(Reason::NotAllowed),
            written: None,
            seen_generation: None,
            watch: None,
            compared: Compared { at: Instant::now(), generation: 0, ours: 0 },
            known: None,
        };
        let frame = gate.survey()?;
        if let Err(error) = gate.commit(&[], None, Some(frame)) {
            // Before 5.9 and without nf_reject_inet nobody can reject there: then drop.
            if settings.verdict == Verdict::Drop || !error.is_of_the_kernel() {
                return Err(error);
            }
            gate.verdict = Verdict::Drop;
            let frame = gate.survey()?;
            gate.commit(&[], None, Some(frame))?;
        }
        gate.abilities = gate.find_abilities()?;
        let known = Known::read(&mut gate.link, &gate.table, &gate.sets);
        let known = known.map_err(|refusal| gate.explain(refusal))?;
        let held = known.held();
        gate.known = Some(known);
        gate.has_compared()?;
        Ok((gate, held))
    }

    /// Whether others can change the table, and why.
    pub fn ownership(&self) -> Ownership {
        self.ownership
    }

    /// What packets of banned sources get: not always what was asked for.
    pub fn verdict(&self) -> Verdict {
        self.verdict
    }

    /// Makes all changes, a thousand a transaction. Each states the outcome, so imposing what is
    /// there sets its end, and lifting what is gone is fine.
    ///
    /// After [`GateError::Full`] and [`GateError::Everybody`] all other changes have been made;
    /// after [`GateError::Gone`] call [`sync`](Self::sync).
    pub fn apply(&mut self, wishes: &[Wish], now: Timestamp) -> Result<(), GateError> {
        let plan = Plan::for_changes(wishes, now);
        self.carry_out(&plan, None, None, CHANGES_A_TRANSACTION)
    }

    /// Makes the kernel hold exactly `bans`, and the accept sets exactly `never`. An element that
    /// stays is never absent. Writes the table anew when somebody removed or changed it, and makes
    /// another when its name was taken. Returns what was not as it should be.
    ///
    /// One transaction, or as many as the send buffer demands, removals first. Errors as in
    /// [`apply`](Self::apply).
    pub fn sync(
        &mut self,
        bans: &[(Target, Until)],
        never: &[Prefix],
        now: Timestamp,
    ) -> Result<Mended, GateError> {
        let never = Never::merge(never)?;
        let frame = if self.is_intact()? { None } else { Some(self.survey()?) };
        match self.sync_within(bans, &never, now, frame.clone()) {
            // Ours was removed, and something else bears its name.
            Err(GateError::Different { .. }) => {
                let frame = frame.map_or_else(|| self.survey(), Ok)?;
                self.sync_within(bans, &never, now, Some(frame.instead()))
            }
            done => done,
        }
    }

    fn sync_within(
        &mut self,
        bans: &[(Target, Until)],
        never: &Never,
        now: Timestamp,
        frame: Option<Frame>,
    ) -> Result<Mended, GateError> {
        let generation = self.generation()?;
        let known = self.known.take().filter(|_| frame.is_none());
        let held = match known.and_then(|known| known.if_still(generation)) {
            Some(held) => held,
            None => {
                let there = frame.as_ref().map_or(&self.sets, |frame| &frame.there);
                let held = dump::bans(&mut self.link, &self.table, there);
                held.map_err(|refusal| self.explain(refusal))?
            }
        };
        let plan = Plan::for_state(&held, bans, now);
        let put = plan.steps.iter().filter(|step| step.is_put()).count();
        let made = frame.as_ref().is_some_and(Frame::makes);
        let rewritten = frame.is_some() && !made;
        let mended = Mended { made, rewritten, put, removed: plan.steps.len() - put };
        self.carry_out(&plan, Some(never), frame, usize::MAX)?;
        self.has_compared()?;
        Ok(mended)
    }

    /// Replaces the accept sets at one stroke.
    pub fn set_never(&mut self, never: &[Prefix]) -> Result<(), GateError> {
        let never = Never::merge(never)?;
        self.carry_out(&Plan::default(), Some(&never), None, 1)
    }

    /// The counters. They survive everything but the removal of the table.
    pub fn drops(&mut self) -> Result<Drops, GateError> {
        dump::drops(&mut self.link, &self.table).map_err(|refusal| self.explain(refusal))
    }

    /// The bans that the kernel holds. A dump of 100k takes most of a second.
    pub fn held(&mut self) -> Result<Vec<Held>, GateError> {
        let bans = dump::bans(&mut self.link, &self.table, &self.sets);
        let bans = bans.map_err(|refusal| self.explain(refusal))?;
        let held = |(target, left): (Target, _)| Held {
            offender: target.offender(),
            scope: target.scope(),
            left,
        };
        Ok(bans.into_iter().map(held).collect())
    }

    /// Removes the table, and with it every ban.
    pub fn remove(mut self) -> Result<(), GateError> {
        let mut to = self.link.begin();
        self.objects().delete_table(&mut to);
        match self.link.commit(to) {
            Err(refusal) if refusal.errno != libc::ENOENT => Err(self.explain(refusal)),
            _ => Ok(()),
        }
    }

    fn objects(&self) -> Objects<'_> {
        Objects { table: &self.table, most_bans: self.most_bans, verdict: self.verdict }
    }

    fn explain(&mut self, refusal: Refusal) -> GateError {
        if refusal.errno == libc::EPERM
            && let Ok(Some(table)) = dump::table(&mut self.link, &self.table)
            && let Some(port) = table.owner.filter(|port| *port != self.link.port())
        {
            return GateError::owned_by(&self.table, port);
        }
        GateError::from_refusal(refusal, &self.table)
    }
}

/// A word that the language of `nft` takes unquoted.
fn is_table_name(name: &str) -> bool {
    name.len() <= 64
        && name.starts_with(|c: char| c.is_ascii_alphabetic())
        && name.chars().all(|c| c.is_ascii_alphanumeric() || c == '_')
}

/// A commit of so many takes 4 to 5 ms.
const CHANGES_A_TRANSACTION: usize = 1000;
