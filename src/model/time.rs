//! Points in time, and the durations that operators write (`10m`, `1d12h`, `forever`).

use std::fmt;
use std::str::FromStr;
use std::sync::OnceLock;
use std::time::{Duration, SystemTime};

use nix::time::{ClockId, clock_gettime};

use serde::{Deserialize, Serialize};

/// A point in time: microseconds since 1970-01-01 00:00 UTC.
#[derive(
    Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize,
)]
#[serde(transparent)]
pub struct Timestamp(pub i64);

impl Timestamp {
    /// Now, on the clock that this process lives by. Not for the core, which is handed its `now`.
    ///
    /// It was set by the wall clock when it was first asked, and runs on as the kernel's boot clock
    /// does: through sleep, and without the steps of the wall clock. So no ban ends early or late
    /// because somebody set the time. To show or store it, see [`shown`](Timestamp::shown).
    pub fn now() -> Timestamp {
        steady().at(boot())
    }

    /// How far the wall clock is ahead of this one by now, in microseconds: by what it was set since. Whole
    /// milliseconds: the two are not read at once, and what was not set must not seem to move.
    pub fn ahead() -> i64 {
        let set = wall_since_boot().saturating_sub(steady().offset);
        set.saturating_add(500).div_euclid(1_000) * 1_000
    }

    /// This time on the wall clock as it goes now: for people, and for what outlives the process.
    pub fn shown(self) -> Timestamp {
        Timestamp(self.0.saturating_add(Timestamp::ahead()))
    }

    /// A time on the wall clock, on the clock of this process: the reverse of
    /// [`shown`](Timestamp::shown).
    pub fn from_shown(self) -> Timestamp {
        Timestamp(self.0.saturating_sub(Timestamp::ahead()))
    }

    /// From whole seconds since the epoch.
    pub fn from_seconds(seconds: i64) -> Timestamp {
        Timestamp(seconds.saturating_mul(1_000_000))
    }

    /// Seconds since the epoch.
    pub fn seconds(self) -> f64 {
        self.0 as f64 / 1e6
    }

    /// This time and `span` more; stays at the end of time rather than wrap.
    pub fn after(self, span: Duration) -> Timestamp {
        Timestamp(self.0.saturating_add(micros(span)))
    }

    /// This time less `span`.
    pub fn before(self, span: Duration) -> Timestamp {
        Timestamp(self.0.saturating_sub(micros(span)))
    }

    /// How long after `earlier` this is; zero when it is not.
    pub fn since(self, earlier: Timestamp) -> Duration {
        Duration::from_micros(self.0.saturating_sub(earlier.0).max(0) as u64)
    }
}

/// A clock that is set once.
#[derive(Clone, Copy, Debug)]
struct Steady {
    offset: i64,
}

impl Steady {
    fn at(self, boot: i64) -> Timestamp {
        Timestamp(boot + self.offset)
    }
}

/// The clock that this process lives by.
fn steady() -> Steady {
    static STEADY: OnceLock<Steady> = OnceLock::new();
    *STEADY.get_or_init(|| Steady { offset: wall_since_boot() })
}

/// What to add to the boot clock for the wall clock. Another thread may run between two looks at the clocks,
/// so of a few tries the one counts that was quickest.
fn wall_since_boot() -> i64 {
    let look = || {
        let (before, wall, after) = (boot(), wall(), boot());
        (after - before, wall - before - (after - before) / 2)
    };
    let mut best = look();
    for _ in 0..9 {
        if best.0 < 100 {
            break;
        }
        best = best.min(look());
    }
    best.1
}

/// Microseconds since the epoch.
fn wall() -> i64 {
    let since = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
    since.as_micros() as i64
}

/// Microseconds since the system booted; the wall clock where there is no such clock (Linux 2.6.39).
fn boot() -> i64 {
    clock_gettime(ClockId::CLOCK_BOOTTIME)
        .map_or_else(|_| wall(), |time| time.tv_sec() * 1_000_000 + time.tv_nsec() / 1_000)
}

fn micros(span: Duration) -> i64 {
    i64::try_from(span.as_micros()).unwrap_or(i64::MAX)
}

/// When a ban ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Until {
    /// At this time.
    At(Timestamp),
    /// Only when somebody lifts it.
    Forever,
}

impl Until {
    /// What is left of it at `now`; `None` is for ever.
    pub fn left(self, now: Timestamp) -> Option<Duration> {
        match self {
            Until::At(end) => Some(end.since(now)),
            Until::Forever => None,
        }
    }

    /// Whether it is over at `now`.
    pub fn is_over(self, now: Timestamp) -> bool {
        matches!(self, Until::At(end) if end <= now)
    }
}

/// A duration as operators write it: `30s`, `10m`, `1h`, `1d`, `1w`, `1mo`, `1y`, sums such as
/// `1d12h`, a bare number of seconds, or `forever`. A month is 30 days and a year 365, as fail2ban
/// users expect within a day.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum DurationWords {
    /// So long.
    For(Duration),
    /// Without end. Only a ban time may be this.
    Forever,
}

