//! A listener to events, over raw sockets.

use std::io::{BufRead, BufReader, Write};
use std::net::TcpStream;
use std::thread;
use std::time::Duration;

use testkit::Deadline;

use crate::http;

/// The time between two attempts to connect.
const PAUSE: Duration = Duration::from_millis(100);

/// An event of a stream.
#[derive(Debug, Clone, Default, PartialEq)]
pub(super) struct Event {
    pub(super) name: String,
    pub(super) data: String,
}

/// A listener that comes back where it was, as a browser does.
pub(super) struct Listener {
    address: String,
    path: String,
    last_id: Option<String>,
    stream: Option<BufReader<TcpStream>>,
    deadline: Deadline,
}

impl Listener {
    pub(super) fn new(address: &str, path: &str) -> Self {
        Self {
            address: address.to_owned(),
            path: path.to_owned(),
            last_id: None,
            stream: None,
            deadline: Deadline::after(Duration::from_mins(1)),
        }
    }

    pub(super) fn with_deadline(self, deadline: Deadline) -> Self {
        Self { deadline, ..self }
    }

    /// Waits for the next event, over as many connections as it takes.
    #[track_caller]
    pub(super) fn next(&mut self) -> Event {
        loop {
            assert!(!self.deadline.left().is_zero(), "no connection in time");
            if self.stream.is_none() {
                self.stream = self.open();
                if self.stream.is_none() {
                    // As a browser does, which would else ask without a pause.
                    thread::sleep(PAUSE);
                    continue;
                }
            }
            match self.read() {
                Some(event) => return event,
                None => self.stream = None,
            }
        }
    }

    fn open(&self) -> Option<BufReader<TcpStream>> {
        let mut stream = http::connect(&self.address).ok()?;
        let last = self
            .last_id
            .as_ref()
            .map_or_else(String::new, |id| format!("last-event-id: {id}\r\n"));
        let request = format!(
            "GET {} HTTP/1.1\r\nhost: {}\r\n{last}\r\n",
            self.path, self.address
        );
        stream.write_all(request.as_bytes()).ok()?;
        Some(BufReader::new(stream))
    }

    /// Reads up to the end of an event that has data; none at the end of the connection.
    fn read(&mut self) -> Option<Event> {
        let stream = self.stream.as_mut()?;
        let (mut event, mut id) = (Event::default(), None);
        loop {
            // Signs of life come all the while, and each is a moment to look.
            assert!(!self.deadline.left().is_zero(), "no event in time");
            let mut line = String::new();
            if stream.read_line(&mut line).ok()? == 0 {
                return None;
            }
            let line = line.trim_end();
            match line.split_once(": ") {
                Some(("event", name)) => name.clone_into(&mut event.name),
                Some(("data", data)) => data.clone_into(&mut event.data),
                Some(("id", given)) => id = Some(given.to_owned()),
                _ if line.is_empty() => {
                    // Only a whole event has an id.
                    if id.is_some() {
                        self.last_id = id.take();
                    }
                    if !event.name.is_empty() {
                        return Some(event);
                    }
                }
                _ => {}
            }
        }
    }
}
