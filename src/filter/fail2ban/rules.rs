//! A fail2ban filter made ready: one line's text in, what its patterns find in it out.
//!
//! Nothing is remembered from line to line here; [`Journal`](super::Journal) does that.

mod gates;
mod rule;
mod several;

use super::captured::{Captured, Layout, Part, Tag, Tagged};
use super::conf::Definition;
use super::groups::Groups;
use super::needs::{Needs, Seen};
use crate::filter::python::{self, Memory, OutOfSteps};
use crate::model::Place;
pub use gates::Gate;
use rule::{Found, Rule};
use several::{joined, split};

/// The patterns of a filter.
#[derive(Debug)]
pub struct Rules {
    /// The filter's name.
    pub name: String,
    prefix: Option<Rule>,
    fails: Vec<Rule>,
    /// For each `failregex`, where its values are.
    layouts: Vec<Layout>,
    /// What each `failregex` may begin with, side by side: most are ruled out by a byte.
    heads: Vec<python::Bytes>,
    ignores: Vec<Rule>,
    max_lines: usize,
    /// None where a line matters that no `failregex` matches.
    needs: Option<Needs>,
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
pub enum Outcome<M = Match> {
    /// Nothing matches.
    Missed,
    /// An `ignoreregex` excuses it.
    Ignored,
    /// A `failregex` matches.
    Matched(M),
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
                let tells = |it: &Rule| {
                    it.groups
                        .iter()
                        .any(|(_, name)| IDENTIFIES.iter().any(|tag| tag.name() == &**name))
                };
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
        let heads = fails.iter().map(|rule| rule.regex.begins_with()).collect();
        let layouts =
            fails.iter().map(|rule| Layout::new(prefix.as_ref().map(Rule::named), rule.named()));
        let layouts = layouts.collect();
        let (name, needs) = (definition.name.clone(), None);
        let mut rules = Rules { name, prefix, fails, layouts, heads, ignores, max_lines, needs };
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

    /// The patterns as they are compiled, tags replaced: `prefregex`, and each `failregex`.
    pub fn patterns(&self) -> (Option<&str>, impl Iterator<Item = &str>) {
        (self.prefix.as_ref().map(|it| &*it.pattern), self.fails.iter().map(|it| &*it.pattern))
    }

    /// Judges a line by itself, without its date; for filters that look at one line at a time. Nothing
    /// is allocated unless it matches, and then only for what is long.
    pub fn judge_line(&self, line: &[u8], memory: &mut Memory) -> Result<Outcome, OutOfSteps> {
        self.judge_line_by(line, None, memory, |found| found.to_match())
    }

