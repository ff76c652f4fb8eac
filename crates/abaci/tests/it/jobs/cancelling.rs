//! A cancel reaches a job wherever it is, soon after the command's end, and leaves no file and no process.

use std::fs;
use std::time::Duration;

use durable_jobs::record::RunningJob;
use testkit::{Deadline, children_of, eventually, is_alive};

use crate::children::files;
use crate::in_process::OwnWorker;
use crate::rig::{Rig, code, objects};

/// The longest time that a cancelled job may go on after the command has said so: half a second where nothing else runs, and more where
/// other tests do.
const BOUND: Duration = Duration::from_secs(3);

/// Minutes of one core.
const ENDLESS: [&str; 3] = ["--algorithm", "recursive", "50"];

/// Seconds of one core, most of them for the decimal digits.
const LONG: &str = "200000000";

/// A child that makes its unfinished file and is never done writing it.
const ENDLESS_WRITER: &str = r#"read -r order
path=$(printf %s "$order" | sed 's/.*"place":{"directory":"\([^"]*\)","name":"\([^"]*\)".*/\1\/\2/')
: > "$path"
sleep 600"#;

/// Cancels a job and returns how long it may still go on.
#[track_caller]
fn cancel(rig: &Rig, id: &str) -> Deadline {
    assert_eq!(code(&rig.run(["cancel", id])), 0);
    Deadline::after(BOUND)
}

#[track_caller]
fn assert_cancelled(rig: &Rig, id: &str) {
    let shown = rig.run(["show", "--json", id]);
    assert_eq!(code(&shown), 0, "{shown:#?}");
    assert_eq!(objects(&shown)[0]["state"], "cancelled");
    assert_eq!(files(&rig.directory), [""; 0]);
}

/// The processor time that this process has used, in ticks of the kernel, of which there are a hundred a second.
fn processor_ticks() -> u64 {
    let stat = fs::read_to_string("/proc/self/stat").unwrap();
    let (_, fields) = stat.rsplit_once(") ").unwrap();
    let ticks = fields.split(' ').skip(11).take(2);
    ticks.map(|ticks| ticks.parse::<u64>().unwrap()).sum()
}

/// Tells if this process does next to nothing for a tenth of a second.
fn is_at_rest() -> bool {
    let before = processor_ticks();
    std::thread::sleep(Duration::from_millis(100));
    processor_ticks() - before <= 4
}

/// The job that runs on a worker.
fn running(worker: &OwnWorker) -> Option<RunningJob> {
    worker.observer().report().running.into_iter().next()
}

/// Waits until a worker has done this share of its job.
fn await_share(worker: &OwnWorker, share: f64) {
    eventually("the job to be so far", || {
        let progress = running(worker).and_then(|job| job.progress);
        progress.is_some_and(|done| done >= share)
    });
}

#[test]
fn a_waiting_job_never_starts() {
    let rig = Rig::new();
    let id = rig.submit(&ENDLESS).remove(0);
    cancel(&rig, &id);
    let server = rig.server(&[]);
    assert_eq!(code(&rig.run(["submit", "10"])), 0);
    server.wait_for_line("job succeeded");
    assert!(
        server.stderr().iter().all(|line| !line.contains(&id)),
        "a cancelled job was begun"
    );
    assert_cancelled(&rig, &id);
}

#[test]
fn a_job_on_a_thread_stops() {
    for (job, share) in [(&ENDLESS[..], 0.0), (&[LONG], 0.0), (&[LONG], 0.5)] {
        let rig = Rig::new();
        let worker = OwnWorker::start_with(&rig, |settings| settings.isolation = None);
        let id = rig.submit(job).remove(0);
        await_share(&worker, share);
        let bound = cancel(&rig, &id);
        bound.eventually("the worker to be free", || running(&worker).is_none());
        bound.eventually("the thread to stop", is_at_rest);
        assert_cancelled(&rig, &id);
        worker.stop();
    }
}

#[test]
fn a_job_in_a_child_stops_computing_or_writing_digits() {
    for (job, share) in [(&ENDLESS[..], 0.0), (&[LONG], 0.5)] {
        let rig = Rig::new();
        let worker = OwnWorker::start(&rig, |_| {});
        let id = rig.submit(job).remove(0);
        let child = worker.child();
        await_share(&worker, share);
        let bound = cancel(&rig, &id);
        bound.eventually("the child to be gone", || !is_alive(child));
        bound.eventually("the worker to be free", || running(&worker).is_none());
        assert_cancelled(&rig, &id);
        worker.stop();
    }
}

#[test]
fn a_child_that_writes_its_artifact_leaves_nothing_of_it() {
    let rig = Rig::new();
    let worker = OwnWorker::start(&rig, |isolation| {
        isolation.program = "/bin/sh".into();
        isolation.arguments = ["-c", ENDLESS_WRITER].map(str::to_owned).to_vec();
        isolation.environment = std::env::var_os("PATH")
            .map(|path| ("PATH".into(), path))
            .into_iter()
            .collect();
    });
    let id = rig.submit(&[LONG]).remove(0);
    let child = worker.child();
    eventually("an unfinished file", || files(&rig.directory).len() == 1);
    let sleeper = eventually("the process that the child started", || children_of(child).pop());
    let bound = cancel(&rig, &id);
    bound.eventually("the child to be gone with all that it started", || {
        !is_alive(child) && !is_alive(sleeper.pid)
    });
    bound.eventually("its file to be gone", || files(&rig.directory).is_empty());
    assert_cancelled(&rig, &id);
    worker.stop();
}
