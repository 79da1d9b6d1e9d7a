//! The backend for gateways without nf_tables: offenders are routed to nowhere.
//!
//! Owns one routing table, the rules that lead to it, and one rule for each banned IPv6 source.
//! Routes know destinations, not sources, so what comes in is stopped in another way by family:
//! IPv4 by rp_filter, which drops a packet whose source has no way back; IPv6, which has no
//! rp_filter, by a rule that stops what is to be forwarded. What an IPv6 offender sends to the gateway
//! itself still arrives; only the answers vanish. No scopes, no counters, no ends of their own.

mod netlink;

use std::collections::BTreeSet;
use std::fs;
use std::io;
use std::path::PathBuf;
use std::time::{Duration, Instant};

use super::{Backend, Drops, EnforceError, Mended, Seen, Wish};
use crate::model::{Prefix, Scope, Target, Timestamp, Until};
use netlink::{Link, Object};

/// Why the routes are not as told.
#[derive(Debug, thiserror::Error)]
pub enum RouteError {
    /// The kernel refused.
    #[error("cannot {what}: {source}; the backend `route` needs CAP_NET_ADMIN")]
    Refused {
        /// What was tried.
        what: String,
        /// What it said.
        source: io::Error,
    },
    /// Not possible with routes; everything else was done.
    #[error("{0} bans from some ports or hosts only cannot be enforced with routes")]
    Narrow(usize),
    /// Every packet goes through all rules; everything else was done.
    #[error("{0} bans of IPv6 did not fit: the backend `route` takes {MOST_SOURCES}")]
    Full(usize),
}

/// Routes and rules of ours, and nothing else's.
#[derive(Debug)]
pub struct Routes {
    link: Link,
    /// What should be in the kernel.
    held: BTreeSet<Prefix>,
    /// Settings of rp_filter that were off.
    raised: Vec<PathBuf>,
    looked: Instant,
}

impl Routes {
    /// Makes the rules that lead to our table, and puts rp_filter to "loose" where it is off.
    pub fn open() -> Result<Routes, RouteError> {
        let link = Link::open().map_err(refused("open an rtnetlink socket"))?;
        let looked = Instant::now();
        let mut routes = Routes { link, held: BTreeSet::new(), raised: Vec::new(), looked };
        routes.lookups()?;
        routes.raised = raise_rp_filter().map_err(refused("set rp_filter"))?;
        Ok(routes)
    }

    fn lookups(&mut self) -> Result<(), RouteError> {
        for v4 in [true, false] {
            match self.link.add(Object::Lookup { v4 }) {
                // A host without IPv6 has nobody to keep out there.
                Err(error) if !v4 && error.raw_os_error() == Some(libc::EAFNOSUPPORT) => {}
                done => done.map_err(refused("add the rule for our routing table"))?,
            }
        }
        Ok(())
    }

    fn set(&mut self, wishes: &[Wish]) -> Result<(), RouteError> {
        let (mut narrow, mut full) = (0, 0);
        for Wish { target, until } in wishes {
            let offender = target.offender();
            if target.scope() != Scope::Gateway {
                narrow += usize::from(until.is_some());
            } else if until.is_none() {
                self.take_out(offender)?;
            } else if offender.length() > 0 && !self.put(offender)? {
                full += 1;
            }
        }
        match (narrow, full) {
            (0, 0) => Ok(()),
            (0, full) => Err(RouteError::Full(full)),
            (narrow, _) => Err(RouteError::Narrow(narrow)),
        }
    }

    /// Returns whether there was room.
    fn put(&mut self, offender: Prefix) -> Result<bool, RouteError> {
        let full = || {
            // IPv6 comes last; that of IPv4 there can be a hundred thousand must not matter.
            let sources = self.held.iter().rev().take_while(|it| !it.is_ipv4());
            sources.count() >= MOST_SOURCES
        };
        if !offender.is_ipv4() && !self.held.contains(&offender) && full() {
            return Ok(false);
        }
        let what = || format!("route {offender} to nowhere");
        self.link.add(Object::Route(offender)).map_err(refused(what()))?;
        if !offender.is_ipv4() {
            self.link.add(Object::Source(offender)).map_err(refused(what()))?;
        }
        self.held.insert(offender);
        Ok(true)
    }

    fn take_out(&mut self, offender: Prefix) -> Result<(), RouteError> {
        let what = || format!("take the route of {offender} away");
        if !offender.is_ipv4() {
            self.link.delete(Object::Source(offender)).map_err(refused(what()))?;
        }
        self.link.delete(Object::Route(offender)).map_err(refused(what()))?;
        self.held.remove(&offender);
        Ok(())
    }

