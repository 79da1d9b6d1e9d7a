//! The table as `nft` sees it: what stands in the kernel is what the daemon says.

use std::process::Command;
use std::time::{Duration, Instant};

use portcullis::lab::{ATTACKER, CLIENT, in_namespace};
use serde_json::Value;

use crate::harness::{Daemon, eventually, finish, on_path, portcullis};
use crate::restart::over;
use crate::stage::{SSHD, Stage, home};

#[test]
#[ignore = "needs nft: make test"]
fn nft_shows_every_ban_and_the_accept_before_the_drop() {
    in_namespace("nft::nft_shows_every_ban_and_the_accept_before_the_drop", || {
        let stage = Stage::new(&format!("{SSHD}[never_ban]\naddresses = [\"203.0.113.20\"]\n"));
        for address in ATTACKER.both() {
            stage.report(address, 3);
            stage.net.wait_shut(&stage.net.attacker, address);
        }
        stage.daemon.command(&["ban", "198.51.100.128/25", "--for", "forever"]);
        eventually("nft lists all bans", || {
            let table = list();
            let found = ["ban4_32", "ban6_64", "ban4_25"].map(|set| elements(&table, set));
            found
                == [
                    vec!["198.51.100.66".to_owned()],
                    vec!["2001:db8:a::".to_owned()],
                    vec!["198.51.100.128".to_owned()],
                ]
        });
        let table = list();
        let never = elements(&table, "never4").join(" ");
        for address in ["203.0.113.20", "198.18.0.1", "192.0.2.10", "127.0.0.0"] {
            assert!(never.contains(address), "{address} in {never}");
        }
        let never = elements(&table, "never6").join(" ");
        assert!(never.contains("2001:db8::1") && never.contains("2001:db8:5::10"), "{never}");
        // The text of the rules, in their order: who is never banned passes before any ban is looked up.
        let text = text();
        let hook = text.find("hook prerouting priority raw").expect(&text);
        for (never, ban) in [("@never4", "@ban4_32"), ("@never6", "@ban6_64")] {
            let [never, ban] = [never, ban].map(|word| text.rfind(word).expect(word));
            assert!(hook < ban && never > 0, "{text}");
        }
        assert!(text.contains("counter") && text.contains("drop"), "{text}");
        stage.daemon.command(&["unban", "--all"]);
        eventually("nft lists no ban", || {
            let table = list();
            ["ban4_32", "ban6_64"].iter().all(|set| elements(&table, set).is_empty())
        });
    });
}

#[test]
#[ignore = "needs nft: make test"]
fn who_is_never_banned_passes_even_with_an_element_against_him() {
    in_namespace("nft::who_is_never_banned_passes_even_with_an_element_against_him", || {
        nft(&["add", "table", "inet", "portcullis"]);
        let [v4, v6] = CLIENT.both();
        let stage = Stage::new(&format!("{SSHD}[never_ban]\naddresses = [\"{v4}\", \"{v6}\"]\n"));
        let Stage { daemon, net } = stage;
        // A plain table, which others may write; and no daemon to mend what they wrote.
        assert_eq!(daemon.end(nix::sys::signal::Signal::SIGTERM).code, Some(0));
        for address in [CLIENT, ATTACKER].iter().flat_map(|it| it.both()) {
            let set = if address.is_ipv4() { "ban4_32" } else { "ban6_128" };
            let element = format!("{{ {address} timeout 1h }}");
            nft(&["add", "element", "inet", "portcullis", set, &element]);
        }
        for (attacker, client) in ATTACKER.both().into_iter().zip(CLIENT.both()) {
            net.wait_shut(&net.attacker, attacker);
            net.assert_open(&net.client, client);
        }
    });
}

