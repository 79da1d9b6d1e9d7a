//! One file, as Python's `configparser` reads it with the settings that fail2ban chose.
//!
//! An option ends at the first `=` or `:`; its name is case-blind. A line indented deeper than the option's own line
//! continues its value; blank lines inside belong to it, comment lines do not. `#` and `;` begin a comment line, ` ;`
//! (behind white space) a comment inside a line, ` #` does not. An option or section twice in one file is refused.

use std::collections::HashSet;
use std::sync::Arc;

use super::ConfError;
use super::ordered::{Options, Ordered};
use super::traced::{Spot, Traced, is_space, to_u32};
use crate::model::Place;

/// The sections of one file. Values are raw.
#[derive(Clone, Debug, Default)]
pub(super) struct Ini {
    /// `[DEFAULT]`: what every section sees when it has no such option of its own.
    pub(super) defaults: Options,
    /// The other sections.
    pub(super) sections: Ordered<Options>,
}

impl Ini {
    /// Reads the text of the file `origin`.
    pub(super) fn parse(origin: &str, text: &str) -> Result<Ini, ConfError> {
        let mut reader = Reader {
            origin: origin.into(),
            ini: Ini::default(),
            section: None,
            option: None,
            indent: 0,
            seen: HashSet::new(),
        };
        // Python opens text files with universal newlines.
        let text = text.replace("\r\n", "\n").replace('\r', "\n");
        for (number, line) in text.strip_suffix('\n').unwrap_or(&text).split('\n').enumerate() {
            reader.line(number + 1, line)?;
        }
        let Ini { mut defaults, mut sections } = reader.ini;
        defaults.values_mut().for_each(Traced::trim_end);
        sections.values_mut().flat_map(Ordered::values_mut).for_each(Traced::trim_end);
        Ok(Ini { defaults, sections })
    }
}

struct Reader {
    origin: Arc<str>,
    ini: Ini,
    section: Option<String>,
    option: Option<String>,
    indent: usize,
    /// Sections and options that this file has named already.
    seen: HashSet<(String, Option<String>)>,
}

impl Reader {
    fn line(&mut self, number: usize, line: &str) -> Result<(), ConfError> {
        let comment = comment_start(line);
        let value = line[..comment.unwrap_or(line.len())].trim_matches(is_space);
        let before = line.len() - line.trim_start_matches(is_space).len();
        let indent = line[..before].chars().count();
        if value.is_empty() {
            if comment.is_none() {
                let spot = self.spot(number, 1);
                if let Some(open) = self.open_value() {
                    open.push_line("", spot);
                }
            }
            return Ok(());
        }
        let spot = self.spot(number, indent + 1);
        if indent > self.indent
            && let Some(open) = self.open_value()
        {
            open.push_line(value, spot);
            return Ok(());
        }
        self.indent = indent;
        if let Some(name) = section_name(value) {
            return self.begin_section(name, number, indent);
        }
        let Some(section) = self.section.clone() else {
            return Err(self.wrong(number, indent + 1, no_section(value)));
        };
        self.begin_option(&section, value, number, indent)
    }

    fn begin_section(&mut self, name: &str, number: usize, indent: usize) -> Result<(), ConfError> {
        self.option = None;
        self.section = Some(name.to_owned());
        if name == DEFAULT {
            return Ok(());
        }
        if !self.seen.insert((name.to_owned(), None)) {
            let what = format!("section [{name}] stands twice in this file; make one of the two");
            return Err(self.wrong(number, indent + 1, what));
        }
        self.ini.sections.insert(name, Options::default());
        Ok(())
    }

    fn begin_option(
        &mut self,
        section: &str,
        text: &str,
        number: usize,
        indent: usize,
    ) -> Result<(), ConfError> {
        let Some(at) = text.find(['=', ':']) else {
            let what = format!(
                "`{}` is neither `option = value` nor a section; to continue the value above, \
                 indent it deeper",
                shortened(text)
            );
            return Err(self.wrong(number, indent + 1, what));
        };
        let name = text[..at].trim_end_matches(is_space).to_lowercase();
        if name.is_empty() {
            let what = "no option name before the `=`; to continue the value above, indent deeper";
            return Err(self.wrong(number, indent + 1, what));
        }
        if !self.seen.insert((section.to_owned(), Some(name.clone()))) {
            let what = format!(
                "option `{name}` stands twice in [{section}] of this file; keep one, or indent \
                 the line if it continues a value"
            );
            return Err(self.wrong(number, indent + 1, what));
        }
        let value = text[at + 1..].trim_start_matches(is_space);
        let column = indent + text[..text.len() - value.len()].chars().count() + 1;
        let value = Traced::new(value, self.spot(number, column));
        if let Some(options) = self.options(section) {
            options.insert(&name, value);
        }
        self.option = Some(name);
        Ok(())
    }

    fn options(&mut self, section: &str) -> Option<&mut Options> {
        match section {
            DEFAULT => Some(&mut self.ini.defaults),
            _ => self.ini.sections.get_mut(section),
        }
    }

    fn open_value(&mut self) -> Option<&mut Traced> {
        let (section, option) = (self.section.clone()?, self.option.clone()?);
        self.options(&section)?.get_mut(&option)
    }

    fn spot(&self, number: usize, column: usize) -> Spot {
        let column = to_u32(column);
        Spot { origin: self.origin.clone(), line: to_u32(number), start: column, column }
    }

    fn wrong(&self, line: usize, column: usize, what: impl Into<String>) -> ConfError {
        ConfError::at(Place { origin: self.origin.to_string(), line, column }, what)
    }
}

