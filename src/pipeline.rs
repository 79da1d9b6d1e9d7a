//! The only place where parsing and matching are joined. The daemon, `replay`, `explain`, the
//! benches and the trial of samples all call this [`Worker`], so they cannot disagree.
//!
//! Enters: the bytes of one line, who sent it, and the time. Leaves: [`Hit`]s, one for each jail
//! whose filter matched. Refuses to know: sockets, clocks, bans.

pub mod trial;

use std::net::IpAddr;
use std::sync::Arc;

use crate::filter::Filter;
use crate::matcher::{CompileError, FilterId, Found, Matcher, PatternId, Scratch};
use crate::model::{JailId, ShortText, Timestamp, Trust};
use crate::syslog::{Message, Parser};

/// Filters compiled, and which jails each of them serves. Shared by all workers, read-only.
#[derive(Debug)]
pub struct Rules {
    matcher: Matcher,
    jails: Vec<Vec<JailId>>,
}

/// Who handed a line over, as the transport knows him. The HOSTNAME field is never asked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Speaker {
    /// The transport's source address, in normal form.
    pub address: IpAddr,
    /// How far his word is taken.
    pub trust: Trust,
}

/// One message matched one pattern of one jail.
#[derive(Clone, Copy, Debug)]
pub struct Hit {
    /// The jail.
    pub jail: JailId,
    /// The pattern of the jail's filter.
    pub pattern: PatternId,
    /// The address that the message names.
    pub offender: IpAddr,
    /// Who reported it.
    pub speaker: Speaker,
    /// When it happened, on the clock that the caller keeps.
    pub at: Timestamp,
    /// The user that it names, cut short.
    pub user: Option<ShortText>,
}

/// One thread's way from bytes to hits.
#[derive(Debug)]
pub struct Worker {
    rules: Arc<Rules>,
    parser: Parser,
    scratch: Scratch,
}

impl Rules {
    /// Compiles `filters`; `jails[i]` are the jails that the i-th filter serves.
    pub fn new(filters: &[Filter], jails: Vec<Vec<JailId>>) -> Result<Rules, CompileError> {
        assert_eq!(filters.len(), jails.len(), "one list of jails for each filter");
        Ok(Rules { matcher: Matcher::new(filters)?, jails })
    }

    /// The compiled patterns.
    pub fn matcher(&self) -> &Matcher {
        &self.matcher
    }

    fn jails_of(&self, filter: FilterId) -> &[JailId] {
        &self.jails[usize::from(filter.0)]
    }
}

impl Worker {
    /// A worker with memory of its own.
    pub fn new(rules: Arc<Rules>) -> Worker {
        let scratch = rules.matcher.scratch();
        Worker { rules, parser: Parser::new(), scratch }
    }

    /// Takes one line: parses it, matches it, and appends a hit for every jail concerned.
    pub fn line<'a>(
        &mut self,
        line: &'a [u8],
        speaker: Speaker,
        now: Timestamp,
        hits: &mut Vec<Hit>,
    ) -> Message<'a> {
        self.line_at(line, speaker, |_| now, hits)
    }

    /// The same with a clock that may read the message: `replay` runs on the lines' own time.
    pub fn line_at<'a>(
        &mut self,
        line: &'a [u8],
        speaker: Speaker,
        mut clock: impl FnMut(&Message<'a>) -> Timestamp,
        hits: &mut Vec<Hit>,
    ) -> Message<'a> {
        // The parts, not the whole of self: a clone of the Arc for every line would have all workers
        // write to one counter.
        let Worker { rules, parser, scratch } = self;
        let mut at = None;
        join(&rules.matcher, parser, scratch, line, |message, found| {
            let at = *at.get_or_insert_with(|| clock(message));
            let pattern = found.pattern;
            let user = found.user().map(ShortText::new);
            let hit = |&jail| Hit { jail, pattern, offender: found.offender, speaker, at, user };
            hits.extend(rules.jails_of(pattern.filter).iter().map(hit));
        })
    }

    /// Takes one line and shows each match whole, with its fields.
    pub fn examine<'a>(
        &mut self,
        line: &'a [u8],
        each: impl FnMut(&Message<'a>, &Found<'a, '_>),
    ) -> Message<'a> {
        join(&self.rules.matcher, &mut self.parser, &mut self.scratch, line, each)
    }

    /// The working memory of the matcher, for its figures.
    pub fn scratch(&self) -> &Scratch {
        &self.scratch
    }
}

/// Parse, then match.
fn join<'a>(
    matcher: &Matcher,
    parser: &mut Parser,
    scratch: &mut Scratch,
    line: &'a [u8],
    mut each: impl FnMut(&Message<'a>, &Found<'a, '_>),
) -> Message<'a> {
    let message = parser.parse(line);
    matcher.hits(message.app, message.text, scratch, |found| each(&message, &found));
    message
}

#[cfg(test)]
mod tests;
