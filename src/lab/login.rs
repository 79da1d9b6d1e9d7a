//! The login service of the lab: a stand-in for sshd, in a few lines of text over TCP.
//!
//! It speaks no SSH: `login:`, `password:`, a verdict, then an echo. What is real is what it
//! reports: for every try one RFC 3164 datagram, in the words of OpenSSH, sent over UDP before the
//! visitor hears the verdict. Knows nothing of who reads the datagrams.

use std::collections::HashMap;
use std::io::{self, BufRead, BufReader, Read, Write};
use std::net::{IpAddr, Shutdown, SocketAddr, TcpListener, TcpStream, UdpSocket};
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::sync::{Arc, Mutex, PoisonError, mpsc};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use chrono::Local;
use socket2::SockRef;

use super::{Host, LabError};

/// The running service. Dropping it closes every connection and waits for its threads.
#[derive(Debug)]
pub struct Service {
    shared: Arc<Shared>,
    listeners: Vec<(TcpListener, JoinHandle<()>)>,
    reports: mpsc::Receiver<Report>,
    port: u16,
    host: super::Addresses,
}

/// A datagram that the service sent.
#[derive(Clone, Debug)]
pub struct Report {
    /// Just before it was handed to the kernel.
    pub at: Instant,
    /// The whole message.
    pub line: String,
    /// Whether it tells of a failure.
    pub failure: bool,
}

impl Service {
    /// Listens on both addresses of `host`. Tries over IPv4 are reported to `collectors[0]`, over
    /// IPv6 to `collectors[1]`, each from the host's address of the same family.
    pub fn start(host: &Host, port: u16, collectors: [SocketAddr; 2]) -> Result<Service, LabError> {
        let addresses = host.addresses();
        let (observer, reports) = mpsc::sync_channel(MAX_REPORTS);
        host.run(move || {
            let shared = Arc::new(Shared {
                syslog: [UdpSocket::bind((addresses.v4, 0))?, UdpSocket::bind((addresses.v6, 0))?],
                collectors,
                observer,
                visitors: Mutex::default(),
                next: AtomicU32::new(FIRST_PID),
                closing: AtomicBool::new(false),
            });
            let mut listeners = Vec::new();
            for address in addresses.both() {
                let listener = TcpListener::bind((address, port))?;
                let (ours, shared) = (listener.try_clone()?, Arc::clone(&shared));
                listeners.push((ours, thread::spawn(move || shared.accept(&listener))));
            }
            Ok(Service { shared, listeners, reports, port, host: addresses })
        })
        .map_err(|source| LabError::System { what: "start the login service", source })
    }

    /// Where a visitor with the address `from` finds it.
    pub fn address_for(&self, from: IpAddr) -> SocketAddr {
        (self.host.like(from), self.port).into()
    }

    /// The next datagram that was sent, oldest first. A thousand are kept for whoever asks; what
    /// comes on top is sent all the same, but not told here.
    pub fn next_report(&self, timeout: Duration) -> Option<Report> {
        self.reports.recv_timeout(timeout).ok()
    }
}

impl Drop for Service {
    fn drop(&mut self) {
        self.shared.closing.store(true, Ordering::Relaxed);
        for (listener, thread) in self.listeners.drain(..) {
            // Wakes accept(2) with EINVAL.
            let _ = SockRef::from(&listener).shutdown(Shutdown::Both);
            let _ = thread.join();
        }
        let visitors = std::mem::take(&mut *self.shared.visitors());
        for (stream, thread) in visitors.into_values() {
            let _ = stream.shutdown(Shutdown::Both);
            let _ = thread.join();
        }
    }
}

#[derive(Debug)]
struct Shared {
    syslog: [UdpSocket; 2],
    collectors: [SocketAddr; 2],
    observer: mpsc::SyncSender<Report>,
    visitors: Mutex<HashMap<u32, (TcpStream, JoinHandle<()>)>>,
    next: AtomicU32,
    closing: AtomicBool,
}

