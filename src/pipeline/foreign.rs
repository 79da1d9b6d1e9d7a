//! Filters of fail2ban in the pipeline: the view of a message that they expect, and what they find.

use std::hash::{BuildHasher, RandomState};
use std::net::IpAddr;

use super::logs::Logs;
use super::{Excerpt, GROUP, Speaker};
use crate::filter::fail2ban::{Captured, Groups, Jailed, Outcome, Tag, Tagged, network};
use crate::filter::python::Memory;
use crate::matcher::{FilterId, ForeignGate, Header, Matcher, Scratch};
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
    /// The beginning of its text.
    pub excerpt: Excerpt,
}

/// fail2ban's filters.
#[derive(Debug)]
pub(super) struct Foreign {
    filters: Vec<Jailed>,
    /// Filters that remember something from line to line; all others have their gates in the matcher.
    keeping: Vec<usize>,
    logs: Logs,
    hasher: RandomState,
}

/// The memory of one thread.
#[derive(Debug)]
pub(super) struct ForeignScratch {
    memory: Memory,
    /// The view of a message that has none of its own.
    text: Vec<u8>,
    /// Those of messages that are read together.
    pub(super) texts: Vec<Vec<u8>>,
    /// Gates that the line opened.
    gates: Vec<(u32, ForeignGate)>,
    /// The patterns of one filter among them.
    rules: Vec<u16>,
    /// Lines that were given up because a pattern needed too many steps.
    pub(super) given_up: u64,
}

/// A line, and who sent it when.
pub(super) struct Line<'a, 'm> {
    pub(super) bytes: &'a [u8],
    pub(super) message: &'m Message<'a>,
    pub(super) speaker: Speaker,
    /// Asked for only when needed.
    pub(super) clock: &'m mut dyn FnMut() -> Timestamp,
}

impl Foreign {
    pub(super) fn new(filters: &[Jailed]) -> Foreign {
        let keeps = |index: &usize| filters[*index].keeps_lines();
        let keeping = (0..filters.len()).filter(keeps).collect();
        let (logs, hasher) = (Logs::new(), RandomState::new());
        Foreign { filters: filters.to_vec(), keeping, logs, hasher }
    }

    pub(super) fn scratch(&self) -> ForeignScratch {
        ForeignScratch {
            memory: Memory::new(),
            text: Vec::new(),
            texts: vec![Vec::new(); GROUP],
            gates: Vec::new(),
            rules: Vec::new(),
            given_up: 0,
        }
    }

    pub(super) fn name(&self, index: usize) -> &str {
        &self.filters[index].rules.name
    }

    pub(super) fn len(&self) -> usize {
        self.filters.len()
    }

    pub(super) fn patterns(&self) -> usize {
        self.filters.iter().map(|filter| filter.rules.size()).sum()
    }

    /// Logs of senders that made room for others.
    pub(super) fn displaced(&self) -> u64 {
        self.logs.displaced()
    }

    /// fail2ban counts by `<F-ID>` where a pattern has one beside the address, and bans the address.
    pub(super) fn counted_by(&self, groups: &impl Tagged, offender: IpAddr) -> u64 {
        let id = groups.text(Tag::Id).filter(|id| !id.is_empty());
        let is_offender = |id: &&[u8]| {
            let text = std::str::from_utf8(id).unwrap_or_default();
            let bare = text.strip_prefix('[').and_then(|it| it.strip_suffix(']')).unwrap_or(text);
            bare.parse().is_ok_and(|it| Prefix::host(it) == Prefix::host(offender))
        };
        id.filter(|id| !is_offender(id)).map_or(0, |id| self.hasher.hash_one(id).max(1))
    }

