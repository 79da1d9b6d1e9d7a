//! Who is never banned, as that becomes known: facts of this host, names and files, and what
//! `never_ban.command` answers of one offender.

use std::net::IpAddr;
use std::sync::Arc;

use super::Decider;
use crate::ban::{Change, NeverBan, Reason, Standing};
use crate::daemon::never::{Answer, Ask, Listed};
use crate::host::Facts;
use crate::model::{Prefix, Timestamp};

impl Decider {
    pub(super) fn never_changed(&mut self) {
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

    /// Has `never_ban.command` asked. When too many wait to be asked about already, a ban does not
    /// wait: who can flood the gate must not hold it open.
    pub(super) fn ask(
        &mut self,
        jail: Arc<str>,
        offender: Prefix,
        address: IpAddr,
    ) -> Option<Change> {
        match self.asks.try_send(Ask { address, offender, jail }) {
            Ok(()) => None,
            Err(unsent) => {
                self.metrics.never_unasked.add(1);
                let Ask { offender, jail, .. } = unsent.into_inner();
                self.judge.ledger.settle_one(offender, Standing::Asked, Some(&jail), true)
            }
        }
    }

    pub(super) fn answered(&mut self, answer: Answer) {
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
}

pub(super) fn never_ban(
    configured: &[(Prefix, Reason)],
    facts: &Facts,
    listed: &Listed,
) -> NeverBan {
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

/// In the history, as the jail of what the never-ban list lifted.
const NEVER: &str = "never_ban";
