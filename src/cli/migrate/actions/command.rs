//! An action that runs a script becomes `kind = "command"`.
//!
//! Only a simple command is taken over: words, and the offender or the jail among them. fail2ban
//! gives its commands to a shell with text put in; here the text arrives in the environment.

use std::path::Path;

use super::{Call, Shared};
use crate::cli::migrate::document::array;
use crate::cli::migrate::report::{Report, is_secret};
use crate::filter::fail2ban::conf;

/// The name of the action it became; `None` when it was listed instead.
pub(super) fn translate(
    folder: &Path,
    call: &Call<'_>,
    shared: &mut Shared,
    report: &mut Report,
) -> Option<String> {
    if call.name.ends_with(".py") {
        call.note(report, "a Python action runs inside fail2ban; write a command or use a webhook");
        return None;
    }
    if call.options.iter().any(|(name, _)| is_secret(name)) {
        call.note(
            report,
            "its options hold a secret, which is not copied; write a command that reads it from a file",
        );
        return None;
    }
    let mut options = call.options.clone();
    if call.option("name").is_none() {
        options.push(("name".to_owned(), JAIL.to_owned()));
    }
    let file = folder.join("action.d").join(format!("{}.conf", call.name));
    let action = match conf::filter(&file.display().to_string(), folder, &options) {
        Ok(action) => action,
        Err(error) => {
            call.note(report, &format!("this action does not load: {error}"));
            return None;
        }
    };
    let text = |name: &str| action.rest.get(name).map_or("", |text| text.trim());
    let argv = match argv(text("actionban")) {
        Ok(argv) => argv,
        Err(why) => {
            let reason = format!(
                "its `actionban` {why}; write a command that takes the offender from \
                 PORTCULLIS_OFFENDER"
            );
            call.note(report, &reason);
            return None;
        }
    };
    for phase in PHASES {
        if !NOTHING.contains(&text(phase)) {
            let reason = match phase {
                "actionunban" => {
                    "`actionunban`: the same command is called when a ban ends; let it look at \
                     PORTCULLIS_EVENT"
                        .to_owned()
                }
                phase => format!("`{phase}` has no equal: commands are called for bans only"),
            };
            call.note(report, &reason);
        }
    }
    let wish = call.name.rsplit('/').next().unwrap_or(&call.name);
    Some(shared.name(wish, "command", vec![("command", array(argv))]))
}

/// The command as a list of arguments; the error says what stands against it.
fn argv(text: &str) -> Result<Vec<String>, String> {
    if NOTHING.contains(&text) {
        return Err("does nothing".to_owned());
    }
    if text.contains('\n') {
        return Err("is more than one line".to_owned());
    }
    let mut words: Vec<String> = Vec::new();
    let mut has_facts = false;
    for word in words_of(text)? {
        let mut shell = String::new();
        let mut rest = word.as_str();
        while let Some((fact, variable, at)) = first_fact(rest) {
            shell += &plain(&rest[..at])?;
            shell += &format!("\"${variable}\"");
            has_facts = true;
            rest = &rest[at + fact.len()..];
        }
        shell += &plain(rest)?;
        words.push(shell);
    }
    if has_facts {
        // The shell's text is ours; what comes from a log line stays in a quoted variable.
        return Ok(vec![
            "/bin/sh".to_owned(),
            "-c".to_owned(),
            format!("exec {}", words.join(" ")),
        ]);
    }
    Ok(words.into_iter().map(|word| word.trim_matches('\'').to_owned()).collect())
}

fn first_fact(text: &str) -> Option<(&'static str, &'static str, usize)> {
    let found = FACTS.iter().filter_map(|(fact, it)| text.find(fact).map(|at| (*fact, *it, at)));
    found.min_by_key(|(.., at)| *at)
}

/// Words as a shell parts them, without anything that a shell would act on.
fn words_of(text: &str) -> Result<Vec<String>, String> {
    let mut words = Vec::new();
    let mut word: Option<String> = None;
    let mut quote = None;
    for character in text.chars() {
        match (quote, character) {
            (Some(open), it) if open == it => quote = None,
            (None, '"' | '\'') => {
                quote = Some(character);
                word.get_or_insert_default();
            }
            (None, it) if it.is_whitespace() => words.extend(word.take()),
            (_, it) => word.get_or_insert_default().push(it),
        }
    }
    if quote.is_some() {
        return Err("has a quote without an end".to_owned());
    }
    words.extend(word);
    Ok(words)
}

/// Literal text as a word of a shell.
fn plain(text: &str) -> Result<String, String> {
    if let Some(start) = text.find('<')
        && let Some(end) = text[start..].find('>')
        && !text[start..start + end].contains(char::is_whitespace)
    {
        return Err(format!("uses {}, which has no equal", &text[start..=start + end]));
    }
    let is_safe = |c: char| c.is_alphanumeric() || "_-./:=,@%+ ".contains(c);
    match text.chars().find(|c| !is_safe(*c)) {
        Some(found) => Err(format!("needs a shell (`{found}`)")),
        None if text.contains(' ') => Ok(format!("'{text}'")),
        None => Ok(text.to_owned()),
    }
}

/// What fail2ban puts into a command, and the variable that holds it here.
const FACTS: [(&str, &str); 3] =
    [("<ip>", "PORTCULLIS_OFFENDER"), ("<fid>", "PORTCULLIS_OFFENDER"), (JAIL, "PORTCULLIS_JAIL")];

/// Stands for the jail's name while the action's text is put together.
const JAIL: &str = "PORTCULLISJAILNAME";

/// What else an action may run.
const PHASES: [&str; 8] = [
    "actionstart",
    "actionstop",
    "actioncheck",
    "actionflush",
    "actionrepair",
    "actionprolong",
    "actionreban",
    "actionunban",
];

const NOTHING: [&str; 3] = ["", ":", "true"];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn simple_commands_are_taken_over() {
        assert_eq!(argv("/usr/bin/x 'a b' c").unwrap(), ["/usr/bin/x", "a b", "c"]);
        assert_eq!(
            argv("/usr/bin/x --ip=<ip> \"in <ip>\" PORTCULLISJAILNAME").unwrap(),
            [
                "/bin/sh",
                "-c",
                "exec /usr/bin/x --ip=\"$PORTCULLIS_OFFENDER\" 'in '\"$PORTCULLIS_OFFENDER\" \
                 \"$PORTCULLIS_JAIL\""
            ]
        );
    }

    #[test]
    fn what_needs_a_shell_is_not() {
        for (text, why) in [
            ("x <ip> >> /tmp/y", "`>`"),
            ("x | y", "`|`"),
            ("x '<matches>'", "<matches>"),
            ("x \"y", "quote"),
            ("x $(y)", "`$`"),
            ("x\ny", "one line"),
            ("", "nothing"),
        ] {
            let problem = argv(text).unwrap_err();
            assert!(problem.contains(why), "{text}: {problem}");
        }
    }
}
