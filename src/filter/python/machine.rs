//! Runs a [`Program`]: backtracking in Perl's and Python's order of preference, on a stack of its own.
//!
//! After some steps ([`Memory::remembering_after`]) it also remembers which states have failed, so that no state is
//! explored twice and the work is bounded by program × text. Idea: Davis, Servant and Lee, "Using
//! selective memoization to defeat regular expression denial of service", IEEE S&P 2021. States whose
//! future depends on captures are never remembered; for those the caller's steps are the bound.

mod looks;
mod repeats;

use super::ast::{Assert, Fold};
use super::backward::Backward;
use super::error::OutOfSteps;
use super::memory::{Frame, Memory, NONE};
use super::places;
use super::program::{Context, Inst, Memo, Program};

pub(super) struct Machine<'a> {
    program: &'a Program,
    text: &'a [u8],
    /// What is known of the text from its end.
    backward: Option<&'a Backward>,
    memory: &'a mut Memory,
    /// The innermost open look-around or atomic group: where its frame is on the stack.
    open: u32,
    steps: u64,
    /// When `steps` has come down to this, remembering begins.
    quiet_until: u64,
    pc: u32,
    pos: u32,
}

impl<'a> Machine<'a> {
    /// For one search over one text, from as many starts as the caller likes.
    pub(super) fn new(
        program: &'a Program,
        text: &'a [u8],
        backward: Option<&'a Backward>,
        memory: &'a mut Memory,
        steps: u64,
    ) -> Result<Self, OutOfSteps> {
        if text.len() > MAX_TEXT {
            return Err(OutOfSteps);
        }
        memory.prepare(program.slots, program.registers);
        let quiet_until = steps.saturating_sub(memory.quiet);
        Ok(Self { program, text, backward, memory, open: NONE, steps, quiet_until, pc: 0, pos: 0 })
    }

    /// Tries a match that begins at `start`; afterwards the slots hold the captures.
    pub(super) fn run(&mut self, start: usize) -> Result<bool, OutOfSteps> {
        if !self.possible(0, start) {
            return Ok(false);
        }
        self.pc = 0;
        self.pos = start as u32;
        loop {
            self.spend(1)?;
            let inst = self.program.code[self.pc as usize];
            if inst == Inst::Match {
                self.memory.slots[0] = start as u32;
                self.memory.slots[1] = self.pos;
                return Ok(true);
            }
            if !self.step(inst)? && !self.backtrack()? {
                return Ok(false);
            }
        }
    }

    /// One instruction; false if it fails.
    #[inline]
    fn step(&mut self, inst: Inst) -> Result<bool, OutOfSteps> {
        match inst {
            Inst::Match => {}
            Inst::Fail => return Ok(false),
            Inst::Bytes { start, end } => {
                let wanted = &self.program.pool[start as usize..end as usize];
                if !self.text[self.pos as usize..].starts_with(wanted) {
                    return Ok(false);
                }
                self.pos += end - start;
            }
            Inst::Fold { start, end } => {
                let wanted = &self.program.pool[start as usize..end as usize];
                let found = self.text.get(self.pos as usize..self.pos as usize + wanted.len());
                if !found.is_some_and(|f| f.eq_ignore_ascii_case(wanted)) {
                    return Ok(false);
                }
                self.pos += end - start;
            }
            Inst::Set(set) => {
                match self.program.sets[set as usize].step(self.text, self.pos as usize) {
                    Some(end) => self.pos = end as u32,
                    None => return Ok(false),
                }
            }
            Inst::Repeat(index) => return self.repeat(index),
            Inst::Split { first, second } => {
                let next = self.text.get(self.pos as usize);
                let [one, other] = [first, second].map(|pc| {
                    self.program.firsts.of(pc).allows(next) && self.possible(pc, self.pos as usize)
                });
                if one && other {
                    self.push(Frame::Resume { pc: second, pos: self.pos })?;
                }
                self.pc = if one { first } else { second };
                return Ok(one || other);
            }
            Inst::Jump(to) => {
                self.pc = to;
                return Ok(true);
            }
            Inst::Save(slot) => {
                let old = std::mem::replace(&mut self.memory.slots[slot as usize], self.pos);
                self.push(Frame::Slot { slot, old })?;
            }
            Inst::Assert(assert) if !self.holds(assert) => return Ok(false),
            Inst::Assert(_) => {}
            Inst::Memo(index) => return self.meet(index),
            Inst::LoopInit(register) => self.set_register(register, NONE)?,
            Inst::LoopSet(register) => self.set_register(register, self.pos)?,
            Inst::LoopGuard { register, exit } => {
                if self.memory.registers[register as usize] == self.pos {
                    self.pc = exit;
                    return Ok(true);
                }
            }
            Inst::Look(index) => return self.open_look(index),
            Inst::LookEnd(_) | Inst::AtomicEnd => return self.close(),
            Inst::Atomic => self.open_frame()?,
            Inst::Backref { group, fold } => return Ok(self.backref(group, fold)),
            Inst::Conditional { group, no } => {
                if self.captured(group).is_none() {
                    self.pc = no;
                    return Ok(true);
                }
            }
        }
        self.pc += 1;
        Ok(true)
    }

