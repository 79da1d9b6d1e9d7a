//! `portcullis filters stats`: what the patterns are as one automaton, and what a log costs it.

use std::io::Write;
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
    let checks = worker.checks();
    let mut out = std::io::stdout().lock();
    match as_json {
        true => json(&mut out, &rules, &worker, &checks, compiled, &ran)?,
        false => print(&mut out, &rules, &worker, &checks, compiled, &ran)?,
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
        let started = Instant::now();
        let mut start = 0;
        for &end in &ends {
            worker.line(&bytes[start..end], NOBODY, Timestamp(0), &mut hits);
            start = end;
        }
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

fn print(
    out: &mut impl Write,
    rules: &Rules,
    worker: &Worker,
    checks: &[(String, Checks)],
    compiled: Duration,
    ran: &Ran,
) -> anyhow::Result<()> {
    let (filters, patterns) = rules.size();
    let (states, bytes) = rules.matcher().gates_size();
    let scratch = worker.scratch();
    let sum = |of: fn(&Checks) -> u64| checks.iter().map(|(_, checks)| of(checks)).sum::<u64>();
    let (held, failed) = (sum(|it| it.held), sum(|it| it.failed));
    let megabytes = |bytes: usize| format!("{:.1} MB", bytes as f64 / 1e6);
    writeln!(
        out,
        "filters    {filters} with {patterns} patterns, compiled in {} ms",
        compiled.as_millis()
    )?;
    writeln!(out, "gates      {states} states of the patterns, {}", megabytes(bytes))?;
    writeln!(out, "roaming    {} patterns that only their words call", rules.matcher().roaming())?;
    writeln!(
        out,
        "automaton  {} states, {} of one worker; {} built, {} times full",
        scratch.states(),
        megabytes(scratch.cache_bytes()),
        scratch.states_built(),
        scratch.cache_clears()
    )?;
    writeln!(
        out,
        "log        {}, {}, {:.0} ns a line",
        show::count(ran.lines, "line"),
        show::count(ran.hits, "hit"),
        ran.nanoseconds()
    )?;
    writeln!(out, "checks     {held} held, {failed} failed")?;
    if let Some((name, worst)) =
        checks.first().filter(|(_, it)| it.failed * 2 > failed && it.failed > held)
    {
        writeln!(out, "           most fail for {name}: {} of {failed}", worst.failed)?;
    }
    let rows = checks
        .iter()
        .take(MOST_ROWS)
        .map(|(name, checks)| [name.clone(), checks.held.to_string(), checks.failed.to_string()]);
    if !checks.is_empty() {
        writeln!(out)?;
        show::table(out, ["PATTERN (most failed first)", "HELD", "FAILED"], rows)?;
    }
    Ok(())
}

fn json(
    out: &mut impl Write,
    rules: &Rules,
    worker: &Worker,
    checks: &[(String, Checks)],
    compiled: Duration,
    ran: &Ran,
) -> anyhow::Result<()> {
    let (filters, patterns) = rules.size();
    let (states, bytes) = rules.matcher().gates_size();
    let scratch = worker.scratch();
    let rows: Vec<_> = checks
        .iter()
        .map(|(name, checks)| json!({ "pattern": name, "held": checks.held, "failed": checks.failed }))
        .collect();
    let all = json!({
        "filters": filters, "patterns": patterns, "compile_seconds": compiled.as_secs_f64(),
        "gate_states": states, "gate_bytes": bytes, "roaming": rules.matcher().roaming(),
        "states": scratch.states(), "states_built": scratch.states_built(),
        "cache_bytes": scratch.cache_bytes(), "cache_clears": scratch.cache_clears(),
        "lines": ran.lines, "hits": ran.hits, "nanoseconds_a_line": ran.nanoseconds(),
        "checks": rows,
    });
    writeln!(out, "{all}")?;
    Ok(())
}

/// Lines that are measured together.
const BATCH: usize = 8_192;
/// Patterns that are listed.
const MOST_ROWS: usize = 20;
/// Who hands over the lines of a file: trusted, and nobody's address.
const NOBODY: Speaker = Speaker { address: IpAddr::V4(Ipv4Addr::UNSPECIFIED), trust: Trust::Ban };
