//! [`Ast`] → [`Program`].
//!
//! Counted repeats are written out, so that a state is an address and a position and can be remembered.
//! Loops follow CPython: an empty iteration is accepted and ends the loop; only iterations beyond the
//! smallest count are looked at.

use std::sync::Arc;

use super::analyse;
use super::ast::{Ast, Kind, Node};
use super::chars::{self, Set};
use super::error::{Error, Problem};
use super::firsts::Firsts;
use super::liveness;
use super::program::{Context, Inst, Look, Memo, Next, Pc, Program, Repeat, Scan};
use super::share;

pub(super) fn compile(ast: &Ast) -> Result<Program, Error> {
    let mut compiler = Compiler {
        context: Context::Main,
        enclosing: Vec::new(),
        program: Program::empty(ast.groups.len()),
    };
    compiler.program.bytewise = ast.bytewise;
    compiler.node(&ast.root)?;
    compiler.push(Inst::Match)?;
    let mut program = compiler.program;
    liveness::forget_unsound(&mut program);
    hint(&mut program);
    program.needs = analyse::needs(&ast.root);
    Ok(program)
}

struct Compiler {
    program: Program,
    context: Context,
    /// Registers of the loops around, as far as they may see an empty iteration.
    enclosing: Vec<u32>,
}

impl Compiler {
    fn push(&mut self, inst: Inst) -> Result<Pc, Error> {
        if self.program.code.len() >= MAX_CODE {
            return Err(Error { at: 0, problem: Problem::TooLarge });
        }
        self.program.code.push(inst);
        Ok(self.program.code.len() as Pc - 1)
    }

    fn here(&self) -> Pc {
        self.program.code.len() as Pc
    }

    fn node(&mut self, node: &Node) -> Result<(), Error> {
        match node {
            Node::Empty => {}
            Node::Never => {
                self.push(Inst::Fail)?;
            }
            Node::Literal { .. } => self.literals(std::slice::from_ref(node))?,
            Node::Set(set) => {
                let set = self.set(set);
                self.push(Inst::Set(set))?;
            }
            Node::Assert(assert) => {
                self.push(Inst::Assert(*assert))?;
            }
            Node::Group { index: None, node } => self.node(node)?,
            Node::Group { index: Some(index), node } => {
                self.push(Inst::Save(index * 2))?;
                self.node(node)?;
                self.push(Inst::Save(index * 2 + 1))?;
            }
            Node::Concat(nodes) => self.concat(nodes)?,
            Node::Alternate(nodes) => self.alternate(nodes)?,
            Node::Repeat { node, min, max, kind } => self.repeat(node, *min, *max, *kind)?,
            Node::Atomic(node) => self.atomic(|c| c.node(node))?,
            Node::Look { behind, negate, node } => self.look(*behind, *negate, node)?,
            Node::Backref { group, fold } => {
                self.push(Inst::Backref { group: *group, fold: *fold })?;
            }
            Node::Conditional { group, yes, no } => self.conditional(*group, yes, no)?,
        }
        Ok(())
    }

    fn concat(&mut self, nodes: &[Node]) -> Result<(), Error> {
        let mut rest = nodes;
        while let Some(first) = rest.first() {
            let literals = rest.iter().take_while(|n| matches!(n, Node::Literal { .. })).count();
            if literals == 0 {
                self.node(first)?;
                rest = &rest[1..];
            } else {
                self.literals(&rest[..literals])?;
                rest = &rest[literals..];
            }
        }
        Ok(())
    }

    /// Literals in a row: runs of bytes as they are, and runs in either case. Characters without a
    /// case belong to either.
    fn literals(&mut self, nodes: &[Node]) -> Result<(), Error> {
        let start = self.program.pool.len() as u32;
        let mut folded = false;
        for node in nodes {
            if let Node::Literal { char, fold } = node {
                self.program.pool.extend_from_slice(char.encode_utf8(&mut [0; 4]).as_bytes());
                folded |= fold;
            }
        }
        let plain = |n: &Node| matches!(n, Node::Literal { char, fold: false } if char.is_ascii_alphabetic());
        let end = self.program.pool.len() as u32;
        if !folded {
            self.push(Inst::Bytes { start, end })?;
        } else if !nodes.iter().any(plain) {
            self.push(Inst::Fold { start, end })?;
        } else {
            self.program.pool.truncate(start as usize);
            let same = nodes.iter().take_while(|n| plain(n) == plain(&nodes[0])).count();
            self.literals(&nodes[..same])?;
            self.literals(&nodes[same..])?;
        }
        Ok(())
    }

