//! `never_ban.command`: asked about an offender before he is banned, a few at a time. Answers are kept.

use std::collections::HashMap;
use std::net::IpAddr;
use std::process::Stdio;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use tokio::process::Command;
use tokio::sync::{Semaphore, mpsc};

use super::PATIENCE;
use crate::model::Prefix;

/// Is `address`, for which `offender` would be banned by `jail`, never banned?
#[derive(Clone, Debug)]
pub(in crate::daemon) struct Ask {
    pub(in crate::daemon) address: IpAddr,
    pub(in crate::daemon) offender: Prefix,
    pub(in crate::daemon) jail: Arc<str>,
}

#[derive(Debug)]
pub(in crate::daemon) struct Answer {
    pub(in crate::daemon) ask: Ask,
    pub(in crate::daemon) never: bool,
    /// Whether the command said so; it may have failed, or not ended in time.
    pub(in crate::daemon) asked: bool,
}

/// Asks the command about each, a few at a time, until nobody asks any more.
pub(in crate::daemon) async fn answer(
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

/// An answer of the command is not asked for again so long.
const HOLDS: Duration = Duration::from_secs(600);
const MOST_ANSWERS: usize = 1 << 16;
const MOST_AT_ONCE: usize = 4;
