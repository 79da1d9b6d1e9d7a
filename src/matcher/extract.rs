//! The exact check of the rules whose gate opened, and what they name.

use std::net::IpAddr;

use regex_automata::util::captures::Captures;
use regex_automata::{Anchored, Input};

use super::{Exact, Matcher, PatternId, Scratch};
use crate::model::normal_address;

/// A pattern that matched a message.
#[derive(Debug)]
pub struct Found<'t, 's> {
    /// Which.
    pub pattern: PatternId,
    /// The address that it names, in normal form.
    pub offender: IpAddr,
    text: &'t [u8],
    captures: &'s Captures,
}

impl<'t> Found<'t, '_> {
    /// The user that the message names, as its bytes are.
    pub fn user(&self) -> Option<&'t [u8]> {
        let span = self.captures.get_group_by_name("user")?;
        Some(&self.text[span.range()])
    }

    /// All named groups of the pattern that took part in the match, `ip` and `user` included.
    pub fn fields(&self) -> impl Iterator<Item = (&str, &'t [u8])> {
        let pattern = self.captures.pattern().unwrap_or_default();
        let names = self.captures.group_info().pattern_names(pattern);
        names.enumerate().filter_map(|(group, name)| {
            Some((name?, &self.text[self.captures.get_group(group)?.range()]))
        })
    }
}

impl Matcher {
    /// Checks the native gates that the last scan opened, and hands each hit to `each`: at most one a
    /// filter, in the order of the filters.
    ///
    /// Rules are numbered filter by filter, ignores first, patterns in the order of the file: so an
    /// ignore that matches can excuse the rest of its filter, and the first
    /// pattern that matches ends it.
    pub fn extract<'t>(
        &self,
        text: &'t [u8],
        scratch: &mut Scratch,
        mut each: impl FnMut(Found<'t, '_>),
    ) {
        let Scratch { opened, exact, .. } = scratch;
        let mut settled = None;
        for &id in opened.iter() {
            // Foreign gates stand behind the native ones.
            let Some(rule) = self.rules.get(id as usize) else { return };
            if settled == Some(rule.filter) {
                continue;
            }
            let Exact { cache, captures } = exact[id as usize].get_or_insert_with(|| Exact {
                cache: rule.exact.create_cache(),
                captures: rule.exact.create_captures(),
            });
            let input = Input::new(text).anchored(Anchored::Yes);
            rule.exact.search_captures_with(cache, &input, captures);
            if !captures.is_match() {
                continue;
            }
            let Some(index) = rule.pattern else {
                settled = Some(rule.filter);
                continue;
            };
            if let Some(offender) = address(text, captures) {
                settled = Some(rule.filter);
                let pattern = PatternId { filter: rule.filter, index };
                each(Found { pattern, offender, text, captures });
            }
        }
    }
}

/// The text of group `ip`, if it really is an address.
fn address(text: &[u8], captures: &Captures) -> Option<IpAddr> {
    let span = captures.get_group_by_name("ip")?;
    let address = std::str::from_utf8(&text[span.range()]).ok()?.parse().ok()?;
    Some(normal_address(address))
}
