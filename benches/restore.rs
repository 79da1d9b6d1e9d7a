//! How long a start takes with many bans to restore: where the time goes, and the whole of it.
//!
//!     cargo bench --bench restore
//!
//! In a network namespace of its own, so it needs no root; with root a transaction is one, without it
//! is as large as `net.core.wmem_max` allows. `after a boot` the kernel holds nothing; `after a kill` it
//! still holds all. The rival is what the daemon waits for in any case: the kernel's own time for
//! one transaction of so many elements. PORTCULLIS_BENCH_BANS and PORTCULLIS_BENCH_ROUNDS change the size.

#[expect(dead_code, reason = "the other benches use the rest")]
mod measure;

use std::fs;
use std::io::{BufRead, BufReader};
use std::net::{Ipv4Addr, Ipv6Addr};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use measure::{median, setting};
use portcullis::ban::{Ban, Ledger, MOST_BANS, NeverBan, Origin, Share, Standing, Why};
use portcullis::detect::Evidence;
use portcullis::enforce::nftables::{Gate, Settings as Table, Verdict};
use portcullis::lab::{self, Entered, Lab};
use portcullis::model::{Prefix, Scope, Target, Timestamp, Until};
use portcullis::store::{self, Notes, Settings};

fn main() {
    let entered = lab::enter().expect("a network namespace");
    let _lab = Lab::new().expect("loopback");
    let bans = setting("PORTCULLIS_BENCH_BANS", 100_000);
    let rounds = setting("PORTCULLIS_BENCH_ROUNDS", 5);
    measure::head();
    println!("rights    {}", if entered == Entered::AsRoot { "root" } else { "of a user" });
    println!(
        "measured  {bans} bans, half of them IPv6; medians of {rounds} rounds, milliseconds\n"
    );
    let folder = Folder::new();
    let settings =
        Settings { path: folder.0.join("state.db"), keep: Duration::from_secs(86_400 * 90) };
    remember(&settings, bans);

    let mut rows: Vec<(&str, Vec<f64>)> = ROWS.iter().map(|row| (*row, Vec::new())).collect();
    for _ in 0..rounds {
        for (row, took) in rows.iter_mut().zip(parts(&settings, bans)) {
            row.1.push(took);
        }
    }
    for (row, took) in rows {
        println!("{row:<46} {:>8.0}", median(took));
    }
    println!();
    for (name, kernel_holds) in [("after a boot", false), ("after a kill", true)] {
        let ready = (0..rounds).map(|_| start(&folder.0, &settings, bans, kernel_holds)).collect();
        println!("daemon started to ready, {name:<21} {:>8.0}", median(ready));
    }
    remove_table();
}

/// One time through what a start does, step by step.
fn parts(settings: &Settings, count: usize) -> [f64; 7] {
    let now = Timestamp::now();
    let mut restored = Vec::new();
    let read = timed(|| {
        restored = store::open(Some(settings), now).restored.bans;
    });
    assert_eq!(restored.len(), count);
    let mut ledger = Ledger::new(NeverBan::new([]), MOST_BANS);
    let ledgered = timed(|| {
        for ban in restored {
            ledger.restore(ban, now).expect("nobody is on the never-ban list");
        }
    });
    let bans: Vec<(Target, Until)> =
        ledger.bans().map(|ban| (Target::from(ban.offender), ban.until())).collect();
    let open = || Gate::open(&table()).expect("nf_tables");
    remove_table();
    let mut gate = None;
    let opened_empty = timed(|| gate = Some(open().0));
    let synced_empty = timed(|| _ = gate.as_mut().unwrap().sync(&bans, &[], now).unwrap());
    drop(gate.take());
    let mut held = 0;
    let opened_full = timed(|| {
        let (opened, there) = open();
        (gate, held) = (Some(opened), there.len());
    });
    assert_eq!(held, count);
    let synced_full = timed(|| _ = gate.as_mut().unwrap().sync(&bans, &[], now).unwrap());
    let synced_again = timed(|| _ = gate.as_mut().unwrap().sync(&bans, &[], now).unwrap());
    [read, ledgered, opened_empty, synced_empty, opened_full, synced_full, synced_again]
}

