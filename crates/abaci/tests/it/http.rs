//! Just enough of an HTTP client to ask a server how it is.

use std::io::{self, Read, Write};
use std::net::TcpStream;
use std::time::{Duration, Instant};

use serde_json::Value;
use testkit::eventually;

/// No answer takes this long.
const TIMEOUT: Duration = Duration::from_secs(20);

/// An answer.
#[derive(Debug)]
pub(crate) struct Response {
    pub(crate) status: u16,
    /// Status line and headers.
    pub(crate) head: String,
    pub(crate) body: String,
    /// From the attempt to connect to the end of the answer.
    pub(crate) took: Duration,
}

impl Response {
    #[track_caller]
    pub(crate) fn json(&self) -> Value {
        serde_json::from_str(&self.body).unwrap_or_else(|error| panic!("{error}: {self:#?}"))
    }
}

/// Asks for a path on a connection of its own.
#[track_caller]
pub(crate) fn get(address: &str, path: &str) -> Response {
    try_get(address, path).unwrap_or_else(|error| panic!("GET {path} of {address}: {error}"))
}

/// Asks until the answer has this status, and returns it.
#[track_caller]
pub(crate) fn await_status(address: &str, path: &str, status: u16) -> Response {
    eventually(&format!("{status} from {path}"), || {
        let answer = get(address, path);
        if answer.status == status {
            Ok(answer)
        } else {
            Err(answer)
        }
    })
}

/// As [`get`], of a server that may not be there.
pub(crate) fn try_get(address: &str, path: &str) -> io::Result<Response> {
    let begun = Instant::now();
    let request = format!("GET {path} HTTP/1.1\r\nhost: {address}\r\nconnection: close\r\n\r\n");
    let answer = exchange(address, request.as_bytes())?;
    parse(&answer, begun.elapsed()).ok_or_else(|| io::Error::other(format!("no HTTP: {answer:?}")))
}

/// Sends bytes and returns what comes back until the other side closes the connection.
pub(crate) fn exchange(address: &str, bytes: &[u8]) -> io::Result<String> {
    let mut stream = connect(address)?;
    stream.write_all(bytes)?;
    let mut answer = Vec::new();
    stream.read_to_end(&mut answer)?;
    Ok(String::from_utf8_lossy(&answer).into_owned())
}

/// Opens a connection whose reads do not wait for ever.
pub(crate) fn connect(address: &str) -> io::Result<TcpStream> {
    let stream = TcpStream::connect(address)?;
    stream.set_read_timeout(Some(TIMEOUT))?;
    stream.set_write_timeout(Some(TIMEOUT))?;
    Ok(stream)
}

fn parse(answer: &str, took: Duration) -> Option<Response> {
    let (head, body) = answer.split_once("\r\n\r\n")?;
    let status = head.split(' ').nth(1)?.parse().ok()?;
    Some(Response {
        status,
        head: head.to_ascii_lowercase(),
        body: body.to_owned(),
        took,
    })
}
