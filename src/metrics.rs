//! Every metric once, as a typed handle; and the HTTP endpoint that shows them.
//!
//! Owns the names. Everybody else holds handles. A [`Tally`] can be read back as well, because
//! `status` shows the same figures without a scrape.

mod http;
mod tally;

pub use http::{Endpoint, Readiness, bind, serve};
pub use tally::{Level, Tally};

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};

use metrics::{Histogram, counter, describe_counter, describe_gauge, describe_histogram, gauge};
use metrics::{Unit, histogram};
use metrics_exporter_prometheus::{
    Matcher, PrometheusBuilder, PrometheusHandle, PrometheusRecorder,
};

use crate::ban::Origin;
use crate::model::JailId;
use crate::store::Figures;
use crate::syslog::Dialect;

/// All handles of one daemon.
#[derive(Debug)]
pub struct Metrics {
    recorder: Recorder,
    /// Messages that came in over UDP, refused ones included.
    pub received_udp: Tally,
    /// The same over TCP.
    pub received_tcp: Tally,
    parsed: [Tally; 3],
    /// Messages cut to the frame limit.
    pub truncated: Tally,
    /// Datagrams without a byte in them.
    pub refused_empty: Tally,
    /// Messages, and over TCP whole connections, of senders that are refused.
    pub refused_sender: Tally,
    /// Connections closed for framing that cannot be read.
    pub refused_framing: Tally,
    /// Connections closed at once because there were too many.
    pub refused_connections: Tally,
    /// Connections beyond what one sender, or all without `trust = "ban"`, may have.
    pub refused_share: Tally,
    /// Open TCP connections.
    pub connections: Level,
    hits: Vec<Tally>,
    /// Hits that were lost because the decider did not keep up with UDP.
    pub hits_lost: Tally,
    /// Batches of hits that wait for the decider.
    pub hits_queue: Level,
    /// Hits of senders whose word does not ban.
    pub hits_untrusted: Tally,
    /// Hits in which a sender named himself.
    pub hits_self: Tally,
    /// Offences of somebody on the never-ban list.
    pub refused_never: Tally,
    /// Offences for which the ledger had no room.
    pub refused_full: Tally,
    /// Bans made without the answer of `never_ban.command`.
    pub never_unasked: Tally,
    /// Names of the never-ban list that did not resolve when they were asked for.
    pub never_unresolved: Tally,
    /// 1 while the breaker holds bans back.
    pub breaker_tripped: Level,
    /// Shares of bans that the breaker holds back.
    pub bans_held: Level,
    /// Shares of bans of jails that only try.
    pub bans_dry_run: Level,
    /// Offenders watched.
    pub watched: Level,
    /// Offenders that made room for others.
    pub displaced: Tally,
    /// Entries of the never-ban list.
    pub never_ban: Level,
    /// Changes that wait for the kernel.
    pub enforce_queue: Level,
    /// Times that the queue to the kernel was full, and a snapshot was sent later.
    pub enforce_stale: Tally,
    /// Transactions that the kernel refused.
    pub enforce_errors: Tally,
    /// Times that the kernel's table was found changed by others, and mended.
    pub enforce_repairs: Tally,
    /// 1 while the kernel does not take what is decided.
    pub enforce_failing: Level,
    /// Arrival of a line to the kernel's acknowledgement, seconds.
    pub enforcement: Histogram,
    /// Packets and bytes dropped at the gate, by family.
    pub gate: [(Tally, Tally); 2],
    /// Bytes that the workers' automata hold.
    pub automaton_bytes: Level,
    /// Lines on which a pattern of fail2ban's was given up.
    pub given_up: Tally,
    /// Logs of senders, as fail2ban's filters keep them, that made room for others.
    pub logs_displaced: Tally,
    /// Sessions of fail2ban's filters that made room for others.
    pub sessions_displaced: Tally,
    /// Times that an automaton's cache was full and forgot what was rare.
    pub automaton_clears: Tally,
    /// States that automata built.
    pub automaton_built: Tally,
    /// Exact checks of patterns whose gate had opened.
    pub exact_checks: Tally,
    /// Exact checks that failed: the gate had opened for nothing.
    pub exact_checks_failed: Tally,
    /// Jails that do not run because their filters do not load.
    pub jails_skipped: Level,
    store: Store,
    bans: Mutex<Bans>,
    kernel_dropped: Mutex<HashMap<String, Tally>>,
}

/// The recorder is kept to make handles of labels that come up later.
struct Recorder(PrometheusRecorder, PrometheusHandle);

impl std::fmt::Debug for Recorder {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Recorder")
    }
}

