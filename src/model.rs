//! The shared vocabulary: addresses, times and the small ids that the stages hand to each other.
//!
//! Owns no behaviour of any stage. Every type here is checked when it is made, so that nothing
//! downstream has to check it again.

mod address;
mod place;
mod prefix;
mod prefix_map;
mod scope;
mod text;
mod time;

pub use address::parse_address;
pub use place::{Place, likely, toml_problem};
pub use prefix::{Prefix, PrefixError, normal_address};
pub use prefix_map::PrefixMap;
pub use scope::{MOST_PORTS, PortError, PortRange, Ports, Scope, ScopeError, Target, Transport};
pub use text::ShortText;
pub use time::{DurationWords, DurationWordsError, Timestamp, Until};

use serde::{Deserialize, Serialize};

/// A jail, by its place in the running [`Plan`](crate::config::Plan).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct JailId(pub u16);

/// How far a sender's word is taken: the key `trust` of `[[listen]]` and `[[sender]]`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Trust {
    /// Its lines can ban.
    Ban,
    /// Its hits are counted and shown but ban nobody.
    #[default]
    Count,
    /// Its messages are refused unread, and counted.
    Refuse,
}

impl std::fmt::Display for Trust {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Trust::Ban => "ban",
            Trust::Count => "count",
            Trust::Refuse => "refuse",
        })
    }
}
