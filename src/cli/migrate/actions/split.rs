//! Several actions in one option: names with options in brackets, white space between.

/// The actions of an option, each with its options.
pub(super) fn actions(text: &str) -> Vec<&str> {
    let mut found = Vec::new();
    let mut rest = text.trim_start();
    while !rest.is_empty() {
        let name = rest.find(|c: char| c == '[' || c.is_whitespace()).unwrap_or(rest.len());
        let mut end = match name {
            // Brackets without a name are a word of their own, to be refused as one.
            0 => rest.find(char::is_whitespace).unwrap_or(rest.len()),
            name => name,
        };
        // More than one pair of brackets may follow.
        while let Some(group) = opened(&rest[end..]) {
            end += group;
        }
        found.push(rest[..end].trim_end());
        rest = rest[end..].trim_start();
    }
    found
}

/// The length of white space and a pair of brackets, when that is next; without an end, of all.
fn opened(text: &str) -> Option<usize> {
    let inner = text.trim_start().strip_prefix('[')?;
    let start = text.len() - inner.len();
    let mut quote = None;
    for (at, character) in inner.char_indices() {
        match (quote, character) {
            (None, ']') => return Some(start + at + 1),
            // A quote opens only where a value begins.
            (None, '"' | '\'') if inner[..at].ends_with('=') => quote = Some(character),
            (Some(open), _) if open == character => quote = None,
            _ => {}
        }
    }
    Some(text.len())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn brackets_and_quotes_hold_together() {
        assert_eq!(actions("  \n"), Vec::<&str>::new());
        assert_eq!(actions("a b\nc"), ["a", "b", "c"]);
        assert_eq!(
            actions("a[x=\"1] b\", y='\n'] \n b [z=1][y=2]\n  c"),
            ["a[x=\"1] b\", y='\n']", "b [z=1][y=2]", "c"]
        );
        assert_eq!(actions("a[x=it's] b"), ["a[x=it's]", "b"]);
        assert_eq!(actions("a[x b"), ["a[x b"]);
        assert_eq!(actions("[x=1] é"), ["[x=1]", "é"]);
    }
}
