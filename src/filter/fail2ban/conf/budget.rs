//! How much work one load may cost, whatever the files say.

use std::cell::Cell;

use super::ConfError;
use crate::model::Place;

/// Bytes looked at while options are put into each other. Ten options that each name the next one ten times would
/// otherwise cost 10¹⁰ steps, even when the result is empty.
#[derive(Debug)]
pub(super) struct Budget {
    left: Cell<usize>,
}

impl Budget {
    /// The budget of one load.
    pub(super) fn new() -> Budget {
        Budget { left: Cell::new(WORK_BYTES) }
    }

    /// Takes `cost`, or says that nothing is left; `place` is where the work was asked for.
    pub(super) fn spend(
        &self,
        cost: usize,
        place: impl FnOnce() -> Place,
    ) -> Result<(), ConfError> {
        match self.left.get().checked_sub(cost.saturating_add(STEP)) {
            Some(left) => {
                self.left.set(left);
                Ok(())
            }
            None => Err(ConfError::at(
                place(),
                "options name each other so often that putting them together was given up; \
                 name fewer of them in each other",
            )),
        }
    }
}

/// The work of one load, in bytes looked at. When it is spent, the load fails.
const WORK_BYTES: usize = 32 << 20;

/// What a step costs besides its bytes.
const STEP: usize = 256;

/// The longest text that an option may become.
pub(super) const VALUE_BYTES: usize = 1 << 20;

/// Refuses a value that grew past [`VALUE_BYTES`].
pub(super) fn fits(length: usize, place: impl FnOnce() -> Place) -> Result<(), ConfError> {
    if length <= VALUE_BYTES {
        return Ok(());
    }
    Err(ConfError::at(
        place(),
        format!(
            "the option grows past {VALUE_BYTES} bytes while other options are put into it; \
             does it name something large many times?"
        ),
    ))
}
