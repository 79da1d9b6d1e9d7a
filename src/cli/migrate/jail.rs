//! One jail of fail2ban's as a `[jail.NAME]`.

use std::collections::HashSet;
use std::path::Path;

use super::actions::{self, Shared};
use super::document::{Table, array, key, quoted};
use super::filter::{self, Filter};
use super::never::Never;
use super::report::Report;
use super::sources::Sources;
use super::times;
use crate::ban::Origin;
use crate::filter::fail2ban::conf::{Backend, Conf, Located};
use crate::model::{PortRange, Ports};

/// What all jails share.
#[derive(Debug, Default)]
pub(super) struct Shelf {
    pub(super) report: Report,
    pub(super) sources: Sources,
    pub(super) never: Never,
    pub(super) actions: Shared,
    /// `drop` and `reject`, with the jails that say so.
    pub(super) verdicts: Vec<(&'static str, String)>,
}

/// A jail, or `DEFAULT`, and what it says.
pub(super) struct Section<'a> {
    pub(super) conf: &'a Conf,
    pub(super) name: &'a str,
    /// The options that stand in it, in lower case.
    pub(super) own: HashSet<String>,
}

impl<'a> Section<'a> {
    pub(super) fn new(conf: &'a Conf, name: &'a str) -> Section<'a> {
        let own = conf.options(name).into_iter().map(str::to_owned).collect();
        Section { conf, name, own }
    }

    /// In whose name an option is reported.
    pub(super) fn owner(&self, option: &str) -> &'a str {
        if self.own.contains(option) { self.name } else { "DEFAULT" }
    }

    /// The value of an option; one that cannot be read is listed.
    pub(super) fn get(&self, option: &str, report: &mut Report) -> Option<Located> {
        match self.conf.get(self.name, option) {
            Ok(value) => value,
            Err(error) => {
                let nothing = Located { text: String::new(), place: Default::default() };
                let reason = format!("not readable, fail2ban would not start this jail: {error}");
                report.note(self.owner(option), option, &nothing, &reason);
                None
            }
        }
    }

    /// As [`get`](Section::get), `None` when it is empty.
    fn filled(&self, option: &str, report: &mut Report) -> Option<Located> {
        self.get(option, report).filter(|value| !value.text.trim().is_empty())
    }
}

/// Translates an enabled jail. `defaults` is what `[defaults]` says.
pub(super) fn translate(
    conf: &mut Conf,
    folder: &Path,
    name: &str,
    defaults: &Table,
    shelf: &mut Shelf,
) -> Table {
    let called = match Origin::is_named(name) {
        true => format!("{name}-jail"),
        false => name.to_owned(),
    };
    if called != name {
        let reason = format!("bans of no jail are shown as `{name}`; the jail is `{called}`");
        shelf.report.remark(name, &reason);
    }
    let mut table = Table::new(format!("[jail.{}]", key(&called)), "jail");
    let report = &mut shelf.report;
    let (backend, written) = {
        let section = Section::new(conf, name);
        report.became(section.owner("enabled"), "enabled", "jail.enabled");
        let backend = section.get("backend", report);
        let is_journal = backend.is_some_and(|it| it.text.starts_with("systemd"));
        let backend = if is_journal { Backend::Journal } else { Backend::File };
        (backend, section.get("filter", report))
    };
    let found = filter::translate(conf, folder, name, written.as_ref(), backend);
    let section = Section::new(conf, name);
    let mut off = put_filter(&section, found, written.as_ref(), &mut table, shelf);
    off |= times::translate(&section, &mut table, Some(defaults), &mut shelf.report);
    let use_of_it = put_actions(&section, folder, &mut table, shelf);
    off |= use_of_it != Use::Now;
    match use_of_it {
        Use::Never => {
            for option in ["backend", "logpath"] {
                shelf.report.became(section.owner(option), option, "(not enabled)");
            }
        }
        _ => {
            let programs = put_sources(&section, backend, shelf);
            if !programs.is_empty() && table.get("filter").is_some() {
                table.set("programs", array(&programs));
            }
        }
    }
    spared(&section, shelf);
    unequalled(&section, &mut shelf.report);
    the_rest(&section, &mut shelf.report);
    if off {
        table.set("enabled", "false");
    }
    table
}

