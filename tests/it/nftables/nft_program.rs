//! What the `nft` program makes of our table, and what it can do to it.

use super::*;

fn nft(arguments: &[&str]) -> String {
    let output =
        std::process::Command::new("nft").args(arguments).output().expect("nft is installed");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).unwrap()
}

#[test]
#[ignore = "needs the nft program: make test"]
fn the_nft_program_reads_the_same() {
    in_namespace(|| {
        let mut gate = open();
        let at = |s| after(Duration::from_secs(s));
        apply(
            &mut gate,
            &[
                impose("192.0.2.1", at(1000)),
                impose("192.0.2.2", Until::Forever),
                impose("198.51.100.0/23", at(2000)),
                impose("2001:db8:7::1", Until::Forever),
                impose("2001:db8:7::/64", at(3000)),
                impose("2001:db8:8::/47", at(4000)),
            ],
        );
        gate.set_never(
            &["10.0.0.0/8", "10.1.0.0/16", "255.255.255.255", "2001:db8:9::/48"].map(prefix),
        )
        .unwrap();
        let text = nft(&["list", "table", "inet", "portcullis"]);
        println!("{text}");
        for line in [
            "type filter hook prerouting priority raw; policy accept;",
            "ip saddr @ban4_32 goto gate4",
            "ip saddr & 255.255.254.0 == @ban4_23 goto gate4",
            "ip6 saddr @ban6_128 goto gate6",
            "ip6 saddr & ffff:ffff:ffff:ffff:: == @ban6_64 goto gate6",
            "ip6 saddr & ffff:ffff:fffe:: == @ban6_47 goto gate6",
            "ip saddr @never4 accept",
            "ip6 saddr @never6 accept",
            "counter name \"dropped4\" drop",
            "counter name \"dropped6\" drop",
        ] {
            let line_again = line.replace("== @", "@");
            let times =
                text.lines().map(str::trim).filter(|l| *l == line || *l == line_again).count();
            assert_eq!(times, 1, "`{line}`");
        }
        let json: serde_json::Value =
            serde_json::from_str(&nft(&["-j", "list", "table", "inet", "portcullis"])).unwrap();
        let set = |name: &str| {
            let objects = json["nftables"].as_array().unwrap();
            let found = objects.iter().find(|object| object["set"]["name"] == name).unwrap();
            found["set"].clone()
        };
        assert_eq!(set("ban4_32")["flags"], serde_json::json!(["timeout"]));
        assert_eq!(set("ban4_32")["size"], 200_000);
        assert_eq!(set("ban4_32")["type"], "ipv4_addr");
        assert_eq!(set("ban6_128")["elem"], serde_json::json!(["2001:db8:7::1"]));
        for (name, value, timeout) in [
            ("ban4_23", "198.51.100.0", 2000),
            ("ban6_64", "2001:db8:7::", 3000),
            ("ban6_47", "2001:db8:8::", 4000),
        ] {
            let element = &set(name)["elem"][0]["elem"];
            assert_eq!(element["val"], value);
            let left = element["expires"].as_i64().unwrap();
            assert!((timeout - 5..=timeout).contains(&left), "{element}");
        }
        let never = set("never4")["elem"].to_string();
        assert!(
            never.contains(r#"{"addr":"10.0.0.0","len":8}"#)
                || never.contains(r#""addr":"10.0.0.0""#)
        );
        assert!(never.contains("255.255.255.255") && !never.contains("10.1"), "{never}");
    });
}

#[test]
#[ignore = "needs the nft program: make test"]
fn a_size_changed_in_the_settings_reaches_the_sets_adopted() {
    in_namespace(|| {
        drop(open());
        let larger = Settings { most_bans: 300_000, ..settings() };
        drop(Gate::open(&larger).unwrap());
        let text = nft(&["list", "table", "inet", "portcullis"]);
        assert_eq!(text.matches("size 300000").count(), 3, "{text}");
    });
}

#[test]
#[ignore = "needs the nft program: make test"]
fn a_ruleset_flush_by_others_spares_what_we_own() {
    in_namespace(|| {
        let mut gate = open();
        let wire = Wire::from("127.0.0.2");
        apply(&mut gate, &[impose("127.0.0.2", hour())]);
        nft(&["flush", "ruleset"]);
        let owned = gate.ownership() == Ownership::Owned;
        assert_eq!(gate.is_intact().unwrap(), owned);
        assert_eq!(wire.passes(), !owned);
    });
}

#[test]
#[ignore = "needs the nft program: make test"]
fn meddling_with_a_shared_table_is_noticed_and_mended() {
    in_namespace(|| {
        add_plain_table("portcullis");
        let mut gate = open();
        let bans = [(target("127.0.0.2"), hour()), (target("127.0.2.0/24"), hour())];
        let wire = Wire::from("127.0.2.2");
        gate.sync(&bans, &[], Timestamp::now()).unwrap();
        for meddling in [
            &["flush", "chain", "inet", "portcullis", "prerouting"][..],
            &["insert", "rule", "inet", "portcullis", "prerouting", "accept"],
            &["add", "table", "inet", "portcullis", "{ flags dormant; }"],
        ] {
            assert!(gate.is_intact().unwrap());
            nft(meddling);
            assert!(!gate.is_intact().unwrap() && wire.passes(), "{meddling:?}");
            gate.sync(&bans, &[], Timestamp::now()).unwrap();
            assert!(gate.is_intact().unwrap() && !wire.passes(), "{meddling:?}");
        }
        // Elements are not looked at: a sync puts them back.
        nft(&["flush", "set", "inet", "portcullis", "ban4_24"]);
        assert!(gate.is_intact().unwrap() && wire.passes());
        gate.sync(&bans, &[], Timestamp::now()).unwrap();
        assert!(!wire.passes());
    });
}

#[test]
#[ignore = "needs the nft program: make test"]
fn a_table_made_otherwise_is_refused_with_the_mend() {
    in_namespace(|| {
        nft(&["add", "table", "inet", "portcullis"]);
        nft(&["add", "set", "inet", "portcullis", "ban4_32", "{ type ipv6_addr; }"]);
        let error = Gate::open(&settings()).unwrap_err();
        assert!(matches!(error, GateError::Different { .. }), "{error}");
        assert!(error.to_string().contains("ban4_32") && error.to_string().contains("nft delete"));
    });
}
