//! Orders of the operator, carried out on the ledger.

use std::sync::Arc;

use super::Decider;
use crate::ban::{Ban, Change, Order, Origin};
use crate::control::{BanRow, Request, Response, ShareRow};
use crate::model::{DurationWords, Prefix, Timestamp, Until, likely};

impl Decider {
    /// Carries out an order. `Status` is not for the decider.
    pub(super) fn order(&mut self, request: Request) -> Response {
        match request {
            Request::Status => Response::Error("status is answered by the daemon".to_owned()),
            Request::Bans { target } => Response::Bans(self.rows(target)),
            Request::Ban { target, time, jail } => self.ban(target, time, jail),
            Request::Unban { target, jail } => self.unban(target, jail.as_deref()),
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
            Some(name) => match self.jails.iter().find(|jail| *jail.name == *name) {
                Some(jail) => (Arc::clone(&jail.name), jail.bantime),
                None => return Response::Error(self.unknown_jail(&name)),
            },
        };
        let now = Timestamp::now();
        let until = time.unwrap_or(usual).from(now);
        let origin = Origin::Manual;
        let order =
            Order { offender: target, address: None, jail: Arc::clone(&jail), origin, until };
        match self.ledger.impose(order, now) {
            Err(refusal) => Response::Error(refusal.to_string()),
            Ok(change) => {
                tracing::info!(%jail, offender = %target, "banned by order");
                self.note(change, &jail, origin, None, now);
                self.metrics.ban_imposed(&jail, origin);
                self.gate.send(change.into_iter().collect(), None);
                self.show();
                match self.ledger.get(target) {
                    Some(ban) => Response::Banned(row(ban, now)),
                    None => Response::Error(format!("{target} is not in the ledger")),
                }
            }
        }
    }

    fn unban(&mut self, target: Option<Prefix>, jail: Option<&str>) -> Response {
        if let Some(name) = jail
            && !self.jails.iter().any(|jail| *jail.name == *name)
            && !Origin::is_named(name)
        {
            return Response::Error(self.unknown_jail(name));
        }
        let changes = match (target, jail) {
            (Some(target), jail) => match (self.ledger.lift(target, jail), jail) {
                (Some(changes), _) => changes,
                (None, None) => return Response::Error(format!("{target} is not banned")),
                (None, Some(jail)) => {
                    return Response::Error(format!("{target} is not banned by {jail}"));
                }
            },
            (None, None) => self.ledger.lift_all(),
            (None, Some(jail)) => self.ledger.lift_jail(jail),
        };
        let now = Timestamp::now();
        for change in &changes {
            self.note_lift(*change, jail.unwrap_or("manual"), now);
        }
        let lifted: Vec<_> = changes
            .iter()
            .map(|change| match change {
                Change::Impose { offender, .. }
                | Change::Extend { offender, .. }
                | Change::Lift { offender } => *offender,
            })
            .collect();
        tracing::info!(count = lifted.len(), "lifted by order");
        self.gate.send(changes, None);
        self.show();
        Response::Lifted(lifted)
    }

    fn rows(&self, target: Option<Prefix>) -> Vec<BanRow> {
        let now = Timestamp::now();
        let concerned = |ban: &&Ban| {
            target.is_none_or(|target| ban.offender.covers(&target) || target.covers(&ban.offender))
        };
        let mut rows: Vec<_> =
            self.ledger.bans().filter(concerned).map(|ban| row(ban, now)).collect();
        rows.sort_by_key(|row| row.offender);
        rows
    }

    fn unknown_jail(&self, name: &str) -> String {
        let names = self.jails.iter().map(|jail| &*jail.name);
        match likely(name, names) {
            Some(meant) => format!("no jail `{name}`; did you mean `{meant}`?"),
            None => format!("no jail `{name}`; `portcullis status` lists them"),
        }
    }
}

fn row(ban: &Ban, now: Timestamp) -> BanRow {
    let shown = |until| match until {
        Until::At(end) => Some(end.seconds()),
        Until::Forever => None,
    };
    BanRow {
        offender: ban.offender,
        since: ban.since.seconds(),
        until: shown(ban.until()),
        left: ban.until().left(now).map(|left| left.as_secs_f64()),
        jails: ban
            .shares
            .iter()
            .map(|share| ShareRow {
                jail: share.jail.to_string(),
                origin: share.origin.to_string(),
                until: shown(share.until),
            })
            .collect(),
    }
}

/// A manual ban without a time and a jail.
const MANUAL: DurationWords = DurationWords::For(std::time::Duration::from_secs(3_600));
