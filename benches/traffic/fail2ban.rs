//! Debian's fail2ban filters as its package has them, and the lines that fail2ban tests them with.
//!
//! Both are read at run time, from `target/fail2ban` (`make fail2ban`) and `../shared/corpora`, and
//! none of it is ours. Without the corpus the hits are those of our own samples that its filters take.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use portcullis::filter::fail2ban::Jailed;
use portcullis::filter::fail2ban::conf::{self, Definition};
use portcullis::filter::fail2ban::dates::{DateDetector, Zone};
use portcullis::syslog::Parser;
use serde_json::Value;

use super::NOW;
use super::template::Template;

/// The filters that the daemon takes, with their default options.
pub(crate) struct Fail2ban {
    pub(crate) rules: Vec<Jailed>,
    /// Lines that a filter takes, by filter. Empty without the corpus.
    pub(crate) cases: BTreeMap<String, Vec<Case>>,
    /// Filters that the daemon refuses because they look at several lines together.
    pub(crate) refused: Vec<String>,
}

/// A line less its date.
pub(crate) struct Case {
    text: String,
    offender: Option<std::net::IpAddr>,
    user: Option<String>,
}

impl Fail2ban {
    /// `None` when the package is not unpacked.
    pub(crate) fn load() -> Option<Fail2ban> {
        let mut fail2ban = Fail2ban::without_cases()?;
        let rows = corpus("fail2ban_1.0.2_cases.jsonl");
        for definition in definitions(&unpacked()?) {
            let is_taken = fail2ban.rules.iter().any(|it| it.rules.name == definition.name);
            let cases = if is_taken { cases(&definition, &rows) } else { Vec::new() };
            if !cases.is_empty() {
                fail2ban.cases.insert(definition.name, cases);
            }
        }
        Some(fail2ban)
    }

    /// The filters alone.
    pub(crate) fn without_cases() -> Option<Fail2ban> {
        let definitions = definitions(&unpacked()?).into_iter();
        let (one, several): (Vec<_>, Vec<_>) = definitions.partition(|it| it.maxlines <= 1);
        Some(Fail2ban {
            rules: one.iter().map(compile).collect(),
            cases: BTreeMap::new(),
            refused: several.into_iter().map(|it| it.name).collect(),
        })
    }
}

impl Case {
    /// The ways in which a network may send it: behind a header of its own, or bare.
    pub(crate) fn templates(&self) -> Vec<Template> {
        let dated = format!("<38>Nov 22 10:00:00{}", self.text);
        let message = Parser::new().parse(dated.as_bytes());
        let [app, text] = [message.app, message.text].map(String::from_utf8_lossy);
        let behind = format!("<38>Nov 22 10:00:00 host {app}[1]: {text}");
        let bare = format!("<38>{}", self.text.trim_start());
        let has_program = !app.is_empty() && self.text.starts_with(' ');
        let lines = has_program.then_some(behind).into_iter().chain([dated.clone(), bare]);
        lines
            .flat_map(|line| {
                [self.user.as_deref(), None].map(|user| Template::new(&line, self.offender, user))
            })
            .collect()
    }
}

/// Every filter of the package; files that others include are none.
pub(crate) fn definitions(package: &Path) -> Vec<Definition> {
    let folder = package.join("etc/fail2ban");
    let entries = std::fs::read_dir(folder.join("filter.d")).expect("the package has filter.d");
    let mut paths: Vec<PathBuf> = entries.map(|entry| entry.expect("readable").path()).collect();
    paths.sort();
    let is_filter = |path: &PathBuf| {
        let text = std::fs::read_to_string(path).unwrap_or_default();
        path.extension().is_some_and(|it| it == "conf")
            && text.contains("failregex")
            && !path.file_stem().is_some_and(|it| it.to_string_lossy().ends_with("common"))
    };
    paths.retain(is_filter);
    let load = |path: &PathBuf| {
        let filter = conf::filter(&path.to_string_lossy(), &folder, &[]);
        filter.unwrap_or_else(|e| panic!("{}: {e}", path.display()))
    };
    paths.iter().map(load).collect()
}

pub(crate) fn compile(definition: &Definition) -> Jailed {
    Jailed::new(definition, Vec::new()).unwrap_or_else(|e| panic!("{}: {e}", definition.name))
}

/// Where the package is unpacked, if it is.
pub(crate) fn unpacked() -> Option<PathBuf> {
    let package = root().join("target/fail2ban");
    package.join("usr/bin/fail2ban-regex").is_file().then_some(package)
}

pub(crate) fn utc() -> Zone {
    Zone::named("UTC").expect("everybody knows UTC")
}

/// The dates that a filter looks for.
pub(crate) fn dates(definition: &Definition) -> DateDetector {
    let pattern = definition.datepattern.as_ref().map(|it| &*it.text);
    DateDetector::new(pattern, &utc()).expect("fail2ban's own date patterns")
}

/// Rows of one of the corpora, none where it is not there.
pub(crate) fn corpus(name: &str) -> Vec<Value> {
    let path = root().join("../shared/corpora").join(name);
    let text = std::fs::read_to_string(path).unwrap_or_default();
    text.lines().map(|line| serde_json::from_str(line).expect("a row is JSON")).collect()
}

/// The lines that fail2ban says match with default options, each less its date.
fn cases(definition: &Definition, rows: &[Value]) -> Vec<Case> {
    let mut dates = dates(definition);
    let own = rows.iter().filter(|row| row["filter"] == *definition.name);
    let cases = own.filter_map(|row| {
        let checks = row["checks"].as_array()?.iter();
        let check = checks.clone().find(|check| {
            check["options"].as_object().is_some_and(|it| it.is_empty())
                && check["ref_match"] == true
        })?;
        let line = row["line"].as_str()?;
        let mut text = line.to_owned();
        if let Some(found) = dates.find(line.as_bytes(), NOW) {
            text = format!("{}{}", line.get(..found.date.start)?, line.get(found.date.end..)?);
        }
        let offender = check["ref_id"].as_str().and_then(|it| it.parse().ok());
        let user = check["ref_groups"]["user"].as_str().map(str::to_owned);
        (!text.contains('\n')).then_some(Case { text, offender, user })
    });
    cases.collect()
}

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}
