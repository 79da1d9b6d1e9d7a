//! The judge and his ledger: the one table of bans, and the list of those who are never banned.
//!
//! Enters: hits and orders, with the time. Leaves: [`Change`]s, the only thing that the stages
//! behind it (enforce, store, notify) ever see. Refuses to know: lines, kernels, clocks.

mod breaker;
mod change;
mod growth;
mod history;
mod judge;
mod ledger;
mod never;

pub use breaker::Breaker;
pub use change::Change;
pub use growth::Growth;
pub use history::{History, MOST_PASTS, Past};
pub use judge::{Decided, Escalate, JailScope, Judge, Terms};
pub use ledger::{
    Ban, Counts, Imposed, Ledger, MOST_BANS, MOST_SCOPES, Order, Origin, Refusal, Share, Standing,
    Why,
};
pub use never::{NeverBan, Reason};
