use super::*;
use crate::input::Protocol;
use crate::model::{DurationWords, Trust};

fn plan(text: &str) -> Plan {
    Plan::from_text("portcullis.toml", text).unwrap_or_else(|error| panic!("{error}"))
}

fn error(text: &str) -> String {
    Plan::from_text("portcullis.toml", text).unwrap_err().to_string()
}

fn threshold(plan: &Plan, jail: usize) -> crate::detect::Threshold {
    plan.jails[jail].terms.thresholds[0].0
}

#[test]
fn what_bans_are_like_is_said_by_jail_or_defaults() {
    let plan = plan(
        r#"
        [defaults]
        bantime_increment = true
        bantime_multipliers = [1, 2.5]
        ipv6_escalate = 3
        [jail.again]
        kind = "recidive"
        bantime = "1w"
        [jail.sshd]
        senders = 2
        bantime_factor = 2
        bantime_overalljails = false
        bantime_max = "forever"
        bantime_jitter = 30
        ipv6_escalate_prefix = 48
        [[jail.sshd.threshold]]
        maxretry = 30
        findtime = "1d"
        bantime = "1w"
        [[jail.sshd.threshold]]
        distinct = 5
        [breaker]
        bans_per_minute = 0
        [never_ban]
        names = ["admin.example.net"]
        command = ["/bin/false", "x"]
        "#,
    );
    assert_eq!(plan.jails[0].filter, JailFilter::Bans);
    assert!(plan.jails[0].terms.recidive && plan.jails[0].terms.growth.all_jails);
    let terms = &plan.jails[1].terms;
    assert!(terms.growth.increment && !terms.growth.all_jails);
    assert_eq!((terms.growth.factor, &*terms.growth.multipliers), (2.0, &[1.0, 2.5][..]));
    assert_eq!((terms.growth.max, terms.growth.jitter.as_secs()), (DurationWords::Forever, 30));
    assert_eq!((terms.escalate[0].after, terms.escalate[1].after), (0, 3));
    assert_eq!((terms.escalate[0].prefix, terms.escalate[1].prefix), (24, 48));
    let shown: Vec<_> = terms
        .thresholds
        .iter()
        .map(|(it, ban)| (it.maxretry, it.findtime.as_secs(), it.senders, it.distinct, *ban))
        .map(|(hits, time, senders, users, ban)| (hits, time, senders, users, ban.to_string()))
        .collect();
    let ten = || "10m".to_owned();
    let expected = [(5, 600, 2, 0, ten()), (30, 86_400, 2, 0, "1w".into()), (5, 600, 2, 5, ten())];
    assert_eq!(shown, expected);
    assert_eq!((plan.bans_per_minute, &*plan.never_ban.names[0]), (0, "admin.example.net"));
}

#[test]
fn nothing_is_a_working_configuration() {
    let plan = plan("");
    let shown: Vec<_> =
        plan.listeners.iter().map(|it| format!("{} {}", it.protocol, it.address)).collect();
    assert_eq!(
        shown,
        ["udp 127.0.0.1:5514", "udp [::1]:5514", "tcp 127.0.0.1:5514", "tcp [::1]:5514"]
    );
    assert!(plan.listeners.iter().all(|it| it.trust == Trust::Ban));
    assert_eq!(plan.metrics.to_string(), "127.0.0.1:9514");
    assert_eq!(plan.jails.len(), plan.filters.len());
    assert!(plan.jails.iter().any(|jail| &**jail.name() == "sshd"));
    assert_eq!(threshold(&plan, 0).maxretry, 5);
    assert!(plan.filters.iter().all(|filter| !filter.opt_in));
    assert!(plan.workers >= 1);
}

