//! The real daemon as a child process, the commands that ask it, and waiting for what must happen.
//!
//! A [`Home`] is a folder with a configuration and a control socket, so that a daemon can be started
//! in it more than once. Ports are 0 and learned from `status --json`. When a test fails, what the
//! daemon said is printed; dropping a [`Daemon`] kills it.

use std::collections::HashMap;
use std::ffi::OsString;
use std::fs;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{IpAddr, SocketAddr, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use serde_json::Value;

/// A folder of our own: configuration, control socket, whatever a test puts there.
#[derive(Debug)]
pub(crate) struct Home(PathBuf);

impl Home {
    /// With `body` as configuration; control socket, filter folder and metrics are put in front.
    pub(crate) fn new(body: &str) -> Arc<Home> {
        static NUMBER: AtomicU32 = AtomicU32::new(0);
        let number = NUMBER.fetch_add(1, Ordering::Relaxed);
        let name = format!("portcullis-it-{}-{number}", std::process::id());
        let folder = std::env::temp_dir().join(name);
        _ = fs::remove_dir_all(&folder);
        fs::create_dir_all(&folder).unwrap();
        let home = Home(folder);
        home.configure(body);
        Arc::new(home)
    }

    /// Writes another configuration, for the next start.
    pub(crate) fn configure(&self, body: &str) {
        let control = self.control();
        let text = format!(
            "metrics = {{ listen = \"127.0.0.1:0\" }}\n[server]\nworkers = 2\nfilters = []\n\
             control = {:?}\nstate = {:?}\n{body}\n",
            control.to_str().unwrap(),
            self.state().to_str().unwrap()
        );
        fs::write(self.config(), text).unwrap();
    }

    pub(crate) fn file(&self, name: &str) -> PathBuf {
        self.0.join(name)
    }

    /// Writes a file, and says where it is.
    pub(crate) fn write(&self, name: &str, text: impl AsRef<[u8]>) -> String {
        fs::write(self.file(name), text).unwrap();
        self.file(name).to_str().unwrap().to_owned()
    }

    pub(crate) fn config(&self) -> PathBuf {
        self.file("portcullis.toml")
    }

    pub(crate) fn control(&self) -> PathBuf {
        self.file("control.sock")
    }

    pub(crate) fn state(&self) -> PathBuf {
        self.file("state.db")
    }

    /// `portcullis WORDS --config …`, run to its end.
    pub(crate) fn run(&self, words: &[&str]) -> Ran {
        let mut command = portcullis();
        command.args(words).arg("--config").arg(self.config());
        finish(command)
    }
}

impl Drop for Home {
    fn drop(&mut self) {
        _ = fs::remove_dir_all(&self.0);
    }
}

/// The program under test.
pub(crate) fn portcullis() -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_portcullis"));
    command.stdin(Stdio::null()).env_remove("PORTCULLIS_LOG");
    command
}

/// A command that came to its end.
#[derive(Debug)]
pub(crate) struct Ran {
    pub(crate) code: Option<i32>,
    pub(crate) out: String,
    pub(crate) err: String,
}

impl Ran {
    /// Its output, which must be JSON.
    pub(crate) fn json(&self) -> Value {
        serde_json::from_str(&self.out).unwrap_or_else(|error| panic!("{error} in {self:?}"))
    }

    /// Fails unless it ended well.
    pub(crate) fn good(self) -> Ran {
        assert_eq!(self.code, Some(0), "{self:?}");
        self
    }

    /// Fails unless it ended with `code` and said each of `words` on standard error.
    pub(crate) fn refused(&self, code: i32, words: &[&str]) {
        assert_eq!(self.code, Some(code), "{self:?}");
        for word in words {
            assert!(self.err.contains(word), "`{word}` is not in: {}", self.err);
        }
        assert!(!self.err.contains("panicked"), "{self:?}");
    }
}

/// Runs a command to its end, or fails.
pub(crate) fn finish(mut command: Command) -> Ran {
    let shown = format!("{command:?}");
    let mut child = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().expect(&shown);
    let out = child.stdout.take().map(gather);
    let err = child.stderr.take().map(gather);
    let ended = wait_until(LONG, || child.try_wait().unwrap());
    if ended.is_none() {
        _ = child.kill();
        _ = child.wait();
    }
    let [out, err] = [out, err].map(|pipe| pipe.unwrap().join().unwrap());
    match ended {
        Some(status) => Ran { code: status.code(), out, err },
        None => panic!("{shown} did not end\n{out}{err}"),
    }
}

fn gather(mut pipe: impl Read + Send + 'static) -> thread::JoinHandle<String> {
    thread::spawn(move || {
        let mut bytes = Vec::new();
        _ = pipe.read_to_end(&mut bytes);
        String::from_utf8_lossy(&bytes).into_owned()
    })
}

