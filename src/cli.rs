//! The commands, one file each. What they share stands here: arguments, where the daemon is, how
//! things are shown.

mod bans;
mod breaker;
mod check;
mod demo;
mod explain;
mod filters;
mod history;
mod lines;
mod migrate;
mod replay;
mod run;
mod show;
mod status;

use std::path::PathBuf;
use std::process::ExitCode;

use clap::{Args, Parser, Subcommand};

use crate::config;
use crate::control::Client;

/// A syslog receiver for gateways that bans attackers for the whole network behind them.
#[derive(Debug, Parser)]
#[command(name = "portcullis", version, about, after_help = EXAMPLES)]
pub struct Arguments {
    #[command(subcommand)]
    command: Option<Command>,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Run the daemon (the default)
    Run(run::Run),
    /// Check the configuration and all filters, without touching anything
    Check(check::Check),
    /// Show how the running daemon is
    Status(status::Status),
    /// Show who is banned
    Bans(bans::Bans),
    /// Ban an address or prefix
    Ban(bans::Ban),
    /// Lift bans
    Unban(bans::Unban),
    /// Show who was banned, when, and for what
    History(history::History),
    /// Show who was banned most: offenders, users, senders, prefixes
    Top(history::Top),
    /// Show the breaker, and release or drop the bans that it holds back
    Breaker(breaker::Breaker),
    /// Show what happens to log lines, one by one
    Explain(explain::Explain),
    /// Run log files through the daemon's own pipeline, on their own clock
    Replay(replay::Replay),
    /// List the filters, or run their samples
    Filters(filters::Filters),
    /// Turn fail2ban's jails into a configuration
    Migrate(migrate::Migrate),
    /// See a gate fall, in namespaces of its own
    Demo(demo::Demo),
}

impl Arguments {
    /// Runs the command.
    pub fn run(self) -> anyhow::Result<ExitCode> {
        match self.command.unwrap_or_else(|| Command::Run(run::Run::default())) {
            Command::Run(command) => command.run(),
            Command::Check(command) => command.run(),
            Command::Status(command) => command.run(),
            Command::Bans(command) => command.run(),
            Command::Ban(command) => command.run(),
            Command::Unban(command) => command.run(),
            Command::History(command) => command.run(),
            Command::Top(command) => command.run(),
            Command::Breaker(command) => command.run(),
            Command::Explain(command) => command.run(),
            Command::Replay(command) => command.run(),
            Command::Filters(command) => command.run(),
            Command::Migrate(command) => command.run(),
            Command::Demo(command) => command.run(),
        }
    }
}

/// Where the running daemon is found, and how its answer is shown.
#[derive(Debug, Args)]
struct Daemon {
    /// The daemon's control socket
    #[arg(long, value_name = "PATH", conflicts_with = "config")]
    control: Option<PathBuf>,
    /// The daemon's configuration, which names its control socket
    #[arg(long, value_name = "FILE")]
    config: Option<PathBuf>,
    /// Print JSON
    #[arg(long)]
    json: bool,
}

impl Daemon {
    fn connect(&self) -> anyhow::Result<Client> {
        let path = match &self.control {
            Some(path) => path.clone(),
            None => config::control(self.config.as_deref())?,
        };
        Ok(Client::connect(&path)?)
    }
}

const EXAMPLES: &str = "\
Examples:
  portcullis                                    run with what /etc/portcullis/portcullis.toml says, or the defaults
  portcullis check --config portcullis.toml     is it right?
  portcullis bans                               who is out?
  portcullis ban 203.0.113.7 --for 1d           keep somebody out
  portcullis unban 203.0.113.7                  let him in again
  portcullis history 203.0.113.7                what did he do?
  portcullis explain /var/log/auth.log          what does it make of these lines?
  portcullis demo                               see it work, without root";
