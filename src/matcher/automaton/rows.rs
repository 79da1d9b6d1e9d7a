//! The table of an automaton: rows that begin where lines of a processor's cache do.
//!
//! A step touches one place of a row, and the places that most steps touch stand together in its first
//! line ([`super::nfa`]). An allocation begins anywhere; then each of these would lie across two.

use std::ops::{Deref, DerefMut};

/// How many cells a row has for so many places: an odd number of lines, for by its address a line has few
/// seats in a cache, and with an even one all first lines would have but a half or a quarter of them.
pub(super) fn width(places: usize) -> usize {
    (places.div_ceil(LINE) | 1) * LINE
}

/// Cells of rows, one row behind the other.
#[derive(Debug, Default)]
pub(super) struct Rows {
    cells: Vec<u16>,
    /// Where the first row begins.
    first: usize,
}

impl Rows {
    /// Makes it so many cells; new ones hold `cell`.
    pub(super) fn resize(&mut self, len: usize, cell: u16) {
        if self.first + len > self.cells.capacity() {
            let mut cells: Vec<u16> = Vec::with_capacity(LINE + len.max(2 * self.len()));
            // In cells; a platform that cannot tell gets rows that begin anywhere.
            let first = cells.as_ptr().align_offset(LINE * size_of::<u16>());
            let first = if first < LINE { first } else { 0 };
            cells.resize(first, cell);
            cells.extend_from_slice(self);
            (self.cells, self.first) = (cells, first);
        }
        self.cells.resize(self.first + len, cell);
    }

    pub(super) fn truncate(&mut self, len: usize) {
        self.cells.truncate(self.first + len);
    }

    pub(super) fn clear(&mut self) {
        self.truncate(0);
    }
}

impl Deref for Rows {
    type Target = [u16];

    #[inline]
    fn deref(&self) -> &[u16] {
        &self.cells[self.first..]
    }
}

impl DerefMut for Rows {
    #[inline]
    fn deref_mut(&mut self) -> &mut [u16] {
        &mut self.cells[self.first..]
    }
}

/// Cells in a line of a processor's cache: 64 bytes on those that we know.
const LINE: usize = 32;
