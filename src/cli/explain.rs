//! `portcullis explain`: what happens to a line, and why.

mod fail2ban;

use std::io::Write;
use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::Arc;

use clap::Args;
use serde_json::{Map, Value, json};

use super::lines::Lines;
use super::show;
use crate::config;
use crate::filter::{Filter, Library};
use crate::matcher::{Found, Matcher, Nearest, PatternId};
use crate::pipeline::{Rules, Worker, trial};
use crate::syslog::Message;

#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  portcullis explain /var/log/auth.log
  tail -n 50 /var/log/mail.log | portcullis explain --filter postfix
  portcullis explain --filter ./my-service.toml --json lines.txt
  portcullis explain --filter 'fail2ban:/etc/fail2ban/filter.d/sshd.conf[mode=aggressive]' /var/log/auth.log

With --json, one object a line:
  {\"line\":1,\"dialect\":\"rfc3164\",…,\"hits\":[{\"filter\":…,\"pattern\":…,\"kind\":\"failure\",\"offender\":…,\"user\":…,\"fields\":{…}}]}")]
pub(super) struct Explain {
    /// Only this filter: a name, a TOML file, or one of fail2ban's own [default: all]
    #[arg(long, value_name = "NAME|FILE|fail2ban:FILE[OPTIONS]")]
    filter: Option<String>,
    /// The configuration whose jails' filters are used
    #[arg(long, value_name = "FILE")]
    config: Option<PathBuf>,
    /// Print JSON, one object a line
    #[arg(long)]
    json: bool,
    /// This one line instead of a file
    #[arg(long, value_name = "TEXT", conflicts_with = "file")]
    line: Option<String>,
    #[command(flatten)]
    fail2ban: fail2ban::Options,
    /// The lines; `-` is standard input
    #[arg(value_name = "FILE", default_value = "-")]
    file: PathBuf,
}

impl Explain {
    pub(super) fn run(self) -> anyhow::Result<ExitCode> {
        let mut lines = match &self.line {
            Some(line) => Lines::of(line.clone().into_bytes()),
            None => Lines::open(&self.file)?,
        };
        if let Some(spec) = self.filter.as_deref().and_then(|it| it.strip_prefix("fail2ban:")) {
            fail2ban::explain(spec, lines, &self.fail2ban, self.json)?;
            return Ok(ExitCode::SUCCESS);
        }
        let filters = self.filters()?;
        let nearest = Nearest::new(&filters)?;
        let jails = vec![Vec::new(); filters.len()];
        let rules = Arc::new(Rules::new(&filters, jails)?);
        let mut worker = Worker::new(Arc::clone(&rules));
        let mut out = std::io::BufWriter::new(std::io::stdout().lock());
        let (mut number, mut with_hits) = (0u64, 0u64);
        while let Some(line) = lines.next()? {
            number += 1;
            let mut hits = Vec::new();
            let message = worker.examine(line, |_, found| hits.push(hit(rules.matcher(), found)));
            with_hits += u64::from(!hits.is_empty());
            if self.json {
                let mut object = described(&message);
                object.insert("line".to_owned(), json!(number));
                object.insert("hits".to_owned(), Value::Array(hits));
                writeln!(out, "{}", Value::Object(object))?;
            } else {
                print(&mut out, number, &message, &hits)?;
                if let (true, Some(pattern)) = (hits.is_empty(), nearest.of(message.text)) {
                    print_near(&mut out, rules.matcher(), &filters, pattern)?;
                }
            }
            // Somebody may be watching a pipe.
            if lines.is_watched() {
                out.flush()?;
            }
        }
        if !self.json {
            let (filters, patterns) = rules.matcher().size();
            writeln!(
                out,
                "{}, {with_hits} with a hit; {}, {}",
                show::count(number, "line"),
                show::count(filters as u64, "filter"),
                show::count(patterns as u64, "pattern")
            )?;
        }
        out.flush()?;
        Ok(ExitCode::SUCCESS)
    }

    fn filters(&self) -> anyhow::Result<Vec<Filter>> {
        let Some(name) = &self.filter else {
            if self.config.is_some() {
                return Ok(config::load(self.config.as_deref())?.filters);
            }
            // Without a configuration: all there are, those too that have no jail by default.
            let library = Library::new(config::filter_folders(None)?);
            let all = library.names()?.into_iter().map(|name| library.load(&name));
            return Ok(all.collect::<Result<_, _>>()?);
        };
        let library = Library::new(config::filter_folders(self.config.as_deref())?);
        let filter = library.load(name)?;
        if !filter.is_built_in {
            trial::prove(&filter)?;
        }
        Ok(vec![filter])
    }
}

fn hit(matcher: &Matcher, found: &Found<'_, '_>) -> Value {
    let lossy = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    let fields: Map<String, Value> = found
        .fields()
        .filter(|(name, _)| *name != "ip" && *name != "user")
        .map(|(name, bytes)| (name.to_owned(), Value::String(lossy(bytes))))
        .collect();
    json!({
        "filter": matcher.filter_name(found.pattern.filter),
        "pattern": matcher.pattern_name(found.pattern),
        "kind": "failure",
        "offender": found.offender.to_string(),
        "user": found.user().map(lossy),
        "fields": fields,
    })
}

fn described(message: &Message<'_>) -> Map<String, Value> {
    let field = |bytes: &[u8]| match bytes {
        [] => Value::Null,
        bytes => Value::String(String::from_utf8_lossy(bytes).into_owned()),
    };
    let mut object = Map::new();
    object.insert("dialect".to_owned(), json!(message.dialect.name()));
    object.insert("priority".to_owned(), json!(message.priority));
    object.insert("stamp".to_owned(), field(message.stamp));
    object.insert("hostname".to_owned(), field(message.hostname));
    object.insert("program".to_owned(), field(message.app));
    object.insert("text".to_owned(), field(message.text));
    object
}

fn print(
    out: &mut impl Write,
    number: u64,
    message: &Message<'_>,
    hits: &[Value],
) -> std::io::Result<()> {
    let or_none = |bytes: &[u8]| if bytes.is_empty() { "-".to_owned() } else { show::text(bytes) };
    writeln!(
        out,
        "{number}: {} host {} program {} | {}",
        message.dialect.name(),
        or_none(message.hostname),
        or_none(message.app),
        show::text(message.text)
    )?;
    for hit in hits {
        let word = |key: &str| show::text(hit[key].as_str().unwrap_or("-").as_bytes());
        write!(
            out,
            "    HIT {}/{} offender {}",
            word("filter"),
            word("pattern"),
            word("offender")
        )?;
        if let Some(user) = hit["user"].as_str() {
            write!(out, " user {:?}", user)?;
        }
        for (name, value) in hit["fields"].as_object().into_iter().flatten() {
            write!(out, " {name} {value}")?;
        }
        writeln!(out)?;
    }
    Ok(())
}

/// The line has a pattern's words and did not hit: what to look at.
fn print_near(
    out: &mut impl Write,
    matcher: &Matcher,
    filters: &[Filter],
    near: PatternId,
) -> std::io::Result<()> {
    let filter = &filters[usize::from(near.filter.0)];
    writeln!(
        out,
        "    no hit, though it has the words of {}/{} (which reads {})",
        filter.name,
        matcher.pattern_name(near),
        filter.programs.join(", ")
    )
}
