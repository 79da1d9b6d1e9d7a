use std::collections::BTreeMap;
use std::net::UdpSocket;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Instant;

use super::*;

const LOOPBACKS: [&str; 2] = ["127.0.0.1:0", "[::1]:0"];
const DEADLINE: Duration = Duration::from_secs(20);
const SOON: Duration = Duration::from_secs(10);

fn receiver(address: &str, settings: &Settings) -> Receiver {
    Receiver::bind(address.parse().unwrap(), settings).unwrap()
}

/// A sender of the same family, on a port of its own.
fn sender_to(receiver: &Receiver) -> UdpSocket {
    let socket = UdpSocket::bind((receiver.local_address().ip(), 0)).unwrap();
    socket.connect(receiver.local_address()).unwrap();
    socket
}

fn receive_all(receiver: &mut Receiver, wanted: usize) -> Vec<(Vec<u8>, SocketAddr, bool)> {
    let mut all = Vec::new();
    let start = Instant::now();
    while all.len() < wanted && start.elapsed() < DEADLINE {
        let count = receiver.receive(SOON).unwrap();
        assert_eq!(receiver.datagrams().len(), count);
        all.extend(receiver.datagrams().map(|it| (it.bytes.to_vec(), it.sender, it.truncated)));
    }
    all
}

#[test]
fn bytes_sender_and_order_are_kept() {
    for address in LOOPBACKS {
        let mut receiver = receiver(address, &Settings { batch: 4, ..Settings::default() });
        let sender = sender_to(&receiver);
        for index in 0..50 {
            sender.send(format!("<13>line {index}").as_bytes()).unwrap();
        }
        for (index, (bytes, from, truncated)) in
            receive_all(&mut receiver, 50).into_iter().enumerate()
        {
            assert_eq!(bytes, format!("<13>line {index}").as_bytes());
            assert_eq!(from, sender.local_addr().unwrap());
            assert!(!truncated);
        }
        assert_eq!(receiver.kernel_dropped().unwrap(), 0);
    }
}

#[test]
fn empty_long_and_too_long_datagrams() {
    for address in LOOPBACKS {
        let mut receiver =
            receiver(address, &Settings { longest: 1000, batch: 3, ..Settings::default() });
        let sender = sender_to(&receiver);
        let lengths = [0, 1, 999, 1000, 1001, 0, 9000, 5];
        for (tag, length) in (b'a'..).zip(lengths) {
            sender.send(&vec![tag; length]).unwrap();
        }
        let came = receive_all(&mut receiver, lengths.len());
        assert_eq!(came.len(), lengths.len());
        for ((tag, length), (bytes, _, truncated)) in (b'a'..).zip(lengths).zip(came) {
            assert_eq!(bytes, vec![tag; length.min(1000)]);
            assert_eq!(truncated, length > 1000);
        }
    }
}

#[test]
fn the_longest_possible_datagram_is_whole() {
    for (address, longest) in [(LOOPBACKS[0], 65_507), (LOOPBACKS[1], 65_527)] {
        let mut receiver = receiver(address, &Settings::default());
        let sender = sender_to(&receiver);
        sender.send(&vec![b'x'; longest]).unwrap();
        let came = receive_all(&mut receiver, 1);
        assert_eq!((came[0].0.len(), came[0].2), (longest, false));
    }
}

#[test]
fn timeouts() {
    for address in LOOPBACKS {
        let mut receiver = receiver(address, &Settings::default());
        let start = Instant::now();
        assert_eq!(receiver.receive(Duration::ZERO).unwrap(), 0);
        assert_eq!(receiver.receive(Duration::from_nanos(1)).unwrap(), 0);
        assert!(start.elapsed() < SOON);
        let start = Instant::now();
        assert_eq!(receiver.receive(Duration::from_millis(60)).unwrap(), 0);
        assert!(start.elapsed() >= Duration::from_millis(60));
        sender_to(&receiver).send(b"x").unwrap();
        let start = Instant::now();
        assert_eq!(receiver.receive(Duration::MAX).unwrap(), 1);
        assert!(start.elapsed() < SOON);
    }
}

