//! A jail's `action`: bans of the firewall become a scope, mails and scripts become actions.

mod command;
mod split;

use std::path::Path;

use super::document::{Table, array, quoted};
use super::report::Report;
use crate::filter::fail2ban::conf::{self, Located};

/// What the actions of one jail come to.
#[derive(Debug, Default)]
pub(super) struct Actions {
    /// `gateway` or `ports`; `None` when no action bans.
    pub(super) scope: Option<&'static str>,
    /// The ports, when the scope is these.
    pub(super) ports: Vec<String>,
    /// Names for `actions = […]`.
    pub(super) names: Vec<String>,
    /// `drop` or `reject`, as the firewall's actions say.
    pub(super) verdict: Option<&'static str>,
    /// The jail lets offenders in instead of keeping them out.
    pub(super) opens: bool,
    /// All it has are mails: nobody is kept out.
    pub(super) only_mails: bool,
}

/// The `[action.*]` of all jails, each once.
#[derive(Debug, Default)]
pub(super) struct Shared(Vec<(String, &'static str, Keys)>);

/// Keys of an action, with their values as TOML.
type Keys = Vec<(&'static str, String)>;

impl Shared {
    /// The name of an action with these keys.
    fn name(&mut self, wish: &str, kind: &'static str, keys: Keys) -> String {
        if let Some((name, ..)) = self.0.iter().find(|it| it.1 == kind && it.2 == keys) {
            return name.clone();
        }
        let mut name = wish.to_owned();
        let mut number = 1;
        while name == "firewall" || self.0.iter().any(|(there, ..)| *there == name) {
            number += 1;
            name = format!("{wish}-{number}");
        }
        self.0.push((name.clone(), kind, keys));
        name
    }

    pub(super) fn tables(self) -> impl Iterator<Item = Table> {
        self.0.into_iter().map(|(name, kind, keys)| {
            let header = format!("[action.{}]", super::document::key(&name));
            let mut table = Table::new(header, "action");
            table.set("kind", quoted(kind));
            for (key, value) in keys {
                table.set(key, value);
            }
            table
        })
    }
}

/// One action, as the jail calls it.
struct Call<'a> {
    /// Whose option it is, for the report.
    owner: &'a str,
    /// The whole option, for its place.
    written: &'a Located,
    name: String,
    options: Vec<(String, String)>,
}

impl Call<'_> {
    fn option(&self, name: &str) -> Option<&str> {
        self.options.iter().find(|(it, _)| it == name).map(|(_, value)| &**value)
    }

    fn note(&self, report: &mut Report, reason: &str) {
        let value = Located { text: self.name.clone(), place: self.written.place.clone() };
        report.note(self.owner, "action", &value, reason);
    }
}

/// Translates the option `action` of a jail.
pub(super) fn translate(
    folder: &Path,
    owner: &str,
    written: &Located,
    shared: &mut Shared,
    report: &mut Report,
) -> Actions {
    let mut actions = Actions { only_mails: true, ..Actions::default() };
    for text in split::actions(&written.text) {
        let (name, options) = match conf::parse_spec(text) {
            Ok((name, options)) => (name.trim().to_owned(), options),
            Err(error) => {
                report.note(owner, "action", written, &format!("not understood: {error}"));
                continue;
            }
        };
        let call = Call { owner, written, name, options };
        if let Some((_, reach)) = FIREWALLS.iter().find(|(it, _)| is_called(&call.name, it)) {
            firewall(&call, *reach, &mut actions, report);
        } else if MAILS.iter().any(|it| is_called(&call.name, it)) {
            actions.names.push(mail(&call, shared, report));
            continue;
        } else if let Some(name) = command::translate(folder, &call, shared, report) {
            actions.names.push(name);
        }
        actions.only_mails = false;
    }
    if actions.scope.is_some() {
        actions.names.insert(0, "firewall".to_owned());
    }
    actions.names.dedup();
    if actions.scope == Some("gateway") {
        actions.ports.clear();
    }
    report.became(owner, "action", "jail.actions");
    actions
}

/// Whether an action is one of a family: `iptables`, `iptables-new` …
fn is_called(name: &str, family: &str) -> bool {
    name.strip_prefix(family).is_some_and(|rest| rest.is_empty() || rest.starts_with(['-', '.']))
}

/// What an action of a firewall closes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Reach {
    /// Everything.
    All,
    /// The ports, unless its name or its type says all.
    Ports,
}

