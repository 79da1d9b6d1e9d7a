//! How often offenders were banned before: what lets a ban time grow.
//!
//! **Bound.** At most `most` counts. When full, a new one takes the place of the lowest of a few picked
//! at random, of these the one that is quiet for the longest time; each is counted.

use std::sync::Arc;
use std::time::Duration;

use indexmap::IndexMap;

use crate::model::{Prefix, Timestamp, Until};

/// The counts of all offenders.
#[derive(Debug)]
pub struct History {
    counts: IndexMap<Whose, Counted>,
    most: usize,
    displaced: u64,
    dice: u64,
}

/// An offender, and the jail that counts for itself; `None` is all jails together.
type Whose = (Prefix, Option<Arc<str>>);

#[derive(Clone, Copy, Debug)]
struct Counted {
    bans: u32,
    quiet_since: Timestamp,
}

/// One count, as the store keeps it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Past {
    /// Who.
    pub offender: Prefix,
    /// By which jail; `None` is by all together.
    pub jail: Option<Arc<str>>,
    /// So many bans.
    pub bans: u32,
    /// The end of the last of them.
    pub quiet_since: Timestamp,
}

impl History {
    /// Of at most `most` counts.
    pub fn new(most: usize) -> History {
        History { counts: IndexMap::new(), most: most.max(1), displaced: 0, dice: 1 }
    }

    /// How many bans `offender` had before `now`, less one for each `decay` since the last ended.
    pub fn earlier(
        &self,
        offender: Prefix,
        jail: Option<&Arc<str>>,
        decay: Duration,
        now: Timestamp,
    ) -> u32 {
        let counted = self.counts.get(&(offender, jail.cloned()));
        counted.map_or(0, |counted| counted.left(decay, now))
    }

    /// Counts one more, which lasts until `until`.
    pub(super) fn count(
        &mut self,
        offender: Prefix,
        jail: Option<&Arc<str>>,
        decay: Duration,
        until: Until,
        now: Timestamp,
    ) {
        let bans = self.earlier(offender, jail, decay, now).saturating_add(1);
        let quiet_since = match until {
            Until::At(end) => end,
            Until::Forever => now,
        };
        let jail = jail.cloned();
        self.restore(Past { offender, jail, bans, quiet_since });
    }

    /// A ban that lasts longer by now.
    pub(super) fn prolong(&mut self, offender: Prefix, jail: Option<&Arc<str>>, until: Until) {
        if let (Some(counted), Until::At(end)) =
            (self.counts.get_mut(&(offender, jail.cloned())), until)
        {
            counted.quiet_since = counted.quiet_since.max(end);
        }
    }

    /// Puts a count in that [`iter`](History::iter) once gave.
    pub fn restore(&mut self, past: Past) {
        let Past { offender, jail, bans, quiet_since } = past;
        let key = (offender, jail);
        if self.counts.len() >= self.most && !self.counts.contains_key(&key) {
            self.displace();
        }
        self.counts.insert(key, Counted { bans, quiet_since });
    }

    /// One count, as [`iter`](History::iter) gives it.
    pub fn past(&self, offender: Prefix, jail: Option<&Arc<str>>) -> Option<Past> {
        let counted = self.counts.get(&(offender, jail.cloned()))?;
        let (bans, quiet_since) = (counted.bans, counted.quiet_since);
        Some(Past { offender, jail: jail.cloned(), bans, quiet_since })
    }

    /// All counts, in no order.
    pub fn iter(&self) -> impl Iterator<Item = Past> + '_ {
        self.counts.iter().map(|((offender, jail), counted)| Past {
            offender: *offender,
            jail: jail.clone(),
            bans: counted.bans,
            quiet_since: counted.quiet_since,
        })
    }

    /// How many counts there are.
    pub fn len(&self) -> usize {
        self.counts.len()
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.counts.is_empty()
    }

    /// How many made room for others.
    pub fn displaced(&self) -> u64 {
        self.displaced
    }

    fn displace(&mut self) {
        let length = self.counts.len() as u64;
        let places: [usize; CANDIDATES] = std::array::from_fn(|_| {
            self.dice = super::judge::roll(self.dice);
            (self.dice % length) as usize
        });
        let lowest = places.into_iter().min_by_key(|place| {
            let counted = &self.counts[*place];
            (counted.bans, counted.quiet_since)
        });
        self.counts.swap_remove_index(lowest.unwrap_or(0));
        self.displaced += 1;
    }
}

