//! Files laid over each other: includes, `.local` files, and what was there `known` before.

use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::rc::Rc;

use super::budget::Budget;
use super::error::ConfError;
use super::ini::Ini;
use super::ordered::{Options, Ordered};
use super::{Located, find};

/// Sections and options of several files, the later over the earlier. Values are raw until asked for.
#[derive(Clone, Debug, Default)]
pub struct Conf {
    pub(super) defaults: Options,
    pub(super) sections: Ordered<Options>,
    /// What fail2ban passes over in silence and an operator may want to know: an included file that is not
    /// there, an include that runs in a circle.
    pub remarks: Vec<Located>,
}

impl Conf {
    /// Reads `files` in this order, each with the files that it includes.
    pub(super) fn read(files: &[PathBuf]) -> Result<Conf, ConfError> {
        let mut loader = Loader::default();
        let order = loader.with_includes(files, &[])?;
        let mut conf = Conf { remarks: loader.remarks.clone(), ..Conf::default() };
        for path in &order {
            if let Some(ini) = loader.file(path)? {
                conf.lay_over(&ini);
            }
        }
        Ok(conf)
    }

    /// Lays one file over what there is. What it replaces is kept in `KNOWN/section`, for `%(known/option)s`.
    fn lay_over(&mut self, ini: &Ini) {
        self.defaults.update(&ini.defaults);
        for (written, options) in ini.sections.iter() {
            let (name, condition) = conditional(written);
            let mut new = Options::default();
            for (option, value) in options.iter() {
                new.insert(&format!("{option}{condition}"), value.clone());
            }
            let Some(old) = self.sections.get_mut(name) else {
                self.sections.insert(name, new);
                continue;
            };
            let mut replaced = Options::default();
            for (option, value) in old.iter().filter(|(option, _)| new.contains(option)) {
                replaced.insert(option, value.clone());
            }
            old.update(&new);
            self.merge(&format!("{KNOWN}{name}"), &replaced);
        }
    }

    /// Lays options over a section, which is made when it is not there.
    pub(super) fn merge(&mut self, section: &str, options: &Options) {
        match self.sections.get_mut(section) {
            Some(there) => there.update(options),
            None => self.sections.insert(section, options.clone()),
        }
    }
}

/// Reads each file once and finds what it includes.
#[derive(Default)]
struct Loader {
    files: HashMap<PathBuf, Option<Rc<Ini>>>,
    bytes: u64,
    listed: usize,
    remarks: Vec<Located>,
}

impl Loader {
    /// `files`, each with its `.local` behind it, and around each what it includes.
    fn with_includes(
        &mut self,
        files: &[PathBuf],
        seen: &[PathBuf],
    ) -> Result<Vec<PathBuf>, ConfError> {
        let mut order = Vec::new();
        for file in files {
            order.extend(self.around(file, seen)?);
            let local = file.with_extension("local");
            if !files.contains(&local) && local.is_file() {
                order.extend(self.around(&local, seen)?);
            }
        }
        Ok(order)
    }

    fn around(&mut self, file: &Path, seen: &[PathBuf]) -> Result<Vec<PathBuf>, ConfError> {
        let Some(ini) = self.file(file)? else { return Ok(Vec::new()) };
        let mut conf = Conf::default();
        conf.lay_over(&ini);
        let mut order = self.included(&conf, "before", file, seen)?;
        order.push(file.to_owned());
        order.extend(self.included(&conf, "after", file, seen)?);
        self.listed += 1;
        Ok(order)
    }

    /// What `option` of `[INCLUDES]` names: one file a line. White space within a line is part of the name.
    fn included(
        &mut self,
        conf: &Conf,
        option: &str,
        file: &Path,
        seen: &[PathBuf],
    ) -> Result<Vec<PathBuf>, ConfError> {
        let mut order = Vec::new();
        let Some(names) = conf.value(INCLUDES, option, &Options::default(), &Budget::new())? else {
            return Ok(order);
        };
        let below = [seen, &[file.to_owned()]].concat();
        for name in names.lines() {
            let path = file.parent().unwrap_or(Path::new("")).join(&name.text);
            if seen.contains(&path) {
                let text = format!("`{}` includes this file in turn; passed over", name.text);
                self.remarks.push(Located { text, place: name.place });
                continue;
            }
            if below.len() > MOST_DEPTH || self.listed > MOST_FILES {
                let what = format!(
                    "includes go past {MOST_DEPTH} levels or {MOST_FILES} files; \
                     does `{}` lead back here?",
                    name.text
                );
                return Err(ConfError::at(name.place, what));
            }
            let found = self.with_includes(std::slice::from_ref(&path), &below)?;
            if found.is_empty() && path.extension().is_none_or(|extension| extension != "local") {
                let text = format!("`{}` is not there; passed over", name.text);
                self.remarks.push(Located { text, place: name.place });
            }
            order.extend(found);
        }
        Ok(order)
    }

    /// A file's sections; `None` when there is no such file.
    fn file(&mut self, path: &Path) -> Result<Option<Rc<Ini>>, ConfError> {
        if let Some(known) = self.files.get(path) {
            return Ok(known.clone());
        }
        let text = find::text(path)?;
        self.bytes += text.as_ref().map_or(0, |text| text.len() as u64);
        if self.bytes > MOST_BYTES {
            let why = format!("with this file the configuration passes {MOST_BYTES} bytes");
            return Err(ConfError::Read { path: path.display().to_string(), why });
        }
        let ini = match text {
            Some(text) => Some(Rc::new(Ini::parse(&path.display().to_string(), &text)?)),
            None => None,
        };
        self.files.insert(path.to_owned(), ini.clone());
        Ok(ini)
    }
}

/// `Init?family=inet6` holds options of `Init` under names that end in `?family=inet6`.
fn conditional(section: &str) -> (&str, &str) {
    match section.find('?') {
        Some(at) if at > 0 && at + 1 < section.len() && section[..at].chars().all(is_word) => {
            section.split_at(at)
        }
        _ => (section, ""),
    }
}

/// Python's `\w`.
pub(super) fn is_word(character: char) -> bool {
    character.is_alphanumeric() || character == '_'
}

/// The section that names other files.
pub(super) const INCLUDES: &str = "INCLUDES";

/// What stands before the name of a section that holds replaced values.
pub(super) const KNOWN: &str = "KNOWN/";

const MOST_DEPTH: usize = 20;
const MOST_FILES: usize = 2000;
const MOST_BYTES: u64 = 32 << 20;
