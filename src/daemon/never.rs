//! What has to be looked up to know who is never banned: names, files, and the operator's command.
//! None of it on the decide thread.
//!
//! Names are resolved by the system's own resolver, which does not tell how long an answer holds; so
//! they are asked for again every [`RESOLVE_EVERY`]. A name that does not resolve keeps the
//! addresses that it had, and so does a file that cannot be read.

use std::collections::{BTreeSet, HashMap};
use std::net::IpAddr;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant, SystemTime};

use futures_util::future::join_all;
use tokio::process::Command;
use tokio::sync::{Semaphore, mpsc};

use crate::config::Never;
use crate::model::Prefix;

/// Who is on the list by a name or a file.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Listed {
    pub(super) names: BTreeSet<Prefix>,
    pub(super) files: BTreeSet<Prefix>,
}

/// Looks everything up, and then again and again: what has changed is sent, until nobody listens.
pub(super) async fn follow(never: &Never, changed: mpsc::Sender<Listed>) -> Listed {
    let mut lookup = Lookup::new(never);
    let first = lookup.read(true).await;
    if never.names.is_empty() && never.files.is_empty() {
        return first;
    }
    let mut known = first.clone();
    tokio::spawn(async move {
        let mut resolved = Instant::now();
        loop {
            tokio::select! {
                () = tokio::time::sleep(LOOK_EVERY) => {}
                () = changed.closed() => return,
            }
            let resolve = resolved.elapsed() >= RESOLVE_EVERY;
            if resolve {
                resolved = Instant::now();
            }
            let now = lookup.read(resolve).await;
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
    names: Vec<(String, BTreeSet<Prefix>)>,
    files: Vec<File>,
}

struct File {
    path: PathBuf,
    /// As it was when it was last read: time, length, inode.
    seen: Option<(SystemTime, u64, u64)>,
    entries: BTreeSet<Prefix>,
}

impl Lookup {
    fn new(never: &Never) -> Lookup {
        let file =
            |path: &PathBuf| File { path: path.clone(), seen: None, entries: BTreeSet::new() };
        Lookup {
            names: never.names.iter().map(|name| (name.clone(), BTreeSet::new())).collect(),
            files: never.files.iter().map(file).collect(),
        }
    }

    async fn read(&mut self, resolve: bool) -> Listed {
        if resolve {
            // All at once: a resolver that is away must not hold up the start for each of them.
            let ask = |name: String| async move {
                tokio::time::timeout(PATIENCE, tokio::net::lookup_host((name, 0)))
                    .await
                    .map(|found| found.map(Vec::from_iter))
            };
            let asked = self.names.iter().map(|(name, _)| ask(name.clone()));
            let answers = join_all(asked).await;
            for ((name, addresses), answer) in self.names.iter_mut().zip(answers) {
                match answer {
                    Ok(Ok(found)) => {
                        let found = found.into_iter().map(|it| Prefix::host(it.ip()));
                        *addresses = found.take(MOST_OF_A_NAME).collect();
                    }
                    Ok(Err(error)) => tracing::warn!(
                        "never_ban: {name} does not resolve ({error}); {} addresses of it stay",
                        addresses.len()
                    ),
                    Err(_) => tracing::warn!(
                        "never_ban: {name} is not resolved in time; {} addresses of it stay",
                        addresses.len()
                    ),
                }
            }
        }
        for file in &mut self.files {
            file.read();
        }
        let names = self.names.iter().flat_map(|(_, addresses)| addresses).copied().collect();
        let all = self.files.iter().flat_map(|file| &file.entries).copied();
        let files: BTreeSet<_> = all.collect();
        Listed { names, files: files.into_iter().take(MOST_OF_FILES).collect() }
    }
}

impl File {
    /// Reads it if it has changed.
    fn read(&mut self) {
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

/// Is `address`, for which `offender` would be banned by `jail`, never banned?
#[derive(Clone, Debug)]
pub(super) struct Ask {
    pub(super) address: IpAddr,
    pub(super) offender: Prefix,
    pub(super) jail: Arc<str>,
}

#[derive(Debug)]
pub(super) struct Answer {
    pub(super) ask: Ask,
    pub(super) never: bool,
    /// Whether the command said so; it may have failed, or not ended in time.
    pub(super) asked: bool,
}

/// Asks the command about each, a few at a time, until nobody asks any more.
pub(super) async fn answer(
    command: Vec<String>,
    mut asks: mpsc::Receiver<Ask>,
    answers: mpsc::Sender<Answer>,
) {
    let cache = Arc::new(Mutex::new(Cache::default()));
    let places = Arc::new(Semaphore::new(MOST_AT_ONCE));
    let command = Arc::new(command);
    while let Some(ask) = asks.recv().await {
        let known = cache.lock().unwrap_or_else(PoisonError::into_inner).get(ask.address);
        if let Some(never) = known {
            if answers.send(Answer { ask, never, asked: true }).await.is_err() {
                return;
            }
            continue;
        }
        let Ok(place) = Arc::clone(&places).acquire_owned().await else { return };
        let (command, cache, answers) = (Arc::clone(&command), Arc::clone(&cache), answers.clone());
        tokio::spawn(async move {
            let said = run(&command, ask.address).await;
            if let Some(never) = said {
                let mut cache = cache.lock().unwrap_or_else(PoisonError::into_inner);
                cache.put(ask.address, never);
            }
            // Without an answer he is banned: who can stall the command must not hold the gate open.
            let (never, asked) = (said.unwrap_or(false), said.is_some());
            _ = answers.send(Answer { ask, never, asked }).await;
            drop(place);
        });
    }
}

/// Whether the command ends with 0; `None` when it does not end, or cannot be run.
async fn run(command: &[String], address: IpAddr) -> Option<bool> {
    let (program, arguments) = command.split_first()?;
    let running = Command::new(program)
        .args(arguments)
        .arg(address.to_string())
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .kill_on_drop(true)
        .status();
    match tokio::time::timeout(PATIENCE, running).await {
        Ok(Ok(status)) => Some(status.success()),
        Ok(Err(error)) => {
            tracing::error!("never_ban.command {program}: {error}");
            None
        }
        Err(_) => {
            tracing::error!("never_ban.command {program} {address} did not end in time");
            None
        }
    }
}

#[derive(Debug, Default)]
struct Cache(HashMap<IpAddr, (bool, Instant)>);

impl Cache {
    fn get(&self, address: IpAddr) -> Option<bool> {
        let (never, at) = self.0.get(&address)?;
        (at.elapsed() < HOLDS).then_some(*never)
    }

    fn put(&mut self, address: IpAddr, never: bool) {
        if self.0.len() >= MOST_ANSWERS {
            self.0.retain(|_, (_, at)| at.elapsed() < HOLDS);
            if self.0.len() >= MOST_ANSWERS {
                self.0.clear();
            }
        }
        self.0.insert(address, (never, Instant::now()));
    }
}

/// Bans that wait to be asked about; the next are made without asking.
pub(super) const ASKS: usize = 1_024;

const LOOK_EVERY: Duration = Duration::from_secs(1);
const RESOLVE_EVERY: Duration = Duration::from_secs(60);
const PATIENCE: Duration = Duration::from_secs(5);

/// An answer of the command is not asked for again so long.
const HOLDS: Duration = Duration::from_secs(600);
const MOST_ANSWERS: usize = 1 << 16;
const MOST_AT_ONCE: usize = 4;
const MOST_OF_A_NAME: usize = 16;
/// The kernel's accept sets take 4096 ranges of a family.
const MOST_OF_FILES: usize = 2_000;
const LONGEST_FILE: u64 = 1 << 20;
