//! When something has failed: what is tried next.

use super::ops::Op;
use super::{Ended, Search, Undecided};

/// What to do when everything above has failed.
#[derive(Debug, Clone, Copy)]
pub(in crate::filter::python) enum Frame {
    Resume { pc: u32, pos: u32 },
    Slot { slot: u32, old: u32 },
    Register { register: u32, old: u32 },
    Greedy { pc: u32, low: u32, at: u32 },
    Lazy { pc: u32, at: u32, left: u32 },
}

impl<const SURE: bool> Search<'_, SURE> {
    /// Takes the next alternative above `base`.
    #[inline]
    pub(super) fn backtrack(&mut self, base: usize) -> Result<Ended, Undecided> {
        while self.memory.frames.len() > base {
            let Some(frame) = self.memory.frames.pop() else { break };
            match frame {
                Frame::Slot { slot, old } => self.memory.slots[slot as usize] = old,
                Frame::Register { register, old } => self.memory.registers[register as usize] = old,
                Frame::Resume { pc, pos } => {
                    self.spend(TURN)?;
                    return Ok(Some((pc as usize, pos as usize)));
                }
                Frame::Greedy { pc, low, at } => {
                    self.spend(TURN)?;
                    if let Some(end) = self.shrink(pc as usize, low as usize, at as usize)? {
                        return self.on(pc as usize, end);
                    }
                }
                Frame::Lazy { pc, at, left } => {
                    self.spend(TURN)?;
                    if let Some(end) = self.extend(pc as usize, at as usize, left)? {
                        return self.on(pc as usize, end);
                    }
                }
            }
        }
        Ok(None)
    }

    /// Behind the run at `pc`.
    #[inline]
    fn on(&mut self, pc: usize, end: usize) -> Result<Ended, Undecided> {
        let fast = self.fast;
        let (Op::Greedy(run) | Op::Lazy(run)) = fast.ops[pc] else { return Ok(None) };
        self.behind(&fast.runs[run as usize], pc, end).map(Some)
    }
}

/// Turning back is dearer than going on.
const TURN: i64 = 2;
