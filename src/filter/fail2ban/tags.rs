//! The tags of fail2ban's patterns (`<HOST>`, `<F-USER>…</F-USER>`, `<SKIPLINES>`), turned into
//! groups of Python's regular expressions.

use std::collections::HashSet;
use std::fmt::Write;

/// A pattern with its tags replaced. What is no tag of the matcher stays as it is. Without `names`
/// `<HOST>` is an address only: the filter says `usedns = no`.
pub(super) fn expand(pattern: &str, names: bool) -> String {
    let mut out = String::with_capacity(pattern.len() + 256);
    let mut opened = HashSet::new();
    let mut skips = 0;
    let mut rest = pattern;
    while let Some(at) = rest.find('<') {
        out.push_str(&rest[..at]);
        rest = &rest[at..];
        let Some(length) = tag_length(rest) else {
            out.push('<');
            rest = &rest[1..];
            continue;
        };
        let (tag, behind) = rest.split_at(length);
        let name = &tag[1..length - 1];
        if name == "SKIPLINES" {
            _ = write!(out, r"\n(?P<skiplines{skips}>(?:(?:.*\n)*?))");
            skips += 1;
        } else if let Some(group) = ready_made(name, names) {
            out.push_str(&group);
        } else if let Some(name) = custom(name) {
            opened.insert(name);
            _ = write!(out, "(?P<{}>", group_name(name));
        } else if name.strip_prefix('/').and_then(custom).is_some_and(|it| opened.contains(it)) {
            out.push(')');
        } else {
            out.push_str(tag);
        }
        rest = behind;
    }
    out.push_str(rest);
    local_flags(&out)
}

/// How long the tag is that `text` begins with: `<NAME>`, `</NAME>` or `<NAME/>`.
fn tag_length(text: &str) -> Option<usize> {
    let end = text.find('>')?;
    let name = text[1..end].strip_prefix('/').unwrap_or(&text[1..end]);
    let name = name.strip_suffix('/').unwrap_or(name);
    let good = |c: char| c.is_alphanumeric() || c == '_' || c == '-';
    (!name.is_empty() && name.chars().all(good)).then_some(end + 1)
}

/// `F-NAME`, which opens a group of that name.
fn custom(name: &str) -> Option<&str> {
    let name = name.strip_prefix("F-")?;
    let good = |c: char| c.is_ascii_uppercase() || c.is_ascii_digit() || c == '_' || c == '-';
    (!name.is_empty() && name.chars().all(good)).then_some(name)
}

fn group_name(name: &str) -> String {
    match name {
        "ID" => "fid".to_owned(),
        "PORT" => "fport".to_owned(),
        name => name.to_lowercase(),
    }
}

/// Tags that stand for a whole group.
fn ready_made(name: &str, names: bool) -> Option<String> {
    let name = match name.strip_prefix("F-").and_then(|name| name.strip_suffix('/')) {
        Some("ID") => return Some(r"(?P<fid>\S+)".to_owned()),
        Some("PORT") => return Some(r"(?P<fport>\w+)".to_owned()),
        Some(name @ ("IP4" | "IP6" | "ADDR" | "CIDR" | "SUBNET" | "DNS")) => name,
        Some(_) => return None,
        None => name,
    };
    let address = format!("(?:{IP4}|{IP6})");
    Some(match name {
        "IP4" => IP4.to_owned(),
        "IP6" => IP6.to_owned(),
        "DNS" => DNS.to_owned(),
        "CIDR" => CIDR.to_owned(),
        "HOST" if !names => format!(r"\[?{address}\]?"),
        "ADDR" => format!(r"\[?{address}\]?"),
        "SUBNET" => format!(r"\[?{address}(?:/{CIDR})?\]?"),
        "HOST" => format!(r"(?:\[?{address}\]?|{DNS})"),
        _ => return None,
    })
}

/// Whether the group `name` of an expanded pattern is as a tag of ours writes it, and not by hand.
pub(super) fn is_ours(name: &str, expanded: &str) -> bool {
    let ours = match name {
        "ip4" => IP4,
        "ip6" => IP6,
        "dns" => DNS,
        _ => return false,
    };
    expanded.contains(ours)
}

const IP4: &str = r"(?:::f{4,6}:)?(?P<ip4>(?:\d{1,3}\.){3}\d{1,3})";
const IP6: &str = r"(?P<ip6>(?:[0-9a-fA-F]{1,4}::?|::){1,7}(?:[0-9a-fA-F]{1,4}|(?<=:):))";
const DNS: &str = r"(?P<dns>[\w\-.^_]*\w)";
const CIDR: &str = r"(?P<cidr>\d+)";

/// Flags right behind the parenthesis of a group, `((?i)…)` or `(?:(?i)…)`, hold for that group.
fn local_flags(pattern: &str) -> String {
    let mut out = String::with_capacity(pattern.len());
    let mut rest = pattern;
    while let Some(at) = rest.find('(') {
        let escaped = rest[..at].ends_with('\\') || (at == 0 && out.ends_with('\\'));
        let inner = rest[at + 1..].strip_prefix("?:").unwrap_or(&rest[at + 1..]);
        let flags = inner.strip_prefix("(?").and_then(|flags| {
            let end = flags.find(|c: char| !c.is_ascii_lowercase())?;
            (end > 0 && flags[end..].starts_with(')')).then_some((&flags[..end], &flags[end + 1..]))
        });
        match flags {
            Some((flags, behind)) if !escaped => {
                _ = write!(out, "{}(?{flags}:", &rest[..at]);
                rest = behind;
            }
            _ => {
                out.push_str(&rest[..=at]);
                rest = &rest[at + 1..];
            }
        }
    }
    out.push_str(rest);
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn groups_open_and_close() {
        assert_eq!(expand("^<F-USER>.+</F-USER> <F-ID/>$", true), r"^(?P<user>.+) (?P<fid>\S+)$");
        assert_eq!(expand("<F-ID>a</F-ID><F-PORT>b</F-PORT>", true), "(?P<fid>a)(?P<fport>b)");
        assert_eq!(expand("<F-ALT_USER_1>x</F-ALT_USER_1>", true), "(?P<alt_user_1>x)");
        assert_eq!(
            expand("a<b <x> </F-USER> <> <F-lower>", true),
            "a<b <x> </F-USER> <> <F-lower>"
        );
        assert_eq!(expand(r"(?P<name>x)<CIDR>", true), r"(?P<name>x)(?P<cidr>\d+)");
    }

    #[test]
    fn without_names_a_host_is_an_address() {
        assert!(expand("<HOST>", true).contains("(?P<dns>"));
        assert_eq!(expand("<HOST>", false), expand("<ADDR>", false));
        assert!(expand("<DNS>", false).contains("(?P<dns>"));
    }

    #[test]
    fn skipped_lines_are_numbered() {
        let expanded = expand("a<SKIPLINES>b<SKIPLINES>c", true);
        assert!(expanded.contains("skiplines0") && expanded.contains("skiplines1"));
    }

    #[test]
    fn flags_of_a_group_stay_in_it() {
        assert_eq!(local_flags(r"a(?:(?i)b)c((?is)d)"), "a(?i:b)c(?is:d)");
        assert_eq!(local_flags(r"(?i)a\((?i)b)"), r"(?i)a\((?i)b)");
    }
}
