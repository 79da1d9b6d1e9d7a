//! The lab on its own: does it carry packets, tell silence from refusal, and go away.

use std::fs;
use std::net::{SocketAddr, TcpListener, UdpSocket};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use super::login::{GOOD_PASSWORD, GOOD_USER, Service};
use super::*;

#[test]
fn packets_flow_at_once_in_both_families() {
    in_namespace("lab::tests::packets_flow_at_once_in_both_families", || {
        let mut lab = Lab::new().unwrap();
        let [attacker, server] = pair(&mut lab);
        for to in SERVER.both() {
            let socket = server.run(move || UdpSocket::bind((to, 0))).unwrap();
            socket.set_read_timeout(Some(SOON)).unwrap();
            let started = Instant::now();
            attacker.udp_send(b"hello", socket.local_addr().unwrap()).unwrap();
            let mut bytes = [0; 16];
            let (length, from) = socket.recv_from(&mut bytes).unwrap();
            assert_eq!(&bytes[..length], b"hello");
            assert_eq!(from.ip(), ATTACKER.like(to), "nothing on the way rewrites addresses");
            // A lost first packet, or duplicate address detection, would cost a second.
            assert!(started.elapsed() < Duration::from_millis(500), "{:?}", started.elapsed());
        }
    });
}

#[test]
fn hosts_reach_the_gateway_and_it_reaches_them() {
    in_namespace("lab::tests::hosts_reach_the_gateway_and_it_reaches_them", || {
        let mut lab = Lab::new().unwrap();
        let server = lab.host("server", SERVER).unwrap();
        for address in GATEWAY.both() {
            let here = UdpSocket::bind((address, 0)).unwrap();
            here.set_read_timeout(Some(SOON)).unwrap();
            server.udp_send(b"up", here.local_addr().unwrap()).unwrap();
            let (_, from) = here.recv_from(&mut [0; 8]).unwrap();
            assert_eq!(from.ip(), SERVER.like(address));
        }
    });
}

#[test]
fn probes_tell_open_refused_and_silent_apart() {
    in_namespace("lab::tests::probes_tell_open_refused_and_silent_apart", || {
        let mut lab = Lab::new().unwrap();
        let [attacker, server] = pair(&mut lab);
        for to in SERVER.both() {
            let open = server.run(move || TcpListener::bind((to, 0))).unwrap();
            let open_at = open.local_addr().unwrap();
            assert_eq!(attacker.tcp_probe(open_at, SOON).unwrap(), Probe::Open);
            let closed = SocketAddr::new(to, 9);
            assert_eq!(attacker.tcp_probe(closed, SOON).unwrap(), Probe::Refused);
            lab.blackhole(ATTACKER.like(to)).unwrap();
            assert_eq!(attacker.tcp_probe(open_at, BRIEFLY).unwrap(), Probe::NoAnswer);
        }
    });
}

#[test]
fn the_service_reports_every_try_and_silence_shows() {
    in_namespace("lab::tests::the_service_reports_every_try_and_silence_shows", || {
        let mut lab = Lab::new().unwrap();
        let [attacker, server] = pair(&mut lab);
        let client = lab.host("client", CLIENT).unwrap();
        let collectors = GATEWAY.both().map(|address| UdpSocket::bind((address, 0)).unwrap());
        let ports = [0, 1].map(|family: usize| collectors[family].local_addr().unwrap());
        let service = Service::start(&server, 22, ports).unwrap();

        for (collector, address) in collectors.iter().zip(ATTACKER.both()) {
            let to = service.address_for(address);
            let friend = CLIENT.like(address);
            collector.set_read_timeout(Some(SOON)).unwrap();

            assert_eq!(attacker.attempt(to, "root", "guess", SOON).unwrap(), Outcome::Refused);
            let line = read(collector);
            assert!(line.starts_with("<38>") && line.ends_with(" ssh2"), "{line}");

            assert!(line.contains(" server sshd["), "{line}");
            assert!(line.contains(&format!("]: Failed password for root from {address} port ")));
            assert!(service.next_report(SOON).is_some_and(|r| r.failure && r.line == line));

            assert_eq!(attacker.attempt(to, "guest", "guess", SOON).unwrap(), Outcome::Refused);
            assert!(read(collector).contains("for invalid user guest from "));
            assert!(service.next_report(SOON).is_some_and(|report| report.failure));

            let mut session = client.connect(to, SOON).unwrap();
            let outcome = session.login(GOOD_USER, GOOD_PASSWORD, SOON).unwrap();
            assert_eq!(outcome, Outcome::LoggedIn);
            assert!(
                read(collector).contains(&format!("Accepted password for alice from {friend}"))
            );
            assert!(service.next_report(SOON).is_some_and(|report| !report.failure));

            let mut waiting = attacker.connect(to, SOON).unwrap();
            lab.blackhole(address).unwrap();
            let outcome = attacker.attempt(to, "root", "guess", BRIEFLY).unwrap();
            assert_eq!(outcome, Outcome::NoAnswer, "a new connection is dead");
            let outcome = waiting.login("root", "guess", BRIEFLY).unwrap();
            assert_eq!(outcome, Outcome::NoAnswer, "an open connection is dead");
            session.echo("still here", SOON).unwrap();
        }
    });
}

