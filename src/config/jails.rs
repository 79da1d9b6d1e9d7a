//! The jails of a configuration, and the filters that they ask for, each loaded once.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::time::Duration;

use super::ConfigError;
use super::file::{JailSection, Kind, ScopeWord, ThresholdSection};
use super::plan::{Jail, JailFilter, Skipped};
use super::source::Source;
use crate::ban::{Escalate, Growth, JailScope, Origin, Terms};
use crate::detect::Threshold;
use crate::filter::fail2ban::{self, conf};
use crate::filter::{Filter, Library};
use crate::model::{DurationWords, Place};
use crate::pipeline::trial;

/// What `[jail.*]` comes to.
#[derive(Debug, Default)]
pub(super) struct Jails {
    pub(super) jails: Vec<Jail>,
    pub(super) skipped: Vec<Skipped>,
    pub(super) filters: Vec<Filter>,
    pub(super) foreign: Vec<fail2ban::Jailed>,
}

/// Where filters are looked for.
#[derive(Debug)]
pub(super) struct Shelves {
    pub(super) library: Library,
    pub(super) fail2ban: Option<PathBuf>,
    /// Whether a jail is left out when its filter does not load.
    pub(super) skip: bool,
}

type Sections = BTreeMap<String, toml::Spanned<JailSection>>;

impl Jails {
    /// The jails that are enabled, and their filters. A file that names no jail gets one for every
    /// filter there is, but for those that must be asked for.
    pub(super) fn new(
        source: &Source<'_>,
        defaults: &JailSection,
        sections: &Sections,
        shelves: &Shelves,
    ) -> Result<Jails, ConfigError> {
        if let Some(filter) = &defaults.filter {
            let what = format!("`filter = \"{filter}\"` belongs to a jail, not to [defaults]");
            return Err(source.wrong(0, &what));
        }
        if defaults.programs.is_some() {
            return Err(source.wrong(0, &"`programs` belongs to a jail, not to [defaults]"));
        }
        if defaults.kind.is_some() || defaults.threshold.is_some() {
            let what = "`kind` and `threshold` belong to a jail, not to [defaults]";
            return Err(source.wrong(0, &what));
        }
        let mut named: Vec<(String, usize, JailSection)> = sections
            .iter()
            .map(|(name, section)| (name.clone(), section.span().start, section.get_ref().clone()))
            .collect();
        let all = named.is_empty();
        if all {
            let names = shelves.library.names().map_err(|error| source.wrong(0, &error))?;
            named.extend(names.into_iter().map(|name| (name, 0, JailSection::default())));
        }
        let mut found = Jails::default();
        let mut loaded: Vec<(Wanted, JailFilter)> = Vec::new();
        for (name, start, section) in named {
            if Origin::is_named(&name) {
                let what =
                    format!("a jail cannot be called `{name}`: bans of no jail are shown so");
                return Err(source.wrong(start, &what));
            }
            if !section.enabled.or(defaults.enabled).unwrap_or(true) {
                continue;
            }
            let asking = Asking { source, jail: &name, start };
            let terms = asking.terms(&section, defaults)?;
            if terms.recidive {
                found.jails.push(Jail { filter: JailFilter::Bans, terms });
                continue;
            }
            let wanted = asking.wanted(&section)?;
            let known = loaded.iter().find(|(known, _)| *known == wanted).map(|(_, it)| *it);
            let place = match known {
                Some(place) => place,
                None => match found.load(&asking, &wanted, shelves, all) {
                    Ok(Some(place)) => {
                        loaded.push((wanted, place));
                        place
                    }
                    Ok(None) => continue,
                    Err(error) if shelves.skip && error.is_of_a_filter() => {
                        let (jail, why) = (name.as_str().into(), error.to_string());
                        found.skipped.push(Skipped { jail, why });
                        continue;
                    }
                    Err(error) => return Err(error),
                },
            };
            found.jails.push(Jail { filter: place, terms });
        }
        Ok(found)
    }

