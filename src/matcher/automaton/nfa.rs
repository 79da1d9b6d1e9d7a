//! The gates' NFAs, laid end to end in the form that sets of states are built from.

use regex_automata::nfa::thompson::{self, State as Theirs};
use regex_automata::util::look::Look;
use regex_syntax::hir::{Hir, HirKind, Repetition};

/// Every gate's states; those of one gate stand together and lead nowhere else.
#[derive(Default)]
pub(super) struct Nfa {
    pub(super) states: Vec<State>,
    /// The gate that each state belongs to.
    pub(super) owner: Vec<u32>,
    /// Where each gate begins.
    pub(super) starts: Vec<u32>,
    /// By state: how much the text has said, at least, when it is reached, in bits: a byte that must
    /// be `x` says eight, any digit four, any byte none.
    pub(super) told: Vec<u16>,
}

/// A state, with the states it leads to.
#[derive(Debug)]
pub(super) enum State {
    /// On a byte, by ranges that do not overlap.
    Bytes(Box<[Range]>),
    /// Without a byte.
    Forks(Box<[u32]>),
    /// At the start of the subject; with `line` behind a line break as well.
    Start { line: bool, next: u32 },
    /// At the end of the subject; with `line` before a line break as well.
    End { line: bool, next: u32 },
    /// The gate is open.
    Match,
}

#[derive(Clone, Copy, Debug)]
pub(super) struct Range {
    pub(super) first: u8,
    pub(super) last: u8,
    pub(super) next: u32,
}

impl Range {
    fn bytes(&self) -> u32 {
        u32::from(self.last - self.first) + 1
    }
}

impl Nfa {
    /// Adds a gate, anchored where the subject begins. What stands before a `separator` tells nothing.
    pub(super) fn add(&mut self, gate: &Hir, separator: Option<u8>) -> Result<(), String> {
        let nfa = thompson::Compiler::new()
            .configure(
                thompson::Config::new()
                    .utf8(false)
                    .nfa_size_limit(Some(GATE_BYTES))
                    .which_captures(thompson::WhichCaptures::None),
            )
            .build_from_hir(&uncounted(gate))
            .map_err(|error| error.to_string())?;
        let base = self.states.len() as u32;
        if self.states.len() + nfa.states().len() > MOST_STATES {
            return Err(format!("more than {MOST_STATES} states"));
        }
        self.states.extend(nfa.states().iter().map(|state| State::of(state, base)));
        self.owner.resize(self.states.len(), self.starts.len() as u32);
        let start = base + nfa.start_anchored().as_u32();
        self.starts.push(start);
        self.told.resize(self.states.len(), u16::MAX);
        self.tell(start, separator);
        Ok(())
    }

    /// The cheapest way to each state of the gate that begins at `start`.
    fn tell(&mut self, start: u32, separator: Option<u8>) {
        // By what was told so far: a queue for each sum up to all that matters.
        let mut queues: Vec<Vec<(u32, bool)>> = vec![Vec::new(); usize::from(MOST_TOLD) + 1];
        let mut passed = std::collections::HashSet::new();
        queues[0].push((start, separator.is_none()));
        for told in 0..=MOST_TOLD {
            while let Some((state, in_text)) = queues[usize::from(told)].pop() {
                if !passed.insert((state, in_text)) {
                    continue;
                }
                let known = &mut self.told[state as usize];
                *known = told.min(*known);
                let mut reach = |next: u32, more: u16, in_text: bool| {
                    queues[usize::from((told + more).min(MOST_TOLD))].push((next, in_text));
                };
                match &self.states[state as usize] {
                    State::Bytes(ranges) => {
                        let bytes: u32 = ranges.iter().map(Range::bytes).sum();
                        let bits = if in_text { 8 - bytes.ilog2() as u16 } else { 0 };
                        for range in ranges {
                            let ends =
                                separator.is_some_and(|it| range.first == it && range.last == it);
                            reach(range.next, bits, in_text || ends);
                        }
                    }
                    State::Forks(next) => next.iter().for_each(|next| reach(*next, 0, in_text)),
                    State::Start { next, .. } | State::End { next, .. } => reach(*next, 0, in_text),
                    State::Match => {}
                }
            }
        }
    }

