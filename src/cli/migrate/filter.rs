//! A jail's filter as `fail2ban:NAME[options]`, proven to be the same filter.
//!
//! In fail2ban a jail can lay regexes and dates of its own over its filter. What is written here
//! is loaded again and compared with the filter as the jail sees it; where it differs, the options
//! carry the difference, and where they cannot, it is listed.

use std::path::Path;

use super::document::quoted;
use crate::config::{ConfigError, Plan};
use crate::filter::fail2ban::conf::{self, Backend, Conf, Definition, Located};

/// What a jail's filter comes to.
#[derive(Debug)]
pub(super) enum Filter {
    /// For the key `filter`; and the fields (as [`field`] names them) that are lost.
    Spec(String, Vec<&'static str>),
    /// fail2ban's filter of its own log: bans are counted, no log is read.
    Recidive,
    /// There is none that works, and why.
    None(String),
}

/// Finds the filter of a jail. Afterwards `conf` knows `%(known/option)s` of it.
pub(super) fn translate(
    conf: &mut Conf,
    folder: &Path,
    jail: &str,
    written: Option<&Located>,
    backend: Backend,
) -> Filter {
    let seen = match conf::filter_of_jail(conf, folder, jail) {
        Ok(Some(definition)) => definition,
        Ok(None) => return Filter::None("the jail names no filter".to_owned()),
        Err(error) => return Filter::None(error.to_string()),
    };
    let spec = written.map_or("", |written| &*written.text);
    let (name, mut options) = match conf::parse_spec(spec) {
        Ok((name, options)) => (name.trim().to_owned(), options),
        Err(error) => return Filter::None(error.to_string()),
    };
    if seen.name == "recidive" {
        return Filter::Recidive;
    }
    if seen.failregex.is_empty() {
        return Filter::None("the filter has no failregex".to_owned());
    }
    let name = name.strip_suffix(".conf").filter(|it| !it.contains('/')).unwrap_or(&name);
    // The configuration takes a name with a folder for a path of its own.
    let inside = folder.join("filter.d").join(name).display().to_string();
    let name = if name.contains('/') { &inside } else { name };
    let load = |options: &[(String, String)]| conf::filter_for(name, folder, options, backend).ok();
    let same = load(&options);
    let differing = |same: &Option<Definition>| -> Vec<&'static str> {
        let differs =
            |it: &&str| same.as_ref().is_none_or(|same| field(same, it) != field(&seen, it));
        FIELDS.into_iter().filter(|it| differs(it)).collect()
    };
    let mut lost = differing(&same);
    for option in lost.clone() {
        options.retain(|(name, _)| name != option);
        options.push((option.to_owned(), field(&seen, option)));
    }
    if !lost.is_empty() {
        let told = text(name, &options);
        let again = told.as_deref().and_then(|told| conf::parse_spec(told).ok());
        lost.retain(|it| match &again {
            Some((_, options)) => differing(&load(options)).contains(it),
            None => true,
        });
        if !lost.is_empty() {
            options = conf::parse_spec(spec).map(|(_, options)| options).unwrap_or_default();
            lost = differing(&same);
        }
    }
    match text(name, &options) {
        Some(text) => match refused(folder, &text) {
            Some(why) => Filter::None(why),
            None => Filter::Spec(text, lost),
        },
        None => Filter::None("an option of the filter holds both kinds of quotes".to_owned()),
    }
}

/// Why the configuration would refuse a filter: it is asked.
fn refused(folder: &Path, spec: &str) -> Option<String> {
    let text = format!(
        "[server]\nfail2ban_filters = {}\n[jail.it]\nfilter = {}\n",
        quoted(&folder.join("filter.d").display().to_string()),
        quoted(&format!("fail2ban:{spec}"))
    );
    match Plan::from_text("portcullis.toml", &text).err()? {
        ConfigError::Foreign { what, .. } => Some(what),
        ConfigError::Wrong { what, .. } => Some(what.replacen("jail `it`: ", "", 1)),
        other => Some(other.to_string()),
    }
}

/// A field of a filter, as an option would hold it.
fn field(definition: &Definition, name: &str) -> String {
    let lines = |lines: &[Located]| {
        lines.iter().map(|line| line.text.as_str()).collect::<Vec<_>>().join("\n")
    };
    // None is not the same as empty, which switches dates off; NUL is in no configuration.
    let text = |text: &Option<Located>| text.as_ref().map_or("\0".to_owned(), |it| it.text.clone());
    match name {
        "failregex" => lines(&definition.failregex),
        "ignoreregex" => lines(&definition.ignoreregex),
        "prefregex" => text(&definition.prefregex),
        "datepattern" => text(&definition.datepattern),
        _ => definition.maxlines.to_string(),
    }
}

/// `NAME[option="value", …]`; `None` when a value cannot be written.
fn text(name: &str, options: &[(String, String)]) -> Option<String> {
    let mut parts = Vec::new();
    for (option, value) in options {
        let is_plain = !value.is_empty()
            && value.chars().all(|c| c.is_ascii_alphanumeric() || "-_.".contains(c));
        parts.push(match value {
            value if is_plain => format!("{option}={value}"),
            value if !value.contains('"') => format!("{option}=\"{value}\""),
            value if !value.contains('\'') => format!("{option}='{value}'"),
            _ => return None,
        });
    }
    Some(match parts.is_empty() {
        true => name.to_owned(),
        false => format!("{name}[{}]", parts.join(", ")),
    })
}

/// What decides the verdict on a line.
const FIELDS: [&str; 5] = ["prefregex", "failregex", "ignoreregex", "maxlines", "datepattern"];
