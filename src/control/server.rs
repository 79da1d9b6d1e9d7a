//! The side of the daemon.

use std::io;
use std::os::unix::fs::{DirBuilderExt, MetadataExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use tokio::io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader};
use tokio::net::{UnixListener, UnixStream};
use tokio::sync::Semaphore;
use tokio_util::sync::CancellationToken;

use super::{LONGEST_REQUEST, Request, Response};

/// A control socket that is ours; its file goes when this does.
#[derive(Debug)]
pub struct Claimed {
    listener: std::os::unix::net::UnixListener,
    path: PathBuf,
}

/// Why the control socket cannot be had.
#[derive(Debug, thiserror::Error)]
pub enum ClaimError {
    /// A daemon lives there.
    #[error(
        "a daemon is already running: it answers at {0}\n  stop it first, or give this one another `[server] control` and other ports"
    )]
    Alive(PathBuf),
    /// Somebody else's file is in the way.
    #[error("{0} exists and is not a socket; remove it, or set `[server] control`")]
    InTheWay(PathBuf),
    /// The folder belongs to somebody else, who could take the orders.
    #[error(
        "{0} belongs to another user or lets everybody write; set `[server] control` to a place of your own"
    )]
    Foreign(PathBuf),
    /// The system refused.
    #[error("cannot make the control socket {path}: {why}")]
    System {
        /// The socket.
        path: PathBuf,
        /// What the system said.
        why: io::Error,
    },
}

impl Claimed {
    /// Makes the socket at `path`, with its folder; a dead daemon's socket is replaced.
    pub fn claim(path: &Path) -> Result<Claimed, ClaimError> {
        let system = |why| ClaimError::System { path: path.to_owned(), why };
        if let Some(folder) = path.parent().filter(|folder| !folder.as_os_str().is_empty()) {
            std::fs::DirBuilder::new()
                .recursive(true)
                .mode(0o755)
                .create(folder)
                .map_err(system)?;
            let there = std::fs::metadata(folder).map_err(system)?;
            let me = nix::unistd::geteuid().as_raw();
            // Whoever owns a folder can put another socket into the place of this one, and where
            // all may write, all can, but for the sticky bit (/tmp).
            let open_to_all = there.mode() & 0o1002 == 0o0002;
            if (there.uid() != me && there.uid() != 0) || open_to_all {
                return Err(ClaimError::Foreign(folder.to_owned()));
            }
        }
        match std::fs::symlink_metadata(path) {
            Err(_) => {}
            Ok(there) if !std::os::unix::fs::FileTypeExt::is_socket(&there.file_type()) => {
                return Err(ClaimError::InTheWay(path.to_owned()));
            }
            Ok(_) if std::os::unix::net::UnixStream::connect(path).is_ok() => {
                return Err(ClaimError::Alive(path.to_owned()));
            }
            Ok(_) => std::fs::remove_file(path).map_err(system)?,
        }
        // The mode is set before anybody can connect: bind, chmod, then listen would be better,
        // but bind and listen are one here; so the umask does it.
        let before = nix::sys::stat::umask(nix::sys::stat::Mode::from_bits_truncate(0o177));
        let listener = std::os::unix::net::UnixListener::bind(path);
        nix::sys::stat::umask(before);
        let listener = listener.map_err(system)?;
        std::fs::set_permissions(path, std::fs::Permissions::from_mode(0o600)).map_err(system)?;
        listener.set_nonblocking(true).map_err(system)?;
        Ok(Claimed { listener, path: path.to_owned() })
    }
}

impl Drop for Claimed {
    fn drop(&mut self) {
        _ = std::fs::remove_file(&self.path);
    }
}

