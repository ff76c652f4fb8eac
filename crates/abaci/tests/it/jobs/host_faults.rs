//! Faults of a host: what it lacks costs a job nothing but the time until the host, or another one, has it.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, Instant};

use rustix::process::{Pid, Resource, Rlimit, getrlimit, prlimit};
use serde_json::Value;
use testkit::{Process, Signal, eventually, started_child_of};

use crate::fleet_rig::{Fleet, signal};
use crate::http::await_status;
use crate::in_process::OwnWorker;
use crate::rig::{Program, Rig, code, objects};

/// About a second of one core.
const HEAVY: [&str; 3] = ["--algorithm", "recursive", "42"];

/// F(42).
const VALUE: &str = "267914296";

/// A program that lies where the test may remove it.
struct Copied<'a> {
    rig: &'a Rig,
    path: PathBuf,
}

impl<'a> Copied<'a> {
    fn new(rig: &'a Rig) -> Self {
        let path = rig.directory.path().join("abaci");
        fs::copy(env!("CARGO_BIN_EXE_abaci"), &path).unwrap();
        Self { rig, path }
    }

    fn remove(&self) {
        fs::remove_file(&self.path).unwrap();
    }
}

impl Program for Copied<'_> {
    fn command(&self, arguments: &[&str]) -> Command {
        let own = self.rig.abaci(arguments);
        let mut command = Command::new(&self.path);
        command.args(arguments).env_clear();
        command.envs(own.get_envs().filter_map(|(name, value)| Some((name, value?))));
        command
    }
}

/// Lets a process open few more files, or as many as this one may.
fn may_open_files(pid: u32, may: Files) {
    let own = getrlimit(Resource::Nofile);
    let current = match may {
        // One for a connection to the database that it opens again, and none for the pipes of a child.
        Files::Few => Some(fs::read_dir(format!("/proc/{pid}/fd")).unwrap().count() as u64 + 3),
        Files::AsUsual => own.current,
    };
    let pid = i32::try_from(pid).ok().and_then(Pid::from_raw);
    prlimit(pid, Resource::Nofile, Rlimit { current, ..own }).unwrap();
}

#[derive(Clone, Copy)]
enum Files {
    Few,
    AsUsual,
}

/// The states of all rows, and how many of their claims were not given back.
fn rows(rig: &Rig) -> String {
    let rows = rig
        .database
        .psql("select distinct status, recovery_attempts from dbos.workflow_status");
    rows.trim().to_owned()
}

/// Asserts that a job succeeded as if nothing had been in its way; returns its result.
#[track_caller]
fn assert_unharmed(rig: &Rig, id: &str) -> Value {
    let output = rig.run(["wait", "--json", id]);
    assert_eq!(code(&output), 0, "{output:#?}");
    let result = objects(&output).remove(0);
    assert_eq!(result["attempts"], 1, "{result}");
    result
}

/// The directory of the artifacts of the one database of a rig.
fn artifacts(rig: &Rig) -> PathBuf {
    let all = fs::read_dir(rig.directory.path().join("data/artifacts")).unwrap();
    let [place] = &all.map(|entry| entry.unwrap().path()).collect::<Vec<_>>()[..] else {
        panic!("not one place of artifacts")
    };
    place.clone()
}

/// Waits until a fleet says that it takes no jobs for this reason, and that it tries again.
#[track_caller]
fn await_trouble(fleet: &Fleet, words: &str) {
    let answer = await_status(&fleet.address, "/readyz", 503);
    assert!(
        answer.body.contains(words),
        "{words:?} is not in: {}",
        answer.body
    );
    assert!(answer.body.contains("trying again"), "{}", answer.body);
}

fn lines(process: &Process, words: &str) -> usize {
    let lines = process.stderr();
    lines.iter().filter(|line| line.contains(words)).count()
}

#[test]
fn a_fleet_whose_program_was_removed_works_on() {
    let rig = Rig::new();
    let program = Copied::new(&rig);
    let fleet = Fleet::start(&program, &["--workers", "1"]);
    program.remove();
    let first = fleet.pid(0);
    let id = rig.submit(&HEAVY).remove(0);
    let child = started_child_of(first, &[]);
    assert!(
        child.command.starts_with(program.path.to_str().unwrap()),
        "{child:?}"
    );
    assert_eq!(assert_unharmed(&rig, &id)["value"], VALUE);
    signal(first, Signal::KILL);
    let second = fleet.worker_when(0, "another process", |worker| {
        worker["pid"].is_u64() && worker["pid"] != first && worker["state"] == "idle"
    });
    let id = rig.submit(&HEAVY).remove(0);
    assert_eq!(assert_unharmed(&rig, &id)["pid"], second["pid"]);
    fleet.await_health();
}

/// Asserts that the trouble of a host is one line of the log, however long it lasts.
#[track_caller]
fn assert_reported_once(fleet: &Fleet) {
    let count = lines(&fleet.process, "this host cannot work");
    assert_eq!(count, 1, "{:#?}", fleet.process.stderr());
}

