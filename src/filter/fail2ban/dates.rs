//! The date of a log line, found and read as fail2ban 1.0.2 does.
//!
//! Owns the language of `datepattern`, the formats known without one, and the memory of which of
//! them a log uses. A line, the time and the zone enter; where the date stands and what time it is
//! leave. Knows nothing of filters, nor what stands in the rest of the line.
//!
//! A detector learns: which template fits a line depends on the lines before it. Have one for each
//! filter and log, and feed it every line in order; a clone of a fresh one is cheap.

mod bounds;
mod epoch;
mod error;
mod fields;
mod known;
mod machine;
mod node;
mod parse;
mod program;
mod reckon;
mod template;
#[cfg(test)]
mod tests;
mod text;
mod zone;

use std::ops::Range;
use std::sync::Arc;

use crate::model::Timestamp;
use machine::{Machine, Searched, Slots};
use template::{Chosen, DEFAULT, Template};
use text::{char_at, char_before, count_chars, is_alnum, nth_char};

pub use error::{DateError, ZoneError};
pub use zone::Zone;

/// Finds dates in the lines of one log.
#[derive(Clone, Debug)]
pub struct DateDetector {
    entries: Vec<Entry>,
    zone: Zone,
    machine: Machine,
    last: Option<Last>,
    first_unused: usize,
    /// What the last local time was ahead of UTC.
    offset: jiff::tz::Offset,
}

/// What was found in a line.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Found {
    /// The time, or why there is none.
    pub time: Result<Timestamp, NoTime>,
    /// What is cut out of the line: the patterns see what is before and what is after.
    pub date: Range<usize>,
}

/// Why a date has no time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum NoTime {
    /// The pattern matched, but what it cuts out is empty: the date is optional, or there is none
    /// (`{NONE}`). The line counts as of the last known time, or of now.
    Empty,
    /// The text is no date (31 February, 24:00 …). It is cut out, and the line goes on undated.
    Unreadable,
    /// fail2ban fails on this line and leaves it alone: no pattern is tried on it.
    Fatal,
}

/// A template in a detector, and how it did.
#[derive(Clone, Debug)]
struct Entry {
    template: Arc<Template>,
    /// Lines that it won.
    won: u64,
    /// Lines that it matched.
    matched: u64,
    last_used: Option<Timestamp>,
    /// Where in the line its last date began, in characters.
    distance: usize,
}

/// The last date: which template won and what stood around it. Places are in characters.
#[derive(Clone, Copy, Debug)]
struct Last {
    entry: usize,
    edges: Edges,
}

#[derive(Clone, Copy, Debug)]
struct Edges {
    start: usize,
    before: Option<char>,
    first: char,
    end: usize,
    last: char,
    after: Option<char>,
}

/// A match in a line: bytes and characters.
struct Match {
    entry: usize,
    slots: Slots,
    start: usize,
    end: usize,
}

impl DateDetector {
    /// A detector for a `datepattern`: one pattern a line, or the known formats without one.
    pub fn new(datepattern: Option<&str>, zone: &Zone) -> Result<DateDetector, DateError> {
        let mut detector = DateDetector {
            entries: Vec::new(),
            zone: zone.clone(),
            machine: Machine::default(),
            last: None,
            first_unused: 0,
            offset: jiff::tz::Offset::UTC,
        };
        let text = datepattern.unwrap_or_default();
        for line in text.split('\n') {
            let pattern = line.trim();
            if !pattern.is_empty() {
                let at = pattern.as_ptr() as usize - text.as_ptr() as usize;
                detector.add(pattern, at)?;
            }
        }
        if detector.entries.is_empty() {
            detector.entries = DEFAULT.iter().cloned().map(Entry::new).collect();
        }
        Ok(detector)
    }

    /// The date of the next line of the log.
    pub fn find(&mut self, line: &[u8], now: Timestamp) -> Option<Found> {
        let found = self.search(line, now)?;
        let learnt = self.learn(&found, line, now);
        let date = match found.slots.group(1) {
            Some((start, end)) => start..end,
            None => line.len()..line.len(),
        };
        let time = match () {
            () if learnt.is_none() => Err(NoTime::Fatal),
            () if date.is_empty() => Err(NoTime::Empty),
            () => {
                let template = &self.entries[learnt.unwrap_or_default()].template;
                let clock = reckon::Clock { now, zone: &self.zone };
                let last = &mut self.offset;
                reckon::time_of(template, &found.slots, line, clock, last)
            }
        };
        Some(Found { time, date })
    }

    /// How many searches were given up because they would have cost too much: the pattern counts as
    /// not matching then. No known format comes to that, only a `datepattern` with repetitions next
    /// to back-references or conditions, or a very large one on a very long line.
    pub fn given_up(&self) -> u64 {
        self.machine.given_up
    }

    fn add(&mut self, pattern: &str, at: usize) -> Result<(), DateError> {
        let (templates, repeats) = match template::choose(pattern, at)? {
            Chosen::One(template) => (vec![template], false),
            Chosen::Many(templates) => (templates, !self.entries.is_empty()),
        };
        for template in templates {
            if self.entries.iter().all(|entry| !entry.template.is_same(&template)) {
                self.entries.push(Entry::new(template));
            } else if !repeats {
                return Err(DateError::Repeated { at });
            }
        }
        Ok(())
    }

