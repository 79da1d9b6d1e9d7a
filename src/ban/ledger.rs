//! Who is banned, by which jails, until when.

use std::collections::{BTreeSet, HashMap};
use std::fmt;
use std::net::IpAddr;
use std::sync::Arc;

use smallvec::SmallVec;

use super::{Change, NeverBan, Reason};
use crate::model::{Prefix, Timestamp, Until};

/// The table of bans.
///
/// Each jail that banned an offender holds a share of the ban. What the kernel is told is the
/// longest share; lifting or ending one leaves the others in force.
///
/// **Bound.** At most `most` bans. When full, a new one is refused and counted by the caller:
/// throwing out an old ban would let an attacker buy himself free with throw-away addresses.
#[derive(Debug)]
pub struct Ledger {
    bans: HashMap<Prefix, Ban>,
    /// Every share that ends, by its end.
    ends: BTreeSet<(Timestamp, Prefix)>,
    never: NeverBan,
    most: usize,
    /// Whose bans changed since somebody asked, if somebody does.
    touched: Option<Vec<Prefix>>,
}

/// A ban as the ledger holds it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Ban {
    /// Who.
    pub offender: Prefix,
    /// When it was first imposed.
    pub since: Timestamp,
    /// What each jail added.
    pub shares: SmallVec<[Share; 1]>,
}

/// One jail's share of a ban.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Share {
    /// The jail's name; `manual` and `kernel` for bans that no jail imposed.
    pub jail: Arc<str>,
    /// How it came about.
    pub origin: Origin,
    /// Its end.
    pub until: Until,
}

/// How a ban came about.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Origin {
    /// The detector saw an offence.
    Hits,
    /// An operator ordered it.
    Manual,
    /// The kernel still held it when the daemon came.
    Kernel,
}

impl Origin {
    /// Whether `name` stands for an origin where no jail imposed the ban.
    pub fn is_named(name: &str) -> bool {
        [Origin::Manual, Origin::Kernel].iter().any(|it| it.to_string() == name)
    }
}

impl fmt::Display for Origin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Origin::Hits => "hits",
            Origin::Manual => "manual",
            Origin::Kernel => "kernel",
        })
    }
}

/// A ban to be imposed.
#[derive(Clone, Debug)]
pub struct Order {
    /// Whom.
    pub offender: Prefix,
    /// The address that offended, when `offender` is a prefix that it was counted under.
    pub address: Option<IpAddr>,
    /// For which jail.
    pub jail: Arc<str>,
    /// How it came about.
    pub origin: Origin,
    /// Until when.
    pub until: Until,
}

/// Why a ban is not imposed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Refusal {
    /// On the never-ban list.
    #[error("{0} is never banned ({1})")]
    Never(Prefix, Reason),
    /// A prefix that holds somebody who is never banned.
    #[error("{0} holds addresses that are never banned; ban smaller prefixes")]
    HoldsNever(Prefix),
    /// Too much of the Internet at once.
    #[error("{0} is too large to ban: at least /{1} in this family")]
    TooLarge(Prefix, u8),
    /// The table is full.
    #[error("the ledger is full ({0} bans)")]
    Full(usize),
}

impl Ledger {
    /// An empty ledger of at most `most` bans.
    pub fn new(never: NeverBan, most: usize) -> Ledger {
        Ledger { bans: HashMap::new(), ends: BTreeSet::new(), never, most, touched: None }
    }

