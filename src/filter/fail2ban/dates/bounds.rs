//! What fail2ban puts around a pattern: a group when it has none, and bounds of words or of the
//! line unless the pattern has its own. It judges that by the pattern's text, and so do we.

use super::epoch;
use super::error::DateError;
use super::fields;
use super::known::KNOWN;
use super::node::{Node, Place};
use super::parse::{Flags, Kind, Token};

/// What stands in front of a pattern.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Lead {
    /// Nothing.
    None,
    /// A place where a date may begin.
    Word,
    /// The begin of the line, and at most two characters that are no word's.
    Line,
}

impl Lead {
    /// The pattern's tree with its bounds.
    pub(super) fn wrap(self, node: Node, date_end: bool) -> Node {
        let mut nodes = match self {
            Lead::None => Vec::new(),
            Lead::Word => vec![Node::Place(Place::DateBegin)],
            Lead::Line => epoch::line_lead(),
        };
        if let (Node::Any(_), false) = (&node, self == Lead::None && !date_end) {
            // Bounds are glued to the text: the first belongs to the first way alone, the last to the last.
            let Node::Any(mut ways) = node else { return Node::empty() };
            let first = std::mem::replace(&mut ways[0], Node::empty());
            nodes.push(first);
            ways[0] = Node::Seq(nodes);
            if let (true, Some(last)) = (date_end, ways.last_mut()) {
                let way = std::mem::replace(last, Node::empty());
                *last = Node::Seq(vec![way, Node::Place(Place::DateEnd)]);
            }
            return Node::Any(ways);
        }
        nodes.push(node);
        if date_end {
            nodes.push(Node::Place(Place::DateEnd));
        }
        Node::Seq(nodes)
    }
}

/// A pattern with what is to be put around it.
pub(super) struct Bounds {
    pub(super) tokens: Vec<Token>,
    pub(super) flags: Flags,
    pub(super) lead: Lead,
    pub(super) date_end: bool,
    pub(super) line_begin: bool,
    pub(super) line_end: bool,
}

/// Decides the bounds of a pattern. `fold`: it holds names, and ignores case for them.
pub(super) fn bind(
    tokens: &[Token],
    lead: Lead,
    date_end: bool,
    fold: bool,
) -> Result<Bounds, DateError> {
    let mut tokens = trimmed(tokens, fold)?;
    let mut flags = Flags { fold, ..Flags::default() };
    if !fold {
        cut_flags(&mut tokens, &mut flags)?;
    }
    let text = text_of(&tokens);
    let lead = if bounds_itself(&text) { Lead::None } else { lead };
    let date_end = date_end && !ends_itself(&text);
    if !has_group(&text) {
        add_group(&mut tokens, &text);
    }
    let text = text_of(&tokens);
    let line_begin = lead == Lead::Line || (lead == Lead::None && begins_line(&text));
    let line_end = !date_end && ends_line(&text);
    cut_stars(&mut tokens, &text, lead, date_end);
    Ok(Bounds { tokens, flags, lead, date_end, line_begin, line_end })
}

/// Blanks around a pattern do not count; in front of names the switch for case protects them.
fn trimmed(tokens: &[Token], fold: bool) -> Result<Vec<Token>, DateError> {
    let blank = |token: &&Token| matches!(token.kind, Kind::Char(c) if c.is_whitespace());
    let end = tokens.len() - tokens.iter().rev().take_while(blank).count();
    let start = if fold { 0 } else { tokens.iter().take_while(blank).count().min(end) };
    let tokens = &tokens[start..end];
    match tokens.first() {
        // fail2ban takes the blank that these fields begin with for one of the pattern's own, and
        // is left with an expression that nothing can read.
        Some(Token { kind: Kind::Field(code), at })
            if !fold && fields::BLANK_FIRST.contains(code) =>
        {
            Err(DateError::unknown(*at, format!("%{code} cannot be the first part of a pattern")))
        }
        _ => Ok(tokens.to_vec()),
    }
}

/// Flags for the whole pattern may stand anywhere in it, once.
fn cut_flags(tokens: &mut Vec<Token>, flags: &mut Flags) -> Result<(), DateError> {
    let text = text_of(tokens);
    for start in 0..text.len() {
        if text[start..].starts_with(&['(', '?']) {
            let letters = text[start + 2..].iter().take_while(|c| c.is_ascii_lowercase()).count();
            let end = start + 2 + letters;
            if letters > 0 && text.get(end) == Some(&')') {
                let at = plain_index(tokens, start);
                flags.set(&text[start + 2..end], true, tokens[at].at)?;
                tokens.drain(at..at + letters + 3);
                return Ok(());
            }
        }
    }
    Ok(())
}

/// The number of the token in which the character `index` of [`text_of`] is.
fn plain_index(tokens: &[Token], index: usize) -> usize {
    let mut seen = 0;
    tokens
        .iter()
        .position(|token| {
            seen += length_of(token);
            seen > index
        })
        .unwrap_or(tokens.len())
}

fn length_of(token: &Token) -> usize {
    match token.kind {
        Kind::Known(number) if KNOWN[number].begins_line() => 2,
        Kind::Epoch(_) => 3,
        _ => 1,
    }
}

