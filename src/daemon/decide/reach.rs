//! From what each offender is kept: the shares of his ban, by scope.
//!
//! The ledger says how long somebody is banned at all. A jail may shut less than everything, so the
//! gate is told of one target for each scope, each with its own end. Remembers which narrow targets
//! the gate knows, because only these have to be taken back one by one.

use std::collections::HashMap;

use smallvec::SmallVec;

use crate::ban::{Ban, Change, Ledger, MOST_SCOPES, Share, Standing};
use crate::enforce::Wish;
use crate::model::{Prefix, Scope, Target, Until};

/// The narrow targets that the gate was told of.
///
/// **Bound.** Offenders in it are in the ledger; each has at most [`MOST_SCOPES`] targets.
#[derive(Debug, Default)]
pub(super) struct Reach {
    narrow: HashMap<Prefix, Targets>,
}

type Targets = SmallVec<[Target; 2]>;

impl Reach {
    /// What the gate is to be told of the ledger's changes.
    pub(super) fn wishes(&mut self, changes: &[Change], ledger: &Ledger) -> Vec<Wish> {
        let mut wishes = Vec::with_capacity(changes.len());
        for &change in changes {
            let (Change::Impose { offender, .. }
            | Change::Extend { offender, .. }
            | Change::Lift { offender }) = change;
            let ban = ledger.get(offender);
            if self.narrow.contains_key(&offender) || ban.is_some_and(has_narrow) {
                self.offender(offender, ledger, &mut wishes);
            } else {
                wishes.push(change.into());
            }
        }
        wishes
    }

    /// The same of one offender whose shares changed, whatever came of it.
    pub(super) fn changed(
        &mut self,
        offender: Prefix,
        change: Option<Change>,
        ledger: &Ledger,
        to: &mut Vec<Wish>,
    ) {
        match change {
            Some(change) => to.extend(self.wishes(&[change], ledger)),
            None => self.offender(offender, ledger, to),
        }
    }

    /// The same where the ledger told of no change, because the offender is banned just as long: it
    /// may be from something else.
    pub(super) fn offender(&mut self, offender: Prefix, ledger: &Ledger, to: &mut Vec<Wish>) {
        let ban = ledger.get(offender);
        if !self.narrow.contains_key(&offender) && !ban.is_some_and(has_narrow) {
            return;
        }
        let wanted = ban.map(targets).unwrap_or_default();
        let before = self.narrow.remove(&offender).unwrap_or_default();
        let everything = Target::from(offender);
        for target in before.into_iter().chain([everything]) {
            if !wanted.iter().any(|(it, _)| *it == target) {
                to.push(Wish { target, until: None });
            }
        }
        self.remember(offender, &wanted);
        to.extend(wanted.iter().map(|&(target, until)| Wish { target, until: Some(until) }));
    }

    /// The same for everybody whom something narrow is shut to.
    pub(super) fn all(&mut self, ledger: &Ledger) -> Vec<Wish> {
        let offenders: Vec<Prefix> = self.narrow.keys().copied().collect();
        let mut wishes = Vec::new();
        offenders.into_iter().for_each(|it| self.offender(it, ledger, &mut wishes));
        wishes
    }

    /// Everything that shall hold.
    pub(super) fn snapshot(&mut self, ledger: &Ledger) -> Vec<(Target, Until)> {
        self.narrow.clear();
        let mut all = Vec::with_capacity(ledger.len());
        for ban in ledger.bans() {
            if has_narrow(ban) {
                let wanted = targets(ban);
                self.remember(ban.offender, &wanted);
                all.extend(wanted);
            } else if let Some(until) = ban.enforced() {
                all.push((ban.offender.into(), until));
            }
        }
        all
    }

    fn remember(&mut self, offender: Prefix, wanted: &[(Target, Until)]) {
        let narrow: Targets =
            wanted.iter().map(|it| it.0).filter(|it| it.scope() != Scope::Gateway).collect();
        if !narrow.is_empty() {
            self.narrow.insert(offender, narrow);
        }
    }
}

/// Each scope with its longest end. Who attacks very many hosts is kept from everything.
pub(super) fn targets(ban: &Ban) -> SmallVec<[(Target, Until); 2]> {
    let mut targets: SmallVec<[(Target, Until); 2]> = SmallVec::new();
    for share in enforced(ban) {
        let target = Target::new(ban.offender, share.scope);
        match targets.iter().position(|(it, _)| *it == target) {
            Some(at) => targets[at].1 = share.until.max(targets[at].1),
            None if targets.len() >= MOST_SCOPES => {
                let until = ban.enforced().unwrap_or(share.until);
                return SmallVec::from_iter([(ban.offender.into(), until)]);
            }
            None => targets.push((target, share.until)),
        }
    }
    targets
}

fn has_narrow(ban: &Ban) -> bool {
    enforced(ban).any(|share| share.scope != Scope::Gateway)
}

