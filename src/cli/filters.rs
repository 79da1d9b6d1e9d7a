//! `portcullis filters`: what there is, and whether its samples hold.

mod stats;

use std::io::Write;
use std::path::PathBuf;
use std::process::ExitCode;

use clap::{Args, Subcommand};
use serde_json::json;

use super::show;
use crate::config;
use crate::filter::Library;
use crate::pipeline::trial;

#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  portcullis filters list
  portcullis filters test ./my-service.toml
  portcullis filters stats /var/log/syslog")]
pub(super) struct Filters {
    #[command(subcommand)]
    command: What,
}

#[derive(Debug, Subcommand)]
enum What {
    /// List the filters
    #[command(after_help = "\
Examples:
  portcullis filters list
  portcullis filters list --json --config portcullis.toml")]
    List(Options),
    /// Run all samples of all filters, or of these
    #[command(after_help = "\
Examples:
  portcullis filters test
  portcullis filters test sshd ./my-service.toml")]
    Test {
        /// Names or TOML files
        #[arg(value_name = "NAME|FILE")]
        filters: Vec<String>,
        #[command(flatten)]
        options: Options,
    },
    /// Run the filters of the jails over a log, and show what the matching cost
    #[command(after_help = "\
Examples:
  portcullis filters stats /var/log/syslog
  portcullis filters stats --config portcullis.toml --json /var/log/syslog")]
    Stats {
        /// The lines; `-` is standard input
        #[arg(value_name = "FILE", default_value = "-")]
        file: PathBuf,
        #[command(flatten)]
        options: Options,
    },
}

#[derive(Debug, Args)]
struct Options {
    /// The configuration that says where filters are
    #[arg(long, value_name = "FILE")]
    config: Option<PathBuf>,
    /// Print JSON
    #[arg(long)]
    json: bool,
}

impl Options {
    fn library(&self) -> anyhow::Result<Library> {
        Ok(Library::new(config::filter_folders(self.config.as_deref())?))
    }
}

impl Filters {
    pub(super) fn run(self) -> anyhow::Result<ExitCode> {
        match self.command {
            What::List(options) => list(&options),
            What::Test { filters, options } => test(filters, &options),
            What::Stats { file, options } => {
                stats::show(&file, options.config.as_deref(), options.json)
            }
        }
    }
}

fn list(options: &Options) -> anyhow::Result<ExitCode> {
    let library = options.library()?;
    let filters =
        library.names()?.iter().map(|name| library.load(name)).collect::<Result<Vec<_>, _>>()?;
    let mut out = std::io::stdout().lock();
    if options.json {
        let rows: Vec<_> = filters
            .iter()
            .map(|it| {
                json!({
                    "name": it.name, "description": it.description, "origin": it.origin,
                    "programs": it.programs, "opt_in": it.opt_in, "patterns": it.patterns.len(),
                })
            })
            .collect();
        writeln!(out, "{}", json!(rows))?;
    } else {
        let rows = filters.iter().map(|it| {
            let asked = if it.opt_in { " (only in a jail that names it)" } else { "" };
            let reads = format!("{}{asked}", it.description);
            [it.name.clone(), it.patterns.len().to_string(), reads]
        });
        show::table(&mut out, ["FILTER", "PATTERNS", "READS"], rows)?;
    }
    Ok(ExitCode::SUCCESS)
}

fn test(names: Vec<String>, options: &Options) -> anyhow::Result<ExitCode> {
    let library = options.library()?;
    let names = if names.is_empty() { library.names()? } else { names };
    let mut out = std::io::stdout().lock();
    let (mut patterns, mut samples, mut failed) = (0, 0, 0);
    for name in &names {
        let outcome = library
            .load(name)
            .map_err(anyhow::Error::from)
            .and_then(|filter| Ok(trial::prove(&filter)?));
        match outcome {
            Ok(proven) => {
                patterns += proven.patterns;
                samples += proven.samples;
                if options.json {
                    let (p, s) = (proven.patterns, proven.samples);
                    writeln!(
                        out,
                        "{}",
                        json!({ "filter": name, "ok": true, "patterns": p, "samples": s })
                    )?;
                }
            }
            Err(error) => {
                failed += 1;
                if options.json {
                    let error = error.to_string();
                    writeln!(out, "{}", json!({ "filter": name, "ok": false, "error": error }))?;
                } else {
                    writeln!(out, "{error}")?;
                }
            }
        }
    }
    if !options.json {
        writeln!(
            out,
            "{}, {}, {}; {failed} failed",
            show::count(names.len() as u64, "filter"),
            show::count(patterns as u64, "pattern"),
            show::count(samples as u64, "sample")
        )?;
    }
    Ok(if failed == 0 { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}
