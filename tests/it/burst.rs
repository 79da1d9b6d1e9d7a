//! Ten thousand attackers at once: all of them are in the kernel's sets within a second of the last line.
//!
//! A machine that runs other tests may give the daemon no core; that time is not the daemon's.

use std::io::Write;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, TcpStream, UdpSocket};
use std::time::{Duration, Instant};

use portcullis::lab::{Lab, in_namespace};

use crate::harness::{Daemon, HERE, Home, LONG, LOOPBACK, failed};
use crate::watch::Watch;

#[test]
fn ten_thousand_attackers_are_banned_within_a_second() {
    in_namespace("burst::ten_thousand_attackers_are_banned_within_a_second", || {
        let lab = Lab::new().unwrap();
        let listeners = LOOPBACK.replace("observe", "nftables");
        let breaker = "[breaker]\nbans_per_minute = 0\n";
        let daemon =
            Daemon::start(&Home::new(&format!("{listeners}{breaker}[jail.sshd]\nmaxretry = 1\n")));
        let watch = Watch::new();
        for (round, send) in [over_tcp, over_udp].into_iter().enumerate() {
            watch.forget();
            let (banned, sent) = send(&daemon, &watch, round as u32);
            let waits = daemon.waits();
            let found = banned + watch.elements(ATTACKERS - banned, sent + LONG);
            let took = sent.elapsed();
            // A thread may be new.
            let before = |thread| waits.get(thread).copied().unwrap_or_default();
            let waited =
                daemon.waits().iter().map(|(thread, now)| now.saturating_sub(before(thread))).max();
            let waited = waited.unwrap_or_default();
            assert_eq!(found, ATTACKERS, "round {round}");
            assert!(
                took.saturating_sub(waited) < A_SECOND,
                "round {round}: {took:?}, of it {waited:?} without a core"
            );
        }
        drop((daemon, lab));
    });
}

/// Number `n` of a round, of both families, none in the /64 of another.
fn attacker(round: u32, n: usize) -> IpAddr {
    let n = n as u32;
    match n % 2 {
        0 => Ipv4Addr::from_bits(0x0a00_0000 | round << 16 | n).into(),
        _ => Ipv6Addr::from_bits(
            u128::from(0x2001_0db8_u32 << 8 | round) << 88 | u128::from(n) << 64 | 1,
        )
        .into(),
    }
}

/// All at once: the stream holds what is not read yet. How many were banned meanwhile, and when the last line
/// was sent.
fn over_tcp(daemon: &Daemon, _: &Watch, round: u32) -> (usize, Instant) {
    let lines = (0..ATTACKERS).map(|n| failed(attacker(round, n)) + "\n");
    let lines: String = lines.collect();
    let mut stream = TcpStream::connect(daemon.address("tcp", HERE[0])).unwrap();
    stream.write_all(lines.as_bytes()).unwrap();
    (0, Instant::now())
}

/// No more ahead of the kernel's sets than the smallest receive buffer holds: none is dropped.
fn over_udp(daemon: &Daemon, watch: &Watch, round: u32) -> (usize, Instant) {
    let socket = UdpSocket::bind((HERE[1], 0)).unwrap();
    let to = daemon.address("udp", HERE[1]);
    let mut banned = 0;
    for n in 0..ATTACKERS {
        while n - banned >= AHEAD {
            let more = watch.elements(1, Instant::now() + LONG);
            assert!(more > 0, "{n} were sent, {banned} are banned, and no more");
            banned += more;
        }
        socket.send_to(failed(attacker(round, n)).as_bytes(), to).unwrap();
    }
    (banned, Instant::now())
}

const ATTACKERS: usize = 10_000;
const AHEAD: usize = 100;
const A_SECOND: Duration = Duration::from_secs(1);
