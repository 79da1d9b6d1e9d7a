//! One pattern of a filter.

use std::sync::Arc;

use super::several::lines_of;
use super::{RuleError, STEPS};
use crate::filter::fail2ban::captured::Named;
use crate::filter::fail2ban::combine::Combine;
use crate::filter::fail2ban::conf::Located;
use crate::filter::fail2ban::groups::{Groups, Text};
use crate::filter::fail2ban::tags;
use crate::filter::python::{Memory, OutOfSteps, Regex};

/// One pattern.
#[derive(Debug)]
pub(super) struct Rule {
    /// As it is compiled: tags replaced.
    pub(super) pattern: Box<str>,
    pub(super) regex: Regex,
    /// Every named group, by index.
    pub(super) groups: Vec<(usize, Arc<str>)>,
    /// The groups of `<SKIPLINES>`, by index.
    skips: Vec<usize>,
    /// What `prefregex` leaves to the other patterns.
    pub(super) content: Option<usize>,
    /// Groups of an address or a name as our own tags write them, and nobody by hand.
    pub(super) ours: Vec<&'static str>,
    combine: Combine,
}

/// Where a pattern matched.
pub(super) struct Found {
    pub(super) groups: Groups,
    pub(super) span: (usize, usize),
    pub(super) skipped: Vec<Vec<u8>>,
}

impl Rule {
    /// With `several` lines in a text, `^` and `$` stand at the ends of each.
    pub(super) fn new(located: &Located, several: bool, names: bool) -> Result<Rule, RuleError> {
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
        let names = regex.groups().iter().enumerate();
        let mut groups: Vec<(usize, Arc<str>)> =
            names.filter_map(|(index, name)| Some((index, name.as_deref()?.into()))).collect();
        let skip = |number: usize| regex.group(&format!("skiplines{number}"));
        let skips: Vec<usize> = (0..).map_while(skip).collect();
        groups.retain(|(index, _)| !skips.contains(index));
        let content = regex.group("content");
        let combine = Combine::new(groups.iter().map(|(_, name)| name));
        let ours = ["ip4", "ip6", "dns"].into_iter().filter(|name| tags::is_ours(name, &pattern));
        let ours = ours.collect();
        Ok(Rule { pattern: pattern.into(), regex, groups, skips, content, ours, combine })
    }

    pub(super) fn find(
        &self,
        text: &[u8],
        memory: &mut Memory,
    ) -> Result<Option<Found>, OutOfSteps> {
        let Some(found) = self.regex.find(text, memory, STEPS)? else { return Ok(None) };
        let mut groups = Groups::new();
        self.groups_of(text, |index| found.group(index), &mut groups);
        let spans = self.skips.iter().filter_map(|index| found.group(*index));
        let skipped = spans.flat_map(|(start, end)| lines_of(&text[start..end])).collect();
        Ok(Some(Found { groups, span: found.span(), skipped }))
    }

    /// Its named groups, and which of them go where.
    pub(super) fn named(&self) -> Named<'_> {
        (&self.groups, &self.combine)
    }

    /// The named groups of a match of this pattern.
    pub(super) fn groups_of(
        &self,
        text: &[u8],
        span: impl Fn(usize) -> Option<(usize, usize)>,
        groups: &mut Groups,
    ) {
        for (index, name) in &self.groups {
            let text = span(*index).map(|(start, end)| Text::from_slice(&text[start..end]));
            groups.insert(Arc::clone(name), text);
        }
        self.combine.apply(groups);
    }
}
