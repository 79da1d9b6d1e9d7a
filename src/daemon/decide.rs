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
use super::never::{Answer, Ask, Listed};
use crate::ban::{
    Change, Decided, Judge, MOST_BANS, NeverBan, Order, Origin, Past, Reason, Refusal, Standing,
};
use crate::config::{Jail, Plan};
use crate::control::{Request, Response};
use crate::detect::{MOST_OFFENDERS, Sessions};
use crate::enforce::Wish;
use crate::enforce::nftables::Held;
use crate::host::Facts;
use crate::metrics::Metrics;
use crate::model::{Prefix, Target, Timestamp, Trust, Until};
use crate::pipeline::{Hit, Rules, Told};
use crate::store::{Count, Event, Memory, Notes, Restored, What};
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

/// A question and where its answer goes.
#[derive(Debug)]
pub(super) enum Asked {
    /// An order.
    Order(Request, oneshot::Sender<Response>),
    /// How many are banned; the list itself can be a hundred megabytes.
    Counts(oneshot::Sender<Banned>),
}

/// How many are banned.
#[derive(Debug)]
pub(super) struct Banned {
    pub(super) offenders: usize,
    pub(super) by_jail: HashMap<Arc<str>, usize>,
}

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
    /// What the gate was told beyond whole bans.
    reach: Reach,
    memory: Memory,
    /// Events that were not handed to the memory yet.
    events: Vec<Event>,
    counts: Vec<Count>,
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
        known: Known<'_>,
        before: Before<'_>,
        gate: GateQueue,
        memory: Memory,
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
            reach: Reach::default(),
            memory,
            events: Vec::new(),
            counts: Vec::new(),
            metrics,
            shown: Instant::now(),
            complaint: Seldom::default(),
            complaints: Default::default(),
        };
        let now = Timestamp::now();
        decider.restore(before.restored, now);
        decider.adopt(before.held, now);
        decider.remember();
        let snapshot = decider.snapshot();
        decider.gate.send_snapshot(snapshot);
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
                    Some(facts) = inputs.facts.recv() => {
                        self.facts = facts;
                        self.never_changed();
                    }
                    Some(listed) = inputs.listed.recv() => {
                        self.listed = listed;
                        self.never_changed();
                    }
                    Some(answer) = inputs.answers.recv() => self.answered(answer),
                    Some(asked) = inputs.orders.recv() => self.asked(asked),
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
        let snapshot = self.snapshot();
        self.gate.finish(snapshot);
        self.remember();
        Ok(())
    }

    /// Who asked may be gone; the order is carried out all the same.
    fn asked(&mut self, asked: Asked) {
        match asked {
            Asked::Order(request, reply) => _ = reply.send(self.order(request)),
            Asked::Counts(reply) => {
                let ledger = &self.judge.ledger;
                let by_jail = ledger.counts().by_jail().clone();
                _ = reply.send(Banned { offenders: ledger.len(), by_jail });
            }
        }
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
            } else {
                self.judge_of(hit, &mut wishes);
            }
        }
        self.gate.send(wishes, Some(batch.arrived));
    }

    fn judge_of(&mut self, hit: &Hit, wishes: &mut Vec<Wish>) {
        let mut decided = Vec::new();
        let held_before = self.judge.breaker.tripped();
        self.judge.hit(hit, Timestamp::now(), &mut |it| decided.push(it));
        for it in decided {
            let offender = match it {
                Decided::Imposed { offender, .. } => Some(offender),
                Decided::Refused { .. } => None,
            };
            let change = self.decided(it, hit);
            if let Some(offender) = offender {
                // Banned just as long, he may be so from more.
                self.reach.changed(offender, change, &self.judge.ledger, wishes);
            }
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

    fn decided(&mut self, decided: Decided, hit: &Hit) -> Option<Change> {
        match decided {
            Decided::Imposed { jail, offender, address, standing, is_new, change, .. } => {
                self.metrics.ban_imposed(&jail, Origin::Hits);
                self.note(change, &jail, Origin::Hits, Some(hit), Timestamp::now());
                self.count(offender, &jail);
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
        let mut wishes = Vec::new();
        self.reach.changed(offender, change, &self.judge.ledger, &mut wishes);
        self.gate.send(wishes, None);
    }

    fn expire(&mut self) {
        let mut wishes = Vec::new();
        for (offender, change) in self.judge.ledger.expire(Timestamp::now()) {
            if let Some(Change::Lift { .. }) = change {
                tracing::info!(%offender, "time is over");
            }
            self.reach.changed(offender, change, &self.judge.ledger, &mut wishes);
        }
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
        let end = self.judge.ledger.next_end().map(|end| end.since(Timestamp::now()));
        end.unwrap_or(SHOW_EVERY).min(SHOW_EVERY)
    }

    fn never_changed(&mut self) {
        let never = never_ban(&self.configured, &self.facts, &self.listed);
        let changes = self.judge.ledger.set_never(never);
        for change in &changes {
            self.note_lift(*change, NEVER, Timestamp::now());
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
        let mut wishes = self.reach.wishes(&changes, &self.judge.ledger);
        if !changes.is_empty() {
            wishes.extend(self.reach.all(&self.judge.ledger));
        }
        self.gate.send(wishes, None);
    }

    /// What the store remembers. Those who are never banned by now are forgotten there, too.
    fn restore(&mut self, restored: Restored, now: Timestamp) {
        let mut refused = Vec::new();
        for ban in restored.bans {
            let offender = ban.offender;
            if let Err(refusal) = self.judge.ledger.restore(ban, now) {
                tracing::warn!("not restored: {refusal}");
                refused.push((offender, None));
            }
        }
        self.memory.note(Notes { bans: refused, ..Notes::default() });
        for Count { offender, jail, bans, last } in restored.counts {
            let jail = (!jail.is_empty()).then_some(jail);
            self.judge.history.restore(Past { offender, jail, bans, quiet_since: last });
        }
        self.judge.ledger.track();
    }

    /// What the kernel holds and the store does not, or not for so long: the later end counts.
    fn adopt(&mut self, held: &[Held], now: Timestamp) {
        for Held { offender, scope, left } in held {
            let until = left.map_or(Until::Forever, |left| Until::At(now.after(left)));
            let known = self.judge.ledger.get(*offender).map(reach::targets).unwrap_or_default();
            let target = Target::new(*offender, *scope);
            let holds = |it: Target| it == target || it == Target::from(*offender);
            if known.iter().any(|&(it, end)| holds(it) && !is_later(until, end)) {
                continue;
            }
            let (jail, origin): (Arc<str>, _) = ("kernel".into(), Origin::Kernel);
            let order = Order::new(*offender, Arc::clone(&jail), origin, until);
            let order = Order { scope: *scope, ..order };
            match self.judge.ledger.impose(order, now) {
                Ok(change) => {
                    self.note(change, &jail, origin, None, now);
                    self.metrics.ban_imposed(&jail, origin);
                }
                Err(refusal) => tracing::warn!("not taken over from the kernel: {refusal}"),
            }
        }
    }

    /// How often he was banned by now, for the store.
    fn count(&mut self, offender: Prefix, jail: &Arc<str>) {
        for jail in [None, Some(jail)] {
            if let Some(past) = self.judge.history.past(offender, jail) {
                let Past { offender, jail, bans, quiet_since: last } = past;
                let jail = jail.unwrap_or_else(|| "".into());
                self.counts.push(Count { offender, jail, bans, last });
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
        let mut touched = self.judge.ledger.take_touched();
        if touched.len() > 1 {
            touched.sort_unstable();
            touched.dedup();
        }
        let bans = touched.into_iter().map(|it| (it, self.judge.ledger.get(it).cloned())).collect();
        let events = std::mem::take(&mut self.events);
        let counts = std::mem::take(&mut self.counts);
        self.memory.note(Notes { bans, events, counts });
        if self.memory.wants_snapshot() {
            self.memory.send_snapshot(self.judge.ledger.bans().cloned().collect());
        }
    }

    fn snapshot(&mut self) -> Snapshot {
        Snapshot { bans: self.reach.snapshot(&self.judge.ledger), never: self.never() }
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
        self.metrics.show_store(self.memory.figures());
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

/// In the history, as the jail of what the never-ban list lifted.
const NEVER: &str = "never_ban";

/// For the kernel to take all bans at the start.
const PATIENCE: Duration = Duration::from_secs(20);

/// Gauges are set so often.
const SHOW_EVERY: Duration = Duration::from_millis(250);