#[test]
fn jails_take_what_they_do_not_say_from_the_defaults() {
    let plan = plan(
        r#"
        [defaults]
        maxretry = 3
        bantime = "1d12h"
        [jail.sshd]
        findtime = 90
        [jail.night]
        filter = "sshd"
        bantime = "forever"
        ipv6_prefix = 128
        [jail.off]
        enabled = false
        "#,
    );
    let names: Vec<_> = plan.jails.iter().map(|jail| &**jail.name()).collect();
    assert_eq!(names, ["night", "sshd"]);
    assert_eq!(plan.filters.len(), 1, "one filter serves both");
    assert_eq!(plan.jails[0].bantime(), DurationWords::Forever);
    assert_eq!(threshold(&plan, 0).ipv6_prefix, 128);
    assert_eq!(plan.jails[1].bantime().to_string(), "1d12h");
    assert_eq!(threshold(&plan, 1).findtime.as_secs(), 90);
    assert_eq!(threshold(&plan, 1).maxretry, 3);
}

#[test]
fn a_filter_that_must_be_asked_for_is_there_when_asked() {
    assert!(!plan("").jails.iter().any(|jail| &**jail.name() == "cisco-asa-deny"));
    assert_eq!(plan("[jail.cisco-asa-deny]").filters[0].name, "cisco-asa-deny");
}

#[test]
fn outside_listeners_only_count_until_told_to_trust() {
    let plan = plan(
        r#"
        [[listen]]
        protocol = "udp"
        address = "0.0.0.0:514"
        [[listen]]
        protocol = "tcp"
        address = "[::1]:514"
        [[sender]]
        name = "dmz"
        addresses = ["198.51.100.0/24", "2001:db8:1::/48"]
        trust = "ban"
        "#,
    );
    assert_eq!(plan.listeners[0].trust, Trust::Count);
    assert_eq!(plan.listeners[1].trust, Trust::Ban);
    assert_eq!(plan.listeners[1].protocol, Protocol::Tcp);
    let inside = "2001:db8:1::7".parse().unwrap();
    assert_eq!(plan.senders.trust(inside, Trust::Count), Trust::Ban);
    assert_eq!(plan.sender_prefixes.len(), 2);
}

#[test]
fn who_may_not_speak_is_not_spared() {
    let plan = plan(
        r#"
        [[sender]]
        name = "nobody else"
        addresses = ["0.0.0.0/0", "::/0"]
        trust = "refuse"
        [[sender]]
        name = "dmz"
        addresses = ["198.51.100.0/24"]
        "#,
    );
    assert_eq!(plan.sender_prefixes, ["198.51.100.0/24".parse().unwrap()]);
    let stranger = "2001:db8::1".parse().unwrap();
    assert_eq!(plan.senders.trust(stranger, Trust::Ban), Trust::Refuse);
}

