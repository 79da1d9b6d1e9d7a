//! The decider: it alone owns the detector and the ledger.
//!
//! Enters: batches of hits, orders, facts about this host. Leaves: changes to the gate.

mod desk; // the decider behind a lock, and its thread
mod before; // what the store and the kernel held
mod inputs; // what it waits for
mod never; // who is never banned, as that becomes known
mod notes; // what the store is told
mod orders; // of the operator
mod reach; // from what each offender is kept
mod show; // figures

use std::collections::HashMap;
use std::sync::Arc;
use std::thread::Thread;
use std::time::{Duration, Instant};

use tokio::sync::{mpsc, oneshot};

use super::gate::{Cause, GateQueue, Snapshot};
use super::intake::Seldom;
use super::never::{Ask, Listed};
use crate::ban::{Change, Decided, Judge, MOST_BANS, Origin, Reason, Refusal, Standing};
use crate::config::{Jail, Plan};
use crate::control::{Request, Response};
use crate::detect::{MOST_OFFENDERS, Sessions};
use crate::enforce::Wish;
use crate::enforce::nftables::Held;
use crate::host::Facts;
use crate::metrics::Metrics;
use crate::model::{Prefix, Timestamp, Trust};
use crate::pipeline::{Hit, Rules, Told};
use crate::store::{Count, Event, Memory, Restored};
pub(super) use desk::Hits;
use inputs::Input;
pub(super) use inputs::Inputs;
use never::never_ban;
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

impl Batch {
    /// Whether it is decided as soon as another thread is told of it.
    fn is_small(&self) -> bool {
        self.hits.len() <= FEW && self.told.is_empty()
    }
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

/// What is known of those who are never banned when the daemon starts, and who is asked about others.
pub(super) struct Known<'a> {
    pub(super) facts: &'a Facts,
    pub(super) listed: Listed,
    pub(super) asks: mpsc::Sender<Ask>,
}

