//! [`Program`] → [`Fast`].

use std::collections::HashMap;
use std::sync::Arc;

use memchr::memmem;

use super::ops::Op;
use super::runs::{ASK, IN, IN_ANY, Next, OUT, Run};
use super::{Fast, Origin, START};
use crate::filter::python::ast::Kind;
use crate::filter::python::chars::{Set, Wide};
use crate::filter::python::memory::NONE;
use crate::filter::python::program::{Inst, Need, Program, Repeat, Scan};
use crate::filter::python::share::{self, Table};

impl Fast {
    /// Lowers a program whose first bytes are known.
    pub(in crate::filter::python) fn new(program: &Program) -> (Fast, Origin) {
        let mut lower = Lower {
            program,
            ops: vec![Op::Fail; START],
            origin: vec![0; START],
            runs: Vec::new(),
            choices: Vec::new(),
            classes: [0; 257],
            pool: Vec::new(),
            tables: Vec::new(),
            finders: Vec::new(),
            at: vec![0; program.code.len()],
            sets: HashMap::new(),
        };
        lower.all();
        lower.patch();
        let fast = Fast {
            ops: lower.ops.into(),
            runs: lower.runs.into(),
            choices: lower.choices.into(),
            classes: share::table(lower.classes),
            pool: lower.pool.into(),
            tables: lower.tables.into(),
            finders: lower.finders.into(),
            sets: program.sets.as_slice().into(),
            looks: program.looks.as_slice().into(),
            slots: program.slots as u32,
            registers: program.registers as u32,
            bytewise: program.bytewise,
        };
        (fast, lower.origin.into())
    }
}

pub(super) struct Lower<'p> {
    pub(super) program: &'p Program,
    pub(super) ops: Vec<Op>,
    origin: Vec<u32>,
    runs: Vec<Run>,
    choices: Vec<(u16, u16)>,
    pub(super) classes: Table,
    pool: Vec<u8>,
    tables: Vec<Arc<Table>>,
    finders: Vec<memmem::Finder<'static>>,
    /// Where each instruction of the program went.
    pub(super) at: Vec<u32>,
    /// Tables of sets.
    sets: HashMap<u32, u32>,
}

impl<'p> Lower<'p> {
    fn all(&mut self) {
        let mut pc = 0;
        while pc < self.program.code.len() {
            self.at[pc] = self.ops.len() as u32;
            let used = self.one(pc);
            self.origin.resize(self.ops.len(), pc as u32);
            for skipped in pc + 1..pc + used {
                self.at[skipped] = self.ops.len() as u32;
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
            Inst::Bytes { start, end } => self.bytes(start, end),
            Inst::Fold { start, end } => {
                let (start, len) = self.literal(start, end);
                Op::Fold { start, len }
            }
            Inst::Set(set) => Op::Set { table: self.of_set(set), set },
            Inst::Repeat(index) => self.repeat(pc, &self.program.repeats[index as usize]),
            Inst::Split { .. } => {
                if let Some((op, used)) = self.run_before(pc) {
                    self.ops.push(op);
                    return used;
                }
                Op::Split(pc as u32)
            }
            Inst::Jump(to) => Op::Jump(to),
            Inst::Save(slot) => {
                if let Some(need) = self.need(slot) {
                    let finder = self.finder(&need.text);
                    self.ops.push(Op::Need(finder));
                }
                Op::Save(slot)
            }
            Inst::Assert(assert) => Op::Assert(assert),
            Inst::LoopInit(register) => Op::LoopInit(register),
            Inst::LoopGuard { register, exit } => Op::LoopGuard { register, exit },
            Inst::LoopSet(register) => Op::LoopSet(register),
            Inst::Look(look) => {
                if let Some((op, used)) = self.small_look(pc, look) {
                    self.ops.push(op);
                    return used;
                }
                Op::Look { look, next: self.program.looks[look as usize].next }
            }
            Inst::LookEnd(_) | Inst::AtomicEnd => Op::Close,
            Inst::Atomic => Op::Atomic,
            Inst::Backref { group, fold } => Op::Backref { group, fold },
            Inst::Conditional { group, no } => Op::Conditional { group, no },
        };
        self.ops.push(op);
        1
    }

    /// Where a literal of the program's pool stands in ours: each once.
    pub(super) fn literal(&mut self, start: u32, end: u32) -> (u32, u32) {
        let bytes = &self.program.pool[start as usize..end as usize];
        let found = memmem::find(&self.pool, bytes).unwrap_or_else(|| {
            self.pool.extend_from_slice(bytes);
            self.pool.len() - bytes.len()
        });
        (found as u32, end - start)
    }

    fn bytes(&mut self, start: u32, end: u32) -> Op {
        match &self.program.pool[start as usize..end as usize] {
            [byte] => Op::Byte(*byte),
            bytes if bytes.len() <= 8 => Op::Short { value: eight(bytes), len: bytes.len() as u8 },
            _ => {
                let (start, len) = self.literal(start, end);
                Op::Bytes { start, len }
            }
        }
    }

    fn repeat(&mut self, pc: usize, repeat: &Repeat) -> Op {
        let run = Run {
            table: self.of_set(repeat.set),
            set: repeat.set,
            min: repeat.min,
            max: repeat.max,
            scan: repeat.scan,
            is_plain: !(repeat.max == u32::MAX
                && matches!(repeat.scan, Scan::All | Scan::Until(_))),
            next: self.next(pc + 1),
            save: NONE,
            used: 1,
            taken: 0,
            before: NONE,
        };
        self.run(run, repeat.kind, pc + 1)
    }

    /// The instruction for a run.
    pub(super) fn run(&mut self, mut run: Run, kind: Kind, behind: usize) -> Op {
        self.take(&mut run, behind);
        let set = &self.tables[run.table as usize];
        // Inside a run the next character belongs to it: if that cannot follow, only the end is left.
        // A run that stops before a literal may stop anywhere, and only there if that follows.
        let before = self.finders.get(run.before as usize);
        let only_end = match (before, &run.next) {
            (_, Next::Any) => false,
            (Some(before), Next::Bytes { start, len, .. }) => {
                self.pool[*start as usize..][..*len as usize].starts_with(before.needle())
            }
            (Some(_), Next::Table(_)) => false,
            (None, Next::Bytes { value, .. }) => set[usize::from(*value as u8)] == OUT,
            (None, Next::Table(next)) => {
                let next = &self.tables[*next as usize];
                (0..256).all(|byte| set[byte] == OUT || next[byte] == 0)
            }
        };
        let index = self.runs.iter().position(|it| *it == run).unwrap_or_else(|| {
            self.runs.push(run);
            self.runs.len() - 1
        }) as u32;
        match kind {
            _ if only_end || run.min == run.max => Op::Stop(index),
            Kind::Possessive => Op::Stop(index),
            Kind::Greedy => Op::Greedy(index),
            Kind::Lazy => Op::Lazy(index),
        }
    }

    /// What the run at hand does at once: `behind` it a group may end, and a literal follow, which has
    /// been looked for already.
    fn take(&self, run: &mut Run, behind: usize) {
        let code = &self.program.code;
        let memos =
            |at: usize| at + code[at..].iter().take_while(|it| matches!(it, Inst::Memo(_))).count();
        let mut at = memos(behind);
        if let Inst::Save(slot) = code[at]
            && self.need(slot).is_none()
        {
            run.save = slot;
            run.used += 1;
            at = memos(at + 1);
        }
        // Somebody may come to the literal by another way; it stays where it is.
        if let (Inst::Bytes { start, end }, Next::Bytes { start: wanted, len, .. }) =
            (code[at], &run.next)
            && self.program.pool[start as usize..end as usize]
                == self.pool[*wanted as usize..][..*len as usize]
        {
            run.used += 1;
            run.taken = end - start;
        }
    }

    /// What must stand behind the beginning of a group, of which `slot` is that.
    fn need(&self, slot: u32) -> Option<&'p Need> {
        self.program.needs.iter().find(|it| it.group * 2 == slot)
    }

