//! Filters → one lazily built automaton, and an exact engine per pattern.

use regex_automata::MatchKind;
use regex_automata::hybrid::dfa::{Config, DFA};
use regex_automata::nfa::thompson;
use regex_syntax::hir::Hir;

use super::exact::Exact;
use super::{FilterId, Matcher, Named, Rule, SEPARATOR};
use crate::filter::Filter;

/// Why the filters cannot be compiled together.
#[derive(Debug, thiserror::Error)]
pub enum CompileError {
    /// One pattern is too large.
    #[error("{place}: pattern `{pattern}` is too large to compile: {why}")]
    Pattern {
        /// Where it stands.
        place: String,
        /// Its name.
        pattern: String,
        /// What the engine said.
        why: String,
    },
    /// All together are too large.
    #[error("{patterns} patterns are too large for one automaton: {why}")]
    Together {
        /// How many.
        patterns: usize,
        /// What the engine said.
        why: String,
    },
}

pub(super) fn compile(filters: &[Filter]) -> Result<Matcher, CompileError> {
    let mut gates = Vec::new();
    let mut rules = Vec::new();
    for (id, filter) in filters.iter().enumerate() {
        let programs = programs(&filter.programs);
        let ignores = filter.ignores.iter().map(|pattern| (None, pattern));
        let hits = filter.patterns.iter().enumerate().map(|(at, p)| (Some(at as u16), p));
        for (index, pattern) in ignores.chain(hits) {
            let separator = Hir::literal([SEPARATOR]);
            gates.push(Hir::concat(vec![programs.clone(), separator, pattern.gate.clone()]));
            rules.push(Rule {
                filter: FilterId(id as u16),
                pattern: index,
                exact: Exact::new(pattern)?,
            });
        }
    }
    Ok(Matcher {
        automaton: automaton(&gates)?,
        rules,
        filters: filters.iter().map(named).collect(),
    })
}

fn named(filter: &Filter) -> Named {
    Named {
        name: filter.name.clone(),
        patterns: filter.patterns.iter().map(|pattern| pattern.name.clone()).collect(),
    }
}

pub(super) fn automaton(gates: &[Hir]) -> Result<DFA, CompileError> {
    let wrong = |why: String| CompileError::Together { patterns: gates.len(), why };
    let nfa = thompson::Compiler::new()
        .configure(
            thompson::Config::new()
                .utf8(false)
                .nfa_size_limit(Some(NFA_BYTES))
                .which_captures(thompson::WhichCaptures::None),
        )
        .build_many_from_hir(gates)
        .map_err(|error| wrong(error.to_string()))?;
    DFA::builder()
        .configure(
            Config::new()
                .match_kind(MatchKind::All)
                .cache_capacity(CACHE_BYTES)
                .skip_cache_capacity_check(false),
        )
        .build_from_nfa(nfa)
        .map_err(|error| wrong(error.to_string()))
}

/// The programs of a filter: `*` is any run of bytes, `-` is none at all.
fn programs(programs: &[String]) -> Hir {
    let any = Hir::repetition(regex_syntax::hir::Repetition {
        min: 0,
        max: None,
        greedy: true,
        sub: Box::new(Hir::class(regex_syntax::hir::Class::Bytes(not_separator()))),
    });
    let one = |program: &String| match program.as_str() {
        "-" => Hir::empty(),
        glob => {
            let mut parts = Vec::new();
            for (at, literal) in glob.split('*').enumerate() {
                if at > 0 {
                    parts.push(any.clone());
                }
                parts.push(Hir::literal(literal.as_bytes()));
            }
            Hir::concat(parts)
        }
    };
    Hir::alternation(programs.iter().map(one).collect())
}

fn not_separator() -> regex_syntax::hir::ClassBytes {
    use regex_syntax::hir::{ClassBytes, ClassBytesRange};
    ClassBytes::new([
        ClassBytesRange::new(0, SEPARATOR - 1),
        ClassBytesRange::new(SEPARATOR + 1, u8::MAX),
    ])
}

/// The lazy automaton's memory per thread. Above the working set of any traffic seen (15 MB with
/// 192 patterns, `shared/matching.md`); when full it begins anew and counts that.
const CACHE_BYTES: usize = 32 << 20;

/// A bound on what a configuration can make us allocate: ten times all patterns that ship.
const NFA_BYTES: usize = 64 << 20;
