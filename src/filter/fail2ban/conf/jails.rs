//! Jails: `jail.conf` with all that lies over it, and the filter as a jail sees it.

use std::path::Path;

use super::budget::Budget;
use super::definition::{Backend, Definition, FilterReader, WANTED, int, maxlines};
use super::error::ConfError;
use super::load::{Conf, INCLUDES, KNOWN};
use super::ordered::Options;
use super::traced::Traced;
use super::{Located, find, parse_spec};

impl Conf {
    /// Reads `jail.conf`, `jail.d/*.conf`, `jail.local` and `jail.d/*.local` of a folder such as `/etc/fail2ban`.
    ///
    /// # Errors
    /// When none is there, or one cannot be read or understood.
    pub fn jails(dir: &Path) -> Result<Conf, ConfError> {
        let files = find::layers(&dir.join("jail"))?;
        if files.is_empty() {
            return Err(ConfError::Unknown {
                what: "configuration",
                name: "jail.conf".to_owned(),
                searched: dir.display().to_string(),
                hint: "; name the folder that holds jail.conf, as /etc/fail2ban".to_owned(),
            });
        }
        let mut conf = Conf::read(&files)?;
        let folder = dir.display().to_string();
        let folder = if folder.len() > 1 { folder.trim_end_matches('/') } else { &folder };
        for (name, value) in [("fail2ban_version", VERSION), ("fail2ban_confpath", folder)] {
            conf.defaults.insert(name, Traced::from_outside(value, "fail2ban"));
        }
        Ok(conf)
    }

    /// The jails, in the order of the files.
    pub fn sections(&self) -> Vec<&str> {
        self.sections.keys().filter(|name| *name != INCLUDES && !name.starts_with(KNOWN)).collect()
    }

    /// The names of a section's own options, without those of `[DEFAULT]`.
    pub fn options(&self, section: &str) -> Vec<&str> {
        let options = self.sections.get(section).into_iter().flat_map(Options::keys);
        options.filter(|name| !name.starts_with("known/")).collect()
    }

    /// The value of an option, from the section or `[DEFAULT]`, with `%(name)s` put in; `None` when neither has it or
    /// there is no such section. `%(known/name)s` of a filter's option is there after [`filter_of_jail`].
    ///
    /// # Errors
    /// When the value names an option that is not there, or passes a bound.
    pub fn get(&self, section: &str, option: &str) -> Result<Option<Located>, ConfError> {
        Ok(self.traced(section, option)?.map(|value| value.located()))
    }

    fn traced(&self, section: &str, option: &str) -> Result<Option<Traced>, ConfError> {
        self.value(section, option, &Options::default(), &Budget::new())
    }
}

/// The filter of a jail, with the jail's own `failregex`, `maxlines` … over it; `None` when the jail has no filter.
/// The filter's options are put into the jail as `known/option`.
///
/// # Errors
/// As [`filter`](super::filter), and when the jail's options cannot be read.
pub fn filter_of_jail(
    conf: &mut Conf,
    dir: &Path,
    jail: &str,
) -> Result<Option<Definition>, ConfError> {
    let first = jail_options(conf, jail, &FIRST)?;
    let Some(spec) = first.get("filter").filter(|filter| filter.len() > 0) else { return Ok(None) };
    let (name, options) = parse_spec(spec.as_str())
        .map_err(|error| ConfError::at(spec.place(0), format!("filter: {error}")))?;
    let is_journal =
        first.get("backend").is_some_and(|backend| backend.as_str().starts_with("systemd"));
    let backend = if is_journal { Backend::Journal } else { Backend::File };
    let mut reader = FilterReader::open(&name, dir, &options, backend)?;
    let all = reader.read(&first, true)?;
    let mut known = Options::default();
    for (option, value) in all.iter().filter(|(option, _)| !option.starts_with("known/")) {
        known.insert(&format!("known/{option}"), value.clone());
    }
    conf.merge(jail, &known);
    let own = jail_options(conf, jail, &ALL)?;
    let resolved = reader.read(&own, false)?;
    let mut rest = Options::default();
    // The first reading had what a filter needs for `known/…` only.
    for (option, value) in all.iter().filter(|(option, _)| !WANTED.contains(option)) {
        rest.insert(option, value.clone());
    }
    let mut definition = reader.definition(&resolved, &rest)?;
    lay_jail_over(&mut definition, &own)?;
    Ok(Some(definition))
}

