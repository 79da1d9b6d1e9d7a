//! The gate stays down: while the daemon is away, while it comes back, and when others meddle.

use std::io::{BufRead, BufReader};
use std::net::IpAddr;
use std::process::Stdio;
use std::time::{Duration, Instant};

use nix::sys::signal::Signal;
use portcullis::lab::{ATTACKER, Beat, in_namespace};

use crate::harness::{Daemon, SOON, portcullis};
use crate::stage::{Net, OFFENDERS, SSHD, Stage, configuration, home, in_user_namespace};
use crate::wire::delete_table;

#[test]
fn not_a_packet_passes_over_a_restart() {
    in_namespace("restart::not_a_packet_passes_over_a_restart", || over(Signal::SIGTERM));
}

#[test]
fn not_a_packet_passes_over_a_kill() {
    in_namespace("restart::not_a_packet_passes_over_a_kill", || over(Signal::SIGKILL));
}

#[test]
fn not_a_packet_passes_over_a_kill_as_a_user() {
    in_user_namespace("restart::not_a_packet_passes_over_a_kill_as_a_user", || {
        over(Signal::SIGKILL);
    });
}

/// Ends the daemon by `signal` and starts it again, under a beat of packets of banned sources.
pub(crate) fn over(signal: Signal) {
    let net = Net::new();
    let home = home(SSHD);
    let mut daemon = Daemon::start(&home);
    let beats = ATTACKER.both().map(|it| beat(&net, it));
    net.report_attacker(3);
    let before = beats.each_ref().map(|beat| beat.silence(SOON).expect("the gate falls").arrived);
    daemon.wait_until_remembered();
    let imposed = daemon.bans();
    for _ in 0..2 {
        let ended = daemon.end(signal);
        assert_eq!(ended.code, (signal == Signal::SIGTERM).then_some(0), "{ended:?}");
        daemon = Daemon::start(&home);
        assert_eq!(daemon.banned(), OFFENDERS, "restored");
        for (ban, imposed) in daemon.bans().iter().zip(&imposed) {
            // As it was: kernel and store agree, and the store knows more.
            assert_eq!(ban["jails"], imposed["jails"], "{ban}");
            assert_eq!(ban["since"], imposed["since"], "{ban}");
            let left = ban["left"].as_f64().unwrap();
            assert!(left > 500.0 && left <= 600.0, "its end is kept: {ban}");
        }
    }
    for (beat, before) in beats.iter().zip(before) {
        let silence = beat.silence(SOON).expect("still silent");
        assert_eq!(silence.arrived, before, "packets passed meanwhile");
        assert!(silence.lost > 200, "the beat went on: {silence:?}");
    }
    // The new daemon rules over the old bans.
    daemon.command(&["unban", "--all"]);
    net.wait_attacker_open();
}

/// Without a store the kernel alone remembers.
#[test]
fn without_a_store_bans_are_taken_over_from_the_kernel() {
    in_namespace("restart::without_a_store_bans_are_taken_over_from_the_kernel", || {
        let net = Net::new();
        let home = home(SSHD);
        let daemon = Daemon::start(&home);
        net.report_attacker(3);
        daemon.wait_for_bans(&OFFENDERS);
        net.wait_attacker_shut();
        daemon.end(Signal::SIGKILL);
        std::fs::remove_file(home.state()).unwrap();
        let daemon = Daemon::start(&home);
        assert_eq!(daemon.banned(), OFFENDERS);
        for ban in daemon.bans() {
            assert_eq!(ban["jails"][0]["origin"], "kernel", "{ban}");
            let left = ban["left"].as_f64().unwrap();
            assert!(left > 500.0 && left <= 600.0, "its end is kept: {ban}");
        }
        assert_eq!(daemon.metric("portcullis_bans_total", "origin=\"kernel\""), 2.0);
    });
}

