//! All patterns of all filters as one automaton, run once over a message.
//!
//! Enters: checked [`Filter`]s and fail2ban's rules, then messages as (program, text). Leaves: for
//! each filter that the message concerns, the first pattern in the order of its file that matches,
//! with the address and the fields; and fail2ban's patterns that may match. Refuses to know: headers,
//! senders, jails.
//!
//! A message is matched as one *subject*, `PROGRAM 0x1F TEXT`, anchored at its start. So the first
//! bytes do the routing: a program that no filter names leads to the dead state within a byte or
//! two, and no engine per program is needed (`shared/matching.md` measured one automaton over the
//! subject at twice the speed of the bare line). Lines that came together are read abreast, so that
//! they wait for memory together; only the first bytes of a line are copied for that.
//!
//! Two steps: the automaton runs supersets of the patterns, *gates* (an address is a run of hex digits,
//! dots and colons), determinised as far as lines need it, with a bounded cache; only a pattern whose
//! gate opens is checked exactly, with captures. A gate may open early, once the line has told enough
//! of it: what is wrong too often for that is doubted, and opens only when seen whole.

mod automaton;
mod compile;
mod exact;
mod extract;
mod gates;
mod nearest;

pub use automaton::{Header, Subject};
pub use compile::CompileError;
pub use extract::Found;
pub use nearest::Nearest;

use crate::filter::{Filter, fail2ban};
use automaton::Cache;
use exact::{Exact, ExactScratch};
use gates::{Caches, Gates};

/// The compiled form of a list of filters. Shared, read-only.
#[derive(Debug)]
pub struct Matcher {
    gates: Gates,
    /// In the order of the first gates: filter by filter, its ignores first.
    rules: Vec<Rule>,
    /// In the order of its other gates.
    foreign_gates: Vec<ForeignGate>,
    filters: Vec<Named>,
}

/// The working memory of one thread: the automaton as far as it is built, and the buffers that a
/// line is matched with.
#[derive(Debug)]
pub struct Scratch {
    caches: Caches,
    /// By line of the last scan: the gates that it opened.
    lines: Vec<Vec<u32>>,
    /// Those of the line that is looked at, in order.
    opened: Vec<u32>,
    exact: ExactScratch,
    /// By gate: what the exact checks said.
    checks: Vec<Checks>,
    checked: Checks,
    /// Gates that are to be doubted, and how often those were wrong since.
    doubtful: Vec<u32>,
    wrong: u32,
}

#[derive(Debug)]
struct Rule {
    filter: FilterId,
    /// The pattern's place in its filter's list; `None` for an ignore pattern.
    pattern: Option<u16>,
    exact: Exact,
}

/// How the exact checks of a pattern went.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Checks {
    /// It matched.
    pub held: u64,
    /// The gate had opened for nothing.
    pub failed: u64,
}

/// Whose exact checks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Checked {
    /// A native filter's pattern; `None` for one of its ignores.
    Native(FilterId, Option<u16>),
    /// fail2ban's.
    Foreign(ForeignGate),
}

/// Whose an opened gate is, when it is one of fail2ban's.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ForeignGate {
    /// The filter, by its place in the list of fail2ban's.
    pub filter: u16,
    /// The one `failregex` that may match; `None` for all.
    pub rule: Option<u16>,
}

#[derive(Debug)]
struct Named {
    name: String,
    patterns: Vec<String>,
}

/// A filter, by its place in the list that was compiled.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct FilterId(pub u16);

/// A pattern of a filter.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct PatternId {
    /// The filter.
    pub filter: FilterId,
    /// The pattern's place in the filter's list.
    pub index: u16,
}

impl Matcher {
    /// Compiles `filters` into one automaton.
    pub fn new(filters: &[Filter]) -> Result<Matcher, CompileError> {
        Matcher::with_foreign(filters, &[], CACHE_BYTES)
    }

    /// Compiles `filters` and fail2ban's into one automaton, of which a thread keeps at most about
    /// `cache` bytes. Filters of fail2ban's that keep lines have no gates: they see every line.
    pub fn with_foreign(
        filters: &[Filter],
        foreign: &[fail2ban::Jailed],
        cache: usize,
    ) -> Result<Matcher, CompileError> {
        compile::compile(filters, foreign, cache)
    }

    /// Working memory for one thread. Memory of another matcher must not be used with this one.
    pub fn scratch(&self) -> Scratch {
        Scratch {
            caches: self.gates.caches(),
            lines: Vec::new(),
            opened: Vec::with_capacity(64),
            exact: ExactScratch::default(),
            checks: vec![Checks::default(); self.rules.len() + self.foreign_gates.len()],
            checked: Checks::default(),
            doubtful: Vec::with_capacity(self.rules.len() + self.foreign_gates.len()),
            wrong: 0,
        }
    }

    /// Runs the automaton over lines, several side by side: which gates open? [`Scratch::turn_to`] shows
    /// what it found for each.
    pub fn scan(&self, subjects: &[Subject<'_>], scratch: &mut Scratch) {
        let Scratch { caches, lines, .. } = scratch;
        if lines.len() < subjects.len() {
            lines.resize_with(subjects.len(), || Vec::with_capacity(64));
        }
        self.gates.scan(subjects, caches, &mut lines[..subjects.len()]);
    }

    /// Hands each native hit of a message to `each`: at most one a filter, in the order of the
    /// filters.
    pub fn hits<'t>(
        &self,
        program: &[u8],
        text: &'t [u8],
        scratch: &mut Scratch,
        each: impl FnMut(Found<'t, '_>),
    ) {
        self.scan(&[Subject::new(program, text, Header::None, b"")], scratch);
        if scratch.turn_to(0) {
            self.extract(text, scratch, each);
        }
    }

