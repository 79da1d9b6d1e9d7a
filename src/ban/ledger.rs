//! Who is banned, by which jails, until when, and why.

mod counts;
mod parts;

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::net::IpAddr;
use std::sync::Arc;

use smallvec::SmallVec;

pub use counts::Counts;
pub use parts::{Ban, Imposed, MOST_SCOPES, Order, Origin, Refusal, Share, Standing, Why};

use super::{Change, NeverBan};
use crate::model::{Prefix, Timestamp, Until};

/// The table of bans.
///
/// Each jail that banned an offender holds a share of the ban. What the kernel is told is the
/// longest share that is enforced; lifting or ending one leaves the others in force.
///
/// **Bounds.** At most `most` bans. When full, a new one is refused and counted by the caller:
/// throwing out an old ban would let an attacker buy himself free with throw-away addresses. Of the
/// hits that led to bans the last `MOST_EVIDENCE` are kept; the oldest bans forget theirs first.
#[derive(Debug)]
pub struct Ledger {
    bans: BTreeMap<Prefix, Ban>,
    /// Every share that ends, by its end.
    ends: BTreeSet<(Timestamp, Prefix)>,
    never: NeverBan,
    most: usize,
    counts: Counts,
    /// Bans that have evidence, in the order in which it came.
    evidence: VecDeque<Prefix>,
    /// Whose bans changed since somebody asked, if somebody does.
    touched: Option<Vec<Prefix>>,
}

impl Ledger {
    /// An empty ledger of at most `most` bans.
    pub fn new(never: NeverBan, most: usize) -> Ledger {
        Ledger {
            bans: BTreeMap::new(),
            ends: BTreeSet::new(),
            never,
            most,
            counts: Counts::default(),
            evidence: VecDeque::new(),
            touched: None,
        }
    }

    /// Counts for `jail` are shown before it bans anybody.
    pub fn show(&mut self, jail: &Arc<str>) {
        self.counts.by_jail.entry(Arc::clone(jail)).or_default();
    }

    /// Imposes a ban, or a jail's share of one. A share that exists is never shortened.
    ///
    /// A counted prefix (IPv6 /64) that holds somebody who is never banned is narrowed to the
    /// address that offended. Returns the change, if anything changed for the offender.
    pub fn impose(&mut self, order: Order, now: Timestamp) -> Result<Option<Change>, Refusal> {
        self.put(order, now).map(|imposed| imposed.change)
    }

    /// As [`impose`](Ledger::impose), and says more of what came of it.
    pub fn put(&mut self, order: Order, now: Timestamp) -> Result<Imposed, Refusal> {
        let offender = self.permitted(order.offender, order.address)?;
        if !self.bans.contains_key(&offender) && self.bans.len() >= self.most {
            return Err(Refusal::Full(self.most));
        }
        let share = order.share();
        let has_evidence = !share.why.evidence.is_empty();
        let is_new = !self.holds(offender, &share.jail);
        let change = self.edit(offender, now, |shares| share.add(shares));
        if has_evidence {
            self.evidence.push_back(offender);
            self.forget_evidence();
        }
        Ok(Imposed { offender, is_new, change })
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
        self.lift_where(|_| true, |_| true).unwrap_or_default()
    }

    /// Ends the shares whose time is over: of whom, and the change, if one came of it. Without one
    /// another share holds him as long, but it may be from something else.
    pub fn expire(&mut self, now: Timestamp) -> Vec<(Prefix, Option<Change>)> {
        let mut expired = Vec::new();
        while let Some(&(end, offender)) = self.ends.first() {
            if end > now {
                break;
            }
            self.ends.pop_first();
            let change = self.drop_shares(offender, |share| share.until.is_over(now));
            expired.push((offender, change));
        }
        expired
    }

    /// When [`expire`](Ledger::expire) has something to do next.
    pub fn next_end(&self) -> Option<Timestamp> {
        self.ends.first().map(|(end, _)| *end)
    }

