//! [`Ast`] → a regular expression over bytes that matches wherever the pattern does, and perhaps
//! elsewhere: no look-arounds, no back-references, nothing that an automaton cannot do.

use regex_syntax::hir::{Class, ClassBytes, ClassBytesRange, Hir, Look, Repetition};

use super::ast::{Assert, Ast, Node};
use super::chars::Set;

/// How far the superset may be from the pattern, and what is put for groups.
pub struct Options<'a> {
    /// Counts beyond this become "any number".
    pub count_limit: u32,
    /// The texts hold no newline; then `$` is the end of the text and nothing else.
    pub single_line: bool,
    /// What stands for a named group instead of its body; it must match all that the body does.
    pub replace: &'a dyn Fn(&str) -> Option<Hir>,
}

impl Default for Options<'_> {
    fn default() -> Self {
        Self { count_limit: 16, single_line: false, replace: &|_| None }
    }
}

impl std::fmt::Debug for Options<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Options").field("count_limit", &self.count_limit).finish_non_exhaustive()
    }
}

/// A regular superset of a pattern.
#[derive(Debug, Clone)]
pub struct Superset {
    hir: Hir,
    anchored: bool,
}

impl Superset {
    /// The expression; a match may begin anywhere unless [`Superset::anchored`].
    /// It may match stray bytes: build automata with `utf8(false)`.
    pub fn hir(&self) -> &Hir {
        &self.hir
    }

    /// Whether every match begins at the start of the text.
    pub fn anchored(&self) -> bool {
        self.anchored
    }

    /// The expression for an anchored search: what comes before a match is part of it.
    pub fn unanchored(&self) -> Hir {
        if self.anchored {
            return self.hir.clone();
        }
        let any = Hir::repetition(Repetition {
            min: 0,
            max: None,
            greedy: false,
            sub: Box::new(class(|_| true)),
        });
        Hir::concat(vec![any, self.hir.clone()])
    }
}

/// See the module's head.
pub fn superset(ast: &Ast, options: &Options<'_>) -> Superset {
    let mut groups = vec![None; ast.groups.len()];
    collect(&ast.root, &mut groups);
    let mut writer = Writer { ast, options, groups, referring: 0 };
    let hir = writer.node(&ast.root);
    let anchored = hir.properties().look_set_prefix().contains(Look::Start);
    Superset { hir, anchored }
}

struct Writer<'a> {
    ast: &'a Ast,
    options: &'a Options<'a>,
    /// The body of each group.
    groups: Vec<Option<&'a Node>>,
    /// How deep back-references stand in bodies of back-references.
    referring: u32,
}

impl<'a> Writer<'a> {
    fn node(&mut self, node: &'a Node) -> Hir {
        match node {
            Node::Empty | Node::Look { .. } => Hir::empty(),
            Node::Never => Hir::fail(),
            Node::Literal { char, fold: false } => {
                Hir::literal(char.encode_utf8(&mut [0; 4]).as_bytes())
            }
            Node::Literal { char, fold: true } => class(|b| b.eq_ignore_ascii_case(&(*char as u8))),
            Node::Set(set) => one(set),
            Node::Assert(assert) => self.assert(*assert),
            Node::Group { index: Some(index), node } => self.group(*index, node),
            Node::Group { index: None, node } | Node::Atomic(node) => self.node(node),
            Node::Concat(nodes) => Hir::concat(nodes.iter().map(|n| self.node(n)).collect()),
            Node::Alternate(nodes) => {
                Hir::alternation(nodes.iter().map(|n| self.node(n)).collect())
            }
            Node::Repeat { node, min, max, .. } => self.repeat(node, *min, *max),
            Node::Backref { group, fold } => self.backref(*group, fold.is_some()),
            Node::Conditional { yes, no, .. } => {
                let both = vec![self.node(yes), self.node(no)];
                Hir::alternation(both)
            }
        }
    }

    fn assert(&self, assert: Assert) -> Hir {
        Hir::look(match assert {
            Assert::TextStart => Look::Start,
            Assert::LineStart => Look::StartLF,
            Assert::TextEnd => Look::End,
            Assert::End | Assert::LineEnd if self.options.single_line => Look::End,
            Assert::End | Assert::LineEnd => Look::EndLF,
            // Words are Unicode's, which a lazy automaton over bytes cannot tell; and an ASCII edge
            // doubles its states.
            Assert::Word { .. } | Assert::NotWord { .. } => return Hir::empty(),
        })
    }