/// A running daemon.
#[derive(Debug)]
pub(crate) struct Daemon {
    pub(crate) home: Arc<Home>,
    child: Child,
    said: Said,
    status: Value,
}

type Said = Arc<Mutex<String>>;

impl Daemon {
    /// In a home of its own, with UDP and TCP on any free port of both loopback addresses.
    pub(crate) fn on_loopback(body: &str) -> Daemon {
        Daemon::start(&Home::new(&format!("{LOOPBACK}{body}")))
    }

    pub(crate) fn start(home: &Arc<Home>) -> Daemon {
        Daemon::start_with(home, portcullis(), &[])
    }

    /// By a command that ends in `portcullis`, or is it; returns when the daemon is ready.
    pub(crate) fn start_with(home: &Arc<Home>, mut command: Command, more: &[&str]) -> Daemon {
        command.args(["run", "--config"]).arg(home.config()).args(more);
        let mut child =
            command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().expect("the daemon");
        let said = Said::default();
        listen(child.stdout.take().unwrap(), &said);
        listen(child.stderr.take().unwrap(), &said);
        let home = Arc::clone(home);
        let mut daemon = Daemon { home, child, said, status: Value::Null };
        // The end of the banner: everything before it is said.
        wait_until(SOON, || {
            if let Some(status) = daemon.child.try_wait().unwrap() {
                panic!("the daemon ended: {status}");
            }
            daemon.said().contains("  firewall   ").then_some(())
        })
        .expect("the daemon gets ready");
        daemon.status = daemon.command(&["status", "--json"]).json();
        daemon
    }

    /// Standard output and standard error so far.
    pub(crate) fn said(&self) -> String {
        self.said.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Waits until it says `words`.
    pub(crate) fn wait_to_say(&self, words: &str) {
        eventually(&format!("the daemon says {words:?}"), || self.said().contains(words));
    }

    /// `portcullis WORDS` to this daemon, which must go well.
    pub(crate) fn command(&self, words: &[&str]) -> Ran {
        self.home.run(words).good()
    }

    pub(crate) fn status(&self) -> Value {
        self.command(&["status", "--json"]).json()
    }

    /// Where it takes `protocol` in the family of `like`.
    pub(crate) fn address(&self, protocol: &str, like: IpAddr) -> SocketAddr {
        let listeners = self.status["listeners"].as_array().unwrap();
        let mut addresses = listeners
            .iter()
            .filter(|it| it["protocol"] == protocol)
            .map(|it| it["address"].as_str().unwrap().parse::<SocketAddr>().unwrap());
        addresses.find(|it| it.is_ipv4() == like.is_ipv4()).expect("a listener of the family")
    }

    pub(crate) fn metrics_address(&self) -> SocketAddr {
        let url = self.status["metrics"].as_str().unwrap();
        url.trim_start_matches("http://").trim_end_matches("/metrics").parse().unwrap()
    }

    /// The page of metrics.
    pub(crate) fn metrics(&self) -> String {
        let (status, page) = http_get(self.metrics_address(), "/metrics");
        assert_eq!(status, 200, "{page}");
        page
    }

    /// The sum over all series of `name` that carry `labels`, such as `protocol="udp"`.
    pub(crate) fn metric(&self, name: &str, labels: &str) -> f64 {
        let page = self.metrics();
        page.lines().filter_map(|line| series(line, name, labels)).sum()
    }

    /// Waits until a metric has that value, and says what it is if it never has.
    pub(crate) fn wait_for_metric(&self, name: &str, labels: &str, value: f64) {
        let mut last = f64::NAN;
        let same = wait_until(LONG, || {
            last = self.metric(name, labels);
            (last == value).then_some(())
        });
        assert!(same.is_some(), "{name}{{{labels}}} is {last}, not {value}");
    }

    /// The list of bans.
    pub(crate) fn bans(&self) -> Vec<Value> {
        self.command(&["bans", "--json"]).json().as_array().unwrap().clone()
    }

    /// The offenders in it.
    pub(crate) fn banned(&self) -> Vec<String> {
        self.bans().iter().map(|ban| ban["offender"].as_str().unwrap().to_owned()).collect()
    }

    /// Waits until exactly these are banned.
    pub(crate) fn wait_for_bans(&self, offenders: &[&str]) {
        let mut last = Vec::new();
        let same = wait_until(SOON, || {
            last = self.banned();
            (last == offenders).then_some(())
        });
        assert!(same.is_some(), "banned are {last:?}, not {offenders:?}");
    }

    /// Waits until the store has written all that is decided by now.
    pub(crate) fn wait_until_remembered(&self) {
        // The decider answers when it has handed over what it decided before.
        eventually("all is written", || self.status()["store"]["pending"] == 0);
    }

    /// By thread: how long it waited for a core, ready to run (the kernel's documentation of schedstats).
    pub(crate) fn waits(&self) -> HashMap<OsString, Duration> {
        let tasks = fs::read_dir(format!("/proc/{}/task", self.child.id())).unwrap();
        let waited = |task: fs::DirEntry| {
            let figures = fs::read_to_string(task.path().join("schedstat")).ok()?;
            let waited = figures.split(' ').nth(1)?.parse().ok()?;
            Some((task.file_name(), Duration::from_nanos(waited)))
        };
        tasks.flatten().filter_map(waited).collect()
    }

    pub(crate) fn signal(&self, signal: Signal) {
        kill(Pid::from_raw(self.child.id().cast_signed()), signal).unwrap();
    }

    /// Ends it by `signal` and waits until it is gone.
    pub(crate) fn end(mut self, signal: Signal) -> Ran {
        self.signal(signal);
        let status = wait_until(SOON, || self.child.try_wait().unwrap()).expect("the daemon ends");
        Ran { code: status.code(), out: self.said(), err: String::new() }
    }
}

impl Drop for Daemon {
    fn drop(&mut self) {
        _ = self.child.kill();
        _ = self.child.wait();
        if thread::panicking() {
            eprintln!("--- the daemon said:\n{}---", self.said());
        }
    }
}

fn listen(pipe: impl Read + Send + 'static, said: &Said) {
    let said = Arc::clone(said);
    thread::spawn(move || {
        for line in BufReader::new(pipe).lines().map_while(Result::ok) {
            let mut said = said.lock().unwrap_or_else(PoisonError::into_inner);
            said.push_str(&line);
            said.push('\n');
        }
    });
}

/// The value on a line of the exposition, if it is a series of `name` with these labels.
fn series(line: &str, name: &str, labels: &str) -> Option<f64> {
    let rest = line.strip_prefix(name)?;
    let (found, value) = match rest.strip_prefix('{') {
        Some(rest) => rest.rsplit_once("} ")?,
        None => ("", rest.strip_prefix(' ')?),
    };
    found.contains(labels).then(|| value.trim().parse().unwrap())
}

/// Status and body. HTTP/1.0, so that the body ends with the connection.
pub(crate) fn http_get(at: SocketAddr, path: &str) -> (u16, String) {
    let mut stream = TcpStream::connect_timeout(&at, SOON).unwrap();
    stream.set_read_timeout(Some(SOON)).unwrap();
    write!(stream, "GET {path} HTTP/1.0\r\nHost: {at}\r\n\r\n").unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).unwrap();
    let (head, body) = answer.split_once("\r\n\r\n").expect("an HTTP answer");
    (head.split(' ').nth(1).unwrap().parse().unwrap(), body.to_owned())
}