    pub(super) fn finder(&mut self, needle: &[u8]) -> u32 {
        let known = self.finders.iter().position(|it| it.needle() == needle);
        let place = known.unwrap_or_else(|| {
            self.finders.push(memmem::Finder::new(needle).into_owned());
            self.finders.len() - 1
        });
        place as u32
    }

    /// What must follow at `pc`.
    pub(super) fn next(&mut self, pc: usize) -> Next {
        let mut at = pc;
        while let Some(Inst::Save(_) | Inst::Memo(_)) = self.program.code.get(at) {
            at += 1;
        }
        if let Some(Inst::Bytes { start, end }) = self.program.code.get(at) {
            let value = eight(&self.program.pool[*start as usize..*end as usize]);
            let (start, len) = self.literal(*start, *end);
            return Next::Bytes { start, len, value };
        }
        let first = *self.program.firsts.of(pc as u32);
        if first.is_any() {
            return Next::Any;
        }
        Next::Table(self.table(&|it| u8::from(first.allows(u8::try_from(it).ok().as_ref()))))
    }

    pub(super) fn of_set(&mut self, index: u32) -> u32 {
        if let Some(table) = self.sets.get(&index) {
            return *table;
        }
        let set: &Set = &self.program.sets[index as usize];
        let table = self.table(&|byte| match (byte, &set.wide) {
            (256, _) => OUT,
            (0x80.., Wide::Ranges(_)) => ASK,
            (0x80.., Wide::All) => IN_ANY,
            _ if set.bytes[byte] => IN,
            _ => OUT,
        });
        self.sets.insert(index, table);
        table
    }

    pub(super) fn table(&mut self, of: &dyn Fn(usize) -> u8) -> u32 {
        let table = share::table(std::array::from_fn(of));
        let tables = &mut self.tables;
        let found = tables.iter().position(|it| Arc::ptr_eq(it, &table)).unwrap_or_else(|| {
            tables.push(table);
            tables.len() - 1
        });
        found as u32
    }

    /// Addresses of the program → of the lowered one, forks → rows.
    fn patch(&mut self) {
        if self.ops.len() > usize::from(u16::MAX) {
            // Nothing at all: every line is left to the machine that remembers.
            self.ops.clear();
            return;
        }
        let bytes = self.classes();
        for at in 0..self.ops.len() {
            let mut op = self.ops[at];
            match &mut op {
                Op::Jump(to) => *to = self.at[self.through(*to as usize)],
                Op::LoopGuard { exit: to, .. }
                | Op::Look { next: to, .. }
                | Op::Conditional { no: to, .. } => *to = self.at[*to as usize],
                Op::Split(row) => {
                    let pc = *row as usize;
                    *row = self.choices.len() as u32;
                    for byte in &bytes {
                        let choice = self.choice(pc, byte.as_ref());
                        self.choices.push(choice);
                    }
                }
                _ => {}
            }
            self.ops[at] = op;
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

/// The first eight bytes, as they stand in memory.
fn eight(bytes: &[u8]) -> u64 {
    let mut eight = [0; 8];
    let len = bytes.len().min(8);
    eight[..len].copy_from_slice(&bytes[..len]);
    u64::from_le_bytes(eight)
}

pub(super) const MAX_FOLLOWED: usize = 1_000;
