//! A fail2ban filter made ready: one line's text in, what its patterns find in it out.
//!
//! Nothing is remembered from line to line here; [`Journal`](super::Journal) does that.

use std::collections::BTreeMap;
use std::sync::Arc;

use regex_syntax::hir::{Class, ClassBytes, ClassBytesRange, Hir, Repetition};

use super::combine::Combine;
use super::conf::{Definition, Located};
use super::needs::{Needs, Seen};
use super::tags;
use crate::filter::python::{
    Memory, Options, OutOfSteps, Regex, Superset, superset, without_looks,
};
use crate::model::Place;

/// The patterns of a filter.
#[derive(Debug)]
pub struct Rules {
    /// The filter's name.
    pub name: String,
    prefix: Option<Rule>,
    fails: Vec<Rule>,
    ignores: Vec<Rule>,
    max_lines: usize,
    /// None where a line matters that no `failregex` matches.
    needs: Option<Needs>,
}

/// One pattern.
#[derive(Debug)]
struct Rule {
    regex: Regex,
    /// Every named group, by index.
    groups: Vec<(usize, Arc<str>)>,
    /// Groups of an address or a name as our own tags write them, and nobody by hand.
    ours: Vec<&'static str>,
    combine: Combine,
}

/// A pattern that cannot be used.
#[derive(Clone, Debug, thiserror::Error)]
#[error("{place}: {what}\n    in {pattern}")]
pub struct RuleError {
    /// Where in the filter's file.
    pub place: Place,
    /// What is not understood.
    pub what: String,
    /// The pattern, tags replaced.
    pub pattern: String,
}

/// The named groups of a match: what took part has a text.
pub type Groups = BTreeMap<Arc<str>, Option<Vec<u8>>>;

/// What a line's text came to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Match {
    /// The `failregex` that matched, counted from 0.
    pub rule: usize,
    /// The groups of `prefregex` and of the `failregex`, the latter over the former.
    pub groups: Groups,
}

/// The outcome for a text.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// Nothing matches.
    Missed,
    /// An `ignoreregex` excuses it.
    Ignored,
    /// A `failregex` matches.
    Matched(Match),
}

impl Rules {
    /// Compiles a filter's definition.
    pub fn new(definition: &Definition) -> Result<Rules, RuleError> {
        let several = definition.maxlines > 1;
        let names = asks_names(definition);
        let one = |located| Rule::new(located, false, names);
        let prefix = definition.prefregex.as_ref().map(one).transpose()?;
        let fails = definition
            .failregex
            .iter()
            .map(|located| {
                let rule = Rule::new(located, several, names)?;
                let tells =
                    |it: &Rule| it.groups.iter().any(|(_, name)| IDENTIFIES.contains(&&**name));
                if !tells(&rule) && !prefix.as_ref().is_some_and(tells) {
                    return Err(RuleError {
                        place: located.place.clone(),
                        what: "it names nobody: it needs <HOST>, <ADDR>, <F-ID> or <F-MLFID>"
                            .to_owned(),
                        pattern: located.text.clone(),
                    });
                }
                Ok(rule)
            })
            .collect::<Result<Vec<_>, _>>()?;
        let ignores = definition.ignoreregex.iter().map(one).collect::<Result<_, _>>()?;
        let max_lines = (definition.maxlines as usize).clamp(1, MOST_LINES);
        let mut rules =
            Rules { name: definition.name.clone(), prefix, fails, ignores, max_lines, needs: None };
        // `prefregex` changes the lines that are kept.
        if rules.prefix.is_none() && !rules.ignores_first() {
            rules.needs = Some(Needs::new(rules.fails.iter().map(|rule| &rule.regex)));
        }
        Ok(rules)
    }

    /// How many patterns there are: prefix, failures, ignores.
    pub fn size(&self) -> usize {
        usize::from(self.prefix.is_some()) + self.fails.len() + self.ignores.len()
    }

