//! A fleet with its web process, and listeners to it.

use std::fs;
use std::io::{BufRead, BufReader, Write};
use std::net::TcpStream;

use serde_json::Value;
use testkit::eventually;

use crate::fleet::rig::{Fleet, field};
use crate::http;
use crate::rig::{Rig, objects};

/// A fleet whose web process answers.
pub(super) struct WebFleet<'a> {
    pub(super) fleet: Fleet<'a>,
    pub(super) address: String,
    pub(super) token: String,
    rig: &'a Rig,
}

impl<'a> WebFleet<'a> {
    #[track_caller]
    pub(super) fn start(rig: &'a Rig, arguments: &[&str]) -> Self {
        let web = ["--web-addr", "127.0.0.1:0"];
        let fleet = Fleet::start(rig, &[&web, arguments].concat());
        let address = field(&fleet.process.wait_for_line("web process started"), "address");
        let token = fs::read_to_string(rig.directory.path().join("data/web/token")).unwrap();
        Self {
            fleet,
            address,
            token: token.trim().to_owned(),
            rig,
        }
    }

    /// The process that answers, once it does.
    #[track_caller]
    pub(super) fn pid(&self) -> u32 {
        eventually("a web process", || {
            let status = objects(&self.rig.run(["status", "--json"])).swap_remove(0);
            let pid = status["fleet"]["web"]["pid"].as_u64();
            pid.and_then(|pid| u32::try_from(pid).ok()).ok_or(status)
        })
    }

    /// Submits numbers over HTTP and returns the ids of the jobs.
    #[track_caller]
    pub(super) fn submit(&self, body: &Value) -> Vec<String> {
        let body = body.to_string();
        let request = format!(
            "POST /api/v1/jobs HTTP/1.1\r\nhost: {}\r\nauthorization: Bearer {}\r\nconnection: close\r\n\
             content-type: application/json\r\ncontent-length: {}\r\n\r\n{body}",
            self.address,
            self.token,
            body.len()
        );
        let answer = http::exchange(&self.address, request.as_bytes()).unwrap();
        let (head, body) = answer.split_once("\r\n\r\n").unwrap();
        assert!(head.starts_with("HTTP/1.1 202"), "{answer}");
        let answer: Value = serde_json::from_str(body).unwrap();
        let jobs = answer["jobs"].as_array().unwrap().iter();
        jobs.map(|job| job["id"].as_str().unwrap().to_owned()).collect()
    }
}

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
}

impl Listener {
    pub(super) fn new(address: &str, path: &str) -> Self {
        Self {
            address: address.to_owned(),
            path: path.to_owned(),
            last_id: None,
            stream: None,
        }
    }

    /// Waits for the next event, over as many connections as it takes.
    #[track_caller]
    pub(super) fn next(&mut self) -> Event {
        loop {
            if self.stream.is_none() {
                self.stream = self.open();
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
