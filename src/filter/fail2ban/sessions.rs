//! Failures that take several lines: `<F-MLFID>` names the session, later lines add to it.
//!
//! A line can tell that nothing is wrong so far (`<F-NOFAIL>`), that access was gained after all
//! (`<F-MLFGAINED>`), or that the session is over (`<F-MLFFORGET>`). A failure that names nobody yet
//! is pending until a line of its session does. A session in which two users were tried does not
//! become innocent by a later success.
//!
//! **Bound.** At most [`MOST_SESSIONS`] and [`MOST_BYTES`], each for [`LIFETIME`]; when full, the
//! oldest is forgotten, and counted.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::Arc;
use std::time::Duration;

use super::captured::{Tag, Tagged};
use super::groups::Groups;
use crate::model::{Prefix, Timestamp, parse_address};

/// What a matched line means once its session is known.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Verdict {
    /// Whether it counts.
    pub kind: Kind,
    /// The groups of the line, and what its session added.
    pub groups: Groups,
}

/// Whether a matched line counts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// A failure, held against somebody.
    Failure,
    /// A failure, but by whom is not known yet.
    Pending,
    /// No failure by itself.
    Info,
    /// Access was gained.
    Gained,
    /// The session is over, and was no failure.
    Forget,
}

/// The sessions of one filter.
#[derive(Debug, Default)]
pub struct Sessions {
    by_id: HashMap<Vec<u8>, Session>,
    by_age: BTreeMap<(Timestamp, u64), Vec<u8>>,
    /// How many there ever were: the younger of two that began at the same time.
    count: u64,
    bytes: usize,
    crowded_out: u64,
}

#[derive(Debug)]
struct Session {
    groups: Groups,
    users: BTreeSet<Vec<u8>>,
    pending: bool,
    age: (Timestamp, u64),
    bytes: usize,
}

impl Sessions {
    /// Judges the groups of a matched line, at `now`.
    pub fn judge(&mut self, line: Groups, now: Timestamp) -> Verdict {
        self.judge_of(&[], line, now)
    }

    /// The same where sessions of the same name belong to different senders.
    pub fn judge_of(&mut self, sender: &[u8], line: Groups, now: Timestamp) -> Verdict {
        let Some(id) = text(&line, "mlfid").map(|id| [sender, id].concat()) else {
            let kind = if identity(&line).is_some() { Kind::Failure } else { Kind::Pending };
            return Verdict { kind, groups: line };
        };
        self.forget_old(now);
        let gained = is_set(&line, "mlfgained");
        let mut innocent = gained || is_set(&line, "nofail");
        let over = is_set(&line, "mlfforget");
        let user = text(&line, "user").filter(|user| !user.is_empty()).map(<[u8]>::to_vec);

        let known = self.by_id.remove(&id);
        let fresh = known.is_none();
        let mut session = known.unwrap_or_else(|| {
            self.count += 1;
            Session {
                groups: Groups::new(),
                users: BTreeSet::new(),
                pending: false,
                age: (now, self.count),
                bytes: 0,
            }
        });
        self.bytes -= session.bytes;
        if fresh {
            session.groups.clone_from(&line);
        } else {
            // Whatever the session was, only the last line says whether it is innocent.
            for name in ["nofail", "mlfgained"] {
                session.groups.remove(name);
            }
            if gained {
                session.pending = false;
            }
            let told =
                line.iter().filter(|(name, value)| value.is_some() && &***name != "mlfforget");
            session.groups.extend(told.map(|(name, value)| (Arc::clone(name), value.clone())));
        }
        // A session that was never opened and is over counts no users.
        if let (Some(user), true) = (user, !fresh || !over)
            && session.users.len() < MOST_USERS
        {
            session.users.insert(user);
        }
        session.groups.remove("mlfforget");
        if std::mem::take(&mut session.pending) || session.users.len() > 1 {
            innocent = false;
            session.groups.remove("nofail");
            session.groups.remove("mlfgained");
        }
        let groups = session.groups.clone();
        let kind = match () {
            () if innocent && gained => Kind::Gained,
            () if innocent && over => Kind::Forget,
            () if innocent => Kind::Info,
            () if identity(&groups).is_none() => {
                session.pending = true;
                Kind::Pending
            }
            () => Kind::Failure,
        };
        if !over {
            self.keep(id, session);
        } else if !fresh {
            self.by_age.remove(&session.age);
        }
        Verdict { kind, groups }
    }