    /// The match that wins: that of the last template where it still fits as it did, or else the
    /// first in the list that is not farther from the begin of the line than before.
    fn search(&mut self, line: &[u8], now: Timestamp) -> Option<Match> {
        let decade = last_decade(now);
        let mut best: Option<Match> = None;
        let mut skip = usize::MAX;
        if let Some(last) = self.last {
            let tied = self.entries[last.entry].template.tied;
            let part = if tied { None } else { last.edges.part(line) };
            if part.is_none() {
                skip = last.entry;
            }
            let (from, until) = part.unwrap_or((0, line.len()));
            if let Some(found) = self.try_entry(last.entry, &line[..until], from, decade) {
                let same = (last.edges.start, last.edges.end) == (found.start, found.end);
                if self.entries.len() == 1 || tied || same {
                    return Some(found);
                }
                best = Some(found);
            }
        }
        let before = self.last.map_or(1, |last| last.edges.start);
        for entry in (0..self.entries.len()).filter(|entry| *entry != skip) {
            let Some(found) = self.try_entry(entry, line, 0, decade) else { continue };
            let Some(next) = self.entries.get(entry + 1) else { return Some(found) };
            let this = &self.entries[entry];
            if this.template.tied || (found.start == 0 && this.won > 0 && next.matched == 0) {
                return Some(found);
            }
            // Farther than before: probably something in the message that looks like a date.
            if found.start <= this.distance && found.start <= before {
                return Some(found);
            }
            if best.as_ref().is_none_or(|best| found.start < best.start) {
                best = Some(found);
            }
        }
        best
    }

    fn try_entry(&mut self, entry: usize, line: &[u8], from: usize, decade: u8) -> Option<Match> {
        let program = &self.entries[entry].template.program;
        if from > line.len() || !self.machine.search(program, Searched { line, from, decade }) {
            return None;
        }
        self.entries[entry].matched += 1;
        let slots = self.machine.slots.clone();
        let (start, end) = slots.group(0)?;
        let start_chars = count_chars(&line[..start]);
        let end = start_chars + count_chars(&line[start..end]);
        Some(Match { entry, slots, start: start_chars, end })
    }

    /// Remembers who won, and lets it rise in the list: its new place there. `None` for an empty
    /// match behind the last character, around which there are no edges to remember.
    fn learn(&mut self, found: &Match, line: &[u8], now: Timestamp) -> Option<usize> {
        let number = found.entry;
        let entry = &mut self.entries[number];
        entry.won += 1;
        entry.last_used = Some(now);
        entry.distance = found.start;
        self.first_unused += usize::from(self.first_unused == number);
        let edges = Edges::around(found, line)?;
        let stays = number == 0 || self.last.is_some_and(|last| last.entry == number);
        let place = if stays { number } else { self.rise(number) };
        self.last = Some(Last { entry: place, edges });
        Some(place)
    }

    /// Moves an entry up: as far as the first that was never used, or half way, or by one; only
    /// past those that weigh less or were not used for long. Its new place.
    fn rise(&mut self, number: usize) -> usize {
        let passes = |place: usize| {
            let (entry, other) = (&self.entries[number], &self.entries[place]);
            let stale = match (entry.last_used, other.last_used) {
                (Some(used), Some(other)) => used.0.saturating_sub(LONG_UNUSED) > other.0,
                _ => true,
            };
            stale || entry.weight() > other.weight()
        };
        let far = if self.first_unused < number { self.first_unused } else { number / 2 };
        let place = match () {
            () if passes(far) => far,
            () if far != number - 1 && passes(number - 1) => number - 1,
            () => return number,
        };
        let entry = self.entries.remove(number);
        self.entries.insert(place, entry);
        while self.entries.get(self.first_unused).is_some_and(|entry| entry.won > 0) {
            self.first_unused += 1;
        }
        place
    }
}

impl Entry {
    fn new(template: Arc<Template>) -> Entry {
        Entry { template, won: 0, matched: 0, last_used: None, distance: FAR }
    }

    fn weight(&self) -> f64 {
        self.won as f64 * self.template.weight / self.distance.max(1) as f64
    }
}

impl Edges {
    fn around(found: &Match, line: &[u8]) -> Option<Edges> {
        let (start, end) = found.slots.group(0)?;
        let first = line.get(start).map(|_| char_at(line, start).0)?;
        // Before the begin of the line Python counts from its end.
        let last = char_before(line, if end == 0 { line.len() } else { end })?.0;
        let before = char_before(line, start).map(|(c, _)| c);
        let after = line.get(end).map(|_| char_at(line, end).0);
        Some(Edges { start: found.start, before, first, end: found.end, last, after })
    }

    /// The bytes where the date was in the last line, when the same characters stand around it, or
    /// the same that are no letters or digits stand at its ends.
    fn part(&self, line: &[u8]) -> Option<(usize, usize)> {
        let (start, end) = (nth_char(line, self.start), nth_char(line, self.end));
        let here = |at: usize| line.get(at).map(|_| char_at(line, at).0);
        // A slice that ends behind the line's end is empty.
        let ahead = |index: usize, at: usize| match index {
            0 => None,
            _ if count_chars(&line[..at]) < index => None,
            _ => char_before(line, at).map(|(c, _)| c),
        };
        let left = ahead(self.start, start) == self.before
            || (here(start) == Some(self.first) && !is_alnum(self.first));
        let right = here(end) == self.after
            || (ahead(self.end, end) == Some(self.last) && !is_alnum(self.last));
        (left && right).then_some((start, end))
    }
}

/// The last decade of this century that a year of four digits may be in: that of three years from
/// now, and the twenties, in which these formats were written, in any case.
fn last_decade(now: Timestamp) -> u8 {
    let year = 1970 + now.0.div_euclid(31_556_952_000_000) + 3;
    ((year - 2000) / 10).clamp(2, 9) as u8
}

/// A distance before the first date.
const FAR: usize = 0x7fff_ffff;
/// After five minutes without use a template may be overtaken by any other, in microseconds.
const LONG_UNUSED: i64 = 300_000_000;
