//! A database that the program left before it knew of job types: rows of every state, a value and a state on the disk.
//!
//! `old_program/dump.sql` is what `pg_dump --inserts` wrote of it, with the place of the artifacts and the host renamed. Its
//! worker was killed while one job was between its state and its digits, and another was cancelled after forty steps.

use std::path::Path;
use std::time::Duration;

use durable_jobs::artifact::BucketAccess;
use durable_jobs::client::{QueueProbe, ResumeOptions, ResumeOutcome, SubmitOptions};
use durable_jobs::{JobId, State};
use fibonacci_jobs::{DEFAULT_QUEUE, JobResult, Request, VERSION, new_jobs};

use crate::rig::{Rig, outcome};

/// Restores what the old program left.
fn restored() -> Rig {
    let rig = Rig::new();
    let kept = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/it/old_program");
    let place = rig.artifacts.path().join("old");
    std::fs::create_dir(&place).unwrap();
    for entry in std::fs::read_dir(&kept).unwrap() {
        let file = entry.unwrap().path();
        if file.extension().is_some_and(|extension| extension != "sql") {
            std::fs::copy(&file, place.join(file.file_name().unwrap())).unwrap();
        }
    }
    let dump = std::fs::read_to_string(kept.join("dump.sql")).unwrap();
    let place = place.canonicalize().unwrap();
    rig.database
        .psql(&dump.replace("@ARTIFACTS@", place.to_str().unwrap()));
    rig
}

#[tokio::test(flavor = "multi_thread")]
async fn its_queue_is_asked_before_anybody_updates_its_tables() {
    let rig = restored();
    let probe = QueueProbe::new(rig.database.url(), DEFAULT_QUEUE, VERSION).unwrap();
    let queue = probe.ask(Duration::from_secs(5)).await.unwrap();
    assert_eq!((queue.queued, queue.running), (1, 1));
}

/// The recorded steps of a job, with when they began.
fn steps(rig: &Rig, id: &str) -> String {
    rig.database.psql(&format!(
        "select function_id, function_name, started_at_epoch_ms from dbos.operation_outputs \
         where workflow_uuid = '{id}' order by function_id"
    ))
}

#[tokio::test(flavor = "multi_thread")]
async fn jobs_that_the_old_program_finished_are_read_and_proven() {
    let rig = restored();
    let client = rig.client().await;
    for (id, n, digits) in [("old-done", 100, 21), ("old-artifact", 100_000, 20_899)] {
        let detail = client.show(&JobId::new(id)).await.unwrap();
        let result: JobResult = detail.result.unwrap().read().unwrap();
        assert_eq!((result.n, result.digits), (n, digits));
        let verified = tokio::task::spawn_blocking(move || result.verify_all(&BucketAccess::default()));
        verified.await.unwrap().unwrap();
    }
    for (id, state, queue) in [
        ("old-parked", State::Parked, "other"),
        ("old-refused", State::Failed, "other"),
        ("old-stepwise", State::Cancelled, "fibonacci"),
        ("old-queued", State::Queued, "fibonacci"),
    ] {
        let job = client.show(&JobId::new(id)).await.unwrap().job;
        assert_eq!((job.state, job.queue.as_deref()), (state, Some(queue)), "{id}");
    }
    // The same request again is the same job.
    let again = [(JobId::new("old-done"), Request::new(100))];
    client
        .submit_all(&new_jobs(&again), SubmitOptions::default())
        .await
        .unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn jobs_that_the_old_program_began_go_on_from_their_steps() {
    let rig = restored();
    let client = rig.client().await;
    let before = ["old-stepwise", "old-giant"].map(|id| (id, steps(&rig, id)));
    assert_eq!(before[0].1.lines().count(), 40);
    assert_eq!(before[1].1.lines().count(), 1);
    let resumed = client
        .resume(&JobId::new("old-stepwise"), ResumeOptions::default())
        .await
        .unwrap();
    assert_eq!(resumed, ResumeOutcome::Resumed);
    let _worker = rig.worker().await;
    for (id, n) in [("old-queued", 200), ("old-stepwise", 100), ("old-giant", 100_000)] {
        let result = outcome(&client, &JobId::new(id)).await.result.unwrap();
        assert_eq!(result.n, n, "{id}");
    }
    for (id, before) in before {
        let after = steps(&rig, id);
        assert!(
            after.starts_with(before.trim_end()),
            "a recorded step of {id} ran again: {after}"
        );
    }
}
