//! One line on its way.

use super::walks;
use crate::matcher::automaton::cache::{Cache, DEAD, LOST, Part};
use crate::matcher::automaton::{Automaton, Subject};

impl Automaton {
    /// Reads a line to its end, or until nothing can open any more. With `MARKS`, its states are marked
    /// as lately used.
    pub(super) fn alone<const MARKS: bool>(
        &self,
        line: usize,
        subject: &Subject<'_>,
        cache: &mut Cache,
        opened: &mut Vec<u32>,
    ) {
        let (one, other) = walks(line, subject);
        for walk in std::iter::once(one).chain(other) {
            let mut state = cache.starts[walk.start];
            opened.extend_from_slice(&cache.sets[usize::from(state)].opens);
            for word in walk.words.into_iter().flatten() {
                state = self.walk_word::<MARKS>(state, word, cache, opened);
            }
            self.finish::<MARKS>(state, walk.text, cache, opened);
        }
    }

    /// Reads the rest of a line, and its end.
    pub(super) fn finish<const MARKS: bool>(
        &self,
        state: u16,
        text: &[u8],
        cache: &mut Cache,
        opened: &mut Vec<u32>,
    ) {
        let state = self.feed::<MARKS>(state, text, cache, opened);
        if state != DEAD {
            self.end(state, cache, opened);
        }
    }

    /// Goes through a state for each of `bytes`; `DEAD` when nothing can open any more. The loop stops
    /// only where there is something to do: a state that is not known, dead, or opens gates.
    #[inline]
    pub(in crate::matcher::automaton) fn feed<const MARKS: bool>(
        &self,
        mut state: u16,
        mut bytes: &[u8],
        cache: &mut Cache,
        opened: &mut Vec<u32>,
    ) -> u16 {
        loop {
            let mut next = DEAD;
            let mut left = bytes.len();
            let rows = &cache.rows[..];
            for &byte in bytes {
                let class = usize::from(self.classes[usize::from(byte)]);
                next = rows[(usize::from(state) * self.width) + class];
                if next <= LOST {
                    break;
                }
                state = next;
                left -= 1;
                if MARKS {
                    cache.marks[usize::from(state)] = true;
                }
            }
            if left == 0 {
                return state;
            }
            if next == DEAD {
                return DEAD;
            }
            let byte = bytes[bytes.len() - left];
            bytes = &bytes[bytes.len() - left + 1..];
            let class = usize::from(self.classes[usize::from(byte)]);
            let known = cache.opening(state, class);
            state = known.unwrap_or_else(|| self.build(state, byte, cache));
            cache.marks[usize::from(state)] |= MARKS;
            let set = &cache.sets[usize::from(state)];
            opened.extend_from_slice(&set.opens);
            if set.states.is_empty() && set.part != Part::Host {
                return DEAD;
            }
        }
    }
}
