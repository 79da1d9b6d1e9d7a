//! The ledger: the one table of bans, and the list of those who are never banned.
//!
//! Enters: offences and orders, with the time. Leaves: [`Change`]s, the only thing that the stages
//! behind it (enforce, store, notify) ever see. Refuses to know: hits, kernels, clocks.

mod change;
mod ledger;
mod never;

pub use change::Change;
pub use ledger::{Ban, Ledger, MOST_BANS, Order, Origin, Refusal, Share};
pub use never::{NeverBan, Reason};
