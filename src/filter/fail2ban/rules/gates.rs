//! What the automaton asks of a line for a filter: supersets of its patterns.

use regex_syntax::hir::{Class, ClassBytes, ClassBytesRange, Hir, Repetition};

use super::{Rule, Rules};
use crate::filter::python::{Options, Superset, superset, without_looks};

/// A regular expression that every line of interest matches.
#[derive(Clone, Debug)]
pub struct Gate {
    /// The one `failregex` that may match when the gate opens, counted from 0; `None` for all.
    pub rule: Option<u16>,
    /// The expression.
    pub hir: Hir,
}

impl Gate {
    fn of(rule: usize, hir: Hir) -> Gate {
        Gate { rule: Some(rule as u16), hir }
    }
}

impl Rules {
    /// Supersets of the patterns without which no line matches, for an anchored search over a line
    /// and its line break.
    ///
    /// Where a `prefregex` hands what it leaves to a `failregex`, the gate is both in one: the
    /// prefix alone would open for every line of its daemon.
    pub fn gates(&self) -> Vec<Gate> {
        let fails = self.fails.iter().enumerate();
        match &self.prefix {
            None => {
                fails.map(|(at, it)| Gate::of(at, it.superset(&|_| None).unanchored())).collect()
            }
            Some(prefix) if prefix.regex.ast().ends_with("content") => fails
                .map(|(at, fail)| {
                    let content = fail.within();
                    let replace = |name: &str| (name == "content").then(|| content.clone());
                    Gate::of(at, prefix.superset(&replace).unanchored())
                })
                .collect(),
            Some(prefix) => {
                vec![Gate { rule: None, hir: prefix.superset(&|_| None).unanchored() }]
            }
        }
    }
}

impl Rule {
    /// The superset, with a cheap form for addresses and names.
    fn superset(&self, replace: &dyn Fn(&str) -> Option<Hir>) -> Superset {
        let cheaper = |name: &str| {
            let own = || self.ours.contains(&name).then(|| cheap(name)).flatten();
            replace(name).or_else(own)
        };
        superset(&self.regex.ast(), &Options { replace: &cheaper, ..Options::default() })
    }

    /// What a text contains in which this pattern is found: anchors are taken for true, except that
    /// a match from the start begins there. What comes behind the match is left open.
    fn within(&self) -> Hir {
        let superset = self.superset(&|_| None);
        let any = Hir::dot(regex_syntax::hir::Dot::AnyByte);
        let any = Repetition { min: 0, max: None, greedy: false, sub: Box::new(any) };
        let any = Hir::repetition(any);
        let lead = if superset.anchored() { Hir::empty() } else { any.clone() };
        Hir::concat(vec![lead, without_looks(superset.hir()), any])
    }
}

/// What the automaton takes for an address or a name: runs of the bytes that they are made of. The
/// exact forms, hundreds of times, would make its states many.
fn cheap(group: &str) -> Option<Hir> {
    let ranges: &[(u8, u8)] = match group {
        "ip4" => &[(b'0', b'9'), (b'.', b'.'), (0x80, 0xff)], // Python's \d knows other digits
        "ip6" => &[(b'0', b'9'), (b'a', b'f'), (b'A', b'F'), (b':', b':')],
        "dns" => {
            &[(b'-', b'.'), (b'0', b'9'), (b'A', b'Z'), (b'^', b'_'), (b'a', b'z'), (0x80, 0xff)]
        }
        _ => return None,
    };
    let ranges = ranges.iter().map(|(first, last)| ClassBytesRange::new(*first, *last));
    Some(Hir::repetition(Repetition {
        min: 1,
        max: None,
        greedy: true,
        sub: Box::new(Hir::class(Class::Bytes(ClassBytes::new(ranges)))),
    }))
}
