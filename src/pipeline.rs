//! The only place where parsing and matching are joined. The daemon, `replay`, `explain`, the
//! benches and the trial of samples all call this [`Worker`], so they cannot disagree.
//!
//! Enters: the bytes of one line, who sent it, and the time. Leaves: [`Hit`]s, one for each jail
//! whose filter matched. Refuses to know: sockets, clocks, bans.

mod foreign;
mod logs;
pub mod trial;

use std::net::IpAddr;
use std::sync::Arc;

use smallvec::SmallVec;

pub use foreign::{Told, address};

use crate::filter::fail2ban::{Tag, Tagged};
use crate::filter::{Filter, fail2ban};
use crate::matcher::{
    CACHE_BYTES, Checked, Checks, CompileError, FilterId, Found, Matcher, PatternId, Scratch,
    Subject,
};
use crate::model::{JailId, ShortText, Timestamp, Trust};
use crate::syslog::{Message, Parser};
use foreign::{Foreign, ForeignScratch, Line};

/// Filters compiled, and which jails each of them serves. Shared by all workers; but for the lines that
/// some of fail2ban's filters keep, read-only.
#[derive(Debug)]
pub struct Rules {
    matcher: Matcher,
    foreign: Foreign,
    /// By filter: the native ones, then fail2ban's.
    jails: Vec<Vec<JailId>>,
    /// What a hit of a native pattern counts for.
    weights: Vec<Vec<u16>>,
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
    /// Stands for what a filter counts by when that is not the address (fail2ban's `<F-ID>`), such
    /// as a user name; else 0.
    pub counted_by: u64,
    /// Who reported it.
    pub speaker: Speaker,
    /// When it happened, on the clock that the caller keeps.
    pub at: Timestamp,
    /// The user that it names, cut short.
    pub user: Option<ShortText>,
    /// It counts for so many.
    pub weight: u16,
    /// The beginning of the message's text.
    pub excerpt: Excerpt,
}

/// What is kept of a line, to show why somebody was banned.
pub type Excerpt = ShortText<160>;

/// One thread's way from bytes to hits.
#[derive(Debug)]
pub struct Worker {
    rules: Arc<Rules>,
    parser: Parser,
    scratch: Scratch,
    foreign: ForeignScratch,
    told: Vec<Told>,
}

impl Rules {
    /// Compiles `filters`; `jails[i]` are the jails that the i-th filter serves.
    pub fn new(filters: &[Filter], jails: Vec<Vec<JailId>>) -> Result<Rules, CompileError> {
        Rules::with_foreign(filters, &[], jails)
    }

    /// The same with filters of fail2ban, which are counted on from the native ones.
    pub fn with_foreign(
        filters: &[Filter],
        foreign: &[fail2ban::Jailed],
        jails: Vec<Vec<JailId>>,
    ) -> Result<Rules, CompileError> {
        Rules::within(filters, foreign, jails, CACHE_BYTES)
    }

    /// The same with so many bytes, about, for each worker's automaton.
    pub fn within(
        filters: &[Filter],
        foreign: &[fail2ban::Jailed],
        jails: Vec<Vec<JailId>>,
        bytes: usize,
    ) -> Result<Rules, CompileError> {
        assert_eq!(filters.len() + foreign.len(), jails.len(), "one list of jails for each filter");
        let matcher = Matcher::with_foreign(filters, foreign, bytes)?;
        let weights = filters
            .iter()
            .map(|filter| filter.patterns.iter().map(|pattern| pattern.weight).collect())
            .collect();
        Ok(Rules { matcher, foreign: Foreign::new(foreign), jails, weights })
    }

    /// How many filters and patterns were compiled.
    pub fn size(&self) -> (usize, usize) {
        let (filters, patterns) = self.matcher.size();
        (filters + self.foreign.len(), patterns + self.foreign.patterns())
    }

    /// The name of a filter, native or fail2ban's.
    pub fn filter_name(&self, filter: FilterId) -> &str {
        let (native, index) = (self.matcher.size().0, usize::from(filter.0));
        if index < native {
            self.matcher.filter_name(filter)
        } else {
            self.foreign.name(index - native)
        }
    }