    /// What fail2ban's gates read of a message.
    pub(super) fn header<'a>(
        &self,
        line: &'a [u8],
        message: &Message<'a>,
        room: &'a mut Vec<u8>,
    ) -> Header<'a> {
        if self.filters.is_empty() {
            return Header::None;
        }
        shape(line, message).unwrap_or_else(|| Header::Other(view(line, message, room)))
    }

    /// Whether some filter must see every line.
    pub(super) fn keeps_lines(&self) -> bool {
        !self.keeping.is_empty()
    }

    /// Asks the filters whose gates the matcher opened, and those that keep lines, and hands each
    /// one's match to `each`, with the filter's place in the list.
    pub(super) fn judge(
        &self,
        matcher: &Matcher,
        matched: &mut Scratch,
        line: Line<'_, '_>,
        scratch: &mut ForeignScratch,
        mut each: impl FnMut(usize, &Captured<'_>, Timestamp),
    ) {
        let Line { bytes, message, speaker, clock } = line;
        let ForeignScratch { memory, text, gates, rules, given_up, .. } = scratch;
        gates.clear();
        gates.extend(matcher.foreign(matched));
        let is_for = |filter: &usize| self.filters[*filter].is_for(message.app);
        let mut keeping = self.keeping.iter().copied().filter(is_for).peekable();
        if gates.is_empty() && keeping.peek().is_none() {
            return;
        }
        let view = view(bytes, message, text);
        for own in gates.chunk_by(|one, other| one.1.filter == other.1.filter) {
            let filter = usize::from(own[0].1.filter);
            rules.clear();
            rules.extend(own.iter().filter_map(|(_, gate)| gate.rule));
            let only = (rules.len() == own.len()).then_some(&rules[..]);
            let judged = self.filters[filter].rules.judge_line_by(view, only, memory, |found| {
                each(filter, found, clock());
                found.rule as u16
            });
            let matching = match judged {
                Ok(Outcome::Matched(rule)) => Some(rule),
                Ok(Outcome::Missed | Outcome::Ignored) => None,
                Err(_) => {
                    *given_up += 1;
                    None
                }
            };
            for (id, gate) in own {
                let is_it = matching.is_some() && (gate.rule.is_none() || gate.rule == matching);
                matcher.note(matched, *id, is_it);
                if is_it {
                    break; // those behind it were not asked
                }
            }
        }
        if keeping.peek().is_none() {
            return;
        }
        self.logs.of(speaker, |logs| {
            for filter in keeping {
                let Jailed { rules, programs, dates } = &self.filters[filter];
                let judged = logs.log(filter, speaker, |log| {
                    let (text, dates) = match dates {
                        Some(dates) if !programs.is_empty() => (message.text, Some(dates)),
                        Some(dates) if has_no_header(message) => (view, Some(dates)),
                        _ => (view, None),
                    };
                    match dates {
                        Some(dates) => log.dated(rules, dates, text, clock(), memory),
                        None => Ok((log.undated(rules, text, memory)?, None)),
                    }
                });
                match judged {
                    // Ours is the clock: what a line says of its time is its writer's word.
                    Ok((Outcome::Matched(found), _)) => {
                        each(filter, &Captured::from(&found), clock())
                    }
                    Ok((Outcome::Missed | Outcome::Ignored, _)) => {}
                    Err(_) => *given_up += 1,
                }
            }
        });
    }
}

/// The header of a message whose [`view`] is ` HOST PROGRAM: TEXT`, or has a number in brackets
/// behind the program; `None` for all others.
fn shape<'a>(line: &'a [u8], message: &Message<'a>) -> Option<Header<'a>> {
    let Message { hostname: host, app, procid, .. } = *message;
    let is_numbered = !procid.is_empty();
    if app.is_empty() || app[0] == b'/' {
        return None;
    }
    // All of it stands in the line; so its places tell what stands between.
    let at = |part: &[u8]| (part.as_ptr() as usize).wrapping_sub(line.as_ptr() as usize);
    let app_at = at(app);
    if !is_number(procid, line.get(at(procid)..).unwrap_or_default()) {
        return None;
    }
    if message.dialect == Dialect::Rfc5424 {
        let host = if host.is_empty() { b"-" } else { host };
        let front = line.get(app_at.checked_sub(host.len() + 1)?..app_at)?;
        let fits = front.starts_with(host) && front.ends_with(b" ");
        let host = &front[..host.len()];
        return fits.then_some(Header::Host { host, is_numbered });
    }
    if host.is_empty() || message.stamp.is_empty() || message.text.is_empty() {
        return None;
    }
    let host_at = at(message.stamp) + message.stamp.len() + 1;
    let is_space = |at: usize| line.get(at.wrapping_sub(1)) == Some(&b' ');
    let in_place = at(host) == host_at && app_at == host_at + host.len() + 1;
    let between = line.get(app_at + app.len()..at(message.text))?;
    let marked = match is_numbered {
        true => {
            let brackets = between.len() == procid.len() + 4 && between.ends_with(b"]: ");
            brackets && between[0] == b'[' && at(procid) == app_at + app.len() + 1
        }
        false => between == b": ",
    };
    let fits = in_place && marked && is_space(host_at) && is_space(app_at);
    fits.then_some(Header::Host { host, is_numbered })
}

/// Whether there are only digits in `word`, with which `rest` begins.
fn is_number(word: &[u8], rest: &[u8]) -> bool {
    match rest.first_chunk() {
        // A processor does not foresee how many there are: so all eight bytes at once.
        Some(eight) if word.len() <= 8 => {
            let unused = u64::MAX.checked_shl(8 * word.len() as u32).unwrap_or(0);
            let bytes = u64::from_le_bytes(*eight) & !unused | ZEROS & unused;
            // `0` to `9`: the high half is 3, also after 6 was added to the low one.
            (bytes & HIGH_HALVES) | ((bytes.wrapping_add(SIXES) & HIGH_HALVES) >> 4)
                == ZEROS | ZEROS >> 4
        }
        _ => word.iter().all(u8::is_ascii_digit),
    }
}

const ZEROS: u64 = 0x3030_3030_3030_3030;
const SIXES: u64 = 0x0606_0606_0606_0606;
const HIGH_HALVES: u64 = 0xf0f0_f0f0_f0f0_f0f0;

/// Whether syslog wrote nothing in front: then it is a line as a program writes it into its own file.
fn has_no_header(message: &Message<'_>) -> bool {
    message.dialect != Dialect::Rfc5424
        && [message.stamp, message.hostname, message.app].iter().all(|part| part.is_empty())
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
pub fn address(groups: &impl Tagged) -> Option<IpAddr> {
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
