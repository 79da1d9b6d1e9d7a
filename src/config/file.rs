//! The keys of `portcullis.toml`, as they are written.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

use serde::{Deserialize, Deserializer};
use toml::Spanned;

use super::plan::{Backend, Verdict};
use crate::input::Protocol;
use crate::model::{DurationWords, MOST_PORTS, PortError, PortRange, Ports, Prefix, Trust};

#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(super) struct File {
    pub(super) server: Server,
    pub(super) listen: Vec<Spanned<Listen>>,
    pub(super) sender: Vec<Spanned<SenderSection>>,
    pub(super) defaults: JailSection,
    pub(super) jail: BTreeMap<String, Spanned<JailSection>>,
    pub(super) never_ban: NeverBanSection,
    pub(super) breaker: BreakerSection,
    pub(super) firewall: FirewallSection,
    pub(super) metrics: MetricsSection,
}

#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(super) struct Server {
    #[serde(deserialize_with = "workers")]
    pub(super) workers: usize,
    pub(super) control: Option<PathBuf>,
    pub(super) state: Option<PathBuf>,
    #[serde(deserialize_with = "history")]
    pub(super) history: Option<Duration>,
    pub(super) filters: Option<Vec<PathBuf>>,
    pub(super) fail2ban_filters: Option<PathBuf>,
    pub(super) on_bad_filter: OnBadFilter,
    #[serde(deserialize_with = "matcher_mib")]
    pub(super) matcher_mib: Option<usize>,
}

/// What becomes of a jail whose filter does not load.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(super) enum OnBadFilter {
    /// Nothing runs.
    #[default]
    Refuse,
    /// The others run without it.
    Skip,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Listen {
    pub(super) protocol: Protocol,
    pub(super) address: SocketAddr,
    pub(super) trust: Option<Trust>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct SenderSection {
    pub(super) name: String,
    pub(super) addresses: Vec<Prefix>,
    #[serde(default)]
    pub(super) trust: Trust,
}

/// `[defaults]` and `[jail.*]`: what a jail does not say, the defaults say.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(super) struct JailSection {
    pub(super) filter: Option<String>,
    pub(super) programs: Option<Vec<String>>,
    pub(super) kind: Option<Kind>,
    pub(super) threshold: Option<Vec<ThresholdSection>>,
    pub(super) enabled: Option<bool>,
    pub(super) dry_run: Option<bool>,
    #[serde(deserialize_with = "maxretry")]
    pub(super) maxretry: Option<u32>,
    #[serde(deserialize_with = "finite")]
    pub(super) findtime: Option<Duration>,
    #[serde(deserialize_with = "bantime")]
    pub(super) bantime: Option<DurationWords>,
    #[serde(deserialize_with = "senders")]
    pub(super) senders: Option<u32>,
    #[serde(deserialize_with = "distinct")]
    pub(super) distinct: Option<u32>,
    #[serde(deserialize_with = "length::<_, 8, 32>")]
    pub(super) ipv4_prefix: Option<u8>,
    #[serde(deserialize_with = "length::<_, 16, 128>")]
    pub(super) ipv6_prefix: Option<u8>,
    pub(super) scope: Option<ScopeWord>,
    #[serde(deserialize_with = "ports")]
    pub(super) ports: Option<Ports>,
    #[serde(deserialize_with = "escalate")]
    pub(super) ipv4_escalate: Option<u32>,
    #[serde(deserialize_with = "length::<_, 8, 32>")]
    pub(super) ipv4_escalate_prefix: Option<u8>,
    #[serde(deserialize_with = "escalate")]
    pub(super) ipv6_escalate: Option<u32>,
    #[serde(deserialize_with = "length::<_, 16, 128>")]
    pub(super) ipv6_escalate_prefix: Option<u8>,
    pub(super) bantime_increment: Option<bool>,
    #[serde(deserialize_with = "factor")]
    pub(super) bantime_factor: Option<f64>,
    #[serde(deserialize_with = "multipliers")]
    pub(super) bantime_multipliers: Option<Vec<f64>>,
    #[serde(deserialize_with = "bantime")]
    pub(super) bantime_max: Option<DurationWords>,
    #[serde(deserialize_with = "jitter")]
    pub(super) bantime_jitter: Option<Duration>,
    pub(super) bantime_overalljails: Option<bool>,
    #[serde(deserialize_with = "finite")]
    pub(super) bantime_decay: Option<Duration>,
}

