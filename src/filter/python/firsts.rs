//! Which byte a state needs to see next: alternatives that the next byte rules out are never tried.

use super::ast::Assert;
use super::program::{Inst, Program};

/// What the text may go on with, for a way to succeed. True when in doubt.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(super) struct First {
    bits: [u64; 4],
    /// The end of the text.
    end: bool,
}

/// The sets of all addresses; equal ones are kept once.
#[derive(Debug, Default)]
pub(super) struct Firsts {
    sets: Vec<First>,
    of: Vec<u32>,
}

impl Firsts {
    pub(super) fn new(program: &Program) -> Self {
        let mut firsts = Self::default();
        for set in solve(program) {
            let found = firsts.sets.iter().rposition(|s| *s == set).unwrap_or_else(|| {
                firsts.sets.push(set);
                firsts.sets.len() - 1
            });
            firsts.of.push(found as u32);
        }
        firsts
    }

    #[inline]
    pub(super) fn of(&self, pc: u32) -> &First {
        &self.sets[self.of[pc as usize] as usize]
    }
}

impl First {
    const ANY: Self = Self { bits: [u64::MAX; 4], end: true };

    #[inline]
    pub(super) fn allows(&self, next: Option<&u8>) -> bool {
        match next {
            Some(byte) => self.bits[usize::from(*byte >> 6)] >> (byte & 63) & 1 == 1,
            None => self.end,
        }
    }

    pub(super) fn is_any(&self) -> bool {
        *self == Self::ANY
    }

    /// The only byte, if there is but one.
    pub(super) fn only(&self) -> Option<u8> {
        let mut bytes = (0..=255u8).filter(|b| self.allows(Some(b)));
        match (bytes.next(), bytes.next(), self.end) {
            (byte, None, false) => byte,
            _ => None,
        }
    }

    fn add(&mut self, byte: u8) {
        self.bits[usize::from(byte >> 6)] |= 1 << (byte & 63);
    }

    fn or(mut self, other: Self) -> Self {
        for (bits, more) in self.bits.iter_mut().zip(other.bits) {
            *bits |= more;
        }
        self.end |= other.end;
        self
    }
}

/// Grows from nothing until nothing changes.
fn solve(program: &Program) -> Vec<First> {
    let mut all = vec![First::default(); program.code.len()];
    let mut changed = true;
    while changed {
        changed = false;
        for pc in (0..program.code.len()).rev() {
            let before = transfer(program, &all, pc);
            changed |= before != all[pc];
            all[pc] = before;
        }
    }
    all
}

fn transfer(program: &Program, all: &[First], pc: usize) -> First {
    let to = |pc: u32| all[pc as usize];
    let on = || all.get(pc + 1).copied().unwrap_or(First::ANY);
    let mut first = First::default();
    match program.code[pc] {
        Inst::Fail => {}
        // What follows a look-around reads the same text again; and what follows an atomic group must
        // not choose the way through it.
        Inst::Match | Inst::LookEnd(_) | Inst::AtomicEnd | Inst::Backref { .. } => {
            return First::ANY;
        }
        Inst::Bytes { start, .. } => first.add(program.pool[start as usize]),
        Inst::Fold { start, .. } => {
            first.add(program.pool[start as usize].to_ascii_lowercase());
            first.add(program.pool[start as usize].to_ascii_uppercase());
        }
        Inst::Set(set) => first = of_set(program, set),
        Inst::Repeat(index) => {
            let repeat = &program.repeats[index as usize];
            first = if repeat.max == 0 { first } else { of_set(program, repeat.set) };
            if repeat.min == 0 {
                first = first.or(on());
            }
        }
        Inst::Split { first, second } => return to(first).or(to(second)),
        Inst::Jump(next) => return to(next),
        Inst::LoopGuard { exit, .. } => return to(exit).or(on()),
        Inst::Conditional { no, .. } => return to(no).or(on()),
        Inst::Look(index) => return to(program.looks[index as usize].next),
        Inst::Assert(Assert::TextEnd) => first.end = true,
        Inst::Assert(Assert::End | Assert::LineEnd) => {
            first.end = true;
            first.add(b'\n');
        }
        Inst::Assert(_)
        | Inst::Save(_)
        | Inst::Memo(_)
        | Inst::LoopInit(_)
        | Inst::LoopSet(_)
        | Inst::Atomic => {
            return on();
        }
    }
    first
}

fn of_set(program: &Program, set: u32) -> First {
    let set = &program.sets[set as usize];
    let mut first = First::default();
    for byte in 0..=255u8 {
        if set.bytes[usize::from(byte)] || (byte >= 0x80 && set.has_wide()) {
            first.add(byte);
        }
    }
    first
}
