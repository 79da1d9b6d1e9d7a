//! The thread that decides: it alone owns the detector and the ledger.
//!
//! Enters: batches of hits, orders, facts about this host. Leaves: changes to the gate.

mod orders;

use std::collections::HashMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use tokio::sync::{mpsc, oneshot};

use super::gate::{GateQueue, Snapshot};
use super::intake::Seldom;
use crate::ban::{Change, Ledger, MOST_BANS, NeverBan, Order, Origin, Reason, Refusal};
use crate::config::{Jail, Plan};
use crate::control::{Request, Response};
use crate::detect::{Detector, MOST_OFFENDERS, Offence, Sessions};
use crate::enforce::nftables::Held;
use crate::host::Facts;
use crate::metrics::Metrics;
use crate::model::{Prefix, Timestamp, Trust, Until};
use crate::pipeline::{Hit, Rules, Told};
use crate::store::{Event, Memory, Notes, Restored, What};

/// Hits that arrived together.
#[derive(Debug)]
pub(super) struct Batch {
    /// The hits, in the order of their lines.
    pub(super) hits: Vec<Hit>,
    /// Lines of sessions, which may become hits.
    pub(super) told: Vec<Told>,
    /// When the lines were received.
    pub(super) arrived: Instant,
}

/// An order and where its answer goes.
pub(super) type Asked = (Request, oneshot::Sender<Response>);

/// What the decider listens to.
pub(super) struct Inputs {
    pub(super) hits: mpsc::Receiver<Batch>,
    pub(super) orders: mpsc::Receiver<Asked>,
    pub(super) facts: mpsc::Receiver<Facts>,
}

/// Owner of the detector and the ledger.
pub(super) struct Decider {
    jails: Vec<Jail>,
    rules: Arc<Rules>,
    sessions: Sessions,
    detector: Detector,
    ledger: Ledger,
    /// What the configuration says is never banned.
    configured: Vec<(Prefix, Reason)>,
    gate: GateQueue,
    memory: Memory,
    /// Events that were not handed to the memory yet.
    events: Vec<Event>,
    metrics: Arc<Metrics>,
    shown: Instant,
    /// Offenders that may not be banned can offend without end.
    complaint: Seldom,
    /// Of logs, and of sessions, that made room.
    complaints: (Seldom, Seldom),
}

impl Decider {
    /// Takes over what the store and the kernel hold, and hands it all to the kernel before it returns.
    pub(super) fn new(
        plan: &Plan,
        rules: Arc<Rules>,
        facts: &Facts,
        before: Before<'_>,
        gate: GateQueue,
        memory: Memory,
        metrics: Arc<Metrics>,
    ) -> Decider {
        let configured: Vec<_> = (plan.never_ban.iter().map(|it| (*it, Reason::Configured)))
            .chain(plan.sender_prefixes.iter().map(|it| (*it, Reason::Sender)))
            .collect();
        let ledger = Ledger::new(never_ban(&configured, facts), MOST_BANS);
        let thresholds = plan.jails.iter().map(|jail| jail.threshold).collect();
        let detector = Detector::new(thresholds, MOST_OFFENDERS);
        let jails = plan.jails.clone();
        let mut decider = Decider {
            jails,
            rules,
            sessions: Sessions::default(),
            detector,
            ledger,
            configured,
            gate,
            memory,
            events: Vec::new(),
            metrics,
            shown: Instant::now(),
            complaint: Seldom::default(),
            complaints: Default::default(),
        };
        let now = Timestamp::now();
        decider.restore(before.restored, now);
        decider.adopt(before.held, now);
        decider.remember();
        decider.gate.send_snapshot(decider.snapshot());
        // Nothing is read before the gate is as down as it was.
        if !decider.gate.wait(PATIENCE) {
            tracing::error!("the kernel has not taken all bans yet; going on");
        }
        decider.show();
        decider
    }

    /// Decides until nobody sends hits any more.
    ///
    /// A runtime of its own, on its own thread: it waits for three queues and a timer, and nothing
    /// else runs on it.
    pub(super) fn run(mut self, mut inputs: Inputs) -> std::io::Result<()> {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build()?;
        runtime.block_on(async {
            loop {
                tokio::select! {
                    biased;
                    Some(facts) = inputs.facts.recv() => self.facts_changed(&facts),
                    Some((request, reply)) = inputs.orders.recv() => {
                        // Who asked may be gone; the order was carried out all the same.
                        _ = reply.send(self.order(request));
                    }
                    batch = inputs.hits.recv() => match batch {
                        Some(batch) => self.batch(batch),
                        None => break,
                    },
                    () = tokio::time::sleep(self.nap()) => {}
                }
                self.expire();
                self.remember();
                self.metrics.hits_queue.set(inputs.hits.len());
            }
        });
        self.gate.finish(self.snapshot());
        self.remember();
        Ok(())
    }