/// `scope`: what a ban shuts.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(super) enum ScopeWord {
    Gateway,
    Sender,
    Ports,
}

/// What makes a hit of a jail.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(super) enum Kind {
    /// A line that its filter matches.
    #[default]
    Filter,
    /// A ban of another jail.
    Recidive,
}

/// A further threshold of a jail: what it does not say, the jail says. (The keys stand here again, not
/// flattened into both: serde cannot refuse unknown ones then, nor name those that it knows.)
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(super) struct ThresholdSection {
    #[serde(deserialize_with = "maxretry")]
    pub(super) maxretry: Option<u32>,
    #[serde(deserialize_with = "finite")]
    pub(super) findtime: Option<Duration>,
    #[serde(deserialize_with = "bantime")]
    pub(super) bantime: Option<DurationWords>,
    #[serde(deserialize_with = "senders")]
    pub(super) senders: Option<u32>,
    #[serde(deserialize_with = "distinct")]
    pub(super) distinct: Option<u32>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct NeverBanSection {
    #[serde(default)]
    pub(super) addresses: Vec<Prefix>,
    #[serde(default)]
    pub(super) names: Vec<Spanned<String>>,
    #[serde(default)]
    pub(super) files: Vec<PathBuf>,
    #[serde(default = "nothing")]
    pub(super) command: Spanned<Vec<String>>,
}

impl Default for NeverBanSection {
    fn default() -> NeverBanSection {
        let (addresses, names, files) = Default::default();
        NeverBanSection { addresses, names, files, command: nothing() }
    }
}

fn nothing() -> Spanned<Vec<String>> {
    Spanned::new(0..0, Vec::new())
}

#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(super) struct BreakerSection {
    #[serde(deserialize_with = "bans_per_minute")]
    pub(super) bans_per_minute: Option<usize>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(super) struct FirewallSection {
    pub(super) backend: Backend,
    pub(super) table: Option<Spanned<String>>,
    pub(super) verdict: Verdict,
}

#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(super) struct MetricsSection {
    pub(super) listen: Option<SocketAddr>,
}

fn workers<'de, D: Deserializer<'de>>(from: D) -> Result<usize, D::Error> {
    bounded(from, 0, 256, "workers is 0 (one per core) to 256")
}

fn matcher_mib<'de, D: Deserializer<'de>>(from: D) -> Result<Option<usize>, D::Error> {
    bounded(from, 1, 1_024, "matcher_mib is 1 to 1024").map(Some)
}

fn maxretry<'de, D: Deserializer<'de>>(from: D) -> Result<Option<u32>, D::Error> {
    bounded(from, 1, 1_000, "maxretry is 1 to 1000").map(Some)
}

fn senders<'de, D: Deserializer<'de>>(from: D) -> Result<Option<u32>, D::Error> {
    bounded(from, 1, 100, "senders is 1 to 100").map(Some)
}

fn distinct<'de, D: Deserializer<'de>>(from: D) -> Result<Option<u32>, D::Error> {
    bounded(from, 0, 100, "distinct is 0 (nobody asks) to 100").map(Some)
}

fn escalate<'de, D: Deserializer<'de>>(from: D) -> Result<Option<u32>, D::Error> {
    match bounded(from, 0, 1_000, "this is 0 (never) or 2 to 1000")? {
        1 => Err(serde::de::Error::custom(
            "1 would ban the prefix for each offender: set ipv4_prefix or ipv6_prefix instead",
        )),
        after => Ok(Some(after)),
    }
}

fn bans_per_minute<'de, D: Deserializer<'de>>(from: D) -> Result<Option<usize>, D::Error> {
    bounded(from, 0, 1_000_000, "bans_per_minute is 0 (never) to 1000000").map(Some)
}

