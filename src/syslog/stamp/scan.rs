//! Reads a stamp of any known form from left to right.

use super::{MONTHS, zone};

/// A stamp at the start of some bytes.
pub(super) struct Scan {
    /// Its length.
    pub(super) end: usize,
    /// What it says.
    pub(super) when: When,
}

/// A time as written: checked to have the right shape, not yet to exist.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct When {
    pub(super) year: Option<i32>,
    pub(super) month: u32,
    pub(super) day: u32,
    pub(super) hour: u32,
    pub(super) minute: u32,
    pub(super) second: u32,
    pub(super) micros: u32,
    /// Seconds east of UTC, if the stamp says so.
    pub(super) offset: Option<i32>,
    /// Seconds since 1970 in place of all the above.
    pub(super) epoch: Option<i64>,
}

/// The stamp that `bytes` begin with.
pub(super) fn scan(bytes: &[u8]) -> Option<Scan> {
    let mut cursor = Cursor { bytes, at: 0 };
    let mut when = When::default();
    // IOS marks a clock that was never set, or lost its source.
    let _ = cursor.eat(b'*') || cursor.eat(b'.');
    if cursor.epoch(&mut when).is_none() {
        cursor.date(&mut when)?;
        cursor.time(&mut when)?;
        cursor.tail(&mut when);
    }
    matches!(cursor.peek(), None | Some(b' ' | b':' | b'\t'))
        .then_some(Scan { end: cursor.at, when })
}

struct Cursor<'a> {
    bytes: &'a [u8],
    at: usize,
}

