//! All integration tests, one binary: corpora, and the real daemon with real packets.

mod harness; // the daemon as a child process; commands; waiting
mod stage; // attacker, client and server around a gateway that runs the daemon

#[path = "../../benches/traffic/mod.rs"]
#[expect(dead_code, reason = "the benches use the rest")]
mod traffic; // generated logs and bad input, shared with the benches

#[path = "../../benches/measure/watch.rs"]
mod watch; // the kernel tells of new elements, shared with a bench

mod backends; // the same on every backend
mod burst; // very many at once
mod clock; // the wall clock is set
mod commands; // exit codes and JSON of every command
mod fail2ban; // its own filters, unchanged, against its own answers
mod fail2ban_corners; // made-up filters, with its answers
mod differential; // the engine against each pattern alone
mod decisions; // for how long, for whom not, and what waits
mod datagrams; // UDP: nothing is lost without being counted
mod gate; // packets stop, and flow again
mod hostile; // what bad input may cost
mod layers; // who may import whom
mod lines; // filters that look at several lines, and those for some programs only
mod metrics;
mod migrate; // every name, with its labels
mod names;
mod never_ban; // who is never shut out
mod nft; // the daemon's table as `nft` sees it, and when others meddle
mod nftables; // the gate as a library
mod privileges; // as little power as possible
mod restart; // the gate stays down
mod rsyslog; // what real senders send
mod scopes; // what a ban shuts
mod senders; // whose word bans
mod spoof; // the wrong address is never banned
mod startup; // refused, with the right words
mod state; // what outlives the daemon
mod streams; // TCP: framing, limits
mod syslog; // the corpora
mod wire; // namespaces and packets for `nftables`
