//! From received bytes to hits, in place: what UDP threads and stream tasks have in common.

use std::net::IpAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};

use super::decide::Batch;
use crate::input::Senders;
use crate::matcher::Checks;
use crate::metrics::Metrics;
use crate::model::{Timestamp, Trust};
use crate::pipeline::{Hit, Rules, Speaker, Worker};
use crate::syslog::Dialect;

/// One worker with what it has counted since the figures were last shown.
pub(super) struct Intake {
    worker: Worker,
    senders: Arc<Senders>,
    metrics: Arc<Metrics>,
    /// Who spoke last: looked up once for a run of his lines.
    last: Option<(IpAddr, Trust, Trust)>,
    /// Found and not yet sent.
    hits: Vec<Hit>,
    given_up: u64,
    complaint: Seldom,
    counted: Counted,
    cache: (usize, usize),
    matching: Matching,
}

/// The matcher's counts when they were last shown.
#[derive(Clone, Copy, Debug, Default)]
struct Matching {
    built: u64,
    checked: Checks,
}

#[derive(Clone, Copy, Debug, Default)]
struct Counted {
    parsed: [u64; 3],
    truncated: u64,
    refused: u64,
}

/// A message as it came.
#[derive(Clone, Copy, Debug)]
pub(super) struct Received<'a> {
    pub(super) bytes: &'a [u8],
    pub(super) address: IpAddr,
    /// Its end is missing.
    pub(super) truncated: bool,
}

impl Intake {
    pub(super) fn new(
        rules: &Arc<Rules>,
        senders: &Arc<Senders>,
        metrics: &Arc<Metrics>,
    ) -> Intake {
        Intake {
            worker: Worker::new(Arc::clone(rules)),
            senders: Arc::clone(senders),
            metrics: Arc::clone(metrics),
            last: None,
            hits: Vec::new(),
            given_up: 0,
            complaint: Seldom::default(),
            counted: Counted::default(),
            cache: (0, 0),
            matching: Matching::default(),
        }
    }

    /// Takes messages that came together at a listener.
    ///
    /// One that was cut may name the beginning of an address: its hits are counted, no more.
    pub(super) fn messages<'a>(
        &mut self,
        received: impl Iterator<Item = Received<'a>>,
        listener: Trust,
        now: Timestamp,
    ) {
        let Intake { worker, senders, last, hits, counted, .. } = self;
        let Counted { parsed, truncated, refused } = counted;
        let lines = received.filter_map(|received| {
            let address = received.address;
            let trust = match trust(senders, last, address, listener) {
                Trust::Refuse => {
                    *refused += 1;
                    return None;
                }
                Trust::Ban if received.truncated => Trust::Count,
                trust => trust,
            };
            *truncated += u64::from(received.truncated);
            Some((received.bytes, Speaker { address, trust }))
        });
        worker.lines(lines, now, hits, |message| parsed[message.dialect as usize] += 1);
    }

    /// What was found since the last call, if anything was.
    pub(super) fn take(&mut self, arrived: Instant) -> Option<Batch> {
        let told = self.worker.take_told();
        let hits = std::mem::take(&mut self.hits);
        let found = !hits.is_empty() || !told.is_empty();
        found.then_some(Batch { hits, told, arrived })
    }

    /// Adds what was counted to the metrics: once a batch, not once a line.
    pub(super) fn show(&mut self) {
        let Counted { parsed, truncated, refused } = std::mem::take(&mut self.counted);
        for dialect in [Dialect::Rfc5424, Dialect::Rfc3164, Dialect::Bare] {
            self.metrics.parsed(dialect).add(parsed[dialect as usize]);
        }
        self.metrics.truncated.add(truncated);
        self.metrics.refused_sender.add(refused);
        let given_up = self.worker.given_up();
        if given_up > self.given_up {
            self.metrics.given_up.add(given_up - self.given_up);
            self.complaint.complain(|_| {
                tracing::warn!(
                    "{given_up} lines needed more steps than a pattern of fail2ban's gets"
                );
            });
        }
        self.given_up = given_up;
        let scratch = self.worker.scratch();
        let (built, checked) = (scratch.states_built(), scratch.checked());
        let Matching { built: built_before, checked: before } =
            std::mem::replace(&mut self.matching, Matching { built, checked });
        let failed = checked.failed - before.failed;
        self.metrics.automaton_built.add(built - built_before);
        self.metrics.exact_checks.add(checked.held - before.held + failed);
        self.metrics.exact_checks_failed.add(failed);
        let clears = self.worker.scratch().cache_clears();
        let bytes = self.worker.scratch().cache_bytes();
        if (bytes, clears) != self.cache {
            self.metrics.automaton_clears.add((clears - self.cache.1) as u64);
            self.metrics.automaton_bytes.change(bytes as i64 - self.cache.0 as i64);
            self.cache = (bytes, clears);
        }
    }
}

/// How far an address is trusted at a listener, as it was looked up last or is now.
fn trust(
    senders: &Senders,
    last: &mut Option<(IpAddr, Trust, Trust)>,
    address: IpAddr,
    listener: Trust,
) -> Trust {
    match *last {
        Some((known, at, trust)) if known == address && at == listener => trust,
        _ => {
            let trust = senders.trust(address, listener);
            *last = Some((address, listener, trust));
            trust
        }
    }
}

/// Says the first of a kind aloud, and then at most once a minute with how many there were.
#[derive(Debug, Default)]
pub(super) struct Seldom {
    last: Option<Instant>,
    unsaid: u64,
}

impl Seldom {
    /// Counts one; `say` is called with the number since it was last called, if it is time.
    pub(super) fn complain(&mut self, say: impl FnOnce(u64)) {
        self.unsaid += 1;
        if self.last.is_none_or(|last| last.elapsed() >= A_MINUTE) {
            self.last = Some(Instant::now());
            say(std::mem::take(&mut self.unsaid));
        }
    }
}

const A_MINUTE: Duration = Duration::from_secs(60);
