//! A host of the lab: a thread in a network namespace of its own that runs the jobs sent to it.
//!
//! Sockets stay in the namespace they were made in and threads start in the namespace of the thread
//! that spawned them: a job may return a socket, or leave threads behind.

use std::fs::File;
use std::io;
use std::net::{IpAddr, SocketAddr, UdpSocket};
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::process::{Child, Command};
use std::sync::mpsc;
use std::thread::{self, JoinHandle};
use std::time::Duration;

use nix::sched::{CloneFlags, unshare};

use super::visit::{self, Connection, Outcome};
use super::{Addresses, LabError};

/// A host. Dropping it ends its thread, once the job in hand is done.
#[derive(Debug)]
pub struct Host {
    name: String,
    addresses: Addresses,
    jobs: Option<mpsc::Sender<Job>>,
    thread: Option<JoinHandle<()>>,
}

/// What became of a TCP connection that was tried.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Probe {
    /// It was accepted.
    Open,
    /// It was answered with a reset or an ICMP error.
    Refused,
    /// Nothing came back in time.
    NoAnswer,
}

impl Host {
    /// Starts the thread in a new namespace, and hands out that namespace for the wire.
    pub(super) fn start(name: &str, addresses: Addresses) -> Result<(Host, File), LabError> {
        let (jobs, inbox) = mpsc::channel::<Job>();
        let (ready, started) = mpsc::sync_channel(1);
        let thread = thread::Builder::new()
            .name(format!("lab-{name}"))
            .spawn(move || {
                let entered = new_namespace();
                let go = entered.is_ok();
                let _ = ready.send(entered);
                if go {
                    inbox.into_iter().for_each(|job| job());
                }
            })
            .map_err(|source| LabError::System { what: "start the thread of a host", source })?;
        let namespace = started.recv().unwrap_or_else(|_| Err(io::ErrorKind::BrokenPipe.into()));
        let host = Host { name: name.into(), addresses, jobs: Some(jobs), thread: Some(thread) };
        match namespace {
            Ok(namespace) => Ok((host, namespace)),
            Err(source) => Err(LabError::System { what: "make the namespace of a host", source }),
        }
    }

    /// The name, which is also that of the gateway's interface towards it.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Its first addresses.
    pub fn addresses(&self) -> Addresses {
        self.addresses
    }

    /// Runs `job` in the host's namespace and waits for its result. Jobs of one host run one after
    /// the other. A panic in the job is a panic here: tests assert inside.
    pub fn run<T: Send + 'static>(&self, job: impl FnOnce() -> T + Send + 'static) -> T {
        let (back, result) = mpsc::sync_channel(1);
        let job = Box::new(move || {
            let _ = back.send(catch_unwind(AssertUnwindSafe(job)));
        });
        let jobs = self.jobs.as_ref().expect("jobs are taken only by drop");
        jobs.send(job).expect("the thread lives as long as the host");
        match result.recv().expect("every job answers") {
            Ok(value) => value,
            Err(panic) => resume_unwind(panic),
        }
    }

    /// Starts a process in the host's namespace. The caller ends it.
    pub fn spawn(&self, mut command: Command) -> io::Result<Child> {
        self.run(move || command.spawn())
    }

    /// Sends one datagram, from the host's first address of the family.
    pub fn udp_send(&self, bytes: &[u8], to: SocketAddr) -> io::Result<()> {
        self.udp_send_from(self.addresses.like(to.ip()), bytes, to)
    }

    /// Sends one datagram from `from`, which the host must own.
    pub fn udp_send_from(&self, from: IpAddr, bytes: &[u8], to: SocketAddr) -> io::Result<()> {
        let bytes = bytes.to_vec();
        self.run(move || UdpSocket::bind((from, 0))?.send_to(&bytes, to).map(drop))
    }

    /// Tries to open a TCP connection and closes it again.
    pub fn tcp_probe(&self, to: SocketAddr, timeout: Duration) -> io::Result<Probe> {
        let from = self.addresses.like(to.ip());
        self.run(move || visit::probe(from, to, timeout))
    }

    /// One try to log in at the [service](super::login), from the first address of the family.
    pub fn attempt(
        &self,
        to: SocketAddr,
        user: &str,
        password: &str,
        timeout: Duration,
    ) -> io::Result<Outcome> {
        let from = self.addresses.like(to.ip());
        let (user, password) = (user.to_owned(), password.to_owned());
        self.run(move || visit::attempt(from, to, &user, &password, timeout))
    }

    /// Opens a connection to the [service](super::login) and leaves it at the prompt.
    pub fn connect(&self, to: SocketAddr, timeout: Duration) -> io::Result<Connection> {
        let from = self.addresses.like(to.ip());
        self.run(move || Connection::open(from, to, timeout))
    }
}

impl Drop for Host {
    fn drop(&mut self) {
        drop(self.jobs.take());
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

type Job = Box<dyn FnOnce() + Send>;

/// Leaves for a new namespace and opens a handle to it (namespaces(7): /proc/self/ns is that of the
/// process' first thread, hence `thread-self`).
fn new_namespace() -> io::Result<File> {
    unshare(CloneFlags::CLONE_NEWNET)?;
    File::open("/proc/thread-self/ns/net")
}
