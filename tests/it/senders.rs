//! Whose word bans: trusted senders alone. The others are counted, or refused unread.

use std::io::Write;
use std::net::{IpAddr, SocketAddr, TcpStream};

use portcullis::lab::{ATTACKER, CLIENT, GATEWAY, Host, SERVER, in_namespace};

use crate::harness::{Daemon, HERE, failed};
use crate::stage::{SSHD, Stage};

#[test]
fn the_untrusted_ban_nobody_and_are_counted() {
    in_namespace("senders::the_untrusted_ban_nobody_and_are_counted", || {
        let [v4, v6] = CLIENT.both();
        let stage = Stage::new(&format!(
            "{SSHD}[[sender]]\nname = \"printer\"\naddresses = [\"{v4}\", \"{v6}\"]\n\
             trust = \"refuse\"\n"
        ));
        let (net, daemon) = (&stage.net, &stage.daemon);
        for victim in SERVER.both().map(next_to) {
            // The attacker is nobody's sender: the listener's `count` holds. The client is refused.
            for (host, times) in [(&net.attacker, 20), (&net.client, 7)] {
                for _ in 0..times {
                    let to = SocketAddr::new(GATEWAY.like(victim), 514);
                    host.udp_send(failed(victim).as_bytes(), to).unwrap();
                }
                over_tcp(host, victim, times);
            }
        }
        // A refused connection is closed at once: nothing is received over it.
        daemon.wait_for_metric("portcullis_messages_received_total", "udp", 2.0 * 27.0);
        daemon.wait_for_metric("portcullis_messages_received_total", "tcp", 2.0 * 20.0);
        daemon.wait_for_metric("portcullis_offenders_spared_total", "untrusted", 80.0);
        daemon.wait_for_metric("portcullis_messages_refused_total", "sender", 2.0 * 7.0 + 2.0);
        assert_eq!(daemon.metric("portcullis_hits_total", "sshd"), 80.0, "shown all the same");
        assert_eq!(daemon.metric("portcullis_messages_parsed_total", ""), 80.0, "refused unread");
        assert_eq!(daemon.banned(), [""; 0]);
        // The same lines of the trusted one do ban: the test can fail.
        for address in ATTACKER.both() {
            stage.report(address, 3);
            net.wait_shut(&net.attacker, address);
        }
    });
}

#[test]
fn the_hostname_field_is_no_proof() {
    // A line that claims to be of a trusted host still comes from where it comes.
    let daemon = Daemon::on_loopback(
        "[jail.sshd]\nmaxretry = 1\n\
         [[sender]]\nname = \"here\"\naddresses = [\"127.0.0.0/8\", \"::1\"]\ntrust = \"count\"\n\
         [[sender]]\nname = \"dmz\"\naddresses = [\"192.0.2.10\"]\ntrust = \"ban\"\n",
    );
    for here in HERE {
        let line = failed("198.51.100.66").replace(" server ", " 192.0.2.10 ");
        let socket = std::net::UdpSocket::bind((here, 0)).unwrap();
        socket.send_to(line.as_bytes(), daemon.address("udp", here)).unwrap();
    }
    daemon.wait_for_metric("portcullis_offenders_spared_total", "untrusted", 2.0);
    assert_eq!(daemon.banned(), [""; 0]);
}

fn over_tcp(host: &Host, victim: IpAddr, times: usize) {
    let to = SocketAddr::new(GATEWAY.like(victim), 514);
    let text = format!("{}\n", failed(victim)).repeat(times);
    host.run(move || TcpStream::connect(to).unwrap().write_all(text.as_bytes()).unwrap());
}

/// Somebody who may be banned.
fn next_to(address: IpAddr) -> IpAddr {
    match address {
        IpAddr::V4(v4) => IpAddr::V4((v4.to_bits() + 1).into()),
        IpAddr::V6(v6) => IpAddr::V6((v6.to_bits() + (1 << 64)).into()),
    }
}