/// What waits or only tries does not reach the kernel.
fn enforced(ban: &Ban) -> impl Iterator<Item = &Share> {
    ban.shares.iter().filter(|share| share.standing == Standing::Enforced)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ban::{NeverBan, Order, Origin};
    use crate::model::{PortRange, Ports, Timestamp};

    const NOW: Timestamp = Timestamp(0);

    fn at(seconds: u64) -> Until {
        Until::At(NOW.after(std::time::Duration::from_secs(seconds)))
    }

    fn ports() -> Scope {
        let range: PortRange = "22".parse().unwrap();
        Scope::Ports(Ports::new([range]).unwrap())
    }

    fn sender(last: u8) -> Scope {
        Scope::Sender([10, 0, 0, last].into())
    }

    struct Scene {
        ledger: Ledger,
        reach: Reach,
        /// What the gate holds by what it was told.
        gate: HashMap<Target, Until>,
    }

    impl Scene {
        fn new() -> Scene {
            let ledger = Ledger::new(NeverBan::new([]), 100);
            Scene { ledger, reach: Reach::default(), gate: HashMap::new() }
        }

        fn tell(&mut self, wishes: Vec<Wish>) {
            for Wish { target, until } in wishes {
                match until {
                    Some(until) => _ = self.gate.insert(target, until),
                    None => _ = self.gate.remove(&target),
                }
            }
        }

        fn impose(&mut self, jail: &str, scope: Scope, seconds: u64) {
            self.put(jail, scope, seconds, Standing::Enforced);
        }

        fn put(&mut self, jail: &str, scope: Scope, seconds: u64, standing: Standing) {
            let order = Order::new(offender(), jail.into(), Origin::Hits, at(seconds));
            let order = Order { scope, standing, ..order };
            let change = self.ledger.impose(order, NOW).unwrap();
            let mut wishes = self.reach.wishes(change.as_slice(), &self.ledger);
            self.reach.offender(offender(), &self.ledger, &mut wishes);
            self.tell(wishes);
        }

        fn expire(&mut self, seconds: u64) {
            let Until::At(now) = at(seconds) else { unreachable!() };
            let mut wishes = Vec::new();
            for (offender, change) in self.ledger.expire(now) {
                self.reach.changed(offender, change, &self.ledger, &mut wishes);
            }
            self.tell(wishes);
        }

        fn lift(&mut self, jail: Option<&str>) {
            let changes = self.ledger.lift(offender(), jail).unwrap();
            let mut wishes = self.reach.wishes(&changes, &self.ledger);
            wishes.extend(self.reach.all(&self.ledger));
            self.tell(wishes);
        }

        fn holds(&mut self, expected: &[(Scope, u64)]) {
            let expected: HashMap<_, _> = (expected.iter())
                .map(|&(scope, seconds)| (Target::new(offender(), scope), at(seconds)))
                .collect();
            assert_eq!(self.gate, expected);
            let snapshot: HashMap<_, _> = self.reach.snapshot(&self.ledger).into_iter().collect();
            assert_eq!(snapshot, expected, "a snapshot says the same");
        }
    }

    fn offender() -> Prefix {
        "192.0.2.1".parse().unwrap()
    }

    #[test]
    fn every_scope_has_its_own_end() {
        let mut scene = Scene::new();
        scene.impose("ssh", ports(), 100);
        scene.holds(&[(ports(), 100)]);
        // Shorter, but wider: the ledger's end is the same.
        scene.impose("all", Scope::Gateway, 50);
        scene.holds(&[(ports(), 100), (Scope::Gateway, 50)]);
        scene.impose("mail", sender(1), 30);
        scene.impose("mail", sender(2), 200);
        let expected = [(ports(), 100), (Scope::Gateway, 50), (sender(1), 30), (sender(2), 200)];
        scene.holds(&expected);
        scene.lift(Some("all"));
        scene.holds(&[(ports(), 100), (sender(1), 30), (sender(2), 200)]);
        scene.lift(Some("mail"));
        scene.holds(&[(ports(), 100)]);
        scene.lift(None);
        scene.holds(&[]);
    }

    /// Elements end by themselves in nftables; routes have to be taken away.
    #[test]
    fn a_share_that_ends_is_taken_back_while_another_holds_him_as_long() {
        let mut scene = Scene::new();
        scene.impose("ssh", ports(), 100);
        scene.impose("all", Scope::Gateway, 50);
        scene.impose("mail", sender(1), 30);
        scene.expire(30);
        scene.holds(&[(ports(), 100), (Scope::Gateway, 50)]);
        scene.expire(50);
        scene.holds(&[(ports(), 100)]);
        scene.expire(100);
        scene.holds(&[]);
        // Who attacked very many is let in again to all but those who still shut him out.
        let jail = |n| if n % 2 == 0 { "mail" } else { "ssh" };
        (1..=17).for_each(|n| scene.impose(jail(n), sender(n), 100 + u64::from(n)));
        scene.holds(&[(Scope::Gateway, 117)]);
        scene.expire(102);
        assert_eq!(scene.gate.len(), 15, "{:?}", scene.gate);
        assert!(!scene.gate.contains_key(&Target::from(offender())));
    }

    #[test]
    fn what_waits_or_only_tries_reaches_nobody() {
        let mut scene = Scene::new();
        scene.put("new", ports(), 300, Standing::DryRun);
        scene.holds(&[]);
        scene.put("mail", sender(1), 200, Standing::Held);
        scene.holds(&[]);
        scene.impose("ssh", Scope::Gateway, 50);
        scene.holds(&[(Scope::Gateway, 50)]);
        let changes = scene.ledger.settle(Standing::Held, true);
        let mut wishes = scene.reach.wishes(&changes, &scene.ledger);
        wishes.extend(scene.reach.all(&scene.ledger));
        scene.tell(wishes);
        scene.holds(&[(Scope::Gateway, 50), (sender(1), 200)]);
    }

    #[test]
    fn who_attacks_very_many_hosts_is_kept_from_everything() {
        let mut scene = Scene::new();
        (1..=16).for_each(|n| scene.impose("mail", sender(n), u64::from(n)));
        assert_eq!(scene.gate.len(), 16);
        scene.impose("mail", sender(17), 17);
        scene.holds(&[(Scope::Gateway, 17)]);
    }
}
