//! `portcullis check`: would it run?

use std::io::Write;
use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Instant;

use clap::Args;
use serde_json::json;

use super::show;
use crate::config::{self, Plan};
use crate::pipeline::trial;

#[derive(Debug, Args)]
#[command(after_help = "\
Exit code: 0 when the configuration would run, 1 when not. Jails that would be left out
(on_bad_filter = \"skip\") are warned of.
Examples:
  portcullis check
  portcullis check --config portcullis.toml --json")]
pub(super) struct Check {
    /// The configuration [default: /etc/portcullis/portcullis.toml if there is one]
    #[arg(long, value_name = "FILE")]
    config: Option<PathBuf>,
    /// Print JSON
    #[arg(long)]
    json: bool,
}

impl Check {
    pub(super) fn run(self) -> anyhow::Result<ExitCode> {
        let mut out = std::io::stdout().lock();
        let examined = config::load(self.config.as_deref()).map_err(anyhow::Error::from);
        let examined = examined.and_then(|plan| Ok((examine(&plan)?, plan)));
        if let Ok((_, plan)) = &examined {
            show::skipped(plan);
        }
        match examined.map(|(found, _)| found) {
            Ok(found) if self.json => writeln!(out, "{found}")?,
            Ok(found) => writeln!(
                out,
                "{}: good. {} jails, {} filters with {} patterns, {} samples passed; compiled in {} ms",
                found["config"].as_str().unwrap_or_default(),
                found["jails"],
                found["filters"],
                found["patterns"],
                found["samples"],
                found["compiled_ms"],
            )?,
            Err(error) if self.json => {
                writeln!(out, "{}", json!({ "ok": false, "error": error.to_string() }))?;
                return Ok(ExitCode::FAILURE);
            }
            Err(error) => return Err(error),
        }
        Ok(ExitCode::SUCCESS)
    }
}

fn examine(plan: &Plan) -> anyhow::Result<serde_json::Value> {
    let mut samples = 0;
    for filter in &plan.filters {
        samples += trial::prove(filter)?.samples;
    }
    let began = Instant::now();
    let rules = plan.rules()?;
    let (filters, patterns) = rules.size();
    let skipped = plan.skipped.iter().map(|it| json!({ "jail": &*it.jail, "why": it.why }));
    Ok(json!({
        "ok": true,
        "config": plan.origin,
        "jails": plan.jails.len(),
        "skipped": skipped.collect::<Vec<_>>(),
        "filters": filters,
        "patterns": patterns,
        "samples": samples,
        "compiled_ms": began.elapsed().as_millis() as u64,
    }))
}