impl Shared {
    fn accept(self: &Arc<Self>, listener: &TcpListener) {
        while let Ok((stream, peer)) = listener.accept() {
            let mut visitors = self.visitors();
            visitors.retain(|_, (_, thread)| !thread.is_finished());
            if self.closing.load(Ordering::Relaxed) || visitors.len() >= MAX_VISITORS {
                continue;
            }
            let Ok(ours) = stream.try_clone() else { continue };
            let pid = self.next.fetch_add(1, Ordering::Relaxed);
            let shared = Arc::clone(self);
            let thread = thread::spawn(move || {
                // A visitor who breaks off is no event here.
                let _ = shared.serve(stream, peer, pid);
            });
            visitors.insert(pid, (ours, thread));
        }
    }

    fn serve(&self, mut stream: TcpStream, peer: SocketAddr, pid: u32) -> io::Result<()> {
        stream.set_nodelay(true)?;
        let mut lines = BufReader::new(stream.try_clone()?);
        let user = ask(&mut stream, &mut lines, LOGIN)?;
        let password = ask(&mut stream, &mut lines, PASSWORD)?;
        let known = USERS.iter().any(|name| *name == user);
        let pass = user == GOOD_USER && password == GOOD_PASSWORD;
        let (verdict, invalid) = match (pass, known) {
            (true, _) => ("Accepted", ""),
            (false, true) => ("Failed", ""),
            (false, false) => ("Failed", "invalid user "),
        };
        let (address, port) = (peer.ip(), peer.port());
        self.report(
            &format!("sshd[{pid}]: {verdict} password for {invalid}{user} from {address} port {port} ssh2"),
            peer,
            !pass,
        );
        if !pass {
            return stream.write_all(DENIED.as_bytes());
        }
        stream.write_all(WELCOME.as_bytes())?;
        loop {
            let line = hear(&mut lines)?;
            stream.write_all(format!("{line}\n").as_bytes())?;
        }
    }

    /// Facility auth (4), severity informational (6): RFC 3164 section 4.1.1.
    fn report(&self, text: &str, peer: SocketAddr, failure: bool) {
        let stamp = Local::now().format("%b %e %H:%M:%S");
        let line = format!("<38>{stamp} server {text}");
        let family = usize::from(peer.is_ipv6());
        let at = Instant::now();
        if self.syslog[family].send_to(line.as_bytes(), self.collectors[family]).is_ok() {
            let _ = self.observer.try_send(Report { at, line, failure });
        }
    }

    fn visitors(&self) -> std::sync::MutexGuard<'_, HashMap<u32, (TcpStream, JoinHandle<()>)>> {
        self.visitors.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn ask(to: &mut TcpStream, from: &mut BufReader<TcpStream>, prompt: &str) -> io::Result<String> {
    to.write_all(prompt.as_bytes())?;
    hear(from)
}

/// One line, without its end and without what would not be in a log.
fn hear(from: &mut BufReader<TcpStream>) -> io::Result<String> {
    let mut line = Vec::new();
    from.by_ref().take(MAX_LINE).read_until(b'\n', &mut line)?;
    if line.pop() != Some(b'\n') {
        return Err(io::ErrorKind::UnexpectedEof.into());
    }
    Ok(String::from_utf8_lossy(&line).chars().filter(|c| !c.is_control()).collect())
}

/// The only user who can log in.
pub const GOOD_USER: &str = "alice";

/// The password of [`GOOD_USER`].
pub const GOOD_PASSWORD: &str = "correct";

pub(super) const LOGIN: &str = "login: ";
pub(super) const PASSWORD: &str = "password: ";
pub(super) const DENIED: &str = "denied\n";
pub(super) const WELCOME: &str = "welcome\n";

/// Others are reported as `invalid user`, as OpenSSH does.
const USERS: [&str; 2] = [GOOD_USER, "root"];

const FIRST_PID: u32 = 4001;

/// A visitor above is hung up on.
const MAX_VISITORS: usize = 256;

/// A longer line ends the connection.
const MAX_LINE: u64 = 512;

const MAX_REPORTS: usize = 1024;
