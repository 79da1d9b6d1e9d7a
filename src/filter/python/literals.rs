//! Text that no match of a pattern can do without.

use super::ast::{Ast, Node};

impl Ast {
    /// Runs of bytes that every match holds, none with a line break in it: where one of them is
    /// missing, the pattern need not be asked.
    pub fn literals(&self) -> Vec<Vec<u8>> {
        let mut runs = Runs::default();
        runs.node(&self.root);
        runs.cut();
        runs.found
    }
}

#[derive(Default)]
struct Runs {
    run: Vec<u8>,
    found: Vec<Vec<u8>>,
}

impl Runs {
    fn node(&mut self, node: &Node) {
        match node {
            Node::Empty | Node::Assert(_) | Node::Look { .. } => {}
            Node::Literal { char: '\n', .. } => self.cut(),
            Node::Literal { char, fold } if !fold || !char.is_ascii_alphabetic() => {
                self.run.extend_from_slice(char.encode_utf8(&mut [0; 4]).as_bytes());
            }
            Node::Group { node, .. } | Node::Atomic(node) => self.node(node),
            Node::Concat(nodes) => nodes.iter().for_each(|node| self.node(node)),
            Node::Repeat { node, min, .. } if *min > 0 => {
                self.node(node);
                self.cut();
            }
            _ => self.cut(),
        }
    }

    fn cut(&mut self) {
        if !self.run.is_empty() {
            self.found.push(std::mem::take(&mut self.run));
        }
    }
}

#[cfg(test)]
mod tests {
    use crate::filter::python::Regex;

    #[test]
    fn what_every_match_holds() {
        for (pattern, expected) in [
            (r"^one (?P<ip>\d+) two\nthree$", &["one ", " two", "three"][..]),
            ("a(?:b|c)d(ef)+g", &["a", "def", "g"]),
            ("(?:no)?x(?=look)y", &["xy"]),
            ("(?i)Ab-9", &["-9"]),
            (r"(?P<a>q)(?P=a)\w*", &["q"]),
            (".*", &[]),
        ] {
            let found = Regex::new(pattern).unwrap().ast().literals();
            let found: Vec<_> = found.iter().map(|run| str::from_utf8(run).unwrap()).collect();
            assert_eq!(found, expected, "{pattern}");
        }
    }
}
