//! What the words of a header lead to.
//!
//! A network has some hundreds of hosts and some dozens of programs, and each line begins with one of
//! each. So the way of a word through the automaton is remembered as a whole: sixteen bytes are one
//! comparison, and no waiting for one state after the other.

use super::cache::{Cache, Part};
use super::walk::Walk;
use super::{Automaton, DEAD, NUMBERED, PLAIN};

/// The ways known. What comes later takes the place of what was there.
#[derive(Debug)]
pub(super) struct Words {
    ways: Box<[Way]>,
}

#[derive(Clone, Copy, Debug, Default)]
struct Way {
    key: Key,
    to: u16,
}

/// A word, or a piece of one, from a state on.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Key {
    bytes: [u64; 2],
    /// The state, the length, and what follows: nothing, a space or a separator.
    rest: u32,
}

/// A word of a header, and what follows it: a byte, or nothing.
pub(super) type Word<'a> = (&'a [u8], &'static [u8]);

impl Automaton {
    /// The state behind the header of a line, which is `line`, if anything. What opens on the way goes to
    /// `opened`.
    #[inline]
    pub(super) fn behind_header(
        &self,
        walk: &Walk<'_>,
        line: &[u8],
        cache: &mut Cache,
        opened: &mut Vec<u32>,
    ) -> u16 {
        let mut state = cache.starts[walk.start];
        if let Some(host) = walk.words[0] {
            state = self.behind_word(state, host, line, cache, opened);
        }
        if let Some(program) = walk.words[1] {
            state = self.behind_word(state, program, line, cache, opened);
        }
        state
    }

    #[inline]
    fn behind_word(
        &self,
        mut state: u16,
        (mut word, end): Word<'_>,
        line: &[u8],
        cache: &mut Cache,
        opened: &mut Vec<u32>,
    ) -> u16 {
        while word.len() > PIECE {
            let (piece, rest) = word.split_at(PIECE);
            state = self.behind_piece(state, (piece, b""), line, cache, opened);
            word = rest;
        }
        self.behind_piece(state, (word, end), line, cache, opened)
    }

    #[inline]
    fn behind_piece(
        &self,
        state: u16,
        (piece, end): Word<'_>,
        line: &[u8],
        cache: &mut Cache,
        opened: &mut Vec<u32>,
    ) -> u16 {
        let key = Key::new(state, (piece, end), line);
        if let Some(key) = key {
            let way = &cache.words.ways[key.place()];
            if way.key == key {
                return way.to;
            }
        }
        self.new_piece(state, (piece, end), key, cache, opened)
    }

    /// A piece that is not known, or does not stand in its line as others do.
    #[cold]
    fn new_piece(
        &self,
        state: u16,
        (piece, end): Word<'_>,
        key: Option<Key>,
        cache: &mut Cache,
        opened: &mut Vec<u32>,
    ) -> u16 {
        let (before, clears) = (opened.len(), cache.clears());
        let to = self.walk_word::<false>(state, (piece, end), cache, opened);
        if let Some(key) = key
            && opened.len() == before
            && cache.clears() == clears
        {
            cache.words.ways[key.place()] = Way { key, to };
        }
        to
    }

    /// The same byte by byte. A program that holds a separator is nobody's.
    pub(super) fn walk_word<const MARKS: bool>(
        &self,
        state: u16,
        (word, end): Word<'_>,
        cache: &mut Cache,
        opened: &mut Vec<u32>,
    ) -> u16 {
        let is_program = cache.sets[usize::from(state)].part == Part::Program;
        if is_program && word.iter().any(|byte| matches!(*byte, NUMBERED | PLAIN)) {
            return DEAD;
        }
        let behind = self.feed::<MARKS>(state, word, cache, opened);
        self.feed::<MARKS>(behind, end, cache, opened)
    }
}

impl Words {
    /// Forgets all: states have other numbers from now on.
    pub(super) fn clear(&mut self) {
        self.ways.fill(Way::default());
    }

    /// Bytes that it takes.
    pub(super) fn bytes(&self) -> usize {
        size_of_val(&*self.ways)
    }
}

impl Default for Words {
    fn default() -> Words {
        Words { ways: vec![Way::default(); WAYS].into() }
    }
}

impl Key {
    /// `None` for a piece that is not in `line`, or too near to its end for sixteen bytes to be read.
    #[inline]
    fn new(state: u16, (piece, end): Word<'_>, line: &[u8]) -> Option<Key> {
        let at = (piece.as_ptr() as usize).wrapping_sub(line.as_ptr() as usize);
        let bytes = match line.get(at..).and_then(<[u8]>::first_chunk::<PIECE>) {
            Some(bytes) => bytes,
            None if piece.is_empty() => &[0; PIECE],
            None => return None,
        };
        let (low, high) = (bytes[..8].try_into().ok()?, bytes[8..].try_into().ok()?);
        let [low_mask, high_mask] = MASKS[piece.len()];
        let bytes = [u64::from_le_bytes(low) & low_mask, u64::from_le_bytes(high) & high_mask];
        let end = end.first().copied().unwrap_or_default();
        let rest = u32::from(state) << 16 | (piece.len() as u32) << 8 | u32::from(end);
        Some(Key { bytes, rest })
    }

    #[inline]
    fn place(&self) -> usize {
        // As Fibonacci hashing does: the high bits of a product depend on all of its factors' bits.
        let [low, high] = self.bytes;
        let mixed = low.wrapping_mul(0x9e37_79b9_7f4a_7c15)
            ^ high.wrapping_mul(0xc2b2_ae3d_27d4_eb4f)
            ^ u64::from(self.rest).wrapping_mul(0x1656_67b1_9e37_79f9);
        (mixed >> (64 - WAYS.ilog2())) as usize
    }
}

/// Bytes of a word that are taken at once.
const PIECE: usize = 16;

/// By length: the bytes of a piece among sixteen.
const MASKS: [[u64; 2]; PIECE + 1] = {
    let mut masks = [[0; 2]; PIECE + 1];
    let mut at = 0;
    while at <= PIECE {
        let mask = if at == PIECE { u128::MAX } else { (1 << (8 * at)) - 1 };
        masks[at] = [mask as u64, (mask >> 64) as u64];
        at += 1;
    }
    masks
};

/// Two for each of the hosts and programs of a large network; 48 KiB.
const WAYS: usize = 2048;
