//! `portcullis run`: the daemon.

use std::io::IsTerminal;
use std::path::PathBuf;
use std::process::ExitCode;

use clap::Args;
use tracing_subscriber::EnvFilter;

use crate::{config, daemon};

#[derive(Debug, Default, Args)]
#[command(after_help = "\
Signals: SIGTERM and SIGINT stop it; bans stay in the kernel until their time is over.
Logging: on standard error; PORTCULLIS_LOG=debug says more, PORTCULLIS_LOG=warn less.
Privileges: CAP_NET_ADMIN to enforce, CAP_NET_BIND_SERVICE for port 514; without the first it only observes.
Examples:
  portcullis run
  portcullis run --config portcullis.toml
  portcullis run --user portcullis
  PORTCULLIS_LOG=debug portcullis run --flush")]
pub(super) struct Run {
    /// The configuration [default: /etc/portcullis/portcullis.toml if there is one]
    #[arg(long, value_name = "FILE")]
    config: Option<PathBuf>,
    /// At the end, take the firewall table away; the store keeps the bans for the next start
    #[arg(long)]
    flush: bool,
    /// When started as root: become this user, with CAP_NET_ADMIN and CAP_NET_BIND_SERVICE alone
    #[arg(long, value_name = "NAME")]
    user: Option<String>,
}

impl Run {
    pub(super) fn run(self) -> anyhow::Result<ExitCode> {
        let colour = std::io::stderr().is_terminal() && std::env::var_os("NO_COLOR").is_none();
        let level =
            EnvFilter::try_from_env("PORTCULLIS_LOG").unwrap_or_else(|_| EnvFilter::new("info"));
        tracing_subscriber::fmt()
            .with_writer(std::io::stderr)
            .with_ansi(colour)
            .with_target(false)
            .with_env_filter(level)
            .init();
        let plan = config::load(self.config.as_deref())?;
        if let Some(user) = &self.user {
            // The descriptors that root may open stay allowed.
            daemon::raise_descriptor_limit();
            let store = plan.store.as_ref().map(|store| (&*store.path, 0o700));
            let files: Vec<_> = [(&*plan.control, 0o755)].into_iter().chain(store).collect();
            daemon::become_user(user, &files)?;
        }
        daemon::run(plan, daemon::Options { flush: self.flush })?;
        Ok(ExitCode::SUCCESS)
    }
}
