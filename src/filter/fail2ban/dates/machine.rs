//! Runs a compiled pattern on a line, with the preferences of Python and an end to its work.
//!
//! Backtracking, because the formats are short and fixed and it is the fastest for them. A search
//! that takes more steps than a few for every byte begins again and remembers where it failed: then
//! it is linear in the line. A pattern with back-references cannot do that, and gives up.

use super::node::Place;
use super::program::{Op, Program};
use super::text::{char_at, char_before, is_word};

/// Where the groups of a match begin and end: 2N and 2N + 1 are of group N.
#[derive(Clone, Debug, Default)]
pub(super) struct Slots(Vec<usize>);

impl Slots {
    /// The group, when it took part in the match.
    pub(super) fn group(&self, index: usize) -> Option<(usize, usize)> {
        let (start, end) = (*self.0.get(index * 2)?, *self.0.get(index * 2 + 1)?);
        (start != NOWHERE && end != NOWHERE).then_some((start, end))
    }
}

/// The space in which patterns run; kept from line to line.
#[derive(Clone, Debug, Default)]
pub(super) struct Machine {
    pub(super) slots: Slots,
    turns: Vec<usize>,
    stack: Vec<Undo>,
    failed: Vec<u64>,
    remember: bool,
    steps: usize,
    /// Searches that were given up because of their cost.
    pub(super) given_up: u64,
}

/// What a failure goes back to.
#[derive(Clone, Copy, Debug)]
enum Undo {
    Try { at: u32, pos: usize },
    Slot { slot: u16, was: usize },
    Turn { number: u16, was: usize },
}

/// A line to search, from `from` on; what is behind its end is not seen, what is before `from` is.
#[derive(Clone, Copy, Debug)]
pub(super) struct Searched<'l> {
    pub(super) line: &'l [u8],
    pub(super) from: usize,
    /// The last decade of this century that a year may be in.
    pub(super) decade: u8,
}

impl Machine {
    /// Searches the first match; its groups are in `slots` then.
    pub(super) fn search(&mut self, program: &Program, searched: Searched<'_>) -> bool {
        self.remember = false;
        self.steps = 2_000 + 64 * searched.line.len();
        match self.scan(program, searched) {
            Ok(found) => return found,
            Err(OutOfSteps) if !program.memo => {}
            Err(OutOfSteps) => {
                let bits = program.code.len() * (searched.line.len() + 1);
                if bits <= MOST_BITS {
                    self.failed.clear();
                    self.failed.resize(bits / 64 + 1, 0);
                    self.remember = true;
                    self.steps = 4 * bits + 2_000;
                    if let Ok(found) = self.scan(program, searched) {
                        return found;
                    }
                }
            }
        }
        self.given_up += 1;
        false
    }

    fn scan(&mut self, program: &Program, searched: Searched<'_>) -> Result<bool, OutOfSteps> {
        let line = searched.line;
        let mut pos = searched.from;
        if program.anchored {
            return if pos == 0 { self.match_at(program, searched, 0) } else { Ok(false) };
        }
        let bounded = program.code.first() == Some(&Op::Place(Place::DateBegin));
        while pos <= line.len() {
            if let Some(first) = &program.first {
                match line[pos..].iter().position(|byte| first[usize::from(*byte)]) {
                    Some(skip) => pos += skip,
                    None => return Ok(false),
                }
                // Most candidates are within a word: seen here, they cost nothing.
                if bounded && pos > 0 && is_ascii_word(line[pos]) && is_ascii_word(line[pos - 1]) {
                    pos += 1;
                    continue;
                }
            }
            // A byte within a character begins nothing.
            if pos < line.len() && line[pos] & 0xc0 == 0x80 && within_char(line, pos) {
                pos += 1;
                continue;
            }
            if self.match_at(program, searched, pos)? {
                return Ok(true);
            }
            pos += 1;
        }
        Ok(false)
    }

    fn match_at(
        &mut self,
        program: &Program,
        searched: Searched<'_>,
        pos: usize,
    ) -> Result<bool, OutOfSteps> {
        self.slots.0.clear();
        self.slots.0.resize(program.groups * 2 + 2, NOWHERE);
        self.turns.clear();
        self.turns.resize(program.loops, NOWHERE);
        self.stack.clear();
        match self.run(program, searched, 0, pos)? {
            Some(end) => {
                self.slots.0[0] = pos;
                self.slots.0[1] = end;
                Ok(true)
            }
            None => Ok(false),
        }
    }