#[test]
fn sent_is_received_plus_dropped_when_nobody_reads() {
    for address in LOOPBACKS {
        let mut receiver =
            receiver(address, &Settings { receive_buffer: 4096, ..Settings::default() });
        let sender = sender_to(&receiver);
        let mut received = 0;
        for round in 1..=3 {
            let sent = round * 3000;
            for index in 0..3000 {
                sender.send(&vec![b'x'; index % 1500]).unwrap();
            }
            received += balance(&mut receiver, received, sent);
            assert!(received > 0 && received < sent);
        }
    }
}

/// Reads on after `already` until received and dropped make up `sent`; fails when they never do,
/// or overshoot. Returns what it read.
fn balance(receiver: &mut Receiver, already: u64, sent: u64) -> u64 {
    let start = Instant::now();
    let mut received = 0;
    loop {
        received += receiver.receive(Duration::from_millis(5)).unwrap() as u64;
        let dropped = receiver.kernel_dropped().unwrap();
        if already + received + dropped >= sent || start.elapsed() > DEADLINE {
            assert_eq!(receiver.receive(Duration::from_millis(20)).unwrap(), 0);
            assert_eq!(already + received + dropped, sent);
            return received;
        }
    }
}

#[test]
fn sent_is_received_plus_dropped_in_a_race() {
    for address in LOOPBACKS {
        let mut receiver =
            receiver(address, &Settings { receive_buffer: 8192, batch: 2, ..Settings::default() });
        let sender = sender_to(&receiver);
        let sent: u64 = 40_000;
        let thread = std::thread::spawn(move || {
            (0..sent).for_each(|index| {
                sender.send(&[b'x'; 700][..index as usize % 700]).unwrap();
            });
        });
        let start = Instant::now();
        let (mut received, mut last) = (0, 0);
        while received + receiver.kernel_dropped().unwrap() < sent && start.elapsed() < DEADLINE {
            received += receiver.receive(Duration::from_millis(5)).unwrap() as u64;
            let dropped = receiver.kernel_dropped().unwrap();
            assert!(dropped >= last);
            last = dropped;
        }
        thread.join().unwrap();
        assert_eq!(received + receiver.kernel_dropped().unwrap(), sent);
    }
}

#[test]
fn siblings_share_by_flow() {
    for address in LOOPBACKS {
        let mut first = receiver(address, &Settings::default());
        let mut second = first.sibling().unwrap();
        assert_eq!(first.local_address(), second.local_address());
        let senders: Vec<UdpSocket> = (0..64).map(|_| sender_to(&first)).collect();
        for index in 0..20u8 {
            senders.iter().for_each(|sender| assert_eq!(sender.send(&[index]).unwrap(), 1));
        }
        let mut flows: BTreeMap<SocketAddr, (usize, Vec<u8>)> = BTreeMap::new();
        let mut shares = [0; 2];
        let start = Instant::now();
        while shares[0] + shares[1] < 64 * 20 && start.elapsed() < DEADLINE {
            for (who, receiver) in [&mut first, &mut second].into_iter().enumerate() {
                shares[who] += receiver.receive(Duration::from_millis(5)).unwrap();
                for datagram in receiver.datagrams() {
                    let flow = flows.entry(datagram.sender).or_insert((who, Vec::new()));
                    assert_eq!(flow.0, who, "a flow changed its worker");
                    flow.1.extend(datagram.bytes);
                }
            }
        }
        assert_eq!(shares[0] + shares[1], 64 * 20);
        assert!(shares[0] > 0 && shares[1] > 0, "{shares:?}");
        assert!(flows.values().all(|(_, order)| order.iter().copied().eq(0..20)));
    }
}

