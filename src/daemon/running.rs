//! A daemon that runs: waiting for a reason to stop, and stopping in the order of the flow.

use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use tokio::runtime::Runtime;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use super::{DaemonError, places, system};
use crate::metrics::Readiness;

/// Everything that was started.
pub(super) struct Running {
    pub(super) runtime: Runtime,
    pub(super) tasks: TaskTracker,
    pub(super) stop: CancellationToken,
    /// Cancelled when a thread ends, by itself or because it was told to.
    pub(super) fallen: CancellationToken,
    pub(super) readiness: Readiness,
    pub(super) udp: Vec<JoinHandle<()>>,
    pub(super) decide: JoinHandle<()>,
    pub(super) enforce: JoinHandle<()>,
    /// None when nothing is remembered.
    pub(super) store: Option<JoinHandle<()>>,
}

impl Running {
    /// Waits for a signal; an error when a thread fell before.
    pub(super) fn wait(&self) -> Result<(), DaemonError> {
        self.runtime.block_on(async {
            tokio::select! {
                signalled = signalled() => signalled.map_err(system("waiting for signals")),
                () = self.fallen.cancelled() => Err(DaemonError::Fallen),
            }
        })
    }

    /// Stops: inputs, then the decider when the last of them is gone, then the gate when the
    /// decider is.
    pub(super) fn stop(self) {
        tracing::info!("stopping");
        self.readiness.set(false);
        self.stop.cancel();
        self.tasks.close();
        self.runtime.block_on(async {
            if tokio::time::timeout(DEADLINE, self.tasks.wait()).await.is_err() {
                tracing::warn!("some connections did not end in time");
            }
        });
        let udp = self.udp.into_iter().map(|thread| ("a UDP thread", thread));
        let others = [("the decide thread", self.decide), ("the enforce thread", self.enforce)];
        let store = self.store.map(|thread| ("the store thread", thread));
        for (what, thread) in udp.chain(others).chain(store) {
            join(what, thread);
        }
        self.runtime.shutdown_timeout(DEADLINE);
    }
}

/// SIGTERM or SIGINT; SIGHUP is answered with what to do instead.
async fn signalled() -> std::io::Result<()> {
    use tokio::signal::unix::{SignalKind, signal};
    let mut terminate = signal(SignalKind::terminate())?;
    let mut interrupt = signal(SignalKind::interrupt())?;
    let mut hangup = signal(SignalKind::hangup())?;
    loop {
        tokio::select! {
            _ = terminate.recv() => return Ok(()),
            _ = interrupt.recv() => return Ok(()),
            // Whoever closes a terminal or asks for a reload must not stop the gate.
            _ = hangup.recv() => tracing::warn!(
                "SIGHUP: the configuration is read at the start only; restart to change it, bans stay"
            ),
        }
    }
}

fn join(what: &str, thread: JoinHandle<()>) {
    let end = Instant::now() + DEADLINE;
    while !thread.is_finished() {
        if Instant::now() >= end {
            tracing::error!("{what} did not end in time; leaving without it");
            return;
        }
        std::thread::sleep(Duration::from_millis(2));
    }
    if thread.join().is_err() {
        tracing::error!("{what} had panicked");
    }
}

/// A shell gives 1024 descriptors (systemd as well, softly): with every place for a connection
/// taken there would be none for metrics and control.
pub(super) fn raise_descriptor_limit() {
    use nix::sys::resource::{Resource, getrlimit, setrlimit};
    let raised = getrlimit(Resource::RLIMIT_NOFILE).and_then(|(soft, hard)| {
        if soft >= DESCRIPTORS {
            return Ok(soft);
        }
        let wanted = hard.min(DESCRIPTORS);
        setrlimit(Resource::RLIMIT_NOFILE, wanted, hard).map(|()| wanted)
    });
    match raised {
        Ok(limit) if limit >= DESCRIPTORS => {}
        Ok(limit) => tracing::warn!(
            "only {limit} open files are allowed (RLIMIT_NOFILE); {DESCRIPTORS} are needed when \
             all {} connections are open",
            places::MOST
        ),
        Err(error) => tracing::warn!("cannot raise RLIMIT_NOFILE: {error}"),
    }
}

/// All connections, and as much again for sockets of every worker, metrics, control and netlink.
const DESCRIPTORS: u64 = 2 * places::MOST as u64;

const DEADLINE: Duration = Duration::from_secs(5);
