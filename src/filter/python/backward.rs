//! Which states can still come to a match, at every place of a text: one pass over it from its end.
//!
//! A regular over-approximation of the program (assertions hold, look-arounds are passed, a
//! back-reference is anything) is run from right to left as a lazily built deterministic automaton. The
//! [`Machine`](super::machine::Machine) then enters no state that cannot succeed, so that for a regular
//! pattern it never turns back. Only lines that the quick way gives up come here.
//!
//! **Bound.** [`MOST_STATES`] states; when there are more, everything to the left counts as possible.

mod alphabet;

use std::collections::HashMap;

use super::ast::Assert;
use super::chars;
use super::program::{Inst, Program};
use alphabet::{Alphabet, Letter};

/// A program, as the pass needs it.
#[derive(Debug)]
pub(super) struct Backward {
    /// The point that stands for each instruction. Points of an instruction follow each other, and the
    /// first of the next instruction follows them.
    points: Vec<u32>,
    words: usize,
    bytewise: bool,
    alphabet: Alphabet,
    /// By class: points that consume it and go on with the next point; and those that stay.
    onward: Vec<u64>,
    stay: Vec<u64>,
    /// From the last to the first.
    silent: Vec<Silent>,
    /// Points outside of look-arounds: when none of these is possible, none will be.
    main: Vec<u64>,
}

/// A point that consumes nothing.
#[derive(Debug, Clone, Copy)]
enum Silent {
    Always {
        at: u32,
    },
    Like {
        at: u32,
        to: u32,
    },
    Either {
        at: u32,
        one: u32,
        other: u32,
    },
    /// Only at the end of the text; or before a newline that ends it; or before any newline.
    AtEnd {
        at: u32,
        to: u32,
        last: bool,
        any: bool,
    },
}

/// The automaton of one pattern, and what it said of one text. Kept from search to search.
#[derive(Debug, Default)]
pub(super) struct Passed {
    /// The pattern whose automaton this is; 0 for none.
    owner: u64,
    states: Vec<u64>,
    known: HashMap<Box<[u64]>, u32>,
    /// By state and class: the state before that, or [`UNKNOWN`].
    next: Vec<u32>,
    /// By place in the text: the state.
    at: Vec<u32>,
    words: usize,
    /// Whether it holds for the text at hand.
    pub(super) on: bool,
}

impl Backward {
    /// `None` if the program is too large to be worth it.
    pub(super) fn new(program: &Program) -> Option<Backward> {
        let letters = letters(program);
        let mut points = Vec::with_capacity(program.code.len() + 1);
        let mut count = 0;
        for own in &letters {
            points.push(count);
            count += own.len().max(1) as u32;
        }
        points.push(count);
        if count as usize > MOST_POINTS {
            return None;
        }
        let words = count as usize / 64 + 1;
        let alphabet = Alphabet::new(program, letters.iter().flatten().map(|it| it.letter));
        let mut backward = Backward {
            points,
            words,
            bytewise: program.bytewise,
            onward: vec![0; words * alphabet.classes()],
            stay: vec![0; words * alphabet.classes()],
            alphabet,
            silent: Vec::new(),
            main: vec![0; words],
        };
        backward.fill(program, &letters);
        Some(backward)
    }

    fn fill(&mut self, program: &Program, letters: &[Vec<Step>]) {
        let mut inside = 0;
        for (pc, own) in letters.iter().enumerate() {
            let at = self.points[pc];
            let behind = self.points[pc + 1];
            inside +=
                i32::from(matches!(program.code[pc], Inst::Look(look) if apart(program, look)));
            for (point, step) in (at..).zip(own) {
                for class in self.alphabet.members(step.letter) {
                    let masks = if step.stays { &mut self.stay } else { &mut self.onward };
                    set(&mut masks[class * self.words..][..self.words], point);
                }
                if step.optional {
                    self.silent.push(Silent::Like { at: point, to: behind });
                }
            }
            if inside == 0 {
                (at..behind).for_each(|point| set(&mut self.main, point));
            }
            let ends = matches!(program.code[pc], Inst::LookEnd(look) if apart(program, look));
            let to = |pc: u32| self.points[pc as usize];
            let silent = match program.code[pc] {
                Inst::Match | Inst::LookEnd(_) | Inst::AtomicEnd => Silent::Always { at },
                Inst::Split { first, second } => {
                    Silent::Either { at, one: to(first), other: to(second) }
                }
                Inst::Jump(next) => Silent::Like { at, to: to(next) },
                Inst::LoopGuard { exit, .. } => Silent::Either { at, one: behind, other: to(exit) },
                Inst::Conditional { no, .. } => Silent::Either { at, one: behind, other: to(no) },
                Inst::Look(look) => Silent::Like { at, to: to(program.looks[look as usize].next) },
                Inst::Assert(Assert::TextEnd) => {
                    Silent::AtEnd { at, to: behind, last: false, any: false }
                }
                Inst::Assert(Assert::End) => {
                    Silent::AtEnd { at, to: behind, last: true, any: false }
                }
                Inst::Assert(Assert::LineEnd) => {
                    Silent::AtEnd { at, to: behind, last: true, any: true }
                }
                Inst::Assert(_)
                | Inst::Save(_)
                | Inst::Memo(_)
                | Inst::LoopInit(_)
                | Inst::LoopSet(_)
                | Inst::Atomic => Silent::Like { at, to: behind },
                _ => {
                    inside -= i32::from(ends);
                    continue;
                }
            };
            inside -= i32::from(ends);
            self.silent.push(silent);
        }
        self.silent.reverse();
    }

