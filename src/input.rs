//! What comes in: bytes, and who sent them.
//!
//! Owns sockets, the cutting of streams into frames, and the table of who may speak. Enters:
//! packets and reads. Leaves: borrowed bytes with a sender's address. Refuses to know what a syslog
//! message looks like inside, beyond what framing needs of its first bytes.

#[cfg(test)]
pub(crate) mod allocations;
mod bind;
pub mod framing;
mod listener;
mod senders;
pub mod udp;

pub use bind::BindError;
pub use listener::{Listener, Protocol};
pub use senders::{Sender, Senders, SendersError};
