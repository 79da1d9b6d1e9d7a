//! The network of the tests with real packets: attacker, client and server around a gateway that
//! runs the daemon. Be inside [`portcullis::lab::in_namespace`].

use std::net::{IpAddr, SocketAddr, TcpListener};
use std::process::Command;
use std::sync::Arc;
use std::time::Duration;

use portcullis::lab::{ATTACKER, CLIENT, GATEWAY, Host, Lab, Probe, SERVER, in_namespace};

use crate::harness::{Daemon, Home, SOON, eventually, failed, finish};

/// Everything that runs. The daemon goes first.
pub(crate) struct Stage {
    pub(crate) daemon: Daemon,
    pub(crate) net: Net,
}

/// The network alone, for daemons that come and go.
pub(crate) struct Net {
    pub(crate) lab: Lab,
    pub(crate) attacker: Host,
    pub(crate) client: Host,
    pub(crate) server: Host,
    /// What visitors knock at: the server behind the gateway and the gateway itself, both families.
    doors: Vec<TcpListener>,
}

impl Stage {
    /// With the usual listeners and the server as trusted sender; `jails` is the rest.
    pub(crate) fn new(jails: &str) -> Stage {
        let net = Net::new();
        let daemon = Daemon::start(&Home::new(&configuration(jails)));
        Stage { daemon, net }
    }

    /// The server reports failed log-ins of `offender`, over UDP and the offender's family.
    pub(crate) fn report(&self, offender: IpAddr, times: usize) {
        self.net.report(offender, times);
    }
}

impl Net {
    pub(crate) fn new() -> Net {
        let mut lab = Lab::new().unwrap();
        let [attacker, client, server] =
            [("attacker", ATTACKER), ("client", CLIENT), ("server", SERVER)]
                .map(|(name, addresses)| lab.host(name, addresses).unwrap());
        let mut doors: Vec<_> =
            GATEWAY.both().map(|it| TcpListener::bind((it, DOOR)).unwrap()).into();
        doors.extend(server.run(|| SERVER.both().map(|it| TcpListener::bind((it, DOOR)).unwrap())));
        Net { lab, attacker, client, server, doors }
    }

    pub(crate) fn report(&self, offender: IpAddr, times: usize) {
        let to = SocketAddr::new(GATEWAY.like(offender), 514);
        for _ in 0..times {
            self.server.udp_send(failed(offender).as_bytes(), to).unwrap();
        }
    }

    /// The server reports the attacker, by both of his addresses.
    pub(crate) fn report_attacker(&self, times: usize) {
        for address in ATTACKER.both() {
            self.report(address, times);
        }
    }

    /// What a host gets when it knocks at the server behind the gateway, and at the gateway itself.
    pub(crate) fn knock(&self, host: &Host, like: IpAddr, patience: Duration) -> [Probe; 2] {
        [SERVER, GATEWAY]
            .map(|it| host.tcp_probe(SocketAddr::new(it.like(like), DOOR), patience).unwrap())
    }

    /// Fails unless `host` gets through to both.
    pub(crate) fn assert_open(&self, host: &Host, like: IpAddr) {
        assert_eq!(self.knock(host, like, SOON), [Probe::Open; 2], "{} {like}", host.name());
        for door in &self.doors {
            // So that the queue of those who wait never fills.
            door.set_nonblocking(true).unwrap();
            while door.accept().is_ok() {}
        }
    }

    /// Fails unless `host` gets through to both in a while.
    pub(crate) fn wait_open(&self, host: &Host, like: IpAddr) {
        eventually("packets flow", || self.knock(host, like, BRIEFLY) == [Probe::Open; 2]);
    }

    /// Fails unless nothing of `host` gets through any more in a while. The list of bans may be a
    /// little ahead of the kernel.
    pub(crate) fn wait_shut(&self, host: &Host, like: IpAddr) {
        let shut = [Probe::NoAnswer; 2];
        eventually("the gate falls", || self.knock(host, like, BRIEFLY) == shut);
    }

    /// [`Net::wait_open`] for the attacker, in both families.
    pub(crate) fn wait_attacker_open(&self) {
        for address in ATTACKER.both() {
            self.wait_open(&self.attacker, address);
        }
    }

    /// [`Net::wait_shut`] for the attacker, in both families.
    pub(crate) fn wait_attacker_shut(&self) {
        for address in ATTACKER.both() {
            self.wait_shut(&self.attacker, address);
        }
    }
}

/// [`in_namespace`], but never with rights over the machine's own network: what an unprivileged
/// user has, even when root runs the tests.
pub(crate) fn in_user_namespace(test: &str, body: impl FnOnce()) {
    const INSIDE: &str = "PORTCULLIS_IT_USER";
    if std::env::var_os(INSIDE).is_some() {
        return in_namespace(test, body);
    }
    let mut command = Command::new("unshare");
    command.args(["--user", "--map-root-user", "--"]).arg(std::env::current_exe().unwrap());
    command.args(["--exact", test, "--nocapture", "--include-ignored"]).env(INSIDE, "1");
    let ran = finish(command);
    assert!(ran.code == Some(0) && ran.out.contains("1 passed"), "{}\n{}", ran.out, ran.err);
}

/// A [`Daemon`] with the usual configuration in a home of its own.
pub(crate) fn home(jails: &str) -> Arc<Home> {
    Home::new(&configuration(jails))
}

/// What an operator would write for this network.
pub(crate) fn configuration(jails: &str) -> String {
    let [v4, v6] = SERVER.both();
    let listeners: String = ["udp", "tcp"]
        .iter()
        .flat_map(|protocol| ["0.0.0.0:514", "[::]:514"].map(|address| (protocol, address)))
        .map(|(protocol, address)| {
            format!(
                "[[listen]]\nprotocol = \"{protocol}\"\naddress = \"{address}\"\ntrust = \"count\"\n"
            )
        })
        .collect();
    format!(
        "{listeners}\n[[sender]]\nname = \"server\"\naddresses = [\"{v4}\", \"{v6}\"]\n\
         trust = \"ban\"\n[firewall]\nbackend = \"nftables\"\n{jails}"
    )
}

/// What most tests need of jails.
pub(crate) const SSHD: &str = "[jail.sshd]\nmaxretry = 3\nbantime = \"10m\"\n";

/// What the ban of the attacker is called, by family.
pub(crate) const OFFENDERS: [&str; 2] = ["198.51.100.66", "2001:db8:a::/64"];

/// For what must not happen: a LAN answers in a thousandth of that.
pub(crate) const BRIEFLY: Duration = Duration::from_millis(300);

const DOOR: u16 = 8000;
