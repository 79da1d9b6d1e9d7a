//! Attacker-written text never moves a ban to somebody else: the spoof samples of every filter that
//! ships go over the wire, and then the kernel is asked with packets who is shut out.

use std::collections::BTreeSet;
use std::net::{IpAddr, SocketAddr};

use portcullis::filter::{Library, SampleKind};
use portcullis::lab::{ATTACKER, CLIENT, GATEWAY, in_namespace};
use portcullis::pipeline::trial::wire;
use serde_json::Value;

use crate::harness::Home;
use crate::stage::{OFFENDERS, Stage};

#[test]
fn no_sample_of_any_filter_bans_the_innocent() {
    in_namespace("spoof::no_sample_of_any_filter_bans_the_innocent", || {
        let library = Library::default();
        let mut jails = String::from("[defaults]\nmaxretry = 1\n");
        let mut lines = Vec::new();
        for name in library.names().unwrap() {
            let filter = library.load(&name).unwrap();
            jails.push_str(&format!("[jail.{name}]\n"));
            for sample in filter.patterns.iter().flat_map(|pattern| &pattern.samples) {
                if sample.kind == SampleKind::Spoof {
                    let line = String::from_utf8(wire(&filter, sample)).unwrap();
                    lines.push((recast(&line, sample.offender), sample.offender));
                }
            }
        }
        assert!(lines.len() > 150, "only {} samples", lines.len());
        let caught = lines.iter().filter(|(_, offender)| offender.is_some()).count();
        assert!(caught > 50, "only {caught} that name somebody");

        let stage = Stage::new(&jails);
        let (net, daemon) = (&stage.net, &stage.daemon);
        assert_eq!(wrong(&daemon.home, &lines), [""; 0], "so explain says");
        for (number, (line, _)) in lines.iter().enumerate() {
            let to = SocketAddr::new(GATEWAY.both()[number % 2], 514);
            net.server.udp_send(line.as_bytes(), to).unwrap();
        }
        daemon.wait_for_metric("portcullis_messages_received_total", "udp", lines.len() as f64);
        daemon.wait_for_bans(&OFFENDERS);
        let hits = daemon.metric("portcullis_hits_total", "");
        assert!(hits >= caught as f64, "{hits} hits of {caught} lines that name the attacker");
        for (attacker, client) in ATTACKER.both().into_iter().zip(CLIENT.both()) {
            net.wait_shut(&net.attacker, attacker);
            net.assert_open(&net.client, client);
        }
        // Once more: after all these packets the last hit has been decided on.
        assert_eq!(daemon.banned(), OFFENDERS);
        assert_eq!(daemon.metric("portcullis_hits_lost_total", ""), 0.0);
    });
}

/// The lines in which `explain` sees somebody else than the attacker, and whom.
fn wrong(home: &Home, lines: &[(String, Option<IpAddr>)]) -> Vec<String> {
    let text: Vec<_> = lines.iter().map(|(line, _)| line.replace('\n', " ")).collect();
    let file = home.write("lines", text.join("\n"));
    let shown = home.run(&["explain", "--json", &file]).good();
    let attackers = ATTACKER.both().map(|it| it.to_string());
    let mut wrong = Vec::new();
    for (line, object) in text.iter().zip(shown.out.lines()) {
        let object: Value = serde_json::from_str(object).unwrap();
        for hit in object["hits"].as_array().unwrap() {
            if !attackers.iter().any(|it| hit["offender"] == it.as_str()) {
                wrong.push(format!("{hit} in {line}"));
            }
        }
    }
    wrong
}

/// The line with the true offender played by the attacker, and everybody else by the client.
fn recast(line: &str, offender: Option<IpAddr>) -> String {
    let of = |kind: fn(char) -> bool| line.split(move |c| !kind(c));
    // `192.0.2.1:443` is no IPv6 address, but its first part is an address all the same.
    let words = of(|c| c.is_ascii_hexdigit() || c == ':' || c == '.')
        .chain(of(|c| c.is_ascii_digit() || c == '.'))
        .flat_map(|word| [word.trim_end_matches(['.', ':']), word.trim_matches(['.', ':'])]);
    let found: BTreeSet<(usize, &str, IpAddr)> = words
        .filter_map(|word| {
            let address: IpAddr = word.parse().ok()?;
            // `0.0.0.0` is how a field without an address is written.
            (!address.is_unspecified()).then_some((
                usize::MAX - word.len(),
                word,
                address.to_canonical(),
            ))
        })
        .collect();
    let mut cast = line.to_owned();
    // The longest first, and by way of marks: one address may be the beginning of another.
    for (number, (_, word, _)) in found.iter().enumerate() {
        cast = cast.replace(word, &format!("\u{1}{number}\u{2}"));
    }
    for (number, (_, _, address)) in found.iter().enumerate() {
        // A line that names nobody to its own filter may be another filter's, to whom the peer is
        // the offender; in all samples that is the same.
        let guilty = match offender {
            Some(offender) => *address == offender,
            None => PEERS.contains(&address.to_string().as_str()),
        };
        let actor = if guilty { ATTACKER } else { CLIENT };
        let actor = actor.like(*address).to_string();
        cast = cast.replace(&format!("\u{1}{number}\u{2}"), &actor);
    }
    cast
}

#[test]
fn roles_are_recast() {
    let line =
        "from 192.0.2.1:9 as 192.0.2.10: [::ffff:192.0.2.10]:22 2001:db8::1: 0.0.0.0 10:00:00 ::";
    let cast = recast(line, Some("192.0.2.10".parse().unwrap()));
    assert_eq!(
        cast,
        "from 203.0.113.20:9 as 198.51.100.66: [198.51.100.66]:22 2001:db8:c::20: 0.0.0.0 10:00:00 ::"
    );
}

/// Who the peer is in the samples.
const PEERS: [&str; 2] = ["192.0.2.10", "2001:db8::17"];
