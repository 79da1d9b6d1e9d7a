//! The quick way: the same backtracking as [`Machine`](super::machine::Machine) over a denser form of
//! the program, with nothing remembered, and given up after a number of steps that grows with the line.
//!
//! Nearly every line of a log is decided here. What makes it quick: an alternative that the next byte
//! rules out is never tried; a run that can only end where it stops leaves nothing to come back to;
//! ends of other runs are looked for by the literal that must follow.

mod back;
mod forks;
mod looks;
mod lower;
mod ops;
mod peephole;
mod runs;
mod texts;

use std::sync::Arc;

use memchr::memmem;

use super::ast::Assert;
use super::backward::Backward;
use super::chars::{self, Set};
use super::memory::{Memory, NONE};
use super::places;
use super::program::Look;
use super::share::Table;
pub(super) use back::Frame;
use ops::Op;
use runs::Run;
use texts::starts_short;

/// A program, lowered: all that nearly every line needs of a pattern. There are thousands of them, so
/// it is small.
#[derive(Debug)]
pub(super) struct Fast {
    ops: Box<[Op]>,
    runs: Box<[Run]>,
    /// A row for each `Split`: by class, where to go, and what to try after that.
    choices: Box<[(u16, u16)]>,
    /// The class of each byte, and of the end of the text: bytes that no [`Op::Split`] tells apart.
    classes: Arc<Table>,
    pool: Box<[u8]>,
    tables: Box<[Arc<Table>]>,
    /// What runs stop before, and what is needed.
    finders: Box<[memmem::Finder<'static>]>,
    sets: Box<[Arc<Set>]>,
    looks: Box<[Look]>,
    slots: u32,
    registers: u32,
    /// Characters are bytes.
    bytewise: bool,
}

/// The program's address of each instruction of a lowered one.
pub(super) type Origin = Box<[u32]>;

impl Fast {
    /// A line may be too much for it, but is it there at all?
    pub(super) fn is_none(&self) -> bool {
        self.ops.is_empty()
    }

    /// Bytes that it points at, without what it shares with others.
    #[cfg(test)]
    pub(super) fn bytes(&self) -> usize {
        size_of_val(&*self.ops)
            + size_of_val(&*self.runs)
            + size_of_val(&*self.choices)
            + size_of_val(&*self.pool)
            + size_of_val(&*self.tables)
            + size_of_val(&*self.finders)
            + size_of_val(&*self.sets)
            + size_of_val(&*self.looks)
    }

    /// Where the character begins that ends at `at`, which must not be 0.
    #[inline]
    fn back(&self, text: &[u8], at: usize) -> usize {
        if text[at - 1] < 0x80 || self.bytewise { at - 1 } else { chars::back(text, at) }
    }
}

/// Undecided: too many steps.
#[derive(Debug)]
pub(super) struct Undecided;

/// Where a body ended: address and position.
type Ended = Option<(usize, usize)>;

/// One search over one text.
///
/// `SURE` when the text has been read from its end: then nothing that cannot succeed is entered.
pub(super) struct Search<'a, const SURE: bool> {
    backward: Option<(&'a Backward, &'a [u32])>,
    fast: &'a Fast,
    text: &'a [u8],
    memory: &'a mut Memory,
    left: i64,
    /// Open look-arounds and atomic groups.
    depth: u32,
    dirty: bool,
}

impl<'a> Search<'a, false> {
    pub(super) fn new(fast: &'a Fast, text: &'a [u8], memory: &'a mut Memory) -> Self {
        let left = STEPS + (text.len() / BYTES_A_STEP) as i64;
        Self::with(None, fast, text, memory, left)
    }
}

impl<'a> Search<'a, true> {
    /// For a text that has been read from its end.
    pub(super) fn sure(
        backward: (&'a Backward, &'a [u32]),
        fast: &'a Fast,
        text: &'a [u8],
        memory: &'a mut Memory,
    ) -> Self {
        let left = STEPS + (text.len() / BYTES_A_SURE_STEP) as i64;
        Self::with(Some(backward), fast, text, memory, left)
    }
}

impl<'a, const SURE: bool> Search<'a, SURE> {
    fn with(
        backward: Option<(&'a Backward, &'a [u32])>,
        fast: &'a Fast,
        text: &'a [u8],
        memory: &'a mut Memory,
        left: i64,
    ) -> Self {
        memory.frames.clear();
        memory.prepare(fast.slots as usize, fast.registers as usize);
        Search { backward, fast, text, memory, left, depth: 0, dirty: false }
    }