    /// Which bytes no gate tells apart, and `apart` with them: the class of each byte, and how many
    /// there are.
    pub(super) fn classes(&self, apart: &[u8]) -> ([u8; 256], usize) {
        // Whether a class begins at this byte.
        let mut begins = [false; 257];
        let mut cut = |first: u8, last: u8| {
            begins[usize::from(first)] = true;
            begins[usize::from(last) + 1] = true;
        };
        apart.iter().for_each(|byte| cut(*byte, *byte));
        for state in &self.states {
            let State::Bytes(ranges) = state else { continue };
            ranges.iter().for_each(|range| cut(range.first, range.last));
        }
        let mut classes = [0; 256];
        let mut class = 0_u8;
        for byte in 1..256 {
            class += u8::from(begins[byte]);
            classes[byte] = class;
        }
        let count = usize::from(class) + 1;
        (frequent_first(&classes, count), count)
    }

    /// Bytes that this takes, about.
    pub(super) fn bytes(&self) -> usize {
        let ranges = |state: &State| match state {
            State::Bytes(ranges) => std::mem::size_of_val(&**ranges),
            State::Forks(forks) => std::mem::size_of_val(&**forks),
            _ => 0,
        };
        let rest: usize = self.states.iter().map(ranges).sum();
        self.states.len() * (size_of::<State>() + size_of::<u32>()) + rest
    }
}

impl std::fmt::Debug for Nfa {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let (gates, states) = (self.starts.len(), self.states.len());
        f.debug_struct("Nfa").field("gates", &gates).field("states", &states).finish()
    }
}

impl State {
    fn of(state: &Theirs, base: u32) -> State {
        let to = |next: &regex_automata::util::primitives::StateID| base + next.as_u32();
        let range =
            |it: &thompson::Transition| Range { first: it.start, last: it.end, next: to(&it.next) };
        match state {
            Theirs::ByteRange { trans } => State::Bytes([range(trans)].into()),
            Theirs::Sparse(sparse) => State::Bytes(sparse.transitions.iter().map(range).collect()),
            Theirs::Dense(dense) => {
                let one = |byte| {
                    Some(Range { first: byte, last: byte, next: to(&dense.matches_byte(byte)?) })
                };
                State::Bytes((0..=255).filter_map(one).collect())
            }
            Theirs::Union { alternates } => State::Forks(alternates.iter().map(to).collect()),
            Theirs::BinaryUnion { alt1, alt2 } => State::Forks([to(alt1), to(alt2)].into()),
            Theirs::Capture { next, .. } => State::Forks([to(next)].into()),
            Theirs::Look { look, next } => {
                let next = to(next);
                match look {
                    Look::Start => State::Start { line: false, next },
                    Look::StartLF | Look::StartCRLF => State::Start { line: true, next },
                    Look::End => State::End { line: false, next },
                    Look::EndLF | Look::EndCRLF => State::End { line: true, next },
                    // Edges of words are taken for true: the exact check knows them.
                    _ => State::Forks([next].into()),
                }
            }
            Theirs::Fail => State::Forks([].into()),
            Theirs::Match { .. } => State::Match,
        }
    }
}

/// The classes in another order: those of the bytes that logs are made of come first, so that most steps
/// from a state find their way in one line of a processor's cache.
fn frequent_first(classes: &[u8; 256], count: usize) -> [u8; 256] {
    let mut places = vec![None; count];
    let mut next = 0_u8;
    for byte in FREQUENT.iter().copied().chain(0..=u8::MAX) {
        let place = &mut places[usize::from(classes[usize::from(byte)])];
        if place.is_none() {
            *place = Some(next);
            next = next.wrapping_add(1);
        }
    }
    classes.map(|class| places[usize::from(class)].expect("each class holds a byte"))
}

/// As many as fill a line of a processor's cache.
const FREQUENT: &[u8; 32] = b" etaoinsrlducmpfhg0123456789.:-[";

/// The gate without its counts: each would multiply the states that traffic needs, and the exact
/// check counts anyway.
fn uncounted(gate: &Hir) -> Hir {
    let all = |parts: &[Hir]| parts.iter().map(uncounted).collect();
    match gate.kind() {
        HirKind::Repetition(repetition) => {
            let sub = Box::new(uncounted(&repetition.sub));
            let min = repetition.min.min(MOST_COUNTED);
            let max = repetition.max.filter(|max| *max <= MOST_COUNTED);
            Hir::repetition(Repetition { min, max, sub, ..*repetition })
        }
        HirKind::Capture(capture) => uncounted(&capture.sub),
        HirKind::Concat(parts) => Hir::concat(all(parts)),
        HirKind::Alternation(parts) => Hir::alternation(all(parts)),
        _ => gate.clone(),
    }
}

/// Up to this many times a gate counts.
const MOST_COUNTED: u32 = 3;

/// What is told beyond this makes no difference.
const MOST_TOLD: u16 = 512;

/// Bounds on what a configuration can make us allocate: one gate, and all of them.
const GATE_BYTES: usize = 8 << 20;
const MOST_STATES: usize = 4 << 20;
