//! A kernel in a bad mood: answers put in front of the real one, and what we make of them.

use std::collections::VecDeque;
use std::io;
use std::sync::{Arc, Mutex};

use super::super::socket::Carrier;
use super::*;

/// How one transaction is answered.
#[derive(Clone, Copy, Debug)]
enum Mood {
    /// As the kernel does.
    Well,
    /// It cannot be handed over.
    Unsent(i32),
    /// It is refused, and not done.
    Refused(i32),
    /// It is done, and the answer is lost.
    Lost,
}
use Mood::{Lost, Refused, Unsent, Well};

/// Stands between the gate and its socket.
#[derive(Debug)]
struct Moody {
    kernel: Option<Box<dyn Carrier>>,
    moods: Moods,
    answer: Option<io::Result<Vec<u8>>>,
}

/// What is to come, and how many transactions came.
#[derive(Clone, Debug, Default)]
struct Moods(Arc<Mutex<(VecDeque<Mood>, usize)>>);

impl Moods {
    fn set(&self, moods: &[Mood]) {
        *self.0.lock().unwrap() = (moods.iter().copied().collect(), 0);
    }

    /// How many transactions were tried since; all that was set must have been used.
    fn tried(&self) -> usize {
        let moods = self.0.lock().unwrap();
        assert!(moods.0.is_empty(), "not asked for: {moods:?}");
        moods.1
    }

    fn next(&self) -> Mood {
        let mut moods = self.0.lock().unwrap();
        moods.1 += 1;
        moods.0.pop_front().unwrap_or(Well)
    }
}

impl Carrier for Moody {
    fn send(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.answer = None;
        let kernel = self.kernel.as_mut().unwrap();
        // NFNL_MSG_BATCH_BEGIN; questions are answered as ever.
        if bytes[4..6] != 0x10_u16.to_ne_bytes() {
            return kernel.send(bytes);
        }
        match self.moods.next() {
            Well => kernel.send(bytes),
            Unsent(errno) => Err(io::Error::from_raw_os_error(errno)),
            Refused(errno) => {
                let sequence = u32::from_ne_bytes(bytes[8..12].try_into().unwrap()) + 1;
                self.answer = Some(Ok(error_message(errno, sequence)));
                Ok(bytes.len())
            }
            Lost => {
                let sent = kernel.send(bytes);
                (0..9).for_each(|_| _ = kernel.receive(&mut Vec::with_capacity(65536)));
                self.answer = Some(Err(io::Error::from_raw_os_error(libc::ENOBUFS)));
                sent
            }
        }
    }

    fn receive(&mut self, buffer: &mut Vec<u8>) -> io::Result<usize> {
        match self.answer.take() {
            Some(Ok(bytes)) => {
                buffer.extend(&bytes);
                Ok(bytes.len())
            }
            Some(Err(error)) => Err(error),
            None => self.kernel.as_mut().unwrap().receive(buffer),
        }
    }
}

/// `NLMSG_ERROR` with the header that it is about (`linux/netlink.h`).
fn error_message(errno: i32, sequence: u32) -> Vec<u8> {
    let mut bytes = Vec::new();
    bytes.extend(36_u32.to_ne_bytes());
    bytes.extend(2_u16.to_ne_bytes());
    bytes.extend(0_u16.to_ne_bytes());
    bytes.extend(sequence.to_ne_bytes());
    bytes.extend(0_u32.to_ne_bytes());
    bytes.extend((-errno).to_ne_bytes());
    bytes.resize(36, 0);
    bytes
}

fn moody(gate: &mut Gate) -> Moods {
    let moods = Moods::default();
    let between = Moody { kernel: None, moods: moods.clone(), answer: None };
    let carrier = gate.link.carrier();
    let kernel = std::mem::replace(carrier, Box::new(between));
    // The one in front is told of the one behind only now: there is no moment without any.
    let between = Moody { kernel: Some(kernel), moods: moods.clone(), answer: None };
    *carrier = Box::new(between);
    moods
}

fn fresh() -> (Gate, Moods) {
    let mut gate = open(AGES[0], 1000);
    let moods = moody(&mut gate);
    (gate, moods)
}

