//! `never_ban.names`: their addresses, looked up when the last answer holds no longer.
//!
//! The addresses come from the system's resolver, which knows `/etc/hosts`, search domains and
//! whatever nsswitch.conf names, and does not tell how long an answer holds. That is asked of the name
//! server beside it ([`ttl`]), and *before*: asked after, a record that had just changed would
//! be trusted with the addresses from before the change. The alternative that lost is hickory-resolver: see
//! docs/decisions.md.

use std::collections::BTreeSet;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};

use futures_util::future::join_all;

use super::{PATIENCE, ttl};
use crate::host;
use crate::metrics::Metrics;
use crate::model::Prefix;

/// All names of the list.
pub(super) struct Names {
    names: Vec<Name>,
    metrics: Arc<Metrics>,
}

struct Name {
    name: String,
    /// Of the last answer.
    addresses: BTreeSet<Prefix>,
    /// When it is to be asked for again.
    due: Instant,
}

impl Names {
    pub(super) fn new(names: &[String], metrics: Arc<Metrics>) -> Names {
        let due = Instant::now();
        let name = |name: &String| Name { name: name.clone(), addresses: BTreeSet::new(), due };
        Names { names: names.iter().map(name).collect(), metrics }
    }

    /// Asks for those whose answers hold no longer.
    pub(super) async fn look(&mut self) {
        let now = Instant::now();
        let due: Vec<&mut Name> = self.names.iter_mut().filter(|it| it.due <= now).collect();
        if due.is_empty() {
            return;
        }
        let servers = host::name_servers();
        // All at once: a resolver that is away must not hold up the start for each of them.
        let asked = due.into_iter().map(|name| name.look(&servers));
        let failed = join_all(asked).await.into_iter().filter(|resolved| !resolved).count();
        self.metrics.never_unresolved.add(failed as u64);
    }

    pub(super) fn addresses(&self) -> BTreeSet<Prefix> {
        self.names.iter().flat_map(|name| &name.addresses).copied().collect()
    }
}

impl Name {
    /// Returns whether it resolved.
    async fn look(&mut self, servers: &[SocketAddr]) -> bool {
        let holds = ttl::of(&self.name, servers).await;
        let found =
            tokio::time::timeout(PATIENCE, tokio::net::lookup_host((self.name.clone(), 0))).await;
        let trouble = match found {
            Ok(Ok(found)) => {
                let found = found.map(|it| Prefix::host(it.ip()));
                self.addresses = found.take(MOST_OF_A_NAME).collect();
                self.due = Instant::now() + wait(holds);
                return true;
            }
            Ok(Err(error)) => format!("does not resolve ({error})"),
            Err(_) => "is not resolved in time".to_owned(),
        };
        self.due = Instant::now() + AFTER_FAILURE;
        let (name, kept) = (&self.name, self.addresses.len());
        tracing::warn!("never_ban: {name} {trouble}; {kept} addresses of it stay");
        false
    }
}

/// How long to wait when an answer holds so long; `None` when nobody told.
fn wait(holds: Option<Duration>) -> Duration {
    holds.map_or(UNTOLD, |holds| holds.clamp(SHORTEST, LONGEST))
}

const SHORTEST: Duration = Duration::from_secs(5);
const LONGEST: Duration = Duration::from_secs(3_600);
/// Names in `/etc/hosts`, of a search domain, or of something that is not DNS.
const UNTOLD: Duration = Duration::from_secs(60);
const AFTER_FAILURE: Duration = Duration::from_secs(30);
const MOST_OF_A_NAME: usize = 16;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_name_server_says_is_bounded() {
        let waits = |seconds| wait(Some(Duration::from_secs(seconds))).as_secs();
        assert_eq!([0, 5, 300, 3_600, 1 << 31].map(waits), [5, 5, 300, 3_600, 3_600]);
        assert_eq!(wait(None), UNTOLD);
    }
}
