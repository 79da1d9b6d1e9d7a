//! What people write about a service, turned into patterns that are safe to run.
//!
//! Enters: the text of a filter file (TOML, `filters/*.toml`). Leaves: [`Filter`]s whose patterns
//! parse, are anchored, name exactly one address and cannot be read in two ways. Samples travel
//! along; [`crate::pipeline::trial`] runs them through the very worker that the daemon uses.
//! Refuses to know: messages, automata, jails.

mod ambiguity;
mod builtin;
mod error;
pub mod fail2ban;
mod library;
mod native;
pub mod python;
mod tags;

pub use error::FilterError;
pub use library::Library;
pub use tags::{ADDRESS, syntax};

use regex_syntax::hir::Hir;

use crate::model::Place;

/// A named set of patterns for one service or device.
#[derive(Clone, Debug)]
pub struct Filter {
    /// The name that jails use: the file's name without `.toml`.
    pub name: String,
    /// One line for people.
    pub description: String,
    /// Where it was read from, for messages: a path, or `filters/NAME.toml (built in)`.
    pub origin: String,
    /// Whether it came with the binary; then our own tests have tried its samples.
    pub is_built_in: bool,
    /// Whether it has a jail only where the configuration names one: what it reads is not always
    /// an attack, or can be forged.
    pub opt_in: bool,
    /// The programs (APP-NAME or TAG) whose messages it reads; `*` stands for any run of bytes,
    /// `-` for messages that name no program.
    pub programs: Vec<String>,
    /// Patterns that mean an attack, in the order of the file: the first that matches is the hit.
    pub patterns: Vec<Pattern>,
    /// Patterns that excuse a message.
    pub ignores: Vec<Pattern>,
}

impl Filter {
    /// Decides whether any line can be read in two ways, each naming another address; the error
    /// shows such a line.
    pub fn prove_unambiguous(&self) -> Result<(), FilterError> {
        native::unambiguous(self)
    }
}

/// One checked pattern.
#[derive(Clone, Debug)]
pub struct Pattern {
    /// Its name within the filter.
    pub name: String,
    /// The exact form, anchored at the start of the message text, with named groups.
    pub exact: Hir,
    /// A superset of `exact` that is cheap in an automaton, without the leading `^`.
    pub gate: Hir,
    /// A hit counts for so many.
    pub weight: u16,
    /// The samples that came with it.
    pub samples: Vec<Sample>,
    /// Where its `regex` stands.
    pub place: Place,
}

/// A line with the verdict that its author expects.
#[derive(Clone, Debug)]
pub struct Sample {
    /// What it shows.
    pub kind: SampleKind,
    /// A whole syslog line when it begins with `<` or the filter reads program-less messages;
    /// otherwise the text behind the header.
    pub line: String,
    /// The program to put in the header; the filter's first when `None`.
    pub program: Option<String>,
    /// The offender that must be named; `None` for nobody.
    pub offender: Option<std::net::IpAddr>,
    /// The user that must be found, where the author cares.
    pub user: Option<String>,
    /// Where it stands.
    pub place: Place,
}

/// The three kinds of sample that a pattern ships.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SampleKind {
    /// The pattern matches it and names the offender.
    Hit,
    /// A near neighbour that must not match.
    Miss,
    /// Attacker-written text that names another address.
    Spoof,
}
