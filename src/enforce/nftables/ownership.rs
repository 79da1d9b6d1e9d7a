//! Who may write the table.

use std::fmt;

/// Whether others can change the table.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ownership {
    /// Flags `owner` and `persist`: only our socket writes; `nft flush ruleset` passes it by; it
    /// stays when we end.
    Owned,
    /// A plain table that anybody with CAP_NET_ADMIN can change.
    Shared(Reason),
}

/// Why the table is plain.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reason {
    /// The kernel refused the flags.
    NotAllowed,
    /// A plain table of this name was there, and nf_tables does not let one be turned.
    WasPlain,
}

impl fmt::Display for Ownership {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Ownership::Owned => {
                "the table is ours alone (flags owner, persist): while Portcullis runs, other \
                 programs cannot change or flush it; it stays when Portcullis ends"
            }
            Ownership::Shared(Reason::NotAllowed) => {
                "the table is a plain one, which other programs can change or flush: this kernel \
                 does not grant the flags owner and persist (they came with kernel 6.9)"
            }
            Ownership::Shared(Reason::WasPlain) => {
                "the table is a plain one, which other programs can change or flush: it was there \
                 before, and a plain table cannot be given an owner (to change that: \
                 `portcullis run --flush`, stop it, then start again)"
            }
        })
    }
}
