//! What can be wrong with a filter, where, and what to do about it.

use crate::model::Place;

/// Why a filter does not load.
#[derive(Clone, Debug, thiserror::Error)]
pub enum FilterError {
    /// The file cannot be read.
    #[error("cannot read filter {path}: {why}")]
    Read {
        /// The file.
        path: String,
        /// What the system said.
        why: String,
    },
    /// No filter of that name anywhere.
    #[error("no filter `{name}` in {searched}{hint}")]
    Unknown {
        /// The name asked for.
        name: String,
        /// The folders that were searched.
        searched: String,
        /// `; did you mean …?`, or empty.
        hint: String,
    },
    /// Not TOML, or not a filter's keys.
    #[error("{place}: {what}")]
    Syntax {
        /// Where.
        place: Place,
        /// What, with the mend where one is likely.
        what: String,
    },
    /// A pattern that cannot be used.
    #[error("{place}: pattern `{pattern}`: {what}")]
    Pattern {
        /// Where its `regex` stands.
        place: Place,
        /// Its name.
        pattern: String,
        /// What is wrong, with the mend.
        what: String,
    },
    /// A sample whose verdict is not the one that stands beside it.
    #[error("{place}: pattern `{pattern}`: {what}\n    sample: {line}")]
    Sample {
        /// Where the sample stands.
        place: Place,
        /// The pattern that it belongs to.
        pattern: String,
        /// What came out instead.
        what: String,
        /// The sample.
        line: String,
    },
}