/// A boot empties the kernel: the store alone remembers, and the gate is down before a line is read.
#[test]
fn after_a_boot_the_gate_is_down_before_the_daemon_is_ready() {
    in_namespace("restart::after_a_boot_the_gate_is_down_before_the_daemon_is_ready", || {
        let net = Net::new();
        let home = home(SSHD);
        let daemon = Daemon::start(&home);
        net.report_attacker(3);
        daemon.wait_for_bans(&OFFENDERS);
        daemon.wait_until_remembered();
        daemon.end(Signal::SIGKILL);
        assert_eq!(delete_table("portcullis"), 0);
        net.wait_attacker_open();
        let beats = ATTACKER.both().map(|it| beat(&net, it));
        let mut command = portcullis();
        command.args(["run", "--config"]).arg(home.config());
        let mut child = command.stdout(Stdio::piped()).spawn().unwrap();
        // The first line of the banner: from here on nothing may pass.
        let mut banner = BufReader::new(child.stdout.take().unwrap());
        let mut line = String::new();
        banner.read_line(&mut line).unwrap();
        let ready = Instant::now();
        assert!(line.contains("is ready"), "{line}");
        for beat in &beats {
            let silence = beat.silence(SOON).expect("the gate is down");
            assert!(silence.since <= ready, "{:?} after ready", silence.since - ready);
        }
        child.kill().unwrap();
        child.wait().unwrap();
    });
}

/// Where kernel and store disagree the later end counts, and the never-ban list before both.
#[test]
fn of_kernel_and_store_the_later_end_counts() {
    in_namespace("restart::of_kernel_and_store_the_later_end_counts", || {
        let _net = Net::new();
        let home = home(SSHD);
        let daemon = Daemon::start(&home);
        let offenders = ["100.64.0.1", "100.64.0.2", "100.64.0.3", "2001:db8:99::/64"];
        for offender in offenders {
            daemon.command(&["ban", offender, "--for", "1h"]);
        }
        daemon.wait_until_remembered();
        daemon.end(Signal::SIGTERM);
        let state = rusqlite::Connection::open(home.state()).unwrap();
        let minutes = 60_000_000_i64;
        for (offender, more) in [(offenders[0], 60 * minutes), (offenders[1], -50 * minutes)] {
            let sql = "UPDATE bans SET until = until + ?2 WHERE offender = ?1";
            assert_eq!(state.execute(sql, (offender, more)).unwrap(), 1);
        }
        drop(state);
        let never = "[never_ban]\naddresses = [\"100.64.0.3\", \"2001:db8:99::1\"]\n";
        home.configure(&configuration(&format!("{SSHD}{never}")));
        let daemon = Daemon::start(&home);
        assert_eq!(daemon.banned(), offenders[..2], "the other two are never banned by now");
        let ends: Vec<_> = daemon.bans().iter().map(|it| it["left"].as_f64().unwrap()).collect();
        assert!(ends[0] > 7_000.0 && ends[0] <= 7_200.0, "the store's: {ends:?}");
        assert!(ends[1] > 3_400.0 && ends[1] <= 3_600.0, "the kernel's: {ends:?}");
        daemon.wait_until_remembered();
        daemon.end(Signal::SIGTERM);
        let state = rusqlite::Connection::open(home.state()).unwrap();
        let sql = "SELECT count(DISTINCT offender) FROM bans";
        assert_eq!(state.query_row(sql, [], |row| row.get::<_, i64>(0)).unwrap(), 2, "forgotten");
    });
}

#[test]
fn without_the_daemon_bans_still_end() {
    in_namespace("restart::without_the_daemon_bans_still_end", || {
        let Stage { daemon, net } = Stage::new("[jail.sshd]\nmaxretry = 1\nbantime = \"3s\"\n");
        net.report_attacker(1);
        daemon.wait_for_bans(&OFFENDERS);
        net.wait_attacker_shut();
        daemon.end(Signal::SIGKILL);
        net.wait_attacker_open();
    });
}

#[test]
fn flush_takes_the_table_away() {
    in_namespace("restart::flush_takes_the_table_away", || {
        let net = Net::new();
        let home = home(SSHD);
        for signal in [Signal::SIGTERM, Signal::SIGINT] {
            let daemon = Daemon::start_with(&home, portcullis(), &["--flush"]);
            for address in ATTACKER.both() {
                net.report(address, 3);
                net.wait_shut(&net.attacker, address);
            }
            assert_eq!(daemon.end(signal).code, Some(0));
            for address in ATTACKER.both() {
                net.assert_open(&net.attacker, address);
            }
        }
    });
}

fn beat(net: &Net, source: IpAddr) -> Beat {
    Beat::start(&net.attacker, source, &net.server, Duration::from_secs(5)).unwrap()
}
