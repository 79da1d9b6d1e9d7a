//! Several lines abreast.
//!
//! A walk knows where to look next only when it has what it looked for before: so a line alone spends
//! most of its time waiting for memory. Lines that came together wait together:
//! several take a byte each in turn, [`BLOCK`] bytes without a question asked. The dead state leads to
//! itself; and where there is something to do, a state to be built or gates that open, the row leads
//! to a state that leads to itself as well: such a lane is *lost*, and takes those bytes again, alone.
//! So what a processor cannot foresee, where a line is over, is asked once a block and not once a byte.

use super::{ABREAST, Walk, walks};
use crate::matcher::automaton::cache::{Cache, DEAD, LOST};
use crate::matcher::automaton::{Automaton, Subject};

impl Automaton {
    /// Reads lines, at most [`ABREAST`], to their ends, or until nothing can open any more.
    pub(super) fn abreast(
        &self,
        subjects: &[Subject<'_>],
        cache: &mut Cache,
        opened: &mut [Vec<u32>],
    ) {
        let mut heads = std::mem::take(&mut cache.heads);
        heads.resize(MOST, [0; HEAD]);
        let mut abreast = Abreast::new(self, cache, opened);
        let mut head = heads.iter_mut();
        for (line, subject) in subjects.iter().enumerate() {
            for walk in walks(line, subject) {
                abreast.enter(&walk, head.next().expect("a line is read twice at most"));
            }
        }
        abreast.run();
        if abreast.is_lost() {
            // What lines opened they open again.
            let Abreast { cache, opened, .. } = abreast;
            for (line, subject) in subjects.iter().enumerate() {
                walks(line, subject)
                    .for_each(|it| self.alone::<false>(&it, cache, &mut opened[line]));
            }
        }
        cache.heads = heads;
    }
}

/// Lines under way.
struct Abreast<'r, 'a> {
    automaton: &'r Automaton,
    cache: &'r mut Cache,
    opened: &'r mut [Vec<u32>],
    /// How often the cache had been full.
    clears: usize,
    /// Lanes that have a block at least.
    lanes: [u8; MOST],
    count: usize,
    /// So many of them are through this round, and go on.
    kept: usize,
    /// By lane: its line; the state reached; what is left of the part that is being read, and what is
    /// behind it.
    lines: [u8; MOST],
    states: [u16; MOST],
    bytes: [&'a [u8]; MOST],
    rest: [&'a [u8]; MOST],
}

impl<'r, 'a> Abreast<'r, 'a> {
    fn new(automaton: &'r Automaton, cache: &'r mut Cache, opened: &'r mut [Vec<u32>]) -> Self {
        Abreast {
            automaton,
            clears: cache.clears(),
            cache,
            opened,
            lanes: [0; MOST],
            count: 0,
            kept: 0,
            lines: [0; MOST],
            states: [DEAD; MOST],
            bytes: [b""; MOST],
            rest: [b""; MOST],
        }
    }

    /// Gives a line a lane; but one that is very short is read at once.
    #[inline]
    fn enter(&mut self, walk: &Walk<'a>, head: &'a mut [u8; HEAD]) {
        let state = self.cache.starts[walk.start];
        let opens = &self.cache.sets[usize::from(state)].opens;
        if !opens.is_empty() {
            self.opened[walk.line].extend_from_slice(opens);
        }
        let Some((bytes, rest)) = fill(head, walk.pieces) else {
            return self.finish(walk.line, state, walk.pieces);
        };
        let lane = self.count;
        self.lanes[lane] = lane as u8;
        (self.lines[lane], self.states[lane]) = (walk.line as u8, state);
        (self.bytes[lane], self.rest[lane]) = (bytes, rest);
        self.count += 1;
    }

    fn run(&mut self) {
        while self.count > 0 && !self.is_lost() {
            self.kept = 0;
            let mut at = 0;
            while at < self.count {
                at += match self.count - at {
                    8.. => self.block::<8>(at),
                    4.. => self.block::<4>(at),
                    2.. => self.block::<2>(at),
                    _ => self.block::<1>(at),
                };
            }
            self.count = self.kept;
        }
    }

    /// Takes a block in so many lanes. Returns how many.
    #[inline]
    fn block<const LANES: usize>(&mut self, first: usize) -> usize {
        let lanes: [u8; LANES] = *self.lanes[first..].first_chunk().expect("so many lanes");
        let blocks: [&[u8; BLOCK]; LANES] =
            lanes.map(|lane| self.bytes[usize::from(lane)].first_chunk().expect("a block"));
        let mut states = lanes.map(|lane| self.states[usize::from(lane)]);
        let (classes, shift) = (&*self.automaton.classes, self.automaton.shift);
        let rows = &self.cache.rows[..];
        for at in 0..BLOCK {
            for lane in 0..LANES {
                let class = usize::from(classes[usize::from(blocks[lane][at])]);
                states[lane] = rows[(usize::from(states[lane]) << shift) + class];
            }
        }
        for (lane, reached) in lanes.into_iter().zip(states) {
            let place = usize::from(lane);
            let left = &self.bytes[place][BLOCK..];
            let goes_on = if reached == LOST || left.len() < BLOCK {
                reached != DEAD && self.turn(place, reached)
            } else {
                (self.bytes[place], self.states[place]) = (left, reached);
                reached != DEAD
            };
            self.lanes[self.kept] = lane;
            self.kept += usize::from(goes_on);
        }
        LANES
    }

    /// A lane is lost, or comes to the end of a part. Whether it goes on with another block.
    #[inline(never)]
    fn turn(&mut self, lane: usize, reached: u16) -> bool {
        let (line, from) = (usize::from(self.lines[lane]), self.states[lane]);
        if self.is_lost() {
            return false;
        }
        let (block, mut bytes) = self.bytes[lane].split_at(BLOCK);
        let state = match reached {
            LOST => self.automaton.feed::<false>(from, block, self.cache, &mut self.opened[line]),
            _ => reached,
        };
        self.stop_if_lost();
        if state == DEAD || self.is_lost() {
            return false;
        }
        let mut rest = self.rest[lane];
        if bytes.is_empty() {
            (bytes, rest) = (rest, b"");
        }
        if bytes.len() < BLOCK {
            self.finish(line, state, [bytes, rest, b""]);
            return false;
        }
        (self.bytes[lane], self.rest[lane], self.states[lane]) = (bytes, rest, state);
        true
    }

    fn finish(&mut self, line: usize, state: u16, pieces: [&[u8]; 3]) {
        self.automaton.finish::<false>(state, pieces, self.cache, &mut self.opened[line]);
        self.stop_if_lost();
    }

    fn stop_if_lost(&mut self) {
        if self.is_lost() {
            self.count = 0;
        }
    }

    /// Whether the states that lanes had reached are no more, because the cache was full.
    fn is_lost(&self) -> bool {
        self.cache.clears() != self.clears
    }
}

/// Puts the beginning of what is to be read in one place, in whole blocks; the rest stays where it is.
/// `None` when that is less than a block, or what stands before the text is too long.
#[inline]
fn fill<'a>(
    head: &'a mut [u8; HEAD],
    [front, separator, text]: [&'a [u8]; 3],
) -> Option<(&'a [u8], &'a [u8])> {
    let before = front.len() + separator.len();
    if before == 0 {
        return (text.len() >= BLOCK).then_some((text, b""));
    }
    if before > MOST_BEFORE {
        return None;
    }
    head[..front.len()].copy_from_slice(front);
    head[front.len()..before].copy_from_slice(separator);
    let Some(start) = text.first_chunk::<START>() else {
        head[before..before + text.len()].copy_from_slice(text);
        let bytes = &head[..before + text.len()];
        return (bytes.len() >= BLOCK).then_some((bytes, b""));
    };
    head[before..before + START].copy_from_slice(start);
    let whole = (before + START) / BLOCK * BLOCK;
    Some((&head[..whole], &text[whole - before..]))
}

/// So many bytes are taken without a question.
const BLOCK: usize = 16;

/// Bytes of a text that are put behind what stands before it.
const START: usize = 2 * BLOCK;

/// Room for most headers, and the first words of the text.
pub(in crate::matcher::automaton) const HEAD: usize = MOST_BEFORE + START;
const MOST_BEFORE: usize = 3 * BLOCK;

/// Lines, each perhaps twice.
const MOST: usize = 2 * ABREAST;