impl DurationWords {
    /// The duration; `None` is for ever.
    pub fn finite(self) -> Option<Duration> {
        match self {
            DurationWords::For(span) => Some(span),
            DurationWords::Forever => None,
        }
    }

    /// The end of a ban of this length that begins at `now`.
    pub fn from(self, now: Timestamp) -> Until {
        match self {
            DurationWords::For(span) => Until::At(now.after(span)),
            DurationWords::Forever => Until::Forever,
        }
    }
}

impl<'de> Deserialize<'de> for DurationWords {
    /// From words, or from an integer of seconds as fail2ban users write it.
    fn deserialize<D: serde::Deserializer<'de>>(from: D) -> Result<DurationWords, D::Error> {
        #[derive(Deserialize)]
        #[serde(untagged, expecting = "expected a duration such as \"10m\" or \"1d12h\"")]
        enum Written {
            Seconds(u64),
            Words(String),
        }
        match Written::deserialize(from)? {
            Written::Seconds(seconds) => seconds.to_string().parse(),
            Written::Words(words) => words.parse(),
        }
        .map_err(serde::de::Error::custom)
    }
}

impl Serialize for DurationWords {
    fn serialize<S: serde::Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
        to.collect_str(self)
    }
}

/// A text that is no duration.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "`{0}` is not a duration; write 30s, 10m, 1h, 1d, 1w, 1mo, 1y, a sum such as 1d12h, or forever"
)]
pub struct DurationWordsError(String);

const UNITS: [(&str, u64); 7] = [
    ("y", 365 * 86_400),
    ("mo", 30 * 86_400),
    ("w", 7 * 86_400),
    ("d", 86_400),
    ("h", 3_600),
    ("m", 60),
    ("s", 1),
];

impl FromStr for DurationWords {
    type Err = DurationWordsError;

    fn from_str(text: &str) -> Result<DurationWords, DurationWordsError> {
        let wrong = || DurationWordsError(text.to_owned());
        if text == "forever" {
            return Ok(DurationWords::Forever);
        }
        let mut rest = text;
        let mut total: u64 = 0;
        while !rest.is_empty() {
            let digits = rest.find(|c: char| !c.is_ascii_digit()).unwrap_or(rest.len());
            let number: u64 = rest[..digits].parse().map_err(|_| wrong())?;
            let unit_end = rest[digits..]
                .find(|c: char| c.is_ascii_digit())
                .map_or(rest.len(), |end| digits + end);
            let unit = match &rest[digits..unit_end] {
                "" if digits == text.len() => 1,
                unit => UNITS.iter().find(|(name, _)| *name == unit).ok_or_else(wrong)?.1,
            };
            let seconds = number.checked_mul(unit).ok_or_else(wrong)?;
            total = total.checked_add(seconds).ok_or_else(wrong)?;
            rest = &rest[unit_end..];
        }
        if text.is_empty() || total > MOST_SECONDS {
            return Err(wrong());
        }
        Ok(DurationWords::For(Duration::from_secs(total)))
    }
}

/// A thousand years: above it is a slip, and `forever` says it better.
const MOST_SECONDS: u64 = 1_000 * 365 * 86_400;

impl fmt::Display for DurationWords {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let DurationWords::For(span) = self else { return f.write_str("forever") };
        let mut left = span.as_secs();
        if left == 0 {
            return f.write_str("0s");
        }
        for (unit, seconds) in UNITS {
            if left >= seconds {
                write!(f, "{}{unit}", left / seconds)?;
                left %= seconds;
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_and_back() {
        for text in ["30s", "10m", "1h", "1d12h", "1w", "1mo", "1y", "forever", "0s"] {
            assert_eq!(text.parse::<DurationWords>().unwrap().to_string(), text);
        }
        assert_eq!("90".parse::<DurationWords>().unwrap().to_string(), "1m30s");
    }

    #[test]
    fn slips_are_refused() {
        for text in ["", "10 m", "m", "-1s", "1h30", "5min", "1.5h", "99999999999y", "Forever"] {
            assert!(text.parse::<DurationWords>().is_err(), "{text}");
        }
    }

    #[test]
    fn the_steps_of_the_wall_clock_move_nothing() {
        let clock = Steady { offset: 1_800_000_000_000_000 - 5_000_000 };
        assert_eq!(clock.at(5_000_000), Timestamp(1_800_000_000_000_000));
        // Whatever the wall clock does in the meantime: a second of the boot clock is a second.
        assert_eq!(clock.at(6_000_000).since(clock.at(5_000_000)), Duration::from_secs(1));
        let (now, wall) = (Timestamp::now(), wall());
        assert!((now.shown().0 - wall).abs() < 1_000_000, "not set since: {now:?}, {wall}");
        assert!((now.shown().from_shown().0 - now.0).abs() <= 1_000_000);
        assert!(Timestamp::now() >= now);
    }

    #[test]
    fn time_saturates() {
        let end = Timestamp(i64::MAX);
        assert_eq!(end.after(Duration::from_secs(1)), end);
        assert_eq!(Timestamp(5).since(Timestamp(9)), Duration::ZERO);
    }
}
