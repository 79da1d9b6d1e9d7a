//! From a time as written to a point in time.

use super::scan::When;
use crate::model::Timestamp;

/// The point in time, or `None` when there is no such date or hour.
pub(super) fn time(when: &When, reference: Timestamp, offset_seconds: i32) -> Option<Timestamp> {
    if let Some(seconds) = when.epoch {
        return Some(Timestamp(seconds * 1_000_000 + i64::from(when.micros)));
    }
    let offset = i64::from(when.offset.unwrap_or(offset_seconds));
    if let Some(year) = when.year {
        return in_year(when, i64::from(year), offset);
    }
    let middle = year_of(reference.0.div_euclid(1_000_000).saturating_add(offset));
    (middle - 4..=middle + 4)
        .filter_map(|year| in_year(when, year, offset))
        .min_by_key(|time| time.0.abs_diff(reference.0))
}

fn in_year(when: &When, year: i64, offset: i64) -> Option<Timestamp> {
    let month = i64::from(when.month);
    let day = i64::from(when.day);
    if !(1..=12).contains(&month) || day < 1 || day > days_in(year, month) {
        return None;
    }
    // A leap second counts as the second after it.
    if when.hour > 23 || when.minute > 59 || when.second > 60 {
        return None;
    }
    let clock = i64::from(when.hour) * 3_600 + i64::from(when.minute) * 60 + i64::from(when.second);
    let seconds = (days_before(year, month) + day - 1) * 86_400 + clock - offset;
    seconds.checked_mul(1_000_000)?.checked_add(i64::from(when.micros)).map(Timestamp)
}

fn days_in(year: i64, month: i64) -> i64 {
    match month {
        2 if is_leap(year) => 29,
        2 => 28,
        4 | 6 | 9 | 11 => 30,
        _ => 31,
    }
}

fn is_leap(year: i64) -> bool {
    year % 4 == 0 && (year % 100 != 0 || year % 400 == 0)
}

/// Days from 1970-01-01 to the first of a month; negative before.
fn days_before(year: i64, month: i64) -> i64 {
    let past = year - 1;
    let leaps = past.div_euclid(4) - past.div_euclid(100) + past.div_euclid(400);
    let years = (year - 1970) * 365 + leaps - LEAPS_BEFORE_1970;
    years + (1..month).map(|month| days_in(year, month)).sum::<i64>()
}

/// The year in which a number of seconds since 1970 lies.
fn year_of(seconds: i64) -> i64 {
    let days = seconds.div_euclid(86_400);
    // Within one of the answer: a year is 365.2425 days.
    let guess = 1970 + (days * 400).div_euclid(146_097);
    let starts_later = days_before(guess, 1) > days;
    let ends_before = days_before(guess + 1, 1) <= days;
    guess - i64::from(starts_later) + i64::from(ends_before)
}

/// The leap days of the years 1 to 1969.
const LEAPS_BEFORE_1970: i64 = 477;
