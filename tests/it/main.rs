//! All integration tests, one binary: corpora, and the real daemon with real packets.

mod nftables;
mod syslog;
mod wire;
