//! The fields of a date to a time, with what a log leaves out filled in from the clock.

use jiff::SignedDuration;
use jiff::civil::{Date, DateTime};
use jiff::tz::Offset;

use super::NoTime;
use super::fields::{DAYS, MONTHS};
use super::machine::Slots;
use super::template::{Reading, Template};
use super::text::{char_at, digit};
use super::zone::{NoOffset, Zone, offset_of};
use crate::model::Timestamp;

/// The time of a match. `last` is the offset of the local time before.
pub(super) fn time_of(
    template: &Template,
    slots: &Slots,
    line: &[u8],
    clock: Clock<'_>,
    last: &mut Offset,
) -> Result<Timestamp, NoTime> {
    let group = |index| slots.group(index).map(|(start, end)| &line[start..end]);
    match template.reading {
        Reading::Epoch { group: index, long } => epoch(group(index).ok_or(NoTime::Fatal)?, long),
        Reading::Tai64n => {
            let label = group(1).and_then(|label| label.get(2..17)).ok_or(NoTime::Unreadable)?;
            let text = std::str::from_utf8(label).map_err(|_| NoTime::Unreadable)?;
            // The label's first digit says that it is one (D. J. Bernstein, TAI64N); leap seconds
            // are not taken off.
            i64::from_str_radix(text, 16)
                .map(Timestamp::from_seconds)
                .map_err(|_| NoTime::Unreadable)
        }
        Reading::Fields => {
            let mut date = Fields::default();
            let names = &template.program.names;
            let half = names.iter().find(|(name, _)| name == "p").map(|(_, index)| group(*index));
            for (name, index) in names {
                if let Some(value) = group(*index) {
                    date.take(name, value, half)?;
                }
            }
            date.time(clock, last)
        }
    }
}

/// What the clock and the settings say.
#[derive(Clone, Copy)]
pub(super) struct Clock<'z> {
    pub(super) now: Timestamp,
    pub(super) zone: &'z Zone,
}

fn epoch(digits: &[u8], long: bool) -> Result<Timestamp, NoTime> {
    let text = String::from_utf8_lossy(digits);
    // Digits of other scripts are digits, as for Python's `float`.
    let plain: String = text
        .chars()
        .map(|c| digit(c).and_then(|value| char::from_digit(value, 10)).unwrap_or(c))
        .collect();
    let value: f64 = plain.trim().parse().map_err(|_| NoTime::Unreadable)?;
    let length = text.chars().count();
    let unit = match () {
        () if long && length >= 16 && !text.contains('.') => 1.0,
        () if long && length >= 13 => 1e3,
        () => 1e6,
    };
    Ok(Timestamp((value * unit).round() as i64))
}

#[derive(Default)]
struct Fields {
    year: Option<i64>,
    month: Option<i64>,
    day: Option<i64>,
    hour: i64,
    minute: i64,
    second: i64,
    weekday: Option<i64>,
    day_of_year: Option<i64>,
    /// The week, and whether it begins on Monday.
    week: Option<(i64, bool)>,
    /// Minutes ahead of UTC.
    offset: Option<i64>,
}

impl Fields {
    /// Takes one field. `half`: the field of the day's half, when the pattern has one; the inner
    /// `None` when it took no part.
    fn take(
        &mut self,
        name: &str,
        value: &[u8],
        half: Option<Option<&[u8]>>,
    ) -> Result<(), NoTime> {
        let number = || whole(value).ok_or(NoTime::Unreadable);
        match name {
            "y" => {
                let year = number()?;
                self.year = Some(if year <= 2000 { year + 2000 } else { year });
            }
            "Y" => self.year = Some(number()?),
            "m" => self.month = Some(number()?),
            "B" | "b" => self.month = Some(1 + named(value, &MONTHS, name == "b")?),
            "d" => self.day = Some(number()?),
            "H" => self.hour = number()?,
            "I" => self.hour = half_day(number()?, half)?,
            "M" => self.minute = number()?,
            "S" => self.second = number()?,
            "A" | "a" => self.weekday = Some(named(value, &DAYS, name == "a")?),
            "w" => self.weekday = Some((number()? + 6) % 7),
            "j" => self.day_of_year = Some(number()?),
            "U" | "W" => self.week = Some((number()?, name == "W")),
            "z" | "Z" => self.offset = Some(offset(value)?),
            _ => {}
        }
        Ok(())
    }

