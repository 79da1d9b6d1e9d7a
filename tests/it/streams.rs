//! TCP: framing of both kinds however the bytes come, its limits, and what is counted.

use std::io::{Read, Write};
use std::net::{IpAddr, Shutdown, SocketAddr, TcpStream};
use std::process::Command;

use nix::sys::resource::{Resource, getrlimit, setrlimit};
use socket2::{Domain, Socket, Type};

use crate::harness::{Daemon, HERE, Home, LOOPBACK, SOON, failed};

#[test]
fn lines_and_counted_frames_ban() {
    let daemon = one_strike();
    for (family, here) in HERE.into_iter().enumerate() {
        let lines = [line(family, 1), line(family, 2)].join("\r\n") + "\n";
        tell(&daemon, here, lines.as_bytes());
        let frames = [counted(&line(family, 3)), counted(&line(family, 4))].concat();
        tell(&daemon, here, frames.as_bytes());
        // RFC 6587 section 3.4.2: some end their lines with NUL. The last has no end at all.
        tell(&daemon, here, format!("{}\0{}", line(family, 5), line(family, 6)).as_bytes());
    }
    daemon.wait_for_metric(RECEIVED, TCP, 12.0);
    wait_for_offenders(&daemon, 6);
}

#[test]
fn the_first_bytes_may_come_one_at_a_time() {
    let daemon = one_strike();
    for (family, here) in HERE.into_iter().enumerate() {
        for bytes in [
            format!("{}\n", line(family, 1)),
            counted(&line(family, 2)),
            // A line that begins with digits, and is no length.
            format!("192.168.1.42 - - x\n{}\n", line(family, 3)),
            format!("2026 <x>\n{}\n", line(family, 4)),
        ] {
            let mut stream = connect(&daemon, here);
            let mut peeked = bytes.as_bytes().iter();
            for byte in peeked.by_ref().take(12) {
                // Without Nagle each is a segment of its own; whether the daemon reads them one by
                // one is for its scheduler to say, and a fresh connection each time varies it.
                stream.write_all(&[*byte]).unwrap();
                std::thread::yield_now();
            }
            stream.write_all(peeked.as_slice()).unwrap();
        }
    }
    daemon.wait_for_metric(RECEIVED, TCP, 12.0);
    wait_for_offenders(&daemon, 4);
    assert_eq!(daemon.metric("portcullis_messages_refused_total", "framing"), 0.0);
}

#[test]
fn what_is_too_long_is_cut_and_its_tail_is_never_a_message() {
    let daemon = one_strike();
    for (family, here) in HERE.into_iter().enumerate() {
        let long = format!("<13>Nov 22 10:00:00 host x: {}", "x".repeat(70 << 10));
        let evil = failed(format!("203.0.113.{}", 90 + family));
        // In a line the tail holds no LF; the next line is whole.
        let lines = format!("{long}{evil}\n{}\n", line(family, 1));
        tell(&daemon, here, lines.as_bytes());
        // In a counted frame it may: smuggled lines are a part of the tail.
        let frame = counted(&format!("{long}\n{evil}\n{}", counted(&evil)));
        tell(&daemon, here, format!("{frame}{}", counted(&line(family, 2))).as_bytes());
        // A frame that is cut off in the middle by the end of the connection is not believed.
        let whole = counted(&line(family, 3));
        tell(&daemon, here, format!("{whole}999 {evil}").as_bytes());
    }
    daemon.wait_for_metric(RECEIVED, TCP, 12.0);
    daemon.wait_for_metric("portcullis_messages_truncated_total", "", 6.0);
    wait_for_offenders(&daemon, 3);
}

#[test]
fn a_length_that_cannot_be_closes_the_connection() {
    let daemon = one_strike();
    for (family, here) in HERE.into_iter().enumerate() {
        let mut stream = connect(&daemon, here);
        let frames = format!("{}x{}", counted(&line(family, 1)), counted(&line(family, 2)));
        stream.write_all(frames.as_bytes()).unwrap();
        assert!(closed(&mut stream), "the daemon hangs up");
    }
    daemon.wait_for_metric("portcullis_messages_refused_total", "reason=\"framing\"", 2.0);
    daemon.wait_for_metric(RECEIVED, TCP, 2.0);
    wait_for_offenders(&daemon, 1);
    daemon.wait_to_say("connections closed");
}

