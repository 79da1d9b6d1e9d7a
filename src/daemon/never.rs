//! What has to be looked up to know who is never banned: names, files, and the operator's command.
//! None of it on the decide thread.
//!
//! A name that does not resolve keeps the addresses that it had, and so does a file that cannot be
//! read.

mod command;
mod files;
mod names;
mod ttl;

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::mpsc;

use crate::config::Never;
use crate::metrics::Metrics;
use crate::model::Prefix;
pub(super) use command::{Answer, Ask, answer};
use files::{File, MOST_OF_FILES};
use names::Names;

/// Who is on the list by a name or a file.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Listed {
    pub(super) names: BTreeSet<Prefix>,
    pub(super) files: BTreeSet<Prefix>,
}

/// Looks everything up, and then again and again: what has changed is sent, until nobody listens.
pub(super) async fn follow(
    never: &Never,
    changed: mpsc::Sender<Listed>,
    metrics: Arc<Metrics>,
) -> Listed {
    let mut lookup = Lookup {
        names: Names::new(&never.names, metrics),
        files: never.files.iter().cloned().map(File::new).collect(),
    };
    let first = lookup.read().await;
    if never.names.is_empty() && never.files.is_empty() {
        return first;
    }
    let mut known = first.clone();
    tokio::spawn(async move {
        loop {
            tokio::select! {
                () = tokio::time::sleep(LOOK_EVERY) => {}
                () = changed.closed() => return,
            }
            let now = lookup.read().await;
            if now != known {
                known = now.clone();
                if changed.send(now).await.is_err() {
                    return;
                }
            }
        }
    });
    first
}

struct Lookup {
    names: Names,
    files: Vec<File>,
}

impl Lookup {
    async fn read(&mut self) -> Listed {
        self.names.look().await;
        self.files.iter_mut().for_each(File::read);
        let all = self.files.iter().flat_map(|file| &file.entries).copied();
        let files: BTreeSet<_> = all.collect();
        Listed {
            names: self.names.addresses(),
            files: files.into_iter().take(MOST_OF_FILES).collect(),
        }
    }
}

/// Bans that wait to be asked about; the next are made without asking.
pub(super) const ASKS: usize = 1_024;

const LOOK_EVERY: Duration = Duration::from_secs(1);
/// With a resolver, or with the operator's command.
const PATIENCE: Duration = Duration::from_secs(5);