    /// The same when it is known that no `failregex` but those of `only`, in their order, matches;
    /// what is taken of a match is for `take` to say.
    pub fn judge_line_by<T>(
        &self,
        line: &[u8],
        only: Option<&[u16]>,
        memory: &mut Memory,
        take: impl FnOnce(&Captured<'_>) -> T,
    ) -> Result<Outcome<T>, OutOfSteps> {
        let mut room = memory.take_room();
        room.clear();
        room.extend_from_slice(line);
        room.push(b'\n');
        let outcome = self.judge_alone(&room, only, memory, take);
        memory.give_back(room);
        outcome
    }

    fn judge_alone<T>(
        &self,
        seen: &[u8],
        mut only: Option<&[u16]>,
        memory: &mut Memory,
        take: impl FnOnce(&Captured<'_>) -> T,
    ) -> Result<Outcome<T>, OutOfSteps> {
        if self.ignores_first() && self.is_ignored(seen, memory)? {
            return Ok(Outcome::Ignored);
        }
        let (mut text, copy);
        text = seen;
        if let Some(prefix) = &self.prefix {
            let Some(found) = prefix.regex.find_likely(seen, memory, STEPS)? else {
                return Ok(Outcome::Missed);
            };
            text = match prefix.content.and_then(|it| found.group(it)) {
                Some((start, end)) if start == end => seen,
                None => seen,
                // As a rule it is the rest of the line, and ends as a line does.
                Some((start, end)) if &seen[end..] == b"\n" => &seen[start..],
                Some((start, end)) => {
                    copy = [&seen[start..end], b"\n"].concat();
                    &copy
                }
            };
            memory.keep();
        }
        let mut at = 0;
        while let Some(index) = next(only, at).filter(|index| *index < self.fails.len()) {
            at = index + 1;
            if !text.first().is_some_and(|byte| self.heads[index].has(*byte)) {
                continue;
            }
            let regex = &self.fails[index].regex;
            let found = match only {
                Some(_) => regex.find_likely(text, memory, STEPS),
                None => regex.find(text, memory, STEPS),
            };
            if found?.is_none() {
                continue;
            }
            let copy = (!self.ignores.is_empty()).then(|| memory.found().to_match());
            if self.is_ignored(text, memory)? {
                return Ok(Outcome::Ignored);
            }
            let own = copy.as_ref().map_or_else(|| memory.found(), |it| it.spans());
            let before = self.prefix.as_ref().map(|_| Part { text: seen, spans: memory.kept() });
            let own = Part { text, spans: own };
            let layout = &self.layouts[index];
            if layout.is_whole {
                let found = Captured::in_line(index, layout, before, own);
                if identifies(&found) {
                    return Ok(Outcome::Matched(take(&found)));
                }
            } else {
                let found = Match { rule: index, groups: self.groups(index, before, own) };
                if identifies(&found.groups) {
                    return Ok(Outcome::Matched(take(&Captured::from(&found))));
                }
            }
            // Nobody to hold it against: fail2ban takes this for an error and goes on, with what the
            // match has left.
            text = b"\n";
            only = None;
        }
        Ok(Outcome::Missed)
    }

    /// The groups of a match as they are when some are put together of others.
    #[cold]
    fn groups(&self, index: usize, before: Option<Part<'_>>, own: Part<'_>) -> Groups {
        let mut groups = Groups::new();
        if let (Some(prefix), Some(before)) = (&self.prefix, before) {
            let is_content = |index| prefix.content == Some(index);
            let span = |index| before.spans.group(index).filter(|_| !is_content(index));
            prefix.groups_of(before.text, span, &mut groups);
            groups.remove("content");
        }
        let mut later = Groups::new();
        self.fails[index].groups_of(own.text, |index| own.spans.group(index), &mut later);
        groups.extend(later);
        groups
    }

    /// With few ignore patterns it is cheaper to ask them first, of the whole line; fail2ban decides
    /// so, and it matters because otherwise they see only what `prefregex` left.
    fn ignores_first(&self) -> bool {
        !self.ignores.is_empty() && self.ignores.len() + 2 < self.fails.len()
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
                *buffer = vec![content.into_vec()];
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

    fn is_ignored(&self, text: &[u8], memory: &mut Memory) -> Result<bool, OutOfSteps> {
        for ignore in &self.ignores {
            if ignore.regex.find(text, memory, STEPS)?.is_some() {
                return Ok(true);
            }
        }
        Ok(false)
    }
}

/// Whether a host may be a name: unless `usedns` says no, or what fail2ban does not understand.
fn asks_names(definition: &Definition) -> bool {
    let Some(usedns) = definition.rest.get("usedns") else { return true };
    matches!(&*usedns.to_lowercase(), "yes" | "warn" | "raw")
}

fn identifies(groups: &impl Tagged) -> bool {
    IDENTIFIES.iter().any(|tag| groups.text(*tag).is_some())
}

/// The first `failregex` from `at` on that may match.
#[inline]
fn next(only: Option<&[u16]>, at: usize) -> Option<usize> {
    match only {
        None => Some(at),
        Some(only) => only.iter().map(|it| usize::from(*it)).find(|index| *index >= at),
    }
}

/// Groups that say whom a failure is held against; the session stands for one that is known later.
const IDENTIFIES: [Tag; 5] = [Tag::Id, Tag::Ip4, Tag::Ip6, Tag::Dns, Tag::Session];

/// What one pattern may cost on one line. Patterns without back-references never need so many; with
/// them, a crafted line is given up after a millisecond, and counted.
const STEPS: u64 = 50_000;

/// Lines that a filter may ask to see together.
const MOST_LINES: usize = 1_000;

#[cfg(test)]
mod tests;
