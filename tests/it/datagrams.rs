//! UDP: every datagram that was sent is counted as received or as dropped, and odd ones are taken.

use std::net::{IpAddr, SocketAddr, UdpSocket};

use nix::sys::signal::Signal;
use portcullis::store::{History, Query};

use crate::harness::{Daemon, HERE, failed};

#[test]
fn sent_is_received_plus_dropped_exactly() {
    let daemon = Daemon::on_loopback("[jail.sshd]\n");
    let mut sent = 0;
    for here in HERE {
        let listener = format!("listener=\"udp {}\"", daemon.address("udp", here));
        let before = daemon.metric(RECEIVED, UDP);
        // While it stands still the buffers fill: 32 MiB for root, as little as 208 KiB for others.
        daemon.signal(Signal::SIGSTOP);
        let count = flood(&daemon, here);
        daemon.signal(Signal::SIGCONT);
        sent += count;
        let all = crate::harness::wait_until(crate::harness::LONG, || {
            let [received, dropped] = [(RECEIVED, UDP), (DROPPED, &listener)]
                .map(|(name, labels)| daemon.metric(name, labels) as u64);
            (received - before as u64 + dropped >= count).then_some((received, dropped))
        });
        let (received, dropped) = all.expect("received and dropped add up to what was sent");
        assert!(dropped > 0, "the buffer held all of {count}: nothing is shown");
        assert!(received as f64 > before, "nothing was received");
    }
    // Nothing comes after, either: exactly as many, over both.
    let total = daemon.metric(RECEIVED, UDP) + daemon.metric(DROPPED, "");
    assert_eq!(total as u64, sent);
    let parsed = daemon.metric("portcullis_messages_parsed_total", "");
    assert_eq!(parsed, daemon.metric(RECEIVED, UDP), "and whatever was received was read");
    let listeners = daemon.status()["listeners"].clone();
    let shown = listeners.as_array().unwrap().iter().filter_map(|it| it["dropped"].as_u64());
    assert_eq!(shown.sum::<u64>() as f64, daemon.metric(DROPPED, ""), "status says the same");
}

/// Sends from several ports, so that every worker's socket gets a share. How many.
fn flood(daemon: &Daemon, here: IpAddr) -> u64 {
    let to = daemon.address("udp", here);
    let sockets: [UdpSocket; 8] = std::array::from_fn(|_| UdpSocket::bind((here, 0)).unwrap());
    // A datagram takes its length rounded up to a power of two or so, of the receive buffer.
    let line = format!("<38>Nov 22 10:00:00 host flood[1]: {}", "x".repeat(1800));
    for number in 0..FLOOD {
        sockets[number % sockets.len()].send_to(line.as_bytes(), to).unwrap();
    }
    FLOOD as u64
}

#[test]
fn what_the_kernel_holds_at_a_stop_is_still_read() {
    let daemon = Daemon::on_loopback("[breaker]\nbans_per_minute = 0\n[jail.sshd]\nmaxretry = 1\n");
    let home = std::sync::Arc::clone(&daemon.home);
    // It sees the signal and the datagrams at once; what was sent before the signal counts, if it found room.
    daemon.signal(Signal::SIGSTOP);
    let mut held = 0;
    for (family, here) in HERE.into_iter().enumerate() {
        let socket = UdpSocket::bind((here, 0)).unwrap();
        for number in 0..HELD {
            let offender = match family {
                0 => format!("10.0.{}.{}", number >> 8, number & 255),
                _ => format!("2001:db8:7:{number:x}::1"),
            };
            socket.send_to(failed(offender).as_bytes(), daemon.address("udp", here)).unwrap();
        }
        held += HELD - dropped(daemon.address("udp", here));
    }
    assert!(held > HELD / 10);
    daemon.signal(Signal::SIGTERM);
    daemon.signal(Signal::SIGCONT);
    assert_eq!(daemon.end(Signal::SIGTERM).code, Some(0));
    let history = History::open(&home.state()).unwrap();
    assert_eq!(history.events(&Query::default(), usize::MAX).unwrap().len(), held);
}

