//! Bans from some hosts or ports only, and what packets of the banned get.

use std::io::{ErrorKind, Read, Write};
use std::net::{IpAddr, TcpListener, TcpStream, UdpSocket};

use super::*;
use portcullis::model::{Ports, Transport};

/// Two hosts of one family to speak to, and somebody who does.
const FAMILIES: [(&str, &str, &str); 2] =
    [("127.0.0.2", "127.0.0.1", "127.0.0.99"), ("2001:db8:1::1", "::1", "2001:db8:2::1")];

fn shut(gate: &mut Gate, offender: &str, scope: Scope, until: Option<Until>) {
    let target = Target::new(prefix(offender), scope);
    gate.apply(&[Wish { target, until }], Timestamp::now()).unwrap();
}

fn ports(texts: &[&str]) -> Scope {
    Scope::Ports(Ports::new(texts.iter().map(|text| text.parse().unwrap())).unwrap())
}

/// Whether a datagram from `from` arrives at `to`, port `port`.
fn datagram(from: &str, to: &str, port: u16) -> bool {
    let receiver = UdpSocket::bind((to, port)).unwrap();
    let sender = UdpSocket::bind((from, 0)).unwrap();
    let marker =
        UdpSocket::bind((if to.contains(':') { "2001:db8:3::1" } else { "127.255.0.1" }, 0));
    // An earlier answer of "reject" is an error of the socket.
    _ = sender.send_to(b"x", (to, port));
    let marker = marker.unwrap();
    marker.send_to(b"m", (to, port)).unwrap();
    receiver.set_read_timeout(Some(Duration::from_secs(5))).unwrap();
    let mut arrived = false;
    loop {
        let (_, source) = receiver.recv_from(&mut [0; 8]).expect("the marker arrives");
        if source == marker.local_addr().unwrap() {
            return arrived;
        }
        arrived = true;
    }
}

/// What a connection from `from` meets.
fn connection(from: &str, to: &str, port: u16) -> Result<(), ErrorKind> {
    use socket2::{Domain, Socket, Type};
    let from: IpAddr = from.parse().unwrap();
    let to: IpAddr = to.parse().unwrap();
    let listener = TcpListener::bind((to, port)).unwrap();
    let at = listener.local_addr().unwrap();
    let socket = Socket::new(Domain::for_address(at), Type::STREAM, None).unwrap();
    socket.bind(&std::net::SocketAddr::new(from, 0).into()).unwrap();
    let done = socket.connect_timeout(&at.into(), Duration::from_millis(400));
    // So that the port can be listened on again at once.
    socket.set_linger(Some(Duration::ZERO)).unwrap();
    done.map_err(|error| error.kind())
}

#[test]
fn a_ban_from_one_sender_leaves_the_others() {
    in_namespace(|| {
        let mut gate = open();
        for (offender, attacked, other) in FAMILIES {
            let scope = Scope::Sender(attacked.parse().unwrap());
            for banned in [offender, "127.0.0.0/16", "2001:db8:1::/48"] {
                if prefix(banned).is_ipv4() != prefix(offender).is_ipv4() {
                    continue;
                }
                shut(&mut gate, banned, scope, Some(hour()));
                assert!(!datagram(offender, attacked, 5000), "{banned}");
                assert!(datagram(offender, other, 5000), "{banned}");
                assert!(gate.is_intact().unwrap());
                let held = gate.held().unwrap();
                assert_eq!((held.len(), held[0].scope), (1, scope));
                // As a new daemon finds it.
                drop(gate);
                let (again, held) = Gate::open(&settings()).unwrap();
                gate = again;
                assert_eq!((held.len(), held[0].scope), (1, scope));
                assert!(!datagram(offender, attacked, 5000));
                shut(&mut gate, banned, scope, None);
                assert!(datagram(offender, attacked, 5000), "{banned}");
            }
            // The whole and a part hold side by side.
            shut(&mut gate, offender, scope, Some(Until::Forever));
            shut(&mut gate, offender, Scope::Gateway, Some(hour()));
            assert!(!datagram(offender, other, 5000));
            shut(&mut gate, offender, Scope::Gateway, None);
            assert!(datagram(offender, other, 5000) && !datagram(offender, attacked, 5000));
            gate.set_never(&[prefix(offender)]).unwrap();
            assert!(datagram(offender, attacked, 5000), "who is never banned passes");
            gate.sync(&[], &[], Timestamp::now()).unwrap();
            assert!(datagram(offender, attacked, 5000));
        }
    });
}