    fn time(mut self, clock: Clock<'_>, last: &mut Offset) -> Result<Timestamp, NoTime> {
        let now = clock.zone.wall(clock.now).ok_or(NoTime::Fatal)?;
        let no_year = self.year.is_none();
        let mut year = self.year.unwrap_or_else(|| i64::from(now.year()));
        if (self.month.is_none() || self.day.is_none())
            && let Some(day) = self.julian(year)?
        {
            year = i64::from(day.year());
            self.month = Some(i64::from(day.month()));
            self.day = Some(i64::from(day.day()));
        }
        let no_day = self.month.is_none() && self.day.is_none();
        let (month, day) = match (self.month, self.day) {
            (None, None) => (i64::from(now.month()), i64::from(now.day())),
            (Some(month), Some(day)) => (month, day),
            // One without the other is not foreseen.
            _ => return Err(NoTime::Fatal),
        };
        if [year, month, day, self.hour, self.minute, self.second]
            .iter()
            .any(|v| i32::try_from(*v).is_err())
        {
            return Err(NoTime::Fatal);
        }
        let date = date(year, month, day)?;
        let field = |value: i64| i8::try_from(value).map_err(|_| NoTime::Unreadable);
        let (hour, minute, second) = (field(self.hour)?, field(self.minute)?, field(self.second)?);
        let time =
            jiff::civil::Time::new(hour, minute, second, 0).map_err(|_| NoTime::Unreadable)?;
        let offset = self.offset.or(clock.zone.log_offset());
        let mut wall = moved(date.to_datetime(time), -60 * offset.unwrap_or(0))?;
        // Both rules compare with the clock on the wall even what is in UTC by now.
        if no_day && wall > now {
            wall = moved(wall, -DAY)?;
        }
        if no_year && wall > moved(now, DAY)? {
            wall = self::date(year - 1, month, day)?.to_datetime(wall.time());
        }
        match offset {
            Some(_) => {
                let utc = Offset::UTC.to_timestamp(wall).map_err(|_| NoTime::Fatal)?;
                Ok(Timestamp(utc.as_microsecond()))
            }
            None => clock.zone.when(wall, last).ok_or(NoTime::Fatal),
        }
    }

    /// The date from the day's number in the year, or from the week's number and the weekday.
    fn julian(&self, year: i64) -> Result<Option<Date>, NoTime> {
        let number = match (self.day_of_year, self.week, self.weekday) {
            (Some(number), _, _) => number,
            (None, Some((week, monday)), Some(weekday)) => {
                let first = i64::from(date(year, 1, 1)?.weekday().to_monday_zero_offset());
                let (first, weekday) =
                    if monday { (first, weekday) } else { ((first + 1) % 7, (weekday + 1) % 7) };
                match week {
                    0 => 1 + weekday - first,
                    _ => 1 + (7 - first) % 7 + 7 * (week - 1) + weekday,
                }
            }
            _ => return Ok(None),
        };
        let days =
            jiff::Span::new().try_days(number.saturating_sub(1)).map_err(|_| NoTime::Unreadable)?;
        let day = date(year, 1, 1)?.checked_add(days).map_err(|_| NoTime::Unreadable)?;
        if day.year() < 1 { Err(NoTime::Unreadable) } else { Ok(Some(day)) }
    }
}

fn date(year: i64, month: i64, day: i64) -> Result<Date, NoTime> {
    let year = i16::try_from(year).ok().filter(|year| *year >= 1).ok_or(NoTime::Unreadable)?;
    let field = |value: i64| i8::try_from(value).map_err(|_| NoTime::Unreadable);
    Date::new(year, field(month)?, field(day)?).map_err(|_| NoTime::Unreadable)
}

fn moved(time: DateTime, seconds: i64) -> Result<DateTime, NoTime> {
    let moved = time.checked_add(SignedDuration::from_secs(seconds)).map_err(|_| NoTime::Fatal)?;
    if moved.year() < 1 { Err(NoTime::Fatal) } else { Ok(moved) }
}

fn half_day(hour: i64, half: Option<Option<&[u8]>>) -> Result<i64, NoTime> {
    let half = match half {
        None => &[][..],
        Some(None) => return Err(NoTime::Fatal),
        Some(Some(half)) => half,
    };
    Ok(match hour {
        12 if half.is_empty() || half.eq_ignore_ascii_case(b"am") => 0,
        hour if hour != 12 && half.eq_ignore_ascii_case(b"pm") => hour + 12,
        hour => hour,
    })
}

fn offset(value: &[u8]) -> Result<i64, NoTime> {
    let text = std::str::from_utf8(value).map_err(|_| NoTime::Unreadable)?;
    offset_of(text).map_err(|wrong| match wrong {
        NoOffset::Form => NoTime::Unreadable,
        NoOffset::Name => NoTime::Fatal,
    })
}

fn named(value: &[u8], names: &[&str], short: bool) -> Result<i64, NoTime> {
    names
        .iter()
        .position(|name| {
            let name = if short { &name[..3] } else { name };
            value.eq_ignore_ascii_case(name.as_bytes())
        })
        .map(|at| at as i64)
        .ok_or(NoTime::Unreadable)
}

/// A number as Python's `int` reads it: blanks around, a sign, digits of any script.
fn whole(value: &[u8]) -> Option<i64> {
    let mut chars = Vec::with_capacity(value.len());
    let mut at = 0;
    while at < value.len() {
        let (c, length) = char_at(value, at);
        chars.push(c);
        at += length;
    }
    let text: String = chars.into_iter().collect();
    let text = text.trim();
    let (sign, digits) = match text.as_bytes().first()? {
        b'-' => (-1, &text[1..]),
        b'+' => (1, &text[1..]),
        _ => (1, text),
    };
    if digits.is_empty() {
        return None;
    }
    let number = digits
        .chars()
        .try_fold(0i64, |sum, c| sum.checked_mul(10)?.checked_add(i64::from(digit(c)?)))?;
    Some(sign * number)
}

const DAY: i64 = 86_400;
