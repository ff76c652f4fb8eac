//! A fleet with its web process.

use std::process::Command;

use testkit::Output;

use super::browser::Scenario;
use crate::fleet_rig::{Fleet, field};
use crate::rig::{Program, Rig, code, run};

/// The token of every server here.
pub(super) const TOKEN: &str = "a-token-for-tests-alone";

/// A database and a directory whose programs know the token.
pub(super) struct WebRig(pub(super) Rig);

impl WebRig {
    pub(super) fn new() -> Self {
        Self(Rig::new())
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
    /// Starts a scenario in a browser that knows the address and the token.
    pub(super) fn scenario(&self, name: &str) -> Scenario {
        Scenario::start(name, &[("ABACI_WEB_URL", &self.url), ("ABACI_WEB_TOKEN", TOKEN)])
    }
}