    /// Judges the last of the buffered lines, together with those before it. Without their dates;
    /// a filter that looks at one line at a time buffers just that.
    ///
    /// What a match used up leaves the buffer, what `<SKIPLINES>` passed over stays in it.
    pub fn judge(
        &self,
        buffer: &mut Vec<Vec<u8>>,
        memory: &mut Memory,
    ) -> Result<Outcome, OutOfSteps> {
        let mut seen = joined(buffer);
        // With few ignore patterns it is cheaper to ask them first, of the whole line; fail2ban
        // decides so, and it matters because otherwise they see only what `prefregex` left.
        if self.ignores_first() && self.is_ignored(&seen, memory)? {
            return Ok(Outcome::Ignored);
        }
        // What a match uses up matters only to the lines behind it.
        let original = if self.max_lines > 1 { buffer.clone() } else { Vec::new() };
        let mut before = Groups::new();
        if let Some(prefix) = &self.prefix {
            let Some(found) = prefix.find(&seen, memory)? else { return Ok(Outcome::Missed) };
            before = found.groups;
            let content = before.remove("content").flatten();
            if let Some(content) = content.filter(|content| !content.is_empty()) {
                *buffer = vec![content];
                seen = joined(buffer);
            }
        }
        for (index, rule) in self.fails.iter().enumerate() {
            let Some(found) = rule.find(&seen, memory)? else { continue };
            let (matched, left) = split(&original, &seen, &found);
            // A filter for several lines excuses the lines themselves, any other what
            // `prefregex` left of its line.
            if self.max_lines > 1 {
                seen = joined(&matched);
            }
            *buffer = left;
            if self.is_ignored(&seen, memory)? {
                return Ok(Outcome::Ignored);
            }
            let mut groups = before.clone();
            groups.extend(found.groups);
            if !identifies(&groups) {
                // Nobody to hold it against: fail2ban takes this for an error and goes on, with
                // what the match has left.
                seen = joined(buffer);
                continue;
            }
            return Ok(Outcome::Matched(Match { rule: index, groups }));
        }
        Ok(Outcome::Missed)
    }

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

    /// How many lines the filter looks at together.
    pub fn max_lines(&self) -> usize {
        self.max_lines
    }

    /// What of a line a match could need.
    pub(super) fn seen(&self, line: &[u8]) -> Seen {
        self.needs.as_ref().map(|needs| needs.seen(line)).unwrap_or_default()
    }

    /// Whether lines in which this stands can match: if not, [`judge`](Rules::judge) would miss
    /// them, and leave them as they are.
    pub(super) fn may_match(&self, seen: impl Iterator<Item = Seen>) -> bool {
        self.needs.as_ref().is_none_or(|needs| needs.may_match(seen))
    }

    fn ignores_first(&self) -> bool {
        !self.ignores.is_empty() && self.ignores.len() + 2 < self.fails.len()
    }

    fn is_ignored(&self, text: &[u8], memory: &mut Memory) -> Result<bool, OutOfSteps> {
        for ignore in &self.ignores {
            if ignore.regex.search(text, memory, STEPS)?.is_some() {
                return Ok(true);
            }
        }
        Ok(false)
    }
}

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

struct Found {
    groups: Groups,
    span: (usize, usize),
    skipped: Vec<Vec<u8>>,
}

impl Rule {
    /// With `several` lines in a text, `^` and `$` stand at the ends of each.
    fn new(located: &Located, several: bool, names: bool) -> Result<Rule, RuleError> {
        let pattern = tags::expand(&located.text, names);
        let wrong = |what: String| RuleError {
            place: located.place.clone(),
            what,
            pattern: pattern.clone(),
        };
        if pattern.trim().is_empty() {
            return Err(wrong("the pattern is empty".to_owned()));
        }
        let compile = if several { Regex::multi_line } else { Regex::new };
        let regex = compile(&pattern).map_err(|error| wrong(error.to_string()))?;
        let names = regex.ast().groups().iter().enumerate();
        let groups: Vec<(usize, Arc<str>)> =
            names.filter_map(|(index, name)| Some((index, name.as_deref()?.into()))).collect();
        let combine = Combine::new(groups.iter().map(|(_, name)| name));
        let ours = ["ip4", "ip6", "dns"].into_iter().filter(|name| tags::is_ours(name, &pattern));
        Ok(Rule { regex, groups, ours: ours.collect(), combine })
    }

