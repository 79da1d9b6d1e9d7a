//! From what is wanted to the steps that lead there. Pure: no kernel, no clock.

use std::collections::HashMap;
use std::time::Duration;

use super::element::{Step, milliseconds};
use crate::ban::Change;
use crate::model::{Prefix, Timestamp, Until};

/// Steps, and whom it was refused to ban.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Plan {
    /// No element is named twice; removals come first.
    pub(super) steps: Vec<Step>,
    /// A `/0`, which is not among the steps.
    pub(super) everybody: Option<Prefix>,
}

impl Plan {
    /// Every change states the whole outcome for its offender, so the last one holds.
    pub(super) fn for_changes(changes: &[Change], now: Timestamp) -> Plan {
        let mut plan = Plan::default();
        let mut place: HashMap<Prefix, usize> = HashMap::new();
        for change in changes {
            let step = match *change {
                Change::Impose { offender, until } | Change::Extend { offender, until } => {
                    put_or_remove(offender, until, now)
                }
                Change::Lift { offender } => (offender, Step::Remove { offender }),
            };
            let (offender, step) = step;
            if offender.length() == 0 {
                plan.everybody = plan.everybody.or(step.is_put().then_some(offender));
            } else if changes.len() == 1 {
                plan.steps.push(step);
            } else {
                let next = plan.steps.len();
                match *place.entry(offender).or_insert(next) {
                    at if at < next => plan.steps[at] = step,
                    _ => plan.steps.push(step),
                }
            }
        }
        plan.steps.sort_by_key(Step::is_put);
        plan
    }

    /// The difference between what is `held`, with what was left of it at `now`, and `bans`. Where
    /// `bans` names an offender twice the later end counts.
    pub(super) fn for_state(
        held: &HashMap<Prefix, Option<Duration>>,
        bans: &[(Prefix, Until)],
        now: Timestamp,
    ) -> Plan {
        let mut plan = Plan::default();
        let mut wanted: HashMap<Prefix, Until> = HashMap::with_capacity(bans.len());
        for (offender, until) in bans {
            if offender.length() == 0 {
                plan.everybody = plan.everybody.or(Some(*offender));
            } else if !until.is_over(now) {
                wanted
                    .entry(*offender)
                    .and_modify(|later| *later = (*later).max(*until))
                    .or_insert(*until);
            }
        }
        let surplus = held.keys().filter(|offender| !wanted.contains_key(offender));
        plan.steps.extend(surplus.map(|offender| Step::Remove { offender: *offender }));
        for (offender, until) in wanted {
            let left = until.left(now);
            if !held.get(&offender).is_some_and(|held| same_end(*held, left)) {
                plan.steps.push(Step::Put { offender, left });
            }
        }
        plan
    }
}

fn put_or_remove(offender: Prefix, until: Until, now: Timestamp) -> (Prefix, Step) {
    if until.is_over(now) {
        return (offender, Step::Remove { offender });
    }
    (offender, Step::Put { offender, left: until.left(now) })
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

    const NOW: Timestamp = Timestamp(1_000_000_000);

    fn prefix(text: &str) -> Prefix {
        text.parse().unwrap()
    }

    fn seconds(seconds: u64) -> Duration {
        Duration::from_secs(seconds)
    }

    #[test]
    fn the_last_change_of_an_offender_holds_and_removals_come_first() {
        let (a, b) = (prefix("192.0.2.1"), prefix("2001:db8::/64"));
        let until = Until::At(NOW.after(seconds(9)));
        let plan = Plan::for_changes(
            &[
                Change::Impose { offender: a, until: Until::Forever },
                Change::Impose { offender: b, until },
                Change::Extend { offender: a, until },
                Change::Lift { offender: b },
            ],
            NOW,
        );
        let put = Step::Put { offender: a, left: Some(seconds(9)) };
        assert_eq!(plan.steps, [Step::Remove { offender: b }, put]);
    }

    #[test]
    fn a_ban_already_over_is_lifted() {
        let offender = prefix("192.0.2.1");
        let plan = Plan::for_changes(&[Change::Impose { offender, until: Until::At(NOW) }], NOW);
        assert_eq!(plan.steps, [Step::Remove { offender }]);
    }

    #[test]
    fn everybody_is_never_banned_and_the_others_are() {
        for everybody in ["0.0.0.0/0", "::/0"].map(prefix) {
            let other = prefix("192.0.2.1");
            let impose = |offender| Change::Impose { offender, until: Until::Forever };
            let plan = Plan::for_changes(&[impose(everybody), impose(other)], NOW);
            assert_eq!((plan.everybody, plan.steps.len()), (Some(everybody), 1));
            let lift = Plan::for_changes(&[Change::Lift { offender: everybody }], NOW);
            assert_eq!(lift, Plan::default(), "lifting it is no fault");
            let bans = [(everybody, Until::Forever), (other, Until::Forever)];
            let plan = Plan::for_state(&HashMap::new(), &bans, NOW);
            assert_eq!((plan.everybody, plan.steps.len()), (Some(everybody), 1));
        }
    }

    #[test]
    fn only_differences_are_steps() {
        let [same, forever, longer, gone, over] =
            ["10.0.0.1", "10.0.0.2", "10.0.0.3", "2001:db8::/64", "10.0.0.5"].map(prefix);
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
            Step::Remove { offender: over },
            Step::Remove { offender: gone },
            Step::Put { offender: longer, left: Some(seconds(90)) },
        ];
        assert_eq!(steps, expected);
    }
}
