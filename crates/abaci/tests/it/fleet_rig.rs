//! A fleet of real processes, and what can be seen of it from outside.

use abaci_testkit::{Process, Signal, eventually};
use rustix::process::{Pid, kill_process};
use serde_json::Value;

use crate::http::{self, Response};
use crate::rig::{Rig, code, objects};

/// A running fleet with its health address.
pub(crate) struct Fleet<'a> {
    pub(crate) process: Process,
    pub(crate) address: String,
    rig: &'a Rig,
}

impl<'a> Fleet<'a> {
    /// Starts a fleet and returns once all its workers take jobs.
    #[track_caller]
    pub(crate) fn start(rig: &'a Rig, arguments: &[&str]) -> Self {
        let fleet = Self::launch(rig, arguments);
        fleet.process.wait_for_line("fleet ready");
        fleet
    }

    /// Starts a fleet and returns once its health process does.
    #[track_caller]
    pub(crate) fn launch(rig: &'a Rig, arguments: &[&str]) -> Self {
        let usual = [
            "fleet",
            "--until-stdin-closes",
            "--health-addr",
            "127.0.0.1:0",
            "--poll-interval",
            "5ms",
        ];
        let process = Process::spawn(rig.abaci(usual.iter().chain(arguments)));
        let line = process.wait_for_line("health process started");
        Self {
            process,
            address: field(&line, "address"),
            rig,
        }
    }

    pub(crate) fn get(&self, path: &str) -> Response {
        http::get(&self.address, path)
    }

    pub(crate) fn health(&self) -> Value {
        self.get("/health").json()
    }

    /// Waits until all is well, and returns what `/health` says then.
    #[track_caller]
    pub(crate) fn await_health(&self) -> Value {
        eventually("a healthy fleet", || {
            let health = self.health();
            if health["status"] == "healthy" {
                Ok(health)
            } else {
                Err(health)
            }
        })
    }

    /// What `/health` says of the worker in a slot.
    pub(crate) fn worker(&self, slot: u64) -> Value {
        let health = self.health();
        let workers = health["workers"].as_array().cloned().unwrap_or_default();
        let found = workers.into_iter().find(|worker| worker["slot"] == slot);
        found.unwrap_or(Value::Null)
    }

    /// Waits until `/health` shows the worker in a slot like that, and returns it.
    #[track_caller]
    pub(crate) fn worker_when(&self, slot: u64, what: &str, is_so: impl Fn(&Value) -> bool) -> Value {
        eventually(&format!("worker {slot} to be {what}"), || {
            let worker = self.worker(slot);
            if is_so(&worker) { Ok(worker) } else { Err(worker) }
        })
    }

    /// Waits until the worker in a slot is in a state, and returns it.
    #[track_caller]
    pub(crate) fn worker_in(&self, slot: u64, state: &str) -> Value {
        self.worker_when(slot, state, |worker| worker["state"] == state)
    }

    /// The process in a slot.
    #[track_caller]
    pub(crate) fn pid(&self, slot: u64) -> u32 {
        pid_of(&self.worker(slot))
    }

    /// The one worker that has a job, once it has begun to compute.
    #[track_caller]
    pub(crate) fn busy_worker(&self) -> Value {
        eventually("a worker that computes", || {
            let health = self.health();
            let workers = health["workers"].as_array().cloned().unwrap_or_default();
            workers
                .into_iter()
                .find(|worker| worker["state"] == "busy" && worker["running"][0]["step"] == "compute")
                .ok_or(health)
        })
    }

    /// Waits for a job and returns its result.
    #[track_caller]
    pub(crate) fn result_of(&self, id: &str) -> Value {
        let output = self.rig.run(["wait", "--json", id]);
        assert_eq!(code(&output), 0, "{output:#?}\n{:#?}", self.process.stderr());
        objects(&output).swap_remove(0)
    }

    /// Asks the fleet to stop and returns when it has, with all it has logged.
    #[track_caller]
    pub(crate) fn stop(self) -> abaci_testkit::Output {
        self.process.signal(Signal::TERM);
        self.process.finish()
    }
}

/// The process id in a worker's view.
#[track_caller]
pub(crate) fn pid_of(worker: &Value) -> u32 {
    let pid = worker["pid"].as_u64().and_then(|pid| u32::try_from(pid).ok());
    pid.unwrap_or_else(|| panic!("no process: {worker}"))
}

/// Sends a signal to a process that is not our child.
#[track_caller]
pub(crate) fn signal(pid: u32, signal: Signal) {
    let id = i32::try_from(pid).ok().and_then(Pid::from_raw);
    kill_process(id.expect("it is a process id"), signal)
        .unwrap_or_else(|error| panic!("process {pid}: {error}"));
}

/// The value of a field in a log line of text.
#[track_caller]
pub(crate) fn field(line: &str, name: &str) -> String {
    let start = format!("{name}=");
    let value = line
        .split_whitespace()
        .find_map(|word| word.strip_prefix(start.as_str()));
    let value = value.unwrap_or_else(|| panic!("{name} is not in: {line}"));
    value.trim_matches('"').to_owned()
}

/// A size in KiB of a process, as Linux names it.
#[track_caller]
pub(crate) fn memory_kib(pid: u32, name: &str) -> u64 {
    let status = std::fs::read_to_string(format!("/proc/{pid}/status")).expect("the process runs");
    let line = status.lines().find(|line| line.starts_with(name));
    let size = line.and_then(|line| line.split_whitespace().nth(1)?.parse().ok());
    size.unwrap_or_else(|| panic!("{name} is not in: {status}"))
}

/// The processes whose parent is `pid`.
pub(crate) fn children_of(pid: u32) -> Vec<(u32, String)> {
    let entries = std::fs::read_dir("/proc").expect("Linux tells it").flatten();
    let pids = entries.filter_map(|entry| entry.file_name().to_str()?.parse::<u32>().ok());
    let children = pids.filter_map(|child| {
        let stat = std::fs::read_to_string(format!("/proc/{child}/stat")).ok()?;
        let parent = stat
            .rsplit_once(')')?
            .1
            .split_whitespace()
            .nth(1)?
            .parse::<u32>()
            .ok()?;
        let command = std::fs::read_to_string(format!("/proc/{child}/cmdline")).ok()?;
        (parent == pid).then(|| (child, command.trim_end_matches('\0').replace('\0', " ")))
    });
    children.collect()
}