#[test]
#[ignore = "needs nft: make test"]
fn a_plain_table_deleted_behind_our_back_is_mended() {
    in_namespace("nft::a_plain_table_deleted_behind_our_back_is_mended", || {
        nft(&["add", "table", "inet", "portcullis"]);
        let stage = Stage::new(SSHD);
        let (net, daemon) = (&stage.net, &stage.daemon);
        assert!(daemon.said().contains("plain one"), "{}", daemon.said());
        for address in ATTACKER.both() {
            stage.report(address, 3);
            net.wait_shut(&net.attacker, address);
        }
        let repairs = || daemon.metric("portcullis_enforce_repairs_total", "");
        let kernel_drops = || -> f64 {
            let text = nft(&["list", "counters", "table", "inet", "portcullis"]);
            let packets = text.split("packets ").skip(1);
            packets.map(|it| it.split(' ').next().unwrap().parse::<f64>().unwrap()).sum()
        };
        for (times, meddling) in [
            "flush set inet portcullis ban4_32; flush set inet portcullis ban6_64",
            "delete element inet portcullis ban4_32 { 198.51.100.66 }; \
             delete element inet portcullis ban6_64 { 2001:db8:a:: }",
            "flush chain inet portcullis prerouting",
            // The last: what is made anew may be ours alone.
            "flush ruleset",
        ]
        .iter()
        .enumerate()
        {
            // What the kernel counted in a table that is made anew; the daemon has fetched all of it.
            let gone = if *meddling == "flush ruleset" { kernel_drops() } else { 0.0 };
            nft(&[meddling]);
            let began = Instant::now();
            eventually(&format!("mended after {meddling:?}"), || repairs() > times as f64);
            assert!(
                began.elapsed() < Duration::from_secs(2),
                "{meddling:?}: {:?}",
                began.elapsed()
            );
            // On a busy machine a knock may go without an answer before it comes to the gate: so the
            // kernel says how many did, and the daemon must have each of them.
            let before = kernel_drops();
            eventually("knocks come to the gate", || {
                for address in ATTACKER.both() {
                    net.wait_shut(&net.attacker, address);
                }
                kernel_drops() >= before + 4.0
            });
            eventually("drops are counted on", || {
                daemon.metric("portcullis_gate_dropped_packets_total", "") == kernel_drops() + gone
            });
        }
        assert_eq!(repairs(), 4.0);
        daemon.wait_to_say("was changed by nft (process ");
        daemon.wait_to_say("the table was gone and is there again; 2 bans put back");
        daemon.command(&["unban", "--all"]);
        for address in ATTACKER.both() {
            net.wait_open(&net.attacker, address);
        }
    });
}

#[test]
#[ignore = "needs nft: make test"]
fn not_a_packet_passes_over_a_kill_with_a_plain_table() {
    in_namespace("nft::not_a_packet_passes_over_a_kill_with_a_plain_table", || {
        nft(&["add", "table", "inet", "portcullis"]);
        over(nix::sys::signal::Signal::SIGKILL);
    });
}

#[test]
#[ignore = "needs nft: make test"]
fn others_cannot_touch_an_owned_table_and_their_tables_are_left_alone() {
    in_namespace("nft::others_cannot_touch_an_owned_table_and_their_tables_are_left_alone", || {
        nft(&["add", "table", "inet", "theirs"]);
        nft(&["add", "chain", "inet", "theirs", "input"]);
        let home = home(SSHD);
        let daemon = Daemon::start_with(&home, portcullis(), &["--flush"]);
        // Older kernels, and some containers, give no owner; then this part has nothing to show.
        if daemon.said().contains("ours alone") {
            let mut command = Command::new(on_path("nft").unwrap());
            command.args(["delete", "table", "inet", "portcullis"]);
            finish(command).refused(1, &["not permitted"]);
            nft(&["flush", "ruleset"]);
            nft(&["add", "table", "inet", "theirs"]);
        }
        assert!(text().contains("prerouting"));
        assert_eq!(daemon.end(nix::sys::signal::Signal::SIGTERM).code, Some(0));
        assert_eq!(nft(&["list", "tables"]).trim(), "table inet theirs");
    });
}

fn nft(words: &[&str]) -> String {
    let mut command = Command::new(on_path("nft").expect("nft is installed"));
    command.args(words);
    finish(command).good().out
}

fn text() -> String {
    nft(&["list", "table", "inet", "portcullis"])
}

fn list() -> Value {
    serde_json::from_str(&nft(&["-j", "list", "table", "inet", "portcullis"])).unwrap()
}

/// What a set holds, as text without timeouts.
fn elements(table: &Value, set: &str) -> Vec<String> {
    let objects = table["nftables"].as_array().unwrap();
    let set = objects.iter().find(|it| it["set"]["name"] == set);
    let elements = set.map(|it| &it["set"]["elem"]).and_then(Value::as_array);
    elements.into_iter().flatten().map(element).collect()
}

fn element(value: &Value) -> String {
    let value = if value["elem"].is_null() { value } else { &value["elem"]["val"] };
    match value {
        Value::String(text) => text.clone(),
        other => other.to_string(),
    }
}