/// What the store counts, shown.
#[derive(Debug)]
struct Store {
    commits: Tally,
    failures: Tally,
    stale: Tally,
    lost: Tally,
    queue: Level,
    pending: Level,
    bytes: Level,
    working: Level,
}

#[derive(Debug, Default)]
struct Bans {
    held: HashMap<Arc<str>, Level>,
    total: HashMap<(Arc<str>, Origin), Tally>,
}

impl Metrics {
    /// Handles for these jails, in the order of their ids.
    pub fn new(jails: &[Arc<str>]) -> Arc<Metrics> {
        let recorder = PrometheusBuilder::new()
            .set_buckets_for_metric(Matcher::Full(ENFORCEMENT.into()), &ENFORCEMENT_BUCKETS)
            .unwrap_or_else(|_| PrometheusBuilder::new())
            .build_recorder();
        let handle = recorder.handle();
        metrics::with_local_recorder(&recorder, describe);
        let recorder = Recorder(recorder, handle);
        let made = metrics::with_local_recorder(&recorder.0, || Metrics::handles(jails));
        Arc::new(Metrics { recorder, ..made })
    }

    fn handles(jails: &[Arc<str>]) -> Metrics {
        let refused = |reason| Tally::new(counter!(REFUSED, "reason" => reason));
        let received = |protocol| Tally::new(counter!(RECEIVED, "protocol" => protocol));
        let parsed = |dialect: Dialect| Tally::new(counter!(PARSED, "dialect" => dialect.name()));
        let spared = |reason| Tally::new(counter!(SPARED, "reason" => reason));
        let gate = |family| {
            (
                Tally::new(counter!(GATE_PACKETS, "family" => family)),
                Tally::new(counter!(GATE_BYTES, "family" => family)),
            )
        };
        let hits = |jail: &Arc<str>| Tally::new(counter!(HITS, "jail" => jail.to_string()));
        gauge!(BUILD, "version" => env!("CARGO_PKG_VERSION")).set(1.0);
        let empty = PrometheusBuilder::new().build_recorder();
        let handle = empty.handle();
        Metrics {
            recorder: Recorder(empty, handle),
            received_udp: received("udp"),
            received_tcp: received("tcp"),
            parsed: [Dialect::Rfc5424, Dialect::Rfc3164, Dialect::Bare].map(parsed),
            truncated: Tally::new(counter!(TRUNCATED)),
            refused_empty: refused("empty"),
            refused_sender: refused("sender"),
            refused_framing: refused("framing"),
            refused_connections: refused("connections"),
            refused_share: refused("share"),
            connections: Level::new(gauge!(CONNECTIONS)),
            hits: jails.iter().map(hits).collect(),
            hits_lost: Tally::new(counter!(HITS_LOST)),
            hits_queue: Level::new(gauge!(HITS_QUEUE)),
            hits_untrusted: spared("untrusted"),
            hits_self: spared("self"),
            refused_never: spared("never_ban"),
            refused_full: spared("ledger_full"),
            never_unasked: Tally::new(counter!(NEVER_UNASKED)),
            never_unresolved: Tally::new(counter!(NEVER_UNRESOLVED)),
            breaker_tripped: Level::new(gauge!(BREAKER_TRIPPED)),
            bans_held: Level::new(gauge!(BANS_HELD)),
            bans_dry_run: Level::new(gauge!(BANS_DRY_RUN)),
            watched: Level::new(gauge!(WATCHED)),
            displaced: Tally::new(counter!(DISPLACED)),
            never_ban: Level::new(gauge!(NEVER_BAN)),
            enforce_queue: Level::new(gauge!(ENFORCE_QUEUE)),
            enforce_stale: Tally::new(counter!(ENFORCE_STALE)),
            enforce_errors: Tally::new(counter!(ENFORCE_ERRORS)),
            enforce_repairs: Tally::new(counter!(ENFORCE_REPAIRS)),
            enforce_failing: Level::new(gauge!(ENFORCE_FAILING)),
            enforcement: histogram!(ENFORCEMENT),
            gate: ["ipv4", "ipv6"].map(gate),
            automaton_bytes: Level::new(gauge!(AUTOMATON_BYTES)),
            given_up: Tally::new(counter!(GIVEN_UP)),
            logs_displaced: Tally::new(counter!(LOGS_DISPLACED)),
            sessions_displaced: Tally::new(counter!(SESSIONS_DISPLACED)),
            automaton_clears: Tally::new(counter!(AUTOMATON_CLEARS)),
            automaton_built: Tally::new(counter!(AUTOMATON_BUILT)),
            exact_checks: Tally::new(counter!(EXACT_CHECKS)),
            exact_checks_failed: Tally::new(counter!(EXACT_CHECKS_FAILED)),
            jails_skipped: Level::new(gauge!(JAILS_SKIPPED)),
            store: Store {
                commits: Tally::new(counter!(STORE_COMMITS)),
                failures: Tally::new(counter!(STORE_FAILURES)),
                stale: Tally::new(counter!(STORE_STALE)),
                lost: Tally::new(counter!(STORE_LOST)),
                queue: Level::new(gauge!(STORE_QUEUE)),
                pending: Level::new(gauge!(STORE_PENDING)),
                bytes: Level::new(gauge!(STORE_BYTES)),
                working: Level::new(gauge!(STORE_WORKING)),
            },
            bans: Mutex::default(),
            kernel_dropped: Mutex::default(),
        }
    }