fn factor<'de, D: Deserializer<'de>>(from: D) -> Result<Option<f64>, D::Error> {
    multiplier(f64::deserialize(from)?, "bantime_factor").map(Some)
}

fn multipliers<'de, D: Deserializer<'de>>(from: D) -> Result<Option<Vec<f64>>, D::Error> {
    let written = Vec::<f64>::deserialize(from)?;
    if written.len() > 100 {
        return Err(serde::de::Error::custom("bantime_multipliers has at most 100 numbers"));
    }
    let checked = written.into_iter().map(|it| multiplier(it, "a multiplier"));
    checked.collect::<Result<_, _>>().map(Some)
}

fn multiplier<E: serde::de::Error>(written: f64, what: &str) -> Result<f64, E> {
    if written > 0.0 && written <= 1e6 {
        return Ok(written);
    }
    Err(E::custom(format!("{what} is above 0, and at most 1000000, not {written}")))
}

fn jitter<'de, D: Deserializer<'de>>(from: D) -> Result<Option<Duration>, D::Error> {
    let jitter = DurationWords::deserialize(from)?.finite().map(Some);
    jitter.ok_or_else(|| serde::de::Error::custom("bantime_jitter cannot be `forever`"))
}

fn length<'de, D: Deserializer<'de>, const LEAST: u8, const MOST: u8>(
    from: D,
) -> Result<Option<u8>, D::Error> {
    bounded(from, LEAST, MOST, &format!("this prefix length is {LEAST} to {MOST}")).map(Some)
}

fn bounded<'de, D: Deserializer<'de>, N>(
    from: D,
    least: N,
    most: N,
    otherwise: &str,
) -> Result<N, D::Error>
where
    N: TryFrom<i64> + PartialOrd,
{
    let written = i64::deserialize(from)?;
    N::try_from(written)
        .ok()
        .filter(|number| (least..=most).contains(number))
        .ok_or_else(|| serde::de::Error::custom(format!("{otherwise}, not {written}")))
}

/// Numbers, ranges as text, names of services.
fn ports<'de, D: Deserializer<'de>>(from: D) -> Result<Option<Ports>, D::Error> {
    #[derive(Deserialize)]
    #[serde(untagged, expecting = "a port is a number or a text")]
    enum Written {
        Number(u64),
        Text(String),
    }
    let wrong = serde::de::Error::custom::<String>;
    let ranges: Result<Vec<PortRange>, _> = Vec::<Written>::deserialize(from)?
        .into_iter()
        .map(|written| match written {
            Written::Number(number) => number.to_string().parse(),
            Written::Text(text) => text.parse(),
        })
        .collect();
    let ranges = ranges.map_err(|error: PortError| wrong(error.to_string()))?;
    let count = ranges.len();
    if count == 0 {
        return Ok(None);
    }
    let ports = Ports::new(ranges);
    ports.map(Some).ok_or_else(|| {
        wrong(format!("`ports` has at most {MOST_PORTS} entries, not {count}: write ranges"))
    })
}

fn bantime<'de, D: Deserializer<'de>>(from: D) -> Result<Option<DurationWords>, D::Error> {
    match DurationWords::deserialize(from)? {
        DurationWords::For(span) if span.is_zero() => Err(serde::de::Error::custom(
            "bantime is a time above zero, or `forever`; to ban nobody, set `enabled = false`",
        )),
        words => Ok(Some(words)),
    }
}

fn history<'de, D: Deserializer<'de>>(from: D) -> Result<Option<Duration>, D::Error> {
    match DurationWords::deserialize(from)?.finite() {
        Some(span) if !span.is_zero() => Ok(Some(span)),
        _ => Err(serde::de::Error::custom(
            "history is a time above zero and cannot be `forever`: the file stays bounded",
        )),
    }
}

fn finite<'de, D: Deserializer<'de>>(from: D) -> Result<Option<Duration>, D::Error> {
    match DurationWords::deserialize(from)?.finite() {
        Some(span) if !span.is_zero() => Ok(Some(span)),
        _ => Err(serde::de::Error::custom("this is a time above zero and cannot be `forever`")),
    }
}
