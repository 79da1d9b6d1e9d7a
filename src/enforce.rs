//! Changes to the kernel: what the ledger says becomes what the firewall does.
//!
//! Enters: [`Change`]s, and now and then the whole list. Leaves: nothing but effects, and the
//! figures that the kernel keeps. Refuses to know hits, jails and why somebody is banned.

pub mod nftables;
mod observe;
mod route;

pub use nftables::{Drops, Gate, GateError, Mended, Seen, Tally};
pub use observe::Observe;
pub use route::{RouteError, Routes};

use crate::ban::Change;
use crate::model::{Prefix, Target, Timestamp, Until};

/// What shall hold for a target.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Wish {
    /// Whom to keep out, and from what.
    pub target: Target,
    /// How long; `None` lets him in.
    pub until: Option<Until>,
}

impl From<Change> for Wish {
    /// Of everything.
    fn from(change: Change) -> Wish {
        match change {
            Change::Impose { offender, until } | Change::Extend { offender, until } => {
                Wish { target: offender.into(), until: Some(until) }
            }
            Change::Lift { offender } => Wish { target: offender.into(), until: None },
        }
    }
}

/// Something that keeps banned offenders out.
pub trait Backend: Send {
    /// Makes it so, in order, all or none.
    fn apply(&mut self, wishes: &[Wish], now: Timestamp) -> Result<(), EnforceError>;

    /// Makes the kernel hold exactly this, and returns what it held otherwise. What stays is never
    /// absent meanwhile.
    fn sync(
        &mut self,
        bans: &[(Target, Until)],
        never: &[Prefix],
        now: Timestamp,
    ) -> Result<Mended, EnforceError>;

    /// Replaces the list of those who are let in whatever is banned.
    fn set_never(&mut self, never: &[Prefix]) -> Result<(), EnforceError>;

    /// What was dropped since the backend's counters were made.
    fn drops(&mut self) -> Result<Drops, EnforceError>;

    /// Whether somebody else changed what enforcement needs. Cheap: called several times a second.
    fn look(&mut self) -> Result<Seen, EnforceError>;

    /// Takes everything away.
    fn remove(self: Box<Self>) -> Result<(), EnforceError>;
}

/// Why the kernel did not do as told.
#[derive(Debug, thiserror::Error)]
pub enum EnforceError {
    /// nftables refused.
    #[error(transparent)]
    Nftables(#[from] GateError),
    /// The routing tables refused.
    #[error(transparent)]
    Route(#[from] RouteError),
}

impl EnforceError {
    /// Whether all that was possible has been done, and trying at once again is no use.
    pub fn is_settled(&self) -> bool {
        matches!(
            self,
            EnforceError::Nftables(GateError::Full { .. } | GateError::Everybody(_))
                | EnforceError::Route(RouteError::Full(_) | RouteError::Narrow(_))
        )
    }
}

impl Backend for Gate {
    fn apply(&mut self, wishes: &[Wish], now: Timestamp) -> Result<(), EnforceError> {
        Ok(Gate::apply(self, wishes, now)?)
    }

    fn sync(
        &mut self,
        bans: &[(Target, Until)],
        never: &[Prefix],
        now: Timestamp,
    ) -> Result<Mended, EnforceError> {
        Ok(Gate::sync(self, bans, never, now)?)
    }

    fn set_never(&mut self, never: &[Prefix]) -> Result<(), EnforceError> {
        Ok(Gate::set_never(self, never)?)
    }

    fn drops(&mut self) -> Result<Drops, EnforceError> {
        Ok(Gate::drops(self)?)
    }

    fn look(&mut self) -> Result<Seen, EnforceError> {
        Ok(Gate::look(self)?)
    }

    fn remove(self: Box<Self>) -> Result<(), EnforceError> {
        Ok(Gate::remove(*self)?)
    }
}