    /// Those whose bans are in the kernel wholly, those who are in it at all, and whether our table
    /// is looked into.
    fn found(&mut self) -> Result<(BTreeSet<Prefix>, BTreeSet<Prefix>, bool), RouteError> {
        let read = refused("read our routes and rules");
        let found = self.link.routes().and_then(|routes| Ok((routes, self.link.rules()?)));
        let (routes, (sources, lookups)) = found.map_err(read)?;
        let whole = |it: &&Prefix| it.is_ipv4() || sources.contains(it);
        let wholly = routes.iter().filter(whole).copied().collect();
        let leads = lookups.contains(&true) && (lookups.contains(&false) || !has_ipv6());
        Ok((wholly, &routes | &sources, leads))
    }
}

impl Backend for Routes {
    fn apply(&mut self, wishes: &[Wish], _: Timestamp) -> Result<(), EnforceError> {
        Ok(self.set(wishes)?)
    }

    fn sync(
        &mut self,
        bans: &[(Target, Until)],
        _: &[Prefix],
        now: Timestamp,
    ) -> Result<Mended, EnforceError> {
        let (wholly, any, leads) = self.found()?;
        let wanted: BTreeSet<Prefix> = (bans.iter())
            .filter(|(target, until)| target.scope() == Scope::Gateway && !until.is_over(now))
            .map(|(target, _)| target.offender())
            .collect();
        if !leads {
            self.lookups()?;
        }
        let mut mended = Mended { rewritten: !leads, ..Mended::default() };
        for offender in any.difference(&wanted) {
            mended.removed += 1;
            self.take_out(*offender)?;
        }
        mended.put = wanted.difference(&wholly).count();
        self.held.retain(|offender| wholly.contains(offender));
        let wishes: Vec<Wish> = bans
            .iter()
            .filter(|(_, until)| !until.is_over(now))
            .filter(|(target, _)| !wholly.contains(&target.offender()))
            .map(|&(target, until)| Wish { target, until: Some(until) })
            .collect();
        self.held.extend(wanted.intersection(&wholly));
        self.set(&wishes)?;
        Ok(mended)
    }

    /// The ledger holds the list; routes cannot make exceptions by source.
    fn set_never(&mut self, _: &[Prefix]) -> Result<(), EnforceError> {
        Ok(())
    }

    fn drops(&mut self) -> Result<Drops, EnforceError> {
        Ok(Drops::default())
    }

    fn look(&mut self) -> Result<Seen, EnforceError> {
        if self.looked.elapsed() < LOOK_EVERY {
            return Ok(Seen::AsWritten);
        }
        self.looked = Instant::now();
        let (wholly, any, leads) = self.found()?;
        let same = leads && wholly == self.held && any == self.held;
        Ok(if same { Seen::AsWritten } else { Seen::Changed("somebody else".to_owned()) })
    }

    fn remove(mut self: Box<Self>) -> Result<(), EnforceError> {
        let (_, any, _) = self.found()?;
        for offender in any {
            self.take_out(offender)?;
        }
        for v4 in [true, false] {
            let done = self.link.delete(Object::Lookup { v4 });
            if v4 || has_ipv6() {
                done.map_err(refused("take the rule for our routing table away"))?;
            }
        }
        self.raised.iter().for_each(|path| _ = fs::write(path, "0"));
        Ok(())
    }
}

fn refused(what: impl Into<String>) -> impl FnOnce(io::Error) -> RouteError {
    let what = what.into();
    |source| RouteError::Refused { what, source }
}

fn has_ipv6() -> bool {
    std::path::Path::new("/proc/sys/net/ipv6").exists()
}

/// Loose (2, RFC 3704 section 2.4) where it is off: whoever has a way back is let in by any interface.
/// The larger of `all` and the interface's own counts (`IN_DEV_RPFILTER`), so `all` is left alone:
/// it would loosen those that are strict.
fn raise_rp_filter() -> io::Result<Vec<PathBuf>> {
    let value = |name: &str| fs::read_to_string(format!("{CONF}/{name}/rp_filter"));
    if value("all")?.trim() != "0" {
        return Ok(Vec::new());
    }
    let mut raised = Vec::new();
    for entry in fs::read_dir(CONF)? {
        let path = entry?.path().join("rp_filter");
        let name = path.parent().and_then(|it| it.file_name()).unwrap_or_default();
        if name != "all" && fs::read_to_string(&path)?.trim() == "0" {
            fs::write(&path, "2")?;
            raised.push(path);
        }
    }
    Ok(raised)
}

/// Rules are gone through one by one, for every packet: 1,000 cost about 10 µs.
const MOST_SOURCES: usize = 1_000;
const LOOK_EVERY: Duration = Duration::from_millis(1_000);
const CONF: &str = "/proc/sys/net/ipv4/conf";
