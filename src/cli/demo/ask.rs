//! Asking the daemon as an operator would: `portcullis bans --json`, and HTTP for readiness and metrics.
//!
//! Knows the outer form of the answers, and no more of the daemon than that.

use std::io::{self, Read, Write};
use std::net::{IpAddr, SocketAddr, TcpStream};
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::Duration;

use anyhow::{Context, Result, bail};
use chrono::{DateTime, Local};
use serde::Deserialize;
use serde_json::Value;

use crate::model::Prefix;

/// A ban, as the daemon lists it: of its fields, those that are shown.
#[derive(Clone, Debug, PartialEq, Deserialize)]
pub(super) struct Ban {
    pub(super) offender: Prefix,
    /// Seconds since the epoch; `null` is for ever.
    until: Option<f64>,
    jails: Vec<Share>,
}

#[derive(Clone, Debug, PartialEq, Deserialize)]
struct Share {
    jail: String,
}

impl Ban {
    /// The names of the jails that hold it.
    pub(super) fn jails(&self) -> String {
        let names: Vec<_> = self.jails.iter().map(|share| share.jail.as_str()).collect();
        names.join(", ")
    }

    /// The time of day when it ends, by this host's clock.
    pub(super) fn until(&self) -> String {
        let Some(until) = self.until else { return "forever".into() };
        match DateTime::from_timestamp(until as i64, 0) {
            Some(time) => time.with_timezone(&Local).format("%H:%M:%S").to_string(),
            None => until.to_string(),
        }
    }
}

/// The bans in force, by the command `bans` of `program`.
pub(super) fn bans(program: &Path, control: &Path) -> Result<Vec<Ban>> {
    let mut command = Command::new(program);
    command.args(["bans", "--json", "--control"]).arg(control).stdin(Stdio::null());
    let output = command.output().context("cannot ask for the bans")?;
    if !output.status.success() {
        let why = String::from_utf8_lossy(&output.stderr);
        bail!("`portcullis bans --json` failed: {}", why.trim());
    }
    parse_bans(&output.stdout).context("`portcullis bans --json` is not as expected")
}

/// How many packets the gate has dropped in the family of `address`.
pub(super) fn dropped(address: IpAddr) -> Result<u64> {
    let (status, page) = http_get("/metrics").context("cannot read the metrics")?;
    if status != 200 {
        bail!("the metrics answer with status {status}");
    }
    Ok(sum(&page, if address.is_ipv4() { "family=\"ipv4\"" } else { "family=\"ipv6\"" }))
}

/// Whether the daemon says that it is.
pub(super) fn is_ready() -> bool {
    matches!(http_get("/readyz"), Ok((200, _)))
}

/// The answer is a list of bans, an object that holds one, or one object a line.
fn parse_bans(text: &[u8]) -> Result<Vec<Ban>> {
    let mut bans = Vec::new();
    for value in serde_json::Deserializer::from_slice(text).into_iter::<Value>() {
        gather(value?, &mut bans)?;
    }
    Ok(bans)
}

fn gather(value: Value, bans: &mut Vec<Ban>) -> Result<()> {
    match value {
        Value::Array(items) => items.into_iter().try_for_each(|item| gather(item, bans)),
        Value::Object(fields) if fields.contains_key("offender") => {
            bans.push(serde_json::from_value(Value::Object(fields))?);
            Ok(())
        }
        Value::Object(fields) => fields.into_values().try_for_each(|item| gather(item, bans)),
        _ => Ok(()),
    }
}

/// The sum of the gate's counters that carry `label` (Prometheus text format, one sample a line).
fn sum(page: &str, label: &str) -> u64 {
    page.lines()
        .filter_map(|line| line.strip_prefix(DROPPED)?.strip_prefix('{'))
        .filter_map(|rest| rest.rsplit_once("} "))
        .filter(|(labels, _)| labels.split(',').any(|one| one.trim() == label))
        .filter_map(|(_, value)| value.trim().parse::<f64>().ok())
        .map(|value| value as u64)
        .sum()
}

/// HTTP/1.0, so that the body comes whole and ends with the connection. Status and body.
fn http_get(path: &str) -> io::Result<(u16, String)> {
    let address: SocketAddr = METRICS.parse().map_err(io::Error::other)?;
    let mut stream = TcpStream::connect_timeout(&address, HTTP)?;
    stream.set_read_timeout(Some(HTTP))?;
    stream.write_all(format!("GET {path} HTTP/1.0\r\nHost: {METRICS}\r\n\r\n").as_bytes())?;
    let mut answer = String::new();
    stream.take(MAX_ANSWER).read_to_string(&mut answer)?;
    let status = answer.split(' ').nth(1).and_then(|word| word.parse().ok());
    let body = answer.split_once("\r\n\r\n").map(|(_, body)| body.to_owned());
    status.zip(body).ok_or_else(|| io::ErrorKind::InvalidData.into())
}

/// Where the daemon answers over HTTP.
pub(super) const METRICS: &str = "127.0.0.1:9514";

const DROPPED: &str = "portcullis_gate_dropped_packets_total";
const HTTP: Duration = Duration::from_secs(2);
const MAX_ANSWER: u64 = 4 << 20;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bans_are_found_in_any_wrapping() {
        let one = r#"{"offender":"198.51.100.66","since":1.5,"until":1795342200.25,"left":3.0,
            "jails":[{"jail":"sshd","origin":"hits","until":null}]}"#;
        let two = r#"{"offender":"2001:db8:a::/64","until":null,
            "jails":[{"jail":"sshd"},{"jail":"web"}]}"#;
        let lists = [
            format!("[{one},{two}]"),
            format!("{{\"bans\":[{one},{two}]}}"),
            format!("{one}\n{two}\n"),
        ];
        for text in lists {
            let bans = parse_bans(text.as_bytes()).unwrap();
            assert_eq!(bans.len(), 2, "{text}");
            assert_eq!(bans[0].offender.to_string(), "198.51.100.66");
            assert_eq!(bans[0].jails(), "sshd");
            assert!(bans[0].until().ends_with(":00"), "{}", bans[0].until());
            assert_eq!(bans[1].offender.to_string(), "2001:db8:a::/64");
            assert_eq!((bans[1].jails(), bans[1].until()), ("sshd, web".into(), "forever".into()));
        }
        assert_eq!(parse_bans(b"[]").unwrap(), []);
        assert!(parse_bans(b"no bans").is_err());
        assert!(parse_bans(br#"{"offender":"nobody","until":null,"jails":[]}"#).is_err());
    }

    #[test]
    fn counters_are_summed_by_family() {
        let page = "# TYPE portcullis_gate_dropped_packets_total counter\n\
            portcullis_gate_dropped_packets_total{family=\"ipv4\"} 7\n\
            portcullis_gate_dropped_packets_total{chain=\"input\",family=\"ipv6\"} 2\n\
            portcullis_gate_dropped_packets_total{family=\"ipv6\",chain=\"forward\"} 3e0\n\
            portcullis_gate_dropped_packets_total_created{family=\"ipv4\"} 1000\n";
        assert_eq!(sum(page, "family=\"ipv4\""), 7);
        assert_eq!(sum(page, "family=\"ipv6\""), 5);
        assert_eq!(sum("", "family=\"ipv4\""), 0);
    }
}