/// What the kernel had no room for at this port: the last column (Documentation/networking/proc_net_tcp has the
/// others).
fn dropped(at: SocketAddr) -> usize {
    let table = if at.is_ipv4() { "/proc/net/udp" } else { "/proc/net/udp6" };
    let table = std::fs::read_to_string(table).unwrap();
    let port = format!(":{:04X}", at.port());
    let ours = table.lines().map(|line| line.split_whitespace().collect::<Vec<_>>());
    let ours: Vec<_> = ours.filter(|it| it[1].ends_with(&port)).collect();
    assert!(!ours.is_empty(), "{at} is not in {table}");
    ours.iter().map(|it| it.last().unwrap().parse::<usize>().unwrap()).sum()
}

#[test]
fn the_empty_and_the_largest_are_counted() {
    let daemon = Daemon::on_loopback("[jail.sshd]\nmaxretry = 1\n");
    for (number, (here, longest)) in HERE.into_iter().zip([65_507, 65_527]).enumerate() {
        let to = daemon.address("udp", here);
        let socket = UdpSocket::bind((here, 0)).unwrap();
        socket.send_to(b"", to).unwrap();
        let mut line = failed(format!("203.0.113.{number}")).into_bytes();
        // The address stands at the end of the largest datagram there is: its end is not lost.
        let pad = longest - line.len();
        line.splice(0..4, format!("<38>{}", " ".repeat(pad)).into_bytes());
        let padded = String::from_utf8(line).unwrap();
        assert_eq!(padded.len(), longest);
        socket.send_to(padded.as_bytes(), to).unwrap();
    }
    daemon.wait_for_metric(RECEIVED, UDP, 4.0);
    daemon.wait_for_metric("portcullis_messages_refused_total", "reason=\"empty\"", 2.0);
    daemon.wait_for_metric("portcullis_messages_parsed_total", "", 2.0);
    assert_eq!(daemon.metric("portcullis_messages_truncated_total", ""), 0.0);
    daemon.wait_to_say("empty datagrams");
}

#[test]
fn bytes_that_are_no_text_are_matched() {
    let daemon = Daemon::on_loopback("[jail.sshd]\nmaxretry = 1\n");
    for (here, offender) in HERE.into_iter().zip(["203.0.113.7", "2001:db8:7::7"]) {
        let mut line = failed(offender).into_bytes();
        let at = line.windows(4).position(|it| it == b"root").unwrap();
        line.splice(at..at + 4, *b"r\xff\xc3(\x80t");
        let socket = UdpSocket::bind((here, 0)).unwrap();
        socket.send_to(&line, daemon.address("udp", here)).unwrap();
    }
    daemon.wait_for_bans(&["203.0.113.7", "2001:db8:7::/64"]);
}

#[test]
fn a_datagram_is_one_message_whatever_is_in_it() {
    // RFC 5426 section 3.1: one message a datagram. A line feed in it begins nothing new.
    let daemon = Daemon::on_loopback("[jail.sshd]\nmaxretry = 1\n");
    for here in HERE {
        let socket = UdpSocket::bind((here, 0)).unwrap();
        let smuggled = format!("<13>x: y\n{}\n{}", failed("203.0.113.9"), failed("203.0.113.9"));
        for line in [smuggled.as_str(), "\0\0\0", "<", "<999>", "<38>"] {
            socket.send_to(line.as_bytes(), daemon.address("udp", here)).unwrap();
        }
    }
    daemon.wait_for_metric("portcullis_messages_parsed_total", "", 10.0);
    assert_eq!(daemon.metric("portcullis_hits_total", ""), 0.0);
    assert_eq!(daemon.banned(), [""; 0]);
}

/// More than are read before the stop is noticed; root's buffers hold all of them.
const HELD: usize = 2_000;
const FLOOD: usize = 40_000;
const RECEIVED: &str = "portcullis_messages_received_total";
const DROPPED: &str = "portcullis_kernel_dropped_datagrams_total";
const UDP: &str = "protocol=\"udp\"";
