//! How long from the datagram that completes an offence to the element in the kernel's set, and how
//! long a burst of attackers takes. The real daemon, in a network namespace of its own; the kernel's
//! own notifications are the clock's other end, so nothing polls.
//!
//! `cargo bench --bench enforce`. Beside it, in the same run: one element over netlink alone, one
//! `nft add element`, and the same way through three threads that do nothing: a datagram, two queues and
//! the one who waits at the end. To wake a thread that sleeps is most of the time, and what differs
//! from one machine, and from one minute, to the next; so compare with that.

#[path = "measure/watch.rs"]
mod watch;

use std::io::{Read, Write};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, TcpStream, UdpSocket};
use std::process::{Child, Command, Stdio};
use std::sync::mpsc::sync_channel;
use std::time::{Duration, Instant};

use portcullis::ban::Change;
use portcullis::enforce::nftables::{Gate, Settings, Verdict};
use portcullis::lab::{Lab, enter};
use portcullis::model::{Prefix, Timestamp, Until};
use watch::Watch;

fn main() {
    // `cargo test --benches` only wants to see it start.
    if std::env::args().any(|word| word == "--test") {
        return;
    }
    enter().expect("a network namespace");
    let lab = Lab::new().expect("a gateway");
    let floor = netlink_alone();
    let nft = nft_program();
    let folder = std::env::temp_dir().join(format!("portcullis-bench-{}", std::process::id()));
    std::fs::create_dir_all(&folder).unwrap();
    let watch = Watch::new();
    let daemon = Daemon::start(&folder, &watch);
    let mut spans = single(&watch);
    println!(
        "one offence at a time, datagram sent → element in the kernel ({SINGLE} of both families)"
    );
    row("datagram → element", &mut spans, &floor);
    println!(
        "  of it in the daemon   mean {:>8.1} µs, from the wake-up by the datagram on",
        in_daemon()
    );
    row("three empty threads", &mut empty_threads(), &floor);
    row("netlink alone", &mut floor.clone(), &floor);
    match nft {
        Some(mut nft) => row("`nft add element`", &mut nft, &floor),
        None => println!("  `nft` is not there"),
    }
    println!(
        "bursts of {BURST} attackers, one line each, last line sent → last element in the kernel"
    );
    for (protocol, base) in [("udp", 0x0a10_0000_u32), ("tcp", 0x0a20_0000)] {
        let (sending, after, found) = burst(&watch, protocol, base);
        println!(
            "  {protocol}   sent in {:>6.1} ms   all banned {:>6.1} ms after the last line   {found} banned",
            sending.as_secs_f64() * 1e3,
            after.as_secs_f64() * 1e3
        );
    }
    drop((daemon, lab));
    _ = std::fs::remove_dir_all(folder);
}

fn row(name: &str, spans: &mut [Duration], floor: &[Duration]) {
    spans.sort();
    let at = |spans: &[Duration], share: f64| spans[(spans.len() as f64 * share) as usize];
    let mut floor = floor.to_vec();
    floor.sort();
    let micros = |span: Duration| span.as_secs_f64() * 1e6;
    let (median, p99) = (at(spans, 0.5), at(spans, 0.99));
    println!(
        "  {name:<20} median {:>8.1} µs   p99 {:>8.1} µs   {:>6.1} × netlink alone",
        micros(median),
        micros(p99),
        micros(median) / micros(at(&floor, 0.5)),
    );
}

/// Offender number `n` of a family, all different and none in one /64.
fn offender(n: u32, v6: bool) -> IpAddr {
    match v6 {
        false => Ipv4Addr::from_bits(0x0a30_0000 + n).into(),
        true => Ipv6Addr::from_bits(0x2001_0db8_aaaa << 80 | u128::from(n) << 64 | 1).into(),
    }
}

fn line(offender: IpAddr) -> String {
    format!(
        "<38>Nov 22 10:00:00 server sshd[7]: Failed password for root from {offender} port 4242 ssh2"
    )
}

fn single(watch: &Watch) -> Vec<Duration> {
    let socket = UdpSocket::bind("127.0.0.1:0").unwrap();
    let mut spans = Vec::with_capacity(SINGLE);
    for n in 0..SINGLE as u32 + WARM {
        let offender = offender(n, n % 2 == 1);
        let line = line(offender);
        // So that every thread sleeps, as on an idle machine.
        std::thread::sleep(Duration::from_millis(3));
        watch.forget();
        let began = Instant::now();
        socket.send_to(line.as_bytes(), LISTEN).unwrap();
        assert!(watch.elements(1, began + Duration::from_secs(5)) == 1, "{offender} is not banned");
        if n >= WARM {
            spans.push(began.elapsed());
        }
    }
    spans
}

/// What the daemon itself measured, in microseconds: without the two sleepers at the ends.
fn in_daemon() -> f64 {
    let mut stream = TcpStream::connect(METRICS).unwrap();
    stream.write_all(b"GET /metrics HTTP/1.0\r\n\r\n").unwrap();
    let mut page = String::new();
    stream.read_to_string(&mut page).unwrap();
    let value = |name: &str| -> f64 {
        let line = page.lines().find(|line| line.starts_with(name)).expect(name);
        line[name.len()..].trim().parse().unwrap()
    };
    value("portcullis_enforcement_seconds_sum") / value("portcullis_enforcement_seconds_count")
        * 1e6
}