/// Looks again and again until there is something, or the time is over.
pub(crate) fn wait_until<T>(limit: Duration, mut look: impl FnMut() -> Option<T>) -> Option<T> {
    let deadline = Instant::now() + limit;
    loop {
        if let Some(found) = look() {
            return Some(found);
        }
        if Instant::now() >= deadline {
            return None;
        }
        thread::sleep(Duration::from_millis(2));
    }
}

/// Fails unless it comes true in time.
pub(crate) fn eventually(what: &str, mut look: impl FnMut() -> bool) {
    assert!(wait_until(SOON, || look().then_some(())).is_some(), "in vain: {what}");
}

/// Whether a program is there; for tests that look on with it.
pub(crate) fn on_path(program: &str) -> Option<PathBuf> {
    let folders = ["/usr/sbin", "/usr/bin", "/sbin", "/bin"];
    folders.iter().map(|folder| Path::new(folder).join(program)).find(|path| path.exists())
}

/// A failed log-in at the lab's server, as OpenSSH tells it.
pub(crate) fn failed(offender: impl std::fmt::Display) -> String {
    format!(
        "<38>Nov 22 10:00:00 server sshd[7]: Failed password for root from {offender} port 4242 ssh2"
    )
}

/// UDP and TCP on any free port of both loopback addresses.
pub(crate) const LOOPBACK: &str = r#"
[[listen]]
protocol = "udp"
address = "127.0.0.1:0"
[[listen]]
protocol = "udp"
address = "[::1]:0"
[[listen]]
protocol = "tcp"
address = "127.0.0.1:0"
[[listen]]
protocol = "tcp"
address = "[::1]:0"
[firewall]
backend = "observe"
"#;

/// Both loopback addresses.
pub(crate) const HERE: [IpAddr; 2] =
    [IpAddr::V4(std::net::Ipv4Addr::LOCALHOST), IpAddr::V6(std::net::Ipv6Addr::LOCALHOST)];

/// For what must happen: generous, since nobody waits for it to pass.
pub(crate) const SOON: Duration = Duration::from_secs(20);

/// For what takes work: a hundred thousand lines in a debug build on a busy machine.
pub(crate) const LONG: Duration = Duration::from_secs(60);
