//! Look-arounds and atomic groups: each runs by itself, above the alternatives so far.

use super::{Ended, Frame, Search, Undecided};

impl<const SURE: bool> Search<'_, SURE> {
    pub(super) fn look(&mut self, index: u32, pc: usize, pos: usize) -> Result<bool, Undecided> {
        let look = self.fast.looks[index as usize];
        let mut from = pos;
        for _ in 0..look.behind {
            if from == 0 {
                return Ok(look.negate);
            }
            from = self.fast.back(self.text, from);
        }
        self.spend(1 + i64::from(look.behind) / 8)?;
        let base = self.memory.frames.len();
        self.depth += 1;
        let found = self.execute(pc + 1, from)?.is_some();
        self.depth -= 1;
        if found && look.captures {
            self.keep_writes(base);
        } else {
            self.undo(base);
        }
        Ok(found != look.negate)
    }

    /// Runs the group and forgets its alternatives.
    pub(super) fn atomic(&mut self, pc: usize, pos: usize) -> Result<Ended, Undecided> {
        self.spend(1)?;
        let base = self.memory.frames.len();
        self.depth += 1;
        let ended = self.execute(pc + 1, pos)?;
        self.depth -= 1;
        self.keep_writes(base);
        Ok(ended.map(|(close, end)| (close + 1, end)))
    }

    fn keep_writes(&mut self, base: usize) {
        let frames = &mut self.memory.frames;
        let mut kept = base;
        for at in base..frames.len() {
            if matches!(frames[at], Frame::Slot { .. }) {
                frames[kept] = frames[at];
                kept += 1;
            }
        }
        frames.truncate(kept);
    }

    fn undo(&mut self, base: usize) {
        while self.memory.frames.len() > base {
            match self.memory.frames.pop() {
                Some(Frame::Slot { slot, old }) => self.memory.slots[slot as usize] = old,
                Some(Frame::Register { register, old }) => {
                    self.memory.registers[register as usize] = old;
                }
                _ => {}
            }
        }
    }
}
