//! How much the ledger holds, kept while it changes: to count a quarter of a million bans takes long.

use std::collections::HashMap;
use std::sync::Arc;

use super::{Share, Standing};

/// Shares by jail and standing, and the hits that they hold: kept, because counting them takes long.
#[derive(Clone, Debug, Default)]
pub struct Counts {
    pub(super) by_jail: HashMap<Arc<str>, usize>,
    by_standing: [usize; 4],
    pub(super) evidence: usize,
}

impl Counts {
    /// How many offenders each jail holds.
    pub fn by_jail(&self) -> &HashMap<Arc<str>, usize> {
        &self.by_jail
    }

    /// How many shares have this standing.
    pub fn standing(&self, standing: Standing) -> usize {
        self.by_standing[standing as usize]
    }

    pub(super) fn add(&mut self, shares: &[Share]) {
        for jail in jails(shares) {
            *self.by_jail.entry(Arc::clone(jail)).or_default() += 1;
        }
        for share in shares {
            self.by_standing[share.standing as usize] += 1;
            self.evidence += share.why.evidence.len();
        }
    }

    pub(super) fn take(&mut self, shares: &[Share]) {
        for jail in jails(shares) {
            if let Some(count) = self.by_jail.get_mut(jail) {
                *count -= 1;
            }
        }
        for share in shares {
            self.by_standing[share.standing as usize] -= 1;
            self.evidence -= share.why.evidence.len();
        }
    }
}

/// Each jail once: it may hold a share for each scope.
fn jails(shares: &[Share]) -> impl Iterator<Item = &Arc<str>> {
    let is_first = |at: usize| !shares[..at].iter().any(|it| it.jail == shares[at].jail);
    (0..shares.len()).filter(move |at| is_first(*at)).map(|at| &shares[at].jail)
}
