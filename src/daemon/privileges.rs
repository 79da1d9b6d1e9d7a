//! From root to a user of little power: two capabilities, and no way to any other.
//!
//! Capabilities belong to a thread, so this must come before there is a second one. Enters: a user's
//! name. Leaves: a process that can change the firewall and open ports below 1024, and nothing that
//! it starts can do even that.

use std::fs;
use std::io;
use std::os::unix::fs::{DirBuilderExt, chown};
use std::path::{Path, PathBuf};

use nix::sys::prctl;
use nix::unistd::{AccessFlags, User, access, geteuid, initgroups, setresgid, setresuid};

/// Why the process keeps its rights, and so does not run.
#[derive(Debug, thiserror::Error)]
pub enum PrivilegeError {
    /// Nobody of that name.
    #[error("--user {0}: there is no such user; `useradd --system {0}` makes one")]
    Unknown(String),
    /// Only root can become somebody else.
    #[error("--user {0}: only root can become another user; start as root, or as {0} itself")]
    NotRoot(String),
    /// Too late.
    #[error("rights must be given up before other threads start, and there are {0} threads")]
    Threads(usize),
    /// The user could not write what the daemon needs.
    #[error("--user {user}: {user} cannot write {path}; `chown {user} {path}` helps")]
    Path {
        /// Who.
        user: String,
        /// Where.
        path: PathBuf,
    },
    /// The system refused.
    #[error("--user {user}: cannot {step}: {source}")]
    System {
        /// Who.
        user: String,
        /// What was tried.
        step: &'static str,
        /// What the system said.
        source: io::Error,
    },
}

/// Becomes `name`, with CAP_NET_ADMIN and CAP_NET_BIND_SERVICE alone. Of the folders of `files`,
/// those that are missing are made with the mode beside them, and given to the user.
pub fn become_user(name: &str, files: &[(&Path, u32)]) -> Result<(), PrivilegeError> {
    let threads = fs::read_dir("/proc/self/task").map_or(1, Iterator::count);
    if threads != 1 {
        return Err(PrivilegeError::Threads(threads));
    }
    let failed = |step| {
        let user = name.to_owned();
        move |errno: nix::Error| PrivilegeError::System { user, step, source: errno.into() }
    };
    let user = User::from_name(name).map_err(failed("look the user up"))?;
    let user = user.ok_or_else(|| PrivilegeError::Unknown(name.to_owned()))?;
    if !geteuid().is_root() {
        let is_he = user.uid == geteuid();
        return if is_he { Ok(()) } else { Err(PrivilegeError::NotRoot(name.to_owned())) };
    }
    let folders = files.iter().filter_map(|(file, mode)| Some((file.parent()?, *mode)));
    let folders: Vec<(&Path, u32)> = folders.collect();
    for (folder, mode) in &folders {
        make(folder, *mode, &user)?;
    }
    // Without CAP_SETPCAP later, the bounding set can only be cut while we are root.
    clear_bounding_set().map_err(failed("clear the bounding set"))?;
    prctl::set_keepcaps(true).map_err(failed("keep capabilities"))?;
    let c_name = std::ffi::CString::new(name).map_err(|_| PrivilegeError::Unknown(name.into()))?;
    initgroups(&c_name, user.gid).map_err(failed("take the user's groups"))?;
    setresgid(user.gid, user.gid, user.gid).map_err(failed("take the user's group"))?;
    setresuid(user.uid, user.uid, user.uid).map_err(failed("become the user"))?;
    set_capabilities(KEPT).map_err(failed("keep CAP_NET_ADMIN and CAP_NET_BIND_SERVICE"))?;
    prctl::set_no_new_privs().map_err(failed("renounce new privileges"))?;
    let closed = |path: &Path, how| access(path, how).is_err();
    let folder = folders.iter().map(|it| it.0).find(|it| closed(it, FOLDER));
    let left = || files.iter().flat_map(|(file, _)| beside(file));
    match folder.map(Path::to_owned).or_else(|| left().find(|it| closed(it, AccessFlags::W_OK))) {
        Some(path) => Err(PrivilegeError::Path { user: name.to_owned(), path }),
        None => Ok(()),
    }
}

const FOLDER: AccessFlags = AccessFlags::W_OK.union(AccessFlags::X_OK);

/// What an earlier run as root may have left: the file, and what bears its name and an ending.
fn beside(file: &Path) -> Vec<PathBuf> {
    let (Some(folder), Some(name)) = (file.parent(), file.file_name()) else { return Vec::new() };
    let entries = fs::read_dir(folder).into_iter().flatten().flatten();
    entries
        .filter(|entry| entry.file_name().as_encoded_bytes().starts_with(name.as_encoded_bytes()))
        .map(|entry| entry.path())
        .filter(|path| path.is_file())
        .collect()
}

/// Makes a folder that is missing. One that is there may be everybody's, and is left as it is.
fn make(folder: &Path, mode: u32, user: &User) -> Result<(), PrivilegeError> {
    if folder.as_os_str().is_empty() || folder.exists() {
        return Ok(());
    }
    let failed = |source| PrivilegeError::System {
        user: user.name.clone(),
        step: "make the folder of a socket or file",
        source,
    };
    fs::DirBuilder::new().recursive(true).mode(mode).create(folder).map_err(failed)?;
    chown(folder, Some(user.uid.as_raw()), Some(user.gid.as_raw())).map_err(failed)
}

/// capabilities(7): whatever is executed can gain nothing that is not in this set.
#[expect(unsafe_code, reason = "nix has no PR_CAPBSET_DROP and no PR_CAP_AMBIENT")]
fn clear_bounding_set() -> nix::Result<()> {
    for capability in 0..64 {
        // SAFETY: takes a number, no pointer.
        match unsafe { libc::prctl(libc::PR_CAPBSET_DROP, capability, 0, 0, 0) } {
            0 => {}
            // Behind the last that this kernel knows.
            _ if nix::Error::last() == nix::Error::EINVAL && capability > 0 => break,
            _ => return Err(nix::Error::last()),
        }
    }
    // SAFETY: takes numbers, no pointer.
    let cleared =
        unsafe { libc::prctl(libc::PR_CAP_AMBIENT, libc::PR_CAP_AMBIENT_CLEAR_ALL, 0, 0, 0) };
    nix::Error::result(cleared).map(drop)
}

/// capset(2) with version 3: two words of each set.
#[expect(unsafe_code, reason = "neither nix nor std can set capabilities")]
fn set_capabilities(kept: u32) -> nix::Result<()> {
    #[repr(C)]
    struct Header {
        version: u32,
        pid: i32,
    }
    #[repr(C)]
    struct Sets {
        effective: u32,
        permitted: u32,
        inheritable: u32,
    }
    let header = Header { version: VERSION_3, pid: 0 };
    let low = Sets { effective: kept, permitted: kept, inheritable: 0 };
    let sets = [low, Sets { effective: 0, permitted: 0, inheritable: 0 }];
    // SAFETY: both point to live values of the layout of `linux/capability.h`; the kernel reads two
    // of `Sets` for this version, and writes to the header alone, and only for an unknown version.
    let done = unsafe { libc::syscall(libc::SYS_capset, &raw const header, sets.as_ptr()) };
    nix::Error::result(done).map(drop)
}

/// `_LINUX_CAPABILITY_VERSION_3`.
const VERSION_3: u32 = 0x2008_0522;

/// `CAP_NET_BIND_SERVICE` (10) and `CAP_NET_ADMIN` (12).
const KEPT: u32 = 1 << 10 | 1 << 12;