#[test]
fn slips_are_named_with_their_place_and_mend() {
    for (text, expected) in [
        ("[server]\nworker = 2", "portcullis.toml:2:1: unknown field `worker`"),
        ("[server]\nworker = 2", "did you mean `workers`?"),
        ("[jial.sshd]", "did you mean `jail`?"),
        ("[jail.sshd]\nmaxretry = \"5\"", "portcullis.toml:2:12: invalid type: string"),
        ("[jail.sshd]\nmaxretry = 0", "portcullis.toml:2:12: maxretry is 1 to 1000, not 0"),
        ("[jail.sshd]\nfindtime = \"forever\"", "portcullis.toml:2:12: this is a time"),
        ("[jail.sshd]\nbantime = \"5min\"", "portcullis.toml:2:11: `5min` is not a duration"),
        ("[defaults]\nprograms = [\"x\"]", "belongs to a jail, not to [defaults]"),
        (
            "[jail.sshd]\nprograms = [\"sshd\"]",
            "portcullis.toml:1:1: jail `sshd`: `programs` is for filters of fail2ban's; the filter \
             `sshd` says itself",
        ),
        ("[jail.x]\nfilter = \"fail2ban:x\"\nprograms = []", "`programs` names programs, such as"),
        ("[server]\non_bad_filter = \"ignore\"", "expected `refuse` or `skip`"),
        ("[server]\nmatcher_mib = 0", "portcullis.toml:2:15: matcher_mib is 1 to 1024, not 0"),
        ("[jail.sshd]\nbantime = 0", "portcullis.toml:2:11: bantime is a time above zero"),
        (
            "[jail.manual]\nfilter = \"sshd\"",
            "portcullis.toml:1:1: a jail cannot be called `manual`",
        ),
        (
            "[[sender]]\nname = \"all\"\naddresses = [\"::/0\"]\ntrust = \"ban\"",
            "portcullis.toml:1:1: sender `all` is ::/0",
        ),
        ("[jail.x]\nfilter = \"sshdd\"", "did you mean `sshd`?"),
        ("[jail.sshdd]", "portcullis.toml:1:1: jail `sshdd`: no filter `sshdd`"),
        ("[never_ban]\naddresses = [\"10.0.0.1/8\"]", "portcullis.toml:2:13: 10.0.0.1/8 has bits"),
        ("[never_ban]\naddresses = [\"10.0.0\"]", "`10.0.0` is not an IPv4 or IPv6 address"),
        ("[[listen]]\nprotocol = \"upd\"\naddress = \"[::]:1\"", "unknown variant `upd`"),
        ("[[listen]]\nprotocol = \"udp\"\naddress = \"localhost:1\"", "portcullis.toml:3:11"),
        ("[firewall]\ntable = \"a b\"", "portcullis.toml:2:9: `a b` is no table name"),
        ("[firewall]\nbackend = \"iptables\"", "expected one of `auto`, `nftables`, `route`"),
        ("[firewall]\nverdict = \"deny\"", "expected `drop` or `reject`"),
        (
            "[jail.sshd]\nscope = \"ports\"",
            "portcullis.toml:1:1: jail `sshd`: `scope = \"ports\"` needs",
        ),
        ("[jail.sshd]\nscope = \"sender\"\nports = [22]", "by `scope = \"ports\"` only"),
        ("[jail.sshd]\nports = [0]", "portcullis.toml:2:9: `0` is no port"),
        ("[jail.sshd]\nports = [\"22/icmp\"]", "`22/icmp` is no port"),
        (
            "[jail.sshd]\nports = [1,2,3,4,5,6,7,8,9,10,11,12,13,14,15,16]",
            "at most 15 entries, not 16",
        ),
        ("x = [", "portcullis.toml:1"),
        ("[jail.a]\nkind = \"recidiv\"", "expected `filter` or `recidive`"),
        ("[jail.a]\nkind = \"recidive\"\nfilter = \"sshd\"", "jail `a`: its hits are the bans"),
        ("[defaults]\nkind = \"recidive\"", "belong to a jail, not to [defaults]"),
        ("[jail.sshd]\nbantime_factor = 0", "bantime_factor is above 0"),
        ("[jail.sshd]\nbantime_multipliers = [1, -2]", "a multiplier is above 0"),
        ("[jail.sshd]\nbantime_jitter = \"forever\"", "bantime_jitter cannot be `forever`"),
        ("[jail.sshd]\nsenders = 0", "senders is 1 to 100, not 0"),
        ("[jail.sshd]\nipv4_escalate = 1", "set ipv4_prefix or ipv6_prefix instead"),
        ("[jail.sshd]\nipv4_escalate_prefix = 4", "this prefix length is 8 to 32, not 4"),
        ("[never_ban]\nnames = [\"192.0.2.1\"]", "portcullis.toml:2:10: `192.0.2.1` is no host"),
        ("[never_ban]\ncommand = [\"true\"]", "portcullis.toml:2:11: `command` begins with"),
        ("[breaker]\nbans_per_minute = -1", "bans_per_minute is 0 (never) to 1000000"),
    ] {
        let said = error(text);
        assert!(said.contains(expected), "{text}\n  said  {said}\n  lacks {expected}");
    }
}

#[test]
fn an_unreadable_file_is_named() {
    let said = load(Some(Path::new("/nonexistent/portcullis.toml"))).unwrap_err().to_string();
    assert!(said.contains("/nonexistent/portcullis.toml"), "{said}");
}

