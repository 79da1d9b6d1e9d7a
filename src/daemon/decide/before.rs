//! What there was before this daemon: the store's bans and counts, and what the kernel still holds.
//!
//! The store knows more, so it comes first; of the two ends the later counts. The never-ban list goes
//! before both: the ledger refuses whom it covers.

use std::sync::Arc;
use std::time::Duration;

use super::{Decider, reach};
use crate::ban::{Order, Origin, Past};
use crate::enforce::nftables::Held;
use crate::model::{Target, Timestamp, Until};
use crate::store::{Count, Notes, Restored};

impl Decider {
    /// What the store remembers. Those who are never banned by now are forgotten there, too.
    pub(super) fn restore(&mut self, restored: Restored, now: Timestamp) {
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

    /// What a clock that was ahead at the start had taken for over. Of two ends the later counts, and of two
    /// counts the higher. Whether there was anything.
    pub(super) fn take_back(&mut self) -> bool {
        let Some(Restored { bans, counts }) = self.memory.take_returned() else { return false };
        tracing::warn!("the clock was ahead when this began: {} bans are not over", bans.len());
        let now = Timestamp::now();
        for ban in bans {
            if let Err(refusal) = self.judge.ledger.restore(ban, now) {
                tracing::warn!("not restored: {refusal}");
            }
        }
        for Count { offender, jail, bans, last } in counts {
            let jail = (!jail.is_empty()).then_some(jail);
            let past = self.judge.history.past(offender, jail.as_ref());
            let (bans, quiet_since) =
                past.map_or((bans, last), |past| (past.bans.max(bans), past.quiet_since.max(last)));
            self.judge.history.restore(Past { offender, jail, bans, quiet_since });
        }
        true
    }

    /// What the kernel holds and the store does not, or not for so long: the later end counts.
    pub(super) fn adopt(&mut self, held: &[Held], now: Timestamp) {
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
}

/// Whether the kernel's end is later than the ledger's. It counts in jiffies, and reading takes time.
fn is_later(kernels: Until, ours: Until) -> bool {
    match (kernels, ours) {
        (Until::At(kernels), Until::At(ours)) => kernels > ours.after(Duration::from_secs(1)),
        (kernels, ours) => kernels > ours,
    }
}
