//! The backend that only looks on: bans are decided, shown and counted, not applied.

use super::{Backend, Drops, EnforceError, Mended, Seen, Wish};
use crate::model::{Prefix, Target, Timestamp, Until};

/// Enforces nothing, and never fails.
#[derive(Clone, Copy, Debug, Default)]
pub struct Observe;

impl Backend for Observe {
    fn apply(&mut self, _: &[Wish], _: Timestamp) -> Result<(), EnforceError> {
        Ok(())
    }

    fn sync(
        &mut self,
        _: &[(Target, Until)],
        _: &[Prefix],
        _: Timestamp,
    ) -> Result<Mended, EnforceError> {
        Ok(Mended::default())
    }

    fn set_never(&mut self, _: &[Prefix]) -> Result<(), EnforceError> {
        Ok(())
    }

    fn drops(&mut self) -> Result<Drops, EnforceError> {
        Ok(Drops::default())
    }

    fn look(&mut self) -> Result<Seen, EnforceError> {
        Ok(Seen::AsWritten)
    }

    fn remove(self: Box<Self>) -> Result<(), EnforceError> {
        Ok(())
    }
}
