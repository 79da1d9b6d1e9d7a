//! A filter with its options: what `[Definition]` and `[Init]` come to.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::path::Path;
use std::rc::Rc;

use super::budget::Budget;
use super::error::{ConfError, hint};
use super::load::Conf;
use super::ordered::Options;
use super::traced::{Traced, is_space};
use super::{Located, find, tags};
use crate::model::Place;

/// What a filter file says, with everything put in.
#[derive(Clone, Debug, PartialEq)]
pub struct Definition {
    /// The filter's name: that of its file, without extension.
    pub name: String,
    /// The regex that a line must match first; an empty one is `None`.
    pub prefregex: Option<Located>,
    /// One regex a line.
    pub failregex: Vec<Located>,
    /// One regex a line.
    pub ignoreregex: Vec<Located>,
    /// How many lines are looked at together; 1 unless the filter says more.
    pub maxlines: u32,
    /// As written, one or more lines. An empty one is not `None`: it switches date detection off.
    pub datepattern: Option<Located>,
    /// As written: one set of journal matches a line.
    pub journalmatch: Option<String>,
    /// `file`, `short`, `journal`, `rfc5424`, or what the filter understands besides.
    pub logtype: String,
    /// Every other option of `[Definition]` and `[Init]`, and the options that were given.
    pub rest: BTreeMap<String, String>,
    /// What fail2ban only logs, or passes over in silence.
    pub remarks: Vec<Located>,
}

/// Where the lines come from: decides the `logtype` of filters that leave it open.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Backend {
    /// A file or a syslog message: `logtype` is `file`.
    #[default]
    File,
    /// systemd's journal: `logtype` is `journal`.
    Journal,
}

/// Loads a filter for lines of a file. `path_or_name` is a path, or a name in `folder` (as `/etc/fail2ban` or its
/// `filter.d`); `options` are those of [`parse_spec`](super::parse_spec).
///
/// # Errors
/// When a file cannot be read or understood, when an option names one that is not there, or a bound is passed.
pub fn filter(
    path_or_name: &str,
    folder: &Path,
    options: &[(String, String)],
) -> Result<Definition, ConfError> {
    filter_for(path_or_name, folder, options, Backend::File)
}

/// As [`filter`], for a backend.
///
/// # Errors
/// As [`filter`].
pub fn filter_for(
    path_or_name: &str,
    folder: &Path,
    options: &[(String, String)],
    backend: Backend,
) -> Result<Definition, ConfError> {
    let reader = FilterReader::open(path_or_name, folder, options, backend)?;
    let resolved = reader.clone().read(&Options::default(), false)?;
    // The rest is for show and for jails; an error there does not concern the regexes.
    let mut remarks = Vec::new();
    let rest = match reader.clone().read(&Options::default(), true) {
        Ok(rest) => rest,
        Err(error) => {
            remarks.push(Located { text: error.to_string(), place: Place::default() });
            Options::default()
        }
    };
    let mut definition = reader.definition(&resolved, &rest)?;
    definition.remarks.extend(remarks);
    Ok(definition)
}

/// Reads one filter, once or (for a jail) twice.
#[derive(Clone)]
pub(super) struct FilterReader {
    name: String,
    conf: Rc<Conf>,
    /// Options that were given, then those of `[Init]`: they go before `[Definition]`.
    init: Options,
    /// What goes before the section while `%(name)s` is put in.
    over: Options,
    /// Tags that were asked for; kept from the first reading to the second, as fail2ban does.
    cached: HashMap<String, Option<Traced>>,
    budget: Rc<Budget>,
}

impl FilterReader {
    /// Finds and reads the files.
    pub(super) fn open(
        path_or_name: &str,
        folder: &Path,
        options: &[(String, String)],
        backend: Backend,
    ) -> Result<FilterReader, ConfError> {
        let found = find::filter(path_or_name, folder)?;
        let conf = Conf::read(&found.files)?;
        let Some(definition) = conf.sections.get(DEFINITION) else {
            let origin = found.files.first().map(|file| file.display().to_string());
            let place = Place { origin: origin.unwrap_or_default(), line: 1, column: 1 };
            let what = format!(
                "this filter has no section [{DEFINITION}]{}",
                hint(DEFINITION, conf.sections())
            );
            return Err(ConfError::at(place, what));
        };
        let mut init = Options::default();
        for (name, value) in options {
            init.insert(name, Traced::from_outside(value, &format!("option {name}")));
        }
        // An empty one counts as not given; that of [DEFAULT] and that of [Init] do not count here.
        let is_given = init.get(LOGTYPE).is_some_and(|value| value.len() > 0);
        if !is_given && !definition.contains(LOGTYPE) {
            init.insert(LOGTYPE, Traced::from_outside(backend.logtype(), "the backend"));
        }
        Ok(FilterReader {
            name: found.name,
            conf: Rc::new(conf),
            init,
            over: Options::default(),
            cached: HashMap::new(),
            budget: Rc::new(Budget::new()),
        })
    }

    /// The options with everything put in. Those of `jail` go before `[Definition]`, and what they name is left out.
    /// With `all` every option of `[Definition]` is there, otherwise only those that a filter needs.
    pub(super) fn read(&mut self, jail: &Options, all: bool) -> Result<Options, ConfError> {
        let mut given = jail.clone();
        given.update(&self.init);
        self.over = Options::default();
        for (name, value) in given.iter() {
            self.over.insert(&name.to_lowercase(), value.clone());
        }
        let mut options = Options::default();
        for name in WANTED.iter().filter(|name| !given.contains(name)) {
            if let Some(value) = self.conf.value(DEFINITION, name, &self.over, &self.budget)? {
                options.insert(name, value);
            }
        }
        self.take_init()?;
        if all {
            self.take_rest(&mut options)?;
        }
        options.update(&self.init);
        self.replace_tags(&options)
    }

