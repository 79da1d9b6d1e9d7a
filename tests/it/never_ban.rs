//! Who is never shut out: the gateway itself, its routers, its senders, and whom the operator names.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use nix::sys::signal::Signal;
use portcullis::lab::{ATTACKER, CLIENT, GATEWAY, SERVER, in_namespace};
use rtnetlink::RouteMessageBuilder;

use crate::harness::Daemon;
use crate::stage::{Net, OFFENDERS, SSHD, Stage, configuration, home};

#[test]
fn lines_cannot_shut_out_those_we_live_by() {
    in_namespace("never_ban::lines_cannot_shut_out_those_we_live_by", || {
        let stage = Stage::new(
            "[jail.sshd]\nmaxretry = 1\n\
             [never_ban]\naddresses = [\"203.0.113.0/25\", \"2001:db8:c::20\"]\n",
        );
        let (net, daemon) = (&stage.net, &stage.daemon);
        let own = GATEWAY.both().into_iter().chain([ATTACKER.router_v4().into()]);
        let reserved = ["127.0.0.1", "::1", "fe80::1", "0.0.0.0", "224.0.0.1", "ff02::1"];
        let reserved = reserved.map(|text| text.parse::<IpAddr>().unwrap());
        let offenders: Vec<_> = own.chain(CLIENT.both()).chain(reserved).collect();
        for &offender in &offenders {
            stage.report(offender, 1);
        }
        // A sender who names himself is told apart from one who names another sender.
        stage.report(SERVER.v4.into(), 1);
        stage.report(SERVER.v6.into(), 1);
        let spared = "portcullis_offenders_spared_total";
        daemon.wait_for_metric(spared, "never_ban", offenders.len() as f64);
        daemon.wait_for_metric(spared, "self", 2.0);
        assert_eq!(daemon.banned(), [""; 0]);
        // A neighbour in the /64 of somebody on the list is banned alone, not with the /64.
        stage.report("2001:db8:c::66".parse().unwrap(), 1);
        daemon.wait_for_bans(&["2001:db8:c::66"]);
        for address in CLIENT.both() {
            net.assert_open(&net.client, address);
        }
    });
}

#[test]
fn orders_cannot_either_and_say_why() {
    in_namespace("never_ban::orders_cannot_either_and_say_why", || {
        let stage = Stage::new("[jail.sshd]\n[never_ban]\naddresses = [\"203.0.113.20\"]\n");
        for (target, why) in [
            ("198.18.0.1", "an address of this host"),
            ("2001:db8::1", "an address of this host"),
            ("192.0.2.10", "a configured sender"),
            ("2001:db8:5::10", "a configured sender"),
            ("203.0.113.20", "in [never_ban]"),
            ("::ffff:203.0.113.20", "in [never_ban]"),
            ("127.0.0.9", "reserved"),
            ("fe80::7", "reserved"),
            ("203.0.113.0/24", "holds addresses that are never banned"),
            ("2001:db8:5::/64", "holds addresses that are never banned"),
            ("0.0.0.0/0", "too large"),
            ("2000::/3", "too large"),
        ] {
            stage.daemon.home.run(&["ban", target]).refused(1, &[why]);
        }
        assert_eq!(stage.daemon.banned(), [""; 0]);
    });
}

#[test]
fn an_address_that_becomes_ours_is_let_in_again() {
    in_namespace("never_ban::an_address_that_becomes_ours_is_let_in_again", || {
        let stage = Stage::new(SSHD);
        let (net, daemon) = (&stage.net, &stage.daemon);
        let entries = daemon.metric("portcullis_never_ban_entries", "");
        for (address, offender) in ATTACKER.both().into_iter().zip(OFFENDERS) {
            daemon.command(&["ban", &address.to_string()]);
            daemon.command(&["ban", offender]);
            net.wait_shut(&net.attacker, address);
        }
        // On the gateway's loopback, where it does not disturb the way of the packets back.
        let takes = ["198.51.100.66".parse().unwrap(), "2001:db8:a::77".parse().unwrap()];
        for address in takes {
            add_address(address);
        }
        daemon.wait_for_metric("portcullis_never_ban_entries", "", entries + 2.0);
        // 2001:db8:a::66 alone is not ours, so this ban stays; the /64 with ::77 in it goes.
        daemon.wait_for_bans(&["2001:db8:a::66"]);
        daemon.wait_to_say("lifted");
        for address in takes {
            daemon.home.run(&["ban", &address.to_string()]).refused(1, &["of this host"]);
        }
    });
}

#[test]
fn a_new_default_gateway_is_let_in_again() {
    in_namespace("never_ban::a_new_default_gateway_is_let_in_again", || {
        let stage = Stage::new(SSHD);
        let (net, daemon) = (&stage.net, &stage.daemon);
        for address in CLIENT.both() {
            daemon.command(&["ban", &address.to_string()]);
            net.wait_shut(&net.client, address);
        }
        for address in CLIENT.both() {
            add_default_route(address, net.client.name());
        }
        daemon.wait_for_bans(&[]);
        for address in CLIENT.both() {
            net.wait_open(&net.client, address);
            daemon.home.run(&["ban", &address.to_string()]).refused(1, &["a gateway of this host"]);
        }
    });
}

#[test]
fn who_is_on_the_list_by_now_is_not_taken_over() {
    in_namespace("never_ban::who_is_on_the_list_by_now_is_not_taken_over", || {
        let net = Net::new();
        let home = home(SSHD);
        let daemon = Daemon::start(&home);
        for address in ATTACKER.both() {
            net.report(address, 3);
            net.wait_shut(&net.attacker, address);
        }
        assert_eq!(daemon.end(Signal::SIGTERM).code, Some(0));
        let [v4, v6] = ATTACKER.both();
        home.configure(&configuration(&format!(
            "{SSHD}[never_ban]\naddresses = [\"{v4}\", \"{v6}\"]\n"
        )));
        let daemon = Daemon::start(&home);
        daemon.wait_for_bans(&[]);
        for address in ATTACKER.both() {
            net.wait_open(&net.attacker, address);
        }
    });
}

/// Gives the gateway one more address.
fn add_address(address: IpAddr) {
    on_rtnetlink(async |handle| {
        let length = if address.is_ipv4() { 32 } else { 128 };
        handle.address().add(index(&handle, "lo").await, address, length).execute().await.unwrap();
    });
}

/// Gives the gateway a default route by `router`, which is at the far end of `link`.
fn add_default_route(router: IpAddr, link: &str) {
    on_rtnetlink(async |handle| {
        let route = match router {
            IpAddr::V4(v4) => RouteMessageBuilder::<Ipv4Addr>::new().gateway(v4).build(),
            IpAddr::V6(v6) => RouteMessageBuilder::<Ipv6Addr>::new()
                .gateway(v6)
                .output_interface(index(&handle, link).await)
                .build(),
        };
        handle.route().add(route).execute().await.unwrap();
    });
}

async fn index(handle: &rtnetlink::Handle, link: &str) -> u32 {
    use futures_util::TryStreamExt;
    let mut links = handle.link().get().match_name(link.to_owned()).execute();
    links.try_next().await.unwrap().unwrap().header.index
}

fn on_rtnetlink(work: impl AsyncFnOnce(rtnetlink::Handle)) {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    runtime.block_on(async {
        let (connection, handle, _) = rtnetlink::new_connection().unwrap();
        tokio::spawn(connection);
        work(handle).await;
    });
}
