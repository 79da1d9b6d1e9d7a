//! A beat of small datagrams through the gateway, to learn to a fraction of a millisecond when it
//! stopped letting them pass.
//!
//! One thread sends numbered datagrams from one host, another receives them at the other host; both
//! read the same clock. Knows nothing of bans: it only sees packets arrive or not.

use std::io;
use std::net::{IpAddr, SocketAddr, UdpSocket};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use super::Host;

/// A running beat. It stops when dropped, or by itself after a minute or so.
#[derive(Debug)]
pub struct Beat {
    shared: Arc<Shared>,
    threads: Vec<JoinHandle<()>>,
}

/// The moment from which on nothing arrived.
#[derive(Clone, Copy, Debug)]
pub struct Silence {
    /// When the first datagram that was lost had left: packets were dropped by then.
    pub since: Instant,
    /// How many arrived before.
    pub arrived: usize,
    /// How many were lost until the silence was noticed.
    pub lost: usize,
}

impl Beat {
    /// Starts beating from the address `source` of `from` to the address of `to` of that family,
    /// and returns when the first datagram has arrived: silence later is then a change.
    pub fn start(from: &Host, source: IpAddr, to: &Host, limit: Duration) -> io::Result<Beat> {
        let sink_address = to.addresses().like(source);
        let sink = to.run(move || UdpSocket::bind((sink_address, 0)))?;
        let target = sink.local_addr()?;
        let drum = from.run(move || UdpSocket::bind((source, 0)))?;
        sink.set_read_timeout(Some(QUIET))?;
        let shared = Arc::new(Shared::default());
        let threads = vec![
            thread::spawn({
                let shared = Arc::clone(&shared);
                move || shared.send(&drum, target)
            }),
            thread::spawn({
                let shared = Arc::clone(&shared);
                move || shared.receive(&sink)
            }),
        ];
        let beat = Beat { shared, threads };
        let arrived = || beat.shared.arrived.load(Ordering::Acquire) > 0;
        if until(limit, arrived) { Ok(beat) } else { Err(io::ErrorKind::TimedOut.into()) }
    }

    /// Waits until nothing arrives any more though datagrams are sent.
    pub fn silence(&self, limit: Duration) -> Option<Silence> {
        let quiet = || self.shared.quiet.load(Ordering::Acquire);
        if !until(limit, quiet) {
            return None;
        }
        let sent = self.shared.sent();
        let arrived = self.shared.arrived.load(Ordering::Acquire);
        // The first lost is the one after the last that arrived.
        let since = *sent.get(arrived)?;
        Some(Silence { since, arrived, lost: sent.len().saturating_sub(arrived) })
    }
}

impl Drop for Beat {
    fn drop(&mut self) {
        self.shared.stop.store(true, Ordering::Relaxed);
        for thread in self.threads.drain(..) {
            let _ = thread.join();
        }
    }
}

#[derive(Debug, Default)]
struct Shared {
    /// When each datagram was sent, by its number.
    sent: Mutex<Vec<Instant>>,
    /// One more than the highest number that arrived.
    arrived: AtomicUsize,
    /// The sink's buffer was empty for [`QUIET`] while [`MANY`] were sent.
    quiet: AtomicBool,
    stop: AtomicBool,
}

impl Shared {
    fn send(&self, drum: &UdpSocket, target: SocketAddr) {
        for number in 0..MOST {
            if self.stop.load(Ordering::Relaxed) {
                return;
            }
            // An ICMP error about an earlier one is reported here: it is no reason to stop.
            let _ = drum.send_to(&number.to_be_bytes(), target);
            // Stamped after it is gone: the moment of silence may be told late, never early.
            self.sent().push(Instant::now());
            thread::sleep(BEAT);
        }
    }

    fn receive(&self, sink: &UdpSocket) {
        while !self.stop.load(Ordering::Relaxed) {
            let mut number = [0; size_of::<usize>()];
            match sink.recv(&mut number) {
                Ok(_) => {
                    self.arrived.fetch_max(usize::from_be_bytes(number) + 1, Ordering::AcqRel);
                    self.quiet.store(false, Ordering::Release);
                }
                Err(_) => {
                    let arrived = self.arrived.load(Ordering::Acquire);
                    let lost = self.sent().len().saturating_sub(arrived);
                    self.quiet.store(lost >= MANY, Ordering::Release);
                }
            }
        }
    }

    fn sent(&self) -> std::sync::MutexGuard<'_, Vec<Instant>> {
        self.sent.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Looks again and again until `done`, or until `limit` is over: whether it was done.
fn until(limit: Duration, done: impl Fn() -> bool) -> bool {
    let deadline = Instant::now() + limit;
    while !done() {
        if Instant::now() >= deadline {
            return false;
        }
        thread::sleep(Duration::from_millis(1));
    }
    true
}

/// Between two datagrams; the kernel adds some 50 µs.
const BEAT: Duration = Duration::from_micros(100);

/// So long nothing must arrive ...
const QUIET: Duration = Duration::from_millis(40);

/// ... while so many are sent, before it counts as silence.
const MANY: usize = 50;

const MOST: usize = 400_000;
