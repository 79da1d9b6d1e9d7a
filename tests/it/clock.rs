//! The wall clock is set while the daemon runs, or is wrong when it starts: no ban ends early or late, now or
//! after a restart, and nothing is forgotten.
//!
//! Only root can set the clock, of the whole machine at that, and a time namespace has none of its own
//! (time_namespaces(7): not CLOCK_REALTIME). So a library in front of libc's answers the daemon's questions.

use std::net::UdpSocket;
use std::path::PathBuf;
use std::process::Command;
use std::sync::Arc;
use std::time::{SystemTime, UNIX_EPOCH};

use nix::sys::signal::Signal;

use crate::harness::{Daemon, HERE, Home, LOOPBACK, eventually, failed, finish, portcullis};

/// What libc asks the kernel, and so many seconds more for the wall clock as the file AHEAD says.
const LIBRARY: &str = r#"
#define _GNU_SOURCE
#include <fcntl.h>
#include <stdlib.h>
#include <sys/syscall.h>
#include <sys/time.h>
#include <time.h>
#include <unistd.h>

static long ahead(void) {
    char text[32] = {0};
    int file = open(getenv("AHEAD"), O_RDONLY);
    if (file < 0 || read(file, text, sizeof text - 1) < 1) abort();
    close(file);
    return atol(text);
}
int clock_gettime(clockid_t clock, struct timespec *time) {
    int done = syscall(SYS_clock_gettime, clock, time);
    if (done == 0 && (clock == CLOCK_REALTIME || clock == CLOCK_REALTIME_COARSE)) time->tv_sec += ahead();
    return done;
}
int gettimeofday(struct timeval *time, void *zone) {
    struct timespec now;
    clock_gettime(CLOCK_REALTIME, &now);
    time->tv_sec = now.tv_sec;
    time->tv_usec = now.tv_nsec / 1000;
    return 0;
}
time_t time(time_t *into) {
    struct timespec now;
    clock_gettime(CLOCK_REALTIME, &now);
    return into ? (*into = now.tv_sec) : now.tv_sec;
}
"#;

struct Clock {
    home: Arc<Home>,
    library: PathBuf,
}

impl Clock {
    fn new() -> Clock {
        let home = Home::new(&format!("{LOOPBACK}[jail.sshd]\n"));
        let (source, library) = (home.write("clock.c", LIBRARY), home.file("clock.so"));
        let mut cc = Command::new("cc");
        cc.args(["-shared", "-fPIC", "-o"]).arg(&library).arg(source);
        finish(cc).good();
        Clock { home, library }
    }

    /// At one stroke: a reader finds the old or the new.
    fn set(&self, ahead: i64) {
        self.home.write("ahead.new", ahead.to_string());
        std::fs::rename(self.home.file("ahead.new"), self.home.file("ahead")).unwrap();
    }

    fn start(&self) -> Daemon {
        let mut command = portcullis();
        command.env("LD_PRELOAD", &self.library).env("AHEAD", self.home.file("ahead"));
        Daemon::start_with(&self.home, command, &[])
    }
}

fn wall() -> i64 {
    SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_secs().cast_signed()
}

/// Two bans of an hour go on as they were, and are shown by the clock on the wall.
fn are_there(daemon: &Daemon, ahead: i64) {
    let bans = daemon.bans();
    assert_eq!(daemon.banned(), BANNED);
    for ban in bans {
        let left = ban["left"].as_f64().unwrap();
        assert!(left > 3_400.0 && left <= 3_600.0, "{ahead}: {ban}");
        let shown = ban["until"].as_f64().unwrap() - (wall() + ahead) as f64;
        assert!((shown - left).abs() < 5.0, "{ahead}: {ban}");
    }
}

#[test]
fn a_clock_that_is_set_moves_no_ban() {
    let clock = Clock::new();
    clock.set(0);
    let mut daemon = clock.start();
    for offender in BANNED {
        daemon.command(&["ban", offender, "--for", "1h"]);
    }
    // Banned once, and let go: that is not forgotten.
    let socket = UdpSocket::bind((HERE[0], 0)).unwrap();
    for _ in 0..5 {
        socket.send_to(failed("203.0.113.9").as_bytes(), daemon.address("udp", HERE[0])).unwrap();
    }
    daemon.wait_for_bans(&[BANNED[0], "203.0.113.9", BANNED[1]]);
    daemon.command(&["unban", "203.0.113.9"]);
    daemon.wait_until_remembered();
    let began = wall();
    // Forward by two days, back by a month, and the ten years of a machine that boots without the time.
    for ahead in [2 * DAY, -30 * DAY, 3_650 * DAY, 0] {
        clock.set(ahead);
        are_there(&daemon, ahead);
        daemon.command(&["ban", "203.0.113.8", "--for", "1s"]);
        eventually("a ban ends in its time", || daemon.banned() == BANNED);
        // For the next start the ends are written anew, by the new time.
        let state = rusqlite::Connection::open(clock.home.state()).unwrap();
        let ends = "SELECT count(*) FROM bans WHERE abs(until / 1000000 - ?1 - 3600) < 200";
        eventually("the file knows", || {
            state.query_row(ends, [wall() + ahead], |row| row.get::<_, i64>(0)).unwrap() == 2
        });
        // Nor does he seem to have been quiet for long, or never to be.
        let quiet =
            "SELECT last / 1000000 FROM counts WHERE jail = '' AND offender = '203.0.113.9'";
        let expected = began + ahead + 600;
        eventually("so does it how long somebody is quiet", || {
            let since: i64 = state.query_row(quiet, [], |row| row.get(0)).unwrap();
            (since - expected).abs() < 10
        });
        // A clock that is ahead for a while costs no history.
        let lines = "SELECT count(*) FROM history";
        let lines: i64 = state.query_row(lines, [], |row| row.get(0)).unwrap();
        assert!(ahead <= 0 || lines >= 3, "{lines} lines of history are left");
        drop(state);
        daemon.end(Signal::SIGKILL);
        daemon = clock.start();
        are_there(&daemon, ahead);
    }
}

