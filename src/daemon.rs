//! Wiring only: a [`Plan`] becomes running threads and tasks, and they are stopped in the order of
//! the flow.
//!
//! ```text
//! udp threads ─┐
//!              ├─ hits → decide thread → changes → enforce thread → kernel
//! tcp tasks ───┘            ↑ orders (control), facts (host)
//! ```

mod banner;
mod datagrams;
mod decide;
mod gate;
mod intake;
mod open;
mod status;
mod streams;

use std::sync::{Arc, Mutex};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use tokio::runtime::Runtime;
use tokio::sync::{Semaphore, mpsc, oneshot};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use crate::config::{ConfigError, Plan};
use crate::control::{ClaimError, Claimed, Request, Response, serve as serve_control};
use crate::enforce::nftables::GateError;
use crate::host::{self, HostError};
use crate::input::BindError;
use crate::input::udp::UdpError;
use crate::metrics::{Endpoint, Metrics, Readiness, serve as serve_metrics};
use datagrams::Datagrams;
use decide::{Asked, Batch, Decider, Inputs};
use intake::{Intake, Seldom};
use open::{Enforcement, Sockets};
use status::Facade;
use streams::Streams;

/// Why the daemon cannot run.
#[derive(Debug, thiserror::Error)]
pub enum DaemonError {
    /// The filters do not compile.
    #[error(transparent)]
    Config(#[from] ConfigError),
    /// A socket cannot be had.
    #[error(transparent)]
    Bind(#[from] BindError),
    /// A UDP socket cannot be had, or not with its options.
    #[error(transparent)]
    Udp(#[from] UdpError),
    /// The control socket cannot be had.
    #[error(transparent)]
    Control(#[from] ClaimError),
    /// The firewall refuses, and the configuration insists.
    #[error("firewall: {0}\n  `backend = \"observe\"` decides without enforcing")]
    Gate(#[from] GateError),
    /// The host's own addresses cannot be read; without them nothing may be banned.
    #[error(transparent)]
    Host(#[from] HostError),
    /// A thread panicked. Without it lines or bans would be lost in silence; a service manager
    /// starts us again, and the kernel holds the bans meanwhile.
    #[error("a thread of the daemon ended by itself; what it said stands above")]
    Fallen,
    /// Threads, runtimes, signals.
    #[error("{what}: {why}")]
    System {
        /// What was attempted.
        what: &'static str,
        /// What the system said.
        why: std::io::Error,
    },
}

/// What the operator asks of a run beside its configuration.
#[derive(Clone, Copy, Debug, Default)]
pub struct Options {
    /// Take the table out of the kernel at the end. Otherwise bans stay until their time is over.
    pub flush: bool,
}

/// Runs until SIGTERM or SIGINT.
pub fn run(plan: Plan, options: Options) -> Result<(), DaemonError> {
    raise_descriptor_limit();
    let began = Instant::now();
    let rules = Arc::new(plan.rules()?);
    let compiled = began.elapsed();

    // Before anything is touched: is there a daemon already, and can all ports be had?
    let claimed = Arc::new(Claimed::claim(&plan.control)?);
    let sockets = Sockets::open(&plan)?;
    let enforcement = Enforcement::open(&plan.firewall)?;

    let names: Vec<_> = plan.jails.iter().map(|jail| Arc::clone(&jail.name)).collect();
    let metrics = Metrics::new(&names);
    let runtime = runtime(plan.workers)?;
    let stop = CancellationToken::new();
    let tasks = TaskTracker::new();
    let fallen = CancellationToken::new();

    let (facts_changed, facts_in) = mpsc::channel(1);
    let facts = runtime.block_on(host::follow(facts_changed))?;
    let (described, enforcing) = (enforcement.described, enforcement.enforcing);
    let (gate, gate_thread) =
        gate::start(enforcement.backend, Arc::clone(&metrics), fallen.clone().drop_guard())
            .map_err(|why| DaemonError::System { what: "starting the enforce thread", why })?;
    if options.flush {
        gate.flush_at_end();
    }
    let (orders, orders_in) = mpsc::channel(ORDERS);
    let (hits, hits_in) = mpsc::channel(BATCHES);
    let decider = Decider::new(
        &plan,
        Arc::clone(&rules),
        &facts,
        &enforcement.held,
        gate,
        Arc::clone(&metrics),
    );
    let inputs = Inputs { hits: hits_in, orders: orders_in, facts: facts_in };
    let standing = fallen.clone().drop_guard();
    let decide_thread = thread("decide", move || {
        let _standing = standing;
        if let Err(error) = decider.run(inputs) {
            tracing::error!("the decide thread cannot run: {error}");
        }
    })?;

    let parts =
        Parts { plan: &plan, rules: &rules, metrics: &metrics, hits, stop: &stop, fallen: &fallen };
    let facade = Arc::new(Facade::new(&plan, &rules, &sockets, enforcing, &described, &metrics));
    let readiness = Readiness::default();
    let endpoint = Endpoint { metrics: Arc::clone(&metrics), readiness: readiness.clone() };
    let listening = banner::listening(&plan, &sockets);
    let Sockets { datagrams, streams, metrics: metrics_listener, .. } = sockets;
    let metrics_address = metrics_listener.local_addr().unwrap_or(plan.metrics);
    let guard = runtime.enter();
    tasks.spawn(serve_metrics(metrics_listener, endpoint, stop.clone()));
    tasks.spawn(serve_control(
        Arc::clone(&claimed),
        move |request| answer(request, Arc::clone(&facade), orders.clone()),
        stop.clone(),
    ));
    parts.streams(streams, &tasks);
    let udp_threads = parts.datagrams(datagrams)?;
    drop(parts);
    drop(guard);

    readiness.set(true);
    banner::print(&banner::Facts {
        listening: &listening,
        metrics: metrics_address,
        control: &plan.control,
        rules: &rules,
        compiled,
        jails: plan.jails.len(),
        origin: &plan.origin,
        enforcement: &described,
    });
    let waited = runtime.block_on(async {
        tokio::select! {
            signalled = signalled() => signalled
                .map_err(|why| DaemonError::System { what: "waiting for signals", why }),
            () = fallen.cancelled() => Err(DaemonError::Fallen),
        }
    });
    readiness.set(false);

    // In the order of the flow: inputs, then the decider when the last of them is gone, then the
    // gate when the decider is.
    tracing::info!("stopping");
    stop.cancel();
    tasks.close();
    runtime.block_on(async {
        if tokio::time::timeout(DEADLINE, tasks.wait()).await.is_err() {
            tracing::warn!("some connections did not end in time");
        }
    });
    for (what, thread) in udp_threads
        .into_iter()
        .map(|thread| ("a UDP thread", thread))
        .chain([("the decide thread", decide_thread), ("the enforce thread", gate_thread)])
    {
        join(what, thread);
    }
    runtime.shutdown_timeout(DEADLINE);
    waited
}

/// What the inputs are started with.
struct Parts<'a> {
    plan: &'a Plan,
    rules: &'a Arc<crate::pipeline::Rules>,
    metrics: &'a Arc<Metrics>,
    hits: mpsc::Sender<Batch>,
    stop: &'a CancellationToken,
    /// Cancelled when a thread ends, by itself or because it was told to.
    fallen: &'a CancellationToken,
}

impl Parts<'_> {
    fn intake(&self) -> Intake {
        let senders = Arc::new(self.plan.senders.clone());
        Intake::new(self.rules, &senders, self.metrics)
    }

    fn datagrams(&self, opened: Vec<open::Datagram>) -> Result<Vec<JoinHandle<()>>, DaemonError> {
        let mut threads = Vec::new();
        for open::Datagram { listener, receivers } in opened {
            let address = receivers.first().map(|it| it.local_address());
            let shown = address.unwrap_or(listener.address).to_string();
            let dropped = self.metrics.kernel_dropped(&format!("udp {shown}"));
            for receiver in receivers {
                let datagrams = Datagrams {
                    receiver,
                    trust: listener.trust,
                    intake: self.intake(),
                    hits: self.hits.clone(),
                    metrics: Arc::clone(self.metrics),
                    dropped: dropped.clone(),
                };
                let name = format!("ingest-{}", threads.len());
                let started =
                    datagrams.start(name, self.stop.clone(), self.fallen.clone().drop_guard());
                threads.push(
                    started.map_err(|why| DaemonError::System {
                        what: "starting a UDP thread",
                        why,
                    })?,
                );
            }
        }
        Ok(threads)
    }

    fn streams(&self, opened: Vec<open::Stream>, tasks: &TaskTracker) {
        let streams = Arc::new(Streams {
            intakes: (0..runtime_threads(self.plan.workers))
                .map(|_| Mutex::new(self.intake()))
                .collect(),
            hits: self.hits.clone(),
            metrics: Arc::clone(self.metrics),
            places: Arc::new(Semaphore::new(streams::MOST_CONNECTIONS)),
            complaint: Mutex::new(Seldom::default()),
        });
        for open::Stream { listener, socket } in opened {
            let streams = Arc::clone(&streams);
            tasks.spawn(streams.listen(socket, listener.trust, tasks.clone(), self.stop.clone()));
        }
    }
}

/// Answers an order: `status` from the figures, everything else by the decider.
async fn answer(request: Request, facade: Arc<Facade>, orders: mpsc::Sender<Asked>) -> Response {
    if matches!(request, Request::Status) {
        let (bans, wanted) = oneshot::channel();
        if orders.send((Request::Bans { target: None }, bans)).await.is_err() {
            return Response::Error(STOPPING.to_owned());
        }
        return match wanted.await {
            Ok(Response::Bans(bans)) => Response::Status(Box::new(facade.status(&bans))),
            _ => Response::Error(STOPPING.to_owned()),
        };
    }
    let (reply, answered) = oneshot::channel();
    if orders.send((request, reply)).await.is_err() {
        return Response::Error(STOPPING.to_owned());
    }
    answered.await.unwrap_or_else(|_| Response::Error(STOPPING.to_owned()))
}

fn runtime(workers: usize) -> Result<Runtime, DaemonError> {
    tokio::runtime::Builder::new_multi_thread()
        .worker_threads(runtime_threads(workers))
        .thread_name("streams")
        .enable_all()
        .build()
        .map_err(|why| DaemonError::System { what: "starting the runtime", why })
}

/// Two at least, so that metrics and control answer while one goes through a read.
fn runtime_threads(workers: usize) -> usize {
    workers.max(2)
}

fn thread(
    name: &'static str,
    run: impl FnOnce() + Send + 'static,
) -> Result<JoinHandle<()>, DaemonError> {
    std::thread::Builder::new()
        .name(name.into())
        .spawn(run)
        .map_err(|why| DaemonError::System { what: "starting a thread", why })
}

/// A shell gives 1024 descriptors (systemd as well, softly): with every place for a connection
/// taken there would be none for metrics and control.
fn raise_descriptor_limit() {
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
            streams::MOST_CONNECTIONS
        ),
        Err(error) => tracing::warn!("cannot raise RLIMIT_NOFILE: {error}"),
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

/// Orders that wait; a client waits with them.
const ORDERS: usize = 64;

/// Batches of hits that wait. UDP counts what does not fit, streams wait.
const BATCHES: usize = 4_096;

/// All connections, and as much again for sockets of every worker, metrics, control and netlink.
const DESCRIPTORS: u64 = 2 * streams::MOST_CONNECTIONS as u64;

const DEADLINE: Duration = Duration::from_secs(5);
const STOPPING: &str = "the daemon is stopping";
