//! The exact check of the rules whose gate opened, and what they name.

use std::net::IpAddr;

use super::exact::Exact;
use super::{Matcher, PatternId, Scratch};
use crate::model::{normal_address, parse_address};

/// A pattern that matched a message.
#[derive(Debug)]
pub struct Found<'t, 's> {
    /// Which.
    pub pattern: PatternId,
    /// The address that it names, in normal form.
    pub offender: IpAddr,
    text: &'t [u8],
    exact: &'s Exact,
    spans: &'s [Option<(usize, usize)>],
}

impl<'t> Found<'t, '_> {
    /// The user that the message names, as its bytes are.
    pub fn user(&self) -> Option<&'t [u8]> {
        let (start, end) = self.spans[self.exact.user?]?;
        Some(&self.text[start..end])
    }

    /// All named groups of the pattern that took part in the match, `ip` and `user` included.
    pub fn fields(&self) -> impl Iterator<Item = (&str, &'t [u8])> {
        self.exact.names().zip(self.spans).filter_map(|(name, span)| {
            let (start, end) = (*span)?;
            Some((name, &self.text[start..end]))
        })
    }
}

impl Matcher {
    /// Checks the native gates that the line opened, and hands each hit to `each`: at most one a
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
        let mut settled = None;
        for at in 0..scratch.opened.len() {
            // Foreign gates stand behind the native ones.
            let id = scratch.opened[at];
            let Some(rule) = self.rules.get(id as usize) else { return };
            if settled == Some(rule.filter) {
                continue;
            }
            let matches = rule.exact.find(text, &mut scratch.exact);
            self.note(scratch, id, matches);
            if !matches {
                continue;
            }
            let Some(index) = rule.pattern else {
                settled = Some(rule.filter);
                continue;
            };
            if let Some(offender) = address(text, &rule.exact, &scratch.exact.spans) {
                settled = Some(rule.filter);
                let pattern = PatternId { filter: rule.filter, index };
                each(Found {
                    pattern,
                    offender,
                    text,
                    exact: &rule.exact,
                    spans: &scratch.exact.spans,
                });
            }
        }
    }
}

/// The text of group `ip`, if it really is an address.
fn address(text: &[u8], exact: &Exact, spans: &[Option<(usize, usize)>]) -> Option<IpAddr> {
    let (start, end) = spans[exact.ip?]?;
    Some(normal_address(parse_address(&text[start..end])?))
}
