//! Why the kernel did not do what was asked, in words that lead to the mend.

use std::io;

use super::socket::Refusal;
use crate::model::Prefix;

/// What went wrong between Portcullis and nf_tables.
#[derive(Debug, thiserror::Error)]
pub enum GateError {
    /// `EPERM`, and no other owner of the table explains it.
    #[error(
        "cannot {attempt}: permission denied; this needs CAP_NET_ADMIN in the network namespace \
         (run as root, or grant AmbientCapabilities=CAP_NET_ADMIN)"
    )]
    Permission {
        /// What was tried.
        attempt: String,
    },
    /// The kernel does not know nf_tables or this family.
    #[error(
        "cannot {attempt}: {source}; this is a kernel without nf_tables \
         (needs CONFIG_NF_TABLES and CONFIG_NF_TABLES_INET, or their modules loaded)"
    )]
    NoNftables {
        /// What was tried.
        attempt: String,
        /// The kernel's answer.
        source: io::Error,
    },
    /// Another live process holds the table with the flag `owner`.
    #[error(
        "table inet {table} is owned by {owner}; stop that process (another Portcullis?) or choose \
         another table name"
    )]
    OwnedByOther {
        /// The table.
        table: String,
        /// Who, as well as netlink tells.
        owner: String,
    },
    /// Something of the same name is there, declared otherwise.
    #[error(
        "cannot {attempt}: table inet {table} holds something of that name that Portcullis did not \
         make like this; remove it with `nft delete table inet {table}`, or choose another table name"
    )]
    Different {
        /// What was tried.
        attempt: String,
        /// The table.
        table: String,
    },
    /// A set is full. Everything else that was asked has been done.
    #[error(
        "{refused} bans did not fit: a set of table inet {table} is full at {most}; raise the most \
         bans, or shorten ban times"
    )]
    Full {
        /// The table.
        table: String,
        /// The declared size of a set.
        most: u32,
        /// How many bans are not in force.
        refused: usize,
    },
    /// The table, or a part of it, was removed by somebody else.
    #[error("table inet {table} was removed or changed from outside; it must be written anew")]
    Gone {
        /// The table.
        table: String,
    },
    /// A ban of everybody.
    #[error("refusing to ban {0}: that is every address of the family")]
    Everybody(Prefix),
    /// More intervals than an interval set takes in good time.
    #[error(
        "the never-ban list has {count} separate ranges of one family; at most {most} are possible"
    )]
    TooManyNever {
        /// As given, merged.
        count: usize,
        /// The bound.
        most: usize,
    },
    /// No name for a table.
    #[error(
        "`{0}` cannot name a table; use a letter, then letters, digits and `_`, at most 64 in all"
    )]
    Name(String),
    /// Any other answer.
    #[error("cannot {attempt}: {source}{}", said(.words))]
    Refused {
        /// What was tried.
        attempt: String,
        /// The kernel's answer.
        source: io::Error,
        /// The kernel's own explanation, if it gave one.
        words: Option<String>,
    },
}

impl GateError {
    /// The error for a refusal that no caller could make good.
    pub(super) fn from_refusal(refusal: Refusal, table: &str) -> GateError {
        let Refusal { errno, attempt, words } = refusal;
        let source = io::Error::from_raw_os_error(errno);
        match errno {
            libc::EPERM | libc::EACCES => GateError::Permission { attempt },
            libc::EPROTONOSUPPORT | libc::EOPNOTSUPP | libc::EAFNOSUPPORT => {
                GateError::NoNftables { attempt, source }
            }
            libc::EEXIST => GateError::Different { attempt, table: table.to_owned() },
            libc::ENOENT => GateError::Gone { table: table.to_owned() },
            _ => GateError::Refused { attempt, source, words },
        }
    }

    /// Whether the kernel does not know how.
    pub(super) fn is_of_the_kernel(&self) -> bool {
        matches!(self, GateError::NoNftables { .. } | GateError::Gone { .. })
    }

    /// The table belongs to the process behind netlink port `port`.
    pub(super) fn owned_by(table: &str, port: u32) -> GateError {
        // netlink_autobind gives the first socket of a process its id as port.
        let name = std::fs::read_to_string(format!("/proc/{port}/comm"));
        let owner = match name {
            Ok(name) => format!("process {port} ({})", name.trim_end()),
            Err(_) => format!("the process with netlink port {port}"),
        };
        GateError::OwnedByOther { table: table.to_owned(), owner }
    }
}

fn said(words: &Option<String>) -> String {
    words.as_ref().map_or_else(String::new, |words| format!(" (the kernel says: {words})"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn error(errno: i32) -> String {
        let refusal =
            Refusal { errno, attempt: "add chain `gate4`".into(), words: Some("why not".into()) };
        GateError::from_refusal(refusal, "portcullis").to_string()
    }

    #[test]
    fn errors_name_the_attempt_and_the_mend() {
        for (errno, mend) in [
            (libc::EPERM, "CAP_NET_ADMIN"),
            (libc::EPROTONOSUPPORT, "CONFIG_NF_TABLES"),
            (libc::EOPNOTSUPP, "CONFIG_NF_TABLES"),
            (libc::EEXIST, "nft delete table inet portcullis"),
            (libc::EINVAL, "(the kernel says: why not)"),
        ] {
            let text = error(errno);
            assert!(text.contains("cannot add chain `gate4`") && text.contains(mend), "{text}");
        }
    }

    #[test]
    fn the_owner_is_named_when_it_lives() {
        let me = GateError::owned_by("portcullis", std::process::id()).to_string();
        assert!(me.contains(&format!("process {} (", std::process::id())), "{me}");
        let nobody = GateError::owned_by("portcullis", u32::MAX).to_string();
        assert!(nobody.contains("netlink port 4294967295"), "{nobody}");
    }
}
