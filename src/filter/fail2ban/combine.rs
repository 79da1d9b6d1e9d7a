//! Groups whose values go into another group: `<F-ALT_USER>` stands in for `<F-USER>` where that is
//! empty, and `<F-TUPLE_ID>` adds a part to `<F-ID>`.

use std::fmt::Write;
use std::sync::Arc;

use super::groups::{Groups, Text};

/// Which groups of a pattern go where, in the order of their names.
#[derive(Debug, Default)]
pub(super) struct Combine {
    alternatives: Vec<(Arc<str>, Arc<str>)>,
    parts: Vec<(Arc<str>, Arc<str>)>,
}

impl Combine {
    /// For a pattern with these groups.
    pub(super) fn new<'n>(names: impl Iterator<Item = &'n Arc<str>>) -> Combine {
        let mut combine = Combine::default();
        for name in names {
            if let Some(target) = target(name, "alt_") {
                combine.alternatives.push((Arc::clone(name), target));
            } else if let Some(target) = target(name, "tuple_") {
                combine.parts.push((Arc::clone(name), target));
            }
        }
        combine.alternatives.sort();
        combine.parts.sort_by(|(a, to_a), (b, to_b)| (to_a, a).cmp(&(to_b, b)));
        combine
    }

    /// Whether each value is that of one group: none is put together, none goes on from where it went.
    pub(super) fn is_by_one(&self) -> bool {
        let goes_on = |to: &Arc<str>| self.alternatives.iter().any(|(from, _)| from == to);
        self.parts.is_empty() && !self.alternatives.iter().any(|(_, to)| goes_on(to))
    }

    /// Which group stands in for which, in the order in which they are asked.
    pub(super) fn alternatives(&self) -> impl Iterator<Item = (&Arc<str>, &Arc<str>)> {
        self.alternatives.iter().map(|(from, to)| (from, to))
    }

    /// Puts the values where they belong.
    pub(super) fn apply(&self, groups: &mut Groups) {
        for (from, to) in &self.alternatives {
            let value = groups.get(from).cloned().flatten().filter(|value| !value.is_empty());
            let is_free =
                groups.get(to).is_none_or(|it| it.as_deref().is_none_or(<[u8]>::is_empty));
            if value.is_some() && is_free {
                groups.insert(Arc::clone(to), value);
            }
        }
        for parts in self.parts.chunk_by(|(_, to), (_, other)| to == other) {
            let to = &parts[0].1;
            // What the group itself has comes first, and counts when it has nothing, too.
            let first = std::iter::once(groups.get(to));
            let all = first.chain(parts.iter().map(|(from, _)| groups.get(from)));
            let all: Vec<_> = all.map(|value| value.and_then(Option::as_deref)).collect();
            let text = tuple(&all);
            groups.insert(Arc::clone(to), Some(Text::from_vec(text.into_bytes())));
        }
    }
}

/// `alt_user`, `alt_user_1` → `user`.
fn target(name: &str, prefix: &str) -> Option<Arc<str>> {
    let rest = name.strip_prefix(prefix).filter(|_| name.len() > "alt_".len())?;
    let is_number = |text: &str| !text.is_empty() && text.bytes().all(|b| b.is_ascii_digit());
    Some(
        match rest.rsplit_once('_').filter(|(_, number)| is_number(number)).unwrap_or((rest, "")) {
            ("id", _) => "fid".into(),
            ("port", _) => "fport".into(),
            (base, _) => base.into(),
        },
    )
}

/// The parts as one text, no two of which are alike: as Python writes a tuple, since that is how
/// fail2ban shows it to its actions.
fn tuple(parts: &[Option<&[u8]>]) -> String {
    let mut text = String::from("(");
    for (index, part) in parts.iter().enumerate() {
        if index > 0 {
            text.push_str(", ");
        }
        let Some(part) = part else {
            text.push_str("None");
            continue;
        };
        let part = String::from_utf8_lossy(part);
        let quote = if part.contains('\'') && !part.contains('"') { '"' } else { '\'' };
        text.push(quote);
        for c in part.chars() {
            match c {
                '\n' => text.push_str("\\n"),
                '\r' => text.push_str("\\r"),
                '\t' => text.push_str("\\t"),
                c if c == quote || c == '\\' => text.extend(['\\', c]),
                c if c.is_ascii_control() => _ = write!(text, "\\x{:02x}", u32::from(c)),
                c => text.push(c),
            }
        }
        text.push(quote);
    }
    text.push(')');
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    fn combined(given: &[(&str, Option<&str>)]) -> Vec<(String, String)> {
        let mut groups: Groups = given
            .iter()
            .map(|(name, value)| ((*name).into(), value.map(|it| Text::from_slice(it.as_bytes()))))
            .collect();
        let names: Vec<Arc<str>> = groups.iter().map(|(name, _)| Arc::clone(name)).collect();
        Combine::new(names.iter()).apply(&mut groups);
        let known = |(name, value): (Arc<str>, Option<Text>)| {
            Some((name.to_string(), String::from_utf8(value?.into_vec()).unwrap()))
        };
        let targets = |(name, _): &(String, String)| !name.contains('_');
        groups.into_iter().filter_map(known).filter(targets).collect()
    }

    fn one(name: &str, value: &str) -> Vec<(String, String)> {
        vec![(name.to_owned(), value.to_owned())]
    }

    #[test]
    fn an_alternative_stands_in_for_what_is_empty() {
        assert_eq!(combined(&[("user", Some("")), ("alt_user", Some("ann"))]), one("user", "ann"));
        assert_eq!(combined(&[("user", None), ("alt_user_7", Some("ann"))]), one("user", "ann"));
        assert_eq!(combined(&[("user", Some("bo")), ("alt_user", Some("ann"))]), one("user", "bo"));
        // The first that has something, by name; without the group itself, too.
        let given =
            [("alt_user_1", Some("")), ("alt_user_2", Some("b")), ("alt_user_3", Some("c"))];
        assert_eq!(combined(&given), one("user", "b"));
        assert_eq!(combined(&[("alt_user", None)]), []);
    }

    #[test]
    fn identifiers_and_ports_have_other_names_inside() {
        assert_eq!(combined(&[("alt_id", Some("x"))]), one("fid", "x"));
        assert_eq!(combined(&[("alt_port_1", Some("x"))]), one("fport", "x"));
        assert_eq!(combined(&[("tuple_id", Some("x"))]), one("fid", "(None, 'x')"));
    }

    #[test]
    fn parts_make_a_tuple() {
        let given = [("fid", Some("a")), ("tuple_id_1", Some("b")), ("tuple_id_2", None)];
        assert_eq!(combined(&given), one("fid", "('a', 'b', None)"));
        let given = [("tuple_user", Some("it's \"\\\n\u{1}"))];
        assert_eq!(combined(&given), one("user", r#"(None, 'it\'s "\\\n\x01')"#));
        assert_eq!(combined(&[("tuple_user", Some("it's"))]), one("user", "(None, \"it's\")"));
    }
}
