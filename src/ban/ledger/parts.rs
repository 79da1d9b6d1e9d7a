//! What the ledger is made of, what it is asked, and why it refuses.

use std::fmt;
use std::net::IpAddr;
use std::sync::Arc;

use smallvec::SmallVec;

use crate::ban::Reason;
use crate::detect::Evidence;
use crate::model::{Prefix, Scope, Timestamp, Until};

/// A ban as the ledger holds it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Ban {
    /// Who.
    pub offender: Prefix,
    /// When it was first imposed.
    pub since: Timestamp,
    /// What each jail added.
    pub shares: SmallVec<[Share; 1]>,
}

impl Ban {
    /// The end of the longest share, whatever its standing: for showing.
    pub fn until(&self) -> Until {
        self.shares.iter().map(|share| share.until).max().unwrap_or(Until::At(self.since))
    }

    /// The end of the longest share that is enforced; `None` when none is.
    pub fn enforced(&self) -> Option<Until> {
        let enforced = self.shares.iter().filter(|share| share.standing == Standing::Enforced);
        enforced.map(|share| share.until).max()
    }
}

/// One jail's share of a ban: one for each scope.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Share {
    /// The jail's name; `manual` and `kernel` for bans that no jail imposed.
    pub jail: Arc<str>,
    /// How it came about.
    pub origin: Origin,
    /// Its end.
    pub until: Until,
    /// What it shuts.
    pub scope: Scope,
    /// Whether it is enforced.
    pub standing: Standing,
    /// Why: what the last offence rested on.
    pub why: Why,
}

/// What an offence rested on.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Why {
    /// The address that offended last.
    pub address: Option<IpAddr>,
    /// So many hits were counted.
    pub hits: u32,
    /// The last of them, oldest first, as far as they are still kept.
    pub evidence: Vec<Evidence>,
}

/// Whether a share reaches the kernel.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum Standing {
    /// It does.
    #[default]
    Enforced,
    /// It does not: the jail is on trial (`dry_run`).
    DryRun,
    /// It waits for the operator: the breaker has tripped.
    Held,
    /// It waits for the answer of `never_ban.command`.
    Asked,
}

impl fmt::Display for Standing {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Standing::Enforced => "enforced",
            Standing::DryRun => "dry_run",
            Standing::Held => "held",
            Standing::Asked => "asked",
        })
    }
}

/// How a ban came about; a later one outranks those before it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Origin {
    /// The kernel still held it when the daemon came.
    Kernel,
    /// The detector saw an offence.
    Hits,
    /// An operator ordered it.
    Manual,
}

impl Origin {
    /// Whether `name` stands for an origin where no jail imposed the ban.
    pub fn is_named(name: &str) -> bool {
        [Origin::Manual, Origin::Kernel].iter().any(|it| it.to_string() == name)
    }
}

impl fmt::Display for Origin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Origin::Hits => "hits",
            Origin::Manual => "manual",
            Origin::Kernel => "kernel",
        })
    }
}

/// A ban to be imposed.
#[derive(Clone, Debug)]
pub struct Order {
    /// Whom.
    pub offender: Prefix,
    /// The address that offended, when `offender` is a prefix that it was counted under.
    pub address: Option<IpAddr>,
    /// For which jail.
    pub jail: Arc<str>,
    /// How it came about.
    pub origin: Origin,
    /// Until when.
    pub until: Until,
    /// From what.
    pub scope: Scope,
    /// Whether it is enforced.
    pub standing: Standing,
    /// So many hits were counted.
    pub hits: u32,
    /// The last of them.
    pub evidence: Vec<Evidence>,
}

impl Order {
    /// An order to enforce a ban from everything, of which no more is known.
    pub fn new(offender: Prefix, jail: Arc<str>, origin: Origin, until: Until) -> Order {
        Order {
            offender,
            address: None,
            jail,
            origin,
            until,
            scope: Scope::Gateway,
            standing: Standing::Enforced,
            hits: 0,
            evidence: Vec::new(),
        }
    }

    pub(super) fn share(self) -> Share {
        let Order { offender, address, jail, origin, until, scope, standing, hits, evidence } =
            self;
        let address = address.or(offender.is_host().then(|| offender.address()));
        let why = Why { address, hits, evidence };
        Share { jail, origin, until, scope, standing, why }
    }
}

impl Share {
    /// Puts a share to those of an offender. A jail that shuts very much to him, each its own
    /// way, shuts everything: so there are never very many.
    pub(super) fn add(self, to: &mut SmallVec<[Share; 1]>) {
        let mut share = self;
        let own = |it: &Share| it.jail == share.jail;
        let is_there = |it: &Share| own(it) && it.scope == share.scope;
        if !to.iter().any(is_there) && to.iter().filter(|it| own(it)).count() >= MOST_SCOPES {
            let jail = Arc::clone(&share.jail);
            share.scope = Scope::Gateway;
            to.retain(|it| {
                let merged = it.jail == jail;
                if merged {
                    let newer = std::mem::replace(&mut share, it.clone());
                    share.scope = Scope::Gateway;
                    share.merge(newer);
                }
                !merged
            });
        }
        match to.iter_mut().find(|it| (&it.jail, it.scope) == (&share.jail, share.scope)) {
            Some(there) => there.merge(share),
            None => to.push(share),
        }
    }

    /// Takes `other`, of the same jail and scope, into this one. The longer end stays, what is enforced stays
    /// so, and an operator's word is not lost.
    pub(super) fn merge(&mut self, other: Share) {
        self.until = self.until.max(other.until);
        self.origin = self.origin.max(other.origin);
        if other.standing == Standing::Enforced {
            self.standing = Standing::Enforced;
        }
        if other.why.hits > 0 {
            self.why = other.why;
        }
    }
}

/// Ways in which one jail shuts one offender out, before it is everything.
pub const MOST_SCOPES: usize = 16;

/// What an order led to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Imposed {
    /// Who is banned: the order's offender, or the one address of it.
    pub offender: Prefix,
    /// Whether the jail held nothing against him before.
    pub is_new: bool,
    /// What changed for the stages behind the ledger.
    pub change: Option<super::Change>,
}

/// Why a ban is not imposed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Refusal {
    /// On the never-ban list.
    #[error("{0} is never banned ({1})")]
    Never(Prefix, Reason),
    /// A prefix that holds somebody who is never banned.
    #[error("{0} holds addresses that are never banned; ban smaller prefixes")]
    HoldsNever(Prefix),
    /// Too much of the Internet at once.
    #[error("{0} is too large to ban: at least /{1} in this family")]
    TooLarge(Prefix, u8),
    /// The table is full.
    #[error("the ledger is full ({0} bans)")]
    Full(usize),
}
