//! Filters → the gates of one automaton, and an exact engine per native pattern.

use regex_syntax::hir::Hir;

use super::automaton::PLAIN;
use super::exact::Exact;
use super::gates::Gates;
use super::{FilterId, ForeignGate, Matcher, Named, Rule};
use crate::filter::{Filter, Pattern, fail2ban};

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
    /// One of fail2ban's is, or all together are.
    #[error("filter `{filter}` is too large, alone or with the others: {why}")]
    Foreign {
        /// The filter.
        filter: String,
        /// What the engine said.
        why: String,
    },
}

pub(super) fn compile(
    filters: &[Filter],
    foreign: &[fail2ban::Jailed],
    cache: usize,
) -> Result<Matcher, CompileError> {
    let mut gates = Vec::new();
    let mut rules = Vec::new();
    for (id, filter) in filters.iter().enumerate() {
        let programs = programs(&filter.programs);
        let ignores = filter.ignores.iter().map(|pattern| (None, pattern));
        let hits = filter.patterns.iter().enumerate().map(|(at, p)| (Some(at as u16), p));
        for (index, pattern) in ignores.chain(hits) {
            let separator = Hir::literal([PLAIN]);
            gates.push(Hir::concat(vec![programs.clone(), separator, pattern.gate.clone()]));
            rules.push(Rule {
                filter: FilterId(id as u16),
                pattern: index,
                exact: Exact::new(pattern)?,
            });
        }
    }
    let mut foreign_gates = Vec::new();
    let mut foreign_hirs = Vec::new();
    let alone = |(_, filter): &(usize, &fail2ban::Jailed)| !filter.keeps_lines();
    for (id, filter) in foreign.iter().enumerate().filter(alone) {
        for gate in filter.rules.gates() {
            foreign_gates.push(ForeignGate { filter: id as u16, rule: gate.rule });
            foreign_hirs.push(gate.hir);
        }
    }
    let gates =
        Gates::new(&gates, &foreign_hirs, cache).map_err(|(at, why)| {
            match foreign_gates.get(at.wrapping_sub(rules.len())) {
                Some(gate) => CompileError::Foreign {
                    filter: foreign[usize::from(gate.filter)].rules.name.clone(),
                    why,
                },
                None => too_large(pattern_at(filters, at), &why),
            }
        })?;
    Ok(Matcher { gates, rules, foreign_gates, filters: filters.iter().map(named).collect() })
}

fn named(filter: &Filter) -> Named {
    Named {
        name: filter.name.clone(),
        patterns: filter.patterns.iter().map(|pattern| pattern.name.clone()).collect(),
    }
}

/// The pattern of a native gate, counted through all filters.
fn pattern_at(filters: &[Filter], at: usize) -> &Pattern {
    let mut all = filters.iter().flat_map(|filter| filter.ignores.iter().chain(&filter.patterns));
    all.nth(at).expect("each native gate is a pattern's")
}

fn too_large(pattern: &Pattern, why: &str) -> CompileError {
    CompileError::Pattern {
        place: pattern.place.to_string(),
        pattern: pattern.name.clone(),
        why: why.to_owned(),
    }
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
    ClassBytes::new([ClassBytesRange::new(0, PLAIN - 1), ClassBytesRange::new(PLAIN + 1, u8::MAX)])
}