    fn group(&mut self, index: u32, node: &'a Node) -> Hir {
        let name = self.ast.groups.get(index as usize).and_then(Option::as_deref);
        match name.and_then(|name| (self.options.replace)(name)) {
            Some(hir) => hir,
            None => self.node(node),
        }
    }

    fn repeat(&mut self, node: &'a Node, min: u32, max: Option<u32>) -> Hir {
        let limit = self.options.count_limit;
        let (min, max) = (min.min(limit), max.filter(|max| *max <= limit));
        let wide = match node.one() {
            Some(Node::Set(set)) if set.has_wide() => Some(set),
            _ => None,
        };
        let (sub, max) = match wide {
            // By bytes instead of by characters: more bytes than characters, so that only a lower
            // bound is left.
            Some(set) if max != Some(1) => {
                (class(|b| b >= 0x80 || set.bytes[usize::from(b)]), None)
            }
            _ => (self.node(node), max),
        };
        Hir::repetition(Repetition { min, max, greedy: true, sub: Box::new(sub) })
    }

    /// The body of the group once more; without case, or when it goes round in circles, anything.
    fn backref(&mut self, group: u32, fold: bool) -> Hir {
        let body = self.groups.get(group as usize).copied().flatten();
        match body {
            Some(body) if !fold && self.referring < MAX_REFERRING => {
                self.referring += 1;
                let hir = self.group(group, body);
                self.referring -= 1;
                // What a group has matched need not stand where its anchors would hold again.
                without_looks(&hir)
            }
            _ => Hir::repetition(Repetition {
                min: 0,
                max: None,
                greedy: true,
                sub: Box::new(class(|_| true)),
            }),
        }
    }
}

/// The expression with every anchor taken for true: for what stands elsewhere than it was written.
pub fn without_looks(hir: &Hir) -> Hir {
    use regex_syntax::hir::HirKind;
    match hir.kind() {
        HirKind::Look(_) => Hir::empty(),
        HirKind::Repetition(rep) => {
            Hir::repetition(Repetition { sub: Box::new(without_looks(&rep.sub)), ..rep.clone() })
        }
        HirKind::Concat(subs) => Hir::concat(subs.iter().map(without_looks).collect()),
        HirKind::Alternation(subs) => Hir::alternation(subs.iter().map(without_looks).collect()),
        _ => hir.clone(),
    }
}

fn collect<'a>(node: &'a Node, groups: &mut [Option<&'a Node>]) {
    match node {
        Node::Group { index, node } => {
            if let Some(index) = index {
                groups[*index as usize] = Some(node);
            }
            collect(node, groups);
        }
        Node::Atomic(node) | Node::Repeat { node, .. } | Node::Look { node, .. } => {
            collect(node, groups)
        }
        Node::Concat(nodes) | Node::Alternate(nodes) => {
            nodes.iter().for_each(|n| collect(n, groups))
        }
        Node::Conditional { yes, no, .. } => {
            collect(yes, groups);
            collect(no, groups);
        }
        _ => {}
    }
}

/// One character of the set: an ASCII byte, or any sequence that could be a wide one.
fn one(set: &Set) -> Hir {
    let ascii = class(|b| b < 0x80 && set.bytes[usize::from(b)]);
    if !set.has_wide() {
        return ascii;
    }
    let wide =
        Repetition { min: 1, max: Some(4), greedy: true, sub: Box::new(class(|b| b >= 0x80)) };
    Hir::alternation(vec![ascii, Hir::repetition(wide)])
}

fn class(holds: impl Fn(u8) -> bool) -> Hir {
    let bytes = (0u8..=255).filter(|b| holds(*b)).map(|b| ClassBytesRange::new(b, b));
    Hir::class(Class::Bytes(ClassBytes::new(bytes)))
}

/// Back-references to groups with back-references multiply; beyond this depth anything will do.
const MAX_REFERRING: u32 = 3;
