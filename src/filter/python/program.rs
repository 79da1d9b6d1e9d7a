//! A compiled pattern: what the machine runs.

use std::sync::Arc;

use super::ast::{Assert, Fold, Kind};
use super::chars::{self, Set};
use super::firsts::Firsts;

/// An address in the program.
pub(super) type Pc = u32;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Inst {
    Match,
    Fail,
    /// Bytes of the pool, as they are.
    Bytes {
        start: u32,
        end: u32,
    },
    /// Lower-case bytes of the pool, in either case.
    Fold {
        start: u32,
        end: u32,
    },
    /// One character of a set.
    Set(u32),
    /// A repeat of one character: index into `repeats`.
    Repeat(u32),
    /// Try `first`, then `second`.
    Split {
        first: Pc,
        second: Pc,
    },
    Jump(Pc),
    /// Write the position into a slot.
    Save(u32),
    Assert(Assert),
    /// A point where ways meet: index into `memos`.
    Memo(u32),
    /// A loop whose body may match nothing begins: no iteration yet.
    LoopInit(u32),
    /// If the last iteration was empty, leave the loop.
    LoopGuard {
        register: u32,
        exit: Pc,
    },
    /// An iteration begins here.
    LoopSet(u32),
    /// Index into `looks`.
    Look(u32),
    LookEnd(u32),
    Atomic,
    AtomicEnd,
    Backref {
        group: u32,
        fold: Option<Fold>,
    },
    /// Go on if the group has matched, else go to `no`.
    Conditional {
        group: u32,
        no: Pc,
    },
}

/// A repeat of one character.
#[derive(Debug, Clone)]
pub(super) struct Repeat {
    pub(super) set: u32,
    pub(super) min: u32,
    /// `u32::MAX`: no bound.
    pub(super) max: u32,
    pub(super) kind: Kind,
    pub(super) scan: Scan,
    /// What may come next.
    pub(super) next: Next,
    /// Remembers failures of "so far, and more if need be"; only without a bound.
    pub(super) memo: Option<Memo>,
}

/// What a repeat may end before.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Next {
    Any,
    /// One byte only.
    Byte(u8),
    /// What the address behind it allows.
    Set,
}

/// How the end of a run is found.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Scan {
    /// Everything belongs.
    All,
    /// Everything but these bytes (ASCII): one, or one of two.
    Until(u8),
    UntilEither(u8, u8),
    /// A set that can be told by its bytes.
    Bytes,
    /// Characters must be read.
    Chars,
}

/// Where failures are remembered, and when that is sound.
#[derive(Debug, Clone)]
pub(super) struct Memo {
    /// The first row; one row per combination of "this enclosing loop's iteration is empty so far".
    pub(super) row: u32,
    pub(super) registers: Box<[u32]>,
    pub(super) context: Context,
}

impl Memo {
    /// The first row of successes, where those are kept.
    pub(super) fn successes(&self) -> u32 {
        self.row + (1 << self.registers.len())
    }
}

/// What encloses an instruction most closely.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Context {
    /// Nothing: a state that is reached twice has failed the first time.
    Main,
    /// An atomic group with nothing around it: a state that led out of it once has failed behind it,
    /// and would again, without another way through the group.
    Atomic,
    /// Other atomic groups, and look-arounds that capture: only true failures count.
    Inner,
    /// A look-around without captures: successes can be remembered, too.
    Look,
}

impl Context {
    pub(super) fn keeps_successes(self) -> bool {
        matches!(self, Self::Atomic | Self::Look)
    }
}

#[derive(Debug, Clone, Copy)]
pub(super) struct Look {
    pub(super) negate: bool,
    /// Characters to step back first.
    pub(super) behind: u32,
    pub(super) next: Pc,
    /// Whether slots written inside stay written.
    pub(super) captures: bool,
}

#[derive(Debug)]
pub(super) struct Program {
    pub(super) code: Vec<Inst>,
    /// Characters are bytes.
    pub(super) bytewise: bool,
    pub(super) pool: Vec<u8>,
    pub(super) sets: Vec<Arc<Set>>,
    pub(super) repeats: Vec<Repeat>,
    pub(super) memos: Vec<Option<Memo>>,
    pub(super) looks: Vec<Look>,
    pub(super) slots: usize,
    pub(super) registers: usize,
    pub(super) rows: usize,
    pub(super) firsts: Firsts,
    pub(super) needs: Vec<Need>,
}

/// From where a group begins, no match gets by without this text.
#[derive(Debug)]
pub(super) struct Need {
    pub(super) group: u32,
    pub(super) text: Vec<u8>,
}

impl Program {
    /// Where the character begins that ends at `at`, which must not be 0.
    #[inline]
    pub(super) fn back(&self, text: &[u8], at: usize) -> usize {
        if text[at - 1] < 0x80 || self.bytewise { at - 1 } else { chars::back(text, at) }
    }

    /// How long the character at `at` is.
    #[inline]
    pub(super) fn width(&self, text: &[u8], at: usize) -> usize {
        if self.bytewise { 1 } else { chars::decode(text, at).1 }
    }
}

impl Repeat {
    pub(super) fn bounded(&self) -> bool {
        self.max != u32::MAX
    }
}
