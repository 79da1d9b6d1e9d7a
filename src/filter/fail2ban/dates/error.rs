//! What may be wrong with a date pattern or a zone.

/// Why a `datepattern` is not understood. Offsets are bytes of the text that was given.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum DateError {
    /// A part that is no part of the language.
    #[error("the date pattern is not understood at byte {at}: {what}")]
    Unknown {
        /// Where.
        at: usize,
        /// What stands there.
        what: String,
    },
    /// The same field, or the same group, twice in one pattern.
    #[error("the date pattern has the field or group `{name}` a second time at byte {at}")]
    Twice {
        /// Where the second one is.
        at: usize,
        /// Its name.
        name: String,
    },
    /// Two patterns that are the same.
    #[error("the date pattern at byte {at} was given before")]
    Repeated {
        /// Where the second one begins.
        at: usize,
    },
    /// A pattern that would cost too much.
    #[error("the date pattern at byte {at} is too large")]
    TooLarge {
        /// Where it begins.
        at: usize,
    },
}

impl DateError {
    pub(super) fn unknown(at: usize, what: String) -> DateError {
        DateError::Unknown { at, what }
    }

    pub(super) fn twice(at: usize, name: &str) -> DateError {
        DateError::Twice { at, name: name.to_owned() }
    }
}

/// Why a text is no time zone.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ZoneError {
    /// No zone of the system and no POSIX TZ text.
    #[error("`{0}` is no time zone; write Europe/Paris, UTC or CET-1CEST,M3.5.0,M10.5.0/3")]
    Local(String),
    /// No offset.
    #[error("`{0}` is no fixed zone of a log; write UTC, UTC+0200, CET or -03:00")]
    Log(String),
}