    /// Reads the text from its end to `from`.
    pub(super) fn pass(&self, owner: u64, text: &[u8], from: usize, passed: &mut Passed) {
        if passed.owner != owner {
            passed.begin(self, owner);
        }
        passed.at.clear();
        passed.at.resize(text.len() + 1, ANY);
        let classes = self.alphabet.classes();
        let mut state = START;
        let mut at = text.len();
        passed.at[at] = state;
        let budget = passed.count() + MOST_NEW;
        while at > from {
            let class;
            (at, class) = match text[at - 1] {
                byte @ 0..0x80 => (at - 1, self.alphabet.of_byte(byte)),
                byte if self.bytewise => (at - 1, self.alphabet.of(u32::from(byte))),
                _ => {
                    let start = chars::back(text, at);
                    (start, self.alphabet.of(chars::decode(text, start).0))
                }
            };
            let mut next = passed.next[state as usize * classes + class];
            if next == UNKNOWN {
                if passed.count() >= budget.min(MOST_STATES) {
                    if passed.count() >= MOST_STATES {
                        passed.owner = 0; // begins anew with the next text
                    }
                    break;
                }
                next = self.build(state, class, passed);
                passed.next[state as usize * classes + class] = next;
            }
            state = next;
            passed.at[at] = state;
            if state == NOTHING {
                passed.at[from..at].fill(NOTHING);
                break;
            }
        }
        passed.on = true;
    }

    /// The state before a character of `class`, behind which `state` is.
    fn build(&self, state: u32, class: usize, passed: &mut Passed) -> u32 {
        let words = self.words;
        let behind = &passed.states[state as usize * words..][..words];
        let onward = &self.onward[class * words..][..words];
        let stay = &self.stay[class * words..][..words];
        let mut bits = vec![0; words];
        for word in 0..words {
            let carry = behind.get(word + 1).map_or(0, |next| next << 63);
            bits[word] = ((behind[word] >> 1 | carry) & onward[word]) | (behind[word] & stay[word]);
        }
        let newline = class == self.alphabet.of_byte(b'\n');
        self.close(&mut bits, false, newline && state == START, newline);
        if bits.iter().zip(&self.main).all(|(bits, main)| bits & main == 0) {
            return NOTHING;
        }
        passed.add(self, bits)
    }

    /// Adds what leads to a possible point without consuming.
    fn close(&self, bits: &mut [u64], end: bool, last: bool, newline: bool) {
        loop {
            let mut changed = false;
            for silent in &self.silent {
                let (at, holds) = match *silent {
                    Silent::Always { at } => (at, true),
                    Silent::Like { at, to } => (at, get(bits, to)),
                    Silent::Either { at, one, other } => (at, get(bits, one) || get(bits, other)),
                    Silent::AtEnd { at, to, last: before_last, any } => {
                        let here = end || (last && before_last) || (newline && any);
                        (at, here && get(bits, to))
                    }
                };
                if holds && !get(bits, at) {
                    set(bits, at);
                    changed = true;
                }
            }
            if !changed {
                break;
            }
        }
    }

    /// Can the instruction at `pc` still lead to a match from `pos` on?
    #[inline]
    pub(super) fn possible(&self, passed: &Passed, pc: u32, pos: usize) -> bool {
        let state = passed.at[pos];
        state == ANY
            || get(
                &passed.states[state as usize * self.words..][..self.words],
                self.points[pc as usize],
            )
    }
}

