//! Inline flags: `(?i)`, `(?s-m:…)`.

use super::{Error, Parser, Problem};

/// The flags that change what a node means.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct Flags {
    pub(super) ascii: bool,
    pub(super) ignore_case: bool,
    pub(super) multi_line: bool,
    pub(super) dot_all: bool,
    pub(super) verbose: bool,
    /// Said aloud; it is the default.
    pub(super) unicode: bool,
}

/// What `(?…` turned out to be.
pub(super) enum Scope {
    /// `(?i)`: for the whole pattern, already noted.
    Global,
    /// `(?i:`: for this group.
    Group(Flags),
}

impl Parser<'_> {
    /// After `(?`: the letters, up to and including `)` or `:`.
    pub(super) fn flags(&mut self, outer: Flags) -> Result<Scope, Error> {
        let start = self.at;
        let bad = |parser: &Self, why| parser.error(start, Problem::BadFlags(why));
        let on = self.take_while(usize::MAX, |c| c.is_ascii_alphabetic());
        let mut flags = Flags::default();
        for letter in on.chars() {
            if !flags.set(letter, true) {
                return Err(bad(self, explain(letter)));
            }
        }
        if flags.ascii && flags.unicode {
            return Err(bad(self, "'a' and 'u' exclude each other; keep one"));
        }
        match self.bump() {
            Some(')') => {
                self.global.add(flags);
                if self.global.ascii && self.global.unicode {
                    return Err(bad(self, "'a' and 'u' exclude each other; keep one"));
                }
                Ok(Scope::Global)
            }
            Some(':') => Ok(Scope::Group(outer.with(flags, Flags::default()))),
            Some('-') => {
                let off = self.take_while(usize::MAX, |c| c.is_ascii_alphabetic());
                let mut without = Flags::default();
                for letter in off.chars() {
                    if matches!(letter, 'a' | 'u' | 'L') || !without.set(letter, true) {
                        return Err(bad(self, "only i, m, s and x can be turned off"));
                    }
                    if on.contains(letter) {
                        return Err(bad(self, "a flag is turned on and off at once"));
                    }
                }
                if off.is_empty() {
                    return Err(bad(self, "a flag is missing behind '-'"));
                }
                if !self.eat(':') {
                    return Err(bad(
                        self,
                        "flags that are turned off need ':' and a group, as '(?-i:…)'",
                    ));
                }
                Ok(Scope::Group(outer.with(flags, without)))
            }
            _ => Err(bad(self, "')' or ':' is missing behind the flags")),
        }
    }
}

impl Flags {
    fn set(&mut self, letter: char, on: bool) -> bool {
        let flag = match letter {
            'a' => &mut self.ascii,
            'i' => &mut self.ignore_case,
            'm' => &mut self.multi_line,
            's' => &mut self.dot_all,
            'u' => &mut self.unicode,
            'x' => &mut self.verbose,
            _ => return false,
        };
        *flag = on;
        true
    }

    fn add(&mut self, other: Self) {
        *self = Self {
            ascii: self.ascii || other.ascii,
            unicode: self.unicode || other.unicode,
            ..self.with(other, Self::default())
        };
    }

    fn with(self, on: Self, off: Self) -> Self {
        Self {
            ascii: on.ascii || (self.ascii && !on.unicode),
            unicode: on.unicode || (self.unicode && !on.ascii),
            ignore_case: (self.ignore_case || on.ignore_case) && !off.ignore_case,
            multi_line: (self.multi_line || on.multi_line) && !off.multi_line,
            dot_all: (self.dot_all || on.dot_all) && !off.dot_all,
            verbose: (self.verbose || on.verbose) && !off.verbose,
        }
    }
}

fn explain(letter: char) -> &'static str {
    match letter {
        'L' => "'L' is for patterns of bytes, and lines are text; leave it out",
        _ => "the flags are a, i, m, s, u and x",
    }
}
