//! [`Program`] → [`Fast`].

use std::collections::HashMap;

use memchr::memmem;

use super::ops::Op;
use super::runs::{Next, Run};
use super::{Fast, START};
use crate::filter::python::ast::Kind;
use crate::filter::python::chars::{Set, Wide};
use crate::filter::python::memory::NONE;
use crate::filter::python::program::{Inst, Program, Repeat, Scan};

impl Fast {
    /// Lowers a program whose first bytes are known.
    pub(in crate::filter::python) fn new(program: &Program) -> Fast {
        let mut lower = Lower {
            program,
            fast: Fast {
                ops: vec![Op::Fail; START],
                origin: vec![0; START],
                pool: program.pool.clone(),
                tables: Vec::new(),
                runs: Vec::new(),
                classes: Box::new([0; 257]),
                choices: Vec::new(),
            },
            at: vec![0; program.code.len()],
            sets: HashMap::new(),
        };
        lower.all();
        lower.patch();
        lower.fast
    }

    /// Nothing at all: every line is left to the machine that remembers.
    pub(in crate::filter::python) fn none() -> Fast {
        Fast {
            ops: Vec::new(),
            origin: Vec::new(),
            pool: Vec::new(),
            tables: Vec::new(),
            runs: Vec::new(),
            classes: Box::new([0; 257]),
            choices: Vec::new(),
        }
    }

    pub(in crate::filter::python) fn is_none(&self) -> bool {
        self.ops.is_empty()
    }
}

pub(super) struct Lower<'p> {
    pub(super) program: &'p Program,
    pub(super) fast: Fast,
    /// Where each instruction of the program went.
    pub(super) at: Vec<u32>,
    /// Tables of sets.
    sets: HashMap<u32, u32>,
}

