//! `name[option=value, …]`: a filter or action with options, as jails write it.

use super::ConfError;
use super::load::is_word;
use super::traced::is_space;

/// Takes `sshd[mode=aggressive, publickey="any"]` apart.
///
/// A value in quotes holds anything but its quote; one without ends at `,` or `]`. Groups may follow each other
/// (`a[x=1][y=2]`), and so may lines. The last value of an option counts. The name is not trimmed.
///
/// # Errors
/// When there is no name, no closing bracket, or something between the options that is none.
pub fn parse_spec(text: &str) -> Result<(String, Vec<(String, String)>), ConfError> {
    let wrong = |at: usize, what: &str| ConfError::Spec {
        text: text.to_owned(),
        at: text[..at].chars().count() + 1,
        what: what.to_owned(),
    };
    let name = &text[..text.find('[').unwrap_or(text.len())];
    if name.is_empty() {
        return Err(wrong(0, "a name is missing; write name or name[option=value]"));
    }
    let mut options = Vec::new();
    if name.len() == text.len() {
        return Ok((name.to_owned(), options));
    }
    let trimmed = text.trim_end_matches(is_space);
    let Some(end) = trimmed.strip_suffix(']').map(str::len) else {
        return Err(wrong(trimmed.len(), "the options end with `]`, which is not there"));
    };
    let mut at = name.len() + 1;
    while at < end {
        let Some(option) = one(&text[at..end]) else {
            let rest = &text[at..end];
            let rest = rest.strip_prefix(',').unwrap_or(rest);
            if rest.chars().all(is_space) {
                break;
            }
            return Err(wrong(
                at,
                "an option is `name=value`; put a value with `,` or `]` in quotes",
            ));
        };
        let stop = at + option.length;
        put(&mut options, option.name.trim_matches(is_space), option.value.trim_matches(is_space));
        let Some(next) = separator(&text[stop..end]) else {
            return Err(wrong(
                stop,
                "a `,` or the end is expected here; put a value with `,` or `]` in quotes",
            ));
        };
        at = stop + next;
    }
    Ok((name.to_owned(), options))
}

struct One<'a> {
    name: &'a str,
    value: &'a str,
    length: usize,
}

/// `name=value` at the start of the text.
fn one(text: &str) -> Option<One<'_>> {
    let start = text.len() - text.trim_start_matches(is_space).len();
    let length = text[start..].find(|c| !is_word(c) && c != '-' && c != '.')?;
    let name = &text[start..start + length];
    let value_at = start + length + 1;
    if name.is_empty() || !text[start + length..].starts_with('=') {
        return None;
    }
    let rest = &text[value_at..];
    for quote in ['"', '\''] {
        if let Some(inner) = rest.strip_prefix(quote)
            && let Some(end) = inner.find(quote)
        {
            return Some(One { name, value: &inner[..end], length: value_at + end + 2 });
        }
    }
    let end = rest.find([',', ']']).unwrap_or(rest.len());
    Some(One { name, value: &rest[..end], length: value_at + end })
}

/// What may stand behind an option: `,`, `][`, the end, or one newline before the end. Its length.
fn separator(text: &str) -> Option<usize> {
    if text.is_empty() || text == "\n" {
        return Some(text.len());
    }
    if text.starts_with(',') {
        return Some(1);
    }
    let inner = text.strip_prefix(']')?.trim_start_matches(is_space);
    inner.strip_prefix('[').map(|rest| text.len() - rest.len())
}

fn put(options: &mut Vec<(String, String)>, name: &str, value: &str) {
    match options.iter_mut().find(|(there, _)| there == name) {
        Some((_, old)) => *old = value.to_owned(),
        None => options.push((name.to_owned(), value.to_owned())),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn options(text: &str) -> String {
        let (name, options) = parse_spec(text).unwrap();
        let options: Vec<_> = options.iter().map(|(k, v)| format!("{k}={v}")).collect();
        format!("{name}|{}", options.join("|"))
    }

    #[test]
    fn names_and_values() {
        assert_eq!(options("sshd"), "sshd|");
        assert_eq!(options("sshd[]"), "sshd|");
        assert_eq!(options("sshd[mode=aggressive]"), "sshd|mode=aggressive");
        assert_eq!(options("/a/b.conf[mode=x, p.q-r=\" any \"] \n"), "/a/b.conf|mode=x|p.q-r=any");
        assert_eq!(options("a[x=\"1,]'\", y='2\"[', z=3 4 ]"), "a|x=1,]'|y=2\"[|z=3 4");
    }

    #[test]
    fn groups_lines_and_repeats() {
        assert_eq!(options("a[x=1] [y=2][x=3]"), "a|x=3|y=2");
        assert_eq!(options("a[x=1,\n  y=\"2\n3\",]"), "a|x=1|y=2\n3");
        assert_eq!(options("a[x=, y=]"), "a|x=|y=");
        assert_eq!(options("a[x=\"1\"\n]"), "a|x=1");
        assert_eq!(options("a[x=\"unclosed, y=b]"), "a|x=\"unclosed|y=b");
        assert_eq!(options("a [x=[1]"), "a |x=[1");
    }

    #[test]
    fn what_is_no_option_is_refused_where_it_stands() {
        let at = |text: &str| match parse_spec(text) {
            Err(ConfError::Spec { at, .. }) => at,
            other => panic!("{text}: {other:?}"),
        };
        assert_eq!(at(""), 1);
        assert_eq!(at("[x=1]"), 1);
        assert_eq!(at("a[x=1"), 6);
        assert_eq!(at("a[x=1]b"), 8);
        assert_eq!(at("é[x]"), 3);
        assert_eq!(at("a[x=\"1\"2]"), 8);
        assert_eq!(at("a[x=1]]"), 6);
        assert_eq!(at("a[,x=1]"), 3);
    }
}
