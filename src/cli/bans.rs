//! `portcullis bans`, `ban` and `unban`.

use std::io::Write;
use std::process::ExitCode;

use clap::{ArgGroup, Args};
use serde_json::json;

use super::{Daemon, show};
use crate::control::{BanRow, Request, Response, ShareRow};
use crate::model::{DurationWords, Prefix};

#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  portcullis bans
  portcullis bans 203.0.113.7          with the hits that led to it
  portcullis bans 203.0.113.7 --json
  portcullis bans 2001:db8::/32")]
pub(super) struct Bans {
    /// Only bans that concern this address or prefix
    #[arg(value_name = "ADDR|PREFIX")]
    target: Option<Prefix>,
    #[command(flatten)]
    daemon: Daemon,
}

#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  portcullis ban 203.0.113.7
  portcullis ban 2001:db8:bad::/48 --for 1w
  portcullis ban 203.0.113.7 --for forever --jail sshd")]
pub(super) struct Ban {
    /// Whom to ban
    #[arg(value_name = "ADDR|PREFIX")]
    target: Prefix,
    /// For how long: 30s, 10m, 1h, 1d12h, 1w, forever [default: the jail's, or 1h]
    #[arg(long = "for", value_name = "TIME")]
    time: Option<DurationWords>,
    /// In whose name
    #[arg(long, value_name = "JAIL")]
    jail: Option<String>,
    #[command(flatten)]
    daemon: Daemon,
}

#[derive(Debug, Args)]
#[command(group(ArgGroup::new("whose").required(true).args(["target", "all"])), after_help = "\
An address lifts every ban that covers it; a prefix also every ban within it.
Examples:
  portcullis unban 203.0.113.7
  portcullis unban 203.0.113.0/24 --jail sshd
  portcullis unban --all")]
pub(super) struct Unban {
    /// Whose bans to lift
    #[arg(value_name = "ADDR|PREFIX")]
    target: Option<Prefix>,
    /// Everybody's
    #[arg(long)]
    all: bool,
    /// Only what this jail holds
    #[arg(long, value_name = "JAIL")]
    jail: Option<String>,
    #[command(flatten)]
    daemon: Daemon,
}

impl Bans {
    pub(super) fn run(self) -> anyhow::Result<ExitCode> {
        let request = Request::Bans { target: self.target };
        let Response::Bans(bans) = self.daemon.connect()?.ask(&request)? else {
            anyhow::bail!(OTHER);
        };
        let mut out = std::io::stdout().lock();
        if self.daemon.json {
            writeln!(out, "{}", serde_json::to_string(&bans)?)?;
        } else if bans.is_empty() {
            writeln!(out, "nobody is banned")?;
        } else {
            show::table(&mut out, ["OFFENDER", "LEFT", "JAILS"], bans.iter().map(cells))?;
            // Of one address, why.
            let asked = self.target.filter(Prefix::is_host);
            for share in asked.iter().flat_map(|_| bans.iter().flat_map(|ban| &ban.jails)) {
                why(&mut out, share)?;
            }
        }
        Ok(ExitCode::SUCCESS)
    }
}

impl Ban {
    pub(super) fn run(self) -> anyhow::Result<ExitCode> {
        let request = Request::Ban { target: self.target, time: self.time, jail: self.jail };
        let Response::Banned(ban) = self.daemon.connect()?.ask(&request)? else {
            anyhow::bail!(OTHER);
        };
        let mut out = std::io::stdout().lock();
        if self.daemon.json {
            writeln!(out, "{}", serde_json::to_string(&ban)?)?;
        } else {
            let [offender, left, jails] = cells(&ban);
            writeln!(out, "{offender} is banned by {jails}, for {left}")?;
        }
        Ok(ExitCode::SUCCESS)
    }
}

impl Unban {
    pub(super) fn run(self) -> anyhow::Result<ExitCode> {
        let request = Request::Unban { target: self.target, jail: self.jail };
        let Response::Lifted(lifted) = self.daemon.connect()?.ask(&request)? else {
            anyhow::bail!(OTHER);
        };
        let mut out = std::io::stdout().lock();
        if self.daemon.json {
            writeln!(out, "{}", json!({ "lifted": lifted }))?;
        } else {
            writeln!(out, "lifted {}", show::count(lifted.len() as u64, "ban"))?;
            for offender in lifted {
                writeln!(out, "  {offender}")?;
            }
        }
        Ok(ExitCode::SUCCESS)
    }
}

fn cells(ban: &BanRow) -> [String; 3] {
    let left = ban.left.map_or("ever".to_owned(), |left| {
        show::span(std::time::Duration::from_secs_f64(left.max(0.0).ceil()))
    });
    let jails: Vec<_> = ban
        .jails
        .iter()
        .map(|share| {
            let is_usual = share.origin == "hits" || share.origin == share.jail;
            let origin = (!is_usual).then_some(share.origin.as_str());
            let scope = (share.scope != "gateway").then_some(share.scope.as_str());
            let standing = (share.standing != "enforced").then_some(share.standing.as_str());
            match Vec::from_iter(origin.into_iter().chain(scope).chain(standing)).join(", ") {
                remarks if remarks.is_empty() => share.jail.clone(),
                remarks => format!("{} ({remarks})", share.jail),
            }
        })
        .collect();
    [ban.offender.to_string(), left, jails.join(", ")]
}

/// What a jail's share rests on. What stands in a line is its writer's: it must not move the cursor.
fn why(out: &mut impl Write, share: &ShareRow) -> std::io::Result<()> {
    let Some(why) = share.why.as_ref().filter(|why| why.hits > 0) else { return Ok(()) };
    writeln!(out, "\n{}: {}", share.jail, show::count(why.hits, "hit"))?;
    for hit in &why.evidence {
        let user = hit.user.as_deref().map(|user| format!("user {user}, "));
        let (user, line) = (user.unwrap_or_default(), &hit.line);
        let said = format!("{user}{}: {line}", hit.offender);
        let (at, sender) = (show::time(hit.time), hit.sender);
        writeln!(out, "  {at}  from {sender}  {}", show::text(said.as_bytes()))?;
    }
    Ok(())
}

pub(super) const OTHER: &str = "the daemon answered something else; is it of another version?";
