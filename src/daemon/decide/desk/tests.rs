use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;
use std::time::Instant;

use tokio_util::sync::CancellationToken;

use super::super::*;
use super::*;
use crate::daemon::gate;
use crate::enforce::Observe;
use crate::metrics::Readiness;
use crate::model::Timestamp;
use crate::pipeline::{Speaker, Worker};
use crate::store;

/// A decider whose thread does not run yet.
struct Scene {
    hits: Hits,
    run: Box<dyn FnOnce() + Send>,
    worker: Worker,
    metrics: Arc<Metrics>,
    /// So that none of these queues ends.
    _others: Box<dyn std::any::Any>,
}

impl Scene {
    fn new(maxretry: usize) -> Scene {
        let text = format!(
            "[server]\nfilters = []\n[breaker]\nbans_per_minute = 0\n\
             [jail.sshd]\nmaxretry = {maxretry}\n"
        );
        let plan = Plan::from_text("test", &text).unwrap();
        let rules = Arc::new(plan.rules().unwrap());
        let metrics = Metrics::new(&[Arc::clone(plan.jails[0].name())]);
        let guard = CancellationToken::new().drop_guard();
        let (gate, _) =
            gate::start(Box::new(Observe), Arc::clone(&metrics), Readiness::default(), guard)
                .unwrap();
        let (memory, _) = store::open(None, Timestamp::now()).start().unwrap();
        let (hits, hits_in) = mpsc::channel(4_096);
        let (orders, orders_in) = mpsc::channel(64);
        let (facts_changed, facts_in) = mpsc::channel(1);
        let (listed_changed, listed_in) = mpsc::channel(1);
        let (answers, answers_in) = mpsc::channel(1);
        let (asks, _) = mpsc::channel(1);
        let facts = Facts::default();
        let known = Known { facts: &facts, listed: Listed::default(), asks };
        let before = Before { restored: Restored::default(), held: &[] };
        let of = Arc::clone(&metrics);
        let decider = Decider::new(&plan, Arc::clone(&rules), known, before, gate, memory, of);
        let inputs = Inputs {
            hits: hits_in,
            orders: orders_in,
            facts: facts_in,
            listed: listed_in,
            answers: answers_in,
        };
        let (hits, run) = Hits::new(hits, decider, inputs);
        let others = Box::new((orders, facts_changed, listed_changed, answers));
        let (run, worker) = (Box::new(run), Worker::new(rules));
        Scene { hits, run, worker, metrics, _others: others }
    }

    /// As if the thread ran, and slept.
    fn asleep(maxretry: usize) -> Scene {
        let scene = Scene::new(maxretry);
        scene.hits.desk.thread.set(thread::current()).unwrap();
        scene
    }

    /// A failed log-in of each, at the time `at`.
    fn batch(&mut self, offenders: &[IpAddr], at: i64) -> Batch {
        let mut hits = Vec::new();
        let speaker = Speaker { address: Ipv4Addr::LOCALHOST.into(), trust: Trust::Ban };
        let lines: Vec<String> = (offenders.iter())
            .map(|it| {
                format!(
                    "<38>Nov 22 10:00:00 h sshd[7]: Failed password for root from {it} port 42 ssh2"
                )
            })
            .collect();
        let lines = lines.iter().map(|line| (line.as_bytes(), speaker));
        self.worker.lines(lines, Timestamp(at), &mut hits, |_| ());
        assert_eq!(hits.len(), offenders.len());
        Batch { hits, told: Vec::new(), arrived: Instant::now() }
    }

    fn banned(&self) -> usize {
        let seat = self.hits.desk.seat.lock().unwrap();
        seat.as_ref().map_or(0, |seat| seat.decider.judge.ledger.len())
    }

    fn waiting(&self) -> usize {
        let seat = self.hits.desk.seat.lock().unwrap();
        seat.as_ref().map_or(0, |seat| seat.inputs.hits.len())
    }
}

fn both(n: u16) -> [IpAddr; 2] {
    let v6 = Ipv6Addr::new(0x2001, 0xdb8, 0, n, 0, 0, 0, 1);
    [Ipv4Addr::from_bits(0xcb00_0000 | u32::from(n)).into(), v6.into()]
}

fn start(run: Box<dyn FnOnce() + Send>) -> JoinHandle<()> {
    thread::spawn(run)
}

#[test]
fn who_finds_hits_decides_them_when_nothing_waits() {
    let mut scene = Scene::asleep(1);
    let batch = scene.batch(&both(1), 0);
    scene.hits.try_send(batch).unwrap();
    assert_eq!((scene.banned(), scene.waiting()), (2, 0));
    let Scene { hits, run, metrics, .. } = scene;
    // What came of it is tended to by the thread, and it ends with the last who could send.
    drop(hits);
    run();
    assert_eq!(metrics.hits(crate::model::JailId(0)).get(), 2);
}

