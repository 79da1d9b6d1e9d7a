//! The way in: a process of our own namespaces, with root's rights over them and over nothing else.
//!
//! [`enter`] is for a program that is still single-threaded; [`in_namespace`] for tests, which
//! libtest runs in threads: it runs the one test again, in a process made by util-linux' `unshare`.

use std::fs;
use std::io::{self, Read};
use std::os::unix::process::CommandExt;
use std::process::{Child, Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use nix::sched::{CloneFlags, unshare};
use nix::sys::signal::{Signal, killpg};
use nix::unistd::{Pid, getegid, geteuid};

use super::LabError;

/// How the process came into its namespaces.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Entered {
    /// With the rights it had: a network namespace only.
    AsRoot,
    /// In a user namespace where it is root.
    AsUser,
}

/// Moves the process into a network namespace of its own, and without CAP_SYS_ADMIN into a user
/// namespace first (user_namespaces(7)). Call it while the process has one thread: before a runtime
/// starts. There is no way back.
pub fn enter() -> Result<Entered, LabError> {
    let threads = fs::read_dir("/proc/self/task").map(Iterator::count).unwrap_or(1);
    if threads != 1 {
        return Err(LabError::Threads(threads));
    }
    if privileged() {
        unshare(CloneFlags::CLONE_NEWNET).map_err(|e| refused("unshare the network", e.into()))?;
        return Ok(Entered::AsRoot);
    }
    // Read before: inside, both are the overflow id until they are mapped.
    let (user, group) = (geteuid(), getegid());
    unshare(CloneFlags::CLONE_NEWUSER | CloneFlags::CLONE_NEWNET)
        .map_err(|e| refused("unshare user and network", e.into()))?;
    // In this order: without CAP_SETGID outside, gid_map wants setgroups denied (user_namespaces(7)).
    for (path, text) in [
        ("/proc/self/setgroups", "deny".to_owned()),
        ("/proc/self/uid_map", format!("0 {user} 1")),
        ("/proc/self/gid_map", format!("0 {group} 1")),
    ] {
        fs::write(path, text).map_err(|e| refused(path, e))?;
    }
    Ok(Entered::AsUser)
}

/// Runs `body` in namespaces of its own. `test` is the path of the calling test as libtest names it
/// (`module::tests::name`); that test is run again in a child process, and there `body` is called.
///
/// # Panics
///
/// When the child fails, takes more than two minutes, or runs no test; its output is in the message.
pub fn in_namespace(test: &str, body: impl FnOnce()) {
    if std::env::var_os(INSIDE).is_some() {
        return body();
    }
    let mut command = Command::new("unshare");
    if !privileged() {
        command.args(["--user", "--map-root-user"]);
    }
    let program = std::env::current_exe().expect("the test binary has a path");
    command.arg("--net").arg("--").arg(program).args(["--exact", test, "--nocapture"]);
    command.args(["--include-ignored", "--test-threads=1"]).env(INSIDE, "1");
    let (verdict, output) = finish(command, TEST_DEADLINE);
    // A wrong name runs nothing and succeeds: that must not pass for a test.
    assert!(
        verdict == "exit status: 0" && output.contains("1 passed"),
        "{test} in its namespaces: {verdict}\n{output}{}",
        if output.contains("unshare: ") { obstacles(read) } else { String::new() },
    );
}

/// Whether a network namespace can be had without a user namespace: CAP_SYS_ADMIN is effective.
fn privileged() -> bool {
    let status = fs::read_to_string("/proc/self/status").unwrap_or_default();
    let bits = status.lines().find_map(|line| line.strip_prefix("CapEff:"));
    let bits = bits.and_then(|hex| u64::from_str_radix(hex.trim(), 16).ok()).unwrap_or(0);
    bits & (1 << CAP_SYS_ADMIN) != 0
}

fn refused(step: &'static str, source: io::Error) -> LabError {
    LabError::Forbidden { step, source, why: obstacles(read) }
}

/// Names what may stand in the way, by the knobs that `read` can see.
fn obstacles(read: impl Fn(&str) -> Option<String>) -> String {
    let found: Vec<_> = KNOBS
        .iter()
        .filter(|(name, forbids, _)| {
            let path = format!("/proc/sys/{}", name.replace('.', "/"));
            read(&path).is_some_and(|value| value.trim() == *forbids)
        })
        .map(|(name, forbids, remedy)| {
            format!("{name} is {forbids} (`sysctl {name}={remedy}` permits it)")
        })
        .collect();
    let why = match found.as_slice() {
        [] => "a container's seccomp profile or a security module may forbid it".to_owned(),
        some => some.join(", and "),
    };
    format!("{why}; run as root, no user namespace is needed")
}