    /// Runs from `at` to the next `Done`; where that is in the line.
    fn run(
        &mut self,
        program: &Program,
        searched: Searched<'_>,
        at: usize,
        pos: usize,
    ) -> Result<Option<usize>, OutOfSteps> {
        let line = searched.line;
        let bottom = self.stack.len();
        let (mut at, mut pos) = (at, pos);
        loop {
            let fits = match program.code[at] {
                Op::Byte(byte) => {
                    let fits = line.get(pos) == Some(&byte);
                    pos += usize::from(fits);
                    fits
                }
                Op::Set(number) => match line.get(pos) {
                    Some(byte) if *byte < 0x80 => {
                        let fits = program.sets[usize::from(number)].ascii >> byte & 1 == 1;
                        pos += usize::from(fits);
                        fits
                    }
                    Some(_) => {
                        let (c, length) = char_at(line, pos);
                        pos += length;
                        program.sets[usize::from(number)].has(c)
                    }
                    None => false,
                },
                Op::Decade => {
                    let fits = line
                        .get(pos)
                        .is_some_and(|byte| (b'0'..=b'0' + searched.decade).contains(byte));
                    pos += usize::from(fits);
                    fits
                }
                Op::Split(first, second) => {
                    if self.is_new(program, at, pos)? {
                        self.stack.push(Undo::Try { at: second, pos });
                        at = first as usize;
                        continue;
                    }
                    false
                }
                Op::Jump(to) => {
                    at = to as usize;
                    continue;
                }
                Op::Save(slot) => {
                    let was = std::mem::replace(&mut self.slots.0[usize::from(slot)], pos);
                    self.stack.push(Undo::Slot { slot, was });
                    true
                }
                Op::Place(place) => is_at(place, line, pos),
                Op::Same(group, fold) => match self.again(line, usize::from(group), fold, pos) {
                    Some(end) => {
                        pos = end;
                        true
                    }
                    None => false,
                },
                Op::Turn(number) => {
                    let was = std::mem::replace(&mut self.turns[usize::from(number)], pos);
                    self.stack.push(Undo::Turn { number, was });
                    true
                }
                Op::Moved(number, out) => {
                    if self.turns[usize::from(number)] == pos {
                        at = out as usize;
                        continue;
                    }
                    true
                }
                Op::Look { negated, back, end } => {
                    let seen = match stepped_back(line, pos, back) {
                        Some(start) => {
                            self.run_apart(program, searched, at + 1, start, negated)?.is_some()
                        }
                        None => false,
                    };
                    if seen != negated {
                        at = end as usize;
                        continue;
                    }
                    false
                }
                Op::Atomic(end) => match self.run_apart(program, searched, at + 1, pos, false)? {
                    Some(stop) => {
                        pos = stop;
                        at = end as usize;
                        continue;
                    }
                    None => false,
                },
                Op::Unless(group, to) => {
                    if self.slots.group(usize::from(group)).is_none() {
                        at = to as usize;
                        continue;
                    }
                    true
                }
                Op::Done => return Ok(Some(pos)),
            };
            if fits {
                at += 1;
                continue;
            }
            match self.back(bottom) {
                Some(next) => (at, pos) = next,
                None => return Ok(None),
            }
        }
    }

    /// The next way that was not tried, everything since undone.
    fn back(&mut self, bottom: usize) -> Option<(usize, usize)> {
        while self.stack.len() > bottom {
            match self.stack.pop() {
                Some(Undo::Slot { slot, was }) => self.slots.0[usize::from(slot)] = was,
                Some(Undo::Turn { number, was }) => self.turns[usize::from(number)] = was,
                Some(Undo::Try { at, pos }) => {
                    return Some((at as usize, pos));
                }
                None => return None,
            }
        }
        None
    }

