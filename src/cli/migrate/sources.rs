//! `logpath` and `backend`: files become `[[file]]`, systemd's journal `[journal]`.

use super::document::{Table, array};
use super::known::is_known;
use super::report::Report;
use crate::filter::fail2ban::conf::Located;

/// What all jails read.
#[derive(Debug, Default)]
pub(super) struct Sources {
    /// Each path once, with the jails that read it.
    files: Vec<(String, Vec<String>)>,
    journal: Vec<String>,
}

impl Sources {
    /// The jail reads systemd's journal.
    pub(super) fn journal(
        &mut self,
        jail: &str,
        owner: &str,
        written: &Located,
        report: &mut Report,
    ) {
        self.journal.push(jail.to_owned());
        report.became(owner, "backend", "journal.enabled");
        if !is_known("journal") {
            report.note(
                owner,
                "backend",
                written,
                "the journal is not read by this version; have rsyslog (imjournal, or \
                 ForwardToSyslog= in journald.conf) forward it to Portcullis",
            );
        }
    }

    /// The jail reads these files. Hands back the tags under which lines come that no syslog daemon
    /// wrote; none where there is nothing else.
    pub(super) fn files(
        &mut self,
        jail: &str,
        owner: &str,
        written: &Located,
        report: &mut Report,
    ) -> Vec<String> {
        let mut tags: Vec<String> = Vec::new();
        let mut of_syslog = Vec::new();
        for line in written.text.split('\n').map(str::trim).filter(|line| !line.is_empty()) {
            // fail2ban takes what stands behind the last space for `head` or `tail`.
            let (path, from) = line.rsplit_once(' ').unwrap_or((line, "head"));
            let path = path.trim_end();
            let one = Located { text: path.to_owned(), place: written.place.clone() };
            if from == "tail" {
                let reason = "`tail` has no equal: a file is followed from where it was left";
                report.note(owner, "logpath", &one, reason);
            } else if from != "head" {
                let reason = format!("`{from}` behind the path is neither `head` nor `tail`");
                report.note(owner, "logpath", &one, &reason);
            }
            // rsyslog reads a file once, under one tag.
            let there = self.files.iter().find(|(there, _)| there == path);
            let first = there.map_or(jail, |(_, jails)| &jails[0]);
            if !is_known("file") {
                let reason = format!(
                    "files are not read by this version; forward it by rsyslog: {}",
                    forwarding(first, path)
                );
                report.note(owner, "logpath", &one, &reason);
            }
            match selector(path) {
                Some(_) => of_syslog.push(path.to_owned()),
                None if tags.contains(&tag(first)) => {}
                None => tags.push(tag(first)),
            }
            match self.files.iter_mut().find(|(there, _)| there == path) {
                Some((_, jails)) if jails.iter().any(|it| it == jail) => {}
                Some((_, jails)) => jails.push(jail.to_owned()),
                None => self.files.push((path.to_owned(), vec![jail.to_owned()])),
            }
        }
        report.became(owner, "logpath", "file.paths");
        if let ([path, ..], false) = (&*of_syslog, tags.is_empty()) {
            let reason = format!(
                "`programs` is not written: the jail reads {path}, which syslog writes, and other \
                 files; make two jails of it, or the others' lines are not found"
            );
            report.note(owner, "logpath", written, &reason);
            tags.clear();
        }
        tags
    }

    /// As written down.
    pub(super) fn tables(&self) -> Vec<Table> {
        let mut tables = Vec::new();
        for (path, jails) in &self.files {
            let mut table = Table::new("[[file]]", "file");
            table.remark(&format!("for {}", jails.join(", ")));
            if !is_known("file") {
                table.remark(&format!("until then, rsyslog: {}", forwarding(&jails[0], path)));
            }
            table.set("paths", array([path]));
            tables.push(table);
        }
        if !self.journal.is_empty() {
            let mut table = Table::new("[journal]", "journal");
            table.remark(&format!("for {}", self.journal.join(", ")));
            table.set("enabled", "true");
            tables.push(table);
        }
        tables
    }
}

/// How the lines of a file get here as long as files are not read.
fn forwarding(jail: &str, path: &str) -> String {
    match selector(path) {
        Some(selector) => format!("`{selector} @@127.0.0.1:5514`"),
        None => format!(
            "`input(type=\"imfile\" File=\"{path}\" Tag=\"{}:\")` and `*.* @@127.0.0.1:5514`",
            tag(jail)
        ),
    }
}

/// What a syslog daemon writes into a file, if it does.
fn selector(path: &str) -> Option<&'static str> {
    SYSLOG.iter().find(|(paths, _)| paths.contains(&path)).map(|(_, selector)| *selector)
}

/// The tag for the lines of a file that the jail reads. rsyslog forwards 32 bytes of one, and the last
/// is a colon (RFC 3164 section 4.1.3).
fn tag(jail: &str) -> String {
    let plain = |c: char| if c.is_ascii_alphanumeric() || "_-.".contains(c) { c } else { '-' };
    jail.chars().map(plain).take(31).collect()
}

/// Files that a syslog daemon writes, and what it writes there.
const SYSLOG: [(&[&str], &str); 5] = [
    (&["/var/log/auth.log", "/var/log/secure"], "auth,authpriv.*"),
    (&["/var/log/mail.log", "/var/log/mail", "/var/log/maillog"], "mail.*"),
    (&["/var/log/mail.warn"], "mail.warn"),
    (&["/var/log/daemon.log"], "daemon.*"),
    (&["/var/log/syslog", "/var/log/messages", "/var/log/user.log"], "*.*"),
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_tag_is_one_word() {
        assert_eq!(tag("nginx-http-auth"), "nginx-http-auth");
        assert_eq!(tag("a b:[*]"), "a-b----");
        assert_eq!(tag(&"é".repeat(40)), "-".repeat(31));
    }
}
