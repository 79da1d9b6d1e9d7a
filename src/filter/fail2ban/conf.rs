//! fail2ban's configuration files, read as they are.
//!
//! Owns the dialect of Python's `configparser` that fail2ban 1.0.2 speaks (sections, continuation lines, comments,
//! includes, `.local` files, `%(name)s`), the `name[option=value]` form of a filter, and the `<name>` tags that are
//! replaced by options. Enters: a folder such as `/etc/fail2ban`, a filter's name or path, options. Leaves:
//! [`Definition`] (regexes as text, each with the [`Place`] it was written at) and [`Conf`] (jails, resolved on demand).
//! Refuses to know: what a regex or a date pattern means, and what `<HOST>` or `<F-USER>` stand for. There is no list
//! of tags that the matcher knows: a tag that names no option stays as it is, and one that does is replaced.
//!
//! Bounds: [`FILE_BYTES`](load) a file, a depth and a number of includes, [`Budget`](budget) for interpolation.

mod budget;
mod definition;
mod error;
mod find;
mod get;
mod ini;
mod jails;
mod load;
mod ordered;
mod spec;
mod tags;
mod traced;

#[cfg(test)]
mod tests;

pub use definition::{Backend, Definition, filter, filter_for};
pub use error::ConfError;
pub use jails::filter_of_jail;
pub use load::Conf;
pub use spec::parse_spec;

use crate::model::Place;

/// A text and where its author wrote it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Located {
    /// The text, with everything replaced that is to be replaced.
    pub text: String,
    /// Where the line begins that it came from. A line put together from several options is placed where the
    /// outermost of them stands: there the operator sees the whole.
    pub place: Place,
}
