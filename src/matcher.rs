//! All patterns of all filters as one automaton, run once over a message.
//!
//! Enters: checked [`Filter`]s, then messages as (program, text). Leaves: for each filter that the
//! message concerns, the first pattern in the order of its file that matches, with the address and
//! the fields. Refuses to know: headers, senders, jails.
//!
//! A message is matched as one *subject*, `PROGRAM 0x1F TEXT`, anchored at its start. So the first
//! bytes do the routing: a program that no filter names leads to the dead state within a byte or
//! two, and no engine per program is needed (`shared/matching.md` measured one automaton over the
//! subject at twice the speed of the bare line). The two parts are fed one after the other and
//! never copied together.
//!
//! Two steps: the automaton runs supersets of the patterns (an address is a run of hex digits,
//! dots and colons), lazily determinised, with a bounded cache; only a pattern that hits there is
//! checked exactly, with captures.

mod compile;
mod exact;
mod extract;
mod nearest;
mod scan;
mod views;

pub use compile::CompileError;
pub use extract::Found;
pub use nearest::Nearest;
pub use views::{ViewScratch, Views};

use regex_automata::hybrid::dfa::{Cache, DFA};

use crate::filter::Filter;
use exact::{Exact, ExactScratch};

/// The compiled form of a list of filters. Shared, read-only.
#[derive(Debug)]
pub struct Matcher {
    automaton: DFA,
    /// In the order of the automaton's pattern ids: filter by filter, its ignores first.
    rules: Vec<Rule>,
    filters: Vec<Named>,
}

/// The working memory of one thread: caches, and the buffers that a line is matched with.
#[derive(Debug)]
pub struct Scratch {
    cache: Cache,
    /// Clears of the cache when a match state was last looked at.
    clears: usize,
    /// Rules whose gate the line passed.
    candidates: Vec<u32>,
    exact: ExactScratch,
}

#[derive(Debug)]
struct Rule {
    filter: FilterId,
    /// The pattern's place in its filter's list; `None` for an ignore pattern.
    pattern: Option<u16>,
    exact: Exact,
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
        compile::compile(filters)
    }

    /// Working memory for one thread. Memory of another matcher must not be used with this one.
    pub fn scratch(&self) -> Scratch {
        Scratch {
            cache: self.automaton.create_cache(),
            clears: 0,
            candidates: Vec::with_capacity(16),
            exact: ExactScratch::default(),
        }
    }

    /// Hands each hit of the message to `each`: at most one a filter, in the order of the filters.
    pub fn hits<'t>(
        &self,
        program: &[u8],
        text: &'t [u8],
        scratch: &mut Scratch,
        each: impl FnMut(Found<'t, '_>),
    ) {
        if self.candidates(program, text, scratch) {
            self.extract(text, scratch, each);
        }
    }

    /// The name of a filter.
    pub fn filter_name(&self, filter: FilterId) -> &str {
        &self.filters[usize::from(filter.0)].name
    }

    /// The name of a pattern within its filter.
    pub fn pattern_name(&self, pattern: PatternId) -> &str {
        &self.filters[usize::from(pattern.filter.0)].patterns[usize::from(pattern.index)]
    }

    /// How many filters and patterns (ignore patterns included) were compiled.
    pub fn size(&self) -> (usize, usize) {
        (self.filters.len(), self.rules.len())
    }
}

impl Scratch {
    /// Bytes that the automaton's cache holds now.
    pub fn cache_bytes(&self) -> usize {
        self.cache.memory_usage()
    }

    /// Exact checks that were given up; none should ever be.
    pub fn given_up(&self) -> u64 {
        self.exact.given_up
    }

    /// How often the cache was full and began anew.
    pub fn cache_clears(&self) -> usize {
        self.cache.clear_count()
    }
}

/// Stands between program and text in a subject. A program that contains it matches nothing.
const SEPARATOR: u8 = 0x1f;

#[cfg(test)]
mod tests;
