//! An option's value: looked up, and `%(name)s` put in.

use super::budget::{self, Budget};
use super::error::{ConfError, hint};
use super::ini::DEFAULT;
use super::load::{Conf, KNOWN, is_word};
use super::ordered::Options;
use super::traced::Traced;

impl Conf {
    /// The value of an option with `%(name)s` put in; `None` when neither the section nor `[DEFAULT]` has it, or
    /// there is no such section. `over` goes before both; its names are taken as they are, so have them lower-case.
    pub(super) fn value(
        &self,
        section: &str,
        option: &str,
        over: &Options,
        budget: &Budget,
    ) -> Result<Option<Traced>, ConfError> {
        if section != DEFAULT && !self.sections.contains(section) {
            return Ok(None);
        }
        let within = Within { conf: self, section, over, budget };
        let Some(raw) = within.raw(&option.to_lowercase()) else { return Ok(None) };
        let mut out = Traced::default();
        within.put_in(raw, &Options::default(), 1, &mut out)?;
        Ok(Some(if out.len() == 0 { Traced::emptied(raw) } else { out }))
    }

    /// The value that a tag `<name>` stands for: as [`Conf::value`] of `section`, but `<other/name>` asks section
    /// `other` first, `<default/name>` the defaults and `<known/name>` what was replaced, then what is there.
    pub(super) fn tag_value(
        &self,
        section: &str,
        tag: &str,
        over: &Options,
        budget: &Budget,
    ) -> Result<Option<Traced>, ConfError> {
        if let Some((other, option)) = elsewhere(tag) {
            let sections = match other.to_lowercase().as_str() {
                "known" => vec![format!("{KNOWN}{section}"), section.to_owned()],
                "default" => vec![DEFAULT.to_owned()],
                _ => vec![other.to_owned()],
            };
            for other in &sections {
                if let Some(value) = self.value(other, option, &Options::default(), budget)? {
                    return Ok(Some(value));
                }
            }
        }
        self.value(section, tag, over, budget)
    }
}

/// Where names are looked up while one value is put together.
struct Within<'a> {
    conf: &'a Conf,
    section: &'a str,
    over: &'a Options,
    budget: &'a Budget,
}

impl<'a> Within<'a> {
    fn raw(&self, option: &str) -> Option<&'a Traced> {
        self.over
            .get(option)
            .or_else(|| self.conf.sections.get(self.section)?.get(option))
            .or_else(|| self.conf.defaults.get(option))
    }

    /// Adds `raw` to `out` with names put in. `local` are names that only this value and those inside it see.
    fn put_in(
        &self,
        raw: &Traced,
        local: &Options,
        depth: u32,
        out: &mut Traced,
    ) -> Result<(), ConfError> {
        let start = || raw.place(0);
        if depth > MOST_DEPTH {
            let what =
                format!("options name each other more than {MOST_DEPTH} deep, or in a circle");
            return Err(ConfError::at(start(), what));
        }
        self.budget.spend(raw.len(), start)?;
        let text = raw.as_str();
        let mut local = local.clone();
        self.name_others(text, &mut local);
        let mut rest = 0;
        while let Some(found) = text[rest..].find('%') {
            let at = rest + found;
            out.push_part(raw, rest..at, depth - 1);
            rest = at + self.reference(raw, at, &local, depth, out)?;
            self.budget.spend(0, start)?;
            budget::fits(out.len(), start)?;
        }
        out.push_part(raw, rest..text.len(), depth - 1);
        budget::fits(out.len(), start)
    }

    /// Puts in what the `%` at byte `at` asks for; how many bytes of `raw` that was.
    fn reference(
        &self,
        raw: &Traced,
        at: usize,
        local: &Options,
        depth: u32,
        out: &mut Traced,
    ) -> Result<usize, ConfError> {
        let text = &raw.as_str()[at..];
        if text.starts_with("%%") {
            out.push_part(raw, at..at + 1, depth - 1);
            return Ok(2);
        }
        let Some(inner) = text.strip_prefix("%(") else {
            return Err(ConfError::at(
                raw.place(at),
                "a `%` here begins `%(option)s`; for the sign itself write `%%`",
            ));
        };
        let name = inner.find(')').map(|end| &inner[..end]).filter(|name| !name.is_empty());
        let Some(name) = name.filter(|name| inner[name.len() + 1..].starts_with('s')) else {
            return Err(ConfError::at(
                raw.place(at),
                "`%(` begins `%(option)s`, which is not finished; for the sign itself write `%%`",
            ));
        };
        let option = name.to_lowercase();
        let Some(value) = local.get(&option).or_else(|| self.raw(&option)) else {
            return Err(ConfError::at(raw.place(at), self.missing(name, &option)));
        };
        // The depth is counted where there is something to put in, as Python does.
        match value.as_str().contains('%') {
            true => self.put_in(value, local, depth + 1, out)?,
            false => out.push_part(value, 0..value.len(), depth),
        }
        Ok(name.len() + "%()s".len())
    }

    /// Makes `section/option` of every `%(section/option)s` a local name.
    ///
    /// It is stored as written and looked up in lower case, as fail2ban does: only sections with lower-case names,
    /// `default` and `known` can be reached.
    fn name_others(&self, text: &str, local: &mut Options) {
        local.insert("__name__", Traced::from_outside(self.section, "the section's name"));
        for (at, _) in text.match_indices("%(") {
            let inner = &text[at + 2..];
            let Some(end) = inner.find(')').filter(|end| inner[end + 1..].starts_with('s')) else {
                continue;
            };
            let name = &inner[..end];
            let Some((section, option)) = name.split_once('/') else { continue };
            let is_named = !section.is_empty() && !option.is_empty();
            if !is_named || !section.chars().all(is_name) {
                continue;
            }
            if local.contains(name) || self.raw(name).is_some() {
                continue;
            }
            if let Some(value) = self.other(section, option) {
                local.insert(name, value.clone());
            }
        }
    }

    fn other(&self, section: &str, option: &str) -> Option<&'a Traced> {
        let own = match section.to_lowercase().as_str() {
            "default" => None,
            "known" => self
                .conf
                .sections
                .get(&format!("{KNOWN}{}", self.section))
                .and_then(|options| options.get(option)),
            _ => self.conf.sections.get(section)?.get(option),
        };
        own.or_else(|| self.conf.defaults.get(option))
    }

    fn missing(&self, name: &str, option: &str) -> String {
        let here = self.conf.sections.get(self.section).into_iter().chain([&self.conf.defaults]);
        let names = here.flat_map(Options::keys).chain(self.over.keys());
        let hint = match name.split_once('/') {
            Some((section, _)) if section != section.to_lowercase() => {
                "; only sections with lower-case names can be reached in this way".to_owned()
            }
            _ => hint(option, names),
        };
        format!("no option `{name}` in [{}] or [DEFAULT]{hint}", self.section)
    }
}

/// Takes `section/option` apart: a section of word characters and `-`, an option without white space.
fn elsewhere(tag: &str) -> Option<(&str, &str)> {
    let (section, option) = tag.split_once('/')?;
    // A `$` of Python matches before a newline at the end, too.
    let option = option.strip_suffix('\n').unwrap_or(option);
    let is_option = !option.is_empty() && !option.contains(super::traced::is_space);
    (is_option && !section.is_empty() && section.chars().all(is_name)).then_some((section, option))
}

fn is_name(character: char) -> bool {
    is_word(character) || character == '-'
}

/// Python's `MAX_INTERPOLATION_DEPTH`.
const MOST_DEPTH: u32 = 10;