    /// Imposes a ban, or a jail's share of one. A share that exists is never shortened.
    ///
    /// A counted prefix (IPv6 /64) that holds somebody who is never banned is narrowed to the
    /// address that offended. Returns the change, if anything changed for the offender.
    pub fn impose(&mut self, order: Order, now: Timestamp) -> Result<Option<Change>, Refusal> {
        let offender = self.permitted(&order)?;
        self.touch(offender);
        let Some(ban) = self.bans.get_mut(&offender) else {
            if self.bans.len() >= self.most {
                return Err(Refusal::Full(self.most));
            }
            let Order { jail, origin, until, .. } = order;
            let shares = SmallVec::from_iter([Share { jail, origin, until }]);
            self.bans.insert(offender, Ban { offender, since: now, shares });
            self.note_end(offender, until);
            return Ok(Some(Change::Impose { offender, until }));
        };
        let before = ban.until();
        let mut until = order.until;
        match ban.shares.iter_mut().find(|share| share.jail == order.jail) {
            Some(share) => {
                let ended = share.until;
                if until > ended {
                    *share = Share { jail: order.jail, origin: order.origin, until };
                }
                until = until.max(ended);
                forget_end(&mut self.ends, ban, ended);
            }
            None => ban.shares.push(Share { jail: order.jail, origin: order.origin, until }),
        }
        let after = ban.until();
        self.note_end(offender, until);
        Ok((after != before).then_some(Change::Extend { offender, until: after }))
    }

    /// Lifts what `jail` (or, with `None`, everybody) holds against `target`: every ban that
    /// covers it, and, when it is a prefix, every ban within it.
    ///
    /// `None` when nothing was held; no change when another jail holds everybody just as long.
    pub fn lift(&mut self, target: Prefix, jail: Option<&str>) -> Option<Vec<Change>> {
        let concerned = |offender: &Prefix| {
            offender.covers(&target) || (!target.is_host() && target.covers(offender))
        };
        let lifted = |share: &Share| jail.is_none_or(|jail| *share.jail == *jail);
        self.lift_where(concerned, lifted)
    }

    /// Lifts what `jail` holds, against whomever.
    pub fn lift_jail(&mut self, jail: &str) -> Vec<Change> {
        self.lift_where(|_| true, |share| *share.jail == *jail).unwrap_or_default()
    }

    /// Lifts everything.
    pub fn lift_all(&mut self) -> Vec<Change> {
        self.ends.clear();
        if let Some(touched) = &mut self.touched {
            touched.extend(self.bans.keys());
        }
        self.bans.drain().map(|(offender, _)| Change::Lift { offender }).collect()
    }

    /// Ends the shares whose time is over.
    pub fn expire(&mut self, now: Timestamp) -> Vec<Change> {
        let mut changes = Vec::new();
        while let Some(&(end, offender)) = self.ends.first() {
            if end > now {
                break;
            }
            self.ends.pop_first();
            changes.extend(self.drop_shares(offender, |share| share.until.is_over(now)));
        }
        changes
    }

    /// When [`expire`](Ledger::expire) has something to do next.
    pub fn next_end(&self) -> Option<Timestamp> {
        self.ends.first().map(|(end, _)| *end)
    }

    /// Puts a ban in as it once was, less what is over by `now`. Refused like a new one.
    pub fn restore(&mut self, mut ban: Ban, now: Timestamp) -> Result<(), Refusal> {
        self.touch(ban.offender);
        ban.shares.retain(|share| !share.until.is_over(now));
        for Share { jail, origin, until } in ban.shares {
            let order = Order { offender: ban.offender, address: None, jail, origin, until };
            self.impose(order, ban.since)?;
        }
        Ok(())
    }

    /// From now on keeps whose bans change, for [`take_touched`](Ledger::take_touched).
    pub fn track(&mut self) {
        self.touched = Some(Vec::new());
    }

    /// Whose bans changed since the last call, in order; some more than once.
    pub fn take_touched(&mut self) -> Vec<Prefix> {
        self.touched.as_mut().map(std::mem::take).unwrap_or_default()
    }

    /// Replaces the never-ban list, and lifts the bans that it now touches.
    pub fn set_never(&mut self, never: NeverBan) -> Vec<Change> {
        self.never = never;
        let freed: Vec<_> =
            self.bans.keys().filter(|key| self.never.touches(**key)).copied().collect();
        freed.into_iter().filter_map(|offender| self.drop_shares(offender, |_| true)).collect()
    }

    /// The never-ban list in force.
    pub fn never(&self) -> &NeverBan {
        &self.never
    }