#[test]
fn the_beat_finds_the_moment_of_silence() {
    in_namespace("lab::tests::the_beat_finds_the_moment_of_silence", || {
        let mut lab = Lab::new().unwrap();
        let [attacker, server] = pair(&mut lab);
        for source in ATTACKER.both() {
            let beat = Beat::start(&attacker, source, &server, SOON).unwrap();
            assert!(beat.silence(Duration::from_millis(200)).is_none(), "packets arrive");
            let before = Instant::now();
            lab.blackhole(SERVER.like(source)).unwrap();
            let after = Instant::now();
            let silence = beat.silence(SOON).unwrap();
            assert!(silence.arrived > 0 && silence.lost > 0, "{silence:?}");
            assert!(silence.since > before, "{silence:?}");
            assert!(silence.since < after + Duration::from_millis(500), "{silence:?}");
        }
    });
}

#[test]
fn more_addresses_are_routed() {
    in_namespace("lab::tests::more_addresses_are_routed", || {
        let mut lab = Lab::new().unwrap();
        let [attacker, server] = pair(&mut lab);
        for (from, to) in ["198.51.100.67", "2001:db8:bad::1"].iter().zip(SERVER.both()) {
            let from: IpAddr = from.parse().unwrap();
            lab.also(&attacker, from).unwrap();
            let listener = server.run(move || TcpListener::bind((to, 0))).unwrap();
            let to = listener.local_addr().unwrap();
            let got = attacker.run(move || visit::probe(from, to, SOON)).unwrap();
            assert_eq!(got, Probe::Open);
            assert_eq!(listener.accept().unwrap().1.ip(), from);
        }
    });
}

#[test]
fn children_and_jobs_are_in_the_hosts_namespace() {
    in_namespace("lab::tests::children_and_jobs_are_in_the_hosts_namespace", || {
        let mut lab = Lab::new().unwrap();
        let host = lab.host("server", SERVER).unwrap();
        let here = fs::read_link("/proc/thread-self/ns/net").unwrap();
        let there = host.run(|| fs::read_link("/proc/thread-self/ns/net").unwrap());
        assert_ne!(here, there);
        let mut command = Command::new("readlink");
        command.arg("/proc/self/ns/net").stdout(Stdio::piped());
        let output = host.spawn(command).unwrap().wait_with_output().unwrap();
        assert_eq!(String::from_utf8_lossy(&output.stdout).trim(), there.to_str().unwrap());

        let caught = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| {
            host.run(|| panic!("an assertion in a job"));
        }));
        assert!(caught.is_err(), "a panic in a job reaches the caller");
        assert_eq!(host.run(|| 7), 7, "and the host lives on");
    });
}

fn pair(lab: &mut Lab) -> [Host; 2] {
    [lab.host("attacker", ATTACKER).unwrap(), lab.host("server", SERVER).unwrap()]
}

fn read(socket: &UdpSocket) -> String {
    let mut bytes = [0; 1024];
    let length = socket.recv(&mut bytes).unwrap();
    String::from_utf8(bytes[..length].to_vec()).unwrap()
}

/// For what must happen: generous, since nobody waits for it to pass.
const SOON: Duration = Duration::from_secs(5);

/// For what must not happen.
const BRIEFLY: Duration = Duration::from_millis(300);
