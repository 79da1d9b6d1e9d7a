//! Several lines abreast.
//!
//! A walk knows where to look next only when it has what it looked for before: so a line alone spends
//! most of its time waiting for memory. Lines that came together wait together: several take a byte
//! each in turn, [`BLOCK`] bytes without a question asked. The dead state leads to itself; and where
//! there is something to do, a state to be built or gates that open, the row leads to a state that
//! leads to itself as well: such a lane is *lost*, and takes those bytes again, alone.
//!
//! The last bytes of a line are filled up to a block with what stands for its end. That leads to the
//! dead state where nothing opens at the end of a line, and else to the lost one. So what a processor
//! cannot foresee, where a line is over, is asked once a block and not once a byte.

use super::{ABREAST, Walk, walks};
use crate::matcher::automaton::cache::{Cache, DEAD, LOST};
use crate::matcher::automaton::{Automaton, END, Subject};

impl Automaton {
    /// Reads lines, at most [`ABREAST`], to their ends, or until nothing can open any more.
    pub(super) fn abreast(
        &self,
        subjects: &[Subject<'_>],
        cache: &mut Cache,
        opened: &mut [Vec<u32>],
    ) {
        let mut abreast = Abreast::new(self, cache, opened);
        for (line, subject) in subjects.iter().enumerate() {
            let (one, other) = walks(line, subject);
            abreast.enter(&one, subject.line);
            if let Some(other) = other {
                abreast.enter(&other, subject.line);
            }
        }
        abreast.run();
        if abreast.is_lost() {
            // What lines opened they open again.
            let Abreast { cache, opened, .. } = abreast;
            for (line, subject) in subjects.iter().enumerate() {
                self.alone::<false>(line, subject, cache, &mut opened[line]);
            }
        }
    }
}

/// Lines under way.
struct Abreast<'r, 'a> {
    automaton: &'r Automaton,
    cache: &'r mut Cache,
    opened: &'r mut [Vec<u32>],
    /// How often the cache had been full.
    clears: usize,
    /// Those that have a block at least, and those that have less.
    going: Lanes<'a>,
    ending: Lanes<'a>,
}

/// A line on its way.
#[derive(Clone, Copy)]
struct Lane<'a> {
    /// What is left of it.
    text: &'a [u8],
    /// The state reached.
    state: u16,
    /// Its place among the lines.
    line: u8,
}

struct Lanes<'a> {
    lanes: [Lane<'a>; MOST],
    count: usize,
}

impl<'r, 'a> Abreast<'r, 'a> {
    fn new(automaton: &'r Automaton, cache: &'r mut Cache, opened: &'r mut [Vec<u32>]) -> Self {
        let clears = cache.clears();
        Abreast { automaton, cache, opened, clears, going: Lanes::new(), ending: Lanes::new() }
    }

    /// Reads the header of a line, and gives it a lane.
    #[inline]
    fn enter(&mut self, walk: &Walk<'a>, line: &[u8]) {
        let opened = &mut self.opened[walk.line];
        if self.cache.starts_open[walk.start] {
            let start = usize::from(self.cache.starts[walk.start]);
            opened.extend_from_slice(&self.cache.sets[start].opens);
        }
        let state = self.automaton.behind_header(walk, line, self.cache, opened);
        self.turn(Lane { text: walk.text, state, line: walk.line as u8 });
    }

    /// What a lane does next.
    #[inline]
    fn turn(&mut self, lane: Lane<'a>) {
        let (lives, is_long) = (lane.state != DEAD, lane.text.len() >= BLOCK);
        self.going.push(lane, lives & is_long);
        self.ending.push(lane, lives & !is_long);
    }

    fn run(&mut self) {
        while self.going.count > 0 && !self.is_lost() {
            let going = std::mem::replace(&mut self.going.count, 0);
            let mut at = 0;
            while at < going && !self.is_lost() {
                at += match going - at {
                    8.. => self.block::<8>(at),
                    4.. => self.block::<4>(at),
                    2.. => self.block::<2>(at),
                    _ => self.block::<1>(at),
                };
            }
        }
        let mut at = 0;
        while at < self.ending.count && !self.is_lost() {
            at += match self.ending.count - at {
                8.. => self.end::<8>(at),
                4.. => self.end::<4>(at),
                2.. => self.end::<2>(at),
                _ => self.end::<1>(at),
            };
        }
    }

