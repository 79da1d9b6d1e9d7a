//! What the daemon says when it is ready.

use std::io::Write;
use std::net::SocketAddr;
use std::path::Path;
use std::time::Duration;

use super::open::Sockets;
use crate::pipeline::Rules;

pub(super) struct Facts<'a> {
    pub(super) listening: &'a [String],
    pub(super) metrics: SocketAddr,
    pub(super) control: &'a Path,
    pub(super) rules: &'a Rules,
    pub(super) compiled: Duration,
    pub(super) jails: usize,
    pub(super) origin: &'a str,
    pub(super) enforcement: &'a str,
    pub(super) memory: &'a str,
}

/// The listeners with their real ports: `udp 127.0.0.1:5514 (trust ban)`.
pub(super) fn listening(sockets: &Sockets) -> Vec<String> {
    let udp = sockets.datagrams.iter().map(|it| (it.listener, it.receivers[0].local_address()));
    let tcp = sockets
        .streams
        .iter()
        .map(|it| (it.listener, it.socket.local_addr().unwrap_or(it.listener.address)));
    udp.chain(tcp)
        .map(|(listener, address)| {
            format!("{} {address} (trust {})", listener.protocol, listener.trust)
        })
        .collect()
}

/// Prints it. Nobody listening to it is no reason to stop.
pub(super) fn print(facts: &Facts<'_>) {
    let mut out = std::io::stdout().lock();
    _ = write(&mut out, facts).and_then(|()| out.flush());
}

fn write(out: &mut impl Write, facts: &Facts<'_>) -> std::io::Result<()> {
    let (filters, patterns) = facts.rules.size();
    writeln!(out, "portcullis {} is ready", env!("CARGO_PKG_VERSION"))?;
    writeln!(out, "  config     {}", facts.origin)?;
    for (at, listener) in facts.listening.iter().enumerate() {
        writeln!(out, "  {:<10} {listener}", if at == 0 { "listening" } else { "" })?;
    }
    writeln!(out, "  metrics    http://{}/metrics", facts.metrics)?;
    writeln!(out, "  control    {}", facts.control.display())?;
    writeln!(
        out,
        "  filters    {filters} filters with {patterns} patterns for {} jails, compiled in {} ms",
        facts.jails,
        facts.compiled.as_millis()
    )?;
    writeln!(out, "  state      {}", facts.memory)?;
    writeln!(out, "  firewall   {}", facts.enforcement)?;
    if let Some(line) = try_it(facts.listening) {
        let program = std::env::args().next().unwrap_or_else(|| "portcullis".to_owned());
        writeln!(out, "Make something happen (an address set aside for documentation, RFC 5737):")?;
        writeln!(out, "  {line}")?;
        writeln!(out, "  {program} bans --control {}", facts.control.display())?;
    }
    Ok(())
}

/// A `logger` line that makes five hits of the sshd jail, if there is a UDP listener whose word
/// bans.
fn try_it(listening: &[String]) -> Option<String> {
    let address: SocketAddr = listening
        .iter()
        .filter(|it| it.contains("(trust ban)"))
        .find_map(|it| it.strip_prefix("udp "))
        .and_then(|it| it.split_whitespace().next())?
        .parse()
        .ok()?;
    let host = if address.ip().is_unspecified() {
        if address.is_ipv4() { "127.0.0.1".to_owned() } else { "::1".to_owned() }
    } else {
        address.ip().to_string()
    };
    Some(format!(
        "for i in 1 2 3 4 5; do logger -n {host} -P {} -d -t sshd -i \
         'Failed password for root from 203.0.113.7 port 4242 ssh2'; done",
        address.port()
    ))
}