const SOURCES: [&str; 2] = ["127.0.0.2", "2001:db8:1::1"];

#[test]
fn what_passes_by_itself_is_tried_again() {
    in_namespace(|| {
        let (mut gate, moods) = fresh();
        for errno in [libc::EINTR, libc::EAGAIN, libc::EBUSY, libc::ENOBUFS, libc::ERESTART] {
            for source in SOURCES {
                let (offender, wire) = (prefix(source), Wire::from(source));
                moods.set(&[Refused(errno), Unsent(errno), Refused(errno)]);
                gate.apply(&[impose(offender, after(60_000))], Timestamp::now()).unwrap();
                assert_eq!(moods.tried(), 4, "errno {errno}");
                assert!(!wire.passes(), "errno {errno}");
                moods.set(&[Unsent(errno)]);
                gate.apply(&[lift(offender)], Timestamp::now()).unwrap();
                assert!(moods.tried() == 2 && wire.passes(), "errno {errno}");

                moods.set(&[Refused(errno); 4]);
                let error = gate.apply(&[impose(offender, after(60_000))], Timestamp::now());
                let error = error.unwrap_err();
                let GateError::Refused { source, .. } = &error else { panic!("{error}") };
                assert_eq!((source.raw_os_error(), moods.tried()), (Some(errno), 4));
            }
        }
    });
}

#[test]
fn a_transaction_whose_answer_is_lost_is_done_once() {
    in_namespace(|| {
        for abilities in AGES {
            let (mut gate, moods) = fresh();
            gate.abilities = abilities;
            for (source, length) in [(SOURCES[0], "127.0.0.0/24"), (SOURCES[1], "2001:db8::/40")] {
                let (offender, wire) = (prefix(length), Wire::from(source));
                // A new length brings a set and new rules: written twice, there once.
                moods.set(&[Lost, Lost]);
                gate.apply(&[impose(offender, after(60_000))], Timestamp::now()).unwrap();
                assert_eq!(moods.tried(), 3);
                assert!(!wire.passes() && gate.is_intact().unwrap());
                assert_eq!(gate.held().unwrap().len(), 1);
                moods.set(&[Lost]);
                gate.apply(&[lift(offender)], Timestamp::now()).unwrap();
                assert_eq!(moods.tried(), 2, "{abilities:?}");
                assert!(wire.passes());
            }
            moods.set(&[Lost]);
            gate.set_never(&[prefix("10.0.0.0/8"), prefix("2001:db8:9::/48")]).unwrap();
            moods.set(&[Lost]);
            gate.find_abilities().unwrap();
            moods.set(&[Well, Well, Lost, Lost]);
            gate.find_abilities().unwrap();
            assert!(gate.is_intact().unwrap());
            gate.remove().unwrap();
        }
    });
}

#[test]
fn what_is_too_large_is_halved() {
    in_namespace(|| {
        let (mut gate, moods) = fresh();
        let many: Vec<Wish> = (1..=8)
            .flat_map(|n| [format!("10.0.0.{n}"), format!("2001:db8::{n}")])
            .map(|text| impose(prefix(&text), after(60_000)))
            .collect();
        moods.set(&[Unsent(libc::EMSGSIZE), Unsent(libc::EMSGSIZE), Refused(libc::EMSGSIZE)]);
        gate.apply(&many, Timestamp::now()).unwrap();
        // 16, 8, 4 are refused; then 2 + 2 + 4 + 8.
        assert_eq!(moods.tried(), 7);
        assert_eq!(gate.held().unwrap().len(), 16);
        moods.set(&[Unsent(libc::EMSGSIZE)]);
        let error = gate.apply(&many[..1], Timestamp::now()).unwrap_err();
        assert!(matches!(error, GateError::Refused { .. }) && moods.tried() == 1, "{error}");
    });
}