    /// Takes the next alternative; false if there is none.
    fn backtrack(&mut self) -> Result<bool, OutOfSteps> {
        while let Some(frame) = self.memory.stack.pop() {
            match frame {
                Frame::Resume { pc, pos } => {
                    (self.pc, self.pos) = (pc, pos);
                    return Ok(true);
                }
                Frame::Slot { slot, old } => self.memory.slots[slot as usize] = old,
                Frame::Register { register, old } => self.memory.registers[register as usize] = old,
                Frame::Greedy { pc, low, at } => {
                    if self.shrink(pc, low, at)? {
                        return Ok(true);
                    }
                }
                Frame::Lazy { pc, low, at, left } => {
                    if self.extend(pc, low, at, left)? {
                        return Ok(true);
                    }
                }
                Frame::Failed { memo, pos } => self.remember_failure(memo, pos),
                Frame::Open { pc, pos, outer } => {
                    self.open = outer;
                    if self.skip_failed_look(pc, pos) {
                        return Ok(true);
                    }
                }
            }
        }
        Ok(false)
    }

    /// A point where ways meet: has this state failed before?
    fn meet(&mut self, index: u32) -> Result<bool, OutOfSteps> {
        self.pc += 1;
        let program = self.program;
        let Some(memo) = &program.memos[index as usize] else { return Ok(true) };
        if !self.remembering() {
            return Ok(true);
        }
        let flags = self.flags(memo, self.pos);
        if self.memory.memo.get(memo.row + flags, self.pos) {
            return Ok(false);
        }
        match memo.context {
            Context::Main => self.memory.memo.set(memo.row + flags, self.pos),
            context
                if context.keeps_successes()
                    && self.memory.memo.get(memo.successes() + flags, self.pos) =>
            {
                return self.close_known();
            }
            Context::Look | Context::Atomic | Context::Inner => {
                self.push(Frame::Failed { memo: index, pos: self.pos })?
            }
        }
        Ok(true)
    }

    fn remember_failure(&mut self, index: u32, pos: u32) {
        if let Some(memo) = &self.program.memos[index as usize] {
            let row = memo.row + self.flags(memo, pos);
            self.memory.memo.set(row, pos);
        }
    }

    /// Which of the loops around are in an iteration that is empty so far, as a number.
    fn flags(&self, memo: &Memo, pos: u32) -> u32 {
        let empty = |r: &u32| u32::from(self.memory.registers[*r as usize] == pos);
        memo.registers.iter().fold(0, |flags, r| flags << 1 | empty(r))
    }

    /// Can this state still come to a match, as far as is known?
    #[inline]
    fn possible(&self, pc: u32, pos: usize) -> bool {
        self.backward.is_none_or(|it| it.possible(&self.memory.passed, pc, pos))
    }

    fn remembering(&mut self) -> bool {
        if !self.memory.memo.on && self.steps <= self.quiet_until {
            self.memory.memo.start(self.program.rows, self.text.len());
        }
        self.memory.memo.on
    }

    #[inline]
    fn spend(&mut self, steps: u64) -> Result<(), OutOfSteps> {
        self.steps = self.steps.checked_sub(steps).ok_or(OutOfSteps)?;
        Ok(())
    }

    #[inline]
    fn push(&mut self, frame: Frame) -> Result<(), OutOfSteps> {
        if self.memory.stack.len() >= MAX_FRAMES {
            return Err(OutOfSteps);
        }
        self.memory.stack.push(frame);
        Ok(())
    }

    fn set_register(&mut self, register: u32, value: u32) -> Result<(), OutOfSteps> {
        let old = std::mem::replace(&mut self.memory.registers[register as usize], value);
        self.push(Frame::Register { register, old })
    }

    fn captured(&self, group: u32) -> Option<(usize, usize)> {
        places::span(&self.memory.slots[group as usize * 2..][..2])
    }

    fn backref(&mut self, group: u32, fold: Option<Fold>) -> bool {
        let slots = &self.memory.slots[group as usize * 2..][..2];
        let Some(end) = places::again(self.text, slots, self.pos as usize, fold) else {
            return false;
        };
        // A long group that is compared again and again is work, too.
        let length = u64::from(slots[1].saturating_sub(slots[0]));
        self.steps = self.steps.saturating_sub(length / 16);
        self.pos = end as u32;
        self.pc += 1;
        true
    }

    fn holds(&self, assert: Assert) -> bool {
        places::holds(assert, self.text, self.pos as usize)
    }
}

/// Frames on the stack, 20 bytes each. A program needs a few for each iteration over the text.
const MAX_FRAMES: usize = 1 << 21;
/// Longer texts are refused: positions are `u32`.
pub(super) const MAX_TEXT: usize = 1 << 30;
