//! fail2ban's times (`10m`, `1d 12h`, `1year-6mo`, `60*60`, `-1`) as seconds.
//!
//! fail2ban turns the units into factors, puts `+` between neighbours, and has Python work it out.
//! Here it is worked out without Python: `+ - * / // %`, signs and parentheses.

use std::time::Duration;

use crate::model::DurationWords;

/// The seconds that `text` comes to; the error says what is not understood.
pub(super) fn seconds(text: &str) -> Result<f64, String> {
    if text.len() > MOST_BYTES {
        return Err(format!("longer than {MOST_BYTES} bytes"));
    }
    let tokens = tokens(text)?;
    let mut reader = Reader { tokens: &tokens, at: 0 };
    let value = reader.sum()?;
    match reader.peek() {
        None if value.is_finite() => Ok(value),
        None => Err("this comes to no number".to_owned()),
        Some(_) => Err("this is no sum of times such as `1d 12h`".to_owned()),
    }
}

/// Seconds as Portcullis writes a time; more than a thousand years are for ever.
pub(super) fn words(seconds: f64) -> DurationWords {
    if seconds > MOST_SECONDS {
        return DurationWords::Forever;
    }
    DurationWords::For(Duration::from_secs(seconds.max(0.0).ceil() as u64))
}

#[derive(Clone, Copy, Debug, PartialEq)]
enum Token {
    Number(f64),
    Unit(f64),
    Sign(char),
    Floor,
}

fn tokens(text: &str) -> Result<Vec<Token>, String> {
    let mut tokens = Vec::new();
    let mut rest = text.trim_start();
    while let Some(first) = rest.chars().next() {
        let length;
        if first.is_ascii_digit() || first == '.' {
            length = rest.find(|c: char| !c.is_ascii_digit() && c != '.').unwrap_or(rest.len());
            let number = rest[..length].parse();
            tokens.push(Token::Number(number.map_err(|_| format!("`{}`", &rest[..length]))?));
        } else if first.is_ascii_alphabetic() {
            length = rest.find(|c: char| !c.is_ascii_alphabetic()).unwrap_or(rest.len());
            let word = rest[..length].to_ascii_lowercase();
            let unit = UNITS.iter().find(|(names, _)| names.contains(&word.as_str()));
            let (_, factor) = unit.ok_or_else(|| format!("`{word}` is no unit of time"))?;
            tokens.push(Token::Unit(*factor));
        } else if rest.starts_with("//") {
            length = 2;
            tokens.push(Token::Floor);
        } else if "+-*/%()".contains(first) {
            length = 1;
            tokens.push(Token::Sign(first));
        } else {
            return Err(format!("`{first}` has no place in a time"));
        }
        rest = rest[length..].trim_start();
    }
    Ok(tokens)
}

struct Reader<'a> {
    tokens: &'a [Token],
    at: usize,
}

impl Reader<'_> {
    fn peek(&self) -> Option<Token> {
        self.tokens.get(self.at).copied()
    }

    /// Terms with `+` and `-` between them, or with nothing, which is `+`.
    fn sum(&mut self) -> Result<f64, String> {
        let mut value = self.product()?;
        loop {
            match self.peek() {
                Some(Token::Sign('+')) => {
                    self.at += 1;
                    value += self.product()?;
                }
                Some(Token::Sign('-')) => {
                    self.at += 1;
                    value -= self.product()?;
                }
                Some(Token::Number(_)) => value += self.product()?,
                _ => return Ok(value),
            }
        }
    }

    fn product(&mut self) -> Result<f64, String> {
        let mut value = self.signed()?;
        while let Some(token) = self.peek() {
            if !matches!(token, Token::Unit(_) | Token::Floor | Token::Sign('*' | '/' | '%')) {
                break;
            }
            self.at += 1;
            value = match token {
                Token::Unit(factor) => value * factor,
                Token::Floor => (value / self.signed()?).floor(),
                Token::Sign('*') => value * self.signed()?,
                Token::Sign('/') => value / self.signed()?,
                _ => {
                    let by = self.signed()?;
                    value - by * (value / by).floor()
                }
            };
        }
        Ok(value)
    }

    fn signed(&mut self) -> Result<f64, String> {
        let token = self.peek();
        self.at += 1;
        match token {
            Some(Token::Number(number)) => Ok(number),
            Some(Token::Sign('-')) => self.signed().map(|value| -value),
            Some(Token::Sign('+')) => self.signed(),
            Some(Token::Sign('(')) => {
                let inner = self.sum()?;
                let closed = self.peek() == Some(Token::Sign(')'));
                self.at += 1;
                closed.then_some(inner).ok_or_else(|| "`(` without `)`".to_owned())
            }
            None => Err("a number is missing at the end".to_owned()),
            Some(_) => Err("a number is missing before a unit or sign".to_owned()),
        }
    }
}

/// Names and seconds. A year is a quarter of four with a leap day among them, a month its twelfth.
const UNITS: [(&[&str], f64); 7] = [
    (&["s", "ss", "se", "sec", "second", "seconds"], 1.0),
    (&["m", "mm", "mi", "min", "minute", "minutes"], 60.0),
    (&["h", "hh", "ho", "hou", "hour", "hours"], 3_600.0),
    (&["d", "dd", "da", "day", "days"], 86_400.0),
    (&["w", "ww", "we", "wee", "week", "weeks"], 604_800.0),
    (&["mo", "mon", "month", "months"], 2_629_800.0),
    (&["y", "yy", "ye", "yea", "year", "years"], 31_557_600.0),
];

/// Bounds the depth of parentheses, too.
const MOST_BYTES: usize = 200;

/// What [`DurationWords`] takes at most: a thousand years of 365 days.
const MOST_SECONDS: f64 = 1_000.0 * 365.0 * 86_400.0;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_come_to_what_fail2ban_makes_of_them() {
        for (text, expected) in [
            ("600", 600.0),
            ("10m", 600.0),
            ("1d 12h", 129_600.0),
            ("1d12h", 129_600.0),
            ("1h30", 3_630.0),
            ("1hour+30min", 5_400.0),
            ("0d 1h 30m", 5_400.0),
            ("1year-6mo", 15_778_800.0),
            ("6 months", 15_778_800.0),
            ("1week", 604_800.0),
            ("1mo", 2_629_800.0),
            ("1Y", 31_557_600.0),
            ("60*60", 3_600.0),
            ("2*(1h + 30m)", 10_800.0),
            ("7//2", 3.0),
            ("-7%4", 1.0),
            ("1.5h", 5_400.0),
            ("-1", -1.0),
            ("  5  ", 5.0),
        ] {
            assert_eq!(seconds(text), Ok(expected), "{text}");
        }
    }

    #[test]
    fn what_is_no_time_is_refused() {
        for text in ["", "m", "10x", "1h *", "(1h", "1)", "1/0", "1e3", "__import__", "1..2"] {
            assert!(seconds(text).is_err(), "{text}");
        }
        assert!(seconds(&"(".repeat(10_000)).is_err());
        assert!(seconds(&"(".repeat(200)).is_err());
    }

    #[test]
    fn they_are_written_as_portcullis_reads_them() {
        assert_eq!(words(5_400.0).to_string(), "1h30m");
        assert_eq!(words(0.2).to_string(), "1s");
        assert_eq!(words(1e12).to_string(), "forever");
        let month = words(2_629_800.0).to_string();
        assert_eq!(month.parse::<DurationWords>().unwrap(), words(2_629_800.0), "{month}");
    }
}