#[test]
fn both_families_have_the_same_port() {
    let v6 = receiver("[::]:0", &Settings::default());
    let port = v6.local_address().port();
    let mut v4 = receiver(&format!("0.0.0.0:{port}"), &Settings::default());
    let sender = UdpSocket::bind("127.0.0.1:0").unwrap();
    sender.send_to(b"four", ("127.0.0.1", port)).unwrap();
    assert_eq!(receive_all(&mut v4, 1)[0].1, sender.local_addr().unwrap());
}

#[test]
fn an_address_in_use_is_not_shared_in_silence() {
    for address in LOOPBACKS {
        let first = receiver(address, &Settings::default());
        let _second = first.sibling().unwrap();
        let error = Receiver::bind(first.local_address(), &Settings::default()).unwrap_err();
        assert!(matches!(error, UdpError::Bind(BindError::InUse { .. })), "{error}");
        assert!(error.to_string().contains(&first.local_address().to_string()));
    }
}

#[test]
fn an_address_of_somebody_else() {
    for address in ["192.0.2.1:0", "[2001:db8::1]:0"] {
        let error = Receiver::bind(address.parse().unwrap(), &Settings::default()).unwrap_err();
        assert!(matches!(error, UdpError::Bind(BindError::NotAvailable { .. })), "{error}");
    }
}

#[test]
fn the_granted_buffer_is_told() {
    let small = Settings { receive_buffer: 65_536, ..Settings::default() };
    assert_eq!(receiver(LOOPBACKS[0], &small).receive_buffer(), 65_536);
    let huge = Settings { receive_buffer: usize::MAX, ..Settings::default() };
    assert!(receiver(LOOPBACKS[1], &huge).receive_buffer() > 65_536);
}

#[test]
fn a_receiver_can_be_handed_to_a_thread() {
    fn sendable<T: Send + Sync>() {}
    sendable::<Receiver>();
}

extern "C" fn ignore(_signal: libc::c_int) {}

#[test]
#[expect(unsafe_code, reason = "signals for one thread")]
fn a_signal_ends_the_wait_without_an_error() {
    // SAFETY: the handler does nothing, and SIGUSR2 is not used by anything else in this binary.
    unsafe {
        let mut action: libc::sigaction = std::mem::zeroed();
        action.sa_sigaction = ignore as *const () as libc::sighandler_t;
        assert_eq!(libc::sigaction(libc::SIGUSR2, &action, std::ptr::null_mut()), 0);
    }
    static DONE: AtomicBool = AtomicBool::new(false);
    let (tell, told) = std::sync::mpsc::channel();
    let thread = std::thread::spawn(move || {
        let mut receiver = receiver(LOOPBACKS[0], &Settings::default());
        // SAFETY: has no preconditions.
        tell.send(unsafe { libc::pthread_self() }).unwrap();
        let start = Instant::now();
        let count = receiver.receive(DEADLINE * 3);
        DONE.store(true, Ordering::SeqCst);
        (count.unwrap(), start.elapsed())
    });
    let waiting = told.recv().unwrap();
    let start = Instant::now();
    while !DONE.load(Ordering::SeqCst) && start.elapsed() < DEADLINE {
        // SAFETY: the thread is not joined yet, so its id is valid.
        unsafe { libc::pthread_kill(waiting, libc::SIGUSR2) };
        std::thread::yield_now();
    }
    let (count, waited) = thread.join().unwrap();
    assert_eq!(count, 0);
    assert!(waited < DEADLINE * 3);
}

#[test]
fn nothing_is_allocated_per_datagram() {
    for address in LOOPBACKS {
        let mut receiver = receiver(address, &Settings::default());
        let sender = sender_to(&receiver);
        for _ in 0..200 {
            sender.send(&[b'x'; 300]).unwrap();
        }
        let mut received = 0;
        let count = crate::input::allocations::count(|| {
            let start = Instant::now();
            while received < 200 && start.elapsed() < DEADLINE {
                received += receiver.receive(SOON).unwrap();
            }
            receiver.kernel_dropped().unwrap();
        });
        assert_eq!((received, count), (200, 0));
    }
}