impl Counted {
    fn left(&self, decay: Duration, now: Timestamp) -> u32 {
        let quiet = now.since(self.quiet_since).as_micros();
        let off = quiet.checked_div(decay.as_micros()).unwrap_or(0);
        self.bans.saturating_sub(u32::try_from(off).unwrap_or(u32::MAX))
    }
}

const CANDIDATES: usize = 8;

/// Counts kept at a time: about 30 MB when full.
pub const MOST_PASTS: usize = 1 << 18;

#[cfg(test)]
mod tests {
    use super::*;

    const WEEK: Duration = Duration::from_secs(7 * 86_400);

    fn at(days: i64) -> Timestamp {
        Timestamp::from_seconds(1_800_000_000 + days * 86_400)
    }

    fn prefix(text: &str) -> Prefix {
        text.parse().unwrap()
    }

    #[test]
    fn a_count_decays_in_quiet_times() {
        let mut history = History::new(10);
        for offender in ["192.0.2.1", "2001:db8::/64"].map(prefix) {
            for day in 0..3 {
                history.count(offender, None, WEEK, Until::At(at(day + 1)), at(day));
            }
            let earlier = |day| history.earlier(offender, None, WEEK, at(day));
            // The last ban ends on day 3: a week later is day 10.
            assert_eq!([3, 9, 10, 17, 24, 900].map(earlier), [3, 3, 2, 1, 0, 0]);
        }
        assert_eq!(history.earlier(prefix("192.0.2.2"), None, WEEK, at(1)), 0);
        history.count(prefix("192.0.2.1"), None, WEEK, Until::At(at(18)), at(17));
        assert_eq!(
            history.earlier(prefix("192.0.2.1"), None, WEEK, at(18)),
            2,
            "1 left and 1 more"
        );
    }

    #[test]
    fn it_is_bounded_and_keeps_those_who_come_often() {
        let mut history = History::new(1_000);
        let often: Vec<_> = (0..100).map(|it| prefix(&format!("192.0.2.{it}"))).collect();
        for _ in 0..3 {
            for offender in &often {
                history.count(*offender, None, WEEK, Until::At(at(1)), at(0));
            }
        }
        for number in 0..20_000u32 {
            let offender = Prefix::host(std::net::Ipv4Addr::from_bits(0xc633_0000 | number).into());
            history.count(offender, None, WEEK, Until::At(at(2)), at(1));
        }
        assert_eq!(history.len(), 1_000);
        assert_eq!(history.displaced(), 19_100);
        let kept = often.iter().filter(|it| history.earlier(**it, None, WEEK, at(2)) == 3).count();
        assert!(kept >= 97, "{kept}");
    }

    #[test]
    fn what_it_gives_it_takes_back() {
        let mut history = History::new(10);
        let jail: Arc<str> = "sshd".into();
        history.count(prefix("192.0.2.1"), None, WEEK, Until::At(at(1)), at(0));
        history.count(prefix("2001:db8::/64"), Some(&jail), WEEK, Until::Forever, at(0));
        let mut again = History::new(10);
        history.iter().for_each(|past| again.restore(past));
        assert_eq!(again.iter().collect::<Vec<_>>(), history.iter().collect::<Vec<_>>());
        assert_eq!(again.earlier(prefix("2001:db8::/64"), Some(&jail), WEEK, at(0)), 1);
        assert_eq!(again.earlier(prefix("2001:db8::/64"), None, WEEK, at(0)), 0);
    }
}
