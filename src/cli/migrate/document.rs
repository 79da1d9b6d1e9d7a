//! The configuration as it is put together, and written down.
//!
//! What this version does not know is written as a comment in the place where it belongs.

use super::known::is_known;
use super::report::one_line;

/// A table of the configuration.
#[derive(Debug)]
pub(super) struct Table {
    header: String,
    /// Its name in the list of known keys.
    kind: &'static str,
    remarks: Vec<String>,
    keys: Vec<(&'static str, String)>,
}

impl Table {
    /// `header` is `[server]`, `[[file]]` …, `kind` the table's name in the list of known keys.
    pub(super) fn new(header: impl Into<String>, kind: &'static str) -> Table {
        Table { header: header.into(), kind, remarks: Vec::new(), keys: Vec::new() }
    }

    /// Adds a comment below the header.
    pub(super) fn remark(&mut self, text: &str) {
        let text = one_line(text);
        if !self.remarks.contains(&text) {
            self.remarks.push(text);
        }
    }

    /// Adds a key. `value` is TOML.
    pub(super) fn set(&mut self, key: &'static str, value: impl Into<String>) {
        self.keys.push((key, value.into()));
    }

    /// The value of a key, as TOML.
    pub(super) fn get(&self, key: &str) -> Option<&str> {
        self.keys.iter().find(|(name, _)| *name == key).map(|(_, value)| &**value)
    }

    /// Whether there is nothing in it.
    pub(super) fn is_empty(&self) -> bool {
        self.keys.is_empty()
    }

    /// What of it this version does not know: itself, or keys.
    pub(super) fn unknown(&self) -> impl Iterator<Item = String> {
        let table = (!is_known(self.kind)).then(|| self.kind.to_owned());
        let keys = if table.is_some() { &[] } else { &*self.keys };
        let keys = keys.iter().map(|(key, _)| format!("{}.{key}", self.kind));
        table.into_iter().chain(keys.filter(|key| !is_known(key)))
    }

    fn write(&self, out: &mut String) {
        let table = if is_known(self.kind) { "" } else { "# " };
        let later = if table.is_empty() { "" } else { UNKNOWN };
        *out += &format!("{table}{}{later}\n", self.header);
        for remark in &self.remarks {
            *out += &format!("# {remark}\n");
        }
        for (key, value) in &self.keys {
            let known = is_known(&format!("{}.{key}", self.kind));
            let (mark, later) = match known {
                true => ("", ""),
                // Said once, at the header.
                false if !table.is_empty() => ("# ", ""),
                false => ("# ", UNKNOWN),
            };
            *out += &format!("{mark}{key} = {value}{later}\n");
        }
    }
}

/// The whole: comments at the head, then the tables.
pub(super) fn written(head: &[String], tables: &[Table]) -> String {
    let mut out = String::new();
    for line in head {
        let line = one_line(line);
        out += format!("# {line}").trim_end();
        out.push('\n');
    }
    for table in tables {
        out.push('\n');
        table.write(&mut out);
    }
    out
}

/// A TOML basic string. JSON's escapes are TOML's, but for DEL.
pub(super) fn quoted(text: &str) -> String {
    serde_json::Value::from(text).to_string().replace('\x7f', "\\u007F")
}

/// A TOML array of strings.
pub(super) fn array<S: AsRef<str>>(texts: impl IntoIterator<Item = S>) -> String {
    let texts: Vec<_> = texts.into_iter().map(|text| quoted(text.as_ref())).collect();
    format!("[{}]", texts.join(", "))
}

/// A key of a table's header: bare where TOML allows it.
pub(super) fn key(name: &str) -> String {
    let is_bare = |c: char| c.is_ascii_alphanumeric() || c == '_' || c == '-';
    match !name.is_empty() && name.chars().all(is_bare) {
        true => name.to_owned(),
        false => quoted(name),
    }
}

const UNKNOWN: &str = "   # not known to this version";

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_not_known_is_a_comment() {
        let mut jail = Table::new(format!("[jail.{}]", key("a b")), "jail");
        jail.remark("two\nlines");
        jail.set("maxretry", "3");
        jail.set("actions", array(["mail"]));
        let mut file = Table::new("[[file]]", "file");
        file.set("paths", array(["/a\n\x7f\""]));
        assert_eq!(
            written(&["head\n[server]".to_owned()], &[jail, file]),
            "# head [server]\n\n[jail.\"a b\"]\n# two lines\nmaxretry = 3\n\
             # actions = [\"mail\"]   # not known to this version\n\n\
             # [[file]]   # not known to this version\n# paths = [\"/a\\n\\u007F\\\"\"]\n"
        );
    }

    #[test]
    fn any_text_is_a_string() {
        let text = "\u{0}\u{1f}\u{7f}\"\\\u{e9}\u{2028}\n";
        let table: toml::Table = toml::from_str(&format!("a = {}", quoted(text))).unwrap();
        assert_eq!(table["a"].as_str(), Some(text));
    }
}
