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

    /// The jail reads these files.
    pub(super) fn files(
        &mut self,
        jail: &str,
        owner: &str,
        written: &Located,
        report: &mut Report,
    ) {
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
            if !is_known("file") {
                let reason = format!(
                    "files are not read by this version; forward it by rsyslog: {}",
                    forwarding(jail, path)
                );
                report.note(owner, "logpath", &one, &reason);
            }
            match self.files.iter_mut().find(|(there, _)| there == path) {
                Some((_, jails)) if jails.iter().any(|it| it == jail) => {}
                Some((_, jails)) => jails.push(jail.to_owned()),
                None => self.files.push((path.to_owned(), vec![jail.to_owned()])),
            }
        }
        report.became(owner, "logpath", "file.paths");
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
    match SYSLOG.iter().find(|(paths, _)| paths.contains(&path)) {
        Some((_, selector)) => format!("`{selector} @@127.0.0.1:5514`"),
        None => format!(
            "`input(type=\"imfile\" File=\"{path}\" Tag=\"{jail}:\")` and `*.* @@127.0.0.1:5514`"
        ),
    }
}

/// Files that a syslog daemon writes, and what it writes there.
const SYSLOG: [(&[&str], &str); 4] = [
    (&["/var/log/auth.log", "/var/log/secure"], "auth,authpriv.*"),
    (&["/var/log/mail.log", "/var/log/mail", "/var/log/maillog"], "mail.*"),
    (&["/var/log/daemon.log"], "daemon.*"),
    (&["/var/log/syslog", "/var/log/messages", "/var/log/user.log"], "*.*"),
];