    /// The gates of fail2ban's filters that the line opened, filter by filter.
    pub fn foreign<'s>(
        &'s self,
        scratch: &'s Scratch,
    ) -> impl Iterator<Item = (u32, ForeignGate)> + 's {
        let native = self.rules.len();
        let first = scratch.opened.partition_point(|gate| (*gate as usize) < native);
        let opened = scratch.opened[first..].iter();
        opened.map(move |gate| (*gate, self.foreign_gates[*gate as usize - native]))
    }

    /// Notes what the exact check of a gate's pattern said. Gates that are wrong too often open from
    /// then on only where all of the pattern was seen.
    pub fn note(&self, scratch: &mut Scratch, gate: u32, matches: bool) {
        let Checks { held, failed } = &mut scratch.checks[gate as usize];
        if matches {
            *held += 1;
            scratch.checked.held += 1;
            return;
        }
        *failed += 1;
        scratch.checked.failed += 1;
        let all = scratch.checked.held + scratch.checked.failed;
        if *failed >= DOUBT && *failed / DOUBT_SHARE >= *held && *failed * DOUBT_OF_ALL >= all {
            self.doubt(scratch, gate);
        }
    }

    /// Several at once, because what the automaton had built is built anew for it.
    #[cold]
    fn doubt(&self, scratch: &mut Scratch, gate: u32) {
        if !scratch.doubtful.contains(&gate) {
            scratch.doubtful.push(gate);
        }
        scratch.wrong += 1;
        if scratch.wrong >= WRONG {
            scratch.wrong = 0;
            self.gates.doubt(&scratch.doubtful, &mut scratch.caches);
            scratch.doubtful.clear();
        }
    }

    /// How the exact checks of each pattern went, as far as any was made: native ones by filter and
    /// pattern (`None` for an ignore pattern), then fail2ban's.
    pub fn checks(&self, scratch: &Scratch) -> Vec<(Checked, Checks)> {
        let native = self.rules.iter().map(|rule| Checked::Native(rule.filter, rule.pattern));
        let all = native.chain(self.foreign_gates.iter().map(|gate| Checked::Foreign(*gate)));
        let made = |(_, checks): &(Checked, Checks)| checks.held + checks.failed > 0;
        all.zip(scratch.checks.iter().copied()).filter(made).collect()
    }

    /// The name of a filter.
    pub fn filter_name(&self, filter: FilterId) -> &str {
        &self.filters[usize::from(filter.0)].name
    }

    /// The name of a pattern within its filter.
    pub fn pattern_name(&self, pattern: PatternId) -> &str {
        &self.filters[usize::from(pattern.filter.0)].patterns[usize::from(pattern.index)]
    }

    /// States of the NFA that all gates together have, and the bytes that they take.
    pub fn gates_size(&self) -> (usize, usize) {
        self.gates.size()
    }

    /// Bytes that the automaton's cache may take in each thread, about.
    pub fn most_cache_bytes(&self) -> usize {
        self.gates.most_bytes()
    }

    /// How many gates roam: they stay possible to the end of any line, and so have an automaton that
    /// runs only where one of their words stands.
    pub fn roaming(&self) -> usize {
        self.gates.roaming().len()
    }

    /// How many filters and patterns (ignore patterns included) were compiled.
    pub fn size(&self) -> (usize, usize) {
        (self.filters.len(), self.rules.len())
    }
}

impl Scratch {
    /// From now on the gates are those that this line of the last scan opened. Whether any did.
    #[inline]
    pub fn turn_to(&mut self, line: usize) -> bool {
        std::mem::swap(&mut self.opened, &mut self.lines[line]);
        if self.opened.is_empty() {
            return false;
        }
        self.opened.sort_unstable();
        self.opened.dedup();
        true
    }

    /// How many gates a line of the last scan opened, until it is turned to.
    pub fn opened(&self, line: usize) -> usize {
        self.lines[line].len()
    }

    /// Bytes that the automaton's cache holds now.
    pub fn cache_bytes(&self) -> usize {
        self.caches.sum(Cache::bytes)
    }

    /// How all exact checks went.
    pub fn checked(&self) -> Checks {
        self.checked
    }

    /// Exact checks of native patterns that were given up; none should ever be.
    pub fn given_up(&self) -> u64 {
        self.exact.given_up
    }

    /// How often the cache was full and forgot what was rare.
    pub fn cache_clears(&self) -> usize {
        self.caches.sum(Cache::clears)
    }

    /// How many states were ever built.
    pub fn states_built(&self) -> u64 {
        self.caches.sum(Cache::built)
    }

    /// How many states the cache holds.
    pub fn states(&self) -> usize {
        self.caches.sum(Cache::states)
    }
}

/// What a thread keeps of the automaton, unless the configuration says otherwise: above the working
/// set of any traffic seen; when full it forgets what is rare, and counts that.
pub const CACHE_BYTES: usize = 32 << 20;

/// A gate is believed until it was wrong so often, and so many times as often as it was right.
const DOUBT: u64 = 32;
const DOUBT_SHARE: u64 = 2;
/// And only if it is to blame for one of so many checks: a check costs less than a state that is built
/// because the gate is seen whole. Among thousands of patterns, those that are wrong now and then would
/// fill the cache again and again.
const DOUBT_OF_ALL: u64 = 200;
/// Doubts are acted upon together, after so many wrong openings of doubtful gates.
const WRONG: u32 = 2_000;

#[cfg(test)]
mod tests;