    fn alternate(&mut self, nodes: &[Node]) -> Result<(), Error> {
        let mut exits = Vec::new();
        for (i, node) in nodes.iter().enumerate() {
            if i + 1 == nodes.len() {
                self.node(node)?;
            } else {
                let split = self.push(Inst::Split { first: self.here() + 1, second: 0 })?;
                self.node(node)?;
                exits.push(self.push(Inst::Jump(0))?);
                self.patch(split);
            }
        }
        exits.into_iter().for_each(|exit| self.patch(exit));
        self.memo()
    }

    fn repeat(&mut self, node: &Node, min: u32, max: Option<u32>, kind: Kind) -> Result<(), Error> {
        if let Some(one) = node.one() {
            return self.repeat_one(one, min, max, kind);
        }
        match kind {
            Kind::Possessive => self.atomic(|c| c.counted(node, min, max, kind)),
            Kind::Greedy | Kind::Lazy => self.counted(node, min, max, kind),
        }
    }

    /// A repeat of something longer than a character.
    fn counted(
        &mut self,
        node: &Node,
        min: u32,
        max: Option<u32>,
        kind: Kind,
    ) -> Result<(), Error> {
        // What matches nothing but nothing: more than a few iterations add nothing.
        let empty = matches!(node.width(&[]), (0, Some(0)));
        let cap = |n: u32| if empty { n.min(2) } else { n };
        let register = node.nullable().then(|| {
            self.program.registers += 1;
            self.program.registers as u32 - 1
        });
        if let Some(register) = register {
            self.push(Inst::LoopInit(register))?;
            self.enclosing.push(register);
        }
        for _ in 0..cap(min) {
            self.iteration(node, kind)?;
        }
        let mut exits = Vec::new();
        match max {
            None => {
                let head = self.here();
                self.memo()?;
                self.enter(register, kind, &mut exits)?;
                self.iteration(node, kind)?;
                self.push(Inst::Jump(head))?;
            }
            Some(max) => {
                for _ in cap(min)..cap(max) {
                    self.enter(register, kind, &mut exits)?;
                    self.iteration(node, kind)?;
                }
            }
        }
        exits.into_iter().for_each(|exit| self.patch(exit));
        if register.is_some() {
            self.enclosing.pop();
        }
        self.memo()
    }

    /// The head of an optional iteration.
    fn enter(
        &mut self,
        register: Option<u32>,
        kind: Kind,
        exits: &mut Vec<Pc>,
    ) -> Result<(), Error> {
        if let Some(register) = register {
            exits.push(self.push(Inst::LoopGuard { register, exit: 0 })?);
        }
        let body = self.here() + 1;
        exits.push(self.push(match kind {
            Kind::Lazy => Inst::Split { first: 0, second: body },
            Kind::Greedy | Kind::Possessive => Inst::Split { first: body, second: 0 },
        })?);
        if let Some(register) = register {
            self.push(Inst::LoopSet(register))?;
        }
        Ok(())
    }

    /// One iteration; of a possessive repeat each is atomic by itself.
    fn iteration(&mut self, node: &Node, kind: Kind) -> Result<(), Error> {
        if kind == Kind::Possessive { self.atomic(|c| c.node(node)) } else { self.node(node) }
    }

    fn repeat_one(
        &mut self,
        one: &Node,
        min: u32,
        max: Option<u32>,
        kind: Kind,
    ) -> Result<(), Error> {
        let set = match one {
            Node::Set(set) => Arc::clone(set),
            Node::Literal { char, fold } => {
                let (a, b) =
                    if *fold { (*char, char.to_ascii_uppercase()) } else { (*char, *char) };
                share::set(Set::new(&chars::ranges(&[(a, a), (b, b)])))
            }
            _ => return self.node(one),
        };
        let scan = scan(&set);
        let set = self.set(&set);
        let simple = kind != Kind::Possessive
            || (self.context == Context::Main && self.enclosing.is_empty());
        let memo = if max.is_none() && simple { self.new_memo() } else { None };
        let max = max.unwrap_or(u32::MAX);
        self.program.repeats.push(Repeat { set, min, max, kind, scan, next: Next::Any, memo });
        self.push(Inst::Repeat(self.program.repeats.len() as u32 - 1))?;
        if (max != u32::MAX && max != min) || kind == Kind::Possessive {
            self.memo()
        } else {
            Ok(())
        }
    }

    fn atomic(&mut self, body: impl FnOnce(&mut Self) -> Result<(), Error>) -> Result<(), Error> {
        // Loops around it would make what follows depend on where the iteration began.
        let alone = self.context == Context::Main && self.enclosing.is_empty();
        self.push(Inst::Atomic)?;
        self.inside(if alone { Context::Atomic } else { Context::Inner }, body)?;
        self.push(Inst::AtomicEnd)?;
        Ok(())
    }

