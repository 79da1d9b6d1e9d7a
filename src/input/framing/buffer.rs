//! The read buffer of a connection: small while it is idle, larger while reads fill it.

/// `pending` bytes are `bytes[start..end]`; what follows is free.
#[derive(Debug)]
pub(super) struct Buffer {
    bytes: Vec<u8>,
    start: usize,
    end: usize,
    /// The size it never grows past.
    bound: usize,
    /// The last read filled all the space there was.
    was_full: bool,
}

impl Buffer {
    /// For frames of at most `frame` bytes, of which a part may have to wait.
    pub(super) fn new(frame: usize) -> Buffer {
        let waiting = frame.saturating_add(FRAMING);
        let bound = waiting.saturating_add(SPACE).max(LARGE);
        Buffer { bytes: Vec::new(), start: 0, end: 0, bound, was_full: false }
    }

    /// Free space of at least `SPACE`. Moves what waits to the front at most once, and only when
    /// it must; grows when that is not enough or when the last read had too little.
    pub(super) fn space(&mut self) -> &mut [u8] {
        let wanted = if self.was_full { self.bytes.len() * 2 } else { self.bytes.len() };
        self.was_full = false;
        if self.bytes.len() - self.end < SPACE || wanted > self.bytes.len() {
            if self.start > 0 {
                self.bytes.copy_within(self.start..self.end, 0);
                self.end -= self.start;
                self.start = 0;
            }
            let size = wanted.max((self.end + SPACE).next_power_of_two()).min(self.bound);
            if size > self.bytes.len() {
                self.grow(size);
            }
        }
        &mut self.bytes[self.end..]
    }

    /// `n` bytes were written to the space.
    pub(super) fn filled(&mut self, n: usize) {
        assert!(n <= self.bytes.len() - self.end, "more was read than there was space");
        self.end += n;
        self.was_full = n > 0 && self.end == self.bytes.len() && self.bytes.len() < self.bound;
    }

    pub(super) fn pending(&self) -> &[u8] {
        &self.bytes[self.start..self.end]
    }

    /// The first `n` pending bytes are done with.
    pub(super) fn consume(&mut self, n: usize) {
        self.start += n;
        if self.start == self.end {
            self.start = 0;
            self.end = 0;
        }
    }

    pub(super) fn clear(&mut self) {
        self.consume(self.end - self.start);
    }

    pub(super) fn shrink(&mut self) {
        if self.start == self.end {
            self.bytes = Vec::new();
            self.was_full = false;
        }
    }

    #[cfg(test)]
    pub(super) fn size(&self) -> usize {
        self.bytes.len()
    }

    /// A new vector rather than `resize`: of the old one only what waits is copied, and zeroed
    /// memory comes from the kernel as it is.
    fn grow(&mut self, size: usize) {
        let mut bytes = vec![0; size];
        bytes[..self.end].copy_from_slice(&self.bytes[..self.end]);
        self.bytes = bytes;
    }
}

/// The least room a read gets, and what a connection costs that says little.
const SPACE: usize = 16 << 10;

/// What a connection under load may have, whatever its frames.
const LARGE: usize = 256 << 10;

/// Bytes that wait beside a frame's own: a length and its space, or CR and LF.
const FRAMING: usize = 16;
