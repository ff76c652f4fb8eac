//! Fleets and servers whose path to a pooler drops everything in silence, while the pooler keeps their sessions.

use std::process::Command;
use std::time::{Duration, Instant};

use testkit::{CutPath, Deadline, PoolMode, Pooler, Process};

use crate::fleet_rig::{Fleet, pid_of, workers_in};
use crate::rig::{Program, Rig, code, objects};

/// The promised time for all that a cut stops.
const BOUND: Duration = Duration::from_secs(30);

/// Minutes of one core.
const ENDLESS: [&str; 3] = ["--algorithm", "recursive", "50"];

/// A cut of the path while a job runs.
struct Cut {
    id: String,
    /// The server's processes of the sessions that it cut off.
    sessions: Vec<String>,
    at: Instant,
}

/// The program on a database behind a pooler, to which the path can be cut.
struct Pooled {
    path: CutPath,
    _pooler: Pooler,
    /// Reaches the same database without it.
    rig: Rig,
}

impl Program for Pooled {
    fn command(&self, arguments: &[&str]) -> Command {
        let mut command = self.rig.abaci(arguments);
        command.env("ABACI_DATABASE_URL", self.path.url());
        command
    }
}

impl Pooled {
    fn new() -> Self {
        let rig = Rig::new();
        let pooler = Pooler::start(rig.database.url(), PoolMode::Session);
        Self {
            path: CutPath::to(pooler.url()),
            _pooler: pooler,
            rig,
        }
    }

    /// Counts the starts of the one running job.
    fn attempts(&self, id: &str) -> u64 {
        let job = objects(&self.rig.run(["show", "--json", id])).remove(0);
        job["attempts"].as_u64().unwrap_or_default()
    }

    /// Submits a job, cuts the path once `started` has seen it run, and returns what is cut.
    fn cut_under_a_job(&self, started: impl FnOnce()) -> Cut {
        let id = self.rig.submit(&ENDLESS).remove(0);
        started();
        let sessions = self.sessions();
        self.path.cut();
        let at = Instant::now();
        Cut { id, sessions, at }
    }

    /// Asserts that the work went on in time, and without the sessions of before.
    fn assert_went_on(&self, cut: &Cut) {
        let took = cut.at.elapsed();
        eprintln!("all went on {took:?} after the cut");
        assert!(took < BOUND, "{took:?}");
        let sessions = self.sessions();
        let left: Vec<_> = sessions.iter().filter(|pid| cut.sessions.contains(pid)).collect();
        assert!(left.is_empty(), "dead sessions stay: {left:?}");
    }

    /// The server's processes of all sessions that workers have.
    fn sessions(&self) -> Vec<String> {
        let pids = "select pid from pg_stat_activity where application_name like 'abaci %' \
                    and datname = current_database()";
        let pids = self.rig.database.psql(pids);
        pids.lines().map(str::to_owned).collect()
    }

    /// Asserts that a job that is submitted now is done in time.
    fn assert_serves(&self) {
        let output = self.rig.run(["submit", "--json", "10"]);
        assert_eq!(code(&output), 0, "{output:#?}");
    }
}

#[test]
fn a_fleet_behind_a_pooler_outlasts_a_cut_in_silence() {
    let pooled = Pooled::new();
    let fleet = Fleet::start(&pooled, &["--workers", "2"]);
    let before: Vec<u32> = workers_in(&fleet.health()).iter().map(pid_of).collect();
    let cut = pooled.cut_under_a_job(|| {
        fleet.busy_worker();
    });
    let bound = Deadline::after(BOUND);
    bound.eventually("the job on a new worker", || pooled.attempts(&cut.id) == 2);
    bound.eventually("two new workers that take jobs", || {
        let workers = workers_in(&fleet.health());
        let is_new = |worker: &serde_json::Value| {
            ["idle", "busy"].iter().any(|state| worker["state"] == **state)
                && !before.contains(&pid_of(worker))
        };
        if workers.iter().all(is_new) {
            Ok(())
        } else {
            Err(workers)
        }
    });
    pooled.assert_went_on(&cut);
    pooled.assert_serves();
    let output = pooled.rig.run(["cancel", &cut.id]);
    assert_eq!(code(&output), 0, "{output:#?}");
    fleet.stop();
}

#[test]
fn a_server_behind_a_pooler_begins_anew_after_a_cut_in_silence() {
    let pooled = Pooled::new();
    let server = Process::ready(pooled.command(&["serve", "--poll-interval", "5ms"]));
    let cut = pooled.cut_under_a_job(|| {
        server.wait_for_line("job started");
    });
    server.wait_for_line("cut in silence");
    let ready = server.wait_for_lines("ready executor_id", 2).remove(1);
    assert!(ready.contains("/0"), "it has another id now: {ready}");
    server.wait_for_lines("job started", 2);
    pooled.assert_went_on(&cut);
    assert_eq!(pooled.attempts(&cut.id), 2);
}