    /// Can the instruction still come to a match, as far as is known?
    #[inline]
    fn possible(&self, pc: usize, pos: usize) -> bool {
        if !SURE {
            return true;
        }
        self.backward.is_none_or(|(it, origin)| it.possible(&self.memory.passed, origin[pc], pos))
    }

    /// Tries a match that begins at `start`; afterwards the slots hold the captures.
    #[inline]
    pub(super) fn run(&mut self, start: usize) -> Result<bool, Undecided> {
        if !self.possible(START, start) {
            return Ok(false);
        }
        // At the beginning there is no need to ask whether it is.
        let anchored = start == 0
            && matches!(self.fast.ops[START], Op::Assert(Assert::TextStart | Assert::LineStart));
        match self.execute(START + usize::from(anchored), start)? {
            Some((_, end)) => {
                self.memory.slots[0] = start as u32;
                self.memory.slots[1] = end as u32;
                Ok(true)
            }
            None => {
                if std::mem::take(&mut self.dirty) {
                    self.memory.slots.fill(NONE);
                }
                Ok(false)
            }
        }
    }

    fn execute(&mut self, mut pc: usize, mut pos: usize) -> Result<Ended, Undecided> {
        let fast = self.fast;
        let (ops, text) = (&*fast.ops, self.text);
        let base = self.memory.frames.len();
        loop {
            // An arm that succeeds goes on; whatever leaves the match has failed.
            match ops[pc] {
                Op::Match | Op::Close => return Ok(Some((pc, pos))),
                Op::Fail => {}
                Op::Byte(byte) => {
                    if text.get(pos) == Some(&byte) {
                        (pc, pos) = (pc + 1, pos + 1);
                        continue;
                    }
                }
                Op::Short { value, len } => {
                    if starts_short(text, pos, value, len) {
                        (pc, pos) = (pc + 1, pos + usize::from(len));
                        continue;
                    }
                }
                Op::Bytes { start, len } => {
                    let wanted = &fast.pool[start as usize..][..len as usize];
                    if text[pos..].starts_with(wanted) {
                        (pc, pos) = (pc + 1, pos + wanted.len());
                        continue;
                    }
                }
                Op::Fold { start, len } => {
                    let wanted = &fast.pool[start as usize..][..len as usize];
                    let found = text.get(pos..pos + wanted.len());
                    if found.is_some_and(|it| it.eq_ignore_ascii_case(wanted)) {
                        (pc, pos) = (pc + 1, pos + wanted.len());
                        continue;
                    }
                }
                Op::Set { table, set } => {
                    let end = match text.get(pos) {
                        Some(byte @ 0..0x80) => {
                            let is_in = fast.tables[table as usize][usize::from(*byte)] != 0;
                            is_in.then_some(pos + 1)
                        }
                        Some(_) => fast.sets[set as usize].step(text, pos),
                        None => None,
                    };
                    if let Some(end) = end {
                        (pc, pos) = (pc + 1, end);
                        continue;
                    }
                }
                Op::Stop(run) => {
                    let run = &fast.runs[run as usize];
                    if let Some(end) = self.stop(run, pc, pos)? {
                        (pc, pos) = self.behind(run, pc, end)?;
                        continue;
                    }
                }
                Op::Greedy(run) => {
                    let run = &fast.runs[run as usize];
                    if let Some(end) = self.greedy(run, pc, pos)? {
                        (pc, pos) = self.behind(run, pc, end)?;
                        continue;
                    }
                }
                Op::Lazy(run) => {
                    let run = &fast.runs[run as usize];
                    if let Some(end) = self.lazy(run, pc, pos)? {
                        (pc, pos) = self.behind(run, pc, end)?;
                        continue;
                    }
                }
                Op::Split(row) => {
                    self.left -= 1;
                    let next = text.get(pos).map_or(256, |byte| usize::from(*byte));
                    let (to, other) = fast.choices[row as usize + usize::from(fast.classes[next])];
                    let (to, other) = (usize::from(to), usize::from(other));
                    let to_other = other != 0 && self.possible(other, pos);
                    if self.possible(to, pos) {
                        if to_other {
                            self.push(Frame::Resume { pc: other as u32, pos: pos as u32 })?;
                        }
                        pc = to;
                        continue;
                    }
                    if to_other {
                        pc = other;
                        continue;
                    }
                }
                Op::Jump(to) => {
                    pc = to as usize;
                    continue;
                }
                Op::Save(slot) => {
                    self.save(slot, pos)?;
                    pc += 1;
                    continue;
                }
                Op::Need(finder) => {
                    self.count(pos, text.len());
                    if fast.finders[finder as usize].find(&text[pos..]).is_some() {
                        pc += 1;
                        continue;
                    }
                }
                Op::Assert(assert) => {
                    if places::holds(assert, text, pos) {
                        pc += 1;
                        continue;
                    }
                }
                Op::LoopInit(register) => {
                    self.set_register(register, NONE)?;
                    pc += 1;
                    continue;
                }
                Op::LoopSet(register) => {
                    self.set_register(register, pos as u32)?;
                    pc += 1;
                    continue;
                }
                Op::LoopGuard { register, exit } => {
                    let empty = self.memory.registers[register as usize] == pos as u32;
                    pc = if empty { exit as usize } else { pc + 1 };
                    continue;
                }
                Op::Look { look, next } => {
                    if self.look(look, pc, pos)? {
                        pc = next as usize;
                        continue;
                    }
                }
                Op::LookOne { table, behind, negate } => {
                    let byte = if behind { pos.checked_sub(1) } else { Some(pos) };
                    let byte = byte.and_then(|at| text.get(at));
                    let table = &fast.tables[table as usize];
                    if byte.is_some_and(|byte| table[usize::from(*byte)] != 0) != negate {
                        pc += 1;
                        continue;
                    }
                }
                Op::LookBytes { start, len, negate } => {
                    let wanted = &fast.pool[start as usize..][..usize::from(len)];
                    if text[pos..].starts_with(wanted) != negate {
                        pc += 1;
                        continue;
                    }
                }
                Op::Atomic => {
                    if let Some(next) = self.atomic(pc, pos)? {
                        (pc, pos) = next;
                        continue;
                    }
                }
                Op::Backref { group, fold } => {
                    let slots = &self.memory.slots[group as usize * 2..][..2];
                    self.left -= i64::from(slots[1].saturating_sub(slots[0]) / 16);
                    if let Some(end) = places::again(text, slots, pos, fold) {
                        (pc, pos) = (pc + 1, end);
                        continue;
                    }
                }
                Op::Conditional { group, no } => {
                    let slots = &self.memory.slots[group as usize * 2..][..2];
                    pc = if places::span(slots).is_some() { pc + 1 } else { no as usize };
                    continue;
                }
            }
            match self.backtrack(base)? {
                Some(next) => (pc, pos) = next,
                None => return Ok(None),
            }
        }
    }

