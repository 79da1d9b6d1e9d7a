//! `portcullis migrate`: fail2ban's jails as a `portcullis.toml`.
//!
//! Every option of an enabled jail is either translated or listed with the reason; what the final
//! configuration has a key for, and this version not yet, is written as a comment in its place.

mod actions;
mod document;
mod filter;
mod jail;
mod known;
mod never;
mod report;
mod seconds;
mod sources;
mod times;

use std::collections::BTreeMap;
use std::fs::OpenOptions;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use anyhow::{Context, bail};
use clap::Args;
use serde_json::json;

use self::document::{Table, quoted};
use self::jail::{Section, Shelf};
use self::report::Report;
use crate::filter::fail2ban::conf::Conf;

#[derive(Debug, Args)]
#[command(after_help = "\
The configuration goes to standard output, the report to standard error; both are in the file.
Exit code: 0 when it was written, 1 when fail2ban's files cannot be read.
Examples:
  portcullis migrate                              print what /etc/fail2ban comes to
  portcullis migrate --out /etc/portcullis        write /etc/portcullis/portcullis.toml
  portcullis migrate /backup/fail2ban --json | jq .notes")]
pub(super) struct Migrate {
    /// fail2ban's folder, which holds jail.conf
    #[arg(value_name = "FOLDER", default_value = "/etc/fail2ban")]
    folder: PathBuf,
    /// Write portcullis.toml into this folder
    #[arg(long, value_name = "DIR")]
    out: Option<PathBuf>,
    /// Overwrite what is there
    #[arg(long, requires = "out")]
    force: bool,
    /// Print JSON: the configuration, what was translated and what was not
    #[arg(long)]
    json: bool,
}

impl Migrate {
    pub(super) fn run(self) -> anyhow::Result<ExitCode> {
        let (text, report) = migrated(&self.folder)?;
        let written = self.out.as_deref().map(|out| self.write(out, &text)).transpose()?;
        let mut out = std::io::stdout().lock();
        if self.json {
            let (notes, translated) = report.json();
            let path = written.as_ref().map(|path| path.display().to_string());
            writeln!(
                out,
                "{}",
                json!({
                    "config": text,
                    "notes": notes,
                    "translated": translated,
                    "written": path,
                })
            )?;
        } else {
            let mut told = std::io::stderr().lock();
            for line in report.lines() {
                writeln!(told, "{line}")?;
            }
            match &written {
                Some(path) => writeln!(out, "{} written", path.display())?,
                None => out.write_all(text.as_bytes())?,
            }
        }
        out.flush()?;
        Ok(ExitCode::SUCCESS)
    }

    fn write(&self, folder: &Path, text: &str) -> anyhow::Result<PathBuf> {
        std::fs::create_dir_all(folder)
            .with_context(|| format!("cannot make folder {}", folder.display()))?;
        let path = folder.join("portcullis.toml");
        let mut open = OpenOptions::new();
        open.write(true);
        match self.force {
            true => open.create(true).truncate(true),
            false => open.create_new(true),
        };
        let mut file = match open.open(&path) {
            Err(error) if error.kind() == std::io::ErrorKind::AlreadyExists => {
                bail!("{} is there already; with --force it is overwritten", path.display())
            }
            opened => opened.with_context(|| format!("cannot write {}", path.display()))?,
        };
        file.write_all(text.as_bytes())
            .with_context(|| format!("cannot write {}", path.display()))?;
        Ok(path)
    }
}

