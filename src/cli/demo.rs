//! `portcullis demo`: an attack and the gate that falls, in namespaces of the command's own.
//!
//! Owns the stage: the lab's hosts, the login service and the daemon, which is this very program as
//! a child process. Everything that is printed has happened; what should have and did not is named
//! and makes the exit code 1. Touches nothing outside its namespaces and its temporary directory.

mod ask;
mod daemon;
mod play;
mod timeline;

use std::net::SocketAddr;
use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Duration;

use anyhow::{Context, Result};
use serde_json::json;

use crate::lab::login::Service;
use crate::lab::{ATTACKER, CLIENT, Entered, GATEWAY, Host, Lab, SERVER, enter};
use daemon::Daemon;
use play::{Fall, Play};
use timeline::Timeline;

/// Watch an attacker being locked out, in a network of our own. Needs no root.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  portcullis demo
  portcullis demo --json")]
pub(super) struct Demo {
    /// Print events as JSON, one a line.
    #[arg(long)]
    json: bool,
    /// The program whose `run` is shown, instead of this one.
    #[arg(long, value_name = "PATH", hide = true)]
    program: Option<PathBuf>,
}

impl Demo {
    /// Plays the demo. Call it while the process has one thread: before any runtime starts.
    pub(super) fn run(self) -> Result<ExitCode> {
        let program = match self.program {
            Some(path) => path.canonicalize().with_context(|| path.display().to_string())?,
            None => std::env::current_exe().context("cannot find this program")?,
        };
        let entered = enter().context("the demo needs namespaces of its own")?;
        let mut timeline = Timeline::new(self.json);
        let stage = Stage::build(&program, entered, &mut timeline)?;
        let played = stage.play(&mut timeline);
        let good = timeline.close();
        if !good || played.is_err() {
            stage.daemon.print_last_words();
        }
        played?;
        Ok(if good { ExitCode::SUCCESS } else { ExitCode::FAILURE })
    }
}

/// Everything that runs. In this order it is taken down again: the daemon first.
struct Stage {
    daemon: Daemon,
    service: Service,
    attacker: Host,
    client: Host,
    server: Host,
}

impl Stage {
    fn build(
        program: &std::path::Path,
        entered: Entered,
        timeline: &mut Timeline,
    ) -> Result<Stage> {
        let mut lab = Lab::new().context("cannot build the network")?;
        let attacker = lab.host("attacker", ATTACKER)?;
        let client = lab.host("client", CLIENT)?;
        let server = lab.host("server", SERVER)?;
        let how = match entered {
            Entered::AsRoot => "network namespaces",
            Entered::AsUser => "user and network namespaces",
        };
        timeline.tell(
            "lab",
            "network",
            format!("attacker and client, a gateway, a server behind it: in {how} of our own"),
            json!({
                "attacker": ATTACKER.both(), "client": CLIENT.both(),
                "gateway": GATEWAY.both(), "server": SERVER.both(),
            }),
        );
        let collectors = GATEWAY.both().map(|address| SocketAddr::new(address, SYSLOG_PORT));
        let service = Service::start(&server, LOGIN_PORT, collectors)?;
        timeline.tell(
            "server",
            "service",
            format!("a login service (a stand-in for sshd) on port {LOGIN_PORT}; syslog goes to the gateway over UDP"),
            json!({ "port": LOGIN_PORT, "collectors": collectors }),
        );
        let daemon = Daemon::start(program, READY).context("the daemon did not start")?;
        timeline.tell(
            "gateway",
            "ready",
            "portcullis run: ready".into(),
            json!({ "pid": daemon.pid() }),
        );
        Ok(Stage { daemon, service, attacker, client, server })
    }

    fn play(&self, timeline: &mut Timeline) -> Result<()> {
        let mut falls = Vec::new();
        for (attacker, client) in ATTACKER.both().into_iter().zip(CLIENT.both()) {
            let mut play = Play { stage: self, timeline: &mut *timeline, attacker, client };
            falls.extend(play.act()?);
        }
        if let [v4, v6] = falls.as_slice() {
            summarise(v4, v6, timeline);
        }
        Ok(())
    }
}

fn summarise(v4: &Fall, v6: &Fall, timeline: &mut Timeline) {
    timeline.heading("");
    timeline.tell(
        "summary",
        "summary",
        format!(
            "from the last bad line to the first dropped packet: {:.3} ms (IPv4), {:.3} ms (IPv6); \
             {} packets dropped",
            millis(v4.after),
            millis(v6.after),
            v4.dropped + v6.dropped,
        ),
        json!({
            "ipv4": { "fell_after_ms": millis(v4.after), "dropped_packets": v4.dropped },
            "ipv6": { "fell_after_ms": millis(v6.after), "dropped_packets": v6.dropped },
        }),
    );
}

/// To the microsecond.
fn millis(span: Duration) -> f64 {
    span.as_micros() as f64 / 1000.0
}

/// Where the server's syslog goes (RFC 5426 section 3.3).
const SYSLOG_PORT: u16 = 514;

const LOGIN_PORT: u16 = 22;

/// For the daemon to get ready.
const READY: Duration = Duration::from_secs(10);