    fn look(&mut self, behind: Option<u32>, negate: bool, node: &Node) -> Result<(), Error> {
        let captures = node.captures();
        let index = self.program.looks.len() as u32;
        self.program.looks.push(Look {
            negate,
            behind: behind.unwrap_or(0),
            next: 0,
            captures: captures && !negate,
        });
        self.push(Inst::Look(index))?;
        let context = if captures { Context::Inner } else { Context::Look };
        self.inside(context, |c| {
            c.memo()?;
            c.node(node)
        })?;
        self.push(Inst::LookEnd(index))?;
        self.program.looks[index as usize].next = self.here();
        Ok(())
    }

    /// What happens inside does not depend on the loops around.
    fn inside(
        &mut self,
        context: Context,
        body: impl FnOnce(&mut Self) -> Result<(), Error>,
    ) -> Result<(), Error> {
        let outer =
            (std::mem::replace(&mut self.context, context), std::mem::take(&mut self.enclosing));
        let done = body(self);
        (self.context, self.enclosing) = outer;
        done
    }

    fn conditional(&mut self, group: u32, yes: &Node, no: &Node) -> Result<(), Error> {
        let fork = self.push(Inst::Conditional { group, no: 0 })?;
        self.node(yes)?;
        let exit = self.push(Inst::Jump(0))?;
        self.patch(fork);
        self.node(no)?;
        self.patch(exit);
        self.memo()
    }

    /// A point where ways meet.
    fn memo(&mut self) -> Result<(), Error> {
        let memo = self.new_memo();
        if memo.is_some() {
            self.program.memos.push(memo);
            self.push(Inst::Memo(self.program.memos.len() as u32 - 1))?;
        }
        Ok(())
    }

    fn new_memo(&mut self) -> Option<Memo> {
        if self.enclosing.len() > MAX_NESTED_LOOPS {
            return None;
        }
        let row = self.program.rows as u32;
        let kinds = if self.context.keeps_successes() { 2 } else { 1 };
        self.program.rows += kinds << self.enclosing.len();
        Some(Memo { row, registers: self.enclosing.as_slice().into(), context: self.context })
    }

    fn set(&mut self, set: &Arc<Set>) -> u32 {
        let sets = &mut self.program.sets;
        let found = sets.iter().position(|it| Arc::ptr_eq(it, set)).unwrap_or_else(|| {
            sets.push(Arc::clone(set));
            sets.len() - 1
        });
        found as u32
    }

    /// Lets the open end of an instruction point here.
    fn patch(&mut self, pc: Pc) {
        let here = self.here();
        match &mut self.program.code[pc as usize] {
            Inst::Jump(to)
            | Inst::LoopGuard { exit: to, .. }
            | Inst::Conditional { no: to, .. } => *to = here,
            Inst::Split { first: to @ 0, .. } | Inst::Split { second: to, .. } => *to = here,
            _ => {}
        }
    }
}

impl Program {
    fn empty(groups: usize) -> Self {
        Self {
            code: Vec::new(),
            bytewise: false,
            pool: Vec::new(),
            sets: Vec::new(),
            repeats: Vec::new(),
            memos: Vec::new(),
            looks: Vec::new(),
            slots: groups * 2,
            registers: 0,
            rows: 0,
            firsts: Firsts::default(),
            needs: Vec::new(),
        }
    }
}

fn scan(set: &Set) -> Scan {
    if matches!(set.wide, chars::Wide::Ranges(_)) {
        return Scan::Chars;
    }
    let mut missing = (0u8..=255).filter(|b| !set.bytes[usize::from(*b)]);
    match (missing.next(), missing.next(), missing.next()) {
        (None, ..) => Scan::All,
        (Some(a), None, _) => Scan::Until(a),
        (Some(a), Some(b), None) => Scan::UntilEither(a, b),
        _ => Scan::Bytes,
    }
}

/// Tells each repeat what may follow it.
fn hint(program: &mut Program) {
    program.firsts = Firsts::new(program);
    for pc in 0..program.code.len() {
        let Inst::Repeat(index) = program.code[pc] else { continue };
        let first = program.firsts.of(pc as Pc + 1);
        program.repeats[index as usize].next = match first.only() {
            Some(byte) => Next::Byte(byte),
            None if first.is_any() => Next::Any,
            None => Next::Set,
        };
    }
}

/// A program beyond this is refused.
const MAX_CODE: usize = 100_000;
/// Failures inside more loops than this, each of which may match nothing, are not remembered.
const MAX_NESTED_LOOPS: usize = 3;