    /// Loads a filter. `None` for one that must be asked for when all are taken.
    ///
    /// Those that ship are on trial in our own tests; an operator's is tried here; those of fail2ban
    /// bring no samples.
    fn load(
        &mut self,
        asking: &Asking<'_>,
        wanted: &Wanted,
        shelves: &Shelves,
        all: bool,
    ) -> Result<Option<JailFilter>, ConfigError> {
        if let Some(spec) = wanted.filter.strip_prefix(FAIL2BAN) {
            let programs = wanted.programs.clone();
            self.foreign.push(asking.fail2ban(spec, programs, shelves.fail2ban.as_deref())?);
            return Ok(Some(JailFilter::Fail2ban(self.foreign.len() - 1)));
        }
        let filter = shelves.library.load(&wanted.filter).map_err(|error| ConfigError::Filter {
            place: asking.place(),
            jail: asking.jail.to_owned(),
            source: Box::new(error),
        })?;
        if all && filter.opt_in {
            return Ok(None);
        }
        if !filter.is_built_in {
            trial::prove(&filter)?;
        }
        self.filters.push(filter);
        Ok(Some(JailFilter::Native(self.filters.len() - 1)))
    }
}

/// The filter that a jail wants: its name, and for one of fail2ban's the programs.
#[derive(PartialEq, Eq)]
struct Wanted {
    filter: String,
    programs: Vec<String>,
}

/// A jail that asks for its filter.
struct Asking<'a> {
    source: &'a Source<'a>,
    jail: &'a str,
    start: usize,
}

