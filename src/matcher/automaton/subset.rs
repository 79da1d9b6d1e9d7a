//! Sets of NFA states: the one behind a byte, the ones behind a header.

use super::nfa::{Nfa, State};

/// Room in which sets are built.
#[derive(Debug, Default)]
pub(super) struct Room {
    /// States reached: those that wait for a byte or for an end, and matches.
    pub(super) set: Vec<u32>,
    stack: Vec<u32>,
    /// By state: in which round it was reached last.
    seen: Vec<u32>,
    /// By gate: in which round it was seen to open.
    opened: Vec<u32>,
    round: u32,
    /// By gate: whether it was believed too often.
    pub(super) doubted: Vec<bool>,
}

/// What stands where a set of states is entered.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Place {
    Start,
    BehindBreak,
    Inside,
    /// At the very end, where a line's last anchors hold.
    End,
    /// Before a line break.
    BeforeBreak,
}

/// When gates open before all of their pattern was seen.
#[derive(Clone, Copy, Debug)]
pub(super) struct Belief {
    /// So few must be left,
    pub(super) gates: usize,
    /// and so many bits of each be told.
    pub(super) bits: u16,
}

impl Room {
    pub(super) fn new(nfa: &Nfa) -> Room {
        let (states, gates) = (nfa.states.len(), nfa.starts.len());
        Room {
            seen: vec![0; states],
            opened: vec![0; gates],
            doubted: vec![false; gates],
            ..Room::default()
        }
    }

    /// Begins a new set.
    pub(super) fn begin(&mut self) {
        self.set.clear();
        self.round = self.round.checked_add(1).unwrap_or_else(|| {
            self.seen.fill(0);
            self.opened.fill(0);
            1
        });
    }

    /// Adds what is reached from `state` without a byte.
    pub(super) fn add(&mut self, nfa: &Nfa, state: u32, place: Place) {
        self.stack.push(state);
        while let Some(state) = self.stack.pop() {
            if std::mem::replace(&mut self.seen[state as usize], self.round) == self.round {
                continue;
            }
            match &nfa.states[state as usize] {
                State::Bytes(_) | State::Match => self.set.push(state),
                State::Forks(next) => self.stack.extend_from_slice(next),
                State::Start { line, next } => {
                    if place == Place::Start || (*line && place == Place::BehindBreak) {
                        self.stack.push(*next);
                    }
                }
                State::End { line, next } => {
                    if place == Place::End || (*line && place == Place::BeforeBreak) {
                        self.stack.push(*next);
                    }
                    self.set.push(state);
                }
            }
        }
    }

    /// Adds what `byte` leads to from `from`. A match stays a match.
    pub(super) fn step(&mut self, nfa: &Nfa, from: &[u32], byte: u8) {
        let place = if byte == b'\n' { Place::BehindBreak } else { Place::Inside };
        for &state in from {
            match &nfa.states[state as usize] {
                State::Bytes(ranges) => {
                    let next = ranges.iter().find(|it| it.first <= byte && byte <= it.last);
                    if let Some(next) = next {
                        self.add(nfa, next.next, place);
                    }
                }
                State::Match => self.add(nfa, state, place),
                _ => {}
            }
        }
    }

    /// The set behind any of `bytes`, from `from`.
    pub(super) fn image(&mut self, nfa: &Nfa, from: &[u32], bytes: &[u8]) -> Vec<u32> {
        self.begin();
        bytes.iter().for_each(|byte| self.step(nfa, from, *byte));
        self.set.clone()
    }

    /// The set behind one or more of `bytes`.
    pub(super) fn image_many(&mut self, nfa: &Nfa, from: &[u32], bytes: &[u8]) -> Vec<u32> {
        let mut all = self.image(nfa, from, bytes);
        loop {
            let before = all.len();
            all = {
                self.begin();
                for &state in &all {
                    self.add(nfa, state, Place::Inside);
                }
                let from = self.set.clone();
                bytes.iter().for_each(|byte| self.step(nfa, &from, *byte));
                self.set.clone()
            };
            if all.len() == before {
                return all;
            }
        }
    }

    /// Ends a set: writes the gates that open in it to `opened`, sorted, and leaves in the set, also
    /// sorted, what may open others. A gate that is open needs no more of the line.
    ///
    /// When few gates are left, and the text has told enough to believe in them, they open at once: the
    /// rest of the line would tell no more than the exact check does, and the states that it would take
    /// are most of all states.
    pub(super) fn end(&mut self, nfa: &Nfa, belief: Belief, opened: &mut Vec<u32>) {
        opened.clear();
        for &state in &self.set {
            let owner = nfa.owner[state as usize];
            let is_match = matches!(nfa.states[state as usize], State::Match);
            if is_match && self.opened[owner as usize] != self.round {
                self.opened[owner as usize] = self.round;
                opened.push(owner);
            }
        }
        let Room { set, opened: rounds, round, doubted, .. } = self;
        set.retain(|state| rounds[nfa.owner[*state as usize] as usize] != *round);
        let told = |state: &u32| {
            let gate = nfa.owner[*state as usize] as usize;
            nfa.told[*state as usize] >= belief.bits && !doubted[gate]
        };
        if !set.is_empty() && set.iter().all(told) {
            let before = opened.len();
            for state in set.iter() {
                let owner = nfa.owner[*state as usize];
                if std::mem::replace(&mut rounds[owner as usize], *round) != *round {
                    opened.push(owner);
                }
            }
            match opened.len() - before <= belief.gates {
                true => set.clear(),
                false => opened.truncate(before),
            }
        }
        set.sort_unstable();
        opened.sort_unstable();
    }
}