    /// The count of messages parsed in a dialect.
    pub fn parsed(&self, dialect: Dialect) -> &Tally {
        &self.parsed[dialect as usize]
    }

    /// The count of a jail's hits.
    pub fn hits(&self, jail: JailId) -> &Tally {
        &self.hits[usize::from(jail.0)]
    }

    /// The count of what the kernel dropped at one listener, because nobody fetched it in time.
    pub fn kernel_dropped(&self, listener: &str) -> Tally {
        let mut known = self.kernel_dropped.lock().unwrap_or_else(PoisonError::into_inner);
        let make = || {
            metrics::with_local_recorder(&self.recorder.0, || {
                Tally::new(counter!(KERNEL_DROPPED, "listener" => listener.to_owned()))
            })
        };
        known.entry(listener.to_owned()).or_insert_with(make).clone()
    }

    /// A ban was imposed.
    pub fn ban_imposed(&self, jail: &Arc<str>, origin: Origin) {
        let mut bans = self.bans.lock().unwrap_or_else(PoisonError::into_inner);
        let make = || {
            metrics::with_local_recorder(&self.recorder.0, || {
                let (jail, origin) = (jail.to_string(), origin.to_string());
                Tally::new(counter!(BANS_TOTAL, "jail" => jail, "origin" => origin))
            })
        };
        bans.total.entry((Arc::clone(jail), origin)).or_insert_with(make).add(1);
    }

    /// How many offenders each jail holds now.
    pub fn set_bans(&self, by_jail: &HashMap<Arc<str>, usize>) {
        let mut bans = self.bans.lock().unwrap_or_else(PoisonError::into_inner);
        for (jail, held) in bans.held.iter() {
            held.set(by_jail.get(jail).copied().unwrap_or(0));
        }
        for (jail, count) in by_jail {
            let make = || {
                metrics::with_local_recorder(&self.recorder.0, || {
                    Level::new(gauge!(BANS, "jail" => jail.to_string()))
                })
            };
            bans.held.entry(Arc::clone(jail)).or_insert_with(make).set(*count);
        }
    }

    /// Takes over the store's figures. One thread at a time.
    pub fn show_store(&self, figures: &Figures) {
        self.store.commits.raise_to(figures.commits());
        self.store.failures.raise_to(figures.failures());
        self.store.stale.raise_to(figures.stale());
        self.store.lost.raise_to(figures.lost());
        self.store.queue.set(figures.queued() as usize);
        self.store.pending.set(figures.pending() as usize);
        self.store.bytes.set(figures.bytes() as usize);
        self.store.working.set(usize::from(figures.is_working()));
    }

    /// The exposition in Prometheus' text format.
    pub fn render(&self) -> String {
        self.recorder.1.run_upkeep();
        self.recorder.1.render()
    }
}

