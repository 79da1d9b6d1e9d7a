//! What a match holds, read where it stands in the line: most hits are an address and a user, and
//! need no groups of their own.
//!
//! A [`Layout`] is made once for each `failregex`: by name, the groups that a value may come from.

use std::sync::Arc;

use super::combine::Combine;
use super::groups::{Groups, Text};
use super::rules::Match;
use crate::filter::python::Spans;

/// Groups that fail2ban knows a meaning of.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Tag {
    /// An IPv4 address.
    Ip4,
    /// An IPv6 address.
    Ip6,
    /// A host's name.
    Dns,
    /// An identifier of the filter's own.
    Id,
    /// How long a network's prefix is.
    Cidr,
    /// The session.
    Session,
    /// Who was tried.
    User,
}

/// The groups of a match, by tag.
pub trait Tagged {
    /// The text of a group, if it took part in the match.
    fn text(&self, tag: Tag) -> Option<&[u8]>;
}

/// A match of a filter, with its groups in the line, or in [`Groups`].
#[derive(Clone, Copy, Debug)]
pub struct Captured<'a> {
    /// The `failregex` that matched, counted from 0.
    pub rule: usize,
    form: Form<'a>,
}

#[derive(Clone, Copy, Debug)]
enum Form<'a> {
    Line { layout: &'a Layout, before: Option<Part<'a>>, own: Part<'a> },
    Groups(&'a Groups),
}

/// A pattern's match, and the text that it is in.
#[derive(Clone, Copy, Debug)]
pub(super) struct Part<'a> {
    pub(super) text: &'a [u8],
    pub(super) spans: Spans<'a>,
}

/// Where the values of a `failregex` and its `prefregex` are found.
#[derive(Debug, Default)]
pub(super) struct Layout {
    /// In the order of the names.
    names: Vec<(Arc<str>, Source)>,
    /// By [`Tag`], its place among the names.
    tags: [Option<usize>; TAGS.len()],
    /// Whether that tells all. Values that are put together need [`Groups`].
    pub(super) is_whole: bool,
}

/// The `failregex` comes first where it has such a group.
#[derive(Debug, Default)]
struct Source {
    own: Groupings,
    before: Groupings,
}

/// Groups of one pattern for one name.
#[derive(Debug, Default)]
struct Groupings {
    own: Option<usize>,
    /// Those that stand in where it is empty.
    others: Vec<usize>,
}

/// The named groups of a pattern, by index, and which of them go where.
pub(super) type Named<'r> = (&'r [(usize, Arc<str>)], &'r Combine);

impl Layout {
    pub(super) fn new(before: Option<Named<'_>>, own: Named<'_>) -> Layout {
        let is_whole = own.1.is_by_one() && before.is_none_or(|(_, combine)| combine.is_by_one());
        let mut layout = Layout { is_whole, ..Layout::default() };
        if let Some(named) = before {
            layout.add(named, |source| &mut source.before);
            // That is the text of the others.
            layout.names.retain(|(name, _)| &**name != "content");
        }
        layout.add(own, |source| &mut source.own);
        layout.tags = TAGS.map(|tag| layout.place(tag.name()).ok());
        layout
    }

    fn add(&mut self, (groups, combine): Named<'_>, of: impl Fn(&mut Source) -> &mut Groupings) {
        for (index, name) in groups {
            of(self.source(name)).own = Some(*index);
        }
        for (from, to) in combine.alternatives() {
            let from = groups.iter().find(|(_, name)| name == from).map(|(index, _)| *index);
            of(self.source(to)).others.extend(from);
        }
    }

    fn source(&mut self, name: &Arc<str>) -> &mut Source {
        let at = self.place(name).unwrap_or_else(|at| {
            self.names.insert(at, (Arc::clone(name), Source::default()));
            at
        });
        &mut self.names[at].1
    }

    fn place(&self, name: &str) -> Result<usize, usize> {
        self.names.binary_search_by(|(it, _)| (**it).cmp(name))
    }
}

impl Source {
    /// `None` when there is no group of that name, `Some(None)` when it took no part.
    #[inline]
    fn read<'a>(&self, before: Option<&Part<'a>>, own: &Part<'a>) -> Option<Option<&'a [u8]>> {
        self.own.read(own).or_else(|| self.before.read(before?))
    }
}

impl Groupings {
    #[inline]
    fn read<'a>(&self, part: &Part<'a>) -> Option<Option<&'a [u8]>> {
        let text = self.own.map(|index| part.group(index));
        if self.others.is_empty() {
            return text;
        }
        if text.flatten().is_some_and(|it| !it.is_empty()) {
            return text;
        }
        let others = self.others.iter().filter_map(|index| part.group(*index));
        others.filter(|it| !it.is_empty()).map(Some).next().or(text)
    }
}

impl<'a> Part<'a> {
    #[inline]
    fn group(&self, index: usize) -> Option<&'a [u8]> {
        self.spans.group(index).map(|(start, end)| &self.text[start..end])
    }
}

impl<'a> Captured<'a> {
    pub(super) fn in_line(
        rule: usize,
        layout: &'a Layout,
        before: Option<Part<'a>>,
        own: Part<'a>,
    ) -> Captured<'a> {
        Captured { rule, form: Form::Line { layout, before, own } }
    }

    /// All groups, to keep.
    pub fn groups(&self) -> Groups {
        match &self.form {
            Form::Groups(groups) => (*groups).clone(),
            Form::Line { layout, before, own } => {
                let mut groups = Groups::new();
                for (name, source) in &layout.names {
                    if let Some(text) = source.read(before.as_ref(), own) {
                        groups.push_last(Arc::clone(name), text.map(Text::from_slice));
                    }
                }
                groups
            }
        }
    }

    /// A copy that needs no line.
    pub fn to_match(&self) -> Match {
        Match { rule: self.rule, groups: self.groups() }
    }
}

impl<'a> From<&'a Match> for Captured<'a> {
    fn from(found: &'a Match) -> Captured<'a> {
        Captured { rule: found.rule, form: Form::Groups(&found.groups) }
    }
}

impl Tagged for Captured<'_> {
    #[inline]
    fn text(&self, tag: Tag) -> Option<&[u8]> {
        match &self.form {
            Form::Groups(groups) => groups.text(tag),
            Form::Line { layout, before, own } => {
                let at = layout.tags[tag as usize]?;
                layout.names[at].1.read(before.as_ref(), own)?
            }
        }
    }
}

impl Tagged for Groups {
    fn text(&self, tag: Tag) -> Option<&[u8]> {
        self.get(tag.name())?.as_deref()
    }
}

impl Tag {
    /// The name of its group.
    pub fn name(self) -> &'static str {
        match self {
            Tag::Ip4 => "ip4",
            Tag::Ip6 => "ip6",
            Tag::Dns => "dns",
            Tag::Id => "fid",
            Tag::Cidr => "cidr",
            Tag::Session => "mlfid",
            Tag::User => "user",
        }
    }
}

/// All, in their order.
const TAGS: [Tag; 7] = [Tag::Ip4, Tag::Ip6, Tag::Dns, Tag::Id, Tag::Cidr, Tag::Session, Tag::User];