/// Whether the jail cannot run.
fn put_filter(
    section: &Section<'_>,
    found: Filter,
    written: Option<&Located>,
    table: &mut Table,
    shelf: &mut Shelf,
) -> bool {
    let report = &mut shelf.report;
    let nothing = Located { text: String::new(), place: Default::default() };
    let written = written.unwrap_or(&nothing);
    let owner = section.owner("filter");
    for option in FILTERS_OWN.into_iter().filter(|option| section.own.contains(*option)) {
        report.became(section.name, option, "jail.filter");
    }
    match found {
        Filter::Spec(spec, lost) => {
            table.set("filter", quoted(&format!("fail2ban:{spec}")));
            report.became(owner, "filter", "jail.filter");
            for option in lost {
                let value = section.get(option, report);
                let reason = "not taken over: the jail lays it over its filter, and the filter's \
                              options cannot hold it; write it into a `.local` file of the filter";
                report.note(section.name, option, value.as_ref().unwrap_or(&nothing), reason);
            }
            false
        }
        Filter::Recidive => {
            table.set("kind", quoted("recidive"));
            report.became(owner, "filter", "jail.kind");
            let reason = "Portcullis counts its own bans for this (kind = \"recidive\") and reads \
                          no log of fail2ban's";
            report.note(section.name, "filter", written, reason);
            if super::known::is_known("jail.kind") {
                return false;
            }
            report.remark(section.name, "not enabled: `kind` is not known to this version");
            table.remark("enable it when `kind` is known");
            true
        }
        Filter::None(why) => {
            report.became(owner, "filter", "jail.filter");
            report.note(section.name, "filter", written, &format!("not enabled: {why}"));
            table.remark(&format!("not enabled: {why}"));
            true
        }
    }
}

/// The programs under whose names the jail's lines come, where that is not as they were.
fn put_sources(section: &Section<'_>, backend: Backend, shelf: &mut Shelf) -> Vec<String> {
    let report = &mut shelf.report;
    let nothing = Located { text: String::new(), place: Default::default() };
    let written = section.get("backend", report).unwrap_or(nothing.clone());
    let owner = section.owner("backend");
    let paths = section.filled("logpath", report);
    let path_owner = section.owner("logpath");
    if backend == Backend::Journal {
        shelf.sources.journal(section.name, owner, &written, report);
        if let Some(matches) = section.filled("journalmatch", report) {
            let reason = "no equal: every line of the journal is read, the filter decides";
            report.note(section.owner("journalmatch"), "journalmatch", &matches, reason);
        }
        if let Some(paths) = paths {
            let reason = "with backend systemd fail2ban reads no file either";
            report.note(path_owner, "logpath", &paths, reason);
        }
        return Vec::new();
    }
    report.became(owner, "backend", "file");
    if !["", "auto", "polling", "pyinotify", "gamin"].contains(&written.text.as_str()) {
        let reason = "not a backend of fail2ban's; the jail's files are taken";
        report.note(owner, "backend", &written, reason);
    }
    match paths {
        // fail2ban's own log: nothing to read.
        Some(_) if table_is_recidive(section) => {
            report.became(path_owner, "logpath", "jail.kind");
        }
        Some(paths) => return shelf.sources.files(section.name, path_owner, &paths, report),
        None => report.note(section.name, "logpath", &nothing, "the jail names no log"),
    }
    Vec::new()
}

/// Whether the jail was found to be one that counts bans.
fn table_is_recidive(section: &Section<'_>) -> bool {
    let filter = section.conf.get(section.name, "filter").ok().flatten();
    filter.is_some_and(|it| it.text.split('[').next().map(str::trim) == Some("recidive"))
}

/// Who is never banned.
fn spared(section: &Section<'_>, shelf: &mut Shelf) {
    let report = &mut shelf.report;
    if let Some(written) = section.get("ignoreip", report) {
        shelf.never.addresses(section.owner("ignoreip"), &written, report);
    }
    if let Some(written) = section.filled("ignorecommand", report) {
        shelf.never.command(section.owner("ignorecommand"), &written, report);
    }
    if let Some(written) = section.filled("ignoreself", report) {
        let owner = section.owner("ignoreself");
        report.became(owner, "ignoreself", "never_ban");
        if !is_yes(&written.text) {
            let reason = "this host's own addresses are always on the never-ban list";
            report.note(owner, "ignoreself", &written, reason);
        }
    }
}

/// When a jail can run, as its action says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Use {
    Now,
    /// When this version knows actions: it keeps nobody out.
    Later,
    /// It lets offenders in.
    Never,
}

