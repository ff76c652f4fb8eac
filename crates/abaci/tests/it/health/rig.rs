//! A server whose health is asked for.

use std::process::Command;

use serde_json::Value;
use testkit::{Process, eventually};

use crate::http::{self, Response};
use crate::rig::Rig;

/// A server that answers for its health.
pub(crate) struct Served {
    pub(crate) process: Process,
    pub(crate) address: String,
}

impl Served {
    /// Starts it and returns once it says where it answers, which may be long before it takes jobs.
    pub(crate) fn begin(command: Command) -> Self {
        let process = Process::spawn(command);
        let line = process.wait_for_line("health address=");
        let address = line.rsplit_once("address=").unwrap().1.to_owned();
        Self { process, address }
    }

    /// Starts it and returns once it takes jobs.
    pub(crate) fn ready(rig: &Rig) -> Self {
        let served = Self::begin(rig.abaci(SERVE));
        served.process.wait_for_line("ready");
        served
    }

    #[track_caller]
    pub(crate) fn get(&self, path: &str) -> Response {
        http::get(&self.address, path)
    }

    /// Waits for an answer of `/health` of which something holds.
    #[track_caller]
    pub(crate) fn health_until(&self, what: &str, holds: impl Fn(&Value) -> bool) -> Value {
        eventually(what, || {
            let health = self.get("/health").json();
            if holds(&health) { Ok(health) } else { Err(health) }
        })
    }

    /// Asserts that it is not ready and that all of `words` are among the reasons.
    #[track_caller]
    pub(crate) fn assert_unready(&self, words: &[&str]) {
        let unready = self.get("/readyz");
        assert_eq!(unready.status, 503, "{unready:#?}");
        let answer = unready.json();
        assert_eq!(answer["status"], "not ready", "{answer}");
        let reasons = answer["reasons"].to_string();
        for word in words {
            assert!(reasons.contains(word), "{word:?} is not in {reasons}");
        }
    }
}

/// Port 0: the server says which one it got.
pub(crate) const SERVE: [&str; 5] = ["serve", "--poll-interval", "5ms", "--health-addr", "127.0.0.1:0"];