    #[inline]
    fn save(&mut self, slot: u32, pos: usize) -> Result<(), Undecided> {
        let old = std::mem::replace(&mut self.memory.slots[slot as usize], pos as u32);
        self.dirty = true;
        // With nothing to come back to, there is nothing to restore.
        if !self.memory.frames.is_empty() || self.depth > 0 {
            self.push(Frame::Slot { slot, old })?;
        }
        Ok(())
    }

    /// Behind a run that ends at `end`, the literal that was looked for there, and the end of a group
    /// between them.
    #[inline]
    fn behind(&mut self, run: &Run, pc: usize, end: usize) -> Result<(usize, usize), Undecided> {
        if run.save != NONE {
            self.save(run.save, end)?;
        }
        Ok((pc + usize::from(run.used), end + run.taken as usize))
    }

    fn set_register(&mut self, register: u32, value: u32) -> Result<(), Undecided> {
        let old = std::mem::replace(&mut self.memory.registers[register as usize], value);
        self.push(Frame::Register { register, old })
    }

    #[inline]
    fn push(&mut self, frame: Frame) -> Result<(), Undecided> {
        if self.memory.frames.len() >= if SURE { MAX_SURE_FRAMES } else { MAX_FRAMES } {
            return Err(Undecided);
        }
        self.memory.frames.push(frame);
        Ok(())
    }

    #[inline]
    fn spend(&mut self, steps: i64) -> Result<(), Undecided> {
        self.left -= steps;
        if self.left < 0 { Err(Undecided) } else { Ok(()) }
    }
}

/// An address that fails; 0 stands for none at all.
const FAIL: u16 = 1;
/// Where programs begin.
const START: usize = 2;
/// Steps before a line goes to the machine that remembers: a microsecond or ten, …
const STEPS: i64 = 8_000;
/// … and one more for so many bytes.
const BYTES_A_STEP: usize = 8;
/// With the text read from its end, a line costs little more than a step for each of its bytes.
const BYTES_A_SURE_STEP: usize = 1;
/// 64 KiB. Whoever needs more is not quick.
const MAX_FRAMES: usize = 4_096;
/// A megabyte.
const MAX_SURE_FRAMES: usize = 1 << 16;