const RECEIVED: &str = "portcullis_messages_received_total";
const KERNEL_DROPPED: &str = "portcullis_kernel_dropped_datagrams_total";
const REFUSED: &str = "portcullis_messages_refused_total";
const PARSED: &str = "portcullis_messages_parsed_total";
const TRUNCATED: &str = "portcullis_messages_truncated_total";
const CONNECTIONS: &str = "portcullis_connections";
const HITS: &str = "portcullis_hits_total";
const HITS_LOST: &str = "portcullis_hits_lost_total";
const HITS_QUEUE: &str = "portcullis_hits_queue_batches";
const SPARED: &str = "portcullis_offenders_spared_total";
const WATCHED: &str = "portcullis_offenders_watched";
const DISPLACED: &str = "portcullis_offenders_displaced_total";
const BANS: &str = "portcullis_bans";
const BANS_TOTAL: &str = "portcullis_bans_total";
const NEVER_UNASKED: &str = "portcullis_never_ban_unasked_total";
const NEVER_UNRESOLVED: &str = "portcullis_never_ban_unresolved_total";
const BREAKER_TRIPPED: &str = "portcullis_breaker_tripped";
const BANS_HELD: &str = "portcullis_bans_held";
const BANS_DRY_RUN: &str = "portcullis_bans_dry_run";
const NEVER_BAN: &str = "portcullis_never_ban_entries";
const ENFORCE_QUEUE: &str = "portcullis_enforce_queue_changes";
const ENFORCE_STALE: &str = "portcullis_enforce_stale_total";
const ENFORCE_ERRORS: &str = "portcullis_enforce_errors_total";
const ENFORCE_REPAIRS: &str = "portcullis_enforce_repairs_total";
const ENFORCE_FAILING: &str = "portcullis_enforce_failing";
const ENFORCEMENT: &str = "portcullis_enforcement_seconds";
const GATE_PACKETS: &str = "portcullis_gate_dropped_packets_total";
const GATE_BYTES: &str = "portcullis_gate_dropped_bytes_total";
const AUTOMATON_BYTES: &str = "portcullis_automaton_bytes";
const AUTOMATON_CLEARS: &str = "portcullis_automaton_clears_total";
const AUTOMATON_BUILT: &str = "portcullis_automaton_states_built_total";
const EXACT_CHECKS: &str = "portcullis_exact_checks_total";
const EXACT_CHECKS_FAILED: &str = "portcullis_exact_checks_failed_total";
const GIVEN_UP: &str = "portcullis_exact_checks_given_up_total";
const LOGS_DISPLACED: &str = "portcullis_logs_displaced_total";
const SESSIONS_DISPLACED: &str = "portcullis_sessions_displaced_total";
const JAILS_SKIPPED: &str = "portcullis_jails_skipped";
const STORE_COMMITS: &str = "portcullis_store_commits_total";
const STORE_FAILURES: &str = "portcullis_store_failures_total";
const STORE_STALE: &str = "portcullis_store_stale_total";
const STORE_LOST: &str = "portcullis_store_history_lost_total";
const STORE_QUEUE: &str = "portcullis_store_queue_bundles";
const STORE_PENDING: &str = "portcullis_store_pending_notes";
const STORE_BYTES: &str = "portcullis_store_file_bytes";
const STORE_WORKING: &str = "portcullis_store_working";
const BUILD: &str = "portcullis_build_info";

/// From 50 µs, a lone element on an idle kernel, to 5 s, a kernel in trouble.
const ENFORCEMENT_BUCKETS: [f64; 14] = [
    0.000_05, 0.000_1, 0.000_2, 0.000_5, 0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.5, 1.0, 5.0,
];

