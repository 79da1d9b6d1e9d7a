//! Transactions: from a plan to what the kernel has taken.
//!
//! Owns what is done about a refusal that a smaller, a repeated or a different transaction makes
//! good: EMSGSIZE and ENFILE (halves), ENOENT (an element expired under our hands), flags of the
//! table that the kernel does not grant. Those that pass by themselves are the socket's affair.

use std::collections::BTreeSet;

use super::dump::Table;
use super::element::{self, Step};
use super::layout::BanSet;
use super::never::Never;
use super::objects::{OWNER_AND_PERSIST, PERSIST};
use super::ownership::{Ownership, Reason};
use super::plan::Plan;
use super::socket::Refusal;
use super::{Gate, GateError};

/// Everything but the elements, to be written within the same transaction.
#[derive(Clone, Debug)]
pub(super) struct Frame {
    /// The table that is there.
    found: Option<Table>,
    /// The sets of bans that are there.
    pub(super) there: BTreeSet<BanSet>,
    /// Take away what is there first.
    instead: bool,
    /// Ask for a table of our own.
    owned: bool,
}

impl Frame {
    /// To be written over `found`, which has the sets `there`.
    pub(super) fn over(found: Option<Table>, there: BTreeSet<BanSet>) -> Frame {
        // nf_tables does not let a plain table be turned.
        let owned = found.is_none_or(|table| table.flags & PERSIST != 0);
        Frame { found, there, instead: false, owned }
    }

    /// In place of what is there, whatever it is.
    pub(super) fn instead(self) -> Frame {
        let instead = self.found.is_some();
        Frame { found: self.found, there: BTreeSet::new(), instead, owned: true }
    }

    /// Whether there will be another table than before, with counters at zero.
    pub(super) fn makes(&self) -> bool {
        self.found.is_none() || self.instead
    }

    fn ownership(&self) -> Ownership {
        match self.owned {
            true => Ownership::Owned,
            false if self.makes() => Ownership::Shared(Reason::NotAllowed),
            false => Ownership::Shared(Reason::WasPlain),
        }
    }
}

impl Gate {
    pub(super) fn carry_out(
        &mut self,
        plan: &Plan,
        never: Option<&Never>,
        frame: Option<Frame>,
        most: usize,
    ) -> Result<(), GateError> {
        let deaf = plan.steps.len() > MOST_HEARD;
        let before = if deaf { self.stop_listening()? } else { 0 };
        let done = self.in_parts(plan, never, frame, most);
        if deaf {
            self.listen_again(before)?;
        }
        match (done?, plan.everybody) {
            (0, Some(everybody)) => Err(GateError::Everybody(everybody)),
            (0, None) => Ok(()),
            (refused, _) => {
                Err(GateError::Full { table: self.table.clone(), most: self.most_bans, refused })
            }
        }
    }

    /// Returns how many bans found no room.
    fn in_parts(
        &mut self,
        plan: &Plan,
        never: Option<&Never>,
        frame: Option<Frame>,
        most: usize,
    ) -> Result<usize, GateError> {
        let most = most.min(self.steps_a_transaction(never)).max(1);
        let mut refused = 0;
        let mut parts = plan.steps.chunks(most);
        if never.is_some() || frame.is_some() {
            refused += self.commit(parts.next().unwrap_or_default(), never, frame)?;
        }
        for part in parts {
            refused += self.commit(part, None, None)?;
        }
        Ok(refused)
    }

