//! `<name>` in a value, replaced by the option of that name.
//!
//! All options are gone through in order, again and again until nothing changes: a replacement can make a new tag
//! (`<list_<kind>>`). A tag that names no option stays: `<HOST>`, `<F-USER>`, but also `(?P<name>`. An option that is
//! called like one of these takes its place.

use std::collections::{HashMap, HashSet};

use super::budget::{self, Budget};
use super::error::ConfError;
use super::ordered::Options;
use super::traced::Traced;

/// Looks up a tag that is none of the options at hand.
pub(super) type More<'a> = &'a mut dyn FnMut(&str) -> Result<Option<Traced>, ConfError>;

/// The options with their tags replaced. Those in `left` are neither changed nor put in.
pub(super) fn replace_all(
    options: &Options,
    left: &HashSet<String>,
    more: More<'_>,
    budget: &Budget,
) -> Result<Options, ConfError> {
    let mut tags = options.clone();
    let mut counts: HashMap<String, Counts> = HashMap::new();
    let mut done: HashSet<&str> = HashSet::new();
    loop {
        let mut again = false;
        for name in options.keys().filter(|name| !left.contains(*name)) {
            let Some(value) = tags.get(name).filter(|_| !done.contains(name)) else { continue };
            let mut count = counts.get(name).cloned().unwrap_or_default();
            let new = replace_in(name, value, &tags, left, more, budget, &mut count)?;
            if !new.as_str().contains('<') {
                done.insert(name);
            }
            if new.as_str() != value.as_str() {
                if next_tag(new.as_str(), 0).is_some() {
                    counts.insert(name.to_owned(), count);
                    again = true;
                }
                tags.insert(name, new);
            }
        }
        if !again {
            return Ok(tags);
        }
    }
}

/// How often each tag was put into one option.
type Counts = HashMap<String, u32>;

fn replace_in(
    name: &str,
    value: &Traced,
    tags: &Options,
    left: &HashSet<String>,
    more: More<'_>,
    budget: &Budget,
    counts: &mut Counts,
) -> Result<Traced, ConfError> {
    let mut value = value.clone();
    let mut from = 0;
    while let Some((at, end)) = next_tag(value.as_str(), from) {
        let tag = value.as_str()[at + 1..end - 1].to_owned();
        from = end;
        if left.contains(&tag) {
            continue;
        }
        let count = counts.get(&tag).copied().unwrap_or(0);
        if tag == name || count > MOST_TIMES {
            return Err(ConfError::at(value.place(at), circle(name, &tag)));
        }
        let by = match tags.get(&tag) {
            Some(by) => by.clone(),
            None => match more(&tag)? {
                Some(by) => by,
                None => continue,
            },
        };
        budget.spend(value.len() + by.len(), || value.place(at))?;
        // Measured before it is made: a short tag that stands often may bring a long text.
        let needle = format!("<{tag}>");
        let times = value.as_str().matches(&needle).count();
        budget::fits(value.len() + times * by.len() - times * needle.len(), || value.place(at))?;
        // Python goes on at the same index, in characters.
        let characters = value.as_str()[..at].chars().count();
        value = value.replace(&needle, &by);
        counts.insert(tag, count + 1);
        let text = value.as_str();
        from = text.char_indices().nth(characters).map_or(text.len(), |(at, _)| at);
    }
    Ok(value)
}

/// The first `<name>` at or behind byte `from`: without a space, `<` or `>` inside. Its start and end.
fn next_tag(text: &str, from: usize) -> Option<(usize, usize)> {
    let mut at = from + text[from..].find('<')?;
    loop {
        let inner = &text[at + 1..];
        let length = inner.find([' ', '<', '>'])?;
        let stop = at + 1 + length;
        if length > 0 && text[stop..].starts_with('>') {
            return Some((at, stop + 1));
        }
        at = stop + text[stop..].find('<')?;
    }
}

fn circle(name: &str, tag: &str) -> String {
    match name == tag {
        true => format!("option `{name}` is put into itself through `<{tag}>`"),
        false => format!(
            "`<{tag}>` is put into option `{name}` more than {MOST_TIMES} times; \
             do the options name each other in a circle?"
        ),
    }
}

/// fail2ban's `MAX_TAG_REPLACE_COUNT`.
const MOST_TIMES: u32 = 25;

#[cfg(test)]
mod tests {
    use super::*;

    fn run(options: &[(&str, &str)], left: &[&str]) -> Result<Vec<String>, ConfError> {
        let mut tags = Options::default();
        for (name, value) in options {
            tags.insert(name, Traced::from_outside(value, name));
        }
        let left = left.iter().map(|name| (*name).to_owned()).collect();
        let mut more =
            |tag: &str| Ok((tag == "far").then(|| Traced::from_outside("<a>", "elsewhere")));
        let tags = replace_all(&tags, &left, &mut more, &Budget::new())?;
        Ok(tags.iter().map(|(_, value)| value.as_str().to_owned()).collect())
    }

    #[test]
    fn tags_inside_tags_are_put_together() {
        let options = [("r", "x<l_<k>>y<l_<k>>"), ("k", "two"), ("l_two", "<k>!")];
        assert_eq!(run(&options, &[]).unwrap(), ["xtwo!ytwo!", "two", "two!"]);
    }

    #[test]
    fn unknown_tags_stay() {
        let text = "<HOST> (?P<name>.) <a b> <> <<HOST> a<b";
        assert_eq!(run(&[("r", text)], &[]).unwrap(), [text]);
        assert_eq!(run(&[("r", "(?P<n>é)"), ("n", "x")], &[]).unwrap()[0], "(?Pxé)");
    }

    #[test]
    fn tags_from_elsewhere_and_those_left_alone() {
        assert_eq!(run(&[("r", "<far>"), ("a", "1")], &[]).unwrap()[0], "1");
        assert_eq!(
            run(&[("r", "<a> <b>"), ("a", "<b>"), ("b", "2")], &["a"]).unwrap(),
            ["<a> 2", "<b>", "2"]
        );
    }

    #[test]
    fn circles_end_with_their_place() {
        let own = run(&[("a", "é<a>")], &[]).unwrap_err().to_string();
        assert!(own.starts_with("a:1:2: option `a` is put into itself"), "{own}");
        let pair = run(&[("a", "<b>"), ("b", "<a>")], &[]).unwrap_err().to_string();
        assert!(pair.contains("is put into itself"), "{pair}");
        // `<far>` is `<a>` again each time, and never `<r>` itself.
        let far = run(&[("r", "<b>"), ("b", "<c>x"), ("c", "<b>y")], &[]).unwrap_err().to_string();
        assert!(far.contains("more than 25 times") || far.contains("itself"), "{far}");
    }

    #[test]
    fn growth_is_bounded() {
        let mut options = vec![("a0".to_owned(), "x".repeat(1000))];
        for level in 1..20 {
            options.push((format!("a{level}"), format!("<a{}>", level - 1).repeat(8)));
        }
        options.reverse();
        let options: Vec<_> = options.iter().map(|(a, b)| (a.as_str(), b.as_str())).collect();
        assert!(run(&options, &[]).unwrap_err().to_string().contains("grows past"));
    }
}