    fn take_init(&mut self) -> Result<(), ConfError> {
        let conf = self.conf.clone();
        for name in conf.sections.get("Init").into_iter().flat_map(Options::keys) {
            if name.starts_with("known/") && self.init.contains(name) {
                continue;
            }
            let value = conf.value("Init", name, &Options::default(), &self.budget)?;
            let Some(value) = value else { continue };
            if !name.starts_with("known/") {
                self.init.insert(&format!("known/{name}"), value.clone());
            }
            if !self.init.contains(name) {
                self.init.insert(name, value);
            }
        }
        Ok(())
    }

    fn take_rest(&self, options: &mut Options) -> Result<(), ConfError> {
        let none = Options::default();
        for name in self.conf.sections.get(DEFINITION).into_iter().flat_map(Options::keys) {
            if options.contains(name) {
                continue;
            }
            if let Some(value) = self.conf.value(DEFINITION, name, &none, &self.budget)? {
                options.insert(name, value);
            }
        }
        Ok(())
    }

    fn replace_tags(&mut self, options: &Options) -> Result<Options, ConfError> {
        // `name?condition` keeps `name` from being put in: which one holds is known later only.
        let left: HashSet<String> = options.keys().filter_map(unconditional).collect();
        let FilterReader { conf, over, cached, budget, .. } = self;
        let mut more = |tag: &str| {
            if let Some(known) = cached.get(tag) {
                return Ok(known.clone());
            }
            let value = conf.tag_value(DEFINITION, tag, over, budget)?;
            cached.insert(tag.to_owned(), value.clone());
            Ok(value)
        };
        tags::replace_all(options, &left, &mut more, budget)
    }

    /// What the options come to; `rest` adds those that no filter needs.
    pub(super) fn definition(
        &self,
        options: &Options,
        rest: &Options,
    ) -> Result<Definition, ConfError> {
        let located = |name: &str| options.get(name).map(Traced::located);
        let lines = |name: &str| options.get(name).map(Traced::lines).unwrap_or_default();
        let mut remarks = self.conf.remarks.clone();
        let logtype = options.get(LOGTYPE).or_else(|| rest.get(LOGTYPE));
        let mut others = BTreeMap::new();
        for (name, value) in options.iter().chain(rest.iter()) {
            if !name.starts_with("known/") && !OWN.contains(&name) {
                others.insert(name.to_owned(), value.as_str().to_owned());
            }
        }
        Ok(Definition {
            name: self.name.clone(),
            prefregex: located("prefregex").filter(|prefix| !prefix.text.is_empty()),
            failregex: lines("failregex"),
            ignoreregex: lines("ignoreregex"),
            maxlines: maxlines(located("maxlines"), &mut remarks)?,
            datepattern: located("datepattern"),
            journalmatch: located("journalmatch").map(|matches| matches.text),
            logtype: logtype.map_or_else(|| "file".to_owned(), |value| value.as_str().to_owned()),
            rest: others,
            remarks,
        })
    }
}

impl Backend {
    fn logtype(self) -> &'static str {
        match self {
            Backend::File => "file",
            Backend::Journal => "journal",
        }
    }
}

/// A number as Python's `int` reads it. What is none is passed over, as fail2ban does; 0 and less is refused.
pub(super) fn maxlines(
    value: Option<Located>,
    remarks: &mut Vec<Located>,
) -> Result<u32, ConfError> {
    let Some(value) = value else { return Ok(1) };
    match int(&value.text) {
        Some(lines) => match u32::try_from(lines) {
            Ok(lines) if lines > 0 => Ok(lines),
            _ => Err(ConfError::at(
                value.place,
                format!("maxlines is {lines}; it must be 1 or more"),
            )),
        },
        None => {
            let text = format!("maxlines is `{}`, which is no number; 1 is taken", value.text);
            remarks.push(Located { text, place: value.place });
            Ok(1)
        }
    }
}

/// A whole number as Python's `int` reads it: white space around, a sign, `_` between digits.
pub(super) fn int(text: &str) -> Option<i64> {
    let text = text.trim_matches(is_space);
    let digits = text.trim_start_matches(['+', '-']);
    let is_grouped = digits.split('_').all(|part| !part.is_empty());
    is_grouped.then(|| text.replace('_', "").parse().ok())?
}

/// `name` of `name?condition`.
fn unconditional(option: &str) -> Option<String> {
    let (name, condition) = option.split_once('?')?;
    let is_conditional =
        !name.is_empty() && !condition.is_empty() && name.chars().all(super::load::is_word);
    is_conditional.then(|| name.to_owned())
}

const DEFINITION: &str = "Definition";
const LOGTYPE: &str = "logtype";

/// What fail2ban asks a filter for, in its order.
pub(super) const WANTED: [&str; 7] =
    ["usedns", "prefregex", "ignoreregex", "failregex", "maxlines", "datepattern", "journalmatch"];

/// Those that [`Definition`] has fields for. `logtype` stands in `rest`, too: jails may name it.
const OWN: [&str; 6] =
    ["prefregex", "ignoreregex", "failregex", "maxlines", "datepattern", "journalmatch"];