fn read(path: &str) -> Option<String> {
    fs::read_to_string(path).ok()
}

/// Runs `command` to its end, or ends it with all its children. How it ended, and what it printed.
fn finish(mut command: Command, limit: Duration) -> (String, String) {
    command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped()).process_group(0);
    let mut child = match command.spawn() {
        Ok(child) => child,
        Err(error) => {
            return (format!("cannot run `unshare` (util-linux): {error}"), String::new());
        }
    };
    let output = child.stdout.take().map(collect);
    let errors = child.stderr.take().map(collect);
    let verdict = wait(&mut child, limit);
    // What the test left behind must neither live on nor hold the pipes open.
    let _ = killpg(Pid::from_raw(child.id().cast_signed()), Signal::SIGKILL);
    let text = [output, errors].into_iter().flatten().filter_map(|pipe| pipe.join().ok()).collect();
    (verdict, text)
}

fn wait(child: &mut Child, limit: Duration) -> String {
    let deadline = Instant::now() + limit;
    while Instant::now() < deadline {
        match child.try_wait() {
            Ok(Some(status)) => return status.to_string(),
            Ok(None) => thread::sleep(Duration::from_millis(5)),
            Err(error) => return error.to_string(),
        }
    }
    let _ = child.kill();
    let _ = child.wait();
    format!("killed after {limit:?}")
}

fn collect(mut pipe: impl Read + Send + 'static) -> thread::JoinHandle<String> {
    thread::spawn(move || {
        let mut bytes = Vec::new();
        let _ = pipe.read_to_end(&mut bytes);
        String::from_utf8_lossy(&bytes).into_owned()
    })
}

/// Name, value that forbids, value that permits.
const KNOBS: [(&str, &str, &str); 3] = [
    ("kernel.unprivileged_userns_clone", "0", "1"),
    ("user.max_user_namespaces", "0", "1000"),
    ("kernel.apparmor_restrict_unprivileged_userns", "1", "0"),
];

/// linux/capability.h.
const CAP_SYS_ADMIN: u32 = 21;

/// Set in the process that [`in_namespace`] made.
const INSIDE: &str = "PORTCULLIS_LAB";

const TEST_DEADLINE: Duration = Duration::from_secs(120);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn obstacles_are_named() {
        let ubuntu = |path: &str| match path {
            "/proc/sys/kernel/apparmor_restrict_unprivileged_userns" => Some("1\n".to_owned()),
            "/proc/sys/user/max_user_namespaces" => Some("96365\n".to_owned()),
            _ => None,
        };
        let text = obstacles(ubuntu);
        assert!(text.contains("sysctl kernel.apparmor_restrict_unprivileged_userns=0"), "{text}");
        assert!(!text.contains("max_user_namespaces"), "{text}");
        assert!(text.contains("run as root"), "{text}");

        let debian = |path: &str| path.ends_with("unprivileged_userns_clone").then(|| "0\n".into());
        assert!(obstacles(debian).contains("sysctl kernel.unprivileged_userns_clone=1"));
        let none = |path: &str| path.ends_with("max_user_namespaces").then(|| "0\n".into());
        assert!(obstacles(none).contains("user.max_user_namespaces is 0"));
        assert!(obstacles(|_| None).contains("seccomp"));
    }

    #[test]
    fn a_process_with_threads_is_refused() {
        // Not relying on libtest's own threads: without a second one this would really enter.
        let (hold, held) = std::sync::mpsc::channel::<()>();
        let other = thread::spawn(move || held.recv().is_err());
        assert!(matches!(enter(), Err(LabError::Threads(2..))));
        drop(hold);
        assert!(other.join().unwrap());
    }

    #[test]
    fn a_process_that_hangs_is_ended() {
        let mut command = Command::new("sh");
        command.args(["-c", "echo begun; sleep 60 & sleep 60"]);
        let started = Instant::now();
        let (verdict, output) = finish(command, Duration::from_millis(300));
        assert_eq!((verdict.as_str(), output.as_str()), ("killed after 300ms", "begun\n"));
        assert!(started.elapsed() < Duration::from_secs(10));
    }

    #[test]
    #[should_panic(expected = "0 passed")]
    fn a_wrong_name_is_not_a_pass() {
        in_namespace("no::such::test", || ());
    }
}
