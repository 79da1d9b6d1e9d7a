//! The exact form of a pattern: does it match, and where are its named groups?
//!
//! The engine is that of [`crate::filter::python`], three to ten times as fast as `meta::Regex` with
//! captures. The few patterns that it refuses (a repetition of what may be empty) go to `meta::Regex`.

use regex_automata::{Anchored, Input, meta};

use super::CompileError;
use crate::filter::python::{DEFAULT_STEPS, Memory, Regex};
use crate::filter::{Pattern, syntax};

/// A pattern's exact form.
#[derive(Debug)]
pub(super) struct Exact {
    engine: Engine,
    /// The named groups, by index.
    names: Vec<(usize, Box<str>)>,
    /// The places of `ip` and `user` in that list.
    pub(super) ip: Option<usize>,
    pub(super) user: Option<usize>,
}

#[derive(Debug)]
enum Engine {
    Ours(Box<Regex>),
    Meta(meta::Regex),
}

/// The working memory of one thread.
#[derive(Debug, Default)]
pub(super) struct ExactScratch {
    memory: Memory,
    /// Where the named groups of the last match are, in the order of the names.
    pub(super) spans: Vec<Option<(usize, usize)>>,
    /// Searches that were given up; every pattern here is linear, so that none should be.
    pub(super) given_up: u64,
}

impl Exact {
    pub(super) fn new(pattern: &Pattern) -> Result<Exact, CompileError> {
        let engine = match Regex::native(&pattern.exact) {
            Ok(regex) => Engine::Ours(Box::new(regex)),
            Err(_) => Engine::Meta(meta(pattern)?),
        };
        let names: Vec<Option<&str>> = match &engine {
            Engine::Ours(regex) => regex.groups().iter().map(Option::as_deref).collect(),
            Engine::Meta(regex) => {
                regex.group_info().pattern_names(regex_automata::PatternID::ZERO).collect()
            }
        };
        let named = |(index, name): (usize, Option<&str>)| Some((index, name?.into()));
        let names: Vec<(usize, Box<str>)> =
            names.into_iter().enumerate().filter_map(named).collect();
        let place = |of: &str| names.iter().position(|(_, name)| &**name == of);
        let (ip, user) = (place("ip"), place("user"));
        Ok(Exact { engine, names, ip, user })
    }

    /// Whether the text matches; then the spans of the groups are in `scratch`.
    pub(super) fn find(&self, text: &[u8], scratch: &mut ExactScratch) -> bool {
        let ExactScratch { memory, spans, given_up } = scratch;
        spans.clear();
        match &self.engine {
            Engine::Ours(regex) => match regex.find(text, memory, DEFAULT_STEPS) {
                Ok(Some(found)) => {
                    spans.extend(self.names.iter().map(|(index, _)| found.group(*index)));
                    true
                }
                Ok(None) => false,
                Err(_) => {
                    *given_up += 1;
                    false
                }
            },
            Engine::Meta(regex) => {
                let mut captures = regex.create_captures();
                regex.search_captures(&Input::new(text).anchored(Anchored::Yes), &mut captures);
                let of = |index| captures.get_group(index).map(|it| (it.start, it.end));
                spans.extend(self.names.iter().map(|(index, _)| of(*index)));
                captures.is_match()
            }
        }
    }

    /// The names of the groups, in the order of the spans.
    pub(super) fn names(&self) -> impl Iterator<Item = &str> {
        self.names.iter().map(|(_, name)| &**name)
    }
}

/// Its lazy automata are off, because their caches, times patterns, times threads, would cost more
/// memory than all else.
fn meta(pattern: &Pattern) -> Result<meta::Regex, CompileError> {
    meta::Regex::builder()
        .configure(
            meta::Config::new()
                .utf8_empty(false)
                .hybrid(false)
                .dfa(false)
                .auto_prefilter(false)
                .nfa_size_limit(Some(EXACT_BYTES)),
        )
        .syntax(syntax())
        .build_from_hir(&pattern.exact)
        .map_err(|error| CompileError::Pattern {
            place: pattern.place.to_string(),
            pattern: pattern.name.clone(),
            why: error.to_string(),
        })
}

/// A bound on what one pattern of a configuration can make us allocate.
const EXACT_BYTES: usize = 4 << 20;
