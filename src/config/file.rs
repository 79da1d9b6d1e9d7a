//! The keys of `portcullis.toml`, as they are written.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

use serde::{Deserialize, Deserializer};
use toml::Spanned;

use super::plan::Backend;
use crate::input::Protocol;
use crate::model::{DurationWords, Prefix, Trust};

#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(super) struct File {
    pub(super) server: Server,
    pub(super) listen: Vec<Spanned<Listen>>,
    pub(super) sender: Vec<Spanned<SenderSection>>,
    pub(super) defaults: JailSection,
    pub(super) jail: BTreeMap<String, Spanned<JailSection>>,
    pub(super) never_ban: NeverBanSection,
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
    pub(super) enabled: Option<bool>,
    #[serde(deserialize_with = "maxretry")]
    pub(super) maxretry: Option<u32>,
    #[serde(deserialize_with = "finite")]
    pub(super) findtime: Option<Duration>,
    #[serde(deserialize_with = "bantime")]
    pub(super) bantime: Option<DurationWords>,
    #[serde(deserialize_with = "length::<_, 8, 32>")]
    pub(super) ipv4_prefix: Option<u8>,
    #[serde(deserialize_with = "length::<_, 16, 128>")]
    pub(super) ipv6_prefix: Option<u8>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(super) struct NeverBanSection {
    pub(super) addresses: Vec<Prefix>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(super) struct FirewallSection {
    pub(super) backend: Backend,
    pub(super) table: Option<Spanned<String>>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(super) struct MetricsSection {
    pub(super) listen: Option<SocketAddr>,
}

fn workers<'de, D: Deserializer<'de>>(from: D) -> Result<usize, D::Error> {
    bounded(from, 0, 256, "workers is 0 (one per core) to 256")
}

fn maxretry<'de, D: Deserializer<'de>>(from: D) -> Result<Option<u32>, D::Error> {
    bounded(from, 1, 1_000, "maxretry is 1 to 1000").map(Some)
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
        _ => Err(serde::de::Error::custom("findtime is a time above zero and cannot be `forever`")),
    }
}
