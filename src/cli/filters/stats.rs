//! `portcullis filters stats`: what the patterns are as one automaton, and what a log costs it.

use std::io::Write;
use std::iter;
use std::net::{IpAddr, Ipv4Addr};
use std::path::Path;
use std::process::ExitCode;
use std::sync::Arc;
use std::time::{Duration, Instant};

use serde_json::json;

use crate::cli::lines::Lines;
use crate::cli::show;
use crate::config;
use crate::matcher::Checks;
use crate::model::{Timestamp, Trust};
use crate::pipeline::{Rules, Speaker, Worker};

pub(super) fn show(file: &Path, config: Option<&Path>, as_json: bool) -> anyhow::Result<ExitCode> {
    let plan = config::load(config)?;
    let started = Instant::now();
    let rules = Arc::new(plan.rules()?);
    let compiled = started.elapsed();
    let mut worker = Worker::new(Arc::clone(&rules));
    let ran = run(&mut worker, file)?;
    let figures = Figures::new(&rules, &worker, compiled, ran);
    let mut out = std::io::stdout().lock();
    if as_json {
        writeln!(out, "{}", figures.json())?;
    } else {
        figures.print(&mut out)?;
    }
    Ok(ExitCode::SUCCESS)
}

/// A log that was read.
struct Ran {
    lines: u64,
    hits: u64,
    took: Duration,
}

impl Ran {
    fn nanoseconds(&self) -> f64 {
        self.took.as_nanos() as f64 / self.lines.max(1) as f64
    }
}

/// Some thousand lines at a time, so that reading the file is not measured.
fn run(worker: &mut Worker, file: &Path) -> anyhow::Result<Ran> {
    let mut lines = Lines::open(file)?;
    let mut ran = Ran { lines: 0, hits: 0, took: Duration::ZERO };
    let (mut bytes, mut ends, mut hits) = (Vec::new(), Vec::new(), Vec::new());
    loop {
        let line = lines.next()?;
        if let Some(line) = line {
            bytes.extend_from_slice(line);
            ends.push(bytes.len());
        }
        if ends.len() < BATCH && line.is_some() {
            continue;
        }
        let starts = iter::once(0).chain(ends.iter().copied());
        let batch = starts.zip(&ends).map(|(start, &end)| (&bytes[start..end], NOBODY));
        let started = Instant::now();
        worker.lines(batch, Timestamp(0), &mut hits, |_| ());
        ran.took += started.elapsed();
        ran.lines += ends.len() as u64;
        ran.hits += (hits.len() + worker.take_told().len()) as u64;
        let is_last = ends.is_empty();
        bytes.clear();
        ends.clear();
        hits.clear();
        if is_last {
            return Ok(ran);
        }
    }
}

/// All that is told, for either way of writing it.
struct Figures {
    compiled: Duration,
    filters: usize,
    patterns: usize,
    gate_states: usize,
    gate_bytes: usize,
    roaming: usize,
    states: usize,
    states_built: u64,
    cache_bytes: usize,
    cache_clears: usize,
    ran: Ran,
    /// By pattern, most failed first.
    checks: Vec<(String, Checks)>,
}

impl Figures {
    fn new(rules: &Rules, worker: &Worker, compiled: Duration, ran: Ran) -> Figures {
        let (filters, patterns) = rules.size();
        let (gate_states, gate_bytes) = rules.matcher().gates_size();
        let scratch = worker.scratch();
        Figures {
            compiled,
            filters,
            patterns,
            gate_states,
            gate_bytes,
            roaming: rules.matcher().roaming(),
            states: scratch.states(),
            states_built: scratch.states_built(),
            cache_bytes: scratch.cache_bytes(),
            cache_clears: scratch.cache_clears(),
            ran,
            checks: worker.checks(),
        }
    }

    fn print(&self, out: &mut impl Write) -> anyhow::Result<()> {
        let Figures { filters, patterns, gate_states, roaming, states, states_built, .. } = self;
        let [gates, cache] =
            [self.gate_bytes, self.cache_bytes].map(|it| format!("{:.1} MB", it as f64 / 1e6));
        let clears = self.cache_clears;
        let compiled = self.compiled.as_millis();
        writeln!(out, "filters    {filters} with {patterns} patterns, compiled in {compiled} ms")?;
        writeln!(out, "gates      {gate_states} states of the patterns, {gates}")?;
        writeln!(out, "roaming    {roaming} patterns that only their words call")?;
        writeln!(
            out,
            "automaton  {states} states, {cache} of one worker; {states_built} built, {clears} times full"
        )?;
        let (lines, hits) =
            (show::count(self.ran.lines, "line"), show::count(self.ran.hits, "hit"));
        writeln!(out, "log        {lines}, {hits}, {:.0} ns a line", self.ran.nanoseconds())?;
        self.print_checks(out)
    }

    fn print_checks(&self, out: &mut impl Write) -> anyhow::Result<()> {
        let sum = |of: fn(&Checks) -> u64| self.checks.iter().map(|(_, it)| of(it)).sum::<u64>();
        let (held, failed) = (sum(|it| it.held), sum(|it| it.failed));
        writeln!(out, "checks     {held} held, {failed} failed")?;
        let Some((name, worst)) = self.checks.first() else { return Ok(()) };
        if worst.failed * 2 > failed && worst.failed > held {
            writeln!(out, "           most fail for {name}: {} of {failed}", worst.failed)?;
        }
        writeln!(out)?;
        let rows = self.checks.iter().take(MOST_ROWS);
        let rows =
            rows.map(|(name, it)| [name.clone(), it.held.to_string(), it.failed.to_string()]);
        show::table(out, ["PATTERN (most failed first)", "HELD", "FAILED"], rows)?;
        Ok(())
    }

    fn json(&self) -> serde_json::Value {
        let check = |(name, it): &(String, Checks)| json!({ "pattern": name, "held": it.held, "failed": it.failed });
        json!({
            "filters": self.filters, "patterns": self.patterns,
            "compile_seconds": self.compiled.as_secs_f64(),
            "gate_states": self.gate_states, "gate_bytes": self.gate_bytes, "roaming": self.roaming,
            "states": self.states, "states_built": self.states_built,
            "cache_bytes": self.cache_bytes, "cache_clears": self.cache_clears,
            "lines": self.ran.lines, "hits": self.ran.hits,
            "nanoseconds_a_line": self.ran.nanoseconds(),
            "checks": self.checks.iter().map(check).collect::<Vec<_>>(),
        })
    }
}

/// Lines that are measured together.
const BATCH: usize = 8_192;
/// Patterns that are listed.
const MOST_ROWS: usize = 20;
/// Who hands over the lines of a file: trusted, and nobody's address.
const NOBODY: Speaker = Speaker { address: IpAddr::V4(Ipv4Addr::UNSPECIFIED), trust: Trust::Ban };