/// Two bans of an hour, made by a clock that is right, and the daemon killed.
fn banned_by_the_right_clock(clock: &Clock) {
    clock.set(0);
    let daemon = clock.start();
    for offender in BANNED {
        daemon.command(&["ban", offender, "--for", "1h"]);
    }
    daemon.wait_until_remembered();
    daemon.end(Signal::SIGKILL);
}

#[test]
fn a_boot_long_before_prolongs_no_ban() {
    let clock = Clock::new();
    banned_by_the_right_clock(&clock);
    // Ten years back, as without a battery, and back again before the time is known; then it is.
    for ahead in [-3_650 * DAY, -3_650 * DAY - 100, 0, -40] {
        clock.set(ahead);
        let daemon = clock.start();
        are_there(&daemon, ahead);
        // Something is written by such a clock, too.
        daemon.command(&["ban", "203.0.113.8", "--for", "1h"]);
        daemon.wait_until_remembered();
        daemon.command(&["unban", "203.0.113.8"]);
        daemon.wait_until_remembered();
        daemon.end(Signal::SIGKILL);
        let state = rusqlite::Connection::open(clock.home.state()).unwrap();
        let strange = "SELECT count(*) FROM history WHERE abs(at / 1000000 - ?1) > 200";
        let strange: i64 = state.query_row(strange, [wall()], |row| row.get(0)).unwrap();
        assert_eq!(strange, 0, "lines of history stand where they would be looked for");
    }
    // What is set right while it runs moves nothing either.
    clock.set(-3_650 * DAY);
    let daemon = clock.start();
    clock.set(0);
    are_there(&daemon, 0);
}

#[test]
fn a_start_far_ahead_forgets_nothing() {
    let clock = Clock::new();
    banned_by_the_right_clock(&clock);
    let state = rusqlite::Connection::open(clock.home.state()).unwrap();
    let count = |table: &str| -> i64 {
        state.query_row(&format!("SELECT count(*) FROM {table}"), [], |row| row.get(0)).unwrap()
    };
    assert_eq!((count("history"), count("bans")), (2, 2));
    clock.set(3_650 * DAY);
    let daemon = clock.start();
    assert_eq!(daemon.banned(), [""; 0], "by this clock they are over");
    daemon.command(&["ban", "203.0.113.8", "--for", "30m"]);
    // Old lines go with the first writing, if they are old.
    daemon.wait_until_remembered();
    assert_eq!((count("history"), count("bans")), (3, 3));

    // Killed, and by the next start the clock is right: all three are there.
    daemon.end(Signal::SIGKILL);
    clock.set(0);
    let daemon = clock.start();
    let all = [BANNED[0], "203.0.113.8", BANNED[1]];
    assert_eq!(daemon.banned(), all);
    eventually("the file holds them by this clock", || {
        let ends = "SELECT count(*) FROM bans WHERE abs(until / 1000000 - ?1) < 3700";
        state.query_row(ends, [wall()], |row| row.get::<_, i64>(0)).unwrap() == 3
    });
    daemon.end(Signal::SIGKILL);

    // Or it is set right while the daemon runs.
    clock.set(3_650 * DAY);
    clock.start().end(Signal::SIGKILL);
    let daemon = clock.start();
    assert_eq!(daemon.banned(), [""; 0]);
    clock.set(0);
    eventually("they come back", || daemon.banned() == all);
    for ban in daemon.bans() {
        let left = ban["left"].as_f64().unwrap();
        assert!(left > 1_600.0 && left <= 3_600.0, "{ban}");
    }
    // With nothing kept beside any more, a ban that is lifted stays so.
    daemon.command(&["unban", "203.0.113.8"]);
    daemon.wait_until_remembered();
    daemon.end(Signal::SIGKILL);
    are_there(&clock.start(), 0);
}

const BANNED: [&str; 2] = ["203.0.113.7", "2001:db8:7::/64"];
const DAY: i64 = 86_400;