/// The configuration, and the report that stands at its head.
fn migrated(folder: &Path) -> anyhow::Result<(String, Report)> {
    let folder = std::path::absolute(folder)?;
    let mut conf = Conf::jails(&folder)?;
    let mut shelf = Shelf::default();
    for remark in &conf.remarks {
        shelf.report.note("", "", remark, &remark.text);
    }
    let (enabled, disabled) = jails(&conf, &mut shelf.report);
    let mut defaults = defaults(&conf, &mut shelf);
    let mut tables = Vec::new();
    for name in &enabled {
        tables.push(jail::translate(&mut conf, &folder, name, &defaults, &mut shelf));
    }
    if enabled.is_empty() {
        // Without any jail there would be one for every filter.
        defaults.set("enabled", "false");
        shelf.report.remark("", "no jail is enabled: nothing would be banned");
    }
    let mut server = Table::new("[server]", "server");
    server.set("fail2ban_filters", quoted(&folder.join("filter.d").display().to_string()));
    let mut all = vec![server];
    all.extend(shelf.sources.tables());
    all.push(defaults);
    all.extend(tables);
    all.push(shelf.never.table());
    all.push(verdict(&shelf.verdicts, &mut shelf.report));
    all.extend(std::mem::take(&mut shelf.actions).tables());
    all.retain(|table| !table.is_empty());
    comments(&all, &mut shelf.report);
    if !disabled.is_empty() {
        let names = disabled.join(", ");
        let reason = format!("{} jails are disabled and left out: {names}", disabled.len());
        shelf.report.remark("", &reason);
    }
    let text = document::written(&head(&folder, enabled.len(), &shelf.report), &all);
    Ok((text, shelf.report))
}

/// The names of the jails that are enabled, and of those that are not.
fn jails(conf: &Conf, report: &mut Report) -> (Vec<String>, Vec<String>) {
    let names = conf.sections().into_iter().map(str::to_owned);
    names.partition(|name| {
        let enabled = Section::new(conf, name).get("enabled", report);
        enabled.is_some_and(|value| jail::is_yes(&value.text))
    })
}

/// `[defaults]`, from `[DEFAULT]`.
fn defaults(conf: &Conf, shelf: &mut Shelf) -> Table {
    let mut table = Table::new("[defaults]", "jail");
    let section = Section::new(conf, "DEFAULT");
    times::translate(&section, &mut table, None, &mut shelf.report);
    if let Some(written) = section.get("ignoreip", &mut shelf.report) {
        shelf.never.addresses("DEFAULT", &written, &mut shelf.report);
    }
    table
}

/// `[firewall]`: what happens to a packet of an offender. There is one answer for all jails.
fn verdict(said: &[(&'static str, String)], report: &mut Report) -> Table {
    let mut table = Table::new("[firewall]", "firewall");
    let Some((verdict, _)) = said.first() else { return table };
    table.set("verdict", quoted(verdict));
    if said.iter().any(|(other, _)| other != verdict) {
        let says = |which: &str| {
            let jails = said.iter().filter(|(verdict, _)| *verdict == which);
            jails.map(|(_, jail)| jail.as_str()).collect::<Vec<_>>().join(", ")
        };
        let reason = format!(
            "firewall.verdict is one for all jails; actions drop for {}, reject for {}",
            says("drop"),
            says("reject")
        );
        report.remark("", &reason);
    }
    table
}

/// Lists the keys that are written as comments.
fn comments(tables: &[Table], report: &mut Report) {
    let mut unknown: BTreeMap<String, usize> = BTreeMap::new();
    for key in tables.iter().flat_map(Table::unknown) {
        *unknown.entry(shown(&key)).or_default() += 1;
    }
    for (key, count) in unknown {
        let reason =
            format!("`{key}` is written as a comment ({count}×): not known to this version");
        report.remark("", &reason);
    }
}

/// A table or key as it is known to people.
fn shown(key: &str) -> String {
    match key.split_once('.') {
        None if key == "file" => "[[file]]".to_owned(),
        None => format!("[{key}]"),
        Some(("jail", key)) => key.to_owned(),
        Some((table, key)) => format!("{table}.{key}"),
    }
}

fn head(folder: &Path, jails: usize, report: &Report) -> Vec<String> {
    let mut head = vec![
        format!(
            "portcullis.toml, made of {} by `portcullis migrate`: {jails} jails.",
            folder.display()
        ),
        "The filters stay fail2ban's own files, unchanged.".to_owned(),
        "A ban keeps the offender from this host and from everything behind it.".to_owned(),
        String::new(),
        "What has no equal, or is not what it was:".to_owned(),
    ];
    head.extend(report.lines().map(|line| format!("- {line}")));
    head
}
