//! Lines that are dear to match: written from a pattern's own tree, each runs one of its loops for the
//! length of the line, and spoils the end. For tests.

use super::Regex;
use super::ast::Node;
use super::chars::Set;

impl Regex {
    /// Hands lines of `length` bytes to `each`: all, or one of so many.
    pub(crate) fn crafted(&self, length: usize, one_of: usize, mut each: impl FnMut(&[u8])) {
        let mut count = 0;
        let ast = self.ast();
        let loops = loops(&ast.root);
        for target in 0..loops {
            for rich in [false, true] {
                for unit in self.units(target, rich) {
                    for tail in [Tail::Whole, Tail::Spoilt, Tail::Cut, Tail::Bare] {
                        count += 1;
                        if count % one_of != 0 {
                            continue;
                        }
                        let mut writer = Writer {
                            target,
                            rich,
                            unit: unit.clone(),
                            tail,
                            length,
                            ..Writer::default()
                        };
                        writer.node(&ast.root);
                        if tail == Tail::Spoilt {
                            writer.out.extend_from_slice(b" \x01");
                        }
                        each(&writer.out);
                    }
                }
            }
        }
    }

    /// What the loop may be filled with: one character again and again, two in turn, and what
    /// stands behind it.
    fn units(&self, target: usize, rich: bool) -> Vec<Unit> {
        let mut units: Vec<Unit> = LIKED.iter().map(|it| Unit::Liked(*it)).collect();
        for pair in ["a ", "1 ", "a.", "1.", "a:", "a,", "a=", "a\"", "a(", " (", "é ", "::", ", "]
        {
            units.push(Unit::Text(pair.as_bytes().to_vec()));
        }
        let mut writer = Writer { target, rich, tail: Tail::Whole, ..Writer::default() };
        writer.node(&self.ast().root);
        let behind = writer.out[writer.filled_to..].to_vec();
        for cut in [behind.len(), behind.len() / 2, 12] {
            let text = behind[..cut.min(behind.len()).min(200)].to_vec();
            units.push(Unit::Text(text));
        }
        units
    }
}

#[derive(Clone, Copy, Default, PartialEq, Eq)]
enum Tail {
    #[default]
    Whole,
    /// The rest of the pattern, and something that does not belong there.
    Spoilt,
    /// Nothing behind the loop.
    Bare,
    /// Half of the rest.
    Cut,
}

#[derive(Clone)]
enum Unit {
    /// The body of the loop, with this character where it may stand.
    Liked(char),
    Text(Vec<u8>),
}

impl Default for Unit {
    fn default() -> Self {
        Unit::Liked('a')
    }
}

#[derive(Default)]
struct Writer {
    target: usize,
    rich: bool,
    unit: Unit,
    tail: Tail,
    length: usize,
    out: Vec<u8>,
    seen: usize,
    filled_to: usize,
    filled: bool,
    filling: bool,
    groups: Vec<(u32, usize, usize)>,
}

impl Writer {
    fn node(&mut self, node: &Node) {
        if self.filled && self.tail == Tail::Bare {
            self.seen += loops(node);
            return;
        }
        match node {
            Node::Empty | Node::Never | Node::Assert(_) | Node::Look { .. } => {
                self.seen += loops(node);
            }
            Node::Literal { char, .. } => self.char(*char),
            Node::Set(set) => {
                let char = self.choose(set);
                self.char(char);
            }
            Node::Group { index, node } => {
                let start = self.out.len();
                self.node(node);
                if let Some(index) = index {
                    self.groups.push((*index, start, self.out.len()));
                }
            }
            Node::Atomic(node) => self.node(node),
            Node::Concat(nodes) => {
                let count = nodes.len();
                for (at, node) in nodes.iter().enumerate() {
                    if self.filled && !self.filling && self.tail == Tail::Cut && at > count / 2 {
                        self.seen += loops(node);
                    } else {
                        self.node(node);
                    }
                }
            }
            Node::Alternate(nodes) => {
                let chosen = nodes.iter().scan(self.seen, |seen, node| {
                    *seen += loops(node);
                    Some(self.target < *seen && self.target >= *seen - loops(node))
                });
                let other = if self.rich { nodes.len() - 1 } else { 0 };
                let chosen = chosen.collect::<Vec<_>>().iter().position(|it| *it).unwrap_or(other);
                for (at, node) in nodes.iter().enumerate() {
                    if at == chosen { self.node(node) } else { self.seen += loops(node) }
                }
            }
            Node::Repeat { node, min, max, .. } => self.repeat(node, *min, *max),
            Node::Backref { group, .. } => {
                let found = self.groups.iter().rfind(|it| it.0 == *group);
                if let Some(&(_, start, end)) = found
                    && end - start < 1_000
                {
                    self.out.extend_from_within(start..end);
                }
            }
            Node::Conditional { group, yes, no } => {
                if self.groups.iter().any(|it| it.0 == *group) {
                    self.node(yes);
                    self.seen += loops(no);
                } else {
                    self.seen += loops(yes);
                    self.node(no);
                }
            }
        }
    }

    fn repeat(&mut self, body: &Node, min: u32, max: Option<u32>) {
        let is_loop = max.is_none_or(|max| max > 8);
        let here = is_loop && self.seen == self.target && !self.filling;
        self.seen += usize::from(is_loop);
        if here {
            self.fill(body);
            return;
        }
        let inner = loops(body);
        let must = (self.seen..self.seen + inner).contains(&self.target) && !self.filling;
        let rounds = min.max(u32::from(must || (self.rich && max != Some(0)))).min(8);
        let seen = self.seen;
        for _ in 0..rounds {
            self.seen = seen;
            self.node(body);
        }
        self.seen = seen + inner;
    }

    fn fill(&mut self, body: &Node) {
        let seen = self.seen;
        self.filling = true;
        let room = self.length.saturating_sub(self.out.len() + 200);
        let start = self.out.len();
        let unit = match &self.unit {
            Unit::Text(text) => text.clone(),
            Unit::Liked(_) => {
                self.node(body);
                self.out.split_off(start)
            }
        };
        if !unit.is_empty() {
            while self.out.len() - start + unit.len() <= room {
                self.out.extend_from_slice(&unit);
            }
        }
        self.filling = false;
        self.filled = true;
        self.filled_to = self.out.len();
        self.seen = seen + loops(body);
    }

    fn char(&mut self, char: char) {
        self.out.extend_from_slice(char.encode_utf8(&mut [0; 4]).as_bytes());
    }

    fn choose(&self, set: &Set) -> char {
        let liked =
            if let (Unit::Liked(char), true) = (&self.unit, self.filling) { *char } else { 'a' };
        let holds = |c: char| {
            let mut room = [0; 4];
            set.step(c.encode_utf8(&mut room).as_bytes(), 0).is_some()
        };
        let mut all = std::iter::once(liked).chain(LIKED).chain((' '..='~').rev());
        all.find(|it| holds(*it)).unwrap_or('\u{e9}')
    }
}

/// Loops in a tree, in the order in which they are met.
fn loops(node: &Node) -> usize {
    match node {
        Node::Group { node, .. } | Node::Atomic(node) | Node::Look { node, .. } => loops(node),
        Node::Concat(nodes) | Node::Alternate(nodes) => nodes.iter().map(loops).sum(),
        Node::Repeat { node, max, .. } => usize::from(max.is_none_or(|max| max > 8)) + loops(node),
        Node::Conditional { yes, no, .. } => loops(yes) + loops(no),
        _ => 0,
    }
}

const LIKED: [char; 11] = ['a', '1', ' ', '"', '(', ')', '[', ',', '.', ':', 'é'];
