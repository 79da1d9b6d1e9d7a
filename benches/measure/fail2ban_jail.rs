//! fail2ban as it runs: its server with one jail, `sshd`, that reads a log file.
//!
//! What is measured is processor time of the whole server, from when it opens the file to read it until
//! it has closed it again after the last line. The start, the sleeps between two looks at the file and
//! what other processes take are not in it, as ours is CPU time too; the server's other threads sleep
//! meanwhile, and nobody talks to it. It need not ban (no action, a `maxretry` that nobody reaches), nor
//! write a log of its own or a database, and asks no DNS: it reads, finds the time, matches and counts.

use std::fs;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::thread::sleep;
use std::time::{Duration, Instant};

use nix::time::{clock_getcpuclockid, clock_gettime};
use nix::unistd::Pid;

use super::fail2ban_regex::{log, python};

/// What it made of the lines.
pub(crate) struct Answer {
    /// Lines a second of processor time.
    pub(crate) rate: f64,
    /// How many it read in the time that it had.
    pub(crate) lines: usize,
    /// How many it counts as failures: that it looked at them, and skipped none as too old.
    pub(crate) failures: usize,
}

/// Its lines a second on `lines`; or why it does not run.
pub(crate) fn rate<'a>(
    package: &Path,
    lines: impl Iterator<Item = &'a [u8]>,
) -> Result<Answer, String> {
    let text = log(lines);
    let mut server = Server::start(package, &text).map_err(|error| error.to_string())?;
    let read = server.watch(text.len())?;
    let lines = text[..read.bytes].iter().filter(|byte| **byte == b'\n').count();
    let rate = lines as f64 / read.spent.as_secs_f64();
    Ok(Answer { rate, lines, failures: server.failures()? })
}

/// How far it came.
struct Read {
    bytes: usize,
    spent: Duration,
}

/// The server and its folder; both go with it.
struct Server {
    package: PathBuf,
    folder: PathBuf,
    child: Child,
}

impl Server {
    fn start(package: &Path, text: &[u8]) -> std::io::Result<Server> {
        let folder = std::env::temp_dir().join(format!("portcullis-jail-{}", std::process::id()));
        fs::create_dir_all(&folder)?;
        for entry in fs::read_dir(package.join("etc/fail2ban"))? {
            let entry = entry?;
            // There the distribution enables jails.
            if entry.file_name() != "jail.d" {
                symlink(fs::canonicalize(entry.path())?, folder.join(entry.file_name()))?;
            }
        }
        fs::write(folder.join(LOG), text)?;
        fs::write(folder.join("fail2ban.local"), SERVER)?;
        let log = folder.join(LOG);
        fs::write(folder.join("jail.local"), format!("{JAIL}logpath = {}\n", log.display()))?;
        let output = fs::File::create(folder.join(OUTPUT))?;
        let child = command(package, "fail2ban-server", &folder)
            .args(["-f", "start"])
            .stdin(Stdio::null())
            .stdout(output.try_clone()?)
            .stderr(output)
            .spawn()?;
        Ok(Server { package: package.to_owned(), folder, child })
    }

    /// Waits until the log of so many bytes is read, or the time is up.
    fn watch(&mut self, size: usize) -> Result<Read, String> {
        let started = Instant::now();
        let clock = clock_getcpuclockid(Pid::from_raw(self.child.id() as i32))
            .map_err(|error| error.to_string())?;
        let spent = || clock_gettime(clock).map(Duration::from).map_err(|error| error.to_string());
        let (mut before, mut reached) = (spent()?, 0);
        loop {
            sleep(LOOK_EVERY);
            match self.position() {
                Some(position) => reached = position.min(size),
                // It reads ahead a few KiB of the lines that it works at, and closes the file once they
                // are done.
                None if reached > size / 2 => {
                    return Ok(Read { bytes: size, spent: spent()? - before });
                }
                // Not begun: it opens the file for its first line alone when the jail is made.
                None => (before, reached) = (spent()?, 0),
            }
            let late = started.elapsed() > AT_MOST;
            if late && reached > 0 {
                return Ok(Read { bytes: reached, spent: spent()? - before });
            }
            if late || !matches!(self.child.try_wait(), Ok(None)) {
                let output = fs::read_to_string(self.folder.join(OUTPUT)).unwrap_or_default();
                let wrong = output.lines().rfind(|line| line.contains("ERROR"));
                return Err(wrong.unwrap_or("it reads nothing").to_owned());
            }
        }
    }

    /// How far it is in the log, while it has it open.
    fn position(&self) -> Option<usize> {
        let process = PathBuf::from(format!("/proc/{}", self.child.id()));
        let log = self.folder.join(LOG);
        let open = fs::read_dir(process.join("fd")).ok()?.flatten();
        let of_log = open.filter(|fd| fs::read_link(fd.path()).is_ok_and(|it| it == log)).last()?;
        // proc_pid_fdinfo(5): `pos:` and the offset are the first line.
        let about = fs::read_to_string(process.join("fdinfo").join(of_log.file_name())).ok()?;
        about.split_whitespace().nth(1)?.parse().ok()
    }

    fn failures(&self) -> Result<usize, String> {
        let mut client = command(&self.package, "fail2ban-client", &self.folder);
        let Output { stdout, stderr, .. } =
            client.args(["status", "sshd"]).output().map_err(|error| error.to_string())?;
        let text = String::from_utf8_lossy(&stdout);
        let total = text.split("Total failed:").nth(1);
        total
            .and_then(|it| it.split_whitespace().next()?.parse().ok())
            .ok_or_else(|| format!("{text}{}", String::from_utf8_lossy(&stderr)))
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        _ = self.child.kill();
        _ = self.child.wait();
        _ = fs::remove_dir_all(&self.folder);
    }
}

/// One of its programs, which knows nothing but `folder`.
fn command(package: &Path, program: &str, folder: &Path) -> Command {
    let mut command = python(package, program);
    command.arg("-c").arg(folder).arg("-s").arg(folder.join("socket"));
    command.arg("-p").arg(folder.join("pid"));
    command
}

const LOG: &str = "log";
const OUTPUT: &str = "output";

/// Of its own log only what is wrong.
const SERVER: &str = "\
[Definition]
dbfile = None
loglevel = ERROR
logtarget = STDERR
";

/// Lines of any day count (the log is generated, its dates are not of today), and nobody has so many
/// failures that he is banned; that many matches are kept of each as with Debian's `maxretry`.
const JAIL: &str = "\
[DEFAULT]
backend = polling
usedns = no
findtime = 50y
maxretry = 1000000000
maxmatches = 5
action =

[sshd]
enabled = true
";

/// A thousandth of what the reading takes.
const LOOK_EVERY: Duration = Duration::from_millis(1);
/// With the start of Python.
const AT_MOST: Duration = Duration::from_secs(30);