/// What there was before this daemon.
pub(super) struct Before<'a> {
    pub(super) restored: Restored,
    pub(super) held: &'a [Held],
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
    /// What was not said yet.
    said: Vec<Said>,
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
            said: Vec::new(),
            metrics,
            shown: Instant::now(),
            complaint: Seldom::default(),
            complaints: Default::default(),
        };
        let now = Timestamp::now();
        decider.restore(before.restored, now);
        decider.take_back();
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

    /// Takes what came.
    fn take(&mut self, input: Input) {
        match input {
            Input::Facts(facts) => {
                self.facts = facts;
                self.never_changed();
            }
            Input::Listed(listed) => {
                self.listed = listed;
                self.never_changed();
            }
            Input::Answer(answer) => self.answered(answer),
            Input::Asked(asked) => self.asked(asked),
            Input::Batch(batch) => _ = self.batch(batch, None),
            Input::End => {}
        }
    }

    /// Does what is due, and what may take longer than a decision; `waiting` batches are in the queue.
    fn tend(&mut self, waiting: usize) {
        self.expire();
        self.remember();
        self.metrics.hits_queue.set(waiting);
    }

    /// Everything for the last time.
    fn finish(mut self) {
        let snapshot = self.snapshot();
        self.gate.finish(snapshot);
        self.remember();
        self.said.iter().for_each(Said::say);
    }

    /// What is to be said, by who may be slow.
    fn take_said(&mut self) -> Vec<Said> {
        std::mem::take(&mut self.said)
    }

    /// Whether much waits for [`tend`](Decider::tend).
    fn is_behind(&self) -> bool {
        self.said.len().max(self.events.len()) >= MOST_UNTENDED
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

    /// Decides. `then` is to [`tend`](Decider::tend) to what came of it: the gate wakes it when it is done,
    /// or the caller shall, if this returns true.
    fn batch(&mut self, mut batch: Batch, then: Option<&Thread>) -> bool {
        for told in batch.told.drain(..) {
            self.sessions.told(told, &self.rules, &mut batch.hits);
        }
        let (mut wishes, mut decided) = (Vec::new(), Vec::new());
        for hit in &batch.hits {
            self.metrics.hits(hit.jail).add(1);
            if hit.speaker.trust != Trust::Ban {
                self.metrics.hits_untrusted.add(1);
            } else if hit.offender == hit.speaker.address {
                // A sender that names himself: his own misuse, or a forged line. To ban him would
                // silence him.
                self.metrics.hits_self.add(1);
            } else {
                self.judge_of(hit, &mut wishes, &mut decided);
            }
        }
        let cause = Cause { arrived: batch.arrived, then: then.cloned() };
        let wakes = self.gate.send(wishes, Some(cause));
        let anything = !decided.is_empty();
        // While the gate is on its way.
        decided.into_iter().for_each(|(it, hit)| self.decided(it, hit));
        anything && !wakes
    }

    fn judge_of<'a>(
        &mut self,
        hit: &'a Hit,
        wishes: &mut Vec<Wish>,
        decided: &mut Vec<(Decided, &'a Hit)>,
    ) {
        let held_before = self.judge.breaker.tripped();
        let first = decided.len();
        self.judge.hit(hit, Timestamp::now(), &mut |it| decided.push((it, hit)));
        for (it, _) in &decided[first..] {
            let Decided::Imposed { jail, offender, address, standing, is_new, change, .. } = it
            else {
                continue;
            };
            let change = match (standing, is_new) {
                (Standing::Asked, true) => self.ask(Arc::clone(jail), *offender, *address),
                _ => *change,
            };
            // Banned just as long, he may be so from more.
            self.reach.changed(*offender, change, &self.judge.ledger, wishes);
        }
        if held_before.is_none() && self.judge.breaker.tripped().is_some() {
            self.metrics.breaker_tripped.set(1);
            self.said.push(Said::Tripped(self.judge.breaker.most()));
        }
    }

    /// What is counted, noted and said of a decision.
    fn decided(&mut self, decided: Decided, hit: &Hit) {
        match decided {
            Decided::Imposed { jail, offender, standing, is_new, change, .. } => {
                self.metrics.ban_imposed(&jail, Origin::Hits);
                self.note(change, &jail, Origin::Hits, Some(hit), Timestamp::now());
                self.count(offender, &jail);
                if is_new && standing != Standing::Asked {
                    self.said.push(Said::Decided { jail, offender, standing });
                }
            }
            Decided::Refused { jail, refusal } => {
                match refusal {
                    Refusal::Full(_) => self.metrics.refused_full.add(1),
                    _ => self.metrics.refused_never.add(1),
                }
                let said = &mut self.said;
                self.complaint.complain(|count| said.push(Said::Refused { jail, count, refusal }));
            }
        }
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
        let ends = [end, self.memory.due()];
        ends.into_iter().flatten().min().unwrap_or(SHOW_EVERY).min(SHOW_EVERY)
    }

    fn snapshot(&mut self) -> Snapshot {
        Snapshot { bans: self.reach.snapshot(&self.judge.ledger), never: self.never() }
    }

    fn never(&self) -> Vec<Prefix> {
        self.judge.ledger.never().entries().iter().map(|(prefix, _)| *prefix).collect()
    }
}

/// A line of the log, said when the gate knows.
enum Said {
    /// Of an offender.
    Decided { jail: Arc<str>, offender: Prefix, standing: Standing },
    /// Offenders can offend without end who may not be banned.
    Refused { jail: Arc<str>, count: u64, refusal: Refusal },
    /// The breaker has, at more than so many bans.
    Tripped(usize),
}

impl Said {
    fn say(&self) {
        match self {
            Said::Decided { jail, offender, standing } => match standing {
                Standing::Enforced => tracing::info!(%jail, %offender, "banned"),
                Standing::DryRun => tracing::info!(%jail, %offender, "would be banned (dry_run)"),
                Standing::Held => tracing::debug!(%jail, %offender, "held by the breaker"),
                Standing::Asked => {}
            },
            Said::Refused { jail, count, refusal } => {
                tracing::info!(%jail, "{count} offenders not banned, the last: {refusal}");
            }
            Said::Tripped(most) => tracing::error!(
                "the breaker has tripped: more than {most} new bans in a minute. Bans stay, new ones wait: \
                 `portcullis breaker release` enforces them, `portcullis breaker drop` forgets them"
            ),
        }
    }
}

/// For the kernel to take all bans at the start.
const PATIENCE: Duration = Duration::from_secs(20);

/// Hits in a batch that may be decided by who found them: a few µs.
const FEW: usize = 8;

/// Of what waits for the decide thread; the log can be slow.
const MOST_UNTENDED: usize = 256;

/// Gauges are set so often.
const SHOW_EVERY: Duration = Duration::from_millis(250);
