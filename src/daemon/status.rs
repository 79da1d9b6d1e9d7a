//! What `status` shows.

use std::collections::BTreeMap;
use std::sync::Arc;

use super::decide::Banned;
use super::open::Sockets;
use crate::config::Plan;
use crate::control::{JailRow, ListenerRow, SkippedRow, Status, StoreRow};
use crate::metrics::{Metrics, Tally};
use crate::model::{JailId, Timestamp, Trust};
use crate::pipeline::Rules;
use crate::store::Figures;
use crate::syslog::Dialect;

/// The daemon's figures and what does not change while it runs.
pub(super) struct Facade {
    fixed: Status,
    dropped: Vec<Option<Tally>>,
    metrics: Arc<Metrics>,
    store: Arc<Figures>,
}

impl Facade {
    pub(super) fn new(
        plan: &Plan,
        rules: &Rules,
        sockets: &Sockets,
        enforcing: bool,
        enforcement: &str,
        metrics: &Arc<Metrics>,
        store: Arc<Figures>,
    ) -> Facade {
        let mut listeners = Vec::new();
        let mut dropped = Vec::new();
        for datagram in &sockets.datagrams {
            let address = datagram.receivers[0].local_address().to_string();
            dropped.push(Some(metrics.kernel_dropped(&format!("udp {address}"))));
            listeners.push(row("udp", address, datagram.listener.trust));
        }
        for stream in &sockets.streams {
            let address = stream.socket.local_addr().unwrap_or(stream.listener.address);
            dropped.push(None);
            listeners.push(row("tcp", address.to_string(), stream.listener.trust));
        }
        let (filters, patterns) = rules.size();
        let jails = plan.jails.iter().map(|jail| JailRow {
            name: jail.name().to_string(),
            filter: match plan.filter_of(jail) {
                Some(filter) => rules.filter_name(filter).to_owned(),
                None => "bans of other jails".to_owned(),
            },
            hits: 0,
            bans: 0,
        });
        let skipped = plan
            .skipped
            .iter()
            .map(|it| SkippedRow { jail: it.jail.to_string(), why: it.why.clone() });
        let metrics_at = sockets.metrics.local_addr().unwrap_or(plan.metrics);
        let fixed = Status {
            version: env!("CARGO_PKG_VERSION").to_owned(),
            pid: std::process::id(),
            started: Timestamp::now().shown().seconds(),
            config: plan.origin.clone(),
            enforcing,
            enforcement: enforcement.to_owned(),
            store: StoreRow::default(),
            listeners,
            metrics: format!("http://{metrics_at}/metrics"),
            filters,
            patterns,
            counts: BTreeMap::new(),
            jails: jails.collect(),
            skipped: skipped.collect(),
            never_ban: 0,
        };
        Facade { fixed, dropped, metrics: Arc::clone(metrics), store }
    }

    pub(super) fn status(&self, banned: &Banned) -> Status {
        let mut status = self.fixed.clone();
        for (id, jail) in status.jails.iter_mut().enumerate() {
            jail.hits = self.metrics.hits(JailId(id as u16)).get();
            jail.bans = banned.by_jail.get(jail.name.as_str()).copied().unwrap_or(0);
        }
        for (listener, dropped) in status.listeners.iter_mut().zip(&self.dropped) {
            listener.dropped = dropped.as_ref().map(Tally::get);
        }
        status.store = self.store();
        status.never_ban = self.metrics.never_ban.get() as usize;
        status.counts = self.counts(banned.offenders);
        status
    }

    fn store(&self) -> StoreRow {
        let store = &self.store;
        let queued = store.queued();
        StoreRow {
            working: store.is_working(),
            said: store.said(),
            commits: store.commits(),
            failures: store.failures(),
            stale: store.stale(),
            history_lost: store.lost(),
            pending: queued + store.pending(),
            bytes: store.bytes(),
        }
    }

    fn counts(&self, bans: usize) -> BTreeMap<String, u64> {
        let m = &self.metrics;
        let parsed = |dialect: Dialect| m.parsed(dialect).get();
        [
            ("bans", bans as u64),
            ("received_udp", m.received_udp.get()),
            ("received_tcp", m.received_tcp.get()),
            ("connections", m.connections.get()),
            ("parsed_rfc5424", parsed(Dialect::Rfc5424)),
            ("parsed_rfc3164", parsed(Dialect::Rfc3164)),
            ("parsed_bare", parsed(Dialect::Bare)),
            ("truncated", m.truncated.get()),
            ("refused_empty", m.refused_empty.get()),
            ("refused_sender", m.refused_sender.get()),
            ("refused_framing", m.refused_framing.get()),
            ("refused_connections", m.refused_connections.get()),
            ("refused_share", m.refused_share.get()),
            ("hits_lost", m.hits_lost.get()),
            ("spared_untrusted", m.hits_untrusted.get()),
            ("spared_self", m.hits_self.get()),
            ("spared_never_ban", m.refused_never.get()),
            ("spared_ledger_full", m.refused_full.get()),
            ("never_ban_unasked", m.never_unasked.get()),
            ("breaker_tripped", m.breaker_tripped.get()),
            ("bans_held", m.bans_held.get()),
            ("bans_dry_run", m.bans_dry_run.get()),
            ("watched", m.watched.get()),
            ("displaced", m.displaced.get()),
            ("checks_given_up", m.given_up.get()),
            ("logs_displaced", m.logs_displaced.get()),
            ("sessions_displaced", m.sessions_displaced.get()),
            ("enforce_queue", m.enforce_queue.get()),
            ("enforce_errors", m.enforce_errors.get()),
            ("gate_dropped_packets_ipv4", m.gate[0].0.get()),
            ("gate_dropped_packets_ipv6", m.gate[1].0.get()),
        ]
        .map(|(name, count)| (name.to_owned(), count))
        .into()
    }
}

fn row(protocol: &str, address: String, trust: Trust) -> ListenerRow {
    let trust = trust.to_string();
    ListenerRow { protocol: protocol.to_owned(), address, trust, dropped: None }
}
