//! The visitor's side of the [login service](super::login): connections that end in a verdict, or in silence.
//!
//! Acts in the namespace of the calling thread. Silence within the time given is an outcome, not an error.

use std::io::{self, Read, Write};
use std::net::{IpAddr, SocketAddr, TcpStream};
use std::time::{Duration, Instant};

use socket2::{Domain, Socket, Type};

use super::Probe;
use super::login::{DENIED, LOGIN, PASSWORD, WELCOME};

/// How a try to log in ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// The service answered: wrong.
    Refused,
    /// The service let us in.
    LoggedIn,
    /// No packet came back in time, at the connection or later.
    NoAnswer,
}

/// An open connection to the service. It can be used from any thread.
#[derive(Debug)]
pub struct Connection {
    stream: TcpStream,
}

impl Connection {
    /// Connects from `from`, and waits for the prompt. Silence is [`io::ErrorKind::TimedOut`].
    pub fn open(from: IpAddr, to: SocketAddr, timeout: Duration) -> io::Result<Connection> {
        let deadline = Instant::now() + timeout;
        let mut connection = Connection { stream: dial(from, to, timeout)? };
        connection.stream.set_nodelay(true)?;
        connection.hear(&[LOGIN], deadline)?;
        Ok(connection)
    }

    /// Answers the prompts. After [`Outcome::Refused`] the service hangs up.
    pub fn login(&mut self, user: &str, password: &str, timeout: Duration) -> io::Result<Outcome> {
        let deadline = Instant::now() + timeout;
        let mut talk = || {
            self.say(user)?;
            self.hear(&[PASSWORD], deadline)?;
            self.say(password)?;
            self.hear(&[DENIED, WELCOME], deadline)
        };
        silence_is_an_outcome(talk().map(|heard| match heard {
            0 => Outcome::Refused,
            _ => Outcome::LoggedIn,
        }))
    }

    /// Once logged in: sends a line and waits for it to come back. The time it took.
    pub fn echo(&mut self, text: &str, timeout: Duration) -> io::Result<Duration> {
        let started = Instant::now();
        self.say(text)?;
        self.hear(&[&format!("{text}\n")], started + timeout)?;
        Ok(started.elapsed())
    }

    fn say(&mut self, text: &str) -> io::Result<()> {
        self.stream.write_all(format!("{text}\n").as_bytes())
    }

    /// Reads until one of `words` is complete: which one.
    fn hear(&mut self, words: &[&str], deadline: Instant) -> io::Result<usize> {
        let mut heard = Vec::new();
        loop {
            if let Some(which) = words.iter().position(|word| heard == word.as_bytes()) {
                return Ok(which);
            }
            if heard.len() > MAX_WORD {
                return Err(io::ErrorKind::InvalidData.into());
            }
            let left = deadline.saturating_duration_since(Instant::now());
            // A timeout of zero would mean for ever.
            self.stream.set_read_timeout(Some(left.max(Duration::from_millis(1))))?;
            let mut byte = [0; 1];
            match self.stream.read(&mut byte) {
                Ok(0) => return Err(io::ErrorKind::UnexpectedEof.into()),
                Ok(_) => heard.push(byte[0]),
                Err(e) if e.kind() == io::ErrorKind::WouldBlock => {
                    return Err(io::ErrorKind::TimedOut.into());
                }
                Err(e) => return Err(e),
            }
        }
    }
}

/// One try: connect from `from` and answer the prompts, all within `timeout`.
pub fn attempt(
    from: IpAddr,
    to: SocketAddr,
    user: &str,
    password: &str,
    timeout: Duration,
) -> io::Result<Outcome> {
    let deadline = Instant::now() + timeout;
    match Connection::open(from, to, timeout) {
        Ok(mut connection) => {
            connection.login(user, password, deadline.saturating_duration_since(Instant::now()))
        }
        Err(error) => silence_is_an_outcome(Err(error)),
    }
}

/// Whether a connection is accepted.
pub(super) fn probe(from: IpAddr, to: SocketAddr, timeout: Duration) -> io::Result<Probe> {
    match dial(from, to, timeout) {
        Ok(_) => Ok(Probe::Open),
        Err(e) if e.kind() == io::ErrorKind::TimedOut => Ok(Probe::NoAnswer),
        Err(e) if REFUSALS.contains(&e.kind()) => Ok(Probe::Refused),
        Err(e) => Err(e),
    }
}

fn dial(from: IpAddr, to: SocketAddr, timeout: Duration) -> io::Result<TcpStream> {
    let socket = Socket::new(Domain::for_address(to), Type::STREAM, None)?;
    socket.bind(&SocketAddr::new(from, 0).into())?;
    socket.connect_timeout(&to.into(), timeout.max(Duration::from_millis(1)))?;
    Ok(socket.into())
}

fn silence_is_an_outcome(result: io::Result<Outcome>) -> io::Result<Outcome> {
    match result {
        Err(e) if e.kind() == io::ErrorKind::TimedOut => Ok(Outcome::NoAnswer),
        other => other,
    }
}

/// What a reset, or an ICMP error of a gate that rejects, becomes.
const REFUSALS: [io::ErrorKind; 4] = [
    io::ErrorKind::ConnectionRefused,
    io::ErrorKind::HostUnreachable,
    io::ErrorKind::NetworkUnreachable,
    io::ErrorKind::PermissionDenied,
];

/// The longest echo that is waited for.
const MAX_WORD: usize = 512;
