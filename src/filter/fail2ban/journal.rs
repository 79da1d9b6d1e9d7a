//! One log read by one fail2ban filter, line by line: the date is found and cut out, the rest is
//! judged, and sessions are kept.

use std::sync::Arc;
use std::time::Duration;

use super::dates::{DateDetector, NoTime};
use super::rules::{Outcome, Rules};
use super::sessions::{Sessions, Verdict};
use crate::filter::python::{Memory, OutOfSteps};
use crate::model::Timestamp;

/// The state of one filter on one log.
#[derive(Debug)]
pub struct Journal {
    rules: Arc<Rules>,
    fresh: DateDetector,
    dates: DateDetector,
    sessions: Sessions,
    memory: Memory,
    buffer: Vec<Vec<u8>>,
    /// The line at hand, without its date.
    text: Vec<u8>,
    last: Option<Timestamp>,
}

/// What a line came to.
#[derive(Clone, Debug, PartialEq, Eq)]
#[expect(clippy::large_enum_variant, reason = "in place, so that a hit allocates nothing")]
pub enum Judged {
    /// Nothing matches.
    Missed,
    /// An `ignoreregex` excuses it.
    Ignored,
    /// A pattern matches.
    Hit(Hit),
}

/// A pattern that matched a line.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Hit {
    /// The `failregex`, counted from 0.
    pub rule: usize,
    /// What it means, with the groups of the line and of its session.
    pub verdict: Verdict,
    /// When it happened: as the line says, else as the line before said, else now.
    pub time: Timestamp,
}

impl Journal {
    /// A filter at the beginning of a log.
    pub fn new(rules: Arc<Rules>, dates: DateDetector) -> Journal {
        Journal {
            rules,
            fresh: dates.clone(),
            dates,
            sessions: Sessions::default(),
            memory: Memory::new(),
            buffer: Vec::new(),
            text: Vec::new(),
            last: None,
        }
    }

    /// The next line, without its line break, at `now`.
    ///
    /// # Errors
    /// When a pattern with back-references needs more steps than a line is worth.
    pub fn line(&mut self, line: &[u8], now: Timestamp) -> Result<Judged, OutOfSteps> {
        let mut text = std::mem::take(&mut self.text);
        let dated = self.dated(line, now, &mut text);
        let rules = Arc::clone(&self.rules);
        let outcome = match dated {
            Some(_) if rules.max_lines() == 1 => rules.judge_line(&text, &mut self.memory),
            Some(_) => {
                self.buffer.push(text.clone());
                self.keep_to_bounds();
                rules.judge(&mut self.buffer, &mut self.memory)
            }
            None => Ok(Outcome::Missed),
        };
        self.text = text;
        let date = dated.flatten();
        Ok(match outcome? {
            Outcome::Missed => Judged::Missed,
            Outcome::Ignored => Judged::Ignored,
            Outcome::Matched(found) => Judged::Hit(Hit {
                rule: found.rule,
                verdict: self.sessions.judge(found.groups, now),
                time: date.unwrap_or(now),
            }),
        })
    }

    /// As many lines as the filter asks for, and not more bytes than are worth joining at each line.
    fn keep_to_bounds(&mut self) {
        let mut bytes: usize = self.buffer.iter().map(Vec::len).sum();
        let mut surplus = self.buffer.len().saturating_sub(self.rules.max_lines());
        bytes -= self.buffer[..surplus].iter().map(Vec::len).sum::<usize>();
        while bytes > MOST_BYTES && surplus + 1 < self.buffer.len() {
            bytes -= self.buffer[surplus].len();
            surplus += 1;
        }
        self.buffer.drain(..surplus);
    }

    /// Forgets every line so far: the next is judged alone.
    pub fn forget(&mut self) {
        self.dates.clone_from(&self.fresh);
        self.sessions = Sessions::default();
        self.buffer.clear();
        self.last = None;
    }

    /// The line without its date into `text`, and the date. `None`: fail2ban fails on such a line.
    fn dated(
        &mut self,
        line: &[u8],
        now: Timestamp,
        text: &mut Vec<u8>,
    ) -> Option<Option<Timestamp>> {
        text.clear();
        let recent = self.last.filter(|last| *last > now.before(RECENT));
        let found = self.dates.find(line, now);
        let (cut, time) = match found.map(|it| (it.date, it.time)) {
            None => (None, recent),
            Some((date, Ok(time))) => {
                self.last = Some(time);
                (Some(date), Some(time))
            }
            Some((_, Err(NoTime::Empty))) => (None, Some(recent.unwrap_or(now))),
            Some((_, Err(NoTime::Unreadable))) if recent.is_some() => (None, recent),
            Some((date, Err(NoTime::Unreadable))) => (Some(date), None),
            Some((_, Err(NoTime::Fatal))) => return None,
        };
        let cut = cut.unwrap_or(line.len()..line.len());
        text.extend_from_slice(&line[..cut.start]);
        text.extend_from_slice(&line[cut.end..]);
        Some(time)
    }
}

/// A line without a date happened when the last dated one did, if that is no older than this.
const RECENT: Duration = Duration::from_secs(60);
/// What the lines of a filter with `maxlines` hold together; the last line is kept in any case.
const MOST_BYTES: usize = 256 * 1024;
