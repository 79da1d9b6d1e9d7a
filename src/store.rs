//! What must outlive the daemon: the bans, what happened, and how often each offender was banned.
//!
//! Enters: [`Notes`] of the thread that decides, over a bounded queue that never makes it wait.
//! Leaves: a SQLite file, and at the start what stood in it ([`Restored`]); [`History`] reads it for
//! people. Refuses to know: kernels, hits, and what a ban is for.
//!
//! One thread writes, one transaction for whatever came within [`COMMIT_EVERY`]. Trouble with the
//! file is told and counted, and stops nobody: see [`open`].

mod clock;
mod event;
mod file;
mod history;
mod pending;
mod queue;
mod rows;
mod writer;

use std::path::{Path, PathBuf};
use std::time::Duration;

pub use event::{Count, Event, Notes, What};
pub use history::{History, Query, Ranked, Ranking};
pub use queue::{Figures, Memory};
pub use writer::{Opened, open};

use crate::ban::Ban;

/// Where the store is, and how long it keeps what is over.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Settings {
    /// The file; its folder is made.
    pub path: PathBuf,
    /// How long history and counts are kept.
    pub keep: Duration,
}

/// What stood in the file.
#[derive(Debug, Default)]
pub struct Restored {
    /// The bans that were not over.
    pub bans: Vec<Ban>,
    /// How often each offender was banned.
    pub counts: Vec<Count>,
}

/// Why a file cannot serve.
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    /// A later version wrote it.
    #[error(
        "{path} was written by a newer Portcullis (format {found}, this one knows {KNOWN}); it is left alone"
    )]
    Newer {
        /// The file.
        path: PathBuf,
        /// Its format.
        found: i64,
    },
    /// SQLite, but not ours.
    #[error("{path} is a database of another program; it is left alone")]
    Foreign {
        /// The file.
        path: PathBuf,
    },
    /// A daemon writes it.
    #[error("{path} is used by another daemon; set `[server] state` to another file")]
    Taken {
        /// The file.
        path: PathBuf,
    },
    /// Not what it should be.
    #[error("{path} is corrupt: {why}")]
    Corrupt {
        /// The file.
        path: PathBuf,
        /// What SQLite said.
        why: rusqlite::Error,
    },
    /// There is none.
    #[error("there is no {path}: nothing was remembered there yet")]
    Absent {
        /// The file.
        path: PathBuf,
    },
    /// The system refused.
    #[error("cannot use {path}: {why}")]
    System {
        /// The file.
        path: PathBuf,
        /// What the system said.
        why: std::io::Error,
    },
    /// SQLite refused.
    #[error("cannot use {path}: {why}")]
    Sqlite {
        /// The file.
        path: PathBuf,
        /// What it said.
        why: rusqlite::Error,
    },
}

impl StoreError {
    fn sqlite(path: &Path, why: rusqlite::Error) -> StoreError {
        use rusqlite::ErrorCode::{DatabaseCorrupt, NotADatabase};
        let path = path.to_owned();
        match why.sqlite_error_code() {
            Some(DatabaseCorrupt | NotADatabase) => StoreError::Corrupt { path, why },
            _ => StoreError::Sqlite { path, why },
        }
    }

    fn system(path: &Path, why: std::io::Error) -> StoreError {
        StoreError::System { path: path.to_owned(), why }
    }
}

/// A change is written so long after it was made, or sooner: what `kill -9` can cost.
pub const COMMIT_EVERY: Duration = Duration::from_millis(200);

/// History rows; the oldest make room. About 100 bytes each, so some 50 MB.
pub const MOST_HISTORY: u32 = 500_000;

/// Counts; those not renewed for the longest time make room.
pub const MOST_COUNTS: u32 = 1 << 18;

/// The format that this version writes.
const KNOWN: i64 = 2;

#[cfg(test)]
mod tests;