#[test]
fn nobody_waits_for_the_lock_and_nobody_overtakes() {
    let mut scene = Scene::asleep(1);
    let [first, second, third] = [1, 2, 3].map(|n| scene.batch(&both(n), 0));
    let desk = Arc::clone(&scene.hits.desk);
    let seat = desk.seat.lock().unwrap();
    scene.hits.try_send(first).unwrap();
    drop(seat);
    assert_eq!((scene.banned(), scene.waiting()), (0, 1));
    scene.hits.try_send(second).unwrap();
    assert_eq!((scene.banned(), scene.waiting()), (0, 2), "behind what waits");
    let decide = {
        // The thread takes its place itself.
        let run = std::mem::replace(&mut scene.run, Box::new(|| ()));
        start(run)
    };
    let deadline = Instant::now() + Duration::from_secs(20);
    while scene.banned() < 4 {
        assert!(Instant::now() < deadline, "what waits is decided");
        thread::yield_now();
    }
    scene.hits.try_send(third).unwrap();
    drop(scene.hits);
    decide.join().unwrap();
}

#[test]
fn much_at_once_and_what_may_take_long_is_for_the_thread() {
    let mut scene = Scene::asleep(1);
    let many: Vec<IpAddr> = (1..=FEW as u16 + 1).map(|n| both(n)[1]).collect();
    let batch = scene.batch(&many, 0);
    scene.hits.try_send(batch).unwrap();
    assert_eq!((scene.banned(), scene.waiting()), (0, 1));
    // While the log is slow, say.
    let mut scene = Scene::asleep(1);
    for n in 0..MOST_UNTENDED as u16 {
        let batch = scene.batch(&both(n)[..1], 0);
        scene.hits.try_send(batch).unwrap();
    }
    assert_eq!((scene.banned(), scene.waiting()), (MOST_UNTENDED, 0));
    let batch = scene.batch(&both(9_999), 0);
    scene.hits.try_send(batch).unwrap();
    assert_eq!((scene.banned(), scene.waiting()), (MOST_UNTENDED, 1));
    // Before the thread runs nobody decides: there is nobody to tend to it.
    let mut scene = Scene::new(1);
    let batch = scene.batch(&both(1), 0);
    scene.hits.try_send(batch).unwrap();
    assert_eq!((scene.banned(), scene.waiting()), (0, 1));
}

/// Four who find hits, each its own offenders, in batches small and large; and somebody who holds the lock
/// now and then. Every hit is decided, and those of each in their order.
#[test]
fn no_hit_is_lost_and_none_overtakes() {
    const EACH: u16 = 40;
    let mut scene = Scene::new(10);
    let lines: Vec<Vec<Batch>> = (0..4_u16)
        .map(|who| {
            let offenders = (0..EACH).map(|n| both(who * EACH + n));
            let hits = offenders.flat_map(|two| (0..10).flat_map(move |at| two.map(|it| (it, at))));
            let hits: Vec<(IpAddr, i64)> = hits.collect();
            let mut batches = Vec::new();
            let mut rest = &hits[..];
            while !rest.is_empty() {
                let (now, later) = rest.split_at(rest.len().min([1, 3, 2, 20][batches.len() % 4]));
                let mut batch = scene.batch(&[], 0);
                for &(offender, at) in now {
                    batch.hits.extend(scene.batch(&[offender], at).hits);
                }
                batches.push(batch);
                rest = later;
            }
            batches
        })
        .collect();
    let Scene { hits, run, metrics, _others, .. } = scene;
    let decide = start(run);
    while hits.desk.thread.get().is_none() {
        thread::yield_now();
    }
    let done = AtomicBool::new(false);
    thread::scope(|scope| {
        let senders: Vec<_> = lines
            .into_iter()
            .map(|batches| {
                let hits = hits.clone();
                scope.spawn(move || batches.into_iter().for_each(|it| hits.try_send(it).unwrap()))
            })
            .collect();
        let desk = &hits.desk;
        let done = &done;
        scope.spawn(move || {
            while !done.load(Ordering::Relaxed) {
                drop(desk.seat.lock().unwrap());
                thread::sleep(Duration::from_micros(50));
            }
        });
        senders.into_iter().for_each(|it| it.join().unwrap());
        done.store(true, Ordering::Relaxed);
    });
    let deadline = Instant::now() + Duration::from_secs(20);
    let all = 4 * u64::from(EACH) * 2 * 10;
    while metrics.hits(crate::model::JailId(0)).get() < all {
        assert!(Instant::now() < deadline, "every hit is decided");
        thread::yield_now();
    }
    {
        let seat = hits.desk.seat.lock().unwrap();
        let ledger = &seat.as_ref().unwrap().decider.judge.ledger;
        assert_eq!(ledger.len(), usize::from(4 * EACH) * 2);
        for ban in ledger.bans() {
            let times: Vec<i64> = ban.shares[0].why.evidence.iter().map(|it| it.at.0).collect();
            assert_eq!(times, Vec::from_iter(0..10), "{}", ban.offender);
        }
    }
    drop(hits);
    decide.join().unwrap();
}

#[test]
fn who_panics_while_he_decides_ends_the_thread_as_well() {
    let scene = Scene::new(1);
    let decide = start(scene.run);
    let desk = Arc::clone(&scene.hits.desk);
    let panicked = thread::spawn(move || {
        let _seat = desk.seat.lock().unwrap();
        panic!("in the test, so that the lock is poisoned");
    });
    assert!(panicked.join().is_err());
    assert!(decide.join().is_err(), "the daemon would go on without it");
}
