//! Making the table, adopting it, and noticing that somebody else changed it.

use std::time::Duration;

use super::Gate;
use super::dump::{self, Table};
use super::element::{self, Abilities};
use super::error::GateError;
use super::layout::BanSet;
use super::objects::{OWNER_AND_PERSIST, PERSIST, rule_count};
use super::ownership::{Ownership, Reason};
use super::socket::Refusal;

impl Gate {
    /// Whether table, chains and rules are as we wrote them. Costs a few µs while nobody commits.
    ///
    /// Our own commits move the generation like anybody's, so none is taken for ours: when it
    /// moved, the table is looked at.
    pub fn is_intact(&mut self) -> Result<bool, GateError> {
        self.look().map_err(|refusal| self.explain(refusal))
    }

    fn look(&mut self) -> Result<bool, Refusal> {
        let generation = dump::generation(&mut self.link)?;
        if self.seen_generation == Some(generation) {
            return Ok(true);
        }
        let found = dump::fingerprint(&mut self.link, &self.table)?;
        let intact = found.is_some() && found == self.written;
        self.seen_generation = intact.then_some(generation);
        Ok(intact)
    }

    /// Writes the structure, over what is there; elements and counters stay.
    pub(super) fn establish(&mut self) -> Result<(), GateError> {
        let found = dump::table(&mut self.link, &self.table);
        let found = found.map_err(|refusal| self.explain(refusal))?;
        if let Some(port) = found.and_then(|table| table.owner)
            && port != self.link.port()
        {
            return Err(GateError::owned_by(&self.table, port));
        }
        self.sets = BanSet::ALWAYS.into();
        if found.is_some() {
            let there = dump::ban_sets(&mut self.link, &self.table);
            let there = there.map_err(|refusal| self.explain(refusal))?;
            self.sets.extend(there);
        }
        self.ownership = self.write_structure(found).map_err(|refusal| self.explain(refusal))?;
        self.remember_structure().map_err(|refusal| self.explain(refusal))
    }

    fn write_structure(&mut self, found: Option<Table>) -> Result<Ownership, Refusal> {
        let can_be_owned = found.is_none_or(|table| table.flags & PERSIST != 0);
        if !can_be_owned {
            self.write_structure_with(0)?;
            return Ok(Ownership::Shared(Reason::WasPlain));
        }
        match self.write_structure_with(OWNER_AND_PERSIST) {
            Ok(()) => Ok(Ownership::Owned),
            Err(refusal) if found.is_none() && is_about_flags(&refusal) => {
                self.write_structure_with(0)?;
                Ok(Ownership::Shared(Reason::NotAllowed))
            }
            Err(refusal) => Err(refusal),
        }
    }

    fn write_structure_with(&mut self, flags: u32) -> Result<(), Refusal> {
        let mut to = self.link.begin();
        let objects = self.objects();
        objects.table(&mut to, flags);
        objects.scaffold(&mut to);
        self.sets.iter().for_each(|set| objects.ban_set(&mut to, *set));
        objects.rules(&mut to, &self.sets);
        self.link.commit(to)
    }

    /// Records what we wrote. Should somebody have meddled already, nothing is recorded and
    /// [`is_intact`](Self::is_intact) says so.
    pub(super) fn remember_structure(&mut self) -> Result<(), Refusal> {
        let found = dump::fingerprint(&mut self.link, &self.table)?;
        self.written = found.filter(|found| found.rule_count() == rule_count(&self.sets));
        self.seen_generation = None;
        Ok(())
    }

    /// Tries on a set of its own what the kernel can do. Versions do not tell: distributions carry
    /// such changes back.
    pub(super) fn find_abilities(&mut self) -> Result<Abilities, GateError> {
        self.try_abilities().map_err(|refusal| self.explain(refusal))
    }

    fn try_abilities(&mut self) -> Result<Abilities, Refusal> {
        let mut to = self.link.begin();
        self.objects().probe_set(&mut to);
        element::write_probe(&mut to, &self.table, Duration::from_secs(3600));
        self.link.commit(to)?;

        let mut to = self.link.begin();
        element::write_probe(&mut to, &self.table, Duration::from_secs(7200));
        self.link.commit(to)?;
        let left = dump::probe(&mut self.link, &self.table)?;
        let updates = left.is_some_and(|left| left > Duration::from_secs(5400));

        let mut to = self.link.begin();
        element::write_destroy_probe(&mut to, &self.table);
        self.objects().delete_probe_set(&mut to);
        let destroys = self.link.commit(to).is_ok();
        if !destroys {
            let mut to = self.link.begin();
            self.objects().delete_probe_set(&mut to);
            self.link.commit(to)?;
        }
        Ok(Abilities { updates, destroys })
    }
}

/// The answers of kernels that do not know the flags, or do not grant them.
fn is_about_flags(refusal: &Refusal) -> bool {
    matches!(refusal.errno, libc::EPERM | libc::EOPNOTSUPP | libc::EINVAL)
}
