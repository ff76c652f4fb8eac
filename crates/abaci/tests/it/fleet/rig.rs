//! A fleet of real processes, and what can be seen of it from outside.

use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use rustix::process::{Pid, kill_process};
use serde_json::Value;
use testkit::{Deadline, Listed, Process, Signal, eventually, is_alive, started_child_of};

use crate::http::{self, Response};
use crate::rig::{Program, Rig, code, objects, run};

/// A running fleet with its health address.
pub(crate) struct Fleet<'a> {
    pub(crate) process: Process,
    pub(crate) address: String,
    program: &'a dyn Program,
}

impl<'a> Fleet<'a> {
    /// Starts a fleet and returns once all its workers take jobs.
    #[track_caller]
    pub(crate) fn start(program: &'a dyn Program, arguments: &[&str]) -> Self {
        let fleet = Self::launch(program, arguments);
        fleet.process.wait_for_line("fleet ready");
        fleet
    }

    /// Starts a fleet and returns once its health process does.
    #[track_caller]
    pub(crate) fn launch(program: &'a dyn Program, arguments: &[&str]) -> Self {
        let usual = [
            "fleet",
            "--until-stdin-closes",
            "--health-addr",
            "127.0.0.1:0",
            "--poll-interval",
            "5ms",
        ];
        let process = Process::spawn(program.command(&[&usual, arguments].concat()));
        let line = process.wait_for_line("health process started");
        Self {
            process,
            address: field(&line, "address"),
            program,
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

    /// Waits until one answer of `/health` is like that, and returns all of it.
    #[track_caller]
    pub(crate) fn answer_when(&self, what: &str, is_so: impl Fn(&Value) -> bool) -> Response {
        eventually(what, || {
            let answer = self.get("/health");
            if is_so(&answer.json()) {
                Ok(answer)
            } else {
                Err(answer.body)
            }
        })
    }

    /// Returns the worker in a slot, as `/health` shows it.
    pub(crate) fn worker(&self, slot: u64) -> Value {
        let found = workers_in(&self.health())
            .into_iter()
            .find(|worker| worker["slot"] == slot);
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
        self.busy_workers(1).swap_remove(0)
    }

    /// The workers that have jobs, once that many have begun to compute.
    #[track_caller]
    pub(crate) fn busy_workers(&self, count: usize) -> Vec<Value> {
        eventually(&format!("workers that compute, {count} of them"), || {
            let health = self.health();
            let mut busy = workers_in(&health);
            busy.retain(|worker| worker["state"] == "busy" && worker["running"][0]["step"] == "compute");
            if busy.len() >= count {
                Ok(busy)
            } else {
                Err(health)
            }
        })
    }

    /// Waits for a job and returns its result.
    #[track_caller]
    pub(crate) fn result_of(&self, id: &str) -> Value {
        let output = run(self.program.command(&["wait", "--json", id]));
        assert_eq!(code(&output), 0, "{output:#?}\n{:#?}", self.process.stderr());
        objects(&output).swap_remove(0)
    }

    /// Asks the fleet to stop and returns when it has, with all it has logged.
    #[track_caller]
    pub(crate) fn stop(self) -> testkit::Output {
        self.process.signal(Signal::TERM);
        self.process.finish()
    }
}

/// Asks `/livez` again and again, and remembers what was no 200.
pub(crate) struct Watch {
    stop: Arc<AtomicBool>,
    asking: JoinHandle<Seen>,
}

/// The answers to a watch.
#[derive(Debug, Default)]
struct Seen {
    answers: usize,
    /// The answers that were no 200.
    others: Vec<String>,
    /// The reason why there was no answer, after which nobody was asked any more.
    end: Option<String>,
}

impl Watch {
    pub(crate) fn start(address: &str) -> Self {
        let (address, stop) = (address.to_owned(), Arc::new(AtomicBool::new(false)));
        let is_over = Arc::clone(&stop);
        let asking = thread::spawn(move || {
            let mut seen = Seen::default();
            while !is_over.load(Ordering::Relaxed) && seen.end.is_none() {
                match http::try_get(&address, "/livez") {
                    Ok(answer) => {
                        seen.answers += 1;
                        seen.others
                            .extend(Some(answer.body).filter(|_| answer.status != 200));
                    }
                    Err(error) => seen.end = Some(error.to_string()),
                }
                // Without a pause it would take the processor from what it watches.
                thread::sleep(Duration::from_millis(2));
            }
            seen
        });
        Self { stop, asking }
    }

    /// Asserts that every question was answered with 200.
    #[track_caller]
    pub(crate) fn assert_never_stopped(self) {
        self.stop.store(true, Ordering::Relaxed);
        let seen = self.asking.join().expect("it notes what it sees");
        assert!(
            seen.answers > 10 && seen.end.is_none(),
            "not every question was answered: {seen:#?}"
        );
        assert!(seen.others.is_empty(), "not alive: {:#?}", seen.others);
    }

    /// Waits until nobody answers any more, and returns the answers until then that were no 200.
    #[track_caller]
    pub(crate) fn last_words(self) -> Vec<String> {
        eventually("the end of the answers", || self.asking.is_finished());
        self.asking.join().expect("it notes what it sees").others
    }
}

/// The workers in an answer of `/health`.
pub(crate) fn workers_in(health: &Value) -> Vec<Value> {
    health["workers"].as_array().cloned().unwrap_or_default()
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
    try_signal(pid, signal).unwrap_or_else(|error| panic!("process {pid}: {error}"));
}

/// Sends a signal to processes that are not our children.
#[track_caller]
pub(crate) fn signal_all(pids: &[u32], deed: Signal) {
    for pid in pids {
        signal(*pid, deed);
    }
}

/// Sends a signal to a process until that has ended it.
///
/// The first SIGSEGV or SIGBUS that no bad access stands behind only takes away the handler that Rust has for stack
/// overflows.
#[track_caller]
pub(crate) fn end_by(pid: u32, deadly: Signal) {
    eventually(&format!("the end of process {pid}"), || {
        // It may have ended in the meantime, which the next look shows.
        !is_alive(pid) || try_signal(pid, deadly).is_err()
    });
}

/// Stops a process and returns when all its threads stand still; until then one of them may still take another signal.
#[track_caller]
pub(crate) fn stop(pid: u32) {
    signal(pid, Signal::STOP);
    eventually(&format!("process {pid} to stand still"), || {
        let threads = std::fs::read_dir(format!("/proc/{pid}/task")).expect("it runs");
        let mut states = threads.flatten().map(|thread| {
            let stat = std::fs::read_to_string(thread.path().join("stat")).unwrap_or_default();
            stat.rsplit_once(") ")
                .is_some_and(|(_, state)| state.starts_with('T'))
        });
        states.all(|is_stopped| is_stopped)
    });
}

/// Says whether a signal waits for a process that has not taken it yet.
pub(crate) fn is_pending(pid: u32, signal: Signal) -> bool {
    let status = std::fs::read_to_string(format!("/proc/{pid}/status")).unwrap_or_default();
    let pending = status.lines().find_map(|line| line.strip_prefix("ShdPnd:"));
    let mask = pending.and_then(|mask| u64::from_str_radix(mask.trim(), 16).ok());
    // The lowest bit is that of signal 1.
    mask.expect("Linux shows it") >> (signal.as_raw() - 1) & 1 == 1
}

/// Sends a signal to a process that may have ended in the meantime.
pub(crate) fn try_signal(pid: u32, signal: Signal) -> rustix::io::Result<()> {
    let id = i32::try_from(pid).ok().and_then(Pid::from_raw);
    kill_process(id.expect("it is a process id"), signal)
}

/// Returns when a second signal is none that was sent together with the first, which was heard of already.
pub(crate) fn await_a_new_wish() {
    let heard = Instant::now();
    // The time is the subject: it begins before this call, so that it has passed for the process as well.
    eventually("half a second", || heard.elapsed() > Duration::from_millis(500));
}

/// The socket by which the fleet of a rig is spoken to.
pub(crate) fn control_socket(rig: &Rig) -> PathBuf {
    rig.directory
        .path()
        .join("data")
        .join("fleet")
        .join("control.sock")
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

/// The process that computes for a worker, once it does.
#[track_caller]
pub(crate) fn computing_process(worker: u32) -> u32 {
    started_child_of(worker, &[]).pid
}

/// Makes this process the parent of those whose parent dies.
///
/// Else the kernel would wake up whoever is stopped and loses the last parent in its session. It does not where a fleet runs
/// in the session of the process that orphans go to, as in a container with a shell for its first process.
pub(crate) fn adopt_orphans() {
    rustix::process::set_child_subreaper(Some(rustix::process::getpid())).expect("Linux lets it");
}

/// Waits until none of these processes is left.
#[track_caller]
pub(crate) fn await_ends(deadline: Deadline, processes: &[Listed]) {
    deadline.eventually("the end of all processes", || {
        let left: Vec<_> = processes.iter().filter(|process| is_alive(process.pid)).collect();
        if left.is_empty() {
            Ok(())
        } else {
            Err(format!("{left:#?}"))
        }
    });
}