fn burst(watch: &Watch, protocol: &str, base: u32) -> (Duration, Duration, usize) {
    let lines: Vec<String> =
        (0..BURST as u32).map(|n| line(Ipv4Addr::from_bits(base + n).into())).collect();
    watch.forget();
    let began = Instant::now();
    if protocol == "udp" {
        let socket = UdpSocket::bind("127.0.0.1:0").unwrap();
        for line in &lines {
            socket.send_to(line.as_bytes(), LISTEN).unwrap();
        }
    } else {
        let all: String = lines.iter().flat_map(|line| [line.as_str(), "\n"]).collect();
        TcpStream::connect(LISTEN).unwrap().write_all(all.as_bytes()).unwrap();
    }
    let sent = Instant::now();
    let found = watch.elements(BURST, sent + Duration::from_secs(10));
    (sent - began, sent.elapsed(), found)
}

/// A datagram handed from thread to thread, as in the daemon, by threads that do nothing.
fn empty_threads() -> Vec<Duration> {
    let socket = UdpSocket::bind("127.0.0.1:0").unwrap();
    let to = socket.local_addr().unwrap();
    let [(ingest, decide), (decided, enforce), (enforced, end)] =
        [(); 3].map(|()| sync_channel::<()>(1));
    std::thread::spawn(move || {
        let mut buffer = [0; 2_048];
        while socket.recv(&mut buffer).is_ok() && ingest.send(()).is_ok() {}
    });
    std::thread::spawn(move || while decide.recv().is_ok() && decided.send(()).is_ok() {});
    std::thread::spawn(move || while enforce.recv().is_ok() && enforced.send(()).is_ok() {});
    let from = UdpSocket::bind("127.0.0.1:0").unwrap();
    let line = line(offender(0, false));
    let span = || {
        std::thread::sleep(Duration::from_millis(3));
        let began = Instant::now();
        from.send_to(line.as_bytes(), to).unwrap();
        end.recv().unwrap();
        began.elapsed()
    };
    (0..WARM).for_each(|_| _ = span());
    (0..SINGLE).map(|_| span()).collect()
}

/// One element a transaction, without a daemon.
fn netlink_alone() -> Vec<Duration> {
    let settings =
        Settings { table: "alone".to_owned(), most_bans: 100_000, verdict: Verdict::Drop };
    let (mut gate, _) = Gate::open(&settings).expect("nf_tables");
    let now = Timestamp::now();
    let until = Until::At(now.after(Duration::from_secs(3600)));
    let spans = (0..SINGLE as u32)
        .map(|n| {
            let offender = Prefix::host(offender(n, n % 2 == 1));
            let began = Instant::now();
            gate.apply(&[Change::Impose { offender, until }.into()], now).unwrap();
            began.elapsed()
        })
        .collect();
    gate.remove().unwrap();
    spans
}

fn nft_program() -> Option<Vec<Duration>> {
    let nft = |words: &str| {
        let status = Command::new("nft").arg(words).stderr(Stdio::null()).status();
        status.is_ok_and(|status| status.success())
    };
    nft("add table inet rival; add set inet rival s { type ipv4_addr; flags timeout; }")
        .then_some(())?;
    let spans = (0..200)
        .map(|n| {
            let began = Instant::now();
            nft(&format!("add element inet rival s {{ {} timeout 1h }}", offender(n, false)));
            began.elapsed()
        })
        .collect();
    nft("delete table inet rival");
    Some(spans)
}

struct Daemon(Child);

impl Daemon {
    fn start(folder: &std::path::Path, watch: &Watch) -> Daemon {
        let config = folder.join("portcullis.toml");
        let text = format!(
            "[server]\nfilters = []\ncontrol = {:?}\nstate = {:?}\n\
             [breaker]\nbans_per_minute = 0\n\
             [[listen]]\nprotocol = \"udp\"\naddress = \"{LISTEN}\"\n\
             [[listen]]\nprotocol = \"tcp\"\naddress = \"{LISTEN}\"\n\
             [firewall]\nbackend = \"nftables\"\n[metrics]\nlisten = \"{METRICS}\"\n\
             [jail.sshd]\nmaxretry = 1\n",
            folder.join("control.sock"),
            folder.join("state.db")
        );
        std::fs::write(&config, text).unwrap();
        let mut command = Command::new(env!("CARGO_BIN_EXE_portcullis"));
        command.args(["run", "--config"]).arg(&config).env("PORTCULLIS_LOG", "warn");
        let child = command.stdout(Stdio::null()).spawn().unwrap();
        let daemon = Daemon(child);
        let socket = UdpSocket::bind("127.0.0.1:0").unwrap();
        let deadline = Instant::now() + Duration::from_secs(20);
        // It is ready when it bans.
        for n in 0.. {
            assert!(Instant::now() < deadline, "the daemon gets ready");
            let line = line(Ipv4Addr::from_bits(0x0a40_0000 + n).into());
            _ = socket.send_to(line.as_bytes(), LISTEN);
            // The accept sets are filled at the start; the first ban comes after.
            std::thread::sleep(Duration::from_millis(50));
            watch.forget();
            _ = socket.send_to(line.replace("10.64", "10.65").as_bytes(), LISTEN);
            if watch.elements(1, Instant::now() + Duration::from_millis(100)) > 0 && n > 4 {
                break;
            }
        }
        std::thread::sleep(Duration::from_millis(500));
        daemon
    }
}

impl Drop for Daemon {
    fn drop(&mut self) {
        _ = self.0.kill();
        _ = self.0.wait();
    }
}

const SINGLE: usize = 2_000;
const WARM: u32 = 100;
const BURST: usize = 10_000;
const LISTEN: &str = "127.0.0.1:5514";
const METRICS: &str = "127.0.0.1:9514";
