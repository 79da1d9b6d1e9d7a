//! One log read by one fail2ban filter, line by line: the date is found and cut out, the rest is
//! judged, and sessions are kept.

use std::sync::Arc;

use super::dates::DateDetector;
use super::log::Log;
use super::rules::{Outcome, Rules};
use super::sessions::{Sessions, Verdict};
use crate::filter::python::{Memory, OutOfSteps};
use crate::model::Timestamp;

/// The state of one filter on one log.
#[derive(Debug)]
pub struct Journal {
    rules: Arc<Rules>,
    dates: DateDetector,
    log: Log,
    sessions: Sessions,
    memory: Memory,
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
            dates,
            log: Log::default(),
            sessions: Sessions::default(),
            memory: Memory::new(),
        }
    }

    /// The next line, without its line break, at `now`.
    ///
    /// # Errors
    /// When a pattern with back-references needs more steps than a line is worth.
    pub fn line(&mut self, line: &[u8], now: Timestamp) -> Result<Judged, OutOfSteps> {
        let Journal { rules, dates, log, memory, .. } = self;
        let (outcome, date) = log.dated(rules, dates, line, now, memory)?;
        Ok(match outcome {
            Outcome::Missed => Judged::Missed,
            Outcome::Ignored => Judged::Ignored,
            Outcome::Matched(found) => Judged::Hit(Hit {
                rule: found.rule,
                verdict: self.sessions.judge(found.groups, now),
                time: date.unwrap_or(now),
            }),
        })
    }

    /// Forgets every line so far: the next is judged alone.
    pub fn forget(&mut self) {
        self.log = Log::default();
        self.sessions = Sessions::default();
    }
}
