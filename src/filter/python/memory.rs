//! What a search needs to remember, kept from search to search so that a warm one allocates nothing.

use super::backward::Passed;
use super::{Spans, fast};

/// Working memory of the matcher. One per thread; any pattern may use it.
#[derive(Debug)]
pub struct Memory {
    /// Try the quick way first.
    pub(super) quick: bool,
    /// Read the text from its end before failures are remembered.
    pub(super) backward: bool,
    pub(super) frames: Vec<fast::Frame>,
    /// Steps of a search before failures are remembered.
    pub(super) quiet: u64,
    pub(super) stack: Vec<Frame>,
    pub(super) slots: Vec<u32>,
    /// The captures of an earlier search.
    pub(super) kept: Vec<u32>,
    pub(super) registers: Vec<u32>,
    pub(super) memo: Rows,
    pub(super) passed: Passed,
    room: Vec<u8>,
}

impl Memory {
    /// Empty; it grows with use.
    pub fn new() -> Self {
        Self::default()
    }

    /// As [`Memory::new`], but without the quick way, and failures are remembered after so many
    /// steps of a search. No answer depends on it.
    pub fn remembering_after(steps: u64) -> Self {
        Self { quick: false, backward: false, quiet: steps, ..Self::default() }
    }

    /// Without the quick way, but with the pass from the end of the text. No answer depends on it.
    #[cfg(test)]
    pub(super) fn backward_first() -> Self {
        Self { quick: false, ..Self::default() }
    }

    /// Bytes held, for a gauge.
    pub fn bytes(&self) -> usize {
        self.stack.capacity() * size_of::<Frame>()
            + self.frames.capacity() * size_of::<fast::Frame>()
            + (self.slots.capacity()
                + self.kept.capacity()
                + self.registers.capacity()
                + self.memo.starts.capacity())
                * 4
            + self.memo.words.capacity() * 8
            + self.passed.bytes()
            + self.room.capacity()
    }

    /// Room for a text that is to be searched, so that it need not be allocated each time. Whoever
    /// takes it gives it back.
    pub fn take_room(&mut self) -> Vec<u8> {
        std::mem::take(&mut self.room)
    }

    /// Gives back what [`Memory::take_room`] gave.
    pub fn give_back(&mut self, room: Vec<u8>) {
        self.room = room;
    }

    /// The captures of the last search, which found something.
    pub fn found(&self) -> Spans<'_> {
        Spans { slots: &self.slots }
    }

    /// Keeps the captures of the last search aside while others are made.
    pub fn keep(&mut self) {
        self.kept.clear();
        self.kept.extend_from_slice(&self.slots);
    }

    /// What [`Memory::keep`] kept.
    pub fn kept(&self) -> Spans<'_> {
        Spans { slots: &self.kept }
    }

    pub(super) fn prepare(&mut self, slots: usize, registers: usize) {
        self.stack.clear();
        self.slots.clear();
        self.slots.resize(slots, NONE);
        self.registers.clear();
        self.registers.resize(registers, NONE);
        self.memo.on = false;
    }
}

impl Default for Memory {
    fn default() -> Self {
        Self {
            quick: true,
            backward: true,
            frames: Vec::new(),
            quiet: QUIET_STEPS,
            stack: Vec::new(),
            slots: Vec::new(),
            kept: Vec::new(),
            registers: Vec::new(),
            memo: Rows::default(),
            passed: Passed::default(),
            room: Vec::new(),
        }
    }
}

/// What to do when everything above has failed.
#[derive(Debug, Clone, Copy)]
pub(super) enum Frame {
    /// Go on here.
    Resume {
        pc: u32,
        pos: u32,
    },
    /// Undo a write.
    Slot {
        slot: u32,
        old: u32,
    },
    Register {
        register: u32,
        old: u32,
    },
    /// A greedy repeat was tried down to `at`; it may shrink to `low`.
    Greedy {
        pc: u32,
        low: u32,
        at: u32,
    },
    /// A lazy repeat began at `low` and was tried up to `at`; `left` more are allowed.
    Lazy {
        pc: u32,
        low: u32,
        at: u32,
        left: u32,
    },
    /// Remember this failure.
    Failed {
        memo: u32,
        pos: u32,
    },
    /// A look-around or atomic group is open; the one around it is at `outer`.
    Open {
        pc: u32,
        pos: u32,
        outer: u32,
    },
}

/// Bits by row and position, laid out when a row is first touched.
#[derive(Debug, Default)]
pub(super) struct Rows {
    pub(super) on: bool,
    starts: Vec<u32>,
    words: Vec<u64>,
    /// Words in a row.
    width: usize,
}

impl Rows {
    pub(super) fn start(&mut self, rows: usize, text: usize) {
        self.on = true;
        self.starts.clear();
        self.starts.resize(rows, NONE);
        self.words.clear();
        self.width = text / 64 + 1;
    }

    pub(super) fn get(&self, row: u32, pos: u32) -> bool {
        let start = self.starts[row as usize];
        start != NONE && self.words[start as usize + pos as usize / 64] >> (pos % 64) & 1 == 1
    }

    pub(super) fn set(&mut self, row: u32, pos: u32) {
        if let Some(start) = self.row(row) {
            self.words[start + pos as usize / 64] |= 1 << (pos % 64);
        }
    }

    /// From `low` to `high`, both included.
    pub(super) fn set_range(&mut self, row: u32, low: u32, high: u32) {
        let Some(start) = self.row(row) else { return };
        let (first, last) = (low as usize / 64, high as usize / 64);
        for word in first..=last {
            let from = if word == first { u64::MAX << (low % 64) } else { u64::MAX };
            let to = if word == last { u64::MAX >> (63 - high % 64) } else { u64::MAX };
            self.words[start + word] |= from & to;
        }
    }

    /// The first set bit from `low` on and before `end`.
    pub(super) fn next(&self, row: u32, low: u32, end: u32) -> Option<u32> {
        let start = self.starts[row as usize];
        if start == NONE || low >= end {
            return None;
        }
        let mut word = low as usize / 64;
        let mut bits = self.words[start as usize + word] & (u64::MAX << (low % 64));
        loop {
            if bits != 0 {
                let found = word as u32 * 64 + bits.trailing_zeros();
                return (found < end).then_some(found);
            }
            word += 1;
            if word * 64 >= end as usize {
                return None;
            }
            bits = self.words[start as usize + word];
        }
    }

    fn row(&mut self, row: u32) -> Option<usize> {
        let start = &mut self.starts[row as usize];
        if *start == NONE {
            if self.words.len() + self.width > MAX_WORDS {
                return None;
            }
            *start = self.words.len() as u32;
            self.words.resize(self.words.len() + self.width, 0);
        }
        Some(*start as usize)
    }
}

/// No position.
pub(super) const NONE: u32 = u32::MAX;
/// Most lines are decided before this.
const QUIET_STEPS: u64 = 1_000;
/// 32 MiB. When it is full, further rows remember nothing, and the caller's steps are the bound.
const MAX_WORDS: usize = 1 << 22;
