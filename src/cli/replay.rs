//! `portcullis replay`: what would have happened?

use std::collections::HashMap;
use std::io::{IsTerminal, Write};
use std::net::{IpAddr, Ipv4Addr};
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime};

use clap::Args;
use indicatif::{ProgressBar, ProgressStyle};
use serde_json::json;

use super::lines::Lines;
use super::show;
use crate::ban::{Breaker, Decided, Judge, MOST_BANS, NeverBan, Reason};
use crate::config::{self, Plan};
use crate::detect::{MOST_OFFENDERS, Sessions};
use crate::model::{JailId, Prefix, Timestamp, Trust, Until};
use crate::pipeline::{Hit, Rules, Speaker, Worker};
use crate::syslog::stamp;

#[derive(Debug, Args)]
#[command(after_help = "\
Every line counts as if a trusted sender had sent it, at the time that stands in it (UTC where it
names no zone; a line without a time takes that of the line before). Nothing is banned.
Examples:
  portcullis replay /var/log/auth.log /var/log/mail.log
  portcullis replay --config portcullis.toml --json /var/log/syslog.1")]
pub(super) struct Replay {
    /// The configuration [default: /etc/portcullis/portcullis.toml if there is one]
    #[arg(long, value_name = "FILE")]
    config: Option<PathBuf>,
    /// Print JSON
    #[arg(long)]
    json: bool,
    /// The files, oldest first; `-` is standard input
    #[arg(value_name = "FILE", required = true)]
    files: Vec<PathBuf>,
}

impl Replay {
    pub(super) fn run(self) -> anyhow::Result<ExitCode> {
        let plan = config::load(self.config.as_deref())?;
        show::skipped(&plan);
        let mut film = Film::new(&plan)?;
        let began = Instant::now();
        for file in &self.files {
            film.play(file)?;
        }
        let mut out = std::io::stdout().lock();
        if self.json {
            writeln!(out, "{}", film.json(began.elapsed()))?;
        } else {
            film.print(&mut out, began.elapsed())?;
        }
        Ok(ExitCode::SUCCESS)
    }
}

/// A ban that would have been made.
struct Imposed {
    at: Timestamp,
    jail: Arc<str>,
    offender: Prefix,
    until: Until,
}

struct Film<'a> {
    plan: &'a Plan,
    rules: Arc<Rules>,
    worker: Worker,
    sessions: Sessions,
    judge: Judge,
    lines: u64,
    hits: Vec<u64>,
    offenders: HashMap<IpAddr, u64>,
    bans: Vec<Imposed>,
    spared: u64,
    unlisted: u64,
}

