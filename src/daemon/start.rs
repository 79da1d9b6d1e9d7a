//! A plan with its sockets becomes threads and tasks: gate first, then the decider, inputs last.

use std::sync::{Arc, Mutex};
use std::thread::JoinHandle;

use tokio::runtime::Runtime;
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use super::datagrams::Datagrams;
use super::decide::{Before, Decider, Hits, Inputs, Known};
use super::intake::{Intake, Seldom};
use super::open::{self, Enforcement, Sockets};
use super::orders::answer;
use super::running::Running;
use super::status::Facade;
use super::streams::Streams;
use super::{DaemonError, Options, gate, never, system};
use crate::config::Plan;
use crate::control::{Claimed, serve as serve_control};
use crate::host;
use crate::metrics::{Endpoint, Metrics, Readiness, serve as serve_metrics};
use crate::pipeline::Rules;
use crate::store;

/// What could be refused, and was not.
pub(super) struct Opened {
    pub(super) claimed: Claimed,
    pub(super) sockets: Sockets,
    pub(super) enforcement: Enforcement,
    pub(super) memory: store::Opened,
}

/// Starts everything.
pub(super) fn start(
    plan: &Plan,
    rules: &Arc<Rules>,
    opened: Opened,
    options: Options,
) -> Result<Running, DaemonError> {
    let Opened { claimed, sockets, enforcement, mut memory } = opened;
    let Enforcement { backend, held, enforcing, described } = enforcement;
    let names: Vec<_> = plan.jails.iter().map(|jail| Arc::clone(jail.name())).collect();
    let metrics = Metrics::new(&names);
    metrics.jails_skipped.set(plan.skipped.len());
    for skipped in &plan.skipped {
        tracing::error!(jail = %skipped.jail, "does not run: {}", skipped.why);
    }
    let runtime = runtime(plan.workers)?;
    let (stop, fallen) = (CancellationToken::new(), CancellationToken::new());
    let tasks = TaskTracker::new();

    let readiness = Readiness::default();
    let standing = fallen.clone().drop_guard();
    let (gate, enforce) = gate::start(backend, Arc::clone(&metrics), readiness.clone(), standing)
        .map_err(system("starting the enforce thread"))?;
    if options.flush {
        gate.flush_at_end();
    }

    let restored = std::mem::take(&mut memory.restored);
    let (memory, store) = {
        let _inside = runtime.enter();
        survive_file_limit()?;
        memory.start().map_err(system("starting the store thread"))?
    };
    let figures = Arc::clone(memory.figures());

    let (facts_changed, facts_in) = mpsc::channel(1);
    let facts = runtime.block_on(host::follow(facts_changed))?;
    let (orders, orders_in) = mpsc::channel(ORDERS);
    let (hits, hits_in) = mpsc::channel(BATCHES);
    let (listed_changed, listed_in) = mpsc::channel(1);
    let listed =
        runtime.block_on(never::follow(&plan.never_ban, listed_changed, Arc::clone(&metrics)));
    let (asks, asks_in) = mpsc::channel(never::ASKS);
    let (answers, answers_in) = mpsc::channel(never::ASKS);
    runtime.spawn(never::answer(plan.never_ban.command.clone(), asks_in, answers));
    let known = Known { facts: &facts, listed, asks };
    let before = Before { restored, held: &held };
    let rules_of = Arc::clone(rules);
    let decider = Decider::new(plan, rules_of, known, before, gate, memory, Arc::clone(&metrics));
    let inputs = Inputs {
        hits: hits_in,
        orders: orders_in,
        facts: facts_in,
        listed: listed_in,
        answers: answers_in,
    };
    let standing = fallen.clone().drop_guard();
    let (hits, run) = Hits::new(hits, decider, inputs);
    let decide = thread("decide", move || {
        let _standing = standing;
        run();
    })?;

    let parts = Parts { plan, rules, metrics: &metrics, hits, stop: &stop, fallen: &fallen };
    let facade =
        Arc::new(Facade::new(plan, rules, &sockets, enforcing, &described, &metrics, figures));
    let endpoint = Endpoint { metrics: Arc::clone(&metrics), readiness: readiness.clone() };
    let Sockets { datagrams, streams, metrics: metrics_listener } = sockets;
    let udp = {
        let _inside = runtime.enter();
        tasks.spawn(serve_metrics(metrics_listener, endpoint, stop.clone()));
        tasks.spawn(serve_control(
            Arc::new(claimed),
            move |request| answer(request, Arc::clone(&facade), orders.clone()),
            stop.clone(),
        ));
        parts.streams(streams, &tasks);
        parts.datagrams(datagrams)?
    };
    readiness.set(true);
    Ok(Running { runtime, tasks, stop, fallen, readiness, udp, decide, enforce, store })
}

/// What the inputs are started with.
struct Parts<'a> {
    plan: &'a Plan,
    rules: &'a Arc<Rules>,
    metrics: &'a Arc<Metrics>,
    hits: Hits,
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
                threads.push(started.map_err(system("starting a UDP thread"))?);
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
            senders: Arc::new(self.plan.senders.clone()),
            places: Arc::default(),
            complaint: Mutex::new(Seldom::default()),
        });
        for open::Stream { listener, socket } in opened {
            let streams = Arc::clone(&streams);
            tasks.spawn(streams.listen(socket, listener.trust, tasks.clone(), self.stop.clone()));
        }
    }
}

/// A write beyond RLIMIT_FSIZE sends SIGXFSZ, which would end us; handled, the write fails as on a full
/// disk. The handler stays when what receives the signal goes.
fn survive_file_limit() -> Result<(), DaemonError> {
    use tokio::signal::unix::{SignalKind, signal};
    signal(SignalKind::from_raw(libc::SIGXFSZ)).map(drop).map_err(system("handling SIGXFSZ"))
}

fn runtime(workers: usize) -> Result<Runtime, DaemonError> {
    tokio::runtime::Builder::new_multi_thread()
        .worker_threads(runtime_threads(workers))
        .thread_name("streams")
        .enable_all()
        .build()
        .map_err(system("starting the runtime"))
}

/// Two at least, so that metrics and control answer while one goes through a read.
fn runtime_threads(workers: usize) -> usize {
    workers.max(2)
}

fn thread(
    name: &'static str,
    run: impl FnOnce() + Send + 'static,
) -> Result<JoinHandle<()>, DaemonError> {
    std::thread::Builder::new().name(name.into()).spawn(run).map_err(system("starting a thread"))
}

/// Orders that wait; a client waits with them.
const ORDERS: usize = 64;

/// Batches of hits that wait. UDP counts what does not fit, streams wait.
const BATCHES: usize = 4_096;
