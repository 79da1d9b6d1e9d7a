//! What the operator wrote, checked, and made ready to run.
//!
//! [`file`](self) holds the keys as written (unknown ones refused), [`Plan`] the typed result:
//! every name resolved, every filter loaded and proven, nothing left that can be wrong. Errors
//! point at file, line and column.

mod file;
mod jails;
mod plan;
mod source;

pub use plan::{Backend, Firewall, Jail, JailFilter, Never, Plan, Skipped, Verdict};

use std::path::{Path, PathBuf};

use crate::filter::FilterError;
use crate::matcher::CompileError;
use crate::model::Place;
use crate::pipeline::trial::TrialError;

/// Why a configuration cannot run.
#[derive(Debug, thiserror::Error)]
pub enum ConfigError {
    /// The file cannot be read.
    #[error("cannot read configuration {path}: {why}")]
    Read {
        /// The file.
        path: PathBuf,
        /// What the system said.
        why: std::io::Error,
    },
    /// Something in it is wrong.
    #[error("{place}: {what}")]
    Wrong {
        /// Where.
        place: Place,
        /// What, with the mend where one is likely.
        what: String,
    },
    /// A jail's filter does not load.
    #[error("{place}: jail `{jail}`: {source}")]
    Filter {
        /// Where the jail stands.
        place: Place,
        /// The jail.
        jail: String,
        /// What is wrong with its filter.
        source: Box<FilterError>,
    },
    /// A jail's filter is one of fail2ban's, and does not load.
    #[error("{place}: jail `{jail}`: {what}")]
    Foreign {
        /// Where the jail stands.
        place: Place,
        /// The jail.
        jail: String,
        /// What is wrong with its filter.
        what: String,
    },
    /// A filter's samples fail.
    #[error(transparent)]
    Trial(#[from] TrialError),
    /// The filters do not compile together.
    #[error(transparent)]
    Compile(#[from] CompileError),
}

impl ConfigError {
    /// Whether it is about one filter, so that all else could run.
    fn is_of_a_filter(&self) -> bool {
        use ConfigError::{Compile, Filter, Foreign, Read, Trial, Wrong};
        match self {
            Filter { .. } | Foreign { .. } | Trial(_) => true,
            Read { .. } | Wrong { .. } | Compile(_) => false,
        }
    }
}

/// The configuration that is used when none is named and it exists.
pub const DEFAULT_PATH: &str = "/etc/portcullis/portcullis.toml";

/// Reads the configuration at `path`; with `None` the default one if there is such a file, else
/// the built-in defaults.
pub fn load(path: Option<&Path>) -> Result<Plan, ConfigError> {
    let (origin, text) = text(path)?;
    Plan::from_text(&origin, &text)
}

/// Where the daemon that runs with the configuration at `path` has its control socket. Loads no
/// filters: a command must find the daemon whatever is wrong with them by now.
pub fn control(path: Option<&Path>) -> Result<PathBuf, ConfigError> {
    let (origin, text) = text(path)?;
    plan::control(&origin, &text)
}

/// Where the daemon that runs with the configuration at `path` keeps its state; `None` is nowhere.
pub fn state(path: Option<&Path>) -> Result<Option<PathBuf>, ConfigError> {
    let (origin, text) = text(path)?;
    plan::state(&origin, &text)
}

/// Where the configuration at `path` has its filters.
pub fn filter_folders(path: Option<&Path>) -> Result<Vec<PathBuf>, ConfigError> {
    let (origin, text) = text(path)?;
    plan::filter_folders(&origin, &text)
}

/// The origin, for messages, and the text.
fn text(path: Option<&Path>) -> Result<(String, String), ConfigError> {
    let default = Path::new(DEFAULT_PATH);
    match path.or(default.exists().then_some(default)) {
        None => Ok(("built-in defaults (no configuration file)".to_owned(), String::new())),
        Some(path) => {
            let text = std::fs::read_to_string(path)
                .map_err(|why| ConfigError::Read { path: path.to_owned(), why })?;
            Ok((path.display().to_string(), text))
        }
    }
}

#[cfg(test)]
mod tests;
