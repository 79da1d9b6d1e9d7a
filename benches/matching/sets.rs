//! The sets of filters that are measured, each with a log of its own.

use portcullis::filter::Filter;

use crate::traffic::fail2ban::Fail2ban;
use crate::traffic::{Generator, shipped};

/// Filters that run together.
pub(crate) struct Set {
    pub(crate) name: &'static str,
    pub(crate) filters: Vec<Filter>,
    pub(crate) fail2ban: Option<Fail2ban>,
    pub(crate) generator: Generator,
}

impl Set {
    /// All filters that ship.
    pub(crate) fn native() -> Set {
        let filters = shipped();
        let generator = Generator::new(&filters);
        Set { name: "all shipped filters", filters, fail2ban: None, generator }
    }

    /// All of fail2ban's, and these together with all that ship; none where the package is missing.
    pub(crate) fn foreign() -> Vec<Set> {
        let sets = [("all of fail2ban's filters", Vec::new()), ("both together", shipped())];
        let set = |(name, filters): (_, Vec<Filter>)| {
            let fail2ban = Fail2ban::load()?;
            // Our own samples lend lines where fail2ban's are not there.
            let generator = Generator::of(&shipped(), &filters, Some(&fail2ban));
            Some(Set { name, filters, fail2ban: Some(fail2ban), generator })
        };
        sets.into_iter().filter_map(set).collect()
    }

    pub(crate) fn all() -> Vec<Set> {
        let foreign = Set::foreign();
        if foreign.is_empty() {
            println!("fail2ban  its package is not unpacked: run `make fail2ban` for its rows");
        }
        std::iter::once(Set::native()).chain(foreign).collect()
    }

    pub(crate) fn fail2ban(&self) -> Option<&Fail2ban> {
        self.fail2ban.as_ref()
    }
}
