//! `ignoreip` and `ignorecommand`: who is never banned. fail2ban has a list for each jail,
//! Portcullis one for all: what any jail spares is spared by all, and said.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use super::document::{Table, array};
use super::report::Report;
use crate::filter::fail2ban::conf::Located;
use crate::model::Prefix;

/// `[never_ban]` of all jails together.
#[derive(Debug, Default)]
pub(super) struct Never {
    addresses: Vec<Prefix>,
    names: Vec<String>,
    command: Option<Vec<String>>,
}

impl Never {
    /// Takes the option `ignoreip` of `owner`.
    pub(super) fn addresses(&mut self, owner: &str, written: &Located, report: &mut Report) {
        let words = written.text.split([' ', ',', '\n', '\t']).filter(|word| !word.is_empty());
        for word in words {
            let one = Located { text: word.to_owned(), place: written.place.clone() };
            match entry(word) {
                Entry::Prefix(prefix, _) if is_loopback(&prefix) => {
                    report.note(
                        owner,
                        "ignoreip",
                        &one,
                        "loopback is always on the never-ban list",
                    );
                }
                Entry::Prefix(prefix, remark) => {
                    if let Some(remark) = remark {
                        report.note(owner, "ignoreip", &one, &remark);
                    }
                    self.address(prefix, owner, &one, report);
                }
                Entry::Name if !self.names.iter().any(|name| name == word) => {
                    self.names.push(word.to_owned());
                }
                Entry::Name => {}
                Entry::Wrong => report.note(
                    owner,
                    "ignoreip",
                    &one,
                    "this is no address, no prefix and no name; fail2ban ignores it, too",
                ),
            }
        }
        if owner != "DEFAULT" && !written.text.trim().is_empty() {
            report.note(
                owner,
                "ignoreip",
                written,
                "[never_ban] holds for all jails, not for this one alone",
            );
        }
        report.became(owner, "ignoreip", "never_ban.addresses");
    }

    fn address(&mut self, prefix: Prefix, owner: &str, one: &Located, report: &mut Report) {
        if prefix.length() == 0 {
            report.note(owner, "ignoreip", one, "nobody of this family can be banned");
        }
        if self.addresses.contains(&prefix) {
            return;
        }
        if self.addresses.len() == MOST_ADDRESSES {
            let reason =
                format!("left out: {MOST_ADDRESSES} entries are possible; write larger prefixes");
            report.note(owner, "ignoreip", one, &reason);
            return;
        }
        self.addresses.push(prefix);
    }

    /// Takes the option `ignorecommand` of `owner`.
    pub(super) fn command(&mut self, owner: &str, written: &Located, report: &mut Report) {
        let mut note = |reason: &str| report.note(owner, "ignorecommand", written, reason);
        let words: Vec<&str> = written.text.split_whitespace().collect();
        let Some((last, argv)) = words.split_last() else { return };
        let is_plain = |word: &&&str| !word.contains(SHELL);
        let argv: Vec<String> = match (*last, argv.iter().find(|word| !is_plain(word))) {
            ("<ip>" | "\"<ip>\"" | "'<ip>'", None) if !argv.is_empty() => {
                argv.iter().map(|word| (*word).to_owned()).collect()
            }
            _ => {
                note(
                    "not taken over: never_ban.command is a list of arguments to which the address \
                     is appended, and no shell reads it; put this into a script",
                );
                return;
            }
        };
        if self.command.as_ref().is_some_and(|there| *there != argv) {
            note("not taken over: there is one never_ban.command, and another jail has another");
            return;
        }
        if owner != "DEFAULT" {
            note("never_ban.command is asked for all jails, not for this one alone");
        }
        report.became(owner, "ignorecommand", "never_ban.command");
        self.command = Some(argv);
    }

    /// As written down.
    pub(super) fn table(&self) -> Table {
        let mut table = Table::new("[never_ban]", "never_ban");
        if !self.addresses.is_empty() {
            table.set("addresses", array(self.addresses.iter().map(Prefix::to_string)));
        }
        if !self.names.is_empty() {
            table.set("names", array(&self.names));
        }
        if let Some(command) = &self.command {
            table.set("command", array(command));
        }
        table
    }
}

enum Entry {
    /// With what there is to say about it.
    Prefix(Prefix, Option<String>),
    Name,
    Wrong,
}

