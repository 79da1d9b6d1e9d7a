//! `portcullis status`: how is it?

use std::io::Write;
use std::process::ExitCode;

use clap::Args;

use super::{Daemon, show};
use crate::control::{Request, Response};
use crate::model::Timestamp;

#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  portcullis status
  portcullis status --json --config portcullis.toml")]
pub(super) struct Status {
    #[command(flatten)]
    daemon: Daemon,
}

impl Status {
    pub(super) fn run(self) -> anyhow::Result<ExitCode> {
        let Response::Status(status) = self.daemon.connect()?.ask(&Request::Status)? else {
            anyhow::bail!("the daemon answered something else; is it of another version?");
        };
        let mut out = std::io::stdout().lock();
        if self.daemon.json {
            writeln!(out, "{}", serde_json::to_string(&status)?)?;
            return Ok(ExitCode::SUCCESS);
        }
        let up = (Timestamp::now().seconds() - status.started).max(0.0);
        writeln!(
            out,
            "portcullis {} (process {}), up {}",
            status.version,
            status.pid,
            show::span(std::time::Duration::from_secs_f64(up))
        )?;
        writeln!(out, "  config     {}", status.config)?;
        writeln!(out, "  firewall   {}", status.enforcement)?;
        writeln!(out, "  state      {}", status.store.said)?;
        writeln!(out, "  metrics    {}", status.metrics)?;
        for listener in &status.listeners {
            let dropped = match listener.dropped {
                Some(dropped) => format!(", {dropped} dropped by the kernel"),
                None => String::new(),
            };
            let (protocol, address) = (&listener.protocol, &listener.address);
            writeln!(out, "  listening  {protocol} {address} (trust {}{dropped})", listener.trust)?;
        }
        writeln!(out, "  filters    {} with {} patterns", status.filters, status.patterns)?;
        writeln!(out, "  never ban  {} entries", status.never_ban)?;
        writeln!(out)?;
        for (name, count) in status.counts.iter().filter(|(_, count)| **count > 0) {
            writeln!(out, "  {:<28} {count:>12}", name.replace('_', " "))?;
        }
        writeln!(out)?;
        let rows = status.jails.iter().filter(|jail| jail.hits > 0 || jail.bans > 0);
        let rows = rows.map(|jail| {
            [jail.name.clone(), jail.filter.clone(), jail.hits.to_string(), jail.bans.to_string()]
        });
        show::table(&mut out, ["JAIL", "FILTER", "HITS", "BANS"], rows)?;
        let quiet = status.jails.iter().filter(|jail| jail.hits == 0 && jail.bans == 0).count();
        writeln!(out, "{quiet} more jails without a hit")?;
        for skipped in &status.skipped {
            let (jail, why) = (&skipped.jail, show::text(skipped.why.as_bytes()));
            writeln!(out, "jail {jail} does not run: {why}")?;
        }
        Ok(ExitCode::SUCCESS)
    }
}
