//! Arguments to a command, and its outcome to an exit code: 0 done, 1 failed, 2 misused.

use std::process::ExitCode;

use clap::Parser;
use portcullis::cli::Arguments;

fn main() -> ExitCode {
    match Arguments::parse().run() {
        Ok(code) => code,
        // `portcullis explain … | head` is no failure.
        Err(error) if is_broken_pipe(&error) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("portcullis: {}", told(&error));
            ExitCode::FAILURE
        }
    }
}

/// The error and its causes. Many of our errors name their cause in their own words already; it is
/// not said twice.
fn told(error: &anyhow::Error) -> String {
    let mut text = error.to_string();
    for cause in error.chain().skip(1).map(ToString::to_string) {
        if !text.contains(&cause) {
            text = format!("{text}: {cause}");
        }
    }
    text
}

fn is_broken_pipe(error: &anyhow::Error) -> bool {
    error
        .chain()
        .filter_map(|cause| cause.downcast_ref::<std::io::Error>())
        .any(|cause| cause.kind() == std::io::ErrorKind::BrokenPipe)
}

#[cfg(test)]
mod tests {
    use anyhow::Context;

    use super::told;

    #[test]
    fn a_cause_is_told_once() {
        let cause = || anyhow::anyhow!("no such file");
        let unsaid = Err::<(), _>(cause()).context("cannot read x").unwrap_err();
        assert_eq!(told(&unsaid), "cannot read x: no such file");
        let said = Err::<(), _>(cause()).context("cannot read x: no such file").unwrap_err();
        assert_eq!(told(&said), "cannot read x: no such file");
    }
}