    /// The superset, with a cheap form for addresses and names.
    fn superset(&self, replace: &dyn Fn(&str) -> Option<Hir>) -> Superset {
        let cheaper = |name: &str| {
            let own = || self.ours.contains(&name).then(|| cheap(name)).flatten();
            replace(name).or_else(own)
        };
        superset(self.regex.ast(), &Options { replace: &cheaper, ..Options::default() })
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

    fn find(&self, text: &[u8], memory: &mut Memory) -> Result<Option<Found>, OutOfSteps> {
        let Some(found) = self.regex.search(text, memory, STEPS)? else { return Ok(None) };
        let of = |index| found.group(index).map(|(start, end)| text[start..end].to_vec());
        let mut groups: Groups =
            self.groups.iter().map(|(index, name)| (Arc::clone(name), of(*index))).collect();
        let mut skipped = Vec::new();
        for number in 0.. {
            match groups.remove(format!("skiplines{number}").as_str()) {
                Some(Some(lines)) => {
                    skipped.extend(lines_of(&lines));
                }
                Some(None) => {}
                None => break,
            }
        }
        self.combine.apply(&mut groups);
        Ok(Some(Found { groups, span: found.span(), skipped }))
    }
}

/// Whether a host may be a name: unless `usedns` says no, or what fail2ban does not understand.
fn asks_names(definition: &Definition) -> bool {
    let Some(usedns) = definition.rest.get("usedns") else { return true };
    matches!(&*usedns.to_lowercase(), "yes" | "warn" | "raw")
}

fn identifies(groups: &Groups) -> bool {
    IDENTIFIES.iter().any(|name| matches!(groups.get(*name), Some(Some(_))))
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

/// Lines as the patterns see them: each ends in a line break.
fn joined(lines: &[Vec<u8>]) -> Vec<u8> {
    let mut text = lines.join(&b'\n');
    text.push(b'\n');
    text
}

/// The lines of a text as Python's `splitlines` counts them: also at a form feed and the like. A line
/// that has one in it is therefore never found again among those that were passed over.
fn lines_of(text: &[u8]) -> Vec<Vec<u8>> {
    let is_break = |c: char| {
        matches!(
            c,
            '\n' | '\r' | '\x0b' | '\x0c' | '\x1c'..='\x1e' | '\u{85}' | '\u{2028}' | '\u{2029}'
        )
    };
    if let Ok(text) = std::str::from_utf8(text) {
        let text = text.replace("\r\n", "\n");
        return text.split_terminator(is_break).map(|line| line.as_bytes().to_vec()).collect();
    }
    text.split_inclusive(|byte| *byte == b'\n')
        .map(|line| line.strip_suffix(b"\n").unwrap_or(line).to_vec())
        .collect()
}

/// The lines that a match used up, and those that are left: before it, passed over, behind it.
fn split(lines: &[Vec<u8>], text: &[u8], found: &Found) -> (Vec<Vec<u8>>, Vec<Vec<u8>>) {
    if lines.len() <= 1 {
        return (lines.to_vec(), Vec::new());
    }
    let (start, end) = found.span;
    // A match that begins with the line break before its line belongs to the line behind it.
    let upto = (start + 1).min(text.len());
    let first = text[..upto].iter().rposition(|byte| *byte == b'\n').map_or(0, |at| at + 1);
    // fail2ban looks for the line break from one before the end; for an empty match at the very
    // beginning Python takes that for the last character, and all lines are used up.
    let from = end.checked_sub(1).unwrap_or(text.len() - 1);
    let last = text[from..].iter().position(|byte| *byte == b'\n');
    let last = last.map_or(text.len(), |at| from + at + 1);
    let breaks = |upto: usize| text[..upto].iter().filter(|byte| **byte == b'\n').count();
    let (first, last) = (breaks(first).min(lines.len()), breaks(last).min(lines.len()));
    // An empty match at the end of an empty line begins behind where it ends: the line stays twice.
    let mut matched = lines[first.min(last)..last].to_vec();
    let mut left = lines[..first].to_vec();
    let mut at = 0;
    for skipped in &found.skipped {
        if let Some(place) = matched[at..].iter().position(|line| line == skipped) {
            at += place;
            left.push(matched.remove(at));
        }
    }
    left.extend_from_slice(&lines[last..]);
    (matched, left)
}

/// Groups that say whom a failure is held against; the session stands for one that is known later.
const IDENTIFIES: [&str; 5] = ["fid", "ip4", "ip6", "dns", "mlfid"];

/// What one pattern may cost on one line. Patterns without back-references never need so many; with
/// them, a crafted line is given up after some milliseconds, and counted.
const STEPS: u64 = 200_000;

/// Lines that a filter may ask to see together.
const MOST_LINES: usize = 1_000;

#[cfg(test)]
mod tests;
