//! Every metric that the issue names, with its labels; and the endpoint's other pages.

use std::net::UdpSocket;

use portcullis::lab::{ATTACKER, in_namespace};

use crate::harness::{Daemon, HERE, failed, http_get};
use crate::stage::{OFFENDERS, SSHD, Stage};

#[test]
fn every_name_is_there_from_the_start() {
    let daemon = Daemon::on_loopback("[jail.sshd]\n[jail.web]\nfilter = \"nginx-scan\"\n");
    let page = daemon.metrics();
    for here in HERE {
        let address = daemon.address("udp", here);
        assert_series(
            &page,
            "portcullis_kernel_dropped_datagrams_total",
            &[&format!("listener=\"udp {address}\"")],
        );
    }
    let per_jail = ["jail=\"sshd\"", "jail=\"web\""];
    let families = ["family=\"ipv4\"", "family=\"ipv6\""];
    for (name, labels) in [
        ("portcullis_messages_received_total", &["protocol=\"udp\"", "protocol=\"tcp\""][..]),
        (
            "portcullis_messages_refused_total",
            &[
                "reason=\"empty\"",
                "reason=\"sender\"",
                "reason=\"framing\"",
                "reason=\"connections\"",
                "reason=\"share\"",
            ],
        ),
        (
            "portcullis_messages_parsed_total",
            &["dialect=\"rfc5424\"", "dialect=\"rfc3164\"", "dialect=\"bare\""],
        ),
        ("portcullis_messages_truncated_total", &[""]),
        ("portcullis_hits_total", &per_jail),
        ("portcullis_hits_lost_total", &[""]),
        ("portcullis_bans", &per_jail),
        ("portcullis_gate_dropped_packets_total", &families),
        ("portcullis_gate_dropped_bytes_total", &families),
        ("portcullis_enforcement_seconds_count", &[""]),
        ("portcullis_enforcement_seconds_sum", &[""]),
        ("portcullis_enforce_queue_changes", &[""]),
        ("portcullis_enforce_stale_total", &[""]),
        ("portcullis_enforce_errors_total", &[""]),
        ("portcullis_enforce_repairs_total", &[""]),
        ("portcullis_enforce_failing", &[""]),
        ("portcullis_offenders_watched", &[""]),
        ("portcullis_offenders_displaced_total", &[""]),
        ("portcullis_exact_checks_given_up_total", &[""]),
        ("portcullis_logs_displaced_total", &[""]),
        ("portcullis_sessions_displaced_total", &[""]),
        ("portcullis_jails_skipped", &[""]),
        ("portcullis_connections", &[""]),
        ("portcullis_never_ban_entries", &[""]),
        ("portcullis_never_ban_unasked_total", &[""]),
        ("portcullis_never_ban_unresolved_total", &[""]),
        ("portcullis_breaker_tripped", &[""]),
        ("portcullis_bans_held", &[""]),
        ("portcullis_bans_dry_run", &[""]),
        ("portcullis_build_info", &["version=\""]),
    ] {
        assert_series(&page, name, labels);
        // The exposition format: help and type stand with every family.
        let family = name.trim_end_matches("_count").trim_end_matches("_sum");
        assert!(page.contains(&format!("# TYPE {family} ")), "no type of {family} in\n{page}");
        assert!(page.contains(&format!("# HELP {family} ")), "no help of {family} in\n{page}");
    }
    assert_eq!(daemon.metric("portcullis_build_info", ""), 1.0);
    assert!(daemon.metric("portcullis_never_ban_entries", "") >= 8.0);
}

#[test]
fn they_count_what_happens() {
    in_namespace("metrics::they_count_what_happens", || {
        let stage = Stage::new(SSHD);
        let daemon = &stage.daemon;
        for address in ATTACKER.both() {
            stage.report(address, 3);
        }
        daemon.wait_for_bans(&OFFENDERS);
        daemon.wait_for_metric("portcullis_bans", "jail=\"sshd\"", 2.0);
        daemon.wait_for_metric("portcullis_enforcement_seconds_count", "", 2.0);
        let page = daemon.metrics();
        assert_series(&page, "portcullis_bans_total", &["jail=\"sshd\",origin=\"hits\""]);
        assert_series(
            &page,
            "portcullis_enforcement_seconds_bucket",
            &["le=\"+Inf\"", "le=\"0.001\""],
        );
        let sum = daemon.metric("portcullis_enforcement_seconds_sum", "");
        assert!(sum > 0.0 && sum < 10.0, "{sum}");
        assert_eq!(daemon.metric("portcullis_messages_parsed_total", "rfc3164"), 6.0);
    });
}

#[test]
fn dialects_are_told_apart() {
    let daemon = Daemon::on_loopback("[jail.sshd]\n");
    for here in HERE {
        let socket = UdpSocket::bind((here, 0)).unwrap();
        for line in [
            failed("203.0.113.7").as_str(),
            "<38>1 2026-11-22T10:00:00Z host sshd 7 - - hello",
            "no header at all",
        ] {
            socket.send_to(line.as_bytes(), daemon.address("udp", here)).unwrap();
        }
    }
    for dialect in ["rfc3164", "rfc5424", "bare"] {
        daemon.wait_for_metric("portcullis_messages_parsed_total", dialect, 2.0);
    }
}

#[test]
fn health_readiness_and_nothing_else() {
    let daemon = Daemon::on_loopback("[jail.sshd]\n");
    let at = daemon.metrics_address();
    assert_eq!(http_get(at, "/healthz"), (200, "ok\n".into()));
    assert_eq!(http_get(at, "/readyz"), (200, "ready\n".into()));
    assert_eq!(http_get(at, "/").0, 404);
    assert_eq!(http_get(at, "/metrics/../etc/passwd").0, 404);
}

#[track_caller]
fn assert_series(page: &str, name: &str, labels: &[&str]) {
    for label in labels {
        let found = page.lines().any(|line| {
            let rest = line.strip_prefix(name);
            rest.is_some_and(|rest| rest.starts_with(['{', ' ']) && rest.contains(label))
        });
        assert!(found, "no {name}{{{label}}} in\n{page}");
    }
}
