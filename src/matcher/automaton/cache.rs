//! The sets of states met so far, as rows of a table: the automaton as far as it is known.
//!
//! **Bound.** At most so many states and bytes as were asked for. When full, the states that lines
//! went through lately stay (some scans leave their marks), and the others are forgotten: so a cache
//! below the working set of the traffic forgets what is rare, and slows down gently.

use std::collections::HashMap;
use std::hash::{BuildHasherDefault, Hasher};

use indexmap::IndexSet;

use super::rows::Rows;
use super::subset::Room;
use super::words::Words;
use super::{Automaton, STARTS};

/// One thread's working memory of an automaton.
#[derive(Debug)]
pub(in crate::matcher) struct Cache {
    /// By state and class of byte: the state behind it, or `LOST`.
    pub(super) rows: Rows,
    /// The states behind it that open gates.
    openings: HashMap<(u16, u8), u16, BuildHasherDefault<Mixer>>,
    /// By state: what it is made of.
    pub(super) sets: IndexSet<Set, BuildHasherDefault<Mixer>>,
    /// By state: what opens when the line ends there, once it is known.
    pub(super) ends: Vec<Option<Box<[u32]>>>,
    /// By state: whether a line went through it since the cache was full.
    pub(super) marks: Vec<bool>,
    pub(super) room: Room,
    /// The states that walks begin with, and how many there are.
    pub(super) starts: [u16; STARTS],
    /// Whether gates open there already.
    pub(super) starts_open: [bool; STARTS],
    pub(super) start_count: usize,
    /// Where native gates begin.
    pub(super) programs: Vec<u32>,
    /// What words of headers lead to.
    pub(super) words: Words,
    /// Scans so far.
    pub(super) scans: u32,
    /// What is allocated for sets and ends.
    set_bytes: usize,
    built: u64,
    clears: usize,
}

/// What a state is made of.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub(super) struct Set {
    pub(super) part: Part,
    /// The gates that open on entering it.
    pub(super) opens: Box<[u32]>,
    /// States of the NFA.
    pub(super) states: Box<[u32]>,
}

/// The part of the subject that is being read.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub(super) enum Part {
    /// Not in any.
    #[default]
    Dead,
    Lost,
    Host,
    Program,
    Text,
}

/// Nothing can open any more. Leads to itself.
pub(super) const DEAD: u16 = 0;
/// There is something to do: a state is to be built, or gates open. Leads to itself.
pub(super) const LOST: u16 = 1;
/// Most states that ids can tell apart.
pub(super) const MOST_STATES: usize = 0xfff0;

impl Cache {
    pub(super) fn new(automaton: &Automaton) -> Cache {
        Cache {
            rows: Rows::default(),
            openings: HashMap::default(),
            sets: IndexSet::default(),
            ends: Vec::new(),
            marks: Vec::new(),
            room: Room::new(&automaton.nfa),
            starts: [0; STARTS],
            starts_open: [false; STARTS],
            start_count: 0,
            programs: Vec::new(),
            words: Words::default(),
            scans: 0,
            set_bytes: 0,
            built: 0,
            clears: 0,
        }
    }

    /// Bytes that it holds now.
    pub(in crate::matcher) fn bytes(&self) -> usize {
        let each = size_of::<Set>() + 2 * size_of::<usize>() + size_of::<Option<Box<[u32]>>>() + 1;
        self.rows.len() * size_of::<u16>()
            + self.sets.len() * each
            + self.openings.capacity() * 2 * size_of::<(u16, u16)>()
            + self.words.bytes()
            + self.set_bytes
    }

    /// How often it was full, and forgot what was rare.
    pub(in crate::matcher) fn clears(&self) -> usize {
        self.clears
    }

    /// How many states were ever built.
    pub(in crate::matcher) fn built(&self) -> u64 {
        self.built
    }

    /// How many states it holds now.
    pub(in crate::matcher) fn states(&self) -> usize {
        self.sets.len()
    }

    /// The id of a set, which is added when it is new. `from` stays known, whatever is forgotten.
    ///
    /// Returns the id of `from` as well: it changes when the cache was full.
    pub(super) fn add(&mut self, automaton: &Automaton, set: Set, from: u16) -> (u16, u16) {
        // A host that no foreign gate likes may still have a program that a native one asks for.
        if set.states.is_empty() && set.opens.is_empty() && set.part != Part::Host {
            return (DEAD, from);
        }
        if let Some(index) = self.sets.get_index_of(&set) {
            return (index as u16, from);
        }
        let mut from = from;
        if self.is_full(automaton, 1) {
            from = self.forget(automaton, from);
        }
        self.built += 1;
        (self.insert(automaton, set), from)
    }

