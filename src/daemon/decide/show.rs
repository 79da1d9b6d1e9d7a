//! The figures that metrics and `status` show of the ledger, the detector and the store.

use std::time::Instant;

use super::Decider;
use crate::ban::Standing;

impl Decider {
    pub(super) fn show(&mut self) {
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