#[test]
fn connections_are_limited_and_those_that_are_open_go_on() {
    // As a shell on Debian starts it: 1024 descriptors, fewer than the connections it is to hold.
    let home = Home::new(&format!("{LOOPBACK}{ONE_STRIKE}"));
    let mut command = Command::new("prlimit");
    command.args(["--nofile=1024:4096", "--", env!("CARGO_BIN_EXE_portcullis")]);
    let (_, hard) = getrlimit(Resource::RLIMIT_NOFILE).unwrap();
    setrlimit(Resource::RLIMIT_NOFILE, hard.min(4096), hard).unwrap();
    let daemon = Daemon::start_with(&home, command, &[]);
    // One sender has a quarter of them at most, and the next one finds room.
    let mut open = Vec::new();
    for (at, from) in ["::1", "127.0.0.1", "127.0.0.2", "127.0.0.3"].into_iter().enumerate() {
        open.extend((0..LIMIT / 4).map(|_| connect_from(&daemon, from)));
        daemon.wait_for_metric("portcullis_connections", "", open.len() as f64);
        if open.len() < LIMIT {
            assert!(closed(&mut connect_from(&daemon, from)), "{from} has his share");
            daemon.wait_for_metric(REFUSED, "reason=\"share\"", (at + 1) as f64);
        }
    }
    open.swap(1, LIMIT / 4);
    assert!(closed(&mut connect_from(&daemon, "127.0.0.4")), "one too many is closed at once");
    daemon.wait_for_metric(REFUSED, "reason=\"connections\"", 1.0);
    // Those that are open are heard, and a place that is given back is taken.
    for (at, stream) in open.iter_mut().take(2).enumerate() {
        writeln!(stream, "{}", line(at, 1)).unwrap();
    }
    drop((open.swap_remove(0), open.swap_remove(1)));
    daemon.wait_for_metric("portcullis_connections", "", LIMIT as f64 - 2.0);
    tell(&daemon, HERE[0], line(0, 2).as_bytes());
    tell(&daemon, HERE[1], line(1, 2).as_bytes());
    wait_for_offenders(&daemon, 2);
}

#[test]
fn a_hundred_thousand_lines_are_all_counted() {
    let daemon = one_strike();
    let senders = HERE.map(|here| {
        let mut stream = connect(&daemon, here);
        std::thread::spawn(move || {
            let line = "<38>Nov 22 10:00:00 host sshd[7]: Accepted password for x\n";
            let text = line.repeat(EACH / 100);
            (0..100).for_each(|_| stream.write_all(text.as_bytes()).unwrap());
        })
    });
    senders.into_iter().for_each(|sender| sender.join().unwrap());
    daemon.wait_for_metric(RECEIVED, TCP, 2.0 * EACH as f64);
    daemon.wait_for_metric("portcullis_messages_parsed_total", "rfc3164", 2.0 * EACH as f64);
}

fn one_strike() -> Daemon {
    Daemon::on_loopback(ONE_STRIKE)
}

/// A failed log-in of the n-th offender of a family.
fn line(family: usize, number: usize) -> String {
    failed(offender(family, number))
}

fn offender(family: usize, number: usize) -> IpAddr {
    match family {
        0 => format!("203.0.113.{number}").parse().unwrap(),
        _ => format!("2001:db8:7::{number}").parse().unwrap(),
    }
}

/// Waits until the first `count` offenders of each family are banned, and nobody else.
fn wait_for_offenders(daemon: &Daemon, count: usize) {
    let all = [0, 1].map(|family| (1..=count).map(move |number| offender(family, number)));
    let all: Vec<_> = all.into_iter().flatten().map(|it| it.to_string()).collect();
    daemon.wait_for_bans(&all.iter().map(String::as_str).collect::<Vec<_>>());
}

/// RFC 6587 section 3.4.1.
fn counted(message: &str) -> String {
    format!("{} {message}", message.len())
}

fn connect(daemon: &Daemon, here: IpAddr) -> TcpStream {
    let stream = TcpStream::connect(daemon.address("tcp", here)).unwrap();
    stream.set_nodelay(true).unwrap();
    stream
}

/// From one of our own addresses, to the same family.
fn connect_from(daemon: &Daemon, from: &str) -> TcpStream {
    let from: IpAddr = from.parse().unwrap();
    let to = daemon.address("tcp", from);
    let socket = Socket::new(Domain::for_address(to), Type::STREAM, None).unwrap();
    socket.bind(&SocketAddr::new(from, 0).into()).unwrap();
    socket.connect(&to.into()).unwrap();
    socket.into()
}

/// Sends it all on a connection of its own, and ends that in good manners.
fn tell(daemon: &Daemon, here: IpAddr, bytes: &[u8]) {
    let mut stream = connect(daemon, here);
    stream.write_all(bytes).unwrap();
    stream.shutdown(Shutdown::Write).unwrap();
    assert!(closed(&mut stream), "the daemon reads to the end");
}

/// Whether the other side hung up in time.
fn closed(stream: &mut TcpStream) -> bool {
    stream.set_read_timeout(Some(SOON)).unwrap();
    match stream.read(&mut [0; 16]) {
        Ok(count) => count == 0,
        Err(error) => error.kind() == std::io::ErrorKind::ConnectionReset,
    }
}

const ONE_STRIKE: &str = "[jail.sshd]\nmaxretry = 1\nipv6_prefix = 128\n";
const LIMIT: usize = 1024;
const EACH: usize = 50_000;
const RECEIVED: &str = "portcullis_messages_received_total";
const REFUSED: &str = "portcullis_messages_refused_total";
const TCP: &str = "protocol=\"tcp\"";
