//! `portcullis breaker`: what becomes of bans that were held back?

use std::io::Write;
use std::process::ExitCode;

use clap::{Args, ValueEnum};

use super::bans::OTHER;
use super::{Daemon, show};
use crate::control::{BreakerOrder, Request, Response};

#[derive(Debug, Args)]
#[command(after_help = "\
More new bans in a minute than `[breaker] bans_per_minute` trip the breaker: bans stay, new ones wait.
Examples:
  portcullis breaker                how is it?
  portcullis bans                   those who wait are marked (held)
  portcullis unban 203.0.113.7      not him
  portcullis breaker release        enforce the others
  portcullis breaker drop           forget them all")]
pub(super) struct Breaker {
    /// What becomes of the bans that wait; either closes the breaker again
    #[arg(value_enum, value_name = "release|drop")]
    order: Option<Words>,
    #[command(flatten)]
    daemon: Daemon,
}

#[derive(Clone, Copy, Debug, ValueEnum)]
enum Words {
    /// Enforce them
    Release,
    /// Forget them
    Drop,
}

impl Breaker {
    pub(super) fn run(self) -> anyhow::Result<ExitCode> {
        let order = self.order.map(|order| match order {
            Words::Release => BreakerOrder::Release,
            Words::Drop => BreakerOrder::Drop,
        });
        let Response::Breaker(row) = self.daemon.connect()?.ask(&Request::Breaker { order })?
        else {
            anyhow::bail!(OTHER);
        };
        let mut out = std::io::stdout().lock();
        if self.daemon.json {
            writeln!(out, "{}", serde_json::to_string(&row)?)?;
            return Ok(ExitCode::SUCCESS);
        }
        match self.order {
            Some(Words::Release) => {
                writeln!(out, "released {}", show::count(row.settled as u64, "ban"))?;
            }
            Some(Words::Drop) => {
                writeln!(out, "dropped {}", show::count(row.settled as u64, "ban"))?;
            }
            None => {}
        }
        match (row.tripped, row.bans_per_minute) {
            (Some(since), most) => writeln!(
                out,
                "the breaker tripped at {} (more than {most} new bans in a minute): {} wait",
                show::time(since),
                show::count(row.held as u64, "ban")
            )?,
            (None, 0) => writeln!(out, "the breaker is off (bans_per_minute = 0)")?,
            (None, most) => {
                writeln!(out, "the breaker is closed: it trips above {most} new bans in a minute")?
            }
        }
        Ok(ExitCode::SUCCESS)
    }
}
