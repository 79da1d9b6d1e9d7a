//! The daemon of the demo: a child process in the gateway's namespace, with what it needs.
//!
//! Owns the child and its temporary directory (configuration, control socket, log). What
//! the answers look like is the business of [`ask`](super::ask).

use std::fs::{self, DirBuilder, File};
use std::net::IpAddr;
use std::os::unix::fs::DirBuilderExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use serde_json::Value;
use tokio::runtime::Builder;
use tokio::signal::unix::{SignalKind, signal};

use super::ask::{self, Ban, METRICS};
use super::play::FAILURES;
use super::{SERVER, SYSLOG_PORT};

/// The running daemon. Dropping it ends the process and removes the directory.
#[derive(Debug)]
pub(super) struct Daemon {
    program: PathBuf,
    child: Child,
    /// The process id, until it is reaped.
    alive: Arc<Mutex<Option<u32>>>,
    directory: Directory,
}

impl Daemon {
    /// Starts `program run` and waits until it says that it is ready.
    pub(super) fn start(program: &Path, limit: Duration) -> Result<Daemon> {
        let directory = Directory::make()?;
        let config = directory.file("portcullis.toml");
        fs::write(&config, configuration(&directory)).context("cannot write the configuration")?;
        let log = File::create(directory.file(LOG))?;
        let child = Command::new(program)
            .arg("run")
            .arg("--config")
            .arg(&config)
            .stdin(Stdio::null())
            .stdout(log.try_clone()?)
            .stderr(log)
            .spawn()
            .with_context(|| format!("cannot run {}", program.display()))?;
        let alive = Arc::new(Mutex::new(Some(child.id())));
        let mut daemon = Daemon { program: program.into(), child, alive, directory };
        daemon.end_on_signal().context("cannot watch for signals")?;
        daemon.wait_until_ready(limit).inspect_err(|_| daemon.print_last_words())?;
        Ok(daemon)
    }

    pub(super) fn pid(&self) -> u32 {
        self.child.id()
    }

    /// Asks for the list until it holds a ban of `offender`, or the time is over: the last list.
    pub(super) fn wait_for_ban(&self, offender: IpAddr, limit: Duration) -> Result<Vec<Ban>> {
        let deadline = Instant::now() + limit;
        loop {
            let bans = ask::bans(&self.program, &self.directory.file(CONTROL))?;
            if bans.iter().any(|ban| ban.offender.contains(offender)) || Instant::now() >= deadline
            {
                return Ok(bans);
            }
        }
    }

    /// How many packets the gate has dropped in the family of `address`.
    pub(super) fn dropped(&self, address: IpAddr) -> Result<u64> {
        ask::dropped(address)
    }

    /// The end of the daemon's log, to standard error.
    pub(super) fn print_last_words(&self) {
        let log = fs::read_to_string(self.directory.file(LOG)).unwrap_or_default();
        let lines: Vec<_> = log.lines().collect();
        for line in &lines[lines.len().saturating_sub(LAST_WORDS)..] {
            eprintln!("portcullis run: {line}");
        }
    }

    /// When the demo is interrupted nothing is dropped; and nobody would ever find a daemon that
    /// was left in a namespace without a name.
    fn end_on_signal(&self) -> Result<()> {
        let runtime = Builder::new_current_thread().enable_all().build()?;
        let guard = runtime.enter();
        let mut interrupt = signal(SignalKind::interrupt())?;
        let mut terminate = signal(SignalKind::terminate())?;
        drop(guard);
        let (alive, directory) = (Arc::clone(&self.alive), self.directory.0.clone());
        thread::spawn(move || {
            runtime.block_on(async {
                tokio::select! { _ = interrupt.recv() => (), _ = terminate.recv() => () }
            });
            if let Some(pid) = *lock(&alive) {
                let _ = kill(Pid::from_raw(pid.cast_signed()), Signal::SIGKILL);
            }
            let _ = fs::remove_dir_all(directory);
            std::process::exit(INTERRUPTED);
        });
        Ok(())
    }

    fn wait_until_ready(&mut self, limit: Duration) -> Result<()> {
        let deadline = Instant::now() + limit;
        loop {
            if let Some(status) = self.child.try_wait()? {
                bail!("`{} run` ended: {status}", self.program.display());
            }
            if ask::is_ready() {
                return Ok(());
            }
            if Instant::now() >= deadline {
                bail!("not ready within {limit:?}");
            }
            thread::sleep(Duration::from_millis(2));
        }
    }
}

impl Drop for Daemon {
    fn drop(&mut self) {
        let mut alive = lock(&self.alive);
        let _ = kill(Pid::from_raw(self.child.id().cast_signed()), Signal::SIGTERM);
        let deadline = Instant::now() + SHUTDOWN;
        while matches!(self.child.try_wait(), Ok(None)) && Instant::now() < deadline {
            thread::sleep(Duration::from_millis(2));
        }
        let _ = self.child.kill();
        let _ = self.child.wait();
        *alive = None;
    }
}

/// A temporary directory that only we can read.
#[derive(Debug)]
struct Directory(PathBuf);

impl Directory {
    fn make() -> Result<Directory> {
        let path = std::env::temp_dir().join(format!("portcullis-demo-{}", std::process::id()));
        // One that exists is refused: somebody else may have put it there.
        DirBuilder::new()
            .mode(0o700)
            .create(&path)
            .with_context(|| format!("cannot make {}", path.display()))?;
        Ok(Directory(path))
    }

    fn file(&self, name: &str) -> PathBuf {
        self.0.join(name)
    }
}

impl Drop for Directory {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}

fn lock(alive: &Mutex<Option<u32>>) -> MutexGuard<'_, Option<u32>> {
    alive.lock().unwrap_or_else(PoisonError::into_inner)
}

/// What an operator would write for this network.
fn configuration(directory: &Directory) -> String {
    let quoted = |name| Value::from(directory.file(name).to_string_lossy()).to_string();
    let control = quoted(CONTROL);
    let [v4, v6] = SERVER.both();
    format!(
        r#"[server]
control = {control}
state = ""
filters = []

[[listen]]
protocol = "udp"
address = "0.0.0.0:{SYSLOG_PORT}"
trust = "count"

[[listen]]
protocol = "udp"
address = "[::]:{SYSLOG_PORT}"
trust = "count"

[[sender]]
name = "server"
addresses = ["{v4}", "{v6}"]
trust = "ban"

[jail.sshd]
maxretry = {FAILURES}
bantime = "10m"

[firewall]
backend = "nftables"

[metrics]
listen = "{METRICS}"
"#
    )
}

const CONTROL: &str = "control.sock";
const LOG: &str = "daemon.log";

/// As a shell reports SIGINT.
const INTERRUPTED: i32 = 130;

/// Lines of the daemon's log that are shown when something went wrong.
const LAST_WORDS: usize = 20;

const SHUTDOWN: Duration = Duration::from_secs(3);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_configuration_is_toml_whatever_the_path() {
        let directory = Directory(PathBuf::from("/tmp/with \"quotes\" and \\"));
        let parsed: toml::Value = toml::from_str(&configuration(&directory)).unwrap();
        std::mem::forget(directory);
        let control = parsed["server"]["control"].as_str().unwrap();
        assert_eq!(control, "/tmp/with \"quotes\" and \\/control.sock");
        assert_eq!(parsed["sender"][0]["addresses"][1].as_str(), Some("2001:db8:5::10"));
        assert_eq!(parsed["jail"]["sshd"]["maxretry"].as_integer(), Some(5));
    }
}