#[test]
fn a_filter_of_the_operator_is_tried_before_it_runs() {
    let folder = std::env::temp_dir().join(format!("portcullis-config-{}", std::process::id()));
    std::fs::create_dir_all(&folder).unwrap();
    let filter = folder.join("mine.toml");
    let text = "name = \"mine\"\ndescription = \"\"\nprograms = [\"mine\"]\n[[pattern]]\n\
                name = \"p\"\nregex = '^from <ip>$'\nhit = [{ line = 'by 192.0.2.1', ip = '192.0.2.1' }]\n";
    std::fs::write(&filter, text).unwrap();
    let config = format!("[server]\nfilters = [{folder:?}]\n[jail.mine]\n");
    let said = error(&config);
    assert!(said.contains("mine.toml:7:8: pattern `p`: a hit, but nothing matches it"), "{said}");
    std::fs::write(&filter, text.replace("by 192", "from 192")).unwrap();
    assert_eq!(plan(&config).filters[0].name, "mine");
}

/// What stands in `config/portcullis.toml` are the defaults; what stands behind a `#` loads too; and
/// no key is missing.
#[test]
fn the_reference_is_a_working_configuration() {
    let reference = include_str!("../../config/portcullis.toml");
    let written = Plan { listens_by_default: true, ..plan(reference) };
    let (written, built_in) = (format!("{written:#?}"), format!("{:#?}", plan("")));
    let differs = written.lines().zip(built_in.lines()).find(|(one, two)| one != two);
    assert!(written == built_in, "{differs:?}");

    let is_example = |text: &str| text.starts_with(|c: char| c == '[' || c.is_ascii_lowercase());
    let whole: String = reference
        .lines()
        .map(|line| line.strip_prefix('#').filter(|text| is_example(text)).unwrap_or(line))
        .flat_map(|line| [line, "\n"])
        .collect();
    let plan = plan(&whole);
    assert_eq!((plan.jails.len(), plan.filters.len(), plan.sender_prefixes.len()), (3, 1, 2));

    let table: toml::Table = whole.parse().unwrap();
    let jails = table["jail"].as_table().unwrap().values();
    let of_jails: toml::Table = jails.flat_map(|jail| jail.as_table().unwrap().clone()).collect();
    for (section, stands) in [
        ("", &table),
        ("[server]", table["server"].as_table().unwrap()),
        ("[[listen]]", table["listen"][0].as_table().unwrap()),
        ("[[sender]]", table["sender"][0].as_table().unwrap()),
        ("[jail.sshd]", &of_jails),
        ("[never_ban]", table["never_ban"].as_table().unwrap()),
        ("[breaker]", table["breaker"].as_table().unwrap()),
        ("[[jail.sshd.threshold]]", of_jails["threshold"][0].as_table().unwrap()),
        ("[firewall]", table["firewall"].as_table().unwrap()),
        ("[metrics]", table["metrics"].as_table().unwrap()),
    ] {
        let said = error(&format!("{section}\nq = 1"));
        let known = said.split("expected").nth(1).unwrap_or_else(|| panic!("{section}: {said}"));
        for key in known.split('`').skip(1).step_by(2) {
            assert!(stands.contains_key(key), "{section} lacks `{key}`");
        }
    }
    let defaults = table["defaults"].as_table().unwrap();
    let missing: Vec<_> = of_jails.keys().filter(|key| !defaults.contains_key(*key)).collect();
    assert_eq!(missing, ["filter", "kind", "programs", "threshold"], "which [defaults] refuse");
}

#[test]
fn the_automatons_bound_is_configured() {
    assert_eq!(plan("").matcher_bytes, 32 << 20);
    let small = plan("[server]\nmatcher_mib = 1\n[jail.sshd]");
    assert_eq!(small.matcher_bytes, 1 << 20);
    assert_eq!(small.rules().unwrap().matcher().most_cache_bytes(), 1 << 20);
}