fn firewall(call: &Call<'_>, reach: Reach, actions: &mut Actions, report: &mut Report) {
    if let Some(block) = call.option("blocktype") {
        let word = block.to_lowercase();
        if OPENS.iter().any(|it| word.starts_with(it)) {
            call.note(report, "this action lets offenders in instead of keeping them out");
            actions.opens = true;
            return;
        }
        let drops = DROPS.iter().any(|it| word.starts_with(it));
        actions.verdict = Some(if drops { "drop" } else { "reject" });
    } else if REJECTS.iter().any(|it| is_called(&call.name, it)) {
        actions.verdict = actions.verdict.or(Some("reject"));
    }
    let kind = call.option("type").or(call.option("actiontype")).unwrap_or_default();
    let is_all = reach == Reach::All || call.name.contains("allports") || kind.contains("allports");
    let ports = if is_all { None } else { ports(call) };
    match ports {
        Some(ports) if actions.scope != Some("gateway") => {
            actions.scope = Some("ports");
            for port in ports {
                if !actions.ports.contains(&port) {
                    actions.ports.push(port);
                }
            }
        }
        _ => actions.scope = Some("gateway"),
    }
    for (option, value) in &call.options {
        let is_plain = PLAIN.contains(&option.as_str());
        let is_default =
            option == "chain" && ["<known/chain>", "INPUT", "input"].contains(&&**value);
        if !is_plain && !is_default {
            let reason =
                format!("`{option}` has no equal: Portcullis has a table of its own in nftables");
            call.note(report, &reason);
        }
    }
    if call.name.ends_with("-log") || call.name.contains("logging") {
        call.note(report, "packets of banned offenders are counted, not logged");
    }
}

/// The ports of an action, `None` for all. Those that are not of TCP end in `/udp` or the like.
fn ports(call: &Call<'_>) -> Option<Vec<String>> {
    let protocol = match call.option("protocol").unwrap_or("tcp") {
        "tcp" => String::new(),
        other => format!("/{other}"),
    };
    let ports: Vec<&str> = call
        .option("port")?
        .split(|c: char| c == ',' || c.is_whitespace())
        .filter(|port| !port.is_empty())
        .collect();
    let is_all = |port: &&str| ["0:65535", "1:65535", "all", "any"].contains(port);
    if ports.is_empty() || ports.iter().any(is_all) {
        return None;
    }
    Some(ports.into_iter().map(|port| port.replace(':', "-") + &protocol).collect())
}

/// A mail for every ban becomes a digest; returns its name.
fn mail(call: &Call<'_>, shared: &mut Shared, report: &mut Report) -> String {
    let to = call.option("dest").filter(|to| !to.is_empty());
    if to.is_none() {
        call.note(report, "it names no `dest`; root@localhost is written");
    }
    let to: Vec<&str> = to
        .unwrap_or("root@localhost")
        .split(|c: char| c == ',' || c.is_whitespace())
        .filter(|it| !it.is_empty())
        .collect();
    let from = match call.option("sender") {
        Some(from) if !from.contains(['<', '>']) && !from.is_empty() => from,
        Some(from) if from.contains("<fq-hostname>") => {
            call.note(report, "`sender` holds this host's name; put it into `from`");
            "root@localhost"
        }
        _ => "root@localhost",
    };
    if ["whois", "lines", "matches", "geoip"].iter().any(|it| call.name.contains(it)) {
        call.note(report, "the mail is a digest of bans, without whois answers and log lines");
    }
    if ["complain", "xarf-login-attack"].iter().any(|it| is_called(&call.name, it)) {
        call.note(
            report,
            "complaints to the owner of the address are not sent; only `dest` is told",
        );
    }
    for (option, value) in &call.options {
        if !MAIL_OPTIONS.contains(&option.as_str()) && !value.is_empty() {
            call.note(report, &format!("`{option}` has no equal in a mail's action"));
        }
    }
    let mut keys = vec![("from", quoted(from)), ("to", array(to))];
    if let Some(lines) = call.option("lines").and_then(|lines| lines.trim().parse::<u32>().ok()) {
        keys.push(("at_least", lines.to_string()));
    }
    shared.name("mail", "mail", keys)
}