impl Passed {
    /// Bytes held.
    pub(super) fn bytes(&self) -> usize {
        (self.states.capacity() + self.known.capacity() * (self.words + 3)) * 8
            + (self.next.capacity() + self.at.capacity()) * 4
    }

    fn begin(&mut self, backward: &Backward, owner: u64) {
        self.owner = owner;
        self.words = backward.words;
        self.states.clear();
        self.known.clear();
        self.next.clear();
        let mut start = vec![0; backward.words];
        backward.close(&mut start, true, false, false);
        // Neither is ever found again by what it holds: the one ends the text, the other is nothing.
        for bits in [start, vec![0; backward.words]] {
            self.states.extend_from_slice(&bits);
            self.next.resize(self.next.len() + backward.alphabet.classes(), UNKNOWN);
        }
    }

    fn count(&self) -> usize {
        self.states.len() / self.words.max(1)
    }

    fn add(&mut self, backward: &Backward, bits: Vec<u64>) -> u32 {
        if let Some(state) = self.known.get(&bits[..]) {
            return *state;
        }
        let state = self.count() as u32;
        self.states.extend_from_slice(&bits);
        self.next.resize(self.next.len() + backward.alphabet.classes(), UNKNOWN);
        self.known.insert(bits.into(), state);
        state
    }
}

/// One character that an instruction may consume.
#[derive(Debug, Clone, Copy)]
struct Step {
    letter: Letter,
    /// Again and again.
    stays: bool,
    /// Or the instruction ends before it.
    optional: bool,
}

/// What each instruction consumes; long counts become "or more".
fn letters(program: &Program) -> Vec<Vec<Step>> {
    let once = |letter| Step { letter, stays: false, optional: false };
    let text = |start: u32, end: u32| {
        // Literals of native patterns are ASCII, their other bytes are sets.
        std::str::from_utf8(&program.pool[start as usize..end as usize]).unwrap_or_default()
    };
    let of = |inst: &Inst| match *inst {
        Inst::Bytes { start, end } => {
            text(start, end).chars().map(|it| once(Letter::Char(it))).collect()
        }
        Inst::Fold { start, end } => {
            text(start, end).chars().map(|it| once(Letter::Fold(it))).collect()
        }
        Inst::Set(set) => vec![once(Letter::Set(set))],
        Inst::Backref { .. } => vec![Step { letter: Letter::Any, stays: true, optional: true }],
        Inst::Repeat(index) => {
            let repeat = &program.repeats[index as usize];
            let letter = Letter::Set(repeat.set);
            let least = repeat.min.min(MOST_COUNTED);
            let mut steps = vec![once(letter); least as usize];
            if repeat.max > MOST_COUNTED {
                steps.push(Step { letter, stays: true, optional: true });
            } else {
                let optional = Step { letter, stays: false, optional: true };
                steps.extend(std::iter::repeat_n(optional, (repeat.max - repeat.min) as usize));
            }
            if steps.is_empty() {
                steps.push(Step { letter: Letter::None, stays: false, optional: true });
            }
            steps
        }
        _ => Vec::new(),
    };
    program.code.iter().map(of).collect()
}

/// Whether the body of a look-around may be forgotten where nothing else is possible: not where it asks
/// about its ways, and looks at what is before them.
fn apart(program: &Program, look: u32) -> bool {
    let it = program.looks[look as usize];
    let is_end = |inst: &&Inst| matches!(inst, Inst::LookEnd(end) if *end == look);
    let end = program.code.iter().position(|inst| is_end(&inst)).unwrap_or_default();
    let start = program.code.iter().position(|inst| *inst == Inst::Look(look)).unwrap_or_default();
    let asks = |inst: &Inst| matches!(inst, Inst::Split { .. } | Inst::Repeat(_));
    it.behind == 0 || !program.code[start..end.max(start)].iter().any(asks)
}

fn get(bits: &[u64], at: u32) -> bool {
    bits[at as usize / 64] >> (at % 64) & 1 == 1
}

fn set(bits: &mut [u64], at: u32) {
    bits[at as usize / 64] |= 1 << (at % 64);
}

/// The state at the end of a text.
const START: u32 = 0;
/// Nothing is possible.
const NOTHING: u32 = 1;
/// Nothing is known.
const ANY: u32 = u32::MAX;
const UNKNOWN: u32 = u32::MAX;
/// Then the automaton is thrown away, and begins anew with the next text.
const MOST_STATES: usize = 2_000;
/// New ones for one text; each costs a microsecond or so.
const MOST_NEW: usize = 400;
const MOST_POINTS: usize = 4_096;
/// Counts up to this are exact.
const MOST_COUNTED: u32 = 16;
