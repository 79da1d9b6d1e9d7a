//! What can be wrong with fail2ban's files, where, and what to do about it.

use crate::model::Place;

/// Why a configuration does not load.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ConfError {
    /// A file or folder cannot be read.
    #[error("cannot read {path}: {why}")]
    Read {
        /// The file.
        path: String,
        /// What the system said, or which bound it passes.
        why: String,
    },
    /// No filter, jail or configuration of that name.
    #[error("no {what} `{name}` in {searched}{hint}")]
    Unknown {
        /// `filter`, `jail` …
        what: &'static str,
        /// The name asked for.
        name: String,
        /// Where it was looked for.
        searched: String,
        /// `; did you mean …?`, or empty.
        hint: String,
    },
    /// A text that cannot be understood, or a bound that it passes.
    #[error("{place}: {what}")]
    At {
        /// Where.
        place: Place,
        /// What, with the mend where one is likely.
        what: String,
    },
    /// A filter or action as `name[option=value, …]` that cannot be taken apart.
    #[error("`{text}`, character {at}: {what}")]
    Spec {
        /// As written.
        text: String,
        /// Counted from 1, in characters.
        at: usize,
        /// What, with the mend.
        what: String,
    },
}

impl ConfError {
    /// A problem at a place.
    pub(super) fn at(place: Place, what: impl Into<String>) -> ConfError {
        ConfError::At { place, what: what.into() }
    }
}

/// `; did you mean …?` when one of the candidates is near, otherwise nothing.
pub(super) fn hint<'a>(wrong: &str, candidates: impl IntoIterator<Item = &'a str>) -> String {
    crate::model::likely(wrong, candidates)
        .filter(|meant| *meant != wrong)
        .map(|meant| format!("; did you mean `{meant}`?"))
        .unwrap_or_default()
}
