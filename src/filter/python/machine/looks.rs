//! Look-arounds and atomic groups: run inside the same machine, above a frame that marks where they
//! began. When the body succeeds, its alternatives are forgotten.

use super::{Machine, OutOfSteps};
use crate::filter::python::memory::{Frame, NONE};
use crate::filter::python::program::Inst;

impl Machine<'_> {
    pub(super) fn open_look(&mut self, index: u32) -> Result<bool, OutOfSteps> {
        let look = self.program.looks[index as usize];
        let mut from = self.pos as usize;
        for _ in 0..look.behind {
            if from == 0 {
                // Too near to the start to match: true for a negative one only.
                self.pc = look.next;
                return Ok(look.negate);
            }
            from = self.program.back(self.text, from);
        }
        self.spend(u64::from(look.behind) / 8)?;
        self.open_frame()?;
        self.pos = from as u32;
        self.pc += 1;
        Ok(true)
    }

    pub(super) fn open_frame(&mut self) -> Result<(), OutOfSteps> {
        let outer = std::mem::replace(&mut self.open, self.memory.stack.len() as u32);
        self.push(Frame::Open { pc: self.pc, pos: self.pos, outer })
    }

    /// The body of the innermost open one has succeeded.
    pub(super) fn close(&mut self) -> Result<bool, OutOfSteps> {
        let base = self.open as usize;
        let Some(&Frame::Open { pc, pos, outer }) = self.memory.stack.get(base) else {
            return Ok(false);
        };
        self.spend((self.memory.stack.len() - base) as u64 / 8)?;
        self.open = outer;
        let Inst::Look(index) = self.program.code[pc as usize] else {
            if self.memory.memo.on && outer == NONE {
                self.remember_success(base);
            }
            self.drop_alternatives(base);
            self.pc += 1;
            return Ok(true);
        };
        let look = self.program.looks[index as usize];
        if self.memory.memo.on {
            self.remember_success(base);
        }
        (self.pc, self.pos) = (look.next, pos);
        if look.negate {
            self.undo(base);
            return Ok(false);
        }
        if look.captures {
            self.drop_alternatives(base)
        } else {
            self.memory.stack.truncate(base)
        }
        Ok(true)
    }

    /// The body is known to succeed from here. Of a look-around that is all there is to know; an atomic
    /// group has done so before and then failed behind its end.
    pub(super) fn close_known(&mut self) -> Result<bool, OutOfSteps> {
        let base = self.open as usize;
        match self.memory.stack.get(base) {
            Some(&Frame::Open { pc, outer, .. })
                if self.program.code[pc as usize] == Inst::Atomic =>
            {
                self.undo(base);
                self.open = outer;
                Ok(false)
            }
            _ => self.close(),
        }
    }

    /// All alternatives of a body have failed: a negative look-around holds.
    pub(super) fn skip_failed_look(&mut self, pc: u32, pos: u32) -> bool {
        let Inst::Look(index) = self.program.code[pc as usize] else { return false };
        let look = self.program.looks[index as usize];
        (self.pc, self.pos) = (look.next, pos);
        look.negate
    }

    /// Keeps only what undoes captures, so that backtracking past the group still restores them.
    fn drop_alternatives(&mut self, base: usize) {
        let stack = &mut self.memory.stack;
        let mut kept = base;
        for i in base..stack.len() {
            if matches!(stack[i], Frame::Slot { .. }) {
                stack[kept] = stack[i];
                kept += 1;
            }
        }
        stack.truncate(kept);
    }

    fn undo(&mut self, base: usize) {
        while self.memory.stack.len() > base {
            match self.memory.stack.pop() {
                Some(Frame::Slot { slot, old }) => self.memory.slots[slot as usize] = old,
                Some(Frame::Register { register, old }) => {
                    self.memory.registers[register as usize] = old
                }
                _ => {}
            }
        }
    }

    /// What is still on the stack above `base` led to success.
    fn remember_success(&mut self, base: usize) {
        let program = self.program;
        // Registers are undone on the way down, so that each state is judged by what it saw.
        for i in (base..self.memory.stack.len()).rev() {
            match self.memory.stack[i] {
                Frame::Register { register, old } => self.memory.registers[register as usize] = old,
                Frame::Failed { memo, pos } => {
                    if let Some(memo) = program.memos[memo as usize]
                        .as_ref()
                        .filter(|m| m.context.keeps_successes())
                    {
                        self.mark_success(memo, pos, pos);
                    }
                }
                Frame::Greedy { pc, low, at } | Frame::Lazy { pc, low, at, .. } => {
                    let Inst::Repeat(index) = program.code[pc as usize] else { continue };
                    let memo = program.repeats[index as usize].memo.as_ref();
                    if let Some(memo) = memo.filter(|m| m.context.keeps_successes()) {
                        self.mark_success(memo, low, at);
                    }
                }
                _ => {}
            }
        }
    }
}

// `NONE` says that nothing is open; no stack is that high.
const _: () = assert!(super::MAX_FRAMES < NONE as usize);
