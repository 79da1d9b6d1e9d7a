//! From what is wanted to the steps that lead there. Pure: no kernel, no clock.

use std::collections::HashMap;
use std::time::Duration;

use super::element::{Step, milliseconds};
use crate::enforce::Wish;
use crate::model::{Prefix, Target, Timestamp, Until};

/// Steps, and whom it was refused to ban.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Plan {
    /// No element is named twice; removals come first.
    pub(super) steps: Vec<Step>,
    /// A `/0`, which is not among the steps.
    pub(super) everybody: Option<Prefix>,
}

impl Plan {
    /// Every wish states the whole outcome for its target, so the last one holds.
    pub(super) fn for_changes(wishes: &[Wish], now: Timestamp) -> Plan {
        let mut plan = Plan::default();
        let mut place: HashMap<Target, usize> = HashMap::new();
        for &Wish { target, until } in wishes {
            let step = match until.filter(|until| !until.is_over(now)) {
                Some(until) => Step::Put { target, left: until.left(now) },
                None => Step::Remove { target },
            };
            if target.offender().length() == 0 {
                plan.everybody = plan.everybody.or(step.is_put().then_some(target.offender()));
            } else if wishes.len() == 1 {
                plan.steps.push(step);
            } else {
                let next = plan.steps.len();
                match *place.entry(target).or_insert(next) {
                    at if at < next => plan.steps[at] = step,
                    _ => plan.steps.push(step),
                }
            }
        }
        plan.steps.sort_by_key(Step::is_put);
        plan
    }

    /// The difference between what is `held`, with what was left of it at `now`, and `bans`. Where
    /// `bans` names a target twice the later end counts.
    pub(super) fn for_state(
        held: &HashMap<Target, Option<Duration>>,
        bans: &[(Target, Until)],
        now: Timestamp,
    ) -> Plan {
        let mut plan = Plan::default();
        let mut wanted: HashMap<Target, Until> = HashMap::with_capacity(bans.len());
        for (target, until) in bans {
            if target.offender().length() == 0 {
                plan.everybody = plan.everybody.or(Some(target.offender()));
            } else if !until.is_over(now) {
                wanted
                    .entry(*target)
                    .and_modify(|later| *later = (*later).max(*until))
                    .or_insert(*until);
            }
        }
        let surplus = held.keys().filter(|target| !wanted.contains_key(target));
        plan.steps.extend(surplus.map(|target| Step::Remove { target: *target }));
        for (target, until) in wanted {
            let left = until.left(now);
            if !held.get(&target).is_some_and(|held| same_end(*held, left)) {
                plan.steps.push(Step::Put { target, left });
            }
        }
        plan
    }
}

fn same_end(held: Option<Duration>, wanted: Option<Duration>) -> bool {
    match (held, wanted) {
        (None, None) => true,
        (Some(held), Some(wanted)) => {
            milliseconds(held).abs_diff(milliseconds(wanted)) <= TOLERANCE_MILLISECONDS
        }
        _ => false,
    }
}

/// The kernel counts in jiffies, and a dump takes its time.
const TOLERANCE_MILLISECONDS: u64 = 250;

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ban::Change;

    const NOW: Timestamp = Timestamp(1_000_000_000);

    fn prefix(text: &str) -> Prefix {
        text.parse().unwrap()
    }

    fn for_changes(changes: &[Change]) -> Plan {
        Plan::for_changes(&changes.iter().map(|it| Wish::from(*it)).collect::<Vec<_>>(), NOW)
    }

    fn seconds(seconds: u64) -> Duration {
        Duration::from_secs(seconds)
    }

    #[test]
    fn the_last_change_of_an_offender_holds_and_removals_come_first() {
        let (a, b) = (prefix("192.0.2.1"), prefix("2001:db8::/64"));
        let until = Until::At(NOW.after(seconds(9)));
        let plan = for_changes(&[
            Change::Impose { offender: a, until: Until::Forever },
            Change::Impose { offender: b, until },
            Change::Extend { offender: a, until },
            Change::Lift { offender: b },
        ]);
        let put = Step::Put { target: a.into(), left: Some(seconds(9)) };
        assert_eq!(plan.steps, [Step::Remove { target: b.into() }, put]);
    }

    #[test]
    fn a_ban_already_over_is_lifted() {
        let offender = prefix("192.0.2.1");
        let plan = for_changes(&[Change::Impose { offender, until: Until::At(NOW) }]);
        assert_eq!(plan.steps, [Step::Remove { target: offender.into() }]);
    }

    #[test]
    fn everybody_is_never_banned_and_the_others_are() {
        for everybody in ["0.0.0.0/0", "::/0"].map(prefix) {
            let other = prefix("192.0.2.1");
            let impose = |offender| Change::Impose { offender, until: Until::Forever };
            let plan = for_changes(&[impose(everybody), impose(other)]);
            assert_eq!((plan.everybody, plan.steps.len()), (Some(everybody), 1));
            let lift = for_changes(&[Change::Lift { offender: everybody }]);
            assert_eq!(lift, Plan::default(), "lifting it is no fault");
            let bans = [everybody, other].map(|it| (Target::from(it), Until::Forever));
            let plan = Plan::for_state(&HashMap::new(), &bans, NOW);
            assert_eq!((plan.everybody, plan.steps.len()), (Some(everybody), 1));
        }
    }

    #[test]
    fn only_differences_are_steps() {
        let [same, forever, longer, gone, over] =
            ["10.0.0.1", "10.0.0.2", "10.0.0.3", "2001:db8::/64", "10.0.0.5"]
                .map(|text| Target::from(prefix(text)));
        let held = HashMap::from([
            (same, Some(seconds(60) + Duration::from_millis(100))),
            (forever, None),
            (longer, Some(seconds(60))),
            (gone, Some(seconds(60))),
            (over, None),
        ]);
        let at = |s| Until::At(NOW.after(seconds(s)));
        let bans = [
            (same, at(60)),
            (forever, Until::Forever),
            (longer, at(60)),
            (longer, at(90)),
            (over, at(0)),
        ];
        let mut steps = Plan::for_state(&held, &bans, NOW).steps;
        steps[..2].sort_by_key(Step::set);
        let expected = [
            Step::Remove { target: over },
            Step::Remove { target: gone },
            Step::Put { target: longer, left: Some(seconds(90)) },
        ];
        assert_eq!(steps, expected);
    }
}