    /// Puts a ban in as it once was, less what is over by `now`, and less what waited for an answer: who
    /// offends again is asked about again. Refused like a new one.
    pub fn restore(&mut self, mut ban: Ban, now: Timestamp) -> Result<(), Refusal> {
        self.touch(ban.offender);
        ban.shares.retain(|it| !it.until.is_over(now) && it.standing != Standing::Asked);
        for Share { jail, origin, until, scope, standing, why } in ban.shares {
            let order = Order::new(ban.offender, jail, origin, until);
            let Why { address, hits, evidence } = why;
            self.put(Order { address, scope, standing, hits, evidence, ..order }, ban.since)?;
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

    fn touch(&mut self, offender: Prefix) {
        if let Some(touched) = &mut self.touched {
            touched.push(offender);
        }
    }

    /// Enforces (`true`) or drops every share that waits with this standing.
    pub fn settle(&mut self, waiting: Standing, enforce: bool) -> Vec<Change> {
        let waits = |ban: &&Ban| ban.shares.iter().any(|share| share.standing == waiting);
        let offenders: Vec<_> = self.bans.values().filter(waits).map(|ban| ban.offender).collect();
        let settle = |offender| self.settle_one(offender, waiting, None, enforce);
        offenders.into_iter().filter_map(settle).collect()
    }

    /// The same for one offender, and one jail if it is named.
    pub fn settle_one(
        &mut self,
        offender: Prefix,
        waiting: Standing,
        jail: Option<&str>,
        enforce: bool,
    ) -> Option<Change> {
        let since = self.bans.get(&offender)?.since;
        let concerned = |share: &Share| {
            share.standing == waiting && jail.is_none_or(|jail| *share.jail == *jail)
        };
        self.edit(offender, since, |shares| {
            if !enforce {
                return shares.retain(|share| !concerned(share));
            }
            for share in shares.iter_mut().filter(|share| concerned(share)) {
                share.standing = Standing::Enforced;
            }
        })
    }

    /// Replaces the never-ban list, and lifts the bans that it now covers. Of a banned prefix that
    /// holds somebody on the list, the addresses that offended stay banned.
    pub fn set_never(&mut self, never: NeverBan) -> Vec<Change> {
        self.never = never;
        let touched: Vec<_> =
            self.bans.keys().filter(|key| self.never.touches(**key)).copied().collect();
        touched.into_iter().flat_map(|offender| self.narrow(offender)).collect()
    }

    /// The never-ban list in force.
    pub fn never(&self) -> &NeverBan {
        &self.never
    }

    /// The ban of exactly this offender.
    pub fn get(&self, offender: Prefix) -> Option<&Ban> {
        self.bans.get(&offender)
    }

    /// Whether `jail` holds a share against exactly this offender.
    pub fn holds(&self, offender: Prefix, jail: &str) -> bool {
        self.get(offender).is_some_and(|ban| ban.shares.iter().any(|it| *it.jail == *jail))
    }

    /// All bans, by offender.
    pub fn bans(&self) -> impl Iterator<Item = &Ban> {
        self.bans.values()
    }

    /// The bans of smaller prefixes and addresses within `prefix`, by offender.
    pub fn within(&self, prefix: Prefix) -> impl Iterator<Item = &Ban> {
        let behind = self.bans.range(prefix..).map(|(_, ban)| ban);
        behind
            .take_while(move |ban| prefix.contains(ban.offender.address()))
            .filter(move |ban| ban.offender.length() > prefix.length())
    }

    /// Shares by jail and standing.
    pub fn counts(&self) -> &Counts {
        &self.counts
    }

    /// How many offenders are banned.
    pub fn len(&self) -> usize {
        self.bans.len()
    }

    /// Whether nobody is banned.
    pub fn is_empty(&self) -> bool {
        self.bans.is_empty()
    }

    /// The prefix that may be banned for an offence of `address`.
    pub fn permitted(&self, offender: Prefix, address: Option<IpAddr>) -> Result<Prefix, Refusal> {
        let least = if offender.is_ipv4() { LEAST_IPV4 } else { LEAST_IPV6 };
        if offender.length() < least {
            return Err(Refusal::TooLarge(offender, least));
        }
        let address = address.map(Prefix::host);
        for candidate in [Some(offender), address].into_iter().flatten() {
            if let Some(reason) = self.never.covers(address.unwrap_or(candidate)) {
                return Err(Refusal::Never(address.unwrap_or(candidate), reason));
            }
            if !self.never.touches(candidate) {
                return Ok(candidate);
            }
        }
        Err(Refusal::HoldsNever(offender))
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

    /// Takes a prefix out that holds somebody who is never banned, and bans the addresses instead
    /// that offended.
    fn narrow(&mut self, offender: Prefix) -> Vec<Change> {
        let Some(ban) = self.bans.get(&offender).cloned() else { return Vec::new() };
        let mut changes: Vec<_> = self.drop_shares(offender, |_| true).into_iter().collect();
        for share in ban.shares {
            let addresses: BTreeSet<IpAddr> = (share.why.evidence.iter().map(|it| it.offender))
                .chain(share.why.address)
                .collect();
            for address in addresses {
                let host = Prefix::host(address);
                if host == offender || self.permitted(host, None).is_err() {
                    continue;
                }
                let share = share.clone();
                changes.extend(self.edit(host, ban.since, |shares| share.add(shares)));
            }
        }
        changes
    }

    /// The only way to a ban's shares: keeps ends and counts as they must be, and says what changed.
    fn edit(
        &mut self,
        offender: Prefix,
        since: Timestamp,
        edit: impl FnOnce(&mut SmallVec<[Share; 1]>),
    ) -> Option<Change> {
        self.touch(offender);
        let Ledger { bans, ends, counts, .. } = self;
        let ban = bans.entry(offender).or_insert_with(|| Ban {
            offender,
            since,
            shares: SmallVec::new(),
        });
        let before = ban.enforced();
        counts.take(&ban.shares);
        for share in &ban.shares {
            if let Until::At(end) = share.until {
                ends.remove(&(end, offender));
            }
        }
        edit(&mut ban.shares);
        counts.add(&ban.shares);
        for share in &ban.shares {
            if let Until::At(end) = share.until {
                ends.insert((end, offender));
            }
        }
        let after = ban.enforced();
        if ban.shares.is_empty() {
            bans.remove(&offender);
        }
        match (before, after) {
            (None, Some(until)) => Some(Change::Impose { offender, until }),
            (Some(_), None) => Some(Change::Lift { offender }),
            (Some(before), Some(until)) if before != until => {
                Some(Change::Extend { offender, until })
            }
            _ => None,
        }
    }

    /// Drops some shares of a ban, and their ends.
    fn drop_shares(&mut self, offender: Prefix, drops: impl Fn(&Share) -> bool) -> Option<Change> {
        let since = self.bans.get(&offender)?.since;
        self.edit(offender, since, |shares| shares.retain(|share| !drops(share)))
    }

    fn forget_evidence(&mut self) {
        while self.counts.evidence > MOST_EVIDENCE {
            let Some(offender) = self.evidence.pop_front() else { return };
            let Some(ban) = self.bans.get_mut(&offender) else { continue };
            if let Some(touched) = &mut self.touched {
                touched.push(offender);
            }
            for share in &mut ban.shares {
                self.counts.evidence -= share.why.evidence.len();
                share.why.evidence = Vec::new();
            }
        }
        // Bans that ended left their places in the queue.
        if self.evidence.len() > 2 * self.bans.len() + MOST_EVIDENCE / 8 {
            let mut seen = BTreeSet::new();
            let bans = &self.bans;
            self.evidence.retain(|it| bans.contains_key(it) && seen.insert(*it));
        }
    }
}

/// Bans at a time, in the daemon and in `replay`. The kernel's sets are made for the same number.
pub const MOST_BANS: usize = 1 << 18;

/// Hits kept with bans, over all of them: about 50 MB when full.
const MOST_EVIDENCE: usize = 1 << 18;

/// Shorter prefixes are refused: a slip of the pen would ban a continent.
const LEAST_IPV4: u8 = 8;
const LEAST_IPV6: u8 = 16;

#[cfg(test)]
mod tests;
