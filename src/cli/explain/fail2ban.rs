//! `portcullis explain --filter 'fail2ban:…'`: lines under one of fail2ban's own filters, judged as
//! fail2ban judges them, in order.

use std::io::Write;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use clap::Args;
use serde_json::{Map, Value, json};

use crate::cli::lines::Lines;
use crate::cli::show;
use crate::filter::fail2ban::conf::{self, Definition};
use crate::filter::fail2ban::dates::{DateDetector, Zone};
use crate::filter::fail2ban::{Groups, Hit, Journal, Judged, Kind, Rules, identity, network};
use crate::model::Timestamp;

/// What only fail2ban's filters ask.
#[derive(Debug, Args)]
#[command(next_help_heading = "For fail2ban's filters")]
pub(super) struct Options {
    /// The zone of times that name none: Europe/Berlin, UTC, CET-1CEST,M3.5.0,M10.5.0 [default: this host's]
    #[arg(long, value_name = "ZONE")]
    timezone: Option<String>,
    /// Take this for now: seconds since the epoch. A line without a time happened now
    #[arg(long, value_name = "SECONDS")]
    now: Option<f64>,
    /// Judge each line alone
    #[arg(long)]
    stateless: bool,
    /// Print the lines that nothing matches
    #[arg(long)]
    missed: bool,
    /// Print the lines that an ignoreregex excuses
    #[arg(long)]
    ignored: bool,
}

/// Counts for the summary.
#[derive(Default)]
struct Counts {
    lines: u64,
    missed: u64,
    ignored: u64,
    out_of_steps: u64,
    by_rule: Vec<u64>,
}

/// Explains the lines of `file` under the filter that `spec` (without `fail2ban:`) names.
pub(super) fn explain(
    spec: &str,
    file: Lines,
    options: &Options,
    as_json: bool,
) -> anyhow::Result<()> {
    let definition = load(spec)?;
    let rules = Arc::new(Rules::new(&definition)?);
    let zone = match &options.timezone {
        Some(name) => Zone::named(name)?,
        None => Zone::system(),
    };
    // The journal keeps the time beside the message: what looks like a date there is text.
    let pattern = definition.datepattern.as_ref().map(|it| &*it.text);
    let pattern = if definition.logtype == "journal" { Some("{NONE}") } else { pattern };
    let dates = DateDetector::new(pattern, &zone)?;
    let mut journal = Journal::new(Arc::clone(&rules), dates);
    let mut counts = Counts { by_rule: vec![0; definition.failregex.len()], ..Counts::default() };
    let mut out = std::io::BufWriter::new(std::io::stdout().lock());
    let mut lines = file;
    while let Some(line) = lines.next()? {
        let line = line.strip_suffix(b"\r").unwrap_or(line);
        counts.lines += 1;
        if options.stateless {
            journal.forget();
        }
        let now = options.now.map_or_else(Timestamp::now, |it| Timestamp((it * 1e6) as i64));
        let judged = journal.line(line, now).unwrap_or_else(|_| {
            counts.out_of_steps += 1;
            Judged::Missed
        });
        counts.add(&judged);
        if as_json {
            let hits = match &judged {
                Judged::Hit(hit) => vec![object(&rules.name, hit)],
                Judged::Missed | Judged::Ignored => Vec::new(),
            };
            let ignored = judged == Judged::Ignored;
            writeln!(out, "{}", json!({ "line": counts.lines, "ignored": ignored, "hits": hits }))?;
        } else {
            print(&mut out, counts.lines, line, &judged, options)?;
        }
        if lines.is_watched() {
            out.flush()?;
        }
    }
    if !as_json {
        counts.print(&mut out, &definition)?;
    }
    out.flush()?;
    Ok(())
}

