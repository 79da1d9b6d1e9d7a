//! Portcullis: a syslog receiver for gateways that bans attackers for the whole network behind them.
//!
//! ```text
//! packet → input → bytes → syslog → Message → matcher → Hit → detect → Offence → ban → Change → enforce
//! ```
//!
//! The modules in the order of the flow. A stage imports only stages upstream of it and [`model`];
//! [`config`], [`daemon`] and [`cli`] see everything, and nothing in the flow imports them (`tests/it/layers.rs`
//! holds this). [`syslog`] to [`ban`] are pure: bytes and the time go in, values come out.

pub mod model; // the words that all share: prefixes, times, ids
pub mod input; // sockets → bytes, and who sent them
pub mod syslog; // bytes → Message
pub mod filter; // what people write → checked patterns
pub mod matcher; // patterns → one automaton; Message → matches
pub mod pipeline; // Worker: parse and match joined, the only copy
pub mod detect; // hits → offences: sliding windows
pub mod ban; // offences → the ledger → changes
pub mod enforce; // changes → the kernel
pub mod store; // bans and history on disk, and back
pub mod control; // orders over a unix socket
pub mod host; // this host's own addresses, never banned
pub mod metrics; // every metric once; the HTTP endpoint
pub mod config; // the operator's file → Plan
pub mod daemon; // wiring: start, run, stop
pub mod lab; // a network of namespaces, for the demo and the tests
pub mod cli; // one file per command
