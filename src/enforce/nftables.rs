//! The gate itself: bans as elements of nf_tables sets, spoken directly over netlink.
//!
//! Owns the table `inet <name>` and everything in it: sets of bans, the accept sets, the rules and
//! the counters of dropped packets. Changes enter; what the kernel holds leaves. Every element
//! carries its own end, so bans expire without us. Blocking: for a thread of its own. Keeps no copy
//! of the bans, and does not know why anybody is banned.

mod batch;
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

use std::collections::BTreeSet;
use std::time::Duration;

pub use error::GateError;
pub use ownership::{Ownership, Reason};

use crate::ban::Change;
use crate::model::{Prefix, Timestamp, Until};
use dump::Fingerprint;
use element::{Abilities, Step};
use known::Known;
use layout::BanSet;
use never::Never;
use objects::Objects;
use plan::Plan;
use socket::{Link, Refusal};

/// How the gate is set up.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Settings {
    /// Name of the table, family `inet`.
    pub table: String,
    /// The size of each set of bans: one for each family and prefix length in use.
    pub most_bans: u32,
}

/// A ban that the kernel holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Held {
    /// Who is banned.
    pub offender: Prefix,
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

/// The table in the kernel, and the only way to write it.
#[derive(Debug)]
pub struct Gate {
    link: Link,
    table: String,
    most_bans: u32,
    sets: BTreeSet<BanSet>,
    abilities: Abilities,
    ownership: Ownership,
    written: Option<Fingerprint>,
    seen_generation: Option<u32>,
    /// What the kernel held when the gate was opened: to read it again would take half of a start.
    known: Option<Known>,
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
            sets: BTreeSet::new(),
            abilities: Abilities::LEAST,
            ownership: Ownership::Shared(Reason::NotAllowed),
            written: None,
            seen_generation: None,
            known: None,
        };
        gate.establish()?;
        gate.abilities = gate.find_abilities()?;
        let known = Known::read(&mut gate.link, &gate.table, &gate.sets);
        let known = known.map_err(|refusal| gate.explain(refusal))?;
        let held = known.held();
        gate.known = Some(known);
        Ok((gate, held))
    }

    /// Whether others can change the table, and why.
    pub fn ownership(&self) -> Ownership {
        self.ownership
    }

    /// Makes all changes, a thousand a transaction. Each states the outcome, so imposing what is
    /// there sets its end, and lifting what is gone is fine.
    ///
    /// After [`GateError::Full`] and [`GateError::Everybody`] all other changes have been made;
    /// after [`GateError::Gone`] call [`sync`](Self::sync).
    pub fn apply(&mut self, changes: &[Change], now: Timestamp) -> Result<(), GateError> {
        let plan = Plan::for_changes(changes, now);
        self.carry_out(&plan, None, CHANGES_A_TRANSACTION)
    }

    /// Makes the kernel hold exactly `bans`, and the accept sets exactly `never`. An element that
    /// stays is never absent. Writes the table anew when somebody removed or changed it.
    ///
    /// One transaction, or as many as the send buffer demands, removals first. Errors as in
    /// [`apply`](Self::apply).
    pub fn sync(
        &mut self,
        bans: &[(Prefix, Until)],
        never: &[Prefix],
        now: Timestamp,
    ) -> Result<(), GateError> {
        let never = Never::merge(never)?;
        if !self.is_intact()? {
            self.establish()?;
        }
        let generation = dump::generation(&mut self.link);
        let generation = generation.map_err(|refusal| self.explain(refusal))?;
        let held = match self.known.take().and_then(|known| known.if_still(generation)) {
            Some(held) => held,
            None => dump::bans(&mut self.link, &self.table, &self.sets)
                .map_err(|refusal| self.explain(refusal))?,
        };
        let plan = Plan::for_state(&held, bans, now);
        self.carry_out(&plan, Some(&never), usize::MAX)
    }

    /// Replaces the accept sets at one stroke.
    pub fn set_never(&mut self, never: &[Prefix]) -> Result<(), GateError> {
        let never = Never::merge(never)?;
        self.carry_out(&Plan::default(), Some(&never), 1)
    }

    /// The counters. They survive everything but the removal of the table.
    pub fn drops(&mut self) -> Result<Drops, GateError> {
        dump::drops(&mut self.link, &self.table).map_err(|refusal| self.explain(refusal))
    }

    /// The bans that the kernel holds. A dump of 100k takes most of a second.
    pub fn held(&mut self) -> Result<Vec<Held>, GateError> {
        let bans = dump::bans(&mut self.link, &self.table, &self.sets);
        let bans = bans.map_err(|refusal| self.explain(refusal))?;
        Ok(bans.into_iter().map(|(offender, left)| Held { offender, left }).collect())
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
        Objects { table: &self.table, most_bans: self.most_bans }
    }

    fn carry_out(
        &mut self,
        plan: &Plan,
        never: Option<&Never>,
        most: usize,
    ) -> Result<(), GateError> {
        let most = most.min(self.steps_a_transaction(never)).max(1);
        let mut refused = 0;
        let mut parts = plan.steps.chunks(most);
        if never.is_some() {
            refused += self.commit(parts.next().unwrap_or_default(), never)?;
        }
        for part in parts {
            refused += self.commit(part, None)?;
        }
        match plan.everybody {
            _ if refused > 0 => {
                Err(GateError::Full { table: self.table.clone(), most: self.most_bans, refused })
            }
            Some(everybody) => Err(GateError::Everybody(everybody)),
            None => Ok(()),
        }
    }

    /// One transaction; on trouble with its size, several. Returns how many bans found no room.
    fn commit(&mut self, steps: &[Step], never: Option<&Never>) -> Result<usize, GateError> {
        for _ in 0..RACES {
            let Err(refusal) = self.try_commit(steps, never) else { return Ok(0) };
            match (refusal.errno, steps) {
                // A removal that had to add first found nothing there: it is done.
                (libc::ENFILE, [step]) => return Ok(usize::from(step.is_put())),
                (libc::ENFILE | libc::EMSGSIZE, [_, _, ..]) => {
                    let (first, second) = steps.split_at(steps.len() / 2);
                    return Ok(self.commit(first, never)? + self.commit(second, None)?);
                }
                // On kernels without DESTROYSETELEM an element can expire before its deletion.
                (libc::ENOENT, _) if self.is_intact()? => {}
                _ => return Err(self.explain(refusal)),
            }
        }
        Err(GateError::Gone { table: self.table.clone() })
    }

    fn try_commit(&mut self, steps: &[Step], never: Option<&Never>) -> Result<(), Refusal> {
        let mut to = self.link.begin();
        let new = self.new_sets(steps);
        if !new.is_empty() {
            new.iter().for_each(|set| self.objects().ban_set(&mut to, *set));
            self.objects().entry_rules(&mut to, &(&self.sets | &new));
        }
        if let Some(never) = never {
            element::write_never(&mut to, &self.table, never);
        }
        // Nothing was ever in a set that is not there.
        let known = |step: &&Step| step.is_put() || self.sets.contains(&step.set());
        let known: Vec<Step> = steps.iter().filter(known).copied().collect();
        element::write(&mut to, &self.table, self.abilities, &known);
        self.link.commit(to)?;
        if !new.is_empty() {
            self.sets.extend(new);
            self.remember_structure()?;
        }
        Ok(())
    }

    fn new_sets(&self, steps: &[Step]) -> BTreeSet<BanSet> {
        let sets = steps.iter().filter(|step| step.is_put()).map(Step::set);
        sets.filter(|set| !self.sets.contains(set)).collect()
    }

    /// How many steps surely fit, beside the accept sets and the rules of every length.
    fn steps_a_transaction(&self, never: Option<&Never>) -> usize {
        let rules = (self.sets.len() + ROOM_FOR_NEW_SETS) * RULE_BYTES;
        let never = never.map_or(0, Never::bytes);
        let room = self.link.room().saturating_sub(rules + never);
        room / self.abilities.bytes_a_step()
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
/// How often an element may expire between our deletion and the kernel's.
const RACES: usize = 8;
/// A rule, its set and the headers of its lists of elements: at most so many bytes.
const RULE_BYTES: usize = 1024;
/// A transaction that brings more new lengths than this may have to be halved.
const ROOM_FOR_NEW_SETS: usize = 8;
