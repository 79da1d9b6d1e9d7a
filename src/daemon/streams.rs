//! TCP listeners and their connections, as tokio tasks. A connection borrows a worker for the time
//! that it takes to go through what it has read, and waits for the decider when that is slow: so
//! TCP pushes back to the sender, and nothing is lost.

use std::io;
use std::net::{IpAddr, SocketAddr};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, TryLockError};
use std::time::{Duration, Instant};

use tokio::net::{TcpListener, TcpStream};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use super::decide::{Batch, Hits};
use super::intake::{Intake, Received, Seldom};
use super::places::{Full, Places};
use crate::input::Senders;
use crate::input::framing::{Deframer, Frame, Limits};
use crate::metrics::Metrics;
use crate::model::{Timestamp, Trust, normal_address};

/// What all TCP listeners share.
pub(super) struct Streams {
    /// One for each thread of the runtime, so that a task always finds a free one.
    pub(super) intakes: Vec<Mutex<Intake>>,
    pub(super) hits: Hits,
    pub(super) metrics: Arc<Metrics>,
    pub(super) senders: Arc<Senders>,
    pub(super) places: Arc<Places>,
    pub(super) complaint: Mutex<Seldom>,
}

impl Streams {
    /// Accepts at `listener` until `stop`.
    pub(super) async fn listen(
        self: Arc<Streams>,
        listener: std::net::TcpListener,
        trust: Trust,
        tasks: TaskTracker,
        stop: CancellationToken,
    ) -> io::Result<()> {
        let listener = TcpListener::from_std(listener)?;
        loop {
            let accepted = tokio::select! {
                () = stop.cancelled() => return Ok(()),
                accepted = listener.accept() => accepted,
            };
            let (stream, peer) = match accepted {
                Ok(accepted) => accepted,
                Err(error) => {
                    self.complain(|count| tracing::error!("accept failed {count} times: {error}"));
                    tokio::time::sleep(Duration::from_millis(100)).await;
                    continue;
                }
            };
            let address = normal_address(peer.ip());
            let heeded = self.senders.trust(address, trust);
            if heeded == Trust::Refuse {
                // Unread, and without a place that somebody else could have.
                self.metrics.refused_sender.add(1);
                continue;
            }
            let place = match self.places.take(address, heeded) {
                Ok(place) => place,
                Err(full) => {
                    self.refuse(peer, full);
                    continue;
                }
            };
            let (streams, stop) = (Arc::clone(&self), stop.clone());
            tasks.spawn(async move {
                streams.metrics.connections.change(1);
                streams.connection(stream, peer, trust, &stop).await;
                streams.metrics.connections.change(-1);
                drop(place);
            });
        }
    }

    fn refuse(&self, peer: SocketAddr, full: Full) {
        match full {
            Full::All => self.metrics.refused_connections.add(1),
            Full::Peer | Full::Unheeded => self.metrics.refused_share.add(1),
        }
        self.complain(|count| {
            tracing::warn!("{count} connections refused, the last from {peer}: {full}");
        });
    }

    /// Reads until the end, or until `stop`: then hits that were found are still handed over, and
    /// the beginning of a line that has not come whole is not taken for one.
    async fn connection(
        &self,
        stream: TcpStream,
        peer: SocketAddr,
        listener: Trust,
        stop: &CancellationToken,
    ) {
        let address = normal_address(peer.ip());
        let mut deframer = Deframer::new(Limits::default());
        let keepalive = socket2::TcpKeepalive::new().with_time(KEEPALIVE);
        // Without it a sender that vanished would hold its place for ever.
        _ = socket2::SockRef::from(&stream).set_tcp_keepalive(&keepalive);
        loop {
            let quiet = tokio::select! {
                () = stop.cancelled() => return,
                quiet = tokio::time::timeout(QUIET, stream.readable()) => quiet,
            };
            let Ok(readable) = quiet else {
                deframer.shrink();
                continue;
            };
            if readable.is_err() {
                return;
            }
            let read = match stream.try_read(deframer.space()) {
                Ok(0) => break,
                Ok(read) => read,
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => continue,
                Err(_) => {
                    // A reset may have cut the last line anywhere.
                    let last = deframer.finish().map(|frame| Frame { truncated: true, ..frame });
                    let batch = self.frames(address, listener, last.into_iter());
                    self.send(batch).await;
                    return;
                }
            };
            let batch = self.frames(address, listener, deframer.filled(read));
            self.send(batch).await;
            if let Some(error) = deframer.error() {
                self.metrics.refused_framing.add(1);
                self.complain(|count| {
                    tracing::warn!("{count} connections closed, the last from {peer}: {error}");
                });
                return;
            }
        }
        let batch = self.frames(address, listener, deframer.finish().into_iter());
        self.send(batch).await;
    }

    /// Lets a worker go through frames.
    fn frames<'a>(
        &self,
        address: IpAddr,
        listener: Trust,
        frames: impl Iterator<Item = Frame<'a>>,
    ) -> Option<Batch> {
        let arrived = Instant::now();
        let now = Timestamp::now();
        let mut intake = self.intake();
        let mut count = 0;
        let received = frames.map(|Frame { bytes, truncated }| {
            count += 1;
            Received { bytes, address, truncated }
        });
        intake.messages(received, listener, now);
        self.metrics.received_tcp.add(count);
        intake.show();
        intake.take(arrived)
    }

    async fn send(&self, batch: Option<Batch>) {
        if let Some(batch) = batch {
            self.hits.send(batch).await;
        }
    }

    fn intake(&self) -> MutexGuard<'_, Intake> {
        for intake in &self.intakes {
            match intake.try_lock() {
                Ok(guard) => return guard,
                Err(TryLockError::Poisoned(poisoned)) => return poisoned.into_inner(),
                Err(TryLockError::WouldBlock) => {}
            }
        }
        self.intakes[0].lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn complain(&self, say: impl FnOnce(u64)) {
        self.complaint.lock().unwrap_or_else(PoisonError::into_inner).complain(say);
    }
}

/// After so long without a byte a connection gives its buffer back.
const QUIET: Duration = Duration::from_secs(30);
const KEEPALIVE: Duration = Duration::from_secs(120);
