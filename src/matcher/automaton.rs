//! All gates as one automaton, determinised as far as lines need it.
//!
//! Enters: the gates, and the subject of a line. Leaves: which gates open. Refuses to know filters.
//!
//! A *native* gate reads `PROGRAM 0x1F TEXT`. A *foreign* one (fail2ban's) reads the line without
//! its date, ` HOST PROGRAM[PID]: TEXT` and a line break; but it is walked over the same subject.
//! Native gates wait until the host is over; foreign ones pass the process id by going on where any
//! number would lead: a set of states holds all of them at once. So both kinds are read in one pass,
//! and a program that nobody asks for leads to the dead state within a few bytes. What has no such
//! header is read twice, once by each kind, the foreign gates from the first byte on.
//!
//! An automaton of our own, and not regex-automata's `hybrid`: ids of two bytes keep the table that
//! traffic needs in the second-level cache, several lines are walked at a time, a gate that is open no
//! longer multiplies states, a full cache keeps what is hot, and no other has the two kinds of start.

mod cache;
mod nfa;
mod rows;
mod subset;
mod walk;
mod words;

use regex_syntax::hir::Hir;

pub(super) use cache::Cache;
use cache::{DEAD, LOST, MOST_STATES, Part, Set};
use nfa::Nfa;
use subset::{Belief, Place};

/// The gates, compiled. Shared, read-only.
#[derive(Debug)]
pub(super) struct Automaton {
    belief: Belief,
    nfa: Nfa,
    classes: Box<[u8; 256]>,
    /// The same, but that `END` is of the class of ends.
    last_classes: Box<[u16; 256]>,
    /// The class of ends: a state leads to `DEAD` by it where nothing opens at the end of a line.
    ends: u16,
    /// Cells of a row.
    width: usize,
    /// Gates from this one on are foreign.
    foreign: u32,
    most_states: usize,
    most_bytes: usize,
}

/// What the gates read of one line.
#[derive(Clone, Copy, Debug)]
pub struct Subject<'a> {
    pub(super) program: &'a [u8],
    pub(super) text: &'a [u8],
    pub(super) header: Header<'a>,
    pub(super) line: &'a [u8],
}

/// What foreign gates read before the text.
#[derive(Clone, Copy, Debug)]
pub enum Header<'a> {
    /// Nothing: the line is for native gates only.
    None,
    /// ` HOST PROGRAM: TEXT`, or ` HOST PROGRAM[NUMBER]: TEXT`.
    Host {
        /// A word without spaces.
        host: &'a [u8],
        /// Whether there is a number.
        is_numbered: bool,
    },
    /// Some other line, which is read whole.
    Other(&'a [u8]),
}

impl<'a> Subject<'a> {
    /// `program` and `text` are parts of `line`, which is empty when there is none; `header` is what
    /// stands around the program, for foreign gates. A program that holds a separator is nobody's.
    pub fn new(program: &'a [u8], text: &'a [u8], header: Header<'a>, line: &'a [u8]) -> Self {
        // `/usr/sbin/sshd` is `sshd`; `postfix/smtpd` stays.
        let program = match program.first() {
            Some(b'/') => program.rsplit(|byte| *byte == b'/').next().unwrap_or(program),
            _ => program,
        };
        Subject { program, text, header, line }
    }

    /// The part of the line that gates may read.
    pub(super) fn read(&self) -> &'a [u8] {
        let Header::Host { host, .. } = self.header else { return self.line };
        let at = (host.as_ptr() as usize).wrapping_sub(self.line.as_ptr() as usize);
        self.line.get(at..).unwrap_or(self.line)
    }
}

impl Automaton {
    /// Compiles gates; those of `native` read a subject, those of `foreign` a line. A cache will
    /// take at most about `bytes`.
    ///
    /// The error names the gate at fault, counted through both lists.
    pub(super) fn new(
        native: &[Hir],
        foreign: &[Hir],
        bytes: usize,
    ) -> Result<Automaton, (usize, String)> {
        let mut nfa = Nfa::default();
        for (at, gate) in native.iter().chain(foreign).enumerate() {
            let separator = (at < native.len()).then_some(PLAIN);
            nfa.add(gate, separator).map_err(|why| (at, why))?;
        }
        // A state is built from one byte of a class: what we ask for by name must be alone in its own.
        let mut apart = b"\n []:".to_vec();
        apart.extend([NUMBERED, PLAIN]);
        apart.extend(b'0'..=b'9');
        let (classes, class_count) = nfa.classes(&apart);
        // One more, for the end of a line.
        let width = rows::width(class_count + 1);
        let most_states = (bytes / ROW_SHARE / (2 * width)).clamp(LEAST_STATES, MOST_STATES);
        let ends = class_count as u16;
        let mut last_classes = Box::new(classes.map(u16::from));
        last_classes[usize::from(END)] = ends;
        let (classes, foreign) = (Box::new(classes), native.len() as u32);
        let most_bytes = bytes.max(LEAST_BYTES);
        let belief = BELIEF;
        Ok(Automaton {
            belief,
            nfa,
            classes,
            last_classes,
            ends,
            width,
            foreign,
            most_states,
            most_bytes,
        })
    }