    /// One transaction; on trouble with its size, several. Returns how many bans found no room.
    pub(super) fn commit(
        &mut self,
        steps: &[Step],
        never: Option<&Never>,
        mut frame: Option<Frame>,
    ) -> Result<usize, GateError> {
        for _ in 0..RACES {
            let Err(refusal) = self.try_commit(steps, never, frame.as_ref()) else { return Ok(0) };
            match (refusal.errno, steps) {
                // A removal that had to add first found nothing there: it is done.
                (libc::ENFILE, [step]) if frame.is_none() => return Ok(usize::from(step.is_put())),
                (libc::ENFILE | libc::EMSGSIZE, [_, _, ..]) => {
                    let (first, second) = steps.split_at(steps.len() / 2);
                    return Ok(self.commit(first, never, frame)? + self.commit(second, None, None)?);
                }
                (errno, _) if is_about_flags(errno) && frame.as_ref().is_some_and(may_be_plain) => {
                    frame = frame.map(|frame| Frame { owned: false, ..frame });
                }
                // On kernels without DESTROYSETELEM an element can expire before its deletion; a
                // table can vanish between a look at it and the transaction.
                (libc::ENOENT, _) if frame.is_some() => frame = Some(self.survey()?),
                (libc::ENOENT, _) if self.is_intact()? => {}
                _ => return Err(self.explain(refusal)),
            }
        }
        Err(GateError::Gone { table: self.table.clone() })
    }

    pub(super) fn try_commit(
        &mut self,
        steps: &[Step],
        never: Option<&Never>,
        frame: Option<&Frame>,
    ) -> Result<(), Refusal> {
        let mut to = self.link.begin();
        let mut sets = frame.map_or_else(|| self.sets.clone(), |frame| &frame.there | &always());
        let new = new_sets(&sets, steps);
        sets.extend(&new);
        if let Some(frame) = frame {
            if frame.instead {
                self.objects().delete_table(&mut to);
            }
            self.objects().table(&mut to, if frame.owned { OWNER_AND_PERSIST } else { 0 });
            self.objects().scaffold(&mut to);
            sets.iter().for_each(|set| self.objects().ban_set(&mut to, *set));
            self.objects().rules(&mut to, &sets);
        } else if !new.is_empty() {
            new.iter().for_each(|set| self.objects().ban_set(&mut to, *set));
            self.objects().entry_rules(&mut to, &sets);
        }
        if let Some(never) = never {
            element::write_never(&mut to, &self.table, never);
        }
        // Nothing was ever in a set that is not there.
        let known = |step: &&Step| step.is_put() || sets.contains(&step.set());
        let known: Vec<Step> = steps.iter().filter(known).copied().collect();
        element::write(&mut to, &self.table, self.abilities, &known);
        self.link.commit(to)?;
        self.compared.ours = self.compared.ours.wrapping_add(1);
        if let Some(frame) = frame {
            self.ownership = frame.ownership();
            self.listen_as_needed();
        }
        if frame.is_some() || !new.is_empty() {
            self.sets = sets;
            self.remember_structure()?;
        }
        Ok(())
    }

    /// How many steps surely fit, beside the accept sets and the rules of every length.
    fn steps_a_transaction(&self, never: Option<&Never>) -> usize {
        let rules = (self.sets.len() + ROOM_FOR_NEW_SETS) * RULE_BYTES;
        let never = never.map_or(0, Never::bytes);
        let room = self.link.room().saturating_sub(rules + never);
        room / self.abilities.bytes_a_step()
    }
}

fn always() -> BTreeSet<BanSet> {
    BanSet::ALWAYS.into()
}

fn new_sets(sets: &BTreeSet<BanSet>, steps: &[Step]) -> BTreeSet<BanSet> {
    let wanted = steps.iter().filter(|step| step.is_put()).map(Step::set);
    wanted.filter(|set| !sets.contains(set)).collect()
}

/// The answers of kernels that do not know the flags, or do not grant them.
fn is_about_flags(errno: i32) -> bool {
    matches!(errno, libc::EPERM | libc::EOPNOTSUPP | libc::EINVAL)
}

fn may_be_plain(frame: &Frame) -> bool {
    frame.owned && frame.makes()
}

/// How often an element may expire between our deletion and the kernel's.
const RACES: usize = 8;
/// A rule, its set and the headers of its lists of elements: at most so many bytes.
const RULE_BYTES: usize = 1024;
/// A transaction that brings more new lengths than this may have to be halved.
const ROOM_FOR_NEW_SETS: usize = 8;
/// More steps than this at once are not listened to: they would overflow the socket of the watch.
const MOST_HEARD: usize = 5000;