    /// Pays for a choice. `false`: it was made here before, and everything after it failed.
    fn is_new(&mut self, program: &Program, at: usize, pos: usize) -> Result<bool, OutOfSteps> {
        self.steps = self.steps.checked_sub(1).ok_or(OutOfSteps)?;
        if !self.remember {
            return Ok(true);
        }
        let bit = pos * program.code.len() + at;
        let word = &mut self.failed[bit / 64];
        let new = *word >> (bit % 64) & 1 == 0;
        *word |= 1 << (bit % 64);
        Ok(new)
    }

    /// Runs a part on its own. The first way it matches stays; its groups too, unless `forget`.
    fn run_apart(
        &mut self,
        program: &Program,
        searched: Searched<'_>,
        at: usize,
        pos: usize,
        forget: bool,
    ) -> Result<Option<usize>, OutOfSteps> {
        let bottom = self.stack.len();
        // A part that is run again at the same place must not meet its own failures.
        let remember = std::mem::replace(&mut self.remember, false);
        let end = self.run(program, searched, at, pos)?;
        self.remember = remember;
        let mut kept = bottom;
        for index in bottom..self.stack.len() {
            match self.stack[index] {
                Undo::Try { .. } => {}
                undo => {
                    self.stack[kept] = undo;
                    kept += 1;
                }
            }
        }
        self.stack.truncate(kept);
        if forget && end.is_some() {
            while self.stack.len() > bottom {
                match self.stack.pop() {
                    Some(Undo::Slot { slot, was }) => self.slots.0[usize::from(slot)] = was,
                    Some(Undo::Turn { number, was }) => self.turns[usize::from(number)] = was,
                    _ => {}
                }
            }
        }
        Ok(end)
    }

    /// The end of the group's text at `pos`, if it is there again.
    fn again(&self, line: &[u8], group: usize, fold: bool, pos: usize) -> Option<usize> {
        let (start, end) = self.slots.group(group)?;
        let (text, here) = (line.get(start..end)?, line.get(pos..pos + (end - start))?);
        let same = text == here || (fold && text.eq_ignore_ascii_case(here));
        same.then_some(pos + here.len())
    }
}

/// The budget of a search is spent.
#[derive(Debug)]
struct OutOfSteps;

fn stepped_back(line: &[u8], pos: usize, chars: Option<u16>) -> Option<usize> {
    (0..chars.unwrap_or(0)).try_fold(pos, |pos, _| char_before(line, pos).map(|(_, start)| start))
}

/// Whether `pos`, a continuation byte, belongs to a whole character before it.
fn within_char(line: &[u8], pos: usize) -> bool {
    (1..=3usize.min(pos)).any(|back| char_at(line, pos - back).1 > back && line[pos - back] >= 0xc0)
}

fn is_at(place: Place, line: &[u8], pos: usize) -> bool {
    let end = pos == line.len();
    match place {
        Place::Begin => pos == 0,
        Place::LineBegin => pos == 0 || line[pos - 1] == b'\n',
        Place::End => end || line[pos..] == *b"\n",
        Place::LineEnd => end || line[pos] == b'\n',
        Place::VeryEnd => end,
        Place::WordEdge => word_before(line, pos) != word_after(line, pos),
        // Python finds no such place in an empty text.
        Place::NoWordEdge => !line.is_empty() && word_before(line, pos) == word_after(line, pos),
        Place::DateBegin => {
            let before = word_before(line, pos);
            pos == 0 || if end { before } else { !before || !word_after(line, pos) }
        }
        Place::DateEnd => !word_before(line, pos) || !word_after(line, pos),
    }
}

fn is_ascii_word(byte: u8) -> bool {
    byte == b'_' || byte.is_ascii_alphanumeric()
}

fn word_before(line: &[u8], pos: usize) -> bool {
    match pos.checked_sub(1).map(|at| line[at]) {
        None => false,
        Some(byte) if byte < 0x80 => is_ascii_word(byte),
        Some(_) => char_before(line, pos).is_some_and(|(c, _)| is_word(c)),
    }
}

fn word_after(line: &[u8], pos: usize) -> bool {
    match line.get(pos) {
        None => false,
        Some(byte) if *byte < 0x80 => is_ascii_word(*byte),
        Some(_) => is_word(char_at(line, pos).0),
    }
}

const NOWHERE: usize = usize::MAX;
/// Failures remembered for one search: 8 MiB.
const MOST_BITS: usize = 64 << 20;