/// The byte where a comment begins: 0 for a comment line, otherwise the first `;` behind white space.
fn comment_start(line: &str) -> Option<usize> {
    if line.trim_start_matches(is_space).starts_with(['#', ';']) {
        return Some(0);
    }
    line.match_indices(';')
        .map(|(at, _)| at)
        .find(|at| line[..*at].chars().next_back().is_none_or(is_space))
}

/// The name between `[` and the last `]`; what stands behind is not read.
fn section_name(text: &str) -> Option<&str> {
    let inner = text.strip_prefix('[')?;
    inner.rfind(']').map(|end| &inner[..end]).filter(|name| !name.is_empty())
}

fn no_section(text: &str) -> String {
    let mend = match text.starts_with('\u{feff}') {
        true => "save the file without the byte order mark that it begins with",
        false => "begin with a section such as [Definition]",
    };
    format!(
        "`{}` stands before any section; {mend}",
        shortened(text.trim_start_matches('\u{feff}'))
    )
}

/// Enough of a line to recognise it.
fn shortened(text: &str) -> String {
    match text.char_indices().nth(40) {
        Some((end, _)) => format!("{}…", &text[..end]),
        None => text.to_owned(),
    }
}

/// The section whose options all others see.
pub(super) const DEFAULT: &str = "DEFAULT";

#[cfg(test)]
mod tests {
    use super::*;

    fn value(text: &str, section: &str, option: &str) -> Option<String> {
        let ini = Ini::parse("f", text).unwrap();
        let options = if section == DEFAULT { &ini.defaults } else { ini.sections.get(section)? };
        options.get(option).map(|value| value.as_str().to_owned())
    }

    fn problem(text: &str) -> String {
        Ini::parse("f", text).unwrap_err().to_string()
    }

    #[test]
    fn the_first_delimiter_divides_and_names_are_case_blind() {
        assert_eq!(value("[S]\nA B : x=y\n", "S", "a b").unwrap(), "x=y");
        assert_eq!(value("[S]\nÄ= x : y", "S", "ä").unwrap(), "x : y");
        assert_eq!(value("[S]\na =\n", "S", "a").unwrap(), "");
        assert_eq!(value("[s]\na = 1\n", "S", "a"), None, "sections are not case-blind");
    }

    #[test]
    fn deeper_lines_continue_and_blank_lines_inside_stay() {
        let text = "[S]\na =\n  one\n\n  # gone\n   ; gone\n    two = 2\n\n\nb = 3\n";
        assert_eq!(value(text, "S", "a").unwrap(), "\none\n\ntwo = 2");
        assert_eq!(value(text, "S", "b").unwrap(), "3");
        let indented = "[S]\n  a = 1\n  b = 2\n   more\n c = 3";
        assert_eq!(value(indented, "S", "b").unwrap(), "2\nmore");
        assert_eq!(value(indented, "S", "c").unwrap(), "3", "less deep: a new option");
        assert_eq!(value("[S]\na = 1\n [T]\n", "S", "a").unwrap(), "1\n[T]");
    }

    #[test]
    fn comments_inside_a_line_need_white_space_and_a_semicolon() {
        assert_eq!(value("[S] ; x\na = 1;2 # 3\t;4\n", "S", "a").unwrap(), "1;2 # 3");
        assert_eq!(value("[S]\na = 1\n  ;;\n  b;c\n", "S", "a").unwrap(), "1\nb;c");
        assert_eq!(value("[S]\na = 1\n \u{a0};x\n #y\n  z ;\n", "S", "a").unwrap(), "1\nz");
    }

    #[test]
    fn a_header_ends_at_its_last_bracket() {
        assert_eq!(value("[a] b] c\nx = 1", "a] b", "x").unwrap(), "1");
        assert_eq!(value("[S]\n[] = 1\n", "S", "[]").unwrap(), "1");
    }

    #[test]
    fn default_may_be_continued_but_not_repeated() {
        assert_eq!(value("[DEFAULT]\na=1\n[S]\n[DEFAULT]\nb=2", DEFAULT, "b").unwrap(), "2");
        assert!(
            problem("[DEFAULT]\na=1\n[DEFAULT]\nA=2").starts_with("f:4:1: option `a` stands twice")
        );
    }

    #[test]
    fn every_kind_of_newline_ends_a_line() {
        assert_eq!(value("[S]\r\na = 1\r\n  2\rb = 3", "S", "a").unwrap(), "1\n2");
        assert_eq!(value("[S]\ra = 1\u{2028}2\u{b}3", "S", "a").unwrap(), "1\u{2028}2\u{b}3");
    }

    #[test]
    fn what_python_refuses_is_refused_with_its_place() {
        assert!(problem("# c\n  a = 1\n").starts_with("f:2:3: `a = 1` stands before any section"));
        assert!(problem("\u{feff}[S]\n").contains("byte order mark"));
        assert!(problem("[S]\na = 1\n[T]\n[S]\n").starts_with("f:4:1: section [S] stands twice"));
        assert!(problem("[S]\na=1\nhello\n").starts_with("f:3:1: `hello` is neither"));
        assert!(problem("[S]\n\t= 1\n").starts_with("f:2:2: no option name"));
        assert!(problem("[S]\na=1\na=2\n").starts_with("f:3:1: option `a` stands twice"));
    }

    #[test]
    fn lines_remember_their_places() {
        let ini = Ini::parse("f", "[S]\n ä = x y\n   z\n\n    w\n").unwrap();
        let lines = ini.sections.get("S").unwrap().get("ä").unwrap().lines();
        let places: Vec<_> = lines.iter().map(|line| line.place.to_string()).collect();
        assert_eq!(places, ["f:2:6", "f:3:4", "f:5:5"]);
    }
}
