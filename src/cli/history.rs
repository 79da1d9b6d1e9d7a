//! `portcullis history` and `top`: what the store remembers. They read its file, not the daemon, so they
//! answer whether one runs or not.

use std::io::Write;
use std::path::PathBuf;
use std::process::ExitCode;

use clap::{Args, ValueEnum};
use serde_json::{Value, json};

use super::show;
use crate::config;
use crate::model::{DurationWords, Prefix, Timestamp, Until};
use crate::store::{Event, History as Store, Query, Ranked, Ranking};

#[derive(Debug, Args)]
#[command(after_help = "\
Reads the daemon's file ([server] state); the daemon need not run. Be root, or the user that runs it.
Examples:
  portcullis history
  portcullis history 203.0.113.7
  portcullis history 2001:db8::/32 --since 7d --json
  portcullis history --jail sshd --limit 20")]
pub(super) struct History {
    /// Only what concerns this address or prefix
    #[arg(value_name = "ADDR|PREFIX")]
    target: Option<Prefix>,
    #[command(flatten)]
    which: Which,
    /// The last so many lines
    #[arg(long, value_name = "N", default_value_t = 1000)]
    limit: usize,
}

#[derive(Debug, Args)]
#[command(after_help = "\
Counts bans, renewed ones included. Users and senders are those of the hit that completed an offence; prefixes
are /24 and /48. Reads the daemon's file ([server] state); the daemon need not run.
Examples:
  portcullis top offenders
  portcullis top users --since 7d
  portcullis top prefixes --jail sshd --limit 50 --json")]
pub(super) struct Top {
    /// What is counted by
    #[arg(value_name = "offenders|users|senders|prefixes", hide_possible_values = true)]
    by: By,
    #[command(flatten)]
    which: Which,
    /// The first so many places
    #[arg(long, value_name = "N", default_value_t = 10)]
    limit: usize,
}

/// Which part of the history, and where it is.
#[derive(Debug, Args)]
struct Which {
    /// Only what this jail did
    #[arg(long, value_name = "JAIL")]
    jail: Option<String>,
    /// Not older than this: 30m, 12h, 7d, 1mo
    #[arg(long, value_name = "TIME")]
    since: Option<DurationWords>,
    /// The daemon's file
    #[arg(long, value_name = "PATH", conflicts_with = "config")]
    state: Option<PathBuf>,
    /// The daemon's configuration, which names its file
    #[arg(long, value_name = "FILE")]
    config: Option<PathBuf>,
    /// Print JSON
    #[arg(long)]
    json: bool,
}

#[derive(Clone, Copy, Debug, ValueEnum)]
enum By {
    Offenders,
    Users,
    Senders,
    Prefixes,
}

impl History {
    pub(super) fn run(self) -> anyhow::Result<ExitCode> {
        let store = self.which.open()?;
        let query = self.which.query(self.target);
        let events = store.events(&query, self.limit.max(1))?;
        let mut out = std::io::stdout().lock();
        if self.which.json {
            let lines: Vec<Value> = events.iter().map(object).collect();
            writeln!(out, "{}", serde_json::to_string(&lines)?)?;
            return Ok(ExitCode::SUCCESS);
        }
        if events.is_empty() {
            writeln!(out, "nothing of that is remembered")?;
            return Ok(ExitCode::SUCCESS);
        }
        let head = ["TIME", "WHAT", "OFFENDER", "JAIL", "UNTIL", "SENDER", "USER"];
        show::table(&mut out, head, events.iter().map(cells))?;
        if events.len() == self.limit {
            writeln!(out, "the last {}; --limit shows more", self.limit)?;
        }
        Ok(ExitCode::SUCCESS)
    }
}

impl Top {
    pub(super) fn run(self) -> anyhow::Result<ExitCode> {
        let store = self.which.open()?;
        let (by, head) = match self.by {
            By::Offenders => (Ranking::Offenders, "OFFENDER"),
            By::Users => (Ranking::Users, "USER"),
            By::Senders => (Ranking::Senders, "SENDER"),
            By::Prefixes => (Ranking::Prefixes, "PREFIX"),
        };
        let places = store.top(by, &self.which.query(None), self.limit.max(1))?;
        let mut out = std::io::stdout().lock();
        if self.which.json {
            let places: Vec<Value> = places.iter().map(|it| place(it, head)).collect();
            writeln!(out, "{}", serde_json::to_string(&places)?)?;
        } else if places.is_empty() {
            writeln!(out, "nothing of that is remembered")?;
        } else {
            let rows = places.iter().map(|it| {
                let name = show::text(it.name.as_bytes());
                [name, it.bans.to_string(), it.offenders.to_string(), show::moment(it.last)]
            });
            show::table(&mut out, [head, "BANS", "OFFENDERS", "LAST"], rows)?;
        }
        Ok(ExitCode::SUCCESS)
    }
}

impl Which {
    fn open(&self) -> anyhow::Result<Store> {
        let path = match &self.state {
            Some(path) => Some(path.clone()),
            None => config::state(self.config.as_deref())?,
        };
        let Some(path) = path else {
            anyhow::bail!("nothing is remembered: the configuration has an empty `[server] state`");
        };
        Ok(Store::open(&path)?)
    }

    fn query(&self, target: Option<Prefix>) -> Query {
        let since = self.since.and_then(DurationWords::finite);
        let since = since.map(|span| Timestamp::now().before(span));
        Query { target, jail: self.jail.clone(), since }
    }
}

fn cells(event: &Event) -> [String; 7] {
    let until = match event.until {
        Until::At(end) => show::moment(end),
        Until::Forever => "forever".to_owned(),
    };
    [
        show::moment(event.at),
        event.what.to_string(),
        event.offender.to_string(),
        show::text(event.jail.as_bytes()),
        until,
        event.sender.map_or(String::new(), |sender| sender.to_string()),
        event.user.map_or(String::new(), |user| show::text(user.as_bytes())),
    ]
}

fn object(event: &Event) -> Value {
    let until = match event.until {
        Until::At(end) => Some(end.seconds()),
        Until::Forever => None,
    };
    json!({
        "time": event.at.seconds(),
        "what": event.what.to_string(),
        "offender": event.offender,
        "jail": &*event.jail,
        "origin": event.origin.to_string(),
        "until": until,
        "sender": event.sender,
        "user": event.user.map(|user| user.to_string()),
    })
}

fn place(ranked: &Ranked, head: &str) -> Value {
    json!({
        head.to_lowercase(): ranked.name,
        "bans": ranked.bans,
        "offenders": ranked.offenders,
        "last": ranked.last.seconds(),
    })
}