impl Cursor<'_> {
    fn peek(&self) -> Option<u8> {
        self.bytes.get(self.at).copied()
    }

    fn eat(&mut self, byte: u8) -> bool {
        let found = self.peek() == Some(byte);
        self.at += usize::from(found);
        found
    }

    fn spaces(&mut self) -> Option<()> {
        let from = self.at;
        while self.eat(b' ') {}
        (self.at > from).then_some(())
    }

    /// A number of `least` to `most` digits.
    fn number(&mut self, least: usize, most: usize) -> Option<u32> {
        let from = self.at;
        let mut value = 0u32;
        while let Some(digit @ b'0'..=b'9') = self.peek() {
            if self.at - from == most {
                return None;
            }
            value = value * 10 + u32::from(digit - b'0');
            self.at += 1;
        }
        (self.at - from >= least).then_some(value)
    }

    /// `1795342272` or `1795342272.123`: Meraki.
    fn epoch(&mut self, when: &mut When) -> Option<()> {
        let digits = self.bytes.iter().take(11).take_while(|byte| byte.is_ascii_digit()).count();
        if digits != 10 || self.bytes[0] != b'1' {
            return None;
        }
        when.epoch = Some(i64::from(self.number(10, 10)?));
        self.fraction(when);
        Some(())
    }

    /// `Nov 22`, `Nov 22 2026`, `2026 Nov 22`, `Sun Nov 22`, `2026-11-22`, each with its separator.
    fn date(&mut self, when: &mut When) -> Option<()> {
        if self.peek()?.is_ascii_digit() {
            when.year = Some(self.number(4, 4)? as i32);
            if self.eat(b'-') {
                when.month = self.number(1, 2)?;
                self.eat(b'-').then_some(())?;
                when.day = self.number(1, 2)?;
                return (self.eat(b'T') || self.eat(b' ')).then_some(());
            }
            self.spaces()?;
        } else if self.bytes[self.at..].get(3) == Some(&b' ') && self.is_weekday() {
            self.at += 4;
            while self.eat(b' ') {}
        }
        when.month = self.month()?;
        self.spaces()?;
        when.day = self.number(1, 2)?;
        self.spaces()?;
        if when.year.is_none() && self.bytes.get(self.at + 4) == Some(&b' ') {
            when.year = Some(self.number(4, 4)? as i32);
            self.spaces()?;
        }
        Some(())
    }

    fn is_weekday(&self) -> bool {
        DAYS.iter().any(|day| self.bytes[self.at..].starts_with(day))
    }

    /// `Nov` or `November`.
    fn month(&mut self) -> Option<u32> {
        let rest = &self.bytes[self.at..];
        let short = rest.first_chunk::<3>()?;
        let index = MONTHS.iter().position(|month| month == short)?;
        let full = rest.starts_with(FULL_MONTHS[index]);
        self.at += if full { FULL_MONTHS[index].len() } else { 3 };
        Some(index as u32 + 1)
    }

    /// `10:00:00` and a fraction.
    fn time(&mut self, when: &mut When) -> Option<()> {
        when.hour = self.number(2, 2)?;
        self.eat(b':').then_some(())?;
        when.minute = self.number(2, 2)?;
        self.eat(b':').then_some(())?;
        when.second = self.number(2, 2)?;
        self.fraction(when);
        Some(())
    }

    /// `.123456`, also Huawei's `.270.1`; digits behind the microseconds are dropped.
    fn fraction(&mut self, when: &mut When) {
        let from = self.at;
        let mut unit = 100_000;
        let mut counting = true;
        while let Some(b'.' | b',') = self.peek()
            && self.bytes.get(self.at + 1).is_some_and(u8::is_ascii_digit)
        {
            self.at += 1;
            while let Some(digit @ b'0'..=b'9') = self.peek() {
                when.micros += if counting { u32::from(digit - b'0') * unit } else { 0 };
                unit /= 10;
                self.at += 1;
            }
            counting = false;
            if self.at - from > LONGEST_FRACTION {
                return;
            }
        }
    }

    /// What may follow the time: `Z`, `+01:00`, ` AM.484`, ` 2026`, ` UTC`.
    fn tail(&mut self, when: &mut When) {
        if self.eat(b'Z') {
            when.offset = Some(0);
            return;
        }
        if let Some(sign @ (b'+' | b'-')) = self.peek() {
            let from = self.at;
            if self.offset(when, sign).is_none() {
                self.at = from;
            }
            // `+00:00Z` is seen, and means what it says.
            self.eat(b'Z');
            return;
        }
        self.half_day(when);
        let rest = &self.bytes[self.at..];
        let length = zone(rest);
        let words = &rest[..length];
        if when.year.is_none() && matches!(words, [b' ', b'1' | b'2', ..]) {
            let year =
                words[1..5].iter().fold(0, |year, digit| year * 10 + i32::from(digit - b'0'));
            when.year = Some(year);
        }
        if words.ends_with(b" UTC") || words.ends_with(b" GMT") {
            when.offset = Some(0);
        }
        self.at += length;
    }

    fn offset(&mut self, when: &mut When, sign: u8) -> Option<()> {
        self.at += 1;
        let hours = self.number(2, 4)?;
        let (hours, minutes) = if self.eat(b':') {
            (hours, self.number(2, 2)?)
        } else if hours > 99 {
            (hours / 100, hours % 100)
        } else {
            (hours, 0)
        };
        if hours > 23 || minutes > 59 {
            return None;
        }
        let seconds = (hours * 3_600 + minutes * 60) as i32;
        when.offset = Some(if sign == b'-' { -seconds } else { seconds });
        Some(())
    }

    /// Cisco's call manager counts to twelve: `05:50:19 AM.484 UTC`.
    fn half_day(&mut self, when: &mut When) {
        let afternoon = match self.bytes[self.at..] {
            [b' ', b'A', b'M', b' ' | b'.' | b':', ..] => false,
            [b' ', b'P', b'M', b' ' | b'.' | b':', ..] => true,
            _ => return,
        };
        self.at += 3;
        when.hour = when.hour % 12 + if afternoon { 12 } else { 0 };
        when.micros = 0;
        self.fraction(when);
    }
}

const LONGEST_FRACTION: usize = 24;

const DAYS: [&[u8]; 7] = [b"Mon", b"Tue", b"Wed", b"Thu", b"Fri", b"Sat", b"Sun"];

const FULL_MONTHS: [&[u8]; 12] = [
    b"January",
    b"February",
    b"March",
    b"April",
    b"May",
    b"June",
    b"July",
    b"August",
    b"September",
    b"October",
    b"November",
    b"December",
];