    fn batch(&mut self, mut batch: Batch) {
        for told in batch.told.drain(..) {
            self.sessions.told(told, &self.rules, &mut batch.hits);
        }
        let mut changes = Vec::new();
        for hit in &batch.hits {
            self.metrics.hits(hit.jail).add(1);
            if hit.speaker.trust != Trust::Ban {
                self.metrics.hits_untrusted.add(1);
            } else if hit.offender == hit.speaker.address {
                // A sender that names himself: his own misuse, or a forged line. To ban him would
                // silence him.
                self.metrics.hits_self.add(1);
            } else if let Some(mut offence) = self.detector.hit(hit) {
                if offence.offender.contains(hit.speaker.address) {
                    // His neighbour in an IPv6 /64: to ban them all would silence him.
                    offence.offender = Prefix::host(offence.address);
                }
                changes.extend(self.offence(&offence, hit));
            }
        }
        if !changes.is_empty() {
            self.gate.send(changes, Some(batch.arrived));
        }
    }

    fn offence(&mut self, offence: &Offence, hit: &Hit) -> Option<Change> {
        let jail = &self.jails[usize::from(offence.jail.0)];
        let now = Timestamp::now();
        let name = Arc::clone(&jail.name);
        match self.ledger.impose(jail.order(offence, now), now) {
            Ok(change) => {
                self.note(change, &name, Origin::Hits, Some(hit), now);
                if let Some(Change::Impose { offender, .. }) = change {
                    tracing::info!(jail = %name, %offender, "banned");
                }
                self.metrics.ban_imposed(&name, Origin::Hits);
                change
            }
            Err(refusal) => {
                match refusal {
                    Refusal::Full(_) => self.metrics.refused_full.add(1),
                    _ => self.metrics.refused_never.add(1),
                }
                self.complaint.complain(|count| {
                    tracing::info!(jail = %name, "{count} offenders not banned, the last: {refusal}");
                });
                None
            }
        }
    }

    fn expire(&mut self) {
        let changes = self.ledger.expire(Timestamp::now());
        for change in &changes {
            if let Change::Lift { offender } = change {
                tracing::info!(%offender, "time is over");
            }
        }
        self.gate.send(changes, None);
        if self.gate.is_stale() {
            self.gate.send_snapshot(self.snapshot());
        }
        if self.shown.elapsed() >= SHOW_EVERY {
            self.show();
        }
    }

    /// How long there is nothing to do but wait.
    fn nap(&self) -> Duration {
        let end = self.ledger.next_end().map(|end| end.since(Timestamp::now()));
        end.unwrap_or(SHOW_EVERY).min(SHOW_EVERY)
    }

    fn facts_changed(&mut self, facts: &Facts) {
        let changes = self.ledger.set_never(never_ban(&self.configured, facts));
        for change in &changes {
            tracing::warn!(?change, "lifted: an address of this host's is never banned");
            self.note_lift(*change, NEVER, Timestamp::now());
        }
        self.gate.send_never(self.never());
        self.gate.send(changes, None);
    }

    /// What the store remembers. Those who are never banned by now are forgotten there, too.
    fn restore(&mut self, restored: Restored, now: Timestamp) {
        let mut refused = Vec::new();
        for ban in restored.bans {
            let offender = ban.offender;
            if let Err(refusal) = self.ledger.restore(ban, now) {
                tracing::warn!("not restored: {refusal}");
                refused.push((offender, None));
            }
        }
        self.memory.note(Notes { bans: refused, ..Notes::default() });
        self.ledger.track();
    }

    /// What the kernel holds and the store does not, or not for so long: the later end counts.
    fn adopt(&mut self, held: &[Held], now: Timestamp) {
        for Held { offender, left } in held {
            let until = left.map_or(Until::Forever, |left| Until::At(now.after(left)));
            if self.ledger.get(*offender).is_some_and(|ban| !is_later(until, ban.until())) {
                continue;
            }
            let (jail, origin): (Arc<str>, _) = ("kernel".into(), Origin::Kernel);
            let order = Order {
                offender: *offender,
                address: None,
                jail: Arc::clone(&jail),
                origin,
                until,
            };
            match self.ledger.impose(order, now) {
                Ok(change) => {
                    self.note(change, &jail, origin, None, now);
                    self.metrics.ban_imposed(&jail, origin);
                }
                Err(refusal) => tracing::warn!("not taken over from the kernel: {refusal}"),
            }
        }
    }