    /// Whether half of it is taken: then it may soon be full.
    pub(super) fn is_half_full(&self, automaton: &Automaton) -> bool {
        self.is_full(automaton, 2)
    }

    fn is_full(&self, automaton: &Automaton, times: usize) -> bool {
        let Automaton { most_states, most_bytes, .. } = *automaton;
        self.sets.len() * times >= most_states || self.bytes() * times >= most_bytes
    }

    /// The index of a set, which is added when it is new.
    pub(super) fn insert(&mut self, automaton: &Automaton, set: Set) -> u16 {
        let bytes = 4 * (set.states.len() + set.opens.len());
        let (index, is_new) = self.sets.insert_full(set);
        if is_new {
            self.set_bytes += bytes;
            self.rows.resize((index + 1) * automaton.width, LOST);
            self.ends.push(None);
            self.marks.push(false);
        }
        index as u16
    }

    /// The state behind a byte of a class, where the row says `LOST`: if it is known.
    pub(super) fn opening(&self, state: u16, class: usize) -> Option<u16> {
        self.openings.get(&(state, class as u8)).copied()
    }

    /// Notes the state behind a byte of a class.
    pub(super) fn lead(&mut self, automaton: &Automaton, state: u16, class: usize, next: u16) {
        if self.sets[usize::from(next)].opens.is_empty() {
            self.rows[(usize::from(state) * automaton.width) + class] = next;
        } else {
            self.openings.insert((state, class as u8), next);
        }
    }

    /// Forgets all states.
    pub(super) fn empty(&mut self) {
        self.rows.clear();
        self.openings.clear();
        self.sets.clear();
        self.ends.clear();
        self.marks.clear();
        self.words.clear();
        self.set_bytes = 0;
    }

    /// Remembers what opens when a line ends in `state`.
    pub(super) fn end(&mut self, automaton: &Automaton, state: u16, opens: Box<[u32]>) {
        if opens.is_empty() {
            let at = (usize::from(state) * automaton.width) + usize::from(automaton.ends);
            self.rows[at] = DEAD;
        }
        self.set_bytes += 4 * opens.len();
        self.ends[usize::from(state)] = Some(opens);
    }

    /// Keeps the starts, `from`, and half as many marked states as there is room for.
    fn forget(&mut self, automaton: &Automaton, from: u16) -> u16 {
        self.clears += 1;
        let mut kept = 0;
        let mut places = vec![LOST; self.sets.len()];
        for (index, place) in places.iter_mut().enumerate() {
            if index < self.start_count
                || index == usize::from(from)
                || (self.marks[index] && kept < automaton.most_states / 2)
            {
                *place = kept as u16;
                kept += 1;
            }
        }
        let width = automaton.width;
        for index in 0..places.len() {
            let place = places[index];
            if place == LOST && index != usize::from(LOST) {
                continue;
            }
            let (old, new) = (index * width, usize::from(place) * width);
            self.rows.copy_within(old..old + width, new);
            for next in &mut self.rows[new..new + width] {
                *next = places[usize::from(*next)];
            }
        }
        self.rows.truncate(kept * width);
        self.openings.clear();
        self.words.clear();
        let mut index = 0;
        self.sets.retain(|_| {
            index += 1;
            index == usize::from(LOST) + 1 || places[index - 1] != LOST
        });
        index = 0;
        self.ends.retain(|_| {
            index += 1;
            index == usize::from(LOST) + 1 || places[index - 1] != LOST
        });
        self.marks.clear();
        self.marks.resize(kept, false);
        let sets = self.sets.iter().map(|set| set.states.len() + set.opens.len()).sum::<usize>();
        let ends = self.ends.iter().flatten().map(|opens| opens.len()).sum::<usize>();
        self.set_bytes = 4 * (sets + ends);
        places[usize::from(from)]
    }
}

/// A hash of small integers. What it hashes is made of our own state numbers.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Mixer(u64);

impl Hasher for Mixer {
    fn finish(&self) -> u64 {
        self.0
    }

    fn write(&mut self, bytes: &[u8]) {
        for chunk in bytes.chunks(8) {
            let mut word = [0; 8];
            word[..chunk.len()].copy_from_slice(chunk);
            self.write_u64(u64::from_le_bytes(word));
        }
    }

    fn write_u64(&mut self, word: u64) {
        // Multiply and fold, as FxHash and wyhash do.
        let product = u128::from(self.0 ^ word) * u128::from(0x9e37_79b9_7f4a_7c15_u64);
        self.0 = (product as u64) ^ (product >> 64) as u64 ^ word.rotate_left(17);
    }

    fn write_usize(&mut self, word: usize) {
        self.write_u64(word as u64);
    }
}