#[test]
fn an_element_that_expired_just_now_is_no_error_and_a_table_that_is_gone_is() {
    in_namespace(|| {
        wire::add_plain_table("portcullis");
        let (mut gate, moods) = fresh();
        let bans = SOURCES.map(|source| (Target::from(prefix(source)), after(60_000)));
        moods.set(&[Refused(libc::ENOENT), Refused(libc::ENOENT)]);
        let changes = bans.map(|(target, until)| Wish { target, until: Some(until) });
        gate.apply(&changes, Timestamp::now()).unwrap();
        assert_eq!(moods.tried(), 3);
        assert!(SOURCES.iter().all(|source| !Wire::from(source).passes()));

        assert_eq!(wire::delete_table("portcullis"), 0);
        moods.set(&[]);
        let error = gate.apply(&changes, Timestamp::now()).unwrap_err();
        assert!(matches!(error, GateError::Gone { .. }) && moods.tried() == 1, "{error}");
        // Everything at one stroke: table, chains, sets, rules, accept sets and bans.
        moods.set(&[]);
        let mended = gate.sync(&bans, &[prefix("10.0.0.1")], Timestamp::now()).unwrap();
        assert!(mended.made && mended.put == 2);
        let plain = matches!(gate.ownership(), Ownership::Shared(_));
        assert_eq!(moods.tried(), 1 + usize::from(plain), "asking for an owner may cost one");
        assert!(SOURCES.iter().all(|source| !Wire::from(source).passes()));
        // The same while it vanishes between the look and the transaction.
        moods.set(&[Refused(libc::ENOENT)]);
        gate.written = None;
        gate.seen_generation = None;
        gate.sync(&bans, &[], Timestamp::now()).unwrap();
        assert!(moods.tried() >= 2 && gate.is_intact().unwrap());
    });
}

#[test]
fn what_is_declared_otherwise_is_an_error_at_first_and_replaced_by_a_sync() {
    in_namespace(|| {
        let (mut gate, moods) = fresh();
        let bans = SOURCES.map(|source| (Target::from(prefix(source)), after(60_000)));
        gate.sync(&bans, &[], Timestamp::now()).unwrap();
        moods.set(&[Refused(libc::EEXIST)]);
        let error = gate
            .apply(&[Wish { target: bans[0].0, until: Some(after(9_000)) }], Timestamp::now())
            .unwrap_err();
        assert!(matches!(error, GateError::Different { .. }) && moods.tried() == 1, "{error}");
        moods.set(&[Refused(libc::EEXIST)]);
        let mended = gate.sync(&bans, &[], Timestamp::now()).unwrap();
        assert_eq!((mended.made, mended.put), (true, 2), "all anew");
        moods.tried();
        assert!(SOURCES.iter().all(|source| !Wire::from(source).passes()));
        assert!(gate.is_intact().unwrap());
    });
}

#[test]
fn questions_are_asked_again_too() {
    #[derive(Debug)]
    struct Hasty(Option<Box<dyn Carrier>>, usize, i32);
    impl Carrier for Hasty {
        fn send(&mut self, bytes: &[u8]) -> io::Result<usize> {
            self.1 += 1;
            match self.1 % 4 {
                0 => self.0.as_mut().unwrap().send(bytes),
                _ => Err(io::Error::from_raw_os_error(self.2)),
            }
        }
        fn receive(&mut self, buffer: &mut Vec<u8>) -> io::Result<usize> {
            // Interrupted before anything is read, each time.
            self.0.as_mut().unwrap().receive(buffer)
        }
    }
    in_namespace(|| {
        for errno in [libc::EINTR, libc::EBUSY, libc::ENOBUFS] {
            let mut gate = open(AGES[0], 10);
            let bans = SOURCES.map(|source| (Target::from(prefix(source)), after(60_000)));
            gate.sync(&bans, &[], Timestamp::now()).unwrap();
            let carrier = gate.link.carrier();
            let kernel = std::mem::replace(carrier, Box::new(Hasty(None, 0, errno)));
            *carrier = Box::new(Hasty(Some(kernel), 0, errno));
            assert_eq!(gate.held().unwrap().len(), 2);
            assert!(gate.is_intact().unwrap());
            assert_eq!(gate.drops().unwrap(), Drops::default());
            gate.remove().unwrap();
        }
    });
}