    /// Takes a block in so many lanes. Returns how many.
    #[inline]
    fn block<const LANES: usize>(&mut self, first: usize) -> usize {
        let lanes: [Lane<'a>; LANES] = self.going.some(first);
        let blocks = lanes.map(|lane| lane.text.first_chunk().expect("a block"));
        let Automaton { classes, width, .. } = self.automaton;
        let reached = step(lanes, blocks, classes, &self.cache.rows, *width);
        for (lane, mut state) in lanes.into_iter().zip(reached) {
            if state == LOST {
                state = self.find(lane);
            }
            self.turn(Lane { text: &lane.text[BLOCK..], state, line: lane.line });
        }
        LANES
    }

    /// A lane is lost: it takes its block again.
    #[inline(never)]
    fn find(&mut self, lane: Lane<'_>) -> u16 {
        if self.is_lost() {
            return DEAD;
        }
        let opened = &mut self.opened[usize::from(lane.line)];
        self.automaton.feed::<false>(lane.state, &lane.text[..BLOCK], self.cache, opened)
    }

    /// Takes the last bytes in so many lanes. Returns how many.
    #[inline]
    fn end<const LANES: usize>(&mut self, first: usize) -> usize {
        let lanes: [Lane<'a>; LANES] = self.ending.some(first);
        let filled = lanes.map(|lane| {
            let mut block = [END; BLOCK];
            block[..lane.text.len()].copy_from_slice(lane.text);
            block
        });
        let blocks = filled.each_ref();
        let Automaton { last_classes, width, .. } = self.automaton;
        let reached = step(lanes, blocks, last_classes, &self.cache.rows, *width);
        for (lane, state) in lanes.into_iter().zip(reached) {
            if state != DEAD || lane.text.contains(&END) {
                self.finish(lane);
            }
        }
        LANES
    }

    #[inline(never)]
    fn finish(&mut self, lane: Lane<'_>) {
        if self.is_lost() {
            return;
        }
        let opened = &mut self.opened[usize::from(lane.line)];
        self.automaton.finish::<false>(lane.state, lane.text, self.cache, opened);
    }

    /// Whether the states that lanes had reached are no more, because the cache was full.
    #[inline]
    fn is_lost(&self) -> bool {
        self.cache.clears() != self.clears
    }
}

/// Where a block leads from the state of each lane.
#[inline]
fn step<const LANES: usize, Class: Copy + Into<usize>>(
    lanes: [Lane<'_>; LANES],
    blocks: [&[u8; BLOCK]; LANES],
    classes: &[Class; 256],
    rows: &[u16],
    width: usize,
) -> [u16; LANES] {
    let mut states = lanes.map(|lane| lane.state);
    for at in 0..BLOCK {
        for lane in 0..LANES {
            let class: usize = classes[usize::from(blocks[lane][at])].into();
            states[lane] = rows[usize::from(states[lane]) * width + class];
        }
    }
    states
}

impl<'a> Lanes<'a> {
    fn new() -> Lanes<'a> {
        Lanes { lanes: [Lane { text: b"", state: DEAD, line: 0 }; MOST], count: 0 }
    }

    /// Adds a lane if so, without a branch.
    #[inline]
    fn push(&mut self, lane: Lane<'a>, is_one: bool) {
        self.lanes[self.count] = lane;
        self.count += usize::from(is_one);
    }

    /// So many of them.
    #[inline]
    fn some<const LANES: usize>(&self, first: usize) -> [Lane<'a>; LANES] {
        *self.lanes[first..].first_chunk().expect("so many lanes")
    }
}

/// So many bytes are taken without a question.
const BLOCK: usize = 16;

/// Lines, each perhaps twice, and a place to write what is not counted.
const MOST: usize = 2 * ABREAST + 1;
