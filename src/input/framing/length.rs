//! `MSG-LEN SP` (RFC 6587 section 3.4.1), and whether a connection begins with one.

use super::FramingError;

/// What kind of framing a connection has.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    Lines,
    Counted,
}

/// Told by the first bytes; `None` while there are too few of them.
///
/// A length alone would not do: lines may begin with an address, a year or any number. A length
/// of 10 to 20 digits before a `<PRI` was certainly meant as one; it is an error rather than a
/// line, or its sender would lose messages by the end of the line only now and then.
pub(super) fn kind(first: &[u8]) -> Option<Result<Kind, FramingError>> {
    let digits = digits(first, TELLING_DIGITS + 1);
    let begins = first.first().is_none_or(|byte| matches!(byte, b'1'..=b'9'));
    if !begins || digits > TELLING_DIGITS {
        return Some(Ok(Kind::Lines));
    }
    match &first[digits..] {
        [] | [b' '] | [b' ', b'<'] => None,
        [b' ', b'<', b'0'..=b'9', ..] if digits > LENGTH_DIGITS => Some(Err(FramingError::Absurd)),
        [b' ', b'<', b'0'..=b'9', ..] => Some(Ok(Kind::Counted)),
        _ => Some(Ok(Kind::Lines)),
    }
}

/// The length that `bytes` begin with and how many bytes it and its space take; `None` while
/// there are too few.
pub(super) fn length(bytes: &[u8]) -> Result<Option<(usize, usize)>, FramingError> {
    if let Some(byte) = bytes.first().filter(|byte| !matches!(byte, b'1'..=b'9')) {
        return Err(FramingError::Begin(*byte));
    }
    let digits = digits(bytes, LENGTH_DIGITS + 1);
    if digits > LENGTH_DIGITS {
        return Err(FramingError::Absurd);
    }
    match bytes.get(digits) {
        None => Ok(None),
        Some(b' ') => {
            let number = |sum, digit: &u8| sum * 10 + usize::from(digit - b'0');
            Ok(Some((bytes[..digits].iter().fold(0, number), digits + 1)))
        }
        Some(byte) => Err(FramingError::Space(*byte)),
    }
}

fn digits(bytes: &[u8], most: usize) -> usize {
    bytes.iter().take(most).take_while(|byte| byte.is_ascii_digit()).count()
}

/// Digits of a length: below 10⁹ it fits any `usize`.
const LENGTH_DIGITS: usize = 9;

/// How many digits are looked at to tell the kind of a connection.
const TELLING_DIGITS: usize = 20;