fn put_actions(section: &Section<'_>, folder: &Path, table: &mut Table, shelf: &mut Shelf) -> Use {
    let report = &mut shelf.report;
    let Some(written) = section.filled("action", report) else {
        report.remark(section.name, "no action: its bans would be applied all the same");
        return Use::Now;
    };
    let owner = section.owner("action");
    let found = actions::translate(folder, owner, &written, &mut shelf.actions, report);
    if found.opens {
        let reason = "not enabled: the jail lets those in whom its filter finds (blocktype); \
                      Portcullis only keeps out";
        report.remark(section.name, reason);
        table.remark(reason);
        return Use::Never;
    }
    let ports: Result<Vec<PortRange>, _> = found.ports.iter().map(|port| port.parse()).collect();
    match found.scope {
        Some("ports") if !ports.is_ok_and(|ports| Ports::new(ports).is_some()) => {
            let reason = "the ban shuts every port: a jail has at most 15 ports or ranges, each a \
                          number or a well-known name";
            report.note(owner, "action", &written, reason);
            table.set("scope", quoted("gateway"));
        }
        Some(scope) => {
            table.set("scope", quoted(scope));
            if !found.ports.is_empty() {
                table.set("ports", array(&found.ports));
            }
        }
        None => {}
    }
    table.set("actions", array(&found.names));
    if found.only_mails && !super::known::is_known("jail.actions") {
        let reason = "not enabled: its only action is a mail, but this version would ban";
        report.remark(section.name, reason);
        table.remark(reason);
        return Use::Later;
    }
    if found.scope.is_none() && !super::known::is_known("jail.actions") {
        let reason = "none of its actions is a firewall's; this version bans all the same";
        report.note(owner, "action", &written, reason);
    }
    if let Some(verdict) = found.verdict {
        shelf.verdicts.push((verdict, section.name.to_owned()));
    }
    Use::Now
}

/// Options of fail2ban's that have no equal.
fn unequalled(section: &Section<'_>, report: &mut Report) {
    for (option, neutral, reason) in UNEQUALLED {
        let Some(value) = section.filled(option, report) else { continue };
        let owner = section.owner(option);
        if neutral.contains(&value.text.trim().to_lowercase().as_str()) {
            report.became(owner, option, "(as it is)");
        } else {
            report.note(owner, option, &value, reason);
        }
    }
    let Some(value) = section.filled("maxmatches", report) else { return };
    let owner = section.owner("maxmatches");
    let maxretry = section.get("maxretry", report);
    match maxretry.is_some_and(|it| it.text == value.text) {
        true => report.became(owner, "maxmatches", "(as it is)"),
        false => report.note(owner, "maxmatches", &value, "no lines are kept with a ban"),
    }
}

/// What stands in the jail and is no option of fail2ban's: helps others to their values, or does
/// nothing.
fn the_rest(section: &Section<'_>, report: &mut Report) {
    let mut own: Vec<&String> = section.own.iter().collect();
    own.sort();
    for option in own {
        if report.has(section.name, option) {
            continue;
        }
        let Some(value) = section.get(option, report) else { continue };
        let text = value.text.trim();
        let holds = |other: &&str| {
            let other = section.conf.get(section.name, other).ok().flatten();
            other.is_some_and(|other| is_within(text, &other.text))
        };
        match PUT_INTO.into_iter().find(holds) {
            Some(other) => report.became(section.name, option, &format!("({other})")),
            None if text.is_empty() => report.became(section.name, option, "(empty)"),
            None => report.note(
                section.name,
                option,
                &value,
                "no option of fail2ban's, and none of its options in this jail holds it",
            ),
        }
    }
}

/// Whether `text` stands in `other`, not as a part of a word or number.
fn is_within(text: &str, other: &str) -> bool {
    !text.is_empty()
        && other.match_indices(text).any(|(at, _)| {
            let before = other[..at].chars().next_back();
            let after = other[at + text.len()..].chars().next();
            !before.is_some_and(char::is_alphanumeric) && !after.is_some_and(char::is_alphanumeric)
        })
}

/// What fail2ban takes for yes.
pub(super) fn is_yes(text: &str) -> bool {
    ["1", "on", "true", "yes"].contains(&text.to_lowercase().as_str())
}

/// Options that a jail lays over its filter.
const FILTERS_OWN: [&str; 5] = ["prefregex", "failregex", "ignoreregex", "maxlines", "datepattern"];

/// Options that hold others' values.
const PUT_INTO: [&str; 10] = [
    "filter",
    "action",
    "logpath",
    "ignoreip",
    "ignorecommand",
    "failregex",
    "backend",
    "maxretry",
    "findtime",
    "bantime",
];

/// Options, values that mean nothing else here, and what to say of the others.
const UNEQUALLED: [(&str, &[&str], &str); 5] = [
    (
        "usedns",
        &["no"],
        "names in log lines are never resolved: who writes the line chooses the name",
    ),
    ("logencoding", &["auto", "utf-8", "utf8", "ascii"], "lines are read as UTF-8, or as bytes"),
    (
        "logtimezone",
        &[],
        "no equal for a file; the time zone of a sender is `timezone` in [[sender]] in later versions",
    ),
    ("ignorecache", &[], "answers of never_ban.command are always cached"),
    ("bantime.formula", &[], "no equal: bans grow by bantime_factor or bantime_multipliers"),
];
