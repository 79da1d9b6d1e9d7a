//! The play, once for each family: a client at work, an attacker who guesses, the gate, the silence.

use std::net::IpAddr;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use serde_json::json;

use super::ask::Ban;
use super::timeline::Timeline;
use super::{Stage, millis};
use crate::lab::login::{GOOD_PASSWORD, GOOD_USER};
use crate::lab::{Beat, Connection, Outcome, Silence};

/// One family's turn on the stage.
pub(super) struct Play<'a> {
    pub(super) stage: &'a Stage,
    pub(super) timeline: &'a mut Timeline,
    /// The attacker's address in this family.
    pub(super) attacker: IpAddr,
    /// The client's.
    pub(super) client: IpAddr,
}

/// How the gate fell.
#[derive(Clone, Copy, Debug)]
pub(super) struct Fall {
    /// From sending the last bad line to the first packet that was lost.
    pub(super) after: Duration,
    /// The packets that the gate says it dropped.
    pub(super) dropped: u64,
}

impl Play<'_> {
    /// Plays. `None` when the gate did not fall, which the timeline knows then.
    pub(super) fn act(&mut self) -> Result<Option<Fall>> {
        let stage = self.stage;
        self.timeline.heading(if self.attacker.is_ipv4() { "\nIPv4" } else { "\nIPv6" });
        let dropped_before = stage.daemon.dropped(self.attacker)?;
        let mut session = self.client_logs_in()?;
        let mut waiting = stage.attacker.connect(stage.service.address_for(self.attacker), SOON)?;
        self.tell("attacker", "open", "opens a connection and leaves it at the prompt".into());

        let Some((silence, after)) = self.attack()? else { return Ok(None) };
        self.look_at_the_ban()?;
        self.next_connection()?;
        let outcome = waiting.login("root", "guess", BRIEFLY)?;
        self.check_silence(outcome, "its open connection", "open_connection");
        self.client_goes_on(&mut session)?;
        let dropped = self.count(dropped_before)?;
        self.timeline.check(
            dropped > 0,
            "packets counted as dropped",
            ("gateway", "dropped"),
            format!(
                "{dropped} packets dropped (the attacker's probe lost {} at first)",
                silence.lost
            ),
            json!({ "packets": dropped }),
        );
        Ok(Some(Fall { after, dropped }))
    }

    fn client_logs_in(&mut self) -> Result<Connection> {
        let stage = self.stage;
        let mut session = stage
            .client
            .connect(stage.service.address_for(self.client), SOON)
            .context("the client cannot connect")?;
        let outcome = session.login(GOOD_USER, GOOD_PASSWORD, SOON)?;
        if outcome != Outcome::LoggedIn {
            bail!("the client cannot log in: {outcome:?}");
        }
        let report = stage.service.next_report(SOON).context("the server reported no login")?;
        let took = session.echo("hello", SOON)?;
        self.timeline.tell_at(
            report.at,
            "client",
            "logged_in",
            format!("logs in as {GOOD_USER} from {}, echo {:.3} ms", self.client, millis(took)),
            json!({ "address": self.client, "echo_ms": millis(took), "line": report.line }),
        );
        Ok(session)
    }

    /// Five failures. The beat runs across the last, to see when packets begin to be lost.
    fn attack(&mut self) -> Result<Option<(Silence, Duration)>> {
        let stage = self.stage;
        for number in 1..FAILURES {
            self.fail_to_log_in(number)?;
        }
        let beat = Beat::start(&stage.attacker, self.attacker, &stage.server, SOON)
            .context("before the last failure the attacker's packets must reach the server")?;
        // The gate may fall before the attacker has heard the verdict: told in the order of time.
        self.timeline.hold();
        let last = self.fail_to_log_in(FAILURES)?;
        let silence = beat.silence(FALL);
        let Some((silence, after)) = silence
            .and_then(|silence| Some((silence, silence.since.checked_duration_since(last)?)))
        else {
            self.timeline.check(
                false,
                "the attacker's packets are dropped after the last failure, and not before",
                ("gateway", "fall"),
                format!("the gate did not fall for {}", self.attacker),
                json!({ "address": self.attacker }),
            );
            return Ok(None);
        };
        self.timeline.tell_at(
            silence.since,
            "gateway",
            "fall",
            format!(
                "gate falls: first packet dropped {:.3} ms after the last bad line was sent",
                millis(after)
            ),
            json!({ "after_ms": millis(after), "arrived_before": silence.arrived }),
        );
        self.timeline.release();
        Ok(Some((silence, after)))
    }

    /// One wrong password: when the server sent its report of it.
    fn fail_to_log_in(&mut self, number: usize) -> Result<Instant> {
        let stage = self.stage;
        let to = stage.service.address_for(self.attacker);
        let outcome = stage.attacker.attempt(to, "root", &format!("guess{number}"), LAST_TRY)?;
        let report = stage.service.next_report(SOON).with_context(|| {
            format!("no report of failed login {number}, which ended with: {}", words(outcome))
        })?;
        if !report.failure {
            bail!("the server let the attacker in: {}", report.line);
        }
        self.timeline.tell_at(
            report.at,
            "server",
            "syslog",
            format!("sent {}", report.line),
            json!({ "line": report.line }),
        );
        let heard = outcome == Outcome::Refused || number == FAILURES;
        self.timeline.check(
            heard && outcome != Outcome::LoggedIn,
            "the service denies the login",
            ("attacker", "failed_login"),
            format!("failed login {number} as root (from {}): {}", self.attacker, words(outcome)),
            json!({ "number": number, "address": self.attacker }),
        );
        Ok(report.at)
    }

    fn look_at_the_ban(&mut self) -> Result<()> {
        let bans = self.stage.daemon.wait_for_ban(self.attacker, SOON)?;
        let ours = bans.iter().find(|ban| ban.offender.contains(self.attacker));
        let innocent = bans.iter().find(|ban| ban.offender.contains(self.client));
        let text = match (ours, innocent) {
            (_, Some(ban)) => format!("the client is banned as well: {}", ban.offender),
            (None, _) => format!("no ban of {} in the list", self.attacker),
            (Some(ban), None) => {
                format!("{} banned by jail {} until {}", ban.offender, ban.jails(), ban.until())
            }
        };
        self.timeline.check(
            innocent.is_none() && ours.is_some_and(|ban| ban.jails() == "sshd"),
            "the attacker, and not the client, is banned by jail sshd",
            ("gateway", "ban"),
            text,
            json!({ "offender": ours.map(|ban| ban.offender), "until": ours.map(Ban::until) }),
        );
        Ok(())
    }

    fn next_connection(&mut self) -> Result<()> {
        let stage = self.stage;
        let to = stage.service.address_for(self.attacker);
        let outcome = stage.attacker.attempt(to, "root", "guess", BRIEFLY)?;
        self.check_silence(outcome, "next connection", "next_connection");
        Ok(())
    }

    fn check_silence(&mut self, outcome: Outcome, what: &str, event: &str) {
        self.timeline.check(
            outcome == Outcome::NoAnswer,
            &format!("the attacker's {what} gets no answer"),
            ("attacker", event),
            format!("{what}: {} within {BRIEFLY:?}", words(outcome)),
            json!({ "address": self.attacker }),
        );
    }

    fn client_goes_on(&mut self, session: &mut Connection) -> Result<()> {
        let stage = self.stage;
        let echo = session.echo("still here", SOON);
        let text = match &echo {
            Ok(took) => format!("still logged in, echo {:.3} ms", millis(*took)),
            Err(error) => format!("the open connection is dead: {error}"),
        };
        self.timeline.check(
            echo.is_ok(),
            "the client keeps working",
            ("client", "echo"),
            text,
            json!({ "echo_ms": echo.ok().map(millis) }),
        );
        let to = stage.service.address_for(self.client);
        let again = stage.client.attempt(to, GOOD_USER, GOOD_PASSWORD, SOON)?;
        self.timeline.check(
            again == Outcome::LoggedIn,
            "the client can log in again",
            ("client", "new_login"),
            format!("a new login: {}", words(again)),
            json!({ "address": self.client }),
        );
        // The report of this login is not the next family's.
        stage.service.next_report(SOON).context("the server reported no login")?;
        Ok(())
    }

    /// What the gate has dropped in this family since `before`; the counter may lag a little.
    fn count(&self, before: u64) -> Result<u64> {
        let deadline = Instant::now() + SOON;
        loop {
            let dropped = self.stage.daemon.dropped(self.attacker)?.saturating_sub(before);
            if dropped > 0 || Instant::now() >= deadline {
                return Ok(dropped);
            }
            std::thread::sleep(Duration::from_millis(10));
        }
    }

    fn tell(&mut self, who: &str, event: &str, text: String) {
        self.timeline.tell(who, event, text, json!({}));
    }
}

fn words(outcome: Outcome) -> &'static str {
    match outcome {
        Outcome::Refused => "denied",
        Outcome::LoggedIn => "logged in",
        Outcome::NoAnswer => "no answer",
    }
}

/// As the jail's `maxretry` says.
pub(super) const FAILURES: usize = 5;

/// For what must happen.
const SOON: Duration = Duration::from_secs(3);

/// For the gate to fall.
const FALL: Duration = Duration::from_secs(3);

/// For what must not happen: a LAN answers in a thousandth of that.
const BRIEFLY: Duration = Duration::from_millis(400);

/// For a wrong password to be answered.
const LAST_TRY: Duration = Duration::from_secs(1);