    /// A line of history, if somebody was banned, or for longer.
    fn note(
        &mut self,
        change: Option<Change>,
        jail: &str,
        origin: Origin,
        hit: Option<&Hit>,
        at: Timestamp,
    ) {
        let (what, offender, until) = match change {
            None | Some(Change::Lift { .. }) => return,
            Some(Change::Impose { offender, until }) => (What::Ban, offender, until),
            Some(Change::Extend { offender, until }) => (What::Extend, offender, until),
        };
        let (sender, user) = (hit.map(|hit| hit.speaker.address), hit.and_then(|hit| hit.user));
        let jail = jail.into();
        self.events.push(Event { at, what, offender, jail, origin, until, sender, user });
    }

    fn note_lift(&mut self, change: Change, jail: &str, at: Timestamp) {
        let (offender, until) = match change {
            Change::Lift { offender } => (offender, Until::At(at)),
            Change::Impose { offender, until } | Change::Extend { offender, until } => {
                (offender, until)
            }
        };
        let (what, jail, origin) = (What::Lift, jail.into(), Origin::Manual);
        let (sender, user) = (None, None);
        self.events.push(Event { at, what, offender, jail, origin, until, sender, user });
    }

    /// Hands what changed to the store.
    fn remember(&mut self) {
        let mut touched = self.ledger.take_touched();
        if touched.len() > 1 {
            touched.sort_unstable();
            touched.dedup();
        }
        let bans = touched.into_iter().map(|it| (it, self.ledger.get(it).cloned())).collect();
        let events = std::mem::take(&mut self.events);
        self.memory.note(Notes { bans, events, ..Notes::default() });
        if self.memory.wants_snapshot() {
            self.memory.send_snapshot(self.ledger.bans().cloned().collect());
        }
    }

    fn snapshot(&self) -> Snapshot {
        let bans = self.ledger.bans().map(|ban| (ban.offender, ban.until())).collect();
        Snapshot { bans, never: self.never() }
    }

    fn never(&self) -> Vec<Prefix> {
        self.ledger.never().entries().iter().map(|(prefix, _)| *prefix).collect()
    }

    fn bans_by_jail(&self) -> HashMap<Arc<str>, usize> {
        let mut by_jail: HashMap<Arc<str>, usize> =
            self.jails.iter().map(|jail| (Arc::clone(&jail.name), 0)).collect();
        for share in self.ledger.bans().flat_map(|ban| &ban.shares) {
            *by_jail.entry(Arc::clone(&share.jail)).or_default() += 1;
        }
        by_jail
    }

    fn show(&mut self) {
        self.metrics.set_bans(&self.bans_by_jail());
        self.metrics.watched.set(self.detector.watched());
        self.metrics.never_ban.set(self.ledger.never().entries().len());
        self.metrics.displaced.raise_to(self.detector.displaced());
        let (logs, sessions) = (self.rules.logs_displaced(), self.sessions.crowded_out());
        if logs > self.metrics.logs_displaced.get() {
            self.metrics.logs_displaced.raise_to(logs);
            self.complaints.0.complain(|_| {
                tracing::warn!(
                    "{logs} senders' last lines, kept for a filter, made room for others"
                );
            });
        }
        if sessions > self.metrics.sessions_displaced.get() {
            self.metrics.sessions_displaced.raise_to(sessions);
            self.complaints.1.complain(|_| {
                tracing::warn!("{sessions} sessions of fail2ban's filters made room for others");
            });
        }
        self.metrics.show_store(self.memory.figures());
        self.shown = Instant::now();
    }
}

/// What there was before this daemon.
pub(super) struct Before<'a> {
    pub(super) restored: Restored,
    pub(super) held: &'a [Held],
}

/// Whether the kernel's end is later than the ledger's. It counts in jiffies, and reading takes time.
fn is_later(kernels: Until, ours: Until) -> bool {
    match (kernels, ours) {
        (Until::At(kernels), Until::At(ours)) => kernels > ours.after(Duration::from_secs(1)),
        (kernels, ours) => kernels > ours,
    }
}

fn never_ban(configured: &[(Prefix, Reason)], facts: &Facts) -> NeverBan {
    let of = |addresses: &std::collections::BTreeSet<_>, reason| {
        addresses.iter().map(|it| (Prefix::host(*it), reason)).collect::<Vec<_>>()
    };
    NeverBan::new(
        configured
            .iter()
            .copied()
            .chain(of(&facts.own, Reason::Own))
            .chain(of(&facts.gateways, Reason::Gateway))
            .chain(of(&facts.resolvers, Reason::Resolver)),
    )
}

/// In the history, as the jail of what the never-ban list lifted.
const NEVER: &str = "never_ban";

/// For the kernel to take all bans at the start.
const PATIENCE: Duration = Duration::from_secs(20);

/// Gauges are set so often; counting the bans by jail takes about 10 ms with 100,000 of them.
const SHOW_EVERY: Duration = Duration::from_millis(250);
