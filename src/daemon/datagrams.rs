//! A UDP thread: its own socket, its own worker, until told to stop.

use std::sync::Arc;
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use tokio_util::sync::{CancellationToken, DropGuard};

use super::decide::Hits;
use super::intake::{Intake, Received, Seldom};
use crate::input::udp::{Datagram, Receiver};
use crate::metrics::{Metrics, Tally};
use crate::model::{Timestamp, Trust};

/// One thread's share of a UDP listener.
pub(super) struct Datagrams {
    pub(super) receiver: Receiver,
    pub(super) trust: Trust,
    pub(super) intake: Intake,
    pub(super) hits: Hits,
    pub(super) metrics: Arc<Metrics>,
    /// What the kernel dropped at this listener, over all its threads.
    pub(super) dropped: Tally,
}

impl Datagrams {
    /// Starts the thread.
    pub(super) fn start(
        self,
        name: String,
        stop: CancellationToken,
        standing: DropGuard,
    ) -> std::io::Result<JoinHandle<()>> {
        std::thread::Builder::new().name(name).spawn(move || {
            let _standing = standing;
            self.run(&stop);
        })
    }

    fn run(mut self, stop: &CancellationToken) {
        let mut known_drops = 0;
        let mut looked = Instant::now();
        let mut complaint = (Seldom::default(), Seldom::default(), Seldom::default());
        while !stop.is_cancelled() {
            let came = self.receive(WAIT, &mut complaint.0);
            if came == 0 || looked.elapsed() >= LOOK_EVERY {
                looked = Instant::now();
                match self.receiver.kernel_dropped() {
                    Ok(total) if total > known_drops => {
                        let news = total - known_drops;
                        self.dropped.add(news);
                        known_drops = total;
                        let address = self.receiver.local_address();
                        complaint.1.complain(|_| {
                            tracing::warn!(
                                "udp {address}: the kernel dropped {news} datagrams before they \
                                 were fetched ({total} in all)"
                            );
                        });
                    }
                    Ok(_) => {}
                    Err(error) => complaint.2.complain(|_| tracing::error!("{error}")),
                }
            }
        }
        self.drain(&mut complaint.0);
    }

    /// What the socket's buffer holds at the end: who sent it has no reason to send it again. No more than it
    /// can hold, and not for long, because more may be coming.
    fn drain(&mut self, complaint: &mut Seldom) {
        let end = Instant::now() + DRAIN;
        let mut left = self.receiver.receive_buffer() / LEAST_IN_BUFFER;
        while left > 0 && Instant::now() < end {
            let came = self.receive(Duration::ZERO, complaint);
            if came == 0 {
                return;
            }
            left = left.saturating_sub(came);
        }
    }

    /// One system call's worth of datagrams; how many.
    fn receive(&mut self, wait: Duration, complaint: &mut Seldom) -> usize {
        let count = self.receiver.receive(wait).unwrap_or_else(|error| {
            complaint.complain(|_| tracing::error!("{error}"));
            std::thread::sleep(AFTER_FAILURE);
            0
        });
        if count == 0 {
            return 0;
        }
        let (now, arrived) = (Timestamp::now(), Instant::now());
        let received = self.receiver.datagrams().filter_map(|datagram| {
            let Datagram { bytes, sender, truncated } = datagram;
            let address = sender.ip();
            if bytes.is_empty() {
                self.metrics.refused_empty.add(1);
                complaint.complain(|count| {
                    tracing::warn!("{count} empty datagrams, the last from {address}");
                });
                return None;
            }
            Some(Received { bytes, address, truncated })
        });
        self.intake.messages(received, self.trust, now);
        // First of all: somebody may have to be banned.
        self.send(arrived);
        self.metrics.received_udp.add(count as u64);
        self.intake.show();
        count
    }

    /// Never waits: a slow decider must not cost datagrams. What does not fit is counted.
    fn send(&mut self, arrived: Instant) {
        let Some(batch) = self.intake.take(arrived) else { return };
        let count = (batch.hits.len() + batch.told.len()) as u64;
        if self.hits.try_send(batch).is_err() {
            self.metrics.hits_lost.add(count);
        }
    }
}

/// Goes on after a stop for so long at most.
const DRAIN: Duration = Duration::from_secs(2);
/// A datagram is charged to the buffer with its `sk_buff` (net/core/sock.c, `truesize`), and the buffer is
/// twice what was asked for.
const LEAST_IN_BUFFER: usize = 256;
/// So long at most until a stop is noticed.
const WAIT: Duration = Duration::from_millis(100);
const LOOK_EVERY: Duration = Duration::from_millis(500);
const AFTER_FAILURE: Duration = Duration::from_millis(50);