impl Film<'_> {
    fn new(plan: &Plan) -> anyhow::Result<Film<'_>> {
        let configured =
            plan.never_ban.addresses.iter().map(|prefix| (*prefix, Reason::Configured));
        let senders = plan.sender_prefixes.iter().map(|prefix| (*prefix, Reason::Sender));
        let never = NeverBan::new(configured.chain(senders));
        // Nobody is asked, and nobody waits: what would have been held is told as a ban.
        let judge = plan.judge(never, MOST_OFFENDERS, MOST_BANS).with(Breaker::new(0), false);
        let rules = Arc::new(plan.rules()?);
        Ok(Film {
            plan,
            worker: Worker::new(Arc::clone(&rules)),
            rules,
            sessions: Sessions::default(),
            judge,
            lines: 0,
            hits: vec![0; plan.jails.len()],
            offenders: HashMap::new(),
            bans: Vec::new(),
            spared: 0,
            unlisted: 0,
        })
    }

    fn play(&mut self, path: &Path) -> anyhow::Result<()> {
        let about = std::fs::metadata(path).ok().filter(std::fs::Metadata::is_file);
        let bar = progress(path, about.as_ref().map(std::fs::Metadata::len));
        // The year of a stamp that has none: the file was last written when its last line came.
        let written = about.and_then(|about| about.modified().ok()).unwrap_or(SystemTime::now());
        let since = written.duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
        let reference = Timestamp(since.as_micros() as i64);
        let mut now = reference;
        let mut lines = Lines::open(path)?;
        let mut hits = Vec::new();
        while let Some(line) = lines.next()? {
            self.lines += 1;
            let clock = |message: &crate::syslog::Message<'_>| {
                now = stamp::read(message.stamp, reference, 0).unwrap_or(now);
                now
            };
            self.worker.line_at(line, NOBODY, clock, &mut hits);
            for told in self.worker.take_told() {
                self.sessions.told(told, &self.rules, &mut hits);
            }
            for hit in hits.drain(..) {
                self.hit(&hit);
            }
            if self.lines.is_multiple_of(4_096) {
                bar.set_position(lines.bytes);
            }
        }
        bar.finish_and_clear();
        Ok(())
    }

    fn hit(&mut self, hit: &Hit) {
        let JailId(jail) = hit.jail;
        self.hits[usize::from(jail)] += 1;
        if self.offenders.len() < MOST_OFFENDERS || self.offenders.contains_key(&hit.offender) {
            *self.offenders.entry(hit.offender).or_default() += 1;
        } else {
            self.unlisted += 1;
        }
        self.judge.ledger.expire(hit.at);
        let (bans, spared) = (&mut self.bans, &mut self.spared);
        self.judge.hit(hit, hit.at, &mut |decided| match decided {
            Decided::Imposed { jail, offender, until, is_new, change, .. } => {
                if (is_new || change.is_some()) && bans.len() < MOST_BANS {
                    bans.push(Imposed { at: hit.at, jail, offender, until });
                }
            }
            Decided::Refused { .. } => *spared += 1,
        });
    }

    /// Offenders by number of hits.
    fn top(&self) -> Vec<(IpAddr, u64)> {
        let mut top: Vec<_> = self.offenders.iter().map(|(who, hits)| (*who, *hits)).collect();
        top.sort_by_key(|(who, hits)| (std::cmp::Reverse(*hits), *who));
        top
    }

    fn json(&self, took: Duration) -> serde_json::Value {
        let end = |until| match until {
            Until::At(end) => Some(end.seconds()),
            Until::Forever => None,
        };
        let jails = self.plan.jails.iter().zip(&self.hits).filter(|(_, hits)| **hits > 0);
        json!({
            "lines": self.lines,
            "seconds": took.as_secs_f64(),
            "hits": self.hits.iter().sum::<u64>(),
            "jails": jails
                .map(|(jail, hits)| json!({ "jail": &**jail.name(), "hits": hits }))
                .collect::<Vec<_>>(),
            "offenders": self
                .top()
                .iter()
                .map(|(who, hits)| json!({ "offender": who, "hits": hits }))
                .collect::<Vec<_>>(),
            "bans": self
                .bans
                .iter()
                .map(|ban| json!({
                    "time": ban.at.seconds(), "jail": &*ban.jail,
                    "offender": ban.offender, "until": end(ban.until),
                }))
                .collect::<Vec<_>>(),
            "spared": self.spared,
            "offenders_displaced": self.judge.detector().displaced(),
            "hits_unlisted": self.unlisted,
        })
    }

    fn print(&self, out: &mut impl Write, took: Duration) -> std::io::Result<()> {
        let hits: u64 = self.hits.iter().sum();
        let rate = self.lines as f64 / took.as_secs_f64().max(1e-9);
        let (lines, spared) = (self.lines, self.spared);
        writeln!(
            out,
            "{} in {:.2} s ({rate:.0} a second), {}",
            show::count(lines, "line"),
            took.as_secs_f64(),
            show::count(hits, "hit")
        )?;
        writeln!(
            out,
            "{}; {} would have been made, {spared} spared by the never-ban list",
            show::count(self.offenders.len() as u64, "offender"),
            show::count(self.bans.len() as u64, "ban")
        )?;
        if hits > 0 {
            writeln!(out)?;
            let jails = self.plan.jails.iter().enumerate().filter(|(id, _)| self.hits[*id] > 0);
            let rows = jails.map(|(id, jail)| {
                let bans = self.bans.iter().filter(|ban| ban.jail == *jail.name()).count();
                [jail.name().to_string(), self.hits[id].to_string(), bans.to_string()]
            });
            show::table(out, ["JAIL", "HITS", "BANS"], rows)?;
            writeln!(out)?;
            let rows = self.top().into_iter().take(20).map(|(who, hits)| {
                let times = self.bans.iter().filter(|ban| ban.offender.contains(who)).count();
                [who.to_string(), hits.to_string(), times.to_string()]
            });
            show::table(out, ["OFFENDER (first 20)", "HITS", "BANS"], rows)?;
        }
        Ok(())
    }
}

/// On a terminal only.
fn progress(path: &Path, length: Option<u64>) -> ProgressBar {
    let Some(length) = length.filter(|_| std::io::stderr().is_terminal()) else {
        return ProgressBar::hidden();
    };
    let style = ProgressStyle::with_template("{msg} {wide_bar} {bytes}/{total_bytes} {eta}");
    ProgressBar::new(length)
        .with_style(style.unwrap_or_else(|_| ProgressStyle::default_bar()))
        .with_message(path.display().to_string())
}

/// Who hands over the lines of a file: trusted, and nobody's address.
const NOBODY: Speaker = Speaker { address: IpAddr::V4(Ipv4Addr::UNSPECIFIED), trust: Trust::Ban };