    /// The ban of exactly this offender.
    pub fn get(&self, offender: Prefix) -> Option<&Ban> {
        self.bans.get(&offender)
    }

    /// All bans, in no order.
    pub fn bans(&self) -> impl Iterator<Item = &Ban> {
        self.bans.values()
    }

    /// How many offenders are banned.
    pub fn len(&self) -> usize {
        self.bans.len()
    }

    /// Whether nobody is banned.
    pub fn is_empty(&self) -> bool {
        self.bans.is_empty()
    }

    fn lift_where(
        &mut self,
        concerned: impl Fn(&Prefix) -> bool,
        lifted: impl Fn(&Share) -> bool,
    ) -> Option<Vec<Change>> {
        let held = |ban: &&Ban| concerned(&ban.offender) && ban.shares.iter().any(&lifted);
        let offenders: Vec<_> = self.bans().filter(held).map(|ban| ban.offender).collect();
        let lift = |offender| self.drop_shares(offender, &lifted);
        (!offenders.is_empty()).then(|| offenders.into_iter().filter_map(lift).collect())
    }

    /// The prefix that may be banned for an order.
    fn permitted(&self, order: &Order) -> Result<Prefix, Refusal> {
        let least = if order.offender.is_ipv4() { LEAST_IPV4 } else { LEAST_IPV6 };
        if order.offender.length() < least {
            return Err(Refusal::TooLarge(order.offender, least));
        }
        let address = order.address.map(Prefix::host);
        for candidate in [Some(order.offender), address].into_iter().flatten() {
            if let Some(reason) = self.never.covers(address.unwrap_or(candidate)) {
                return Err(Refusal::Never(address.unwrap_or(candidate), reason));
            }
            if !self.never.touches(candidate) {
                return Ok(candidate);
            }
        }
        Err(Refusal::HoldsNever(order.offender))
    }

    fn touch(&mut self, offender: Prefix) {
        if let Some(touched) = &mut self.touched {
            touched.push(offender);
        }
    }

    fn note_end(&mut self, offender: Prefix, until: Until) {
        if let Until::At(end) = until {
            self.ends.insert((end, offender));
        }
    }

    /// Drops some shares of a ban, and their ends.
    fn drop_shares(&mut self, offender: Prefix, drops: impl Fn(&Share) -> bool) -> Option<Change> {
        self.touch(offender);
        let ban = self.bans.get_mut(&offender)?;
        let before = ban.until();
        let mut dropped: SmallVec<[Until; 1]> = SmallVec::new();
        ban.shares.retain(|share| {
            let stays = !drops(share);
            if !stays {
                dropped.push(share.until);
            }
            stays
        });
        for end in dropped {
            forget_end(&mut self.ends, ban, end);
        }
        if ban.shares.is_empty() {
            self.bans.remove(&offender);
            return Some(Change::Lift { offender });
        }
        let after = ban.until();
        (after != before).then_some(Change::Extend { offender, until: after })
    }
}

/// Takes an end out that no share of `ban` has any more: each new offence moves an end, and those
/// left behind would pile up for as long as a ban lasts.
fn forget_end(ends: &mut BTreeSet<(Timestamp, Prefix)>, ban: &Ban, ended: Until) {
    if let Until::At(end) = ended
        && !ban.shares.iter().any(|share| share.until == ended)
    {
        ends.remove(&(end, ban.offender));
    }
}

impl Ban {
    /// The end of the longest share.
    pub fn until(&self) -> Until {
        self.shares.iter().map(|share| share.until).max().unwrap_or(Until::At(self.since))
    }
}

/// Bans at a time, in the daemon and in `replay`. The kernel's sets are made for the same number.
pub const MOST_BANS: usize = 1 << 18;

/// Shorter prefixes are refused: a slip of the pen would ban a continent.
const LEAST_IPV4: u8 = 8;
const LEAST_IPV6: u8 = 16;

#[cfg(test)]
mod tests;