const ROWS: [&str; 7] = [
    "store: file read",
    "ledger: filled",
    "kernel, after a boot: table made",
    "kernel, after a boot: one transaction",
    "kernel, after a kill: adopted, all read",
    "kernel, after a kill: made equal",
    "kernel, later: made equal again",
];

/// Milliseconds until the daemon says that it is ready, and holds all.
fn start(folder: &Path, settings: &Settings, count: usize, kernel_holds: bool) -> f64 {
    if !kernel_holds {
        remove_table();
    }
    let control = folder.join("control.sock");
    let config = folder.join("portcullis.toml");
    let text = format!(
        "[server]\nworkers = 1\nfilters = []\ncontrol = {control:?}\nstate = {:?}\n\
         [[listen]]\nprotocol = \"udp\"\naddress = \"127.0.0.1:0\"\n\
         [firewall]\nbackend = \"nftables\"\n[metrics]\nlisten = \"127.0.0.1:0\"\n",
        settings.path
    );
    fs::write(&config, text).expect("a configuration");
    let began = Instant::now();
    let mut daemon = Daemon(
        Command::new(env!("CARGO_BIN_EXE_portcullis"))
            .args(["run", "--config"])
            .arg(&config)
            .stdout(Stdio::piped())
            .spawn()
            .expect("the daemon"),
    );
    let mut line = String::new();
    let mut banner = BufReader::new(daemon.0.stdout.take().expect("piped"));
    banner.read_line(&mut line).expect("a banner");
    let took = began.elapsed();
    assert!(line.contains("is ready"), "{line}");
    drop(daemon);
    let held = Gate::open(&table()).expect("nf_tables").1.len();
    assert_eq!(held, count, "the kernel holds them");
    took.as_secs_f64() * 1e3
}

/// Killed when dropped.
struct Daemon(Child);

impl Drop for Daemon {
    fn drop(&mut self) {
        _ = self.0.kill();
        _ = self.0.wait();
    }
}

/// Fills the file, as a daemon would have.
fn remember(settings: &Settings, count: usize) {
    let now = Timestamp::now();
    let bans = (0..count).map(|n| {
        let offender = match n % 2 {
            0 => Prefix::host(Ipv4Addr::from_bits(0x0a00_0000 + n as u32).into()),
            _ => {
                let v6 = Ipv6Addr::from_bits((0x2001_0db8_u128 << 96) | (n as u128) << 64);
                Prefix::new(v6.into(), 64).expect("a prefix")
            }
        };
        let until = Until::At(now.after(Duration::from_secs(86_400 + n as u64)));
        let line = "Failed password for invalid user admin from 203.0.113.7 port 4242 ssh2";
        let hit = |at| Evidence {
            at,
            sender: Ipv4Addr::new(10, 0, 0, 1).into(),
            offender: offender.address(),
            user: Some("admin".into()),
            line: line.into(),
        };
        let evidence = vec![hit(now), hit(now)];
        let why = Why { address: Some(offender.address()), hits: 5, evidence };
        let standing = Standing::Enforced;
        let share = Share {
            jail: "sshd".into(),
            scope: Scope::Gateway,
            origin: Origin::Hits,
            until,
            standing,
            why,
        };
        (offender, Some(Ban { offender, since: now, shares: [share].into_iter().collect() }))
    });
    let (memory, thread) = store::open(Some(settings), now).start().expect("a thread");
    memory.note(Notes { bans: bans.collect(), ..Notes::default() });
    drop(memory);
    thread.expect("a store").join().expect("it ends");
}

fn remove_table() {
    Gate::open(&table()).expect("nf_tables").0.remove().expect("it can be removed");
}

fn table() -> Table {
    Table { table: "portcullis".to_owned(), most_bans: MOST_BANS as u32, verdict: Verdict::Drop }
}

fn timed(work: impl FnOnce()) -> f64 {
    let began = Instant::now();
    work();
    began.elapsed().as_secs_f64() * 1e3
}

/// Goes with the bench.
struct Folder(PathBuf);

impl Folder {
    fn new() -> Folder {
        let name = format!("portcullis-restore-{}", std::process::id());
        let folder = std::env::temp_dir().join(name);
        fs::create_dir_all(&folder).expect("a folder");
        Folder(folder)
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        _ = fs::remove_dir_all(&self.0);
    }
}
