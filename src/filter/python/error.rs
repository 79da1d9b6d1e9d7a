//! What may go wrong: in reading a pattern, and in running one.

/// A pattern that cannot be read: where, and what is the matter.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("at byte {at}: {problem}")]
pub struct Error {
    /// Byte offset in the pattern as it was given to the parser.
    pub at: usize,
    /// What is not understood, and the likely mend.
    pub problem: Problem,
}

/// What is not understood in a pattern.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Problem {
    /// A native pattern that has something else than bytes and groups.
    #[error("{0} is left to another engine")]
    NotNative(String),
    /// `(` without `)`.
    #[error("this '(' is never closed; close it with ')' or write '\\(' for the character")]
    Unclosed,
    /// `)` without `(`.
    #[error("this ')' closes nothing; write '\\)' for the character")]
    Unopened,
    /// `[` without `]`.
    #[error("this '[' is never closed; close it with ']' or write '\\[' for the character")]
    UnclosedClass,
    /// `(?#` without `)`.
    #[error("this comment is never closed; close it with ')'")]
    UnclosedComment,
    /// The pattern stops in the middle of something.
    #[error("the pattern ends here, in the middle of {0}")]
    UnexpectedEnd(&'static str),
    /// `*` and the like with nothing in front.
    #[error("nothing to repeat here; write '\\' before the character to mean itself")]
    NothingToRepeat,
    /// `a**`.
    #[error("a repeat of a repeat; put the first one into '(?:…)'")]
    MultipleRepeat,
    /// `{3,2}`.
    #[error("the smallest count is above the greatest; swap them")]
    RepeatOrder,
    /// A count that no line can reach.
    #[error("this count is too large; leave the upper bound out")]
    RepeatTooLarge,
    /// `(?` and something unknown.
    #[error("unknown group '(?{0}'; write '\\(' for the character '('")]
    UnknownExtension(String),
    /// A name that is not an identifier.
    #[error("'{0}' is no group name; use letters, digits and '_'")]
    BadName(String),
    /// Two groups of one name.
    #[error("a second group named '{0}'; give it another name")]
    SameName(String),
    /// A reference to nothing.
    #[error("no group '{0}' before this point")]
    UnknownGroup(String),
    /// `(a\1)`.
    #[error("group {0} is still open here and cannot be referred to")]
    OpenGroup(u32),
    /// A look-behind that refers to its own group.
    #[error("group {0} is defined in this very look-behind and cannot be referred to in it")]
    LookBehindGroup(u32),
    /// `(?<=a*)`.
    #[error(
        "a look-behind must have a fixed width; every branch must match equally many characters"
    )]
    LookBehindWidth,
    /// `(?(1)a|b|c)`.
    #[error("a conditional takes at most two branches; put the others into '(?:…)'")]
    ConditionalBranches,
    /// `\q`.
    #[error("unknown escape '{0}'; leave the '\\' out to mean the letter")]
    BadEscape(String),
    /// `\x1`.
    #[error("incomplete escape '{0}'; it needs {1} hexadecimal digits")]
    ShortEscape(String, usize),
    /// A number that is no character.
    #[error("'{0}' is no character that a line can hold")]
    NoCharacter(String),
    /// `[z-a]`, `[\d-z]`.
    #[error("bad range '{0}'; put the '-' last in the class to mean itself")]
    BadRange(String),
    /// Flags that Python refuses.
    #[error("bad flags: {0}")]
    BadFlags(&'static str),
    /// Too many parentheses in each other.
    #[error("more than {0} groups inside each other")]
    TooDeep(usize),
    /// Repeats of repeats that multiply.
    #[error(
        "the pattern is too large when its counted repeats are written out; use smaller counts"
    )]
    TooLarge,
}

/// The matcher stopped at the bound that the caller set: neither a match nor none.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("out of steps: the pattern needs more work on this line than allowed")]
pub struct OutOfSteps;
