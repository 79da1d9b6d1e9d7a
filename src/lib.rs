//! Portcullis: a syslog receiver for gateways that bans attackers for the whole network behind them.
pub mod ban;
pub mod filter;
pub mod matcher;
pub mod model;