/// `sshd[mode=aggressive]` in the usual place, or a path.
fn load(spec: &str) -> anyhow::Result<Definition> {
    let (name, options) = conf::parse_spec(spec)?;
    let folder = match Path::new(&name).parent() {
        Some(folder) if !folder.as_os_str().is_empty() => folder.to_owned(),
        _ => PathBuf::from(USUAL_FOLDER),
    };
    Ok(conf::filter(&name, &folder, &options)?)
}

impl Counts {
    fn add(&mut self, judged: &Judged) {
        match judged {
            Judged::Missed => self.missed += 1,
            Judged::Ignored => self.ignored += 1,
            Judged::Hit(hit) => self.by_rule[hit.rule] += 1,
        }
    }

    fn print(&self, out: &mut impl Write, definition: &Definition) -> std::io::Result<()> {
        let matched: u64 = self.by_rule.iter().sum();
        writeln!(
            out,
            "{}: {matched} matched, {} ignored, {} missed",
            show::count(self.lines, "line"),
            self.ignored,
            self.missed
        )?;
        if self.out_of_steps > 0 {
            writeln!(out, "{} lines were given up: too many steps", self.out_of_steps)?;
        }
        for (rule, count) in self.by_rule.iter().enumerate().filter(|(_, count)| **count > 0) {
            let located = &definition.failregex[rule];
            writeln!(
                out,
                "{count:>8}  failregex {} at {}: {}",
                rule + 1,
                located.place,
                located.text
            )?;
        }
        Ok(())
    }
}

fn object(filter: &str, hit: &Hit) -> Value {
    let groups = &hit.verdict.groups;
    let fields: Map<String, Value> = groups
        .iter()
        .filter_map(|(name, value)| Some((name.to_string(), lossy(value.as_deref()?))))
        .collect();
    json!({
        "filter": filter,
        "pattern": format!("failregex-{}", hit.rule + 1),
        "kind": kind(hit.verdict.kind),
        "pending": hit.verdict.kind == Kind::Pending,
        "offender": offender(groups),
        "user": groups.get("user").and_then(|user| user.as_deref()).map(lossy),
        "time": hit.time.seconds(),
        "fields": fields,
    })
}

/// The address or network in normal form, or the name or identifier as it stands.
fn offender(groups: &Groups) -> Option<String> {
    if let Some(network) = network(groups) {
        return Some(network.to_string());
    }
    Some(String::from_utf8_lossy(identity(groups)?).into_owned())
}

fn kind(kind: Kind) -> &'static str {
    match kind {
        Kind::Failure => "failure",
        Kind::Info | Kind::Pending => "info",
        Kind::Gained => "gained",
        Kind::Forget => "forget",
    }
}

fn lossy(bytes: &[u8]) -> Value {
    Value::String(String::from_utf8_lossy(bytes).into_owned())
}

fn print(
    out: &mut impl Write,
    number: u64,
    line: &[u8],
    judged: &Judged,
    options: &Options,
) -> std::io::Result<()> {
    match judged {
        Judged::Missed if options.missed => writeln!(out, "{number}: missed  {}", show::text(line)),
        Judged::Ignored if options.ignored => {
            writeln!(out, "{number}: ignored {}", show::text(line))
        }
        Judged::Missed | Judged::Ignored => Ok(()),
        Judged::Hit(hit) => {
            let what = match hit.verdict.kind {
                Kind::Pending => "pending",
                it => kind(it),
            };
            writeln!(out, "{number}: {what} {}", show::text(line))?;
            let offender = offender(&hit.verdict.groups).unwrap_or_else(|| "-".to_owned());
            write!(
                out,
                "    failregex {} offender {} time {:.0}",
                hit.rule + 1,
                show::text(offender.as_bytes()),
                hit.time.seconds()
            )?;
            for (name, value) in hit.verdict.groups.iter() {
                if let Some(value) = value {
                    write!(out, " {name}={:?}", show::text(value))?;
                }
            }
            writeln!(out)
        }
    }
}

const USUAL_FOLDER: &str = "/etc/fail2ban";
