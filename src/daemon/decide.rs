//! The thread that decides: it alone owns the detector and the ledger.
//!
//! Enters: batches of hits, orders, facts about this host. Leaves: changes to the gate.

mod orders;
mod reach;

use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};

use tokio::sync::{mpsc, oneshot};

use super::gate::{GateQueue, Snapshot};
use super::intake::Seldom;
use crate::ban::{Change, Ledger, MOST_BANS, NeverBan, Order, Origin, Reason, Refusal};
use crate::config::{Jail, Plan};
use crate::control::{Request, Response};
use crate::detect::{Detector, MOST_OFFENDERS, Offence, Sessions};
use crate::enforce::Wish;
use crate::enforce::nftables::Held;
use crate::host::Facts;
use crate::metrics::Metrics;
use crate::model::{Prefix, Timestamp, Trust, Until};
use crate::pipeline::{Hit, Rules, Told};
use reach::Reach;

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
    /// What the gate was told beyond whole bans.
    reach: Reach,
    metrics: Arc<Metrics>,
    shown: Instant,
    /// Offenders that may not be banned can offend without end.
    complaint: Seldom,
    /// Of logs, and of sessions, that made room.
    complaints: (Seldom, Seldom),
}

impl Decider {
    /// Takes over what the kernel still holds, and sends the gate its first snapshot.
    pub(super) fn new(
        plan: &Plan,
        rules: Arc<Rules>,
        facts: &Facts,
        held: &[Held],
        gate: GateQueue,
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
            reach: Reach::default(),
            metrics,
            shown: Instant::now(),
            complaint: Seldom::default(),
            complaints: Default::default(),
        };
        decider.adopt(held, Timestamp::now());
        let snapshot = decider.snapshot();
        decider.gate.send_snapshot(snapshot);
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
                self.metrics.hits_queue.set(inputs.hits.len());
            }
        });
        let snapshot = self.snapshot();
        self.gate.finish(snapshot);
        Ok(())
    }

    fn batch(&mut self, mut batch: Batch) {
        for told in batch.told.drain(..) {
            self.sessions.told(told, &self.rules, &mut batch.hits);
        }
        let mut wishes = Vec::new();
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
                self.offence(&offence, hit.speaker.address, &mut wishes);
            }
        }
        self.gate.send(wishes, Some(batch.arrived));
    }

    fn offence(&mut self, offence: &Offence, sender: IpAddr, wishes: &mut Vec<Wish>) {
        let jail = &self.jails[usize::from(offence.jail.0)];
        let now = Timestamp::now();
        let name = Arc::clone(&jail.name);
        let mut order = jail.order(offence, now);
        order.scope = jail.scope.from(sender);
        let banned = [order.offender, Prefix::host(offence.address)];
        match self.ledger.impose(order, now) {
            Ok(change) => {
                if let Some(Change::Impose { offender, .. }) = change {
                    tracing::info!(jail = %name, %offender, "banned");
                }
                self.metrics.ban_imposed(&name, Origin::Hits);
                match change {
                    Some(change) => wishes.extend(self.reach.wishes(&[change], &self.ledger)),
                    None => banned
                        .into_iter()
                        .for_each(|it| self.reach.offender(it, &self.ledger, wishes)),
                }
            }
            Err(refusal) => {
                match refusal {
                    Refusal::Full(_) => self.metrics.refused_full.add(1),
                    _ => self.metrics.refused_never.add(1),
                }
                self.complaint.complain(|count| {
                    tracing::info!(jail = %name, "{count} offenders not banned, the last: {refusal}");
                });
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
        let wishes = self.reach.wishes(&changes, &self.ledger);
        self.gate.send(wishes, None);
        if self.gate.is_stale() {
            let snapshot = self.snapshot();
            self.gate.send_snapshot(snapshot);
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
        }
        self.gate.send_never(self.never());
        let wishes = self.reach.wishes(&changes, &self.ledger);
        self.gate.send(wishes, None);
    }

    fn adopt(&mut self, held: &[Held], now: Timestamp) {
        for Held { offender, scope, left } in held {
            let until = left.map_or(Until::Forever, |left| Until::At(now.after(left)));
            let (jail, origin): (Arc<str>, _) = ("kernel".into(), Origin::Kernel);
            let order = Order {
                offender: *offender,
                address: None,
                jail: Arc::clone(&jail),
                origin,
                until,
                scope: *scope,
            };
            match self.ledger.impose(order, now) {
                Ok(_) => self.metrics.ban_imposed(&jail, origin),
                Err(refusal) => tracing::warn!("not taken over from the kernel: {refusal}"),
            }
        }
    }

    fn snapshot(&mut self) -> Snapshot {
        Snapshot { bans: self.reach.snapshot(&self.ledger), never: self.never() }
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
        self.shown = Instant::now();
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

/// Gauges are set so often; counting the bans by jail takes about 10 ms with 100,000 of them.
const SHOW_EVERY: Duration = Duration::from_millis(250);