impl Asking<'_> {
    fn place(&self) -> Place {
        Place::at(self.source.origin, self.source.text, self.start)
    }

    fn wrong(&self, what: &dyn std::fmt::Display) -> ConfigError {
        self.source.wrong(self.start, &format!("jail `{}`: {what}", self.jail))
    }

    fn wanted(&self, section: &JailSection) -> Result<Wanted, ConfigError> {
        let filter = section.filter.clone().unwrap_or_else(|| self.jail.to_owned());
        let Some(programs) = section.programs.clone() else {
            return Ok(Wanted { filter, programs: Vec::new() });
        };
        if !filter.starts_with(FAIL2BAN) {
            let what = format!(
                "`programs` is for filters of fail2ban's; the filter `{filter}` says itself \
                 which programs it reads (`portcullis filters show {filter}`): leave the key out"
            );
            return Err(self.wrong(&what));
        }
        if programs.is_empty() || programs.iter().any(String::is_empty) {
            let what = "`programs` names programs, such as [\"nginx\", \"httpd*\"]; for \
                        messages that name none write \"-\"";
            return Err(self.wrong(&what));
        }
        Ok(Wanted { filter, programs })
    }

    /// What its bans shut. `ports` alone means their scope.
    fn scope(&self, own: &JailSection, defaults: &JailSection) -> Result<JailScope, ConfigError> {
        let ports = own.ports.or(defaults.ports);
        let word = match (own.scope, own.ports) {
            (None, Some(_)) => Some(ScopeWord::Ports),
            (own, _) => own.or(defaults.scope),
        };
        match (word, ports) {
            (Some(ScopeWord::Ports), Some(ports)) => Ok(JailScope::Ports(ports)),
            (Some(ScopeWord::Ports), None) => Err(self.wrong(
                &"`scope = \"ports\"` needs `ports`, such as [22] or [\"http\", \"https\"]",
            )),
            (Some(_), _) if own.ports.is_some() => {
                Err(self.wrong(&"`ports` are shut by `scope = \"ports\"` only"))
            }
            (Some(ScopeWord::Sender), _) => Ok(JailScope::Sender),
            (Some(ScopeWord::Gateway) | None, _) => Ok(JailScope::Gateway),
        }
    }

    /// What the jail says of its bans, or else the defaults.
    fn terms(&self, own: &JailSection, defaults: &JailSection) -> Result<Terms, ConfigError> {
        let usual = Growth::default();
        let recidive = own.kind.unwrap_or_default() == Kind::Recidive;
        if recidive && (own.filter.is_some() || own.programs.is_some()) {
            let what = "its hits are the bans of other jails: leave out `filter` and `programs`";
            return Err(self.wrong(&what));
        }
        let first = Threshold {
            maxretry: own.maxretry.or(defaults.maxretry).unwrap_or(5),
            findtime: own.findtime.or(defaults.findtime).unwrap_or(TEN_MINUTES),
            senders: own.senders.or(defaults.senders).unwrap_or(1),
            distinct: own.distinct.or(defaults.distinct).unwrap_or(0),
            ipv4_prefix: own.ipv4_prefix.or(defaults.ipv4_prefix).unwrap_or(32),
            ipv6_prefix: own.ipv6_prefix.or(defaults.ipv6_prefix).unwrap_or(64),
        };
        let bantime = own.bantime.or(defaults.bantime);
        let bantime = bantime.unwrap_or(DurationWords::For(TEN_MINUTES));
        let more = own.threshold.as_deref().unwrap_or_default();
        if more.len() > MOST_THRESHOLDS {
            let what = format!("{MOST_THRESHOLDS} further thresholds are possible");
            return Err(self.wrong(&what));
        }
        let further = |it: &ThresholdSection| {
            let threshold = Threshold {
                maxretry: it.maxretry.unwrap_or(first.maxretry),
                findtime: it.findtime.unwrap_or(first.findtime),
                senders: it.senders.unwrap_or(first.senders),
                distinct: it.distinct.unwrap_or(first.distinct),
                ..first
            };
            (threshold, it.bantime.unwrap_or(bantime))
        };
        let escalate = |after: [Option<u32>; 2], prefix: [Option<u8>; 2], usual| Escalate {
            after: after[0].or(after[1]).unwrap_or(0),
            prefix: prefix[0].or(prefix[1]).unwrap_or(usual),
        };
        let multipliers =
            own.bantime_multipliers.as_ref().or(defaults.bantime_multipliers.as_ref());
        Ok(Terms {
            jail: self.jail.into(),
            thresholds: [(first, bantime)].into_iter().chain(more.iter().map(further)).collect(),
            growth: Growth {
                increment: own.bantime_increment.or(defaults.bantime_increment).unwrap_or(false),
                factor: own.bantime_factor.or(defaults.bantime_factor).unwrap_or(usual.factor),
                multipliers: multipliers.cloned().unwrap_or_default(),
                max: own.bantime_max.or(defaults.bantime_max).unwrap_or(usual.max),
                jitter: own.bantime_jitter.or(defaults.bantime_jitter).unwrap_or(usual.jitter),
                all_jails: own
                    .bantime_overalljails
                    .or(defaults.bantime_overalljails)
                    .unwrap_or(usual.all_jails),
                decay: own.bantime_decay.or(defaults.bantime_decay).unwrap_or(usual.decay),
            },
            escalate: [
                escalate(
                    [own.ipv4_escalate, defaults.ipv4_escalate],
                    [own.ipv4_escalate_prefix, defaults.ipv4_escalate_prefix],
                    24,
                ),
                escalate(
                    [own.ipv6_escalate, defaults.ipv6_escalate],
                    [own.ipv6_escalate_prefix, defaults.ipv6_escalate_prefix],
                    56,
                ),
            ],
            dry_run: own.dry_run.or(defaults.dry_run).unwrap_or(false),
            recidive,
            scope: self.scope(own, defaults)?,
        })
    }

    fn fail2ban(
        &self,
        spec: &str,
        programs: Vec<String>,
        folder: Option<&std::path::Path>,
    ) -> Result<fail2ban::Jailed, ConfigError> {
        let (name, options) = conf::parse_spec(spec).map_err(|error| self.wrong(&error))?;
        let folder = match (folder, std::path::Path::new(&name).parent()) {
            (_, Some(own)) if !own.as_os_str().is_empty() => own,
            (Some(folder), _) => folder,
            (None, _) => {
                let what = "where are fail2ban's filters? set [server] fail2ban_filters = \
                            \"/etc/fail2ban/filter.d\"";
                return Err(self.wrong(&what));
            }
        };
        let bad = |what: &dyn std::fmt::Display| ConfigError::Foreign {
            place: self.place(),
            jail: self.jail.to_owned(),
            what: what.to_string(),
        };
        let definition = conf::filter(&name, folder, &options).map_err(|error| bad(&error))?;
        fail2ban::Jailed::new(&definition, programs).map_err(|error| bad(&error))
    }
}

/// What the name of a filter of fail2ban's begins with.
const FAIL2BAN: &str = "fail2ban:";
const MOST_THRESHOLDS: usize = 8;
const TEN_MINUTES: Duration = Duration::from_secs(600);