fn lay_jail_over(definition: &mut Definition, own: &Options) -> Result<(), ConfError> {
    let lines = |name: &str| own.get(name).map(Traced::lines).unwrap_or_default();
    definition.failregex.extend(lines("failregex"));
    definition.ignoreregex.extend(lines("ignoreregex"));
    let located = |name: &str| own.get(name).map(Traced::located);
    if let Some(prefix) = located("prefregex") {
        definition.prefregex = Some(prefix).filter(|prefix| !prefix.text.is_empty());
    }
    if let Some(lines) = located("maxlines") {
        definition.maxlines = maxlines(Some(lines), &mut definition.remarks)?;
    }
    definition.datepattern = located("datepattern").or(definition.datepattern.take());
    let matches = located("journalmatch").map(|matches| matches.text);
    definition.journalmatch = matches.or(definition.journalmatch.take());
    if let Some(usedns) = own.get("usedns") {
        definition.rest.insert("usedns".to_owned(), usedns.as_str().to_owned());
    }
    Ok(())
}

/// The jail's values of these options, as a filter sees them.
fn jail_options(conf: &Conf, jail: &str, options: &[Asked]) -> Result<Options, ConfError> {
    let mut values = Options::default();
    for (name, kind, default) in options {
        let written = conf.traced(jail, name)?;
        let value = written.map_or_else(
            || default.map(|default| Traced::from_outside(default, "fail2ban")),
            |value| kind.convert(&value, *default),
        );
        if let Some(value) = value {
            values.insert(name, value);
        }
    }
    Ok(values)
}

/// How fail2ban takes an option's value.
#[derive(Clone, Copy)]
enum Kind {
    Text,
    Whole,
    YesNo,
}

impl Kind {
    /// The value as it comes out of Python's conversion and back into text.
    fn convert(self, value: &Traced, default: Option<&str>) -> Option<Traced> {
        let text = value.as_str();
        let converted = match self {
            Kind::Text => return Some(value.clone()),
            Kind::YesNo => {
                let is_yes = YES.contains(&text.to_lowercase().as_str());
                Some(if is_yes { "True" } else { "False" }.to_owned())
            }
            Kind::Whole => int(text).map(|number| number.to_string()),
        };
        let origin = value.place(0).to_string();
        converted
            .or_else(|| default.map(str::to_owned))
            .map(|text| Traced::from_outside(&text, &origin))
    }
}

type Asked = (&'static str, Kind, Option<&'static str>);

/// What is asked before the filter is read.
const FIRST: [Asked; 3] = [
    ("enabled", Kind::YesNo, Some("False")),
    ("backend", Kind::Text, Some("auto")),
    ("filter", Kind::Text, Some("")),
];

/// What a filter sees of its jail.
const ALL: [Asked; 29] = [
    FIRST[0],
    FIRST[1],
    ("maxretry", Kind::Whole, None),
    ("maxmatches", Kind::Whole, None),
    ("findtime", Kind::Text, None),
    ("bantime", Kind::Text, None),
    ("bantime.increment", Kind::YesNo, None),
    ("bantime.factor", Kind::Text, None),
    ("bantime.formula", Kind::Text, None),
    ("bantime.multipliers", Kind::Text, None),
    ("bantime.maxtime", Kind::Text, None),
    ("bantime.rndtime", Kind::Text, None),
    ("bantime.overalljails", Kind::YesNo, None),
    ("ignorecommand", Kind::Text, None),
    ("ignoreself", Kind::YesNo, None),
    ("ignoreip", Kind::Text, None),
    ("ignorecache", Kind::Text, None),
    FIRST[2],
    ("logtimezone", Kind::Text, None),
    ("logencoding", Kind::Text, None),
    ("logpath", Kind::Text, None),
    ("action", Kind::Text, Some("")),
    ("usedns", Kind::Text, None),
    ("prefregex", Kind::Text, None),
    ("ignoreregex", Kind::Text, None),
    ("failregex", Kind::Text, None),
    ("maxlines", Kind::Whole, None),
    ("datepattern", Kind::Text, None),
    ("journalmatch", Kind::Text, None),
];

/// What fail2ban takes for yes, in lower case.
const YES: [&str; 4] = ["1", "on", "true", "yes"];

/// The version whose behaviour this is; actions put it into what they send.
const VERSION: &str = "1.0.2";
