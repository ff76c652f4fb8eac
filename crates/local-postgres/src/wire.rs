//! The few messages of PostgreSQL's protocol that this library needs: does the server answer, and one statement.
//!
//! A file can be stale and a socket can accept while the server still recovers; a session that became ready is the
//! one proof that the server serves. Results of statements are not read.
//!
//! Source: PostgreSQL documentation, "Frontend/Backend Protocol", version 3.0.

use std::io::{self, Read, Write};
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::time::Duration;

use crate::error::Error;

/// The server's superuser, in every cluster that this library makes.
pub(crate) const USER: &str = "postgres";

/// The database that every cluster has.
pub(crate) const MAINTENANCE_DATABASE: &str = "postgres";

const PROTOCOL_3_0: u32 = 196_608;

/// No message that is awaited here is nearly as long; whatever sends one is not PostgreSQL.
const LONGEST_MESSAGE_BYTES: usize = 1024 * 1024;

/// SQLSTATE of a database that does not exist.
pub(crate) const NO_SUCH_DATABASE: &str = "3D000";

/// SQLSTATEs of a server that is starting up or shutting down.
const NOT_NOW: [&str; 3] = ["57P01", "57P02", "57P03"];

/// An open session of the superuser.
pub(crate) struct Session {
    stream: UnixStream,
    socket: PathBuf,
}

impl Session {
    /// Opens a session; each answer of the server may take `patience`.
    pub(crate) fn open(socket: &Path, database: &str, patience: Duration) -> Result<Session, Error> {
        let failed = |source| Error::NoAnswer {
            socket: socket.to_path_buf(),
            source,
        };
        let stream = UnixStream::connect(socket).map_err(failed)?;
        stream.set_read_timeout(Some(patience)).map_err(failed)?;
        stream.set_write_timeout(Some(patience)).map_err(failed)?;
        let mut session = Session {
            stream,
            socket: socket.to_path_buf(),
        };
        // This message alone has no kind; the empty text at the end becomes the zero that ends the list.
        let mut startup = PROTOCOL_3_0.to_be_bytes().to_vec();
        for text in ["user", USER, "database", database, ""] {
            startup.extend_from_slice(text.as_bytes());
            startup.push(0);
        }
        session.send(&[], &startup)?;
        session.until_ready()?;
        Ok(session)
    }

    /// Runs one statement.
    pub(crate) fn execute(&mut self, statement: &str) -> Result<(), Error> {
        let mut body = statement.as_bytes().to_vec();
        body.push(0);
        self.send(b"Q", &body)?;
        self.until_ready()
    }

    fn send(&mut self, kind: &[u8], body: &[u8]) -> Result<(), Error> {
        // The length counts its own four bytes, but not the kind.
        let length =
            u32::try_from(body.len() + 4).map_err(|_| self.broken(io::ErrorKind::InvalidInput.into()))?;
        let message = [kind, &length.to_be_bytes(), body].concat();
        self.stream
            .write_all(&message)
            .map_err(|source| self.broken(source))
    }

    /// Reads until the server awaits the next statement; an error that it sent on the way is the result.
    fn until_ready(&mut self) -> Result<(), Error> {
        let mut refusal = None;
        loop {
            match self.receive() {
                Ok((b'Z', _)) => return refusal.map_or(Ok(()), Err),
                Ok((b'E', body)) => refusal = Some(refused(&body)),
                Ok((b'R', body)) if body != [0; 4] => {
                    return Err(self.broken(io::Error::other("it asks for a password")));
                }
                // Settings of the server, notices, the tag of a statement: all of it may be ignored.
                Ok(_) => {}
                // A refused start-up ends without a last word.
                Err(source) => return Err(refusal.unwrap_or_else(|| self.broken(source))),
            }
        }
    }

    fn receive(&mut self) -> io::Result<(u8, Vec<u8>)> {
        let mut head = [0; 5];
        self.stream.read_exact(&mut head)?;
        let length = u32::from_be_bytes([head[1], head[2], head[3], head[4]]) as usize;
        if !(4..=LONGEST_MESSAGE_BYTES).contains(&length) {
            return Err(io::Error::new(
                io::ErrorKind::InvalidData,
                "it does not speak PostgreSQL's protocol",
            ));
        }
        let mut body = vec![0; length - 4];
        self.stream.read_exact(&mut body)?;
        Ok((head[0], body))
    }

    fn broken(&self, source: io::Error) -> Error {
        Error::NoAnswer {
            socket: self.socket.clone(),
            source,
        }
    }
}

impl Drop for Session {
    fn drop(&mut self) {
        // The message that ends a session; without it the server sees the end of the stream, which it takes as well.
        let _ = self.send(b"X", &[]);
    }
}

/// Says whether the server serves: it opens a session, or refuses for a reason other than its own start or end.
pub(crate) fn answers(socket: &Path, patience: Duration) -> bool {
    match Session::open(socket, MAINTENANCE_DATABASE, patience) {
        Ok(_) => true,
        Err(Error::Refused { sqlstate, .. }) => !NOT_NOW.contains(&sqlstate.as_str()),
        Err(_) => false,
    }
}

/// Reads an error: fields of one letter and a zero-terminated text.
fn refused(body: &[u8]) -> Error {
    let field = |letter: u8| {
        let fields = body.split(|byte| *byte == 0);
        let found = fields
            .filter_map(|field| field.split_first())
            .find(|(first, _)| **first == letter);
        found.map_or_else(String::new, |(_, text)| {
            String::from_utf8_lossy(text).into_owned()
        })
    };
    Error::Refused {
        sqlstate: field(b'C'),
        message: field(b'M'),
    }
}
