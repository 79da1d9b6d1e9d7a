//! The instructions of the quick way, 16 bytes each.

use crate::filter::python::ast::{Assert, Fold};

#[derive(Debug, Clone, Copy)]
pub(super) enum Op {
    Match,
    Fail,
    Byte(u8),
    /// At most eight bytes.
    Short {
        value: u64,
        len: u8,
    },
    Bytes {
        start: u32,
        len: u32,
    },
    /// Lower-case bytes, in either case.
    Fold {
        start: u32,
        len: u32,
    },
    /// One character.
    Set {
        table: u32,
        set: u32,
    },
    /// A run that can end only where it stops.
    Stop(u32),
    Greedy(u32),
    Lazy(u32),
    /// Where its row begins.
    Split(u32),
    Jump(u32),
    Save(u32),
    /// Only if this text, one of the finders, stands somewhere from here on.
    Need(u32),
    Assert(Assert),
    LoopInit(u32),
    LoopGuard {
        register: u32,
        exit: u32,
    },
    LoopSet(u32),
    /// Index into the program's `looks`, and where to go on.
    Look {
        look: u32,
        next: u32,
    },
    /// A look-around of one character that its first byte tells.
    LookOne {
        table: u32,
        behind: bool,
        negate: bool,
    },
    LookBytes {
        start: u32,
        len: u16,
        negate: bool,
    },
    Atomic,
    /// The end of a look-around or an atomic group.
    Close,
    Backref {
        group: u32,
        fold: Option<Fold>,
    },
    Conditional {
        group: u32,
        no: u32,
    },
}

const _: () = assert!(size_of::<Op>() == 16);