    /// Working memory for one thread, which must not be used with another automaton.
    pub(super) fn cache(&self) -> Cache {
        let mut cache = Cache::new(self);
        self.begin(&mut cache);
        cache
    }

    /// From now on these gates open only where all of their pattern was seen. States that believed in
    /// them are forgotten, with all others: it happens once for each gate at most.
    pub(super) fn doubt(&self, gates: &[u32], cache: &mut Cache) {
        let doubted = &mut cache.room.doubted;
        let news =
            gates.iter().filter(|gate| !std::mem::replace(&mut doubted[**gate as usize], true));
        if news.count() > 0 {
            cache.empty();
            self.begin(cache);
        }
    }

    /// Builds the states that walks begin with.
    fn begin(&self, cache: &mut Cache) {
        for (state, part) in [(DEAD, Part::Dead), (LOST, Part::Lost)] {
            let place = cache.insert(self, Set { part, ..Set::default() });
            assert_eq!(place, state, "the first states are these");
            cache.rows[usize::from(place) * self.width..].fill(state);
        }
        let room = &mut cache.room;
        let (native, foreign) = self.nfa.starts.split_at(self.foreign as usize);
        let mut open = |starts: &[u32]| {
            room.begin();
            starts.iter().for_each(|start| room.add(&self.nfa, *start, Place::Start));
            room.set.clone()
        };
        let (native, foreign) = (open(native), open(foreign));
        let behind_space = room.image(&self.nfa, &foreign, b" ");
        cache.programs = native.clone();
        let starts = [(Part::Host, behind_space), (Part::Program, native), (Part::Text, foreign)];
        for (at, (part, states)) in starts.into_iter().enumerate() {
            let set = self.close(cache, part, &states);
            cache.starts_open[at] = !set.opens.is_empty();
            cache.starts[at] = cache.insert(self, set);
        }
        cache.start_count = cache.states();
    }

    /// Bytes that a cache may take, about.
    pub(super) fn most_bytes(&self) -> usize {
        self.most_bytes
    }

    /// States of the NFA, and the bytes that they take.
    pub(super) fn size(&self) -> (usize, usize) {
        (self.nfa.states.len(), self.nfa.bytes())
    }

    /// By the first byte of a program: whether some native gate may be for it.
    pub(super) fn programs(&self) -> Box<[bool; 256]> {
        let mut cache = self.cache();
        let mut programs = Box::new([true; 256]);
        for (byte, is_some) in (0..=u8::MAX).zip(&mut *programs) {
            let start = cache.starts[NATIVE];
            *is_some = self.build(start, byte, &mut cache) != DEAD;
        }
        programs
    }

    /// The gates that a subject leaves possible, and that are not open.
    pub(super) fn left(&self, subject: &Subject<'_>, cache: &mut Cache) -> Vec<u32> {
        let mut state = cache.starts[HOST];
        let Header::Host { host, is_numbered } = subject.header else { return Vec::new() };
        let separator = if is_numbered { NUMBERED } else { PLAIN };
        for piece in [host, b" ", subject.program, &[separator], subject.text] {
            for byte in piece {
                state = self.build(state, *byte, cache);
            }
        }
        let states = &cache.sets[usize::from(state)].states;
        let mut gates: Vec<u32> = states.iter().map(|at| self.nfa.owner[*at as usize]).collect();
        gates.dedup();
        gates
    }

    /// What opens at the end of the line.
    fn end(&self, state: u16, cache: &mut Cache, opened: &mut Vec<u32>) {
        if cache.ends[usize::from(state)].is_none() {
            let opens = self.opens_at_end(state, cache);
            cache.end(self, state, opens);
        }
        if let Some(opens) = &cache.ends[usize::from(state)] {
            opened.extend_from_slice(opens);
        }
    }

