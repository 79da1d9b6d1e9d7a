//! The gate stays down: while the daemon is away, while it comes back, and when others meddle.

use std::net::IpAddr;
use std::time::Duration;

use nix::sys::signal::Signal;
use portcullis::lab::{ATTACKER, Beat, in_namespace};

use crate::harness::{Daemon, SOON, portcullis};
use crate::stage::{Net, OFFENDERS, SSHD, Stage, home, in_user_namespace};

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
    for address in ATTACKER.both() {
        net.report(address, 3);
    }
    let before = beats.each_ref().map(|beat| beat.silence(SOON).expect("the gate falls").arrived);
    for _ in 0..2 {
        let ended = daemon.end(signal);
        assert_eq!(ended.code, (signal == Signal::SIGTERM).then_some(0), "{ended:?}");
        daemon = Daemon::start(&home);
        assert_eq!(daemon.banned(), OFFENDERS, "taken over from the kernel");
        for ban in daemon.bans() {
            assert_eq!(ban["jails"][0]["origin"], "kernel", "{ban}");
            let left = ban["left"].as_f64().unwrap();
            assert!(left > 500.0 && left <= 600.0, "its end is kept: {ban}");
        }
        assert_eq!(daemon.metric("portcullis_bans_total", "origin=\"kernel\""), 2.0);
    }
    for (beat, before) in beats.iter().zip(before) {
        let silence = beat.silence(SOON).expect("still silent");
        assert_eq!(silence.arrived, before, "packets passed meanwhile");
        assert!(silence.lost > 200, "the beat went on: {silence:?}");
    }
    // The new daemon rules over the old bans.
    daemon.command(&["unban", "--all"]);
    for address in ATTACKER.both() {
        net.wait_open(&net.attacker, address);
    }
}

#[test]
fn without_the_daemon_bans_still_end() {
    in_namespace("restart::without_the_daemon_bans_still_end", || {
        let Stage { daemon, net } = Stage::new("[jail.sshd]\nmaxretry = 1\nbantime = \"3s\"\n");
        for address in ATTACKER.both() {
            net.report(address, 1);
        }
        daemon.wait_for_bans(&OFFENDERS);
        for address in ATTACKER.both() {
            net.wait_shut(&net.attacker, address);
        }
        daemon.end(Signal::SIGKILL);
        for address in ATTACKER.both() {
            net.wait_open(&net.attacker, address);
        }
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