/// The text that is judged: what fields and formats stand for is one neutral character.
fn text_of(tokens: &[Token]) -> Vec<char> {
    let mut text = Vec::with_capacity(tokens.len());
    for token in tokens {
        match token.kind {
            Kind::Char(c) => text.push(c),
            Kind::Known(number) if KNOWN[number].begins_line() => text.extend(['^', FIELD]),
            Kind::Epoch(_) => text.extend(['(', FIELD, ')']),
            Kind::Known(_) | Kind::Field(_) => text.push(FIELD),
        }
    }
    text
}

/// Whether there is a group of the pattern's own, by a plain parenthesis, wherever it stands.
fn has_group(text: &[char]) -> bool {
    (0..text.len()).any(|i| {
        text[i] == '('
            && text.get(i + 1) != Some(&'?')
            && !(i >= 1 && text[i - 1] == '\\')
            && !(i >= 2 && text[i - 2] == '(' && text[i - 1] == '?')
    })
}

/// Makes the whole pattern group 1, but for `^` in front and `$` behind.
fn add_group(tokens: &mut Vec<Token>, text: &[char]) {
    let mut start = flag_group(text).unwrap_or(0);
    if text.get(start) == Some(&'^') {
        start += 1;
        start += flag_group(&text[start..]).unwrap_or(0);
    }
    let end = text.len() - usize::from(text.len() > start && text.last() == Some(&'$'));
    // A known format that begins with `^` itself keeps it in front of the group, too: matches the
    // same, since nothing was consumed there.
    let (first, last) = (plain_index(tokens, start), tokens.len() - (text.len() - end));
    let at =
        |tokens: &[Token], index: usize| tokens.get(index).or(tokens.last()).map_or(0, |t| t.at);
    let (open, close) = (at(tokens, first), at(tokens, last));
    tokens.insert(last, Token { kind: Kind::Char(')'), at: close });
    tokens.insert(first.min(last), Token { kind: Kind::Char('('), at: open });
}

/// The length of flags in parentheses with which `text` begins.
fn flag_group(text: &[char]) -> Option<usize> {
    let letters = text
        .strip_prefix(&['(', '?'])?
        .iter()
        .take_while(|c| c.is_alphanumeric() || **c == '_')
        .count();
    (letters > 0 && text.get(2 + letters) == Some(&')')).then_some(letters + 3)
}

/// Whether the pattern begins with `^` or `**`, be it within groups.
fn bounds_itself(text: &[char]) -> bool {
    let opening = text.iter().take_while(|c| **c == '(').count();
    (0..=opening).any(|skip| {
        let rest = &text[skip..];
        let behind_flags = flag_group(rest).map(|length| &rest[length..]);
        [Some(rest), behind_flags].into_iter().flatten().any(|rest| {
            let inner = rest.iter().take_while(|c| **c == '(').count();
            rest.first() == Some(&'^')
                || rest[inner..].starts_with(&['*', '*'])
                || rest.starts_with(&['(', '^'])
                || rest.starts_with(&['(', '?', ':', '^'])
        })
    })
}

/// Whether the pattern ends with `$`, `\b`, `\s` or `**`.
fn ends_itself(text: &[char]) -> bool {
    let closing = text.iter().rev().take_while(|c| **c == ')').count();
    let stars = text[..text.len() - closing].ends_with(&['*', '*']).then_some(closing + 2);
    let ends = |end: &[char]| text.ends_with(end).then_some(end.len());
    // Python tries every place: two stars may be the second and third of three.
    let lengths = [ends(&['$']), ends(&['$', ')']), ends(&['\\', 'b']), ends(&['\\', 's']), stars];
    lengths.into_iter().flatten().any(|length| {
        let before = text.len() - length;
        before == 0 || text[before - 1] != '\\'
    })
}

/// Whether the text begins with `^`, `(^` or `(?:^`.
fn begins_line(text: &[char]) -> bool {
    let text = &text[flag_group(text).unwrap_or(0)..];
    let group =
        |start: &[char]| text.strip_prefix(start).is_some_and(|rest| rest.first() != Some(&'|'));
    text.first() == Some(&'^') || group(&['(', '^']) || group(&['(', '?', ':', '^'])
}

/// Whether the text ends with `$` or `$)`.
fn ends_line(text: &[char]) -> bool {
    [&['$'][..], &['$', ')']].iter().any(|end| {
        text.strip_suffix(*end).is_some_and(|rest| !matches!(rest.last(), Some('\\' | '|')))
    })
}

/// Takes the two stars out that switch a bound off.
fn cut_stars(tokens: &mut Vec<Token>, text: &[char], lead: Lead, date_end: bool) {
    let closing = text.iter().rev().take_while(|c| **c == ')').count();
    let before = text.len() - closing;
    if !date_end && text[..before].ends_with(&['*', '*']) && !text[..before - 2].ends_with(&['\\'])
    {
        let end = tokens.len() - closing;
        tokens.drain(end - 2..end);
    }
    let opening = text.iter().take_while(|c| **c == '(').count();
    if lead == Lead::None && text[opening..].starts_with(&['*', '*']) && tokens.len() >= opening + 2
    {
        tokens.drain(opening..opening + 2);
    }
}

/// Stands for a field in the text that is judged: no pattern can be written with it in mind.
const FIELD: char = '\u{0}';
