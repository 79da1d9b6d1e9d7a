//! `<ip>` and `<user>`: the tags of a filter's patterns, and the dialect they are written in.

use regex_syntax::hir::{Hir, HirKind, Look};

/// An address as it stands in log lines: IPv4, or IPv6 with or without an IPv4 tail
/// (RFC 4291 section 2.2). What it matches is parsed strictly afterwards.
///
/// It ends in a digit or in `::`, so that the colon of `2001:db8::1: bad login` is not taken into it.
/// Flags that a pattern sets are off in here: `(?U)` would make it end at its shortest.
pub const ADDRESS: &str = r"(?-uUx:(?:\d{1,3}\.){3}\d{1,3}|(?:[0-9A-Fa-f]{0,4}:){2,7}(?:(?:\d{1,3}\.){3}\d{1,3}|[0-9A-Fa-f]{1,4})|(?:[0-9A-Fa-f]{1,4}:){1,7}:|::)";

/// The same for the automaton, where a superset of few states is enough.
const ADDRESS_GATE: &str = r"[0-9A-Fa-f.:]+";

/// Any text. Lazy, so that a fixed text behind it is found at its first place.
const USER: &str = r".*?";

/// How patterns are read: bytes, ASCII classes, `.` is every byte. A log line is not always UTF-8,
/// and a line break smuggled into a user name must not hide the line from its pattern.
pub fn syntax() -> regex_automata::util::syntax::Config {
    regex_automata::util::syntax::Config::new()
        .unicode(false)
        .utf8(false)
        .dot_matches_new_line(true)
}

/// A pattern as written → (exact, gate), or what is wrong with it.
pub(super) fn read(regex: &str, wants_address: bool) -> Result<(Hir, Hir), String> {
    let addresses = count(regex, "<ip>") + count(regex, "(?P<ip>") + count(regex, "(?<ip>");
    match (wants_address, addresses) {
        (true, 0) => return Err("it names no `<ip>`: whom should it ban?".to_owned()),
        (true, 1) | (false, 0) => {}
        (true, n) => {
            return Err(format!("`<ip>` stands {n} times in it; only one address can be banned"));
        }
        (false, _) => return Err("an ignore pattern takes no `<ip>`; write the class".to_owned()),
    }
    if count(regex, "<user>") > 1 {
        return Err("`<user>` stands in it more than once".to_owned());
    }
    let exact = parse(&expand(regex, ADDRESS))?;
    let gate = strip_start(parse(&expand(regex, ADDRESS_GATE))?)
        .ok_or("it does not begin with `^`: every pattern is anchored at the start of the text")?;
    if exact.properties().look_set().iter().any(unusable) {
        return Err("word boundaries other than ASCII `(?-u:\\b)` and line anchors are not for \
                    log lines; use `^`, `$` and classes"
            .to_owned());
    }
    if gate.properties().look_set().contains(Look::Start) {
        return Err("`^` stands in it a second time; once, at its beginning, is enough".to_owned());
    }
    if is_repeated(&exact, false) {
        return Err("`<ip>` stands in a repetition: whoever can add a round to it, chooses the \
                    address; write the rounds apart from it"
            .to_owned());
    }
    Ok((exact, gate))
}

/// Whether the group `ip` can match more than once: the last round would name the address.
fn is_repeated(hir: &Hir, inside: bool) -> bool {
    match hir.kind() {
        HirKind::Capture(group) => {
            (inside && group.name.as_deref() == Some("ip")) || is_repeated(&group.sub, inside)
        }
        HirKind::Repetition(it) => is_repeated(&it.sub, inside || it.max != Some(1)),
        HirKind::Concat(parts) | HirKind::Alternation(parts) => {
            parts.iter().any(|part| is_repeated(part, inside))
        }
        _ => false,
    }
}

fn parse(regex: &str) -> Result<Hir, String> {
    regex_automata::util::syntax::parse_with(regex, &syntax()).map_err(|error| error.to_string())
}

/// Tags to groups. `(?P<ip>` and `(?<user>`, which somebody wrote out, are left alone.
fn expand(regex: &str, address: &str) -> String {
    let mut out = String::with_capacity(regex.len() + 128);
    let mut rest = regex;
    while let Some(at) = rest.find('<') {
        let (before, tail) = rest.split_at(at);
        out.push_str(before);
        let opened = before.ends_with("(?P") || before.ends_with("(?");
        let (tag, group) = match () {
            () if tail.starts_with("<ip>") => ("<ip>", format!("(?P<ip>{address})")),
            () if tail.starts_with("<user>") => ("<user>", format!("(?P<user>{USER})")),
            () => ("<", "<".to_owned()),
        };
        out.push_str(if opened { tag } else { &group });
        rest = &tail[tag.len()..];
    }
    out.push_str(rest);
    out
}

/// How often `tag` stands in `regex` as a tag of its own (`<ip>` inside `(?P<ip>` is not one).
fn count(regex: &str, tag: &str) -> usize {
    let opened = |at: usize| regex[..at].ends_with("(?P") || regex[..at].ends_with("(?");
    regex.match_indices(tag).filter(|(at, _)| tag.starts_with('(') || !opened(*at)).count()
}

/// The pattern without its leading `^`; `None` if it has none.
fn strip_start(hir: Hir) -> Option<Hir> {
    match hir.into_kind() {
        HirKind::Look(Look::Start) => Some(Hir::empty()),
        HirKind::Concat(parts) => {
            let mut parts = parts.into_iter();
            let first = strip_start(parts.next()?)?;
            Some(Hir::concat(std::iter::once(first).chain(parts).collect()))
        }
        _ => None,
    }
}

/// Looks whose meaning changes when the text is not the whole haystack, or that the lazy automaton
/// cannot do.
fn unusable(look: Look) -> bool {
    !matches!(look, Look::Start | Look::End | Look::WordAscii | Look::WordAsciiNegate)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tags_become_groups_and_written_groups_stay() {
        assert_eq!(expand("^a <user> b", "X"), "^a (?P<user>.*?) b");
        assert_eq!(expand("^a (?P<user>\\S+) <ip><x>", "X"), "^a (?P<user>\\S+) (?P<ip>X)<x>");
    }

    #[test]
    fn what_is_wrong_is_said() {
        assert!(read("^no address$", true).unwrap_err().contains("whom"));
        assert!(read("^<ip> <ip>", true).unwrap_err().contains("2 times"));
        assert!(read("from <ip>", true).unwrap_err().contains('^'));
        assert!(read("^(?m:^)<ip>", true).is_err());
        assert!(read("^from (<ip>", true).unwrap_err().contains("unclosed"));
        assert!(read("^x <ip>$", false).is_err());
        assert!(read("^(?:from <ip> )+.*$", true).unwrap_err().contains("repetition"));
        assert!(read("^(?:from <ip> ){2}$", true).unwrap_err().contains("repetition"));
        assert!(read("^(?:^from|to) <ip>$", true).unwrap_err().contains("a second time"));
        assert!(read("^(?:from <ip> )?$", true).is_ok());
        assert!(read("^from <ip>$", true).is_ok());
        assert!(read("^from (?P<ip>[0-9.]+)$", true).is_ok());
    }
}
