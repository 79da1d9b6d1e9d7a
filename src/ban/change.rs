//! What leaves the ledger.

use crate::model::{Prefix, Until};

/// A change of what holds for an offender, over all jails together.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Change {
    /// He was free and is banned.
    Impose {
        /// Who.
        offender: Prefix,
        /// How long.
        until: Until,
    },
    /// He is banned and that ends at another time than was said before.
    Extend {
        /// Who.
        offender: Prefix,
        /// How long now.
        until: Until,
    },
    /// He is free.
    Lift {
        /// Who.
        offender: Prefix,
    },
}
