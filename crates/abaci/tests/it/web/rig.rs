//! A fleet with its web process.

use std::process::Command;

use serde_json::Value;
use testkit::{Output, PrivateServer, eventually};

use super::browser::Scenario;
use crate::fleet_rig::{Fleet, field};
use crate::http;
use crate::rig::{Program, Rig, code, objects, run};

/// The token of every server here.
pub(super) const TOKEN: &str = "a-token-for-tests-alone";

/// A database and a directory whose programs know the token.
pub(super) struct WebRig(pub(super) Rig, Option<OwnServer>);

/// A database on a server of its own, where no transaction of another test is open.
struct OwnServer {
    server: PrivateServer,
    url: String,
}

impl WebRig {
    pub(super) fn new() -> Self {
        Self(Rig::new(), None)
    }

    /// The same on a server of its own, where no transaction of others keeps changes back.
    pub(super) fn alone() -> Self {
        let server = PrivateServer::new();
        let url = server.create_database("jobs");
        Self(Rig::new(), Some(OwnServer { server, url }))
    }

    fn psql(&self, statement: &str) -> String {
        match &self.1 {
            Some(own) => own.server.psql("jobs", statement),
            None => self.0.database.psql(statement),
        }
    }

    /// Starts a fleet and returns once all its workers take jobs and its web process answers.
    #[track_caller]
    pub(super) fn fleet(&self, arguments: &[&str]) -> WebFleet<'_> {
        let web = ["--web-addr", "127.0.0.1:0"];
        let fleet = Fleet::start(self, &[&web, arguments].concat());
        let line = fleet.process.wait_for_line("web process started");
        let url = format!("http://{}", field(&line, "address"));
        let pid = field(&line, "pid").parse().expect("a process id");
        WebFleet { url, pid, fleet }
    }

    /// The web process of the fleet, once there is one.
    #[track_caller]
    pub(super) fn web_pid(&self) -> u32 {
        eventually("a web process", || {
            let status = objects(&run(self.command(&["status", "--json"]))).swap_remove(0);
            let pid = status["fleet"]["web"]["pid"].as_u64();
            pid.and_then(|pid| u32::try_from(pid).ok()).ok_or(status)
        })
    }

    /// The program with these arguments, and without the token in its environment.
    pub(super) fn without_token(&self, arguments: &[&str]) -> Command {
        let mut command = self.0.abaci(arguments);
        command.env_remove("ABACI_WEB_ADDR");
        command
    }

    /// Waits until so many jobs have succeeded.
    #[track_caller]
    pub(super) fn await_jobs(&self, jobs: usize) {
        eventually("jobs that have ended", || {
            let count = "select count(*) from dbos.workflow_status where status = 'SUCCESS'";
            let count = self.psql(count);
            if count.trim() == jobs.to_string() {
                Ok(())
            } else {
                Err(count)
            }
        });
    }

    /// Runs the program to its end.
    #[track_caller]
    pub(super) fn run(&self, arguments: &[&str]) -> Output {
        let output = run(self.command(arguments));
        assert_eq!(code(&output), 0, "{output:#?}");
        output
    }
}

impl Program for WebRig {
    fn command(&self, arguments: &[&str]) -> Command {
        let mut command = self.0.abaci(arguments);
        command.env("ABACI_WEB_TOKEN", TOKEN);
        if let Some(own) = &self.1 {
            command.env("ABACI_DATABASE_URL", &own.url);
        }
        command
    }
}

/// A running fleet with a web process.
pub(super) struct WebFleet<'a> {
    /// The address of its page.
    pub(super) url: String,
    /// The web process.
    pub(super) pid: u32,
    pub(super) fleet: Fleet<'a>,
}

impl WebFleet<'_> {
    /// The host and port.
    pub(super) fn address(&self) -> &str {
        self.url.trim_start_matches("http://")
    }

    /// Submits numbers over HTTP and returns the ids of the jobs.
    #[track_caller]
    pub(super) fn submit(&self, body: &Value) -> Vec<String> {
        let body = body.to_string();
        let request = format!(
            "POST /api/v1/jobs HTTP/1.1\r\nhost: {}\r\nauthorization: Bearer {TOKEN}\r\nconnection: close\r\n\
             content-type: application/json\r\ncontent-length: {}\r\n\r\n{body}",
            self.address(),
            body.len()
        );
        let answer = http::exchange(self.address(), request.as_bytes()).unwrap();
        let (head, body) = answer.split_once("\r\n\r\n").unwrap();
        assert!(head.starts_with("HTTP/1.1 202"), "{answer}");
        let answer: Value = serde_json::from_str(body).unwrap();
        let jobs = answer["jobs"].as_array().unwrap().iter();
        jobs.map(|job| job["id"].as_str().unwrap().to_owned()).collect()
    }

    /// Starts a scenario in a browser that knows the address and the token.
    pub(super) fn scenario(&self, name: &str) -> Scenario {
        Scenario::start(name, &[("ABACI_WEB_URL", &self.url), ("ABACI_WEB_TOKEN", TOKEN)])
    }
}