/// Actions that talk to this host's firewall or routes.
const FIREWALLS: [(&str, Reach); 20] = [
    ("iptables-xt_recent-echo", Reach::All),
    ("iptables-allports", Reach::All),
    ("iptables", Reach::Ports),
    ("ip6tables", Reach::Ports),
    ("nftables-allports", Reach::All),
    ("nftables", Reach::Ports),
    ("firewallcmd-allports", Reach::All),
    ("firewallcmd", Reach::Ports),
    ("ufw", Reach::All),
    ("shorewall", Reach::All),
    ("apf", Reach::All),
    ("ipfilter", Reach::All),
    ("ipfw", Reach::Ports),
    ("bsd-ipfw", Reach::Ports),
    ("osx-ipfw", Reach::Ports),
    ("osx-afctl", Reach::All),
    ("npf", Reach::All),
    ("pf", Reach::Ports),
    ("route", Reach::All),
    ("symbiosis-blacklist", Reach::All),
];

/// Families whose bans answer with an ICMP error unless told otherwise.
const REJECTS: [&str; 6] = ["iptables", "ip6tables", "nftables", "firewallcmd", "ufw", "route"];

const OPENS: [&str; 4] = ["return", "accept", "allow", "pass"];
const DROPS: [&str; 4] = ["drop", "deny", "blackhole", "block"];

/// Actions that send a mail.
const MAILS: [&str; 5] = ["mail", "sendmail", "smtp", "complain", "xarf-login-attack"];

/// Options of a firewall's action that are translated, or name things of fail2ban's own.
const PLAIN: [&str; 9] = [
    "port",
    "protocol",
    "name",
    "actname",
    "type",
    "actiontype",
    "blocktype",
    "returntype",
    "actionstart_on_demand",
];

/// Options of a mail's action that are translated, or name things of fail2ban's own.
const MAIL_OPTIONS: [&str; 10] = [
    "dest", "sender", "name", "actname", "lines", "logpath", "protocol", "chain", "port", "service",
];

#[cfg(test)]
mod tests {
    use super::*;

    fn of(text: &str) -> (Actions, Vec<String>) {
        let mut report = Report::default();
        let written = Located { text: text.to_owned(), place: Default::default() };
        let mut shared = Shared::default();
        let actions = translate(Path::new("/nowhere"), "j", &written, &mut shared, &mut report);
        (actions, report.notes.into_iter().map(|note| note.reason).collect())
    }

    #[test]
    fn ports_of_several_bans_come_together() {
        let (actions, notes) = of(
            "iptables-multiport[name=a-tcp, port=\"ssh,2000:3000\", protocol=\"tcp\", chain=\"<known/chain>\"]\n\
             iptables-multiport[name=a-udp, port=\"53\", protocol=\"udp\"]",
        );
        assert_eq!(actions.scope, Some("ports"));
        assert_eq!(actions.ports, ["ssh", "2000-3000", "53/udp"]);
        assert_eq!((actions.verdict, notes.len()), (Some("reject"), 0), "{notes:?}");
        for all in [
            "iptables-multiport[port=\"0:65535\"]",
            "iptables-allports[port=22]",
            "nftables[type=allports, port=22]",
            "route",
            "iptables[port=22]\nufw",
        ] {
            let (actions, _) = of(all);
            assert_eq!((actions.scope, actions.ports.len()), (Some("gateway"), 0), "{all}");
        }
    }

    #[test]
    fn an_action_that_lets_in_is_no_ban() {
        let (actions, notes) = of("iptables[blocktype=RETURN, returntype=DROP, port=ftp]");
        assert!(actions.opens && actions.scope.is_none() && actions.names.is_empty());
        assert_eq!(notes.len(), 1);
        let (actions, _) = of("iptables[blocktype=\"DROP\"]");
        assert_eq!((actions.opens, actions.verdict), (false, Some("drop")));
    }

    #[test]
    fn no_action_is_lost() {
        let (actions, notes) =
            of("iptables[chain=MINE]\nsendmail-whois[dest=a@b.c, sender=\"x@y.z\"] notthere\nx[");
        assert_eq!(actions.names, ["firewall", "mail"]);
        assert_eq!(notes.len(), 4, "{notes:?}");
    }
}
