//! Orders of the operator, carried out on the ledger.

use std::collections::BTreeSet;
use std::sync::Arc;

use super::Decider;
use crate::ban::{Ban, Change, Order, Origin, Standing, Why};
use crate::control::{
    BanRow, BreakerOrder, BreakerRow, EvidenceRow, Request, Response, ShareRow, WhyRow,
};
use crate::model::{DurationWords, Prefix, Timestamp, Until, likely};

impl Decider {
    /// Carries out an order. `Status` is not for the decider.
    pub(super) fn order(&mut self, request: Request) -> Response {
        match request {
            Request::Status => Response::Error("status is answered by the daemon".to_owned()),
            Request::Bans { target } => Response::Bans(self.rows(target)),
            Request::Ban { target, time, jail } => self.ban(target, time, jail),
            Request::Unban { target, jail } => self.unban(target, jail.as_deref()),
            Request::Breaker { order } => self.breaker(order),
        }
    }

    fn ban(
        &mut self,
        target: Prefix,
        time: Option<DurationWords>,
        jail: Option<String>,
    ) -> Response {
        let (jail, usual) = match jail {
            None => (Arc::from("manual"), MANUAL),
            Some(name) => match self.jails.iter().find(|jail| **jail.name() == *name) {
                Some(jail) => (Arc::clone(jail.name()), jail.bantime()),
                None => return Response::Error(self.unknown_jail(&name)),
            },
        };
        let now = Timestamp::now();
        let until = time.unwrap_or(usual).from(now);
        let origin = Origin::Manual;
        let order = Order::new(target, Arc::clone(&jail), origin, until);
        match self.judge.ledger.impose(order, now) {
            Err(refusal) => Response::Error(refusal.to_string()),
            Ok(change) => {
                tracing::info!(%jail, offender = %target, "banned by order");
                self.note(change, &jail, origin, None, now);
                self.metrics.ban_imposed(&jail, origin);
                let mut wishes = self.reach.wishes(change.as_slice(), &self.judge.ledger);
                self.reach.offender(target, &self.judge.ledger, &mut wishes);
                self.gate.send(wishes, None);
                self.show();
                match self.judge.ledger.get(target) {
                    Some(ban) => Response::Banned(row(ban, now, false)),
                    None => Response::Error(format!("{target} is not in the ledger")),
                }
            }
        }
    }

    fn unban(&mut self, target: Option<Prefix>, jail: Option<&str>) -> Response {
        if let Some(name) = jail
            && !self.jails.iter().any(|jail| **jail.name() == *name)
            && !Origin::is_named(name)
        {
            return Response::Error(self.unknown_jail(name));
        }
        let held =
            |it: &Self| it.judge.ledger.bans().map(|ban| ban.offender).collect::<BTreeSet<_>>();
        let before = held(self);
        let changes = match (target, jail) {
            (Some(target), jail) => match (self.judge.ledger.lift(target, jail), jail) {
                (Some(changes), _) => changes,
                (None, None) => return Response::Error(format!("{target} is not banned")),
                (None, Some(jail)) => {
                    return Response::Error(format!("{target} is not banned by {jail}"));
                }
            },
            (None, None) => self.judge.ledger.lift_all(),
            (None, Some(jail)) => self.judge.ledger.lift_jail(jail),
        };
        let now = Timestamp::now();
        for change in &changes {
            self.note_lift(*change, jail.unwrap_or("manual"), now);
        }
        // Those who were not enforced are free without a change.
        let gone = held(self);
        let mut lifted: BTreeSet<_> = before.difference(&gone).copied().collect();
        lifted.extend(changes.iter().map(|change| match change {
            Change::Impose { offender, .. }
            | Change::Extend { offender, .. }
            | Change::Lift { offender } => *offender,
        }));
        let lifted = Vec::from_iter(lifted);
        tracing::info!(count = lifted.len(), "lifted by order");
        let mut wishes = self.reach.wishes(&changes, &self.judge.ledger);
        // What one jail gives back may be all that it shut, though another still bans as long.
        wishes.extend(self.reach.all(&self.judge.ledger));
        self.gate.send(wishes, None);
        self.show();
        Response::Lifted(lifted)
    }

    fn breaker(&mut self, order: Option<BreakerOrder>) -> Response {
        let concerned = self.judge.ledger.counts().standing(Standing::Held);
        if let Some(order) = order {
            let enforce = order == BreakerOrder::Release;
            let changes = self.judge.ledger.settle(Standing::Held, enforce);
            self.judge.breaker.reset();
            self.metrics.breaker_tripped.set(0);
            tracing::warn!(count = concerned, ?order, "the breaker is closed by order");
            let mut wishes = self.reach.wishes(&changes, &self.judge.ledger);
            // One who was banned as long already may be so from more now.
            wishes.extend(self.reach.all(&self.judge.ledger));
            self.gate.send(wishes, None);
            self.show();
        }
        let breaker = &self.judge.breaker;
        Response::Breaker(BreakerRow {
            tripped: breaker.tripped().map(|since| since.shown().seconds()),
            held: self.judge.ledger.counts().standing(Standing::Held),
            settled: if order.is_some() { concerned } else { 0 },
            bans_per_minute: breaker.most(),
        })
    }

    fn rows(&self, target: Option<Prefix>) -> Vec<BanRow> {
        let now = Timestamp::now();
        // Of all bans together it would be too much.
        let why = target.is_some();
        let concerned = |ban: &&Ban| {
            target.is_none_or(|target| ban.offender.covers(&target) || target.covers(&ban.offender))
        };
        let mut rows: Vec<_> =
            self.judge.ledger.bans().filter(concerned).map(|ban| row(ban, now, why)).collect();
        rows.sort_by_key(|row| row.offender);
        rows
    }

    fn unknown_jail(&self, name: &str) -> String {
        let names = self.jails.iter().map(|jail| &**jail.name());
        match likely(name, names) {
            Some(meant) => format!("no jail `{name}`; did you mean `{meant}`?"),
            None => format!("no jail `{name}`; `portcullis status` lists them"),
        }
    }
}

fn row(ban: &Ban, now: Timestamp, why: bool) -> BanRow {
    let shown = |until| match until {
        Until::At(end) => Some(end.shown().seconds()),
        Until::Forever => None,
    };
    BanRow {
        offender: ban.offender,
        since: ban.since.shown().seconds(),
        until: shown(ban.until()),
        left: ban.until().left(now).map(|left| left.as_secs_f64()),
        jails: ban
            .shares
            .iter()
            .map(|share| ShareRow {
                jail: share.jail.to_string(),
                origin: share.origin.to_string(),
                scope: share.scope.to_string(),
                until: shown(share.until),
                standing: share.standing.to_string(),
                why: why.then(|| why_row(&share.why)),
            })
            .collect(),
    }
}

fn why_row(why: &Why) -> WhyRow {
    let evidence = why.evidence.iter().map(|it| EvidenceRow {
        time: it.at.shown().seconds(),
        sender: it.sender,
        offender: it.offender,
        user: it.user.as_deref().map(str::to_owned),
        line: it.line.to_string(),
    });
    WhyRow { hits: why.hits, address: why.address, evidence: evidence.collect() }
}

/// A manual ban without a time and a jail.
const MANUAL: DurationWords = DurationWords::For(std::time::Duration::from_secs(3_600));
