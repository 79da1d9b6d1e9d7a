//! What the kernel was seen to hold, as long as nobody has committed anything since.

use std::collections::{BTreeSet, HashMap};
use std::time::{Duration, Instant};

use super::Held;
use super::dump;
use super::layout::BanSet;
use super::socket::{Link, Refusal};
use crate::model::Target;

/// All bans, with what was left of each when reading began.
#[derive(Debug)]
pub(super) struct Known {
    at: Instant,
    generation: u32,
    bans: HashMap<Target, Option<Duration>>,
}

impl Known {
    /// Reads all. A commit meanwhile moves the generation on, and then this is known no longer.
    pub(super) fn read(
        link: &mut Link,
        table: &str,
        sets: &BTreeSet<BanSet>,
    ) -> Result<Known, Refusal> {
        let generation = dump::generation(link)?;
        let at = Instant::now();
        let bans = dump::bans(link, table, sets)?;
        Ok(Known { at, generation, bans })
    }

    pub(super) fn held(&self) -> Vec<Held> {
        let held = |(target, left): (&Target, &Option<Duration>)| Held {
            offender: target.offender(),
            scope: target.scope(),
            left: *left,
        };
        self.bans.iter().map(held).collect()
    }

    /// What the kernel holds by now, if the generation is still the same: an element that ends by itself
    /// moves it not.
    pub(super) fn if_still(self, generation: u32) -> Option<HashMap<Target, Option<Duration>>> {
        if self.generation != generation {
            return None;
        }
        let gone = self.at.elapsed();
        let mut bans = self.bans;
        bans.retain(|_, left| match left {
            None => true,
            Some(left) => {
                *left = left.saturating_sub(gone);
                !left.is_zero()
            }
        });
        Some(bans)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::Prefix;

    fn target(offender: &str) -> Target {
        offender.parse::<Prefix>().unwrap().into()
    }

    #[test]
    fn it_is_known_until_somebody_commits_and_runs_down_meanwhile() {
        let known = |ago| Known {
            at: Instant::now().checked_sub(Duration::from_secs(ago)).unwrap(),
            generation: 7,
            bans: [
                (target("192.0.2.1"), Some(Duration::from_secs(5))),
                (target("192.0.2.2"), Some(Duration::from_secs(50))),
                (target("2001:db8::/64"), None),
            ]
            .into(),
        };
        assert!(known(0).if_still(8).is_none());
        let held = known(10).if_still(7).unwrap();
        assert_eq!(held.len(), 2, "one has ended");
        assert!(held[&target("192.0.2.2")].unwrap() <= Duration::from_secs(40));
        assert_eq!(held[&target("2001:db8::/64")], None);
    }
}
