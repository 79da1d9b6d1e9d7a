//! How long a ban lasts when it is not the first.
//!
//! fail2ban's family `bantime.increment`: the jail's ban time, times a multiplier that grows with the
//! number of earlier bans, at least the ban time itself, at most a maximum, and then some jitter.

use std::time::Duration;

use crate::model::{DurationWords, Timestamp, Until};

/// The keys `bantime_…` of a jail.
#[derive(Clone, Debug, PartialEq)]
pub struct Growth {
    /// Whether earlier bans count at all.
    pub increment: bool,
    /// Every multiplier is multiplied by it.
    pub factor: f64,
    /// By the number of earlier bans; the last one for all more. Empty: 2 to the power of that number.
    pub multipliers: Vec<f64>,
    /// A grown ban time is at most this, unless the jail's own is more.
    pub max: DurationWords,
    /// At most so much is added at random, to every ban.
    pub jitter: Duration,
    /// Whether the bans of all jails count, or only the jail's own.
    pub all_jails: bool,
    /// Each such time without a ban takes one off the count.
    pub decay: Duration,
}

impl Growth {
    /// The end of a ban that begins at `now`, after `earlier` ones. `dice` is any random number.
    pub fn until(&self, bantime: DurationWords, earlier: u32, dice: u64, now: Timestamp) -> Until {
        let DurationWords::For(least) = bantime else { return Until::Forever };
        let grown = match self.increment {
            true => least.as_secs_f64() * self.factor * self.multiplier(earlier),
            false => least.as_secs_f64(),
        };
        let most = match self.max {
            _ if !self.increment => LONGEST,
            DurationWords::For(most) => most.min(LONGEST),
            DurationWords::Forever => LONGEST,
        };
        // What is no number of seconds at all is beyond every maximum.
        let grown = Duration::try_from_secs_f64(grown).unwrap_or(LONGEST);
        let span = grown.min(most).max(least);
        let jitter = u64::try_from(self.jitter.as_micros()).unwrap_or(u64::MAX);
        let jitter = Duration::from_micros(dice.checked_rem(jitter.saturating_add(1)).unwrap_or(0));
        Until::At(now.after(span.saturating_add(jitter)))
    }

    fn multiplier(&self, earlier: u32) -> f64 {
        let last = self.multipliers.len().saturating_sub(1);
        match self.multipliers.get(last.min(earlier as usize)) {
            Some(multiplier) => *multiplier,
            None => f64::from(1u32 << earlier.min(MOST_DOUBLINGS)),
        }
    }
}

impl Default for Growth {
    fn default() -> Growth {
        Growth {
            increment: false,
            factor: 1.0,
            multipliers: Vec::new(),
            max: DurationWords::For(Duration::from_secs(5 * 7 * 86_400)),
            jitter: Duration::ZERO,
            all_jails: true,
            decay: Duration::from_secs(7 * 86_400),
        }
    }
}

/// As in fail2ban: from there on a ban time doubles no more.
const MOST_DOUBLINGS: u32 = 20;

/// A thousand years, as far as durations can be written.
const LONGEST: Duration = Duration::from_secs(1_000 * 365 * 86_400);

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: Timestamp = Timestamp(1_800_000_000_000_000);

    fn seconds(growth: &Growth, bantime: u64, earlier: u32) -> u64 {
        let bantime = DurationWords::For(Duration::from_secs(bantime));
        match growth.until(bantime, earlier, 0, NOW) {
            Until::At(end) => end.since(NOW).as_secs(),
            Until::Forever => panic!("for ever"),
        }
    }

    fn growing() -> Growth {
        Growth { increment: true, ..Growth::default() }
    }

    #[test]
    fn a_ban_time_doubles_up_to_its_maximum() {
        let grown: Vec<_> = [0, 1, 2, 5, 19].map(|it| seconds(&growing(), 600, it)).into();
        assert_eq!(grown, [600, 1_200, 2_400, 19_200, 5 * 7 * 86_400]);
        let endless = Growth { max: DurationWords::Forever, ..growing() };
        assert_eq!(seconds(&endless, 1, 20), 1 << 20);
        assert_eq!(seconds(&endless, 1, 21), 1 << 20, "20 doublings at most");
        assert_eq!(seconds(&Growth::default(), 600, 9), 600, "only when asked for");
    }

    #[test]
    fn multipliers_stand_for_the_power_and_the_factor_multiplies_both() {
        let steps = Growth { multipliers: vec![1.0, 5.0, 30.0], ..growing() };
        assert_eq!([0, 1, 2, 9].map(|it| seconds(&steps, 60, it)), [60, 300, 1_800, 1_800]);
        let half = Growth { factor: 0.5, ..growing() };
        assert_eq!(
            [0, 1, 2].map(|it| seconds(&half, 60, it)),
            [60, 60, 120],
            "never below the ban time"
        );
        let twice = Growth { factor: 2.0, ..steps };
        assert_eq!([0, 1].map(|it| seconds(&twice, 60, it)), [120, 600]);
    }

    #[test]
    fn a_maximum_below_the_ban_time_shortens_nothing() {
        let short = Growth { max: DurationWords::For(Duration::from_secs(10)), ..growing() };
        assert_eq!(seconds(&short, 600, 3), 600);
        let bantime = DurationWords::Forever;
        assert_eq!(growing().until(bantime, 3, 7, NOW), Until::Forever);
    }

    #[test]
    fn jitter_comes_on_top() {
        let jittery = Growth { jitter: Duration::from_secs(10), ..Growth::default() };
        let bantime = DurationWords::For(Duration::from_secs(60));
        let ends: Vec<_> = (0..1_000u64)
            .map(|dice| jittery.until(bantime, 0, dice.wrapping_mul(0x9e37_79b9_7f4a_7c15), NOW))
            .collect();
        let least = Until::At(NOW.after(Duration::from_secs(60)));
        let most = Until::At(NOW.after(Duration::from_secs(70)));
        assert!(ends.iter().all(|end| (least..=most).contains(end)));
        assert!(ends.iter().min() < ends.iter().max());
    }
}