impl Lower<'_> {
    fn all(&mut self) {
        let mut pc = 0;
        while pc < self.program.code.len() {
            self.at[pc] = self.fast.ops.len() as u32;
            let used = self.one(pc);
            self.fast.origin.resize(self.fast.ops.len(), pc as u32);
            for skipped in pc + 1..pc + used {
                self.at[skipped] = self.fast.ops.len() as u32;
            }
            pc += used;
        }
    }

    /// Lowers what begins at `pc`; how many instructions that took.
    fn one(&mut self, pc: usize) -> usize {
        let op = match self.program.code[pc] {
            Inst::Memo(_) => return 1,
            Inst::Match => Op::Match,
            Inst::Fail => Op::Fail,
            Inst::Bytes { start, end } => self.bytes(start, end - start),
            Inst::Fold { start, end } => Op::Fold { start, len: end - start },
            Inst::Set(set) => Op::Set { table: self.of_set(set), set },
            Inst::Repeat(index) => self.repeat(pc, &self.program.repeats[index as usize]),
            Inst::Split { .. } => {
                if let Some((op, used)) = self.run_before(pc) {
                    self.fast.ops.push(op);
                    return used;
                }
                Op::Split(pc as u32)
            }
            Inst::Jump(to) => Op::Jump(to),
            Inst::Save(slot) => Op::Save(slot),
            Inst::Assert(assert) => Op::Assert(assert),
            Inst::LoopInit(register) => Op::LoopInit(register),
            Inst::LoopGuard { register, exit } => Op::LoopGuard { register, exit },
            Inst::LoopSet(register) => Op::LoopSet(register),
            Inst::Look(look) => {
                if let Some((op, used)) = self.small_look(pc, look) {
                    self.fast.ops.push(op);
                    return used;
                }
                Op::Look { look, next: self.program.looks[look as usize].next }
            }
            Inst::LookEnd(_) | Inst::AtomicEnd => Op::Close,
            Inst::Atomic => Op::Atomic,
            Inst::Backref { group, fold } => Op::Backref { group, fold },
            Inst::Conditional { group, no } => Op::Conditional { group, no },
        };
        self.fast.ops.push(op);
        1
    }

    fn bytes(&self, start: u32, len: u32) -> Op {
        let bytes = &self.fast.pool[start as usize..][..len as usize];
        match bytes {
            [byte] => Op::Byte(*byte),
            _ if len <= 8 => {
                let mut eight = [0; 8];
                eight[..bytes.len()].copy_from_slice(bytes);
                Op::Short { value: u64::from_le_bytes(eight), len: len as u8 }
            }
            _ => Op::Bytes { start, len },
        }
    }

    fn repeat(&mut self, pc: usize, repeat: &Repeat) -> Op {
        let run = Run {
            table: self.of_set(repeat.set),
            set: repeat.set,
            min: repeat.min,
            max: repeat.max,
            kind: repeat.kind,
            scan: repeat.scan,
            next: self.next(pc + 1),
            save: NONE,
            used: 1,
            taken: 0,
            before: None,
        };
        self.run(run, pc + 1)
    }

    /// The instruction for a run.
    fn run(&mut self, mut run: Run, behind: usize) -> Op {
        self.take(&mut run, behind);
        let index = self.fast.runs.len() as u32;
        let set = &self.fast.tables[run.table as usize];
        // Inside a run the next character belongs to it: if that cannot follow, only the end is left.
        // A run that stops before a literal may stop anywhere, and only there if that follows.
        let only_end = match (&run.before, &run.next) {
            (_, Next::Any) => false,
            (Some(before), Next::Bytes { start, len, .. }) => {
                self.fast.pool[*start as usize..][..*len as usize].starts_with(before.needle())
            }
            (Some(_), Next::Table(_)) => false,
            (None, Next::Bytes { first, .. }) => set[usize::from(*first)] == 0,
            (None, Next::Table(next)) => {
                let next = &self.fast.tables[*next as usize];
                (0..256).all(|byte| set[byte] == 0 || next[byte] == 0)
            }
        };
        let op = match run.kind {
            _ if only_end || run.min == run.max => Op::Stop(index),
            Kind::Possessive => Op::Stop(index),
            Kind::Greedy => Op::Greedy(index),
            Kind::Lazy => Op::Lazy(index),
        };
        self.fast.runs.push(run);
        op
    }

    /// What the run at hand does at once: `behind` it a group may end, and a literal follow, which has
    /// been looked for already.
    fn take(&self, run: &mut Run, behind: usize) {
        let code = &self.program.code;
        let memos =
            |at: usize| at + code[at..].iter().take_while(|it| matches!(it, Inst::Memo(_))).count();
        let mut at = memos(behind);
        if let Inst::Save(slot) = code[at] {
            run.save = slot;
            run.used += 1;
            at = memos(at + 1);
        }
        // Somebody may come to the literal by another way; it stays where it is.
        if let (Inst::Bytes { start, end }, Next::Bytes { start: wanted, .. }) =
            (code[at], &run.next)
            && start == *wanted
        {
            run.used += 1;
            run.taken = end - start;
        }
    }

    /// `(?:(?!literal)[set])*`, of which `pc` is the fork.
    fn run_before(&mut self, pc: usize) -> Option<(Op, usize)> {
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
        let needle = &self.fast.pool[literal.0 as usize..][..literal.1 as usize];
        let before = Some(Box::new(memmem::Finder::new(needle).into_owned()));
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
            kind,
            scan,
            next,
            save: NONE,
            used: 1,
            taken: 0,
            before,
        };
        Some((self.run(run, exit as usize), close + 3 - pc))
    }

    /// A look-around's body from `pc` on that is but a literal: the literal, and where it closes.
    fn literal_body(&self, mut pc: usize) -> Option<((u32, u32), usize)> {
        while matches!(self.program.code.get(pc)?, Inst::Memo(_)) {
            pc += 1;
        }
        let Inst::Bytes { start, end } = self.program.code[pc] else { return None };
        let close = matches!(self.program.code.get(pc + 1)?, Inst::LookEnd(_));
        close.then_some(((start, end - start), pc + 1))
    }

    /// A look-around for a literal or for one character.
    fn small_look(&mut self, pc: usize, index: u32) -> Option<(Op, usize)> {
        let look = self.program.looks[index as usize];
        let mut body = pc + 1;
        while matches!(self.program.code.get(body)?, Inst::Memo(_)) {
            body += 1;
        }
        let negate = look.negate;
        if look.behind == 0
            && let Some(((start, len), close)) = self.literal_body(body)
        {
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
                let byte = self.fast.pool[start as usize];
                self.table(&|it| u8::from(it == usize::from(byte)))
            }
            _ => return None,
        };
        Some((Op::LookOne { table, behind: look.behind == 1, negate }, body + 2 - pc))
    }

    /// What must follow at `pc`.
    fn next(&mut self, pc: usize) -> Next {
        let mut at = pc;
        while let Some(Inst::Save(_) | Inst::Memo(_)) = self.program.code.get(at) {
            at += 1;
        }
        if let Some(Inst::Bytes { start, end }) = self.program.code.get(at) {
            let first = self.fast.pool[*start as usize];
            return Next::Bytes { first, start: *start, len: end - start };
        }
        let first = *self.program.firsts.of(pc as u32);
        if first.is_any() {
            return Next::Any;
        }
        Next::Table(self.table(&|it| u8::from(first.allows(u8::try_from(it).ok().as_ref()))))
    }

    fn of_set(&mut self, index: u32) -> u32 {
        if let Some(table) = self.sets.get(&index) {
            return *table;
        }
        let set: &Set = &self.program.sets[index as usize];
        let wide = matches!(set.wide, Wide::Ranges(_));
        let table = self.table(&|byte| match byte {
            256 => 0,
            0x80.. if wide => 2,
            byte => u8::from(set.bytes[byte]),
        });
        self.sets.insert(index, table);
        table
    }

    fn table(&mut self, of: &dyn Fn(usize) -> u8) -> u32 {
        let table: [u8; 257] = std::array::from_fn(of);
        let tables = &mut self.fast.tables;
        let found = tables.iter().position(|it| *it == table).unwrap_or_else(|| {
            tables.push(table);
            tables.len() - 1
        });
        found as u32
    }

    /// Addresses of the program → of the lowered one, forks → rows.
    fn patch(&mut self) {
        if self.fast.ops.len() > usize::from(u16::MAX) {
            self.fast = Fast::none();
            return;
        }
        let bytes = self.classes();
        for at in 0..self.fast.ops.len() {
            let mut op = self.fast.ops[at];
            match &mut op {
                Op::Jump(to) => *to = self.at[self.through(*to as usize)],
                Op::LoopGuard { exit: to, .. }
                | Op::Look { next: to, .. }
                | Op::Conditional { no: to, .. } => *to = self.at[*to as usize],
                Op::Split(row) => {
                    let pc = *row as usize;
                    *row = self.fast.choices.len() as u32;
                    for byte in &bytes {
                        let choice = self.choice(pc, byte.as_ref());
                        self.fast.choices.push(choice);
                    }
                }
                _ => {}
            }
            self.fast.ops[at] = op;
        }
    }

    pub(super) fn through(&self, mut pc: usize) -> usize {
        for _ in 0..MAX_FOLLOWED {
            match self.program.code[pc] {
                Inst::Memo(_) => pc += 1,
                Inst::Jump(to) => pc = to as usize,
                _ => break,
            }
        }
        pc
    }
}

pub(super) const MAX_FOLLOWED: usize = 1_000;