    /// What the automaton reads of a line; in `room` what must be put together for it.
    #[inline]
    pub fn subject<'a>(
        &self,
        line: &'a [u8],
        message: &Message<'a>,
        room: &'a mut Vec<u8>,
    ) -> Subject<'a> {
        let header = self.foreign.header(line, message, room);
        Subject::new(message.app, message.text, header, line)
    }

    /// The compiled patterns.
    pub fn matcher(&self) -> &Matcher {
        &self.matcher
    }

    /// Logs of senders, as fail2ban's filters keep them, that made room for others.
    pub fn logs_displaced(&self) -> u64 {
        self.foreign.displaced()
    }

    /// A hit for each jail of a filter of fail2ban's, if the groups of its match name an address.
    pub fn foreign_hits(
        &self,
        pattern: PatternId,
        groups: &impl Tagged,
        (speaker, at): (Speaker, Timestamp),
        excerpt: Excerpt,
        hits: &mut Vec<Hit>,
    ) {
        let Some(offender) = address(groups) else { return };
        let user = groups.text(Tag::User).map(ShortText::new);
        let counted_by = self.foreign.counted_by(groups, offender);
        let weight = 1;
        let hit =
            |&jail| Hit { jail, pattern, offender, counted_by, speaker, at, user, weight, excerpt };
        hits.extend(self.jails_of(pattern.filter).iter().map(hit));
    }

    /// What a hit of a pattern counts for: fail2ban's for one.
    pub fn weight(&self, pattern: PatternId) -> u16 {
        let of_filter = self.weights.get(usize::from(pattern.filter.0));
        of_filter.and_then(|it| it.get(usize::from(pattern.index))).copied().unwrap_or(1)
    }

    /// The jails that a filter serves.
    pub fn jails_of(&self, filter: FilterId) -> &[JailId] {
        &self.jails[usize::from(filter.0)]
    }
}