fn entry(word: &str) -> Entry {
    let (text, mask) = word.split_once('/').map_or((word, None), |(text, mask)| (text, Some(mask)));
    let Ok(address) = text.parse::<IpAddr>() else {
        let is_name = mask.is_none()
            && word.split('.').all(|label| !label.is_empty())
            && word.chars().all(|c| c.is_ascii_alphanumeric() || "-_.".contains(c));
        return if is_name { Entry::Name } else { Entry::Wrong };
    };
    let length = match mask {
        None => return Entry::Prefix(Prefix::host(address), None),
        Some(mask) => length(mask),
    };
    let Some(prefix) = length.and_then(|length| Prefix::new(address, length)) else {
        return Entry::Wrong;
    };
    let remark = (prefix.to_string() != word)
        .then(|| format!("written as {prefix}: the bits behind the prefix are cleared"));
    Entry::Prefix(prefix, remark)
}

/// The length of a mask: `24`, or `255.255.255.0`.
fn length(mask: &str) -> Option<u8> {
    if let Ok(length) = mask.parse() {
        return Some(length);
    }
    let (bits, width) = match mask.parse().ok()? {
        IpAddr::V4(mask) => (u128::from(mask.to_bits()) << 96, 32),
        IpAddr::V6(mask) => (mask.to_bits(), 128),
    };
    let ones = bits.leading_ones();
    (ones <= width && bits.count_ones() == ones).then_some(ones as u8)
}

fn is_loopback(prefix: &Prefix) -> bool {
    let v4 = Prefix::new(Ipv4Addr::LOCALHOST.into(), 8);
    let v6 = Prefix::host(Ipv6Addr::LOCALHOST.into());
    v4.is_some_and(|loopback| loopback.covers(prefix)) || v6 == *prefix
}

/// What a shell would act on.
const SHELL: [char; 16] =
    ['<', '>', '|', '&', ';', '$', '`', '"', '\'', '\\', '*', '?', '(', ')', '{', '#'];

/// As many as the configuration takes.
const MOST_ADDRESSES: usize = 3_500;

#[cfg(test)]
mod tests {
    use super::*;

    fn located(text: &str) -> Located {
        Located { text: text.to_owned(), place: Default::default() }
    }

    #[test]
    fn addresses_names_and_neither() {
        let (mut never, mut report) = (Never::default(), Report::default());
        let text = "127.0.0.1/8 ::1,192.0.2.7/24\n2001:db8::1/32 198.51.100.9 admin.example.net \
                    10.0.0.0/255.0.0.0 10.0.0.0/255.0.255.0 a/b 192.0.2.0/24 ::ffff:203.0.113.1";
        never.addresses("DEFAULT", &located(text), &mut report);
        let shown: Vec<_> = never.addresses.iter().map(Prefix::to_string).collect();
        assert_eq!(
            shown,
            ["192.0.2.0/24", "2001:db8::/32", "198.51.100.9", "10.0.0.0/8", "203.0.113.1"]
        );
        assert_eq!(never.names, ["admin.example.net"]);
        let noted: Vec<_> = report.notes.iter().map(|note| note.value.as_str()).collect();
        assert_eq!(
            noted,
            [
                "127.0.0.1/8",
                "::1",
                "192.0.2.7/24",
                "2001:db8::1/32",
                "10.0.0.0/255.0.0.0",
                "10.0.0.0/255.0.255.0",
                "a/b"
            ]
        );
    }

    #[test]
    fn a_jails_own_list_is_everybodys() {
        let (mut never, mut report) = (Never::default(), Report::default());
        never.addresses("sshd", &located("192.0.2.1"), &mut report);
        assert!(report.notes[0].reason.contains("all jails"));
        assert!(report.has("sshd", "ignoreip"));
    }

    #[test]
    fn commands_without_a_shell() {
        let (mut never, mut report) = (Never::default(), Report::default());
        for wrong in ["/bin/x <ip> y", "/bin/x | y <ip>", "<ip>", "/bin/x '<ip> <F-USER>'"] {
            never.command("DEFAULT", &located(wrong), &mut report);
            assert_eq!(never.command, None, "{wrong}");
        }
        assert_eq!(report.notes.len(), 4);
        never.command("DEFAULT", &located("/bin/x -a <ip>"), &mut report);
        assert_eq!(never.command.as_deref().unwrap(), ["/bin/x", "-a"]);
        never.command("j", &located("/bin/y <ip>"), &mut report);
        assert_eq!(never.command.as_deref().unwrap(), ["/bin/x", "-a"]);
        assert_eq!(report.notes.len(), 5);
    }
}
