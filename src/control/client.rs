//! The side of the commands: blocking, one order and its answer.

use std::io::{self, BufRead, BufReader, Read, Write};
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::time::Duration;

use super::{LONGEST_LINE, Request, Response};

/// A connection to a running daemon.
#[derive(Debug)]
pub struct Client {
    stream: UnixStream,
    path: PathBuf,
}

/// Why the daemon could not be asked.
#[derive(Debug, thiserror::Error)]
pub enum ClientError {
    /// Nobody listens there.
    #[error(
        "no daemon answers at {path}: {why}\n  is it running? (`portcullis run`, `systemctl status portcullis`)\n  has it another socket? (--control PATH or --config FILE)"
    )]
    Absent {
        /// The socket.
        path: PathBuf,
        /// What the system said.
        why: io::Error,
    },
    /// Not permitted.
    #[error("not permitted to open {path}: be root, or the user that runs the daemon")]
    Forbidden {
        /// The socket.
        path: PathBuf,
    },
    /// The conversation broke.
    #[error("the daemon at {path} did not answer: {why}")]
    Broken {
        /// The socket.
        path: PathBuf,
        /// What happened.
        why: io::Error,
    },
    /// It refused the order.
    #[error("{0}")]
    Refused(String),
}

impl Client {
    /// Connects to the daemon whose control socket is at `path`.
    pub fn connect(path: &Path) -> Result<Client, ClientError> {
        let path = path.to_owned();
        match UnixStream::connect(&path) {
            Ok(stream) => {
                let patience = Some(PATIENCE);
                stream
                    .set_read_timeout(patience)
                    .and_then(|()| stream.set_write_timeout(patience))
                    .map_err(|why| ClientError::Broken { path: path.clone(), why })?;
                Ok(Client { stream, path })
            }
            Err(why) if why.kind() == io::ErrorKind::PermissionDenied => {
                Err(ClientError::Forbidden { path })
            }
            Err(why) => Err(ClientError::Absent { path, why }),
        }
    }

    /// Gives an order and waits for its answer.
    pub fn ask(&mut self, request: &Request) -> Result<Response, ClientError> {
        let answer = self.exchange(request);
        match answer.map_err(|why| ClientError::Broken { path: self.path.clone(), why })? {
            Response::Error(why) => Err(ClientError::Refused(why)),
            response => Ok(response),
        }
    }

    fn exchange(&mut self, request: &Request) -> io::Result<Response> {
        let mut line = serde_json::to_string(request)?;
        line.push('\n');
        self.stream.write_all(line.as_bytes())?;
        let mut answer = String::new();
        BufReader::new((&self.stream).take(LONGEST_LINE)).read_line(&mut answer)?;
        if answer.is_empty() {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        Ok(serde_json::from_str(&answer)?)
    }
}

const PATIENCE: Duration = Duration::from_secs(10);
