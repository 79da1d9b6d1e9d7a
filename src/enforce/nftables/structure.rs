//! Making the table, adopting it, and noticing that somebody else changed it.

use std::collections::BTreeSet;
use std::time::{Duration, Instant};

use super::commit::Frame;
use super::dump;
use super::element::{self, Abilities};
use super::error::GateError;
use super::ownership::Ownership;
use super::socket::Refusal;
use super::watch::{Heard, Watch};
use super::{Compared, Gate, Seen};

impl Gate {
    /// Whether others wrote to the table. Costs a few µs while nobody does.
    pub fn look(&mut self) -> Result<Seen, GateError> {
        let heard = self.heard();
        let intact = self.is_intact()?;
        if heard.touched || !intact {
            return Ok(Seen::Changed(heard.by.unwrap_or_else(|| "somebody else".to_owned())));
        }
        Ok(if heard.lost || self.is_time_to_compare() { Seen::Uncertain } else { Seen::AsWritten })
    }

    /// Whether table, chains and rules are as we wrote them. Costs a few µs while nobody commits.
    ///
    /// Our own commits move the generation like anybody's, so none is taken for ours: when it
    /// moved, the table is looked at.
    pub fn is_intact(&mut self) -> Result<bool, GateError> {
        self.look_at_structure().map_err(|refusal| self.explain(refusal))
    }

    fn look_at_structure(&mut self) -> Result<bool, Refusal> {
        let generation = dump::generation(&mut self.link)?;
        if self.seen_generation == Some(generation) {
            return Ok(true);
        }
        let found = dump::fingerprint(&mut self.link, &self.table)?;
        let intact = found.is_some() && found == self.written;
        self.seen_generation = intact.then_some(generation);
        Ok(intact)
    }

    fn heard(&mut self) -> Heard {
        let port = self.link.port();
        self.watch.as_mut().map(|watch| watch.heard(&self.table, port)).unwrap_or_default()
    }

    /// The net below the watch: somebody committed something since all was compared, and that is a
    /// while ago. Nobody else can have written to a table of our own.
    fn is_time_to_compare(&self) -> bool {
        let Compared { at, generation, ours } = self.compared;
        matches!(self.ownership, Ownership::Shared(_))
            && at.elapsed() >= COMPARE_EVERY
            && self.seen_generation.is_some_and(|seen| seen != generation.wrapping_add(ours))
    }

    /// Everything in the kernel is as it should be, just now.
    pub(super) fn has_compared(&mut self) -> Result<(), GateError> {
        let generation = self.generation()?;
        self.compared = Compared { at: Instant::now(), generation, ours: 0 };
        Ok(())
    }

    /// Listens to others where there can be any.
    pub(super) fn listen_as_needed(&mut self) {
        match self.ownership {
            Ownership::Owned => self.watch = None,
            // Without one the slow comparison remains.
            Ownership::Shared(_) if self.watch.is_none() => self.watch = Watch::open().ok(),
            Ownership::Shared(_) => {}
        }
    }

    /// Before very many changes of our own. Returns the generation.
    pub(super) fn stop_listening(&mut self) -> Result<u32, GateError> {
        let (port, table) = (self.link.port(), &self.table);
        if let Some(watch) = &mut self.watch {
            watch.pause(table, port);
        }
        self.generation().map(|generation| generation.wrapping_sub(self.compared.ours))
    }

    /// After them, with what [`stop_listening`](Self::stop_listening) returned.
    pub(super) fn listen_again(&mut self, before: u32) -> Result<(), GateError> {
        if let Some(watch) = &mut self.watch {
            watch.resume(false);
        }
        let missed = self.generation()? != before.wrapping_add(self.compared.ours);
        if let Some(watch) = self.watch.as_mut().filter(|_| missed) {
            watch.resume(true);
        }
        Ok(())
    }

    pub(super) fn generation(&mut self) -> Result<u32, GateError> {
        dump::generation(&mut self.link).map_err(|refusal| self.explain(refusal))
    }

    /// What there is to write the structure over; elements and counters stay.
    pub(super) fn survey(&mut self) -> Result<Frame, GateError> {
        let found = dump::table(&mut self.link, &self.table);
        let found = found.map_err(|refusal| self.explain(refusal))?;
        if let Some(port) = found.and_then(|table| table.owner)
            && port != self.link.port()
        {
            return Err(GateError::owned_by(&self.table, port));
        }
        let mut there = BTreeSet::new();
        if found.is_some() {
            let sets = dump::ban_sets(&mut self.link, &self.table);
            there = sets.map_err(|refusal| self.explain(refusal))?;
        }
        Ok(Frame::over(found, there))
    }

    /// Records what we wrote. Should somebody have meddled already, nothing is recorded and
    /// [`is_intact`](Self::is_intact) says so.
    pub(super) fn remember_structure(&mut self) -> Result<(), Refusal> {
        let found = dump::fingerprint(&mut self.link, &self.table)?;
        self.written =
            found.filter(|found| found.rule_count() == self.objects().rule_count(&self.sets));
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
        let destroys = self.link.commit(to).is_ok();

        let mut to = self.link.begin();
        self.objects().delete_probe_set(&mut to);
        match self.link.commit(to) {
            // Gone already, when the answer was lost and it was tried again.
            Err(refusal) if refusal.errno != libc::ENOENT => return Err(refusal),
            _ => {}
        }
        Ok(Abilities { updates, destroys })
    }
}

/// How often all elements are compared while others commit anything, to whatever table.
const COMPARE_EVERY: Duration = Duration::from_secs(60);
