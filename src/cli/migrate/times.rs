//! `maxretry`, `findtime`, `bantime` and the family of `bantime.increment`.

use super::document::{Table, array, quoted};
use super::jail::{Section, is_yes};
use super::report::Report;
use super::seconds::{seconds, words};
use crate::filter::fail2ban::conf::Located;
use crate::model::DurationWords;

/// Puts the numbers of a section into its table, but for those that `defaults` says already.
/// Whether the jail cannot ban: its times are none.
pub(super) fn translate(
    section: &Section<'_>,
    table: &mut Table,
    defaults: Option<&Table>,
    report: &mut Report,
) -> bool {
    let mut off = false;
    for (option, key, kind) in OPTIONS {
        let Some(written) = section.get(option, report) else {
            if let (None, Some(built_in)) = (defaults, kind.built_in()) {
                table.set(key, built_in);
            }
            continue;
        };
        let owner = section.owner(option);
        if written.text.trim().is_empty() {
            report.became(owner, option, "(empty)");
            continue;
        }
        report.became(owner, option, &format!("jail.{key}"));
        let mut note = |reason: &str| report.note(owner, option, &written, reason);
        match kind.value(&written, &mut note) {
            Some(value) if defaults.and_then(|it| it.get(key)) == Some(&value) => {}
            Some(value) => table.set(key, value),
            None => off |= kind.is_needed(),
        }
    }
    off
}

/// How an option is read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    Retries,
    Findtime,
    Bantime,
    YesNo,
    Factor,
    Multipliers,
    Time,
    Longest,
    Overall,
}

impl Kind {
    /// What fail2ban takes when no file says anything.
    fn built_in(self) -> Option<&'static str> {
        match self {
            Kind::Retries => Some("3"),
            Kind::Findtime | Kind::Bantime => Some("\"10m\""),
            Kind::Longest => Some("\"forever\""),
            Kind::Overall => Some("false"),
            _ => None,
        }
    }

    /// Whether a jail cannot run without.
    fn is_needed(self) -> bool {
        matches!(self, Kind::Findtime | Kind::Bantime)
    }

    /// The value as TOML; `None` when it has no equal, which is noted.
    fn value(self, written: &Located, note: &mut dyn FnMut(&str)) -> Option<String> {
        let text = written.text.trim();
        match self {
            Kind::Retries => retries(text, note),
            Kind::YesNo | Kind::Overall => Some(is_yes(text).to_string()),
            Kind::Factor => match seconds(text) {
                Ok(factor) if factor > 0.0 && factor <= 1e6 => Some(factor.to_string()),
                _ => {
                    note("not taken over: this is no factor above 0, at most 1000000");
                    None
                }
            },
            Kind::Multipliers => {
                let numbers: Option<Vec<u64>> =
                    text.split_whitespace().map(|it| it.parse().ok()).collect();
                let good = |it: &Vec<u64>| {
                    it.len() <= 100 && it.iter().all(|it| (1..=1_000_000).contains(it))
                };
                let numbers = numbers.filter(good);
                if numbers.is_none() {
                    note(
                        "not taken over: these are not whole numbers, 1 to 1000000 and 100 at most",
                    );
                }
                numbers.map(|it| array(it.iter().map(u64::to_string)).replace('"', ""))
            }
            Kind::Findtime | Kind::Bantime | Kind::Time | Kind::Longest => self.time(text, note),
        }
    }

    fn time(self, text: &str, note: &mut dyn FnMut(&str)) -> Option<String> {
        let found = match seconds(text) {
            Ok(found) => found,
            Err(why) => {
                note(&format!("not taken over: not understood as a time: {why}"));
                return None;
            }
        };
        let time = match self {
            Kind::Bantime if found == -1.0 => DurationWords::Forever,
            Kind::Time if found >= 0.0 => words(found),
            _ if found > 0.0 => words(found),
            Kind::Bantime => {
                note("not enabled: a ban of no length ends at once; -1 would be for ever");
                return None;
            }
            _ => {
                note("not taken over: a time above zero is needed");
                return None;
            }
        };
        if self != Kind::Bantime && time == DurationWords::Forever {
            note("not taken over: longer than a thousand years");
            return None;
        }
        // The operator's own words where they mean the same here: 5w rather than 1mo5d.
        let own: String = text.split_whitespace().collect();
        let is_same = own.parse() == Ok(time) && own.contains(|c: char| c.is_ascii_alphabetic());
        Some(quoted(&if is_same { own } else { time.to_string() }))
    }
}

fn retries(text: &str, note: &mut dyn FnMut(&str)) -> Option<String> {
    let Ok(number) = text.replace('_', "").parse::<i64>() else {
        note("not a number; fail2ban takes its default");
        return None;
    };
    let taken = number.clamp(1, MOST_RETRIES);
    if taken != number {
        note(&format!("{taken} is written: maxretry is 1 to {MOST_RETRIES}"));
    }
    Some(taken.to_string())
}

/// As many as the configuration takes.
const MOST_RETRIES: i64 = 1_000;

const OPTIONS: [(&str, &str, Kind); 9] = [
    ("maxretry", "maxretry", Kind::Retries),
    ("findtime", "findtime", Kind::Findtime),
    ("bantime", "bantime", Kind::Bantime),
    ("bantime.increment", "bantime_increment", Kind::YesNo),
    ("bantime.factor", "bantime_factor", Kind::Factor),
    ("bantime.multipliers", "bantime_multipliers", Kind::Multipliers),
    ("bantime.maxtime", "bantime_max", Kind::Longest),
    ("bantime.rndtime", "bantime_jitter", Kind::Time),
    ("bantime.overalljails", "bantime_overalljails", Kind::Overall),
];

#[cfg(test)]
mod tests {
    use super::*;

    fn value(kind: Kind, text: &str) -> (Option<String>, usize) {
        let written = Located { text: text.to_owned(), place: Default::default() };
        let mut notes = 0;
        let value = kind.value(&written, &mut |_| notes += 1);
        (value, notes)
    }

    #[test]
    fn values_of_every_kind() {
        for (kind, text, expected, notes) in [
            (Kind::Retries, "5", Some("5"), 0),
            (Kind::Retries, "0", Some("1"), 1),
            (Kind::Retries, "99999", Some("1000"), 1),
            (Kind::Retries, "many", None, 1),
            (Kind::Findtime, "1d", Some("\"1d\""), 0),
            (Kind::Findtime, "-1", None, 1),
            (Kind::Bantime, "-1", Some("\"forever\""), 0),
            (Kind::Bantime, "5w", Some("\"5w\""), 0),
            (Kind::Bantime, "1mo", Some("\"1mo10h30m\""), 0),
            (Kind::Bantime, "3600", Some("\"1h\""), 0),
            (Kind::Bantime, "0", None, 1),
            (Kind::Bantime, "-5", None, 1),
            (Kind::Bantime, "soon", None, 1),
            (Kind::Time, "0", Some("\"0s\""), 0),
            (Kind::Time, "30m", Some("\"30m\""), 0),
            (Kind::YesNo, "True", Some("true"), 0),
            (Kind::YesNo, "no", Some("false"), 0),
            (Kind::Factor, "2", Some("2"), 0),
            (Kind::Factor, "2.0 / 4", Some("0.5"), 0),
            (Kind::Factor, "math.e", None, 1),
            (Kind::Multipliers, "1 5 30", Some("[1, 5, 30]"), 0),
            (Kind::Multipliers, "1, 2", None, 1),
        ] {
            let (found, noted) = value(kind, text);
            assert_eq!((found.as_deref(), noted), (expected, notes), "{kind:?} {text}");
        }
    }
}