/// Answers orders with `answer` until `stop`. At most [`MOST_CLIENTS`] at a time.
pub async fn serve<A, F>(
    claimed: Arc<Claimed>,
    answer: A,
    stop: CancellationToken,
) -> io::Result<()>
where
    A: Fn(Request) -> F + Clone + Send + 'static,
    F: Future<Output = Response> + Send,
{
    let listener = UnixListener::from_std(claimed.listener.try_clone()?)?;
    let places = Arc::new(Semaphore::new(MOST_CLIENTS));
    loop {
        let Ok(place) = Arc::clone(&places).acquire_owned().await else { return Ok(()) };
        let accepted = tokio::select! {
            () = stop.cancelled() => return Ok(()),
            accepted = listener.accept() => accepted,
        };
        let Ok((stream, _)) = accepted else {
            tokio::time::sleep(Duration::from_millis(100)).await;
            continue;
        };
        let answer = answer.clone();
        tokio::spawn(async move {
            // A client that hangs up in the middle is its own affair.
            _ = tokio::time::timeout(PATIENCE, converse(stream, answer)).await;
            drop(place);
        });
    }
}

async fn converse<A, F>(mut stream: UnixStream, answer: A) -> io::Result<()>
where
    A: Fn(Request) -> F,
    F: Future<Output = Response>,
{
    let (read, mut write) = stream.split();
    let mut lines = BufReader::new(read);
    let mut line = String::new();
    loop {
        line.clear();
        if (&mut lines).take(LONGEST_REQUEST).read_line(&mut line).await? == 0 {
            return Ok(());
        }
        if !line.ends_with('\n') && line.len() as u64 == LONGEST_REQUEST {
            // What follows would be read as an order of its own.
            let answer = Response::Error(format!("an order has {LONGEST_REQUEST} bytes at most"));
            return say(&mut write, &answer).await;
        }
        let response = match serde_json::from_str(&line) {
            Ok(request) => answer(request).await,
            Err(error) => Response::Error(format!("not an order that I know: {error}")),
        };
        say(&mut write, &response).await?;
    }
}

async fn say(to: &mut (impl AsyncWriteExt + Unpin), response: &Response) -> io::Result<()> {
    let mut text = serde_json::to_vec(response)?;
    text.push(b'\n');
    to.write_all(&text).await
}

/// Commands are few and short.
const MOST_CLIENTS: usize = 16;
const PATIENCE: Duration = Duration::from_secs(60);

#[cfg(test)]
mod tests {
    use super::*;

    fn folder(name: &str, mode: u32) -> PathBuf {
        let folder = std::env::temp_dir().join(format!("portcullis-{name}-{}", std::process::id()));
        std::fs::create_dir_all(&folder).unwrap();
        std::fs::set_permissions(&folder, std::fs::Permissions::from_mode(mode)).unwrap();
        folder
    }

    #[test]
    fn a_folder_where_others_can_swap_the_socket_is_refused() {
        for (mode, good) in [(0o700, true), (0o755, true), (0o777, false), (0o1777, true)] {
            let folder = folder("claim", mode);
            let claimed = Claimed::claim(&folder.join("control.sock"));
            assert_eq!(claimed.is_ok(), good, "{mode:o}");
            if let Ok(claimed) = claimed {
                let socket = std::fs::metadata(&claimed.path).unwrap();
                assert_eq!(socket.mode() & 0o777, 0o600);
                assert!(matches!(Claimed::claim(&claimed.path), Err(ClaimError::Alive(_))));
            }
            std::fs::remove_dir(folder).unwrap(); // the socket went with its owner
        }
    }

    #[tokio::test]
    async fn the_tail_of_a_long_request_is_no_order() {
        let (mut here, there) = UnixStream::pair().unwrap();
        let orders = Arc::new(std::sync::atomic::AtomicUsize::new(0));
        let counted = Arc::clone(&orders);
        let serving = tokio::spawn(converse(there, move |_| {
            counted.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
            std::future::ready(Response::Lifted(Vec::new()))
        }));
        let order = "{\"command\":\"unban\"}\n";
        here.write_all(order.as_bytes()).await.unwrap();
        let long = " ".repeat(LONGEST_REQUEST as usize) + order;
        _ = here.write_all(long.as_bytes()).await;
        let mut answers = String::new();
        _ = here.read_to_string(&mut answers).await;
        _ = serving.await.unwrap();
        assert_eq!(orders.load(std::sync::atomic::Ordering::Relaxed), 1);
        assert!(answers.contains("65536 bytes at most"), "{answers}");
    }
}
