//! The thread that decides: it alone owns the detector and the ledger.
//!
//! Enters: batches of hits, orders, facts about this host. Leaves: changes to the gate.

mod orders;

use std::net::IpAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};

use tokio::sync::{mpsc, oneshot};

use super::gate::{GateQueue, Snapshot};
use super::intake::Seldom;
use super::never::{Answer, Ask, Listed};
use crate::ban::{
    Change, Decided, Judge, MOST_BANS, NeverBan, Order, Origin, Reason, Refusal, Standing,
};
use crate::config::{Jail, Plan};
use crate::control::{Request, Response};
use crate::detect::{MOST_OFFENDERS, Sessions};
use crate::enforce::nftables::Held;
use crate::host::Facts;
use crate::metrics::Metrics;
use crate::model::{Prefix, Timestamp, Trust, Until};
use crate::pipeline::{Hit, Rules, Told};

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
    pub(super) listed: mpsc::Receiver<Listed>,
    pub(super) answers: mpsc::Receiver<Answer>,
}

/// What is known of those who are never banned when the daemon starts, and who is asked about others.
pub(super) struct Known<'a> {
    pub(super) facts: &'a Facts,
    pub(super) listed: Listed,
    pub(super) asks: mpsc::Sender<Ask>,
}

/// Owner of the detector and the ledger.
pub(super) struct Decider {
    jails: Vec<Jail>,
    rules: Arc<Rules>,
    sessions: Sessions,
    judge: Judge,
    /// What the configuration says is never banned.
    configured: Vec<(Prefix, Reason)>,
    facts: Facts,
    listed: Listed,
    asks: mpsc::Sender<Ask>,
    gate: GateQueue,
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
        known: Known<'_>,
        held: &[Held],
        gate: GateQueue,
        metrics: Arc<Metrics>,
    ) -> Decider {
        let addresses = plan.never_ban.addresses.iter();
        let configured: Vec<_> = (addresses.map(|it| (*it, Reason::Configured)))
            .chain(plan.sender_prefixes.iter().map(|it| (*it, Reason::Sender)))
            .collect();
        let Known { facts, listed, asks } = known;
        let never = never_ban(&configured, facts, &listed);
        let mut decider = Decider {
            jails: plan.jails.clone(),
            rules,
            sessions: Sessions::default(),
            judge: plan.judge(never, MOST_OFFENDERS, MOST_BANS),
            configured,
            facts: facts.clone(),
            listed,
            asks,
            gate,
            metrics,
            shown: Instant::now(),
            complaint: Seldom::default(),
            complaints: Default::default(),
        };
        decider.adopt(held, Timestamp::now());
        decider.gate.send_snapshot(decider.snapshot());
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
                    Some(facts) = inputs.facts.recv() => {
                        self.facts = facts;
                        self.never_changed();
                    }
                    Some(listed) = inputs.listed.recv() => {
                        self.listed = listed;
                        self.never_changed();
                    }
                    Some(answer) = inputs.answers.recv() => self.answered(answer),
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
        self.gate.finish(self.snapshot());
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
            } else {
                self.judge_of(hit, &mut changes);
            }
        }
        if !changes.is_empty() {
            self.gate.send(changes, Some(batch.arrived));
        }
    }

    fn judge_of(&mut self, hit: &Hit, changes: &mut Vec<Change>) {
        let mut decided = Vec::new();
        let held_before = self.judge.breaker.tripped();
        self.judge.hit(hit, Timestamp::now(), &mut |it| decided.push(it));
        for it in decided {
            changes.extend(self.decided(it));
        }
        if held_before.is_none() && self.judge.breaker.tripped().is_some() {
            self.metrics.breaker_tripped.set(1);
            tracing::error!(
                "the breaker has tripped: more than {} new bans in a minute. Bans stay, new ones wait: \
                 `portcullis breaker release` enforces them, `portcullis breaker drop` forgets them",
                self.judge.breaker.most()
            );
        }
    }

    fn decided(&mut self, decided: Decided) -> Option<Change> {
        match decided {
            Decided::Imposed { jail, offender, address, standing, is_new, change, .. } => {
                self.metrics.ban_imposed(&jail, Origin::Hits);
                match (standing, is_new) {
                    (_, false) => {}
                    (Standing::Enforced, _) => tracing::info!(%jail, %offender, "banned"),
                    (Standing::DryRun, _) => {
                        tracing::info!(%jail, %offender, "would be banned (dry_run)")
                    }
                    (Standing::Held, _) => tracing::debug!(%jail, %offender, "held by the breaker"),
                    (Standing::Asked, _) => return self.ask(jail, offender, address),
                }
                change
            }
            Decided::Refused { jail, refusal } => {
                match refusal {
                    Refusal::Full(_) => self.metrics.refused_full.add(1),
                    _ => self.metrics.refused_never.add(1),
                }
                self.complaint.complain(|count| {
                    tracing::info!(%jail, "{count} offenders not banned, the last: {refusal}");
                });
                None
            }
        }
    }

    /// Has `never_ban.command` asked. When too many wait to be asked about already, a ban does not
    /// wait: who can flood the gate must not hold it open.
    fn ask(&mut self, jail: Arc<str>, offender: Prefix, address: IpAddr) -> Option<Change> {
        match self.asks.try_send(Ask { address, offender, jail }) {
            Ok(()) => None,
            Err(unsent) => {
                self.metrics.never_unasked.add(1);
                let Ask { offender, jail, .. } = unsent.into_inner();
                self.judge.ledger.settle_one(offender, Standing::Asked, Some(&jail), true)
            }
        }
    }

    fn answered(&mut self, answer: Answer) {
        let Answer { ask: Ask { address, offender, jail }, never, asked } = answer;
        let ledger = &mut self.judge.ledger;
        let change = ledger.settle_one(offender, Standing::Asked, Some(&jail), !never);
        if never {
            self.metrics.refused_never.add(1);
            tracing::info!(%jail, %offender, "{address} is never banned (never_ban.command says so)");
        } else if change.is_some() {
            tracing::info!(%jail, %offender, "banned");
        }
        if !asked {
            self.metrics.never_unasked.add(1);
        }
        self.gate.send(change.into_iter().collect(), None);
    }

    fn expire(&mut self) {
        let changes = self.judge.ledger.expire(Timestamp::now());
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
        let end = self.judge.ledger.next_end().map(|end| end.since(Timestamp::now()));
        end.unwrap_or(SHOW_EVERY).min(SHOW_EVERY)
    }

    fn never_changed(&mut self) {
        let never = never_ban(&self.configured, &self.facts, &self.listed);
        let changes = self.judge.ledger.set_never(never);
        for change in &changes {
            match change {
                Change::Lift { offender } => tracing::warn!(
                    %offender, "lifted: on the never-ban list by now, or holds somebody who is"
                ),
                Change::Impose { offender, .. } | Change::Extend { offender, .. } => {
                    tracing::warn!(%offender, "banned alone, out of a prefix that was lifted");
                }
            }
        }
        self.gate.send_never(self.never());
        self.gate.send(changes, None);
    }

    fn adopt(&mut self, held: &[Held], now: Timestamp) {
        for Held { offender, left } in held {
            let until = left.map_or(Until::Forever, |left| Until::At(now.after(left)));
            let (jail, origin): (Arc<str>, _) = ("kernel".into(), Origin::Kernel);
            let order = Order::new(*offender, Arc::clone(&jail), origin, until);
            match self.judge.ledger.impose(order, now) {
                Ok(_) => self.metrics.ban_imposed(&jail, origin),
                Err(refusal) => tracing::warn!("not taken over from the kernel: {refusal}"),
            }
        }
    }

    fn snapshot(&self) -> Snapshot {
        let bans = self.judge.ledger.bans();
        let bans = bans.filter_map(|ban| Some((ban.offender, ban.enforced()?))).collect();
        Snapshot { bans, never: self.never() }
    }

    fn never(&self) -> Vec<Prefix> {
        self.judge.ledger.never().entries().iter().map(|(prefix, _)| *prefix).collect()
    }

    fn show(&mut self) {
        let (ledger, detector) = (&self.judge.ledger, self.judge.detector());
        self.metrics.set_bans(ledger.counts().by_jail());
        self.metrics.bans_held.set(ledger.counts().standing(Standing::Held));
        self.metrics.bans_dry_run.set(ledger.counts().standing(Standing::DryRun));
        self.metrics.watched.set(detector.watched());
        self.metrics.never_ban.set(ledger.never().entries().len());
        self.metrics.displaced.raise_to(detector.displaced());
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

fn never_ban(configured: &[(Prefix, Reason)], facts: &Facts, listed: &Listed) -> NeverBan {
    let of = |addresses: &std::collections::BTreeSet<_>, reason| {
        addresses.iter().map(|it| (Prefix::host(*it), reason)).collect::<Vec<_>>()
    };
    NeverBan::new(
        configured
            .iter()
            .copied()
            .chain(of(&facts.own, Reason::Own))
            .chain(of(&facts.gateways, Reason::Gateway))
            .chain(of(&facts.resolvers, Reason::Resolver))
            .chain(listed.names.iter().map(|it| (*it, Reason::Name)))
            .chain(listed.files.iter().map(|it| (*it, Reason::File))),
    )
}

/// Gauges are set so often.
const SHOW_EVERY: Duration = Duration::from_millis(250);