impl Worker {
    /// A worker with memory of its own.
    pub fn new(rules: Arc<Rules>) -> Worker {
        let (scratch, foreign) = (rules.matcher.scratch(), rules.foreign.scratch());
        Worker { rules, parser: Parser::new(), scratch, foreign, told: Vec::new() }
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

    /// Takes lines that came together: the same as one by one, but a good deal faster, because their
    /// ways through the automaton wait for memory at the same time. `each` sees every message.
    pub fn lines<'a>(
        &mut self,
        lines: impl IntoIterator<Item = (&'a [u8], Speaker)>,
        now: Timestamp,
        hits: &mut Vec<Hit>,
        mut each: impl FnMut(&Message<'a>),
    ) {
        let mut lines = lines.into_iter();
        loop {
            let parse = |(bytes, speaker)| (bytes, speaker, self.parser.parse(bytes));
            let group: SmallVec<[_; GROUP]> = lines.by_ref().take(GROUP).map(parse).collect();
            if group.is_empty() {
                return;
            }
            self.scan(group.iter().map(|(bytes, _, message)| (*bytes, message)));
            for (index, (bytes, speaker, message)) in group.iter().enumerate() {
                self.check(index, bytes, *speaker, message, &mut |_| now, hits);
                each(message);
            }
        }
    }

    /// One line with a clock that may read the message: `replay` runs on the lines' own time.
    pub fn line_at<'a>(
        &mut self,
        line: &'a [u8],
        speaker: Speaker,
        mut clock: impl FnMut(&Message<'a>) -> Timestamp,
        hits: &mut Vec<Hit>,
    ) -> Message<'a> {
        let message = self.parser.parse(line);
        self.scan([(line, &message)]);
        self.check(0, line, speaker, &message, &mut clock, hits);
        message
    }

    /// Which gates do lines open?
    fn scan<'l, 'a: 'l>(&mut self, lines: impl IntoIterator<Item = (&'a [u8], &'l Message<'a>)>) {
        let Worker { rules, scratch, foreign, .. } = self;
        let subject = |((line, message), room): ((&'a [u8], &Message<'a>), _)| {
            rules.subject(line, message, room)
        };
        let lines = lines.into_iter().zip(&mut foreign.texts);
        let subjects: SmallVec<[_; GROUP]> = lines.map(subject).collect();
        rules.matcher.scan(&subjects, scratch);
    }

    /// Checks exactly what a line of the last scan opened.
    fn check<'a>(
        &mut self,
        index: usize,
        line: &'a [u8],
        speaker: Speaker,
        message: &Message<'a>,
        clock: &mut dyn FnMut(&Message<'a>) -> Timestamp,
        hits: &mut Vec<Hit>,
    ) {
        // The parts, not the whole of self: a clone of the Arc for every line would have all workers
        // write to one counter.
        let Worker { rules, scratch, foreign, told, .. } = self;
        if !scratch.turn_to(index) && !rules.foreign.keeps_lines() {
            return;
        }
        let mut at = None;
        rules.matcher.extract(message.text, scratch, |found| {
            let at = *at.get_or_insert_with(|| clock(message));
            let pattern = found.pattern;
            let user = found.user().map(ShortText::new);
            let (offender, counted_by, weight) = (found.offender, 0, rules.weight(pattern));
            let excerpt = Excerpt::new(message.text);
            let hit = |&jail| Hit {
                jail,
                pattern,
                offender,
                counted_by,
                speaker,
                at,
                user,
                weight,
                excerpt,
            };
            hits.extend(rules.jails_of(pattern.filter).iter().map(hit));
        });
        let mut clock = || *at.get_or_insert_with(|| clock(message));
        let line = Line { bytes: line, message, speaker, clock: &mut clock };
        rules.foreign.judge(&rules.matcher, scratch, line, foreign, |filter, found, at| {
            let filter = FilterId((rules.matcher.size().0 + filter) as u16);
            let excerpt = Excerpt::new(message.text);
            if found.text(Tag::Session).is_some() {
                told.push(Told { filter, groups: found.groups(), speaker, at, excerpt });
                return;
            }
            let pattern = PatternId { filter, index: found.rule as u16 };
            rules.foreign_hits(pattern, found, (speaker, at), excerpt, hits);
        });
    }

    /// The session lines since the last call; [`detect::Sessions`](crate::detect::Sessions) makes
    /// hits of them.
    pub fn take_told(&mut self) -> Vec<Told> {
        std::mem::take(&mut self.told)
    }

    /// Lines on which a pattern was given up, because it needed too many steps.
    pub fn given_up(&self) -> u64 {
        self.foreign.given_up + self.scratch.given_up()
    }

    /// Takes one line and shows each match of a native filter whole, with its fields.
    pub fn examine<'a>(
        &mut self,
        line: &'a [u8],
        mut each: impl FnMut(&Message<'a>, &Found<'a, '_>),
    ) -> Message<'a> {
        let message = self.parser.parse(line);
        let (matcher, scratch) = (&self.rules.matcher, &mut self.scratch);
        matcher.hits(message.app, message.text, scratch, |found| each(&message, &found));
        message
    }

    /// How many gates lines open: the match alone, without headers and exact checks. For benches.
    pub fn opened(&mut self, subjects: &[Subject<'_>]) -> usize {
        let Worker { rules, scratch, .. } = self;
        let mut count = 0;
        for subjects in subjects.chunks(GROUP) {
            rules.matcher.scan(subjects, scratch);
            count += (0..subjects.len()).map(|line| scratch.opened(line)).sum::<usize>();
        }
        count
    }

    /// How the exact checks went, by the name of the pattern (`sshd/failed`, `fail2ban sshd 3`): those
    /// that failed most first.
    pub fn checks(&self) -> Vec<(String, Checks)> {
        let Rules { matcher, foreign, .. } = &*self.rules;
        let name = |of: Checked| match of {
            Checked::Native(filter, Some(index)) => {
                let pattern = matcher.pattern_name(PatternId { filter, index });
                format!("{}/{pattern}", matcher.filter_name(filter))
            }
            Checked::Native(filter, None) => format!("{} ignore", matcher.filter_name(filter)),
            Checked::Foreign(gate) => {
                let rule = gate.rule.map(|rule| format!(" {}", rule + 1)).unwrap_or_default();
                format!("fail2ban {}{rule}", foreign.name(usize::from(gate.filter)))
            }
        };
        let all = matcher.checks(&self.scratch).into_iter();
        let mut all: Vec<_> = all.map(|(of, checks)| (name(of), checks)).collect();
        all.sort_by_key(|(_, checks)| std::cmp::Reverse(checks.failed));
        all
    }

    /// The working memory of the matcher, for its figures.
    pub fn scratch(&self) -> &Scratch {
        &self.scratch
    }
}

/// So many lines at most are under way together: enough for the automaton's lanes, and few enough for
/// all that belongs to them to stay in the first-level cache.
const GROUP: usize = 32;

#[cfg(test)]
mod tests;
