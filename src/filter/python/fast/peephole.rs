//! Look-arounds that need no machinery of their own: for one character, for a literal, and at each step
//! of a run.

use super::lower::Lower;
use super::ops::Op;
use super::runs::Run;
use crate::filter::python::ast::Kind;
use crate::filter::python::chars::Wide;
use crate::filter::python::memory::NONE;
use crate::filter::python::program::{Inst, Scan};

impl Lower<'_> {
    /// `(?:(?!literal)[set])*`, of which `pc` is the fork.
    pub(super) fn run_before(&mut self, pc: usize) -> Option<(Op, usize)> {
        let code = &self.program.code;
        let Inst::Split { first, second } = code[pc] else { return None };
        let (kind, exit) = if first as usize == pc + 1 {
            (Kind::Greedy, second)
        } else if second as usize == pc + 1 {
            (Kind::Lazy, first)
        } else {
            return None;
        };
        let Inst::Look(look) = *code.get(pc + 1)? else { return None };
        let found = self.program.looks[look as usize];
        if !found.negate || found.behind > 0 {
            return None;
        }
        let (literal, close) = self.literal_body(pc + 2)?;
        let Inst::Set(set) = *code.get(close + 1)? else { return None };
        let Inst::Jump(head) = *code.get(close + 2)? else { return None };
        let is_head = |at: usize| code[at..pc].iter().all(|it| matches!(it, Inst::Memo(_)));
        if head as usize > pc || !is_head(head as usize) || exit as usize != close + 3 {
            return None;
        }
        let needle = &self.program.pool[literal.0 as usize..literal.1 as usize];
        let before = self.finder(needle);
        let scan = if matches!(self.program.sets[set as usize].wide, Wide::Ranges(_)) {
            Scan::Chars
        } else {
            Scan::Bytes
        };
        let (table, next) = (self.of_set(set), self.next(exit as usize));
        let run = Run {
            table,
            set,
            min: 0,
            max: u32::MAX,
            scan,
            is_plain: false,
            next,
            save: NONE,
            used: 1,
            taken: 0,
            before,
        };
        Some((self.run(run, kind, exit as usize), close + 3 - pc))
    }

    /// A look-around's body from `pc` on that is but a literal: the literal, and where it closes.
    fn literal_body(&self, mut pc: usize) -> Option<((u32, u32), usize)> {
        while matches!(self.program.code.get(pc)?, Inst::Memo(_)) {
            pc += 1;
        }
        let Inst::Bytes { start, end } = self.program.code[pc] else { return None };
        let close = matches!(self.program.code.get(pc + 1)?, Inst::LookEnd(_));
        close.then_some(((start, end), pc + 1))
    }

    /// A look-around for a literal or for one character.
    pub(super) fn small_look(&mut self, pc: usize, index: u32) -> Option<(Op, usize)> {
        let look = self.program.looks[index as usize];
        let mut body = pc + 1;
        while matches!(self.program.code.get(body)?, Inst::Memo(_)) {
            body += 1;
        }
        let negate = look.negate;
        if look.behind == 0
            && let Some(((start, end), close)) = self.literal_body(body)
        {
            let (start, len) = self.literal(start, end);
            let len = u16::try_from(len).ok()?;
            return Some((Op::LookBytes { start, len, negate }, close + 1 - pc));
        }
        if look.behind > 1 || !matches!(self.program.code.get(body + 1)?, Inst::LookEnd(_)) {
            return None;
        }
        let table = match self.program.code[body] {
            Inst::Set(set) if matches!(self.program.sets[set as usize].wide, Wide::Ranges(_)) => {
                return None;
            }
            Inst::Set(set) => self.of_set(set),
            Inst::Bytes { start, end } if end - start == 1 => {
                let byte = self.program.pool[start as usize];
                self.table(&|it| u8::from(it == usize::from(byte)))
            }
            _ => return None,
        };
        Some((Op::LookOne { table, behind: look.behind == 1, negate }, body + 2 - pc))
    }
}