#[test]
fn a_ban_from_ports_leaves_the_others() {
    in_namespace(|| {
        let mut gate = open();
        for (offender, at, _) in FAMILIES {
            let (web, wide) = (ports(&["80", "443"]), ports(&["5000-5002/udp", "80/udp", "22"]));
            shut(&mut gate, offender, web, Some(hour()));
            assert_eq!(connection(offender, at, 80), Err(ErrorKind::TimedOut));
            assert_eq!(connection(offender, at, 443), Err(ErrorKind::TimedOut));
            assert_eq!(connection(offender, at, 22), Ok(()));
            assert!(datagram(offender, at, 80), "UDP is not TCP");
            shut(&mut gate, offender, wide, Some(Until::Forever));
            for (port, passes) in
                [(80, false), (4999, true), (5000, false), (5002, false), (5003, true)]
            {
                assert_eq!(datagram(offender, at, port), passes, "{port}");
            }
            assert_eq!(connection(offender, at, 22), Err(ErrorKind::TimedOut));
            assert_eq!(
                connection(offender, at, 80),
                Err(ErrorKind::TimedOut),
                "the first holds on"
            );
            assert!(gate.is_intact().unwrap());
            drop(gate);
            let (again, held) = Gate::open(&settings()).unwrap();
            gate = again;
            let mut scopes: Vec<_> = held.iter().map(|held| held.scope).collect();
            scopes.sort();
            let mut expected = [web, wide];
            expected.sort();
            assert_eq!(scopes, expected);
            let now = Timestamp::now();
            gate.sync(&[(Target::new(prefix(offender), web), hour())], &[], now).unwrap();
            assert_eq!(connection(offender, at, 22), Ok(()));
            assert_eq!(connection(offender, at, 80), Err(ErrorKind::TimedOut));
            gate.sync(&[], &[], now).unwrap();
            assert_eq!(connection(offender, at, 80), Ok(()));
        }
    });
}

#[test]
fn the_most_ports_with_the_longest_names_fit() {
    in_namespace(|| {
        let mut gate = open();
        let ranges = (0..15).map(|n| portcullis::model::PortRange {
            transport: Transport::Udp,
            first: 50_000 + n * 10,
            last: 50_001 + n * 10,
        });
        let scope = Scope::Ports(Ports::new(ranges).unwrap());
        for (offender, at, _) in FAMILIES {
            shut(&mut gate, offender, scope, Some(hour()));
            assert!(!datagram(offender, at, 50_141) && datagram(offender, at, 50_142));
        }
        assert!(gate.is_intact().unwrap());
        drop(gate);
        let (_, held) = Gate::open(&settings()).unwrap();
        assert!(held.len() == 2 && held.iter().all(|held| held.scope == scope));
    });
}

#[test]
fn rejected_packets_are_answered() {
    in_namespace(|| {
        for verdict in [Verdict::Drop, Verdict::Reject] {
            let (mut gate, _) = Gate::open(&Settings { verdict, ..settings() }).unwrap();
            println!("asked for {verdict:?}, got {:?}", gate.verdict());
            let answered = gate.verdict() == Verdict::Reject;
            for (offender, at, _) in FAMILIES {
                for scope in [Scope::Gateway, ports(&["80", "5000/udp"])] {
                    shut(&mut gate, offender, scope, Some(hour()));
                    let met =
                        if answered { ErrorKind::ConnectionRefused } else { ErrorKind::TimedOut };
                    let before = gate.drops().unwrap();
                    assert_eq!(connection(offender, at, 80), Err(met), "{verdict:?} {scope}");
                    assert!(!datagram(offender, at, 5000), "{verdict:?} {scope}");
                    let after = gate.drops().unwrap();
                    assert!(
                        after.v4.packets + after.v6.packets
                            >= before.v4.packets + before.v6.packets + 2
                    );
                    if answered {
                        assert!(is_answered(offender, at), "ICMP for UDP");
                    }
                    assert!(gate.is_intact().unwrap());
                    shut(&mut gate, offender, scope, None);
                    assert_eq!(connection(offender, at, 80), Ok(()));
                }
            }
            // The other verdict is written over this one, while the bans hold.
            shut(&mut gate, "127.0.0.2", Scope::Gateway, Some(Until::Forever));
        }
    });
}

/// Whether a datagram is answered by ICMP.
fn is_answered(from: &str, to: &str) -> bool {
    let socket = UdpSocket::bind((from, 0)).unwrap();
    socket.connect((to, 5000)).unwrap();
    socket.set_read_timeout(Some(Duration::from_secs(5))).unwrap();
    socket.send(b"x").unwrap();
    matches!(socket.recv(&mut [0; 8]), Err(error) if error.kind() != ErrorKind::WouldBlock)
}

#[test]
fn an_open_connection_stops_at_once_and_goes_on_after_the_ban() {
    in_namespace(|| {
        let mut gate = open();
        for (offender, at, _) in FAMILIES {
            use socket2::{Domain, Socket, Type};
            let listener = TcpListener::bind((at, 0)).unwrap();
            let address = listener.local_addr().unwrap();
            let socket = Socket::new(Domain::for_address(address), Type::STREAM, None).unwrap();
            let from: IpAddr = offender.parse().unwrap();
            socket.bind(&std::net::SocketAddr::new(from, 0).into()).unwrap();
            socket.connect(&address.into()).unwrap();
            let mut near = TcpStream::from(socket);
            let (mut far, _) = listener.accept().unwrap();
            far.set_read_timeout(Some(Duration::from_millis(400))).unwrap();
            let mut buffer = [0; 8];
            near.write_all(b"one").unwrap();
            assert_eq!(far.read(&mut buffer).unwrap(), 3);

            shut(&mut gate, offender, Scope::Gateway, Some(hour()));
            near.write_all(b"two").unwrap();
            let kept = far.read(&mut buffer).unwrap_err().kind();
            assert_eq!(kept, ErrorKind::WouldBlock, "nothing of an open connection arrives");
            shut(&mut gate, offender, Scope::Gateway, None);
            // Sent again by TCP itself (RFC 6298): the connection was held, not cut.
            far.set_read_timeout(Some(Duration::from_secs(20))).unwrap();
            assert_eq!(far.read(&mut buffer).unwrap(), 3);
            assert_eq!(&buffer[..3], b"two");
        }
    });
}
