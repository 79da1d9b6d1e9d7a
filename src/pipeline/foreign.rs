//! Filters of fail2ban in the pipeline: the view of a message that they expect, and what they find.

use std::net::IpAddr;
use std::sync::Arc;

use super::Speaker;
use crate::filter::fail2ban::{self, Groups, Outcome, network};
use crate::filter::python::Memory;
use crate::matcher::{CompileError, FilterId, ViewScratch, Views};
use crate::model::{Prefix, Timestamp};
use crate::syslog::{Dialect, Message};

/// A line of a session (fail2ban's `<F-MLFID>`): what it means, the lines around it decide.
#[derive(Clone, Debug)]
pub struct Told {
    /// The filter.
    pub filter: FilterId,
    /// The groups of its pattern.
    pub groups: Groups,
    /// Who reported it.
    pub speaker: Speaker,
    /// When it happened.
    pub at: Timestamp,
}

/// fail2ban's filters, compiled.
#[derive(Debug)]
pub(super) struct Foreign {
    views: Views,
    filters: Vec<Arc<fail2ban::Rules>>,
}

/// The memory of one thread.
#[derive(Debug)]
pub(super) struct ForeignScratch {
    views: ViewScratch,
    memory: Memory,
    /// The view of a message that has none of its own.
    text: Vec<u8>,
    /// Lines that were given up because a pattern needed too many steps.
    pub(super) given_up: u64,
}

impl Foreign {
    pub(super) fn new(filters: &[Arc<fail2ban::Rules>]) -> Result<Foreign, CompileError> {
        Ok(Foreign { views: Views::new(filters)?, filters: filters.to_vec() })
    }

    pub(super) fn scratch(&self) -> ForeignScratch {
        ForeignScratch {
            views: self.views.scratch(),
            memory: Memory::new(),
            text: Vec::new(),
            given_up: 0,
        }
    }

    pub(super) fn name(&self, index: usize) -> &str {
        &self.filters[index].name
    }

    pub(super) fn len(&self) -> usize {
        self.filters.len()
    }

    pub(super) fn patterns(&self) -> usize {
        self.filters.iter().map(|filter| filter.size()).sum()
    }

    /// Hands each filter's match to `each`, with the filter's place in the list.
    pub(super) fn judge(
        &self,
        line: &[u8],
        message: &Message<'_>,
        scratch: &mut ForeignScratch,
        mut each: impl FnMut(usize, fail2ban::Match),
    ) {
        let ForeignScratch { views, memory, text, given_up } = scratch;
        let view = view(line, message, text);
        self.views.candidates(view, views);
        for &filter in &views.candidates {
            let filter = usize::from(filter);
            match self.filters[filter].judge_line(view, memory) {
                Ok(Outcome::Matched(found)) => each(filter, found),
                Ok(Outcome::Missed | Outcome::Ignored) => {}
                Err(_) => *given_up += 1,
            }
        }
    }
}

/// The line as it would stand in a log file, less its date: ` host sshd[123]: text`.
///
/// In RFC 3164 that is what follows the stamp, and nothing is copied; RFC 5424 has its parts in
/// another order, and is put together in `room`.
fn view<'a>(line: &'a [u8], message: &Message<'a>, room: &'a mut Vec<u8>) -> &'a [u8] {
    if message.dialect == Dialect::Rfc5424 {
        room.clear();
        room.push(b' ');
        room.extend_from_slice(if message.hostname.is_empty() { b"-" } else { message.hostname });
        if !message.app.is_empty() {
            room.push(b' ');
            room.extend_from_slice(message.app);
            if !message.procid.is_empty() {
                room.push(b'[');
                room.extend_from_slice(message.procid);
                room.push(b']');
            }
            room.push(b':');
        }
        room.push(b' ');
        room.extend_from_slice(message.text);
        return room;
    }
    let end = message.text.as_ptr() as usize + message.text.len() - line.as_ptr() as usize;
    let start = match message.stamp {
        [] => match message.priority {
            Some(_) => line.iter().position(|byte| *byte == b'>').map_or(0, |at| at + 1),
            None => 0,
        },
        stamp => stamp.as_ptr() as usize + stamp.len() - line.as_ptr() as usize,
    };
    &line[start.min(end)..end]
}

/// The address that a match names. A name is never resolved; a network or another identifier bans
/// nobody.
pub fn address(groups: &Groups) -> Option<IpAddr> {
    network(groups).filter(Prefix::is_host).map(|host| host.address())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::syslog::Parser;

    fn seen(line: &str) -> String {
        let message = Parser::new().parse(line.as_bytes());
        let mut room = Vec::new();
        String::from_utf8_lossy(view(line.as_bytes(), &message, &mut room)).into_owned()
    }

    #[test]
    fn the_view_is_the_line_without_its_date() {
        for (line, expected) in [
            ("<38>Nov 22 10:00:00 h sshd[1]: x y\n", " h sshd[1]: x y"),
            ("Nov 22 10:00:00 h sshd[1]: x", " h sshd[1]: x"),
            ("<38>1 2026-11-22T10:00:00Z h sshd 1 - - x", " h sshd[1]: x"),
            ("<38>1 2026-11-22T10:00:00Z - su - - - x", " - su: x"),
            ("<38>sshd[1]: x", "sshd[1]: x"),
            ("sshd[1]: x", "sshd[1]: x"),
            ("no header at all", "no header at all"),
            ("", ""),
        ] {
            assert_eq!(seen(line), expected, "{line}");
        }
    }
}