#[test]
fn a_worker_without_descriptors_waits_for_them_with_its_jobs() {
    let rig = Rig::new();
    let fleet = Fleet::start(&rig, &["--workers", "1"]);
    let worker = fleet.pid(0);
    // Whatever it opens for its first job is open then.
    assert_unharmed(&rig, &rig.submit(&HEAVY)[0]);
    may_open_files(worker, Files::Few);
    let id = rig.submit(&HEAVY).remove(0);
    await_trouble(
        &fleet,
        "worker 0 cannot start a computing process: Too many open files (os error 24)",
    );
    fleet.worker_when(0, "trying ever more seldom", |worker| {
        worker["host"]["retry_in_seconds"]
            .as_f64()
            .is_some_and(|seconds| seconds > 1.5)
    });
    let status = rig.run(["status"]).stdout.join("\n");
    assert!(
        status.contains("0 of 1 workers take jobs") && status.contains("os error 24"),
        "{status}"
    );
    assert!(rows(&rig).contains("ENQUEUED|0"), "{}", rows(&rig));
    let waiting =
        "select count(*) from dbos.workflow_status where status = 'ENQUEUED' and executor_id is null";
    assert_eq!(
        rig.database.psql(waiting).trim(),
        "1",
        "it waits since it was given back only"
    );
    assert_reported_once(&fleet);
    may_open_files(worker, Files::AsUsual);
    assert_eq!(assert_unharmed(&rig, &id)["pid"], worker);
    await_status(&fleet.address, "/readyz", 200);
}

#[test]
fn a_bad_host_leaves_the_jobs_to_a_good_one() {
    let rig = Rig::new();
    let fleet = Fleet::start(&rig, &["--workers", "2"]);
    let (bad, good) = (fleet.pid(0), fleet.pid(1));
    may_open_files(bad, Files::Few);
    let ids = rig.submit(&["--algorithm", "recursive", "40", "40", "40", "40", "40", "40"]);
    for id in &ids {
        assert_eq!(assert_unharmed(&rig, id)["pid"], good);
    }
    let kept = rig.database.psql(&format!(
        "select distinct end_kind, end_reason like '%computing process%' from abaci.attempts where pid = {bad}"
    ));
    assert_eq!(
        kept.trim(),
        "given_back|t",
        "why an attempt was given back is not kept"
    );
    let health = fleet.answer_when("one worker short", |health| health["status"] == "degraded");
    assert!(
        health.body.contains("worker 0 cannot start a computing process"),
        "{}",
        health.body
    );
    assert_eq!(fleet.get("/readyz").status, 200);
}

#[test]
fn a_drain_does_not_wait_for_a_bad_host() {
    let rig = Rig::new();
    let worker = OwnWorker::start(&rig, |isolation| isolation.program = "/nowhere/abaci".into());
    let id = rig.submit(&HEAVY).remove(0);
    let trouble = eventually("trouble", || worker.observer().report().host);
    assert!(trouble.reason.contains("No such file"), "{trouble:?}");
    let asked = Instant::now();
    worker.stop();
    assert!(
        asked.elapsed() < Duration::from_secs(5),
        "it took {:?}",
        asked.elapsed()
    );
    assert_eq!(rows(&rig), "ENQUEUED|0");
    let _server = rig.server(&[]);
    assert_eq!(assert_unharmed(&rig, &id)["value"], VALUE);
}

#[test]
fn values_wait_for_a_place_that_can_be_written_to() {
    // On a thread and in a process; and a file of the child.
    for n in ["1000000", "30000000"] {
        let rig = Rig::new();
        let fleet = Fleet::start(&rig, &["--workers", "1"]);
        let place = artifacts(&rig);
        let aside = Path::new(&place).with_extension("aside");
        fs::rename(&place, &aside).unwrap();
        fs::write(&place, "").unwrap();
        let id = rig.submit(&[n]).remove(0);
        await_trouble(
            &fleet,
            &format!("cannot use the artifacts in {}", place.display()),
        );
        eventually("the job to wait", || rows(&rig) == "ENQUEUED|0");
        assert_reported_once(&fleet);
        fs::remove_file(&place).unwrap();
        fs::rename(&aside, &place).unwrap();
        assert_unharmed(&rig, &id);
        await_status(&fleet.address, "/readyz", 200);
    }
}

#[test]
fn a_place_of_artifacts_that_vanished_is_made_again() {
    let rig = Rig::new();
    let fleet = Fleet::start(&rig, &["--workers", "1"]);
    fs::remove_dir_all(artifacts(&rig)).unwrap();
    let id = rig.submit(&["1000000"]).remove(0);
    assert_unharmed(&rig, &id);
    fleet.process.wait_for_line("this host can work again");
    assert_eq!(code(&rig.run(["verify", &id])), 0);
}
