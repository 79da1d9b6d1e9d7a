use std::collections::BTreeSet;
use std::sync::Mutex;

use tokio_util::sync::CancellationToken;

use super::*;
use crate::enforce::Drops;
use crate::enforce::nftables::GateError;

/// A kernel that fails the first so many times.
#[derive(Clone, Debug, Default)]
struct Kernel {
    held: Arc<Mutex<BTreeSet<Prefix>>>,
    never: Arc<Mutex<Vec<Prefix>>>,
    failures: usize,
}

impl Kernel {
    fn fails(&mut self) -> Result<(), EnforceError> {
        if self.failures == 0 {
            return Ok(());
        }
        self.failures -= 1;
        Err(GateError::Gone { table: "t".to_owned() }.into())
    }
}

impl Backend for Kernel {
    fn apply(&mut self, changes: &[Change], _: Timestamp) -> Result<(), EnforceError> {
        self.fails()?;
        let mut held = self.held.lock().unwrap();
        for change in changes {
            match *change {
                Change::Impose { offender, .. } | Change::Extend { offender, .. } => {
                    held.insert(offender);
                }
                Change::Lift { offender } => _ = held.remove(&offender),
            }
        }
        Ok(())
    }

    fn sync(
        &mut self,
        bans: &[(Prefix, Until)],
        never: &[Prefix],
        _: Timestamp,
    ) -> Result<(), EnforceError> {
        self.fails()?;
        *self.held.lock().unwrap() = bans.iter().map(|(offender, _)| *offender).collect();
        never.clone_into(&mut self.never.lock().unwrap());
        Ok(())
    }

    fn set_never(&mut self, never: &[Prefix]) -> Result<(), EnforceError> {
        self.fails()?;
        never.clone_into(&mut self.never.lock().unwrap());
        Ok(())
    }

    fn drops(&mut self) -> Result<Drops, EnforceError> {
        Ok(Drops::default())
    }

    fn is_intact(&mut self) -> Result<bool, EnforceError> {
        Ok(true)
    }

    fn remove(self: Box<Self>) -> Result<(), EnforceError> {
        self.held.lock().unwrap().clear();
        Ok(())
    }
}

fn prefix(text: &str) -> Prefix {
    text.parse().unwrap()
}

#[test]
fn what_failed_is_made_good_before_the_end() {
    for failures in [0, 1] {
        let kernel = Kernel { failures, ..Kernel::default() };
        let metrics = Metrics::new(&[]);
        let fallen = CancellationToken::new();
        let (backend, guard) = (Box::new(kernel.clone()), fallen.clone().drop_guard());
        let (queue, thread) = start(backend, Arc::clone(&metrics), guard).unwrap();
        let bans: Vec<_> =
            ["192.0.2.1", "2001:db8::/64"].map(|it| (prefix(it), Until::Forever)).into();
        let impose = |&(offender, until): &(Prefix, Until)| Change::Impose { offender, until };
        queue.send(bans.iter().map(impose).collect(), None);
        queue.finish(Snapshot { bans: bans.clone(), never: vec![prefix("::1")] });
        assert!(!fallen.is_cancelled());
        drop(queue);
        thread.join().unwrap();
        assert!(fallen.is_cancelled(), "an end is noticed");
        let expected: BTreeSet<_> = bans.iter().map(|(offender, _)| *offender).collect();
        assert_eq!(*kernel.held.lock().unwrap(), expected, "{failures} failures");
        assert_eq!(metrics.enforce_errors.get(), failures as u64);
        assert_eq!(metrics.enforce_queue.get(), 0);
        assert_eq!(kernel.never.lock().unwrap().len(), failures, "no snapshot without need");
    }
}