fn describe() {
    let counters = [
        (RECEIVED, "Messages received, by protocol."),
        (KERNEL_DROPPED, "Datagrams that the kernel dropped before they were fetched."),
        (REFUSED, "Messages and connections refused, by reason."),
        (PARSED, "Messages parsed, by dialect of syslog."),
        (TRUNCATED, "Messages cut to the frame limit; the tail was discarded."),
        (HITS, "Messages that matched a pattern, by jail."),
        (HITS_LOST, "Hits from UDP lost because the decider did not keep up."),
        (SPARED, "Hits and offences that did not lead to a ban, by reason."),
        (DISPLACED, "Watched offenders that made room for others in a full table."),
        (NEVER_UNASKED, "Bans made without the answer of never_ban.command."),
        (NEVER_UNRESOLVED, "Times that a name of never_ban.names did not resolve."),
        (BANS_TOTAL, "Bans imposed, by jail and origin."),
        (ENFORCE_STALE, "Times that the queue to the kernel was full; a snapshot follows."),
        (ENFORCE_ERRORS, "Transactions that the kernel refused."),
        (ENFORCE_REPAIRS, "Times that others changed the kernel's table, and it was mended."),
        (GATE_PACKETS, "Packets dropped at the gate, by family."),
        (GATE_BYTES, "Bytes dropped at the gate, by family."),
        (GIVEN_UP, "Lines on which a pattern of fail2ban's needed too many steps."),
        (LOGS_DISPLACED, "Senders whose last lines, kept for a filter, made room for others."),
        (SESSIONS_DISPLACED, "Sessions of fail2ban's filters that made room for others."),
        (AUTOMATON_CLEARS, "Times that a full automaton cache forgot what was rare."),
        (AUTOMATON_BUILT, "States that the automata of all workers built."),
        (EXACT_CHECKS, "Exact checks of patterns whose gate had opened."),
        (EXACT_CHECKS_FAILED, "Exact checks that failed: the gate had opened for nothing."),
        (STORE_COMMITS, "Transactions that the store wrote."),
        (STORE_FAILURES, "Transactions of the store, and openings of its file, that failed."),
        (STORE_STALE, "Times that the queue to the store was full; a snapshot follows."),
        (STORE_LOST, "Lines of history that found no room; bans are not lost."),
    ];
    for (name, text) in counters {
        describe_counter!(name, text);
    }
    let gauges = [
        (CONNECTIONS, "Open TCP connections."),
        (HITS_QUEUE, "Batches of hits that wait for the decider."),
        (WATCHED, "Offenders watched, over all jails."),
        (BANS, "Offenders banned now, by jail."),
        (BREAKER_TRIPPED, "1 while the breaker holds new bans back, for the operator."),
        (BANS_HELD, "Bans that wait for the operator, by jail and offender."),
        (BANS_DRY_RUN, "Bans of jails with dry_run, which are not enforced."),
        (NEVER_BAN, "Entries of the never-ban list."),
        (ENFORCE_QUEUE, "Changes that wait for the kernel."),
        (ENFORCE_FAILING, "1 while the kernel does not take what is decided."),
        (AUTOMATON_BYTES, "Bytes that the automata of all workers hold."),
        (JAILS_SKIPPED, "Jails that do not run because their filters do not load."),
        (STORE_QUEUE, "Bundles of notes that wait for the store."),
        (STORE_PENDING, "Notes that wait for the store's next transaction."),
        (STORE_BYTES, "Bytes of the store's file and its log."),
        (STORE_WORKING, "1 while what is decided is also remembered."),
        (BUILD, "1, with the version as label."),
    ];
    for (name, text) in gauges {
        describe_gauge!(name, text);
    }
    let text = "Arrival of the line that completed an offence to the kernel's acknowledgement.";
    describe_histogram!(ENFORCEMENT, Unit::Seconds, text);
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use super::*;

    #[test]
    fn what_is_counted_is_rendered_and_read_back() {
        let jail: Arc<str> = "sshd".into();
        let metrics = Metrics::new(&[Arc::clone(&jail)]);
        metrics.received_udp.add(3);
        metrics.hits(JailId(0)).add(2);
        metrics.ban_imposed(&jail, Origin::Hits);
        metrics.set_bans(&[(Arc::clone(&jail), 1)].into());
        metrics.enforcement.record(0.000_3);
        metrics.kernel_dropped("udp 127.0.0.1:514").raise_to(7);
        let text = metrics.render();
        for line in [
            "portcullis_messages_received_total{protocol=\"udp\"} 3",
            "portcullis_messages_received_total{protocol=\"tcp\"} 0",
            "portcullis_hits_total{jail=\"sshd\"} 2",
            "portcullis_bans_total{jail=\"sshd\",origin=\"hits\"} 1",
            "portcullis_bans{jail=\"sshd\"} 1",
            "portcullis_enforcement_seconds_bucket{le=\"0.0005\"} 1",
            "portcullis_kernel_dropped_datagrams_total{listener=\"udp 127.0.0.1:514\"} 7",
        ] {
            assert!(text.contains(line), "{line} not in\n{text}");
        }
        assert_eq!(metrics.received_udp.get(), 3);
        metrics.set_bans(&Default::default());
        assert!(metrics.render().contains("portcullis_bans{jail=\"sshd\"} 0"));
    }

    /// Every figure that the dashboard asks for is one that a daemon shows.
    #[test]
    fn grafana_uses_only_metrics_that_exist() {
        let jail: Arc<str> = "sshd".into();
        let metrics = Metrics::new(&[Arc::clone(&jail)]);
        metrics.ban_imposed(&jail, Origin::Hits);
        metrics.set_bans(&[(jail, 1)].into());
        metrics.enforcement.record(0.001);
        metrics.kernel_dropped("udp 127.0.0.1:514").add(1);
        let shown = metrics.render();
        let shown: HashSet<&str> = shown
            .lines()
            .filter(|line| !line.starts_with('#'))
            .filter_map(|line| line.split(['{', ' ']).next())
            .collect();

        let dashboard = include_str!("../grafana/portcullis.json");
        let dashboard: serde_json::Value = serde_json::from_str(dashboard).unwrap();
        let asked = dashboard.to_string();
        let asked: Vec<&str> = asked
            .split(|c: char| !c.is_ascii_alphanumeric() && c != '_')
            .filter(|word| word.starts_with("portcullis_"))
            .collect();
        assert!(asked.len() > 20, "{asked:?}");
        for name in asked {
            assert!(shown.contains(name), "no {name} in {shown:?}");
        }
    }
}
