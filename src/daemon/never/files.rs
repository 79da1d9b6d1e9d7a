//! `never_ban.files`: an address or prefix a line, read again when the file has changed.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::time::SystemTime;

use crate::model::Prefix;

/// One file, and what it said when it could be read.
pub(super) struct File {
    path: PathBuf,
    /// As it was when it was last read: time, length, inode.
    seen: Option<(SystemTime, u64, u64)>,
    pub(super) entries: BTreeSet<Prefix>,
}

impl File {
    pub(super) fn new(path: PathBuf) -> File {
        File { path, seen: None, entries: BTreeSet::new() }
    }

    /// Reads it if it has changed.
    pub(super) fn read(&mut self) {
        use std::os::unix::fs::MetadataExt;
        let path = &self.path;
        let about = std::fs::metadata(path).and_then(|it| Ok((it.modified()?, it.len(), it.ino())));
        let about = match about {
            Ok(about) if Some(about) == self.seen => return,
            Ok(about) if about.1 > LONGEST_FILE => {
                if self.seen.replace(about).is_none_or(|it| it != about) {
                    tracing::error!(
                        "never_ban: {} is too long; what it said stays",
                        path.display()
                    );
                }
                return;
            }
            Ok(about) => about,
            Err(error) => {
                // Said once for each time that it goes missing.
                if self.seen.take().is_some() || self.entries.is_empty() {
                    let kept = self.entries.len();
                    tracing::warn!("never_ban: {}: {error}; {kept} entries stay", path.display());
                }
                return;
            }
        };
        match std::fs::read_to_string(path) {
            Ok(text) => {
                self.entries = entries(path, &text);
                self.seen = Some(about);
                let count = self.entries.len();
                tracing::info!("never_ban: {} has {count} entries", path.display());
            }
            Err(error) => tracing::warn!("never_ban: {}: {error}", path.display()),
        }
    }
}

/// An address or prefix a line; `#` begins a comment.
fn entries(path: &Path, text: &str) -> BTreeSet<Prefix> {
    let mut found = BTreeSet::new();
    for (number, line) in text.lines().enumerate() {
        let line = line.split('#').next().unwrap_or_default().trim();
        if line.is_empty() {
            continue;
        }
        match line.parse() {
            Ok(_) if found.len() >= MOST_OF_FILES => {
                tracing::error!("never_ban: {} has too many entries", path.display());
                break;
            }
            Ok(prefix) => _ = found.insert(prefix),
            Err(error) => {
                tracing::error!("never_ban: {}:{}: {error}", path.display(), number + 1);
            }
        }
    }
    found
}

/// The kernel's accept sets take 4096 ranges of a family.
pub(super) const MOST_OF_FILES: usize = 2_000;
const LONGEST_FILE: u64 = 1 << 20;
