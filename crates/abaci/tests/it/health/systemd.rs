//! The messages of a server to systemd, received on a real socket.

use std::os::unix::net::UnixDatagram;
use std::process::Command;
use std::time::Duration;

use testkit::{Deadline, Listed, Process, Signal, TempDir, children_of};

use crate::rig::{Rig, bare, code};

/// The time for a message to come.
const PATIENCE: Duration = Duration::from_secs(30);

/// The other end of `NOTIFY_SOCKET`.
struct Systemd {
    socket: UnixDatagram,
    // Holds the socket.
    directory: TempDir,
}

impl Systemd {
    fn new() -> Self {
        let directory = TempDir::new();
        let socket = UnixDatagram::bind(directory.path().join("notify")).unwrap();
        socket.set_read_timeout(Some(PATIENCE)).unwrap();
        Self { socket, directory }
    }

    /// Starts a service, whose life is to be told every second.
    fn start(&self, mut command: Command) -> Process {
        command
            .env("NOTIFY_SOCKET", self.directory.path().join("notify"))
            .env("WATCHDOG_USEC", "1000000");
        Process::spawn(command)
    }

    /// Reads messages until one that says this, and returns them all.
    #[track_caller]
    fn messages_until(&self, what: &str) -> Vec<String> {
        let deadline = Deadline::after(PATIENCE);
        let mut messages = Vec::new();
        let mut bytes = [0; 4096];
        while messages.last().is_none_or(|last: &String| !last.contains(what)) {
            let length = self.socket.recv(&mut bytes);
            let length = length.unwrap_or_else(|error| panic!("{what} was not said ({error}): {messages:?}"));
            messages.push(String::from_utf8_lossy(&bytes[..length]).into_owned());
            assert!(!deadline.left().is_zero(), "{what} was not said: {messages:#?}");
        }
        messages
    }
}

#[test]
fn a_service_reports_its_start_its_life_and_its_end() {
    let (rig, systemd) = (Rig::new(), Systemd::new());
    let server = systemd.start(rig.abaci(["serve"]));
    systemd.messages_until("READY=1");
    server.wait_for_line("ready");
    let status = systemd.messages_until("STATUS=");
    assert!(status.last().unwrap().contains("taking jobs as "), "{status:?}");
    for _ in 0..3 {
        systemd.messages_until("WATCHDOG=1");
    }
    server.signal(Signal::TERM);
    systemd.messages_until("STOPPING=1");
    assert!(server.finish().status.success());
}

#[test]
fn a_service_that_waits_for_its_database_lives_and_is_not_ready() {
    let (home, systemd) = (TempDir::new(), Systemd::new());
    // Nothing listens on port 1.
    let mut command = bare(&home, ["serve"]);
    command.env("ABACI_DATABASE_URL", "postgres://ada@127.0.0.1:1/abaci");
    let server = systemd.start(command);
    server.wait_for_line("waiting for the database");
    let mut said = Vec::new();
    for _ in 0..3 {
        said.extend(systemd.messages_until("WATCHDOG=1"));
    }
    assert!(!said.iter().any(|message| message.contains("READY")), "{said:?}");
}

#[test]
fn only_the_supervisor_reports_start_reload_and_end() {
    let (rig, systemd) = (Rig::new(), Systemd::new());
    let fleet = systemd.start(rig.abaci(["fleet", "--health-addr", "none", "--workers", "1"]));
    systemd.messages_until("READY=1");
    systemd.messages_until("STATUS=1 of 1 workers take jobs");
    for Listed { pid, command, .. } in children_of(fleet.pid()) {
        let environment = std::fs::read(format!("/proc/{pid}/environ")).unwrap();
        let environment = String::from_utf8_lossy(&environment).into_owned();
        assert!(
            !environment.contains("NOTIFY_SOCKET"),
            "{command} could speak, too"
        );
    }
    for _ in 0..3 {
        systemd.messages_until("WATCHDOG=1");
    }
    fleet.signal(Signal::HUP);
    let reloading = systemd.messages_until("RELOADING=1");
    assert!(
        reloading.last().unwrap().contains("MONOTONIC_USEC="),
        "{reloading:?}"
    );
    systemd.messages_until("READY=1");
    // Told by whomever, a reload is one; systemd's own order during it is over when it is.
    let lock = rig.database.lock("abaci.presence");
    let by_command = Process::spawn(rig.abaci(["fleet", "reload"]));
    systemd.messages_until("RELOADING=1");
    fleet.signal(Signal::HUP);
    systemd.messages_until("RELOADING=1");
    drop(lock);
    systemd.messages_until("READY=1");
    assert_eq!(code(&by_command.finish()), 0);
    fleet.signal(Signal::TERM);
    systemd.messages_until("STOPPING=1");
    assert!(fleet.finish().status.success());
}