    /// How many sessions were forgotten before their time because there were too many.
    pub fn crowded_out(&self) -> u64 {
        self.crowded_out
    }

    fn keep(&mut self, id: Vec<u8>, mut session: Session) {
        session.bytes = session.size() + 2 * id.len();
        self.bytes += session.bytes;
        self.by_age.insert(session.age, id.clone());
        self.by_id.insert(id, session);
        while self.by_id.len() > MOST_SESSIONS || self.bytes > MOST_BYTES {
            let Some((_, oldest)) = self.by_age.pop_first() else { break };
            self.remove(&oldest);
            self.crowded_out += 1;
        }
    }

    fn remove(&mut self, id: &[u8]) {
        if let Some(session) = self.by_id.remove(id) {
            self.bytes -= session.bytes;
        }
    }

    fn forget_old(&mut self, now: Timestamp) {
        let limit = now.before(LIFETIME);
        while let Some(entry) = self.by_age.first_entry() {
            if entry.key().0 >= limit {
                break;
            }
            let id = entry.remove();
            self.remove(&id);
        }
    }
}

impl Session {
    /// About what it holds, in bytes.
    fn size(&self) -> usize {
        let texts = self.groups.iter().filter_map(|(_, text)| text.as_deref());
        let texts = texts.chain(self.users.iter().map(|user| &user[..]));
        size_of::<Session>() + texts.map(|text| text.len() + ENTRY).sum::<usize>()
    }
}

/// Who is meant: an address, a name, or an identifier of the filter's own.
pub fn identity(groups: &impl Tagged) -> Option<&[u8]> {
    [Tag::Ip4, Tag::Ip6, Tag::Dns, Tag::Id].iter().find_map(|tag| groups.text(*tag))
}

/// The address or network that is meant, if it is one: `<CIDR>` counts, and an identifier of the
/// filter's own may be written `[2001:db8::1]` or `192.0.2.0/24`.
pub fn network(groups: &impl Tagged) -> Option<Prefix> {
    let text = identity(groups)?;
    let inner = text.strip_prefix(b"[").and_then(|text| text.strip_suffix(b"]")).unwrap_or(text);
    let number = |digits| std::str::from_utf8(digits).ok()?.parse().ok();
    let (address, length) = match inner.iter().position(|byte| *byte == b'/') {
        Some(at) => (&inner[..at], Some(number(&inner[at + 1..])?)),
        None => (inner, groups.text(Tag::Cidr).and_then(number)),
    };
    let address = parse_address(address)?;
    let network = length.and_then(|length| Prefix::new(address, length));
    Some(network.unwrap_or_else(|| Prefix::host(address)))
}

fn text<'g>(groups: &'g Groups, name: &str) -> Option<&'g [u8]> {
    groups.get(name)?.as_deref()
}

fn is_set(groups: &Groups, name: &str) -> bool {
    text(groups, name).is_some_and(|value| !value.is_empty())
}

/// fail2ban keeps a hundred a jail; a network has more hosts.
const MOST_SESSIONS: usize = 10_000;
/// Lines are long and written by attackers: 10,000 sessions of 64 KiB each would be too much.
const MOST_BYTES: usize = 32 << 20;
/// What a value costs besides its text.
const ENTRY: usize = 64;
const LIFETIME: Duration = Duration::from_secs(300);
/// More users than two change nothing.
const MOST_USERS: usize = 8;

#[cfg(test)]
mod tests;