    /// Native gates end with the text; foreign ones see a line break first.
    #[cold]
    fn opens_at_end(&self, state: u16, cache: &mut Cache) -> Box<[u32]> {
        let room = &mut cache.room;
        let from = &cache.sets[usize::from(state)].states;
        let mut all = Vec::new();
        let mut opens = Vec::new();
        let (native, foreign): (Vec<u32>, Vec<u32>) =
            from.iter().partition(|state| self.nfa.owner[**state as usize] < self.foreign);
        room.begin();
        native.iter().for_each(|state| room.add(&self.nfa, *state, Place::End));
        room.end(&self.nfa, self.belief, &mut opens);
        all.append(&mut opens);
        let before = self.before_break(&foreign, room);
        let behind = room.image(&self.nfa, &before, b"\n");
        room.begin();
        behind.iter().for_each(|state| room.add(&self.nfa, *state, Place::End));
        room.end(&self.nfa, self.belief, &mut opens);
        all.append(&mut opens);
        all.into()
    }

    /// The states with what a line break before them makes true.
    fn before_break(&self, states: &[u32], room: &mut subset::Room) -> Vec<u32> {
        room.begin();
        states.iter().for_each(|state| room.add(&self.nfa, *state, Place::BeforeBreak));
        room.set.clone()
    }

    /// Builds the state behind `byte` from `state`, and notes it in that one's row. All other states may
    /// be forgotten for it.
    #[cold]
    fn build(&self, state: u16, byte: u8, cache: &mut Cache) -> u16 {
        let from = cache.sets[usize::from(state)].clone();
        let is_separator = from.part == Part::Program && matches!(byte, NUMBERED | PLAIN);
        let set = if from.part == Part::Host && byte == b' ' {
            let foreign = cache.room.image(&self.nfa, &from.states, b" ");
            let both = [&cache.programs[..], &foreign].concat();
            self.close(cache, Part::Program, &both)
        } else if is_separator {
            let behind = self.behind_separator(&from.states, byte, &mut cache.room);
            self.close(cache, Part::Text, &behind)
        } else {
            let room = &mut cache.room;
            let behind = match byte {
                b'\n' => {
                    let before = self.before_break(&from.states, room);
                    room.image(&self.nfa, &before, b"\n")
                }
                _ => room.image(&self.nfa, &from.states, &[byte]),
            };
            self.close(cache, from.part, &behind)
        };
        let (next, state) = cache.add(self, set, state);
        let class = usize::from(self.classes[usize::from(byte)]);
        cache.lead(self, state, class, next);
        next
    }

    /// Native gates read the separator; foreign ones what may stand in its place.
    fn behind_separator(&self, from: &[u32], separator: u8, room: &mut subset::Room) -> Vec<u32> {
        let (native, mut foreign): (Vec<u32>, Vec<u32>) =
            from.iter().partition(|state| self.nfa.owner[**state as usize] < self.foreign);
        // A native gate knows one separator only.
        let mut all = room.image(&self.nfa, &native, &[PLAIN]);
        if separator == NUMBERED {
            foreign = room.image(&self.nfa, &foreign, b"[");
            foreign = room.image_many(&self.nfa, &foreign, b"0123456789");
            foreign = room.image(&self.nfa, &foreign, b"]");
        }
        foreign = room.image(&self.nfa, &foreign, b":");
        foreign = room.image(&self.nfa, &foreign, b" ");
        all.append(&mut foreign);
        all
    }

    fn close(&self, cache: &mut Cache, part: Part, states: &[u32]) -> Set {
        let room = &mut cache.room;
        room.begin();
        states.iter().for_each(|state| room.add(&self.nfa, *state, Place::Inside));
        let mut opens = Vec::new();
        room.end(&self.nfa, self.belief, &mut opens);
        Set { part, opens: opens.into(), states: room.set.as_slice().into() }
    }
}

/// Stand between program and text in a subject: with a process id, and without.
const NUMBERED: u8 = 0x1e;
/// The one that native gates are written with.
pub(super) const PLAIN: u8 = 0x1f;

/// Fills the last bytes of a line up.
const END: u8 = 0;

/// Where a walk begins.
const HOST: usize = 0;
const NATIVE: usize = 1;
const FOREIGN: usize = 2;
const STARTS: usize = 3;

/// Twelve letters that must be as they are, and so few patterns that it costs less to check them than
/// to tell them apart.
const BELIEF: Belief = Belief { gates: 4, bits: 96 };

/// Rows may take half of a cache; sets take the rest.
const ROW_SHARE: usize = 2;

/// So few that a cache of any size holds the states of one line.
const LEAST_STATES: usize = 64;
const LEAST_BYTES: usize = 1 << 20;

#[cfg(test)]
mod tests;
