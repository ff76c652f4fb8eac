//! Rows as they are submitted: with a rank, a delay, a key and words of their own.

use std::time::Duration;

use dbos::sysdb::types::NewWorkflow;
use durable_jobs::client::{Delay, NewJob, Priority, SubmitOptions, Submitted};
use durable_jobs::record::{Batch, Label};
use durable_jobs::{Error, JobId, JobType, State};
use testkit::eventually;

use crate::rig::{DEADLINE, Rig};
use crate::types::Greets;

fn label(text: &str) -> Label {
    text.parse().unwrap()
}

fn greeting(id: &str) -> NewJob {
    NewJob::of::<Greets>(JobId::new(id), &"you".to_owned()).unwrap()
}

/// Rows are written by a statement of ours; they must be what the engine itself writes, for its other tools to see the same.
#[tokio::test(flavor = "multi_thread")]
async fn a_row_with_every_option_is_the_one_of_the_engine() {
    let rig = Rig::new();
    let client = rig.client().await;
    let hour = Duration::from_hours(1);
    let row = NewWorkflow {
        name: Some(Greets::WORKFLOW),
        input: Some("\"you\""),
        serialization: Some("rust_serde"),
        queue_name: Some("default"),
        deduplication_id: Some("theirs"),
        priority: 5,
        delay: Some(hour),
        application_version: Some("test-1"),
        attributes: Some(r#"{"tags": ["a", "b c"], "batch": "nightly"}"#),
        ..NewWorkflow::new("engine")
    };
    rig.submit_by_engine(&row).await;

    let job = NewJob {
        priority: Priority::new(5).unwrap(),
        tags: vec![label("a"), label("b c")],
        batch: Some("nightly".parse::<Batch>().unwrap()),
        ..greeting("own")
    };
    let options = SubmitOptions {
        delay: Some(Delay::For(hour)),
        ..SubmitOptions::default()
    };
    let submitted = client.submit_once(&job, &label("ours"), options).await;
    assert_eq!(submitted.unwrap(), Submitted::Queued);
    let alike = "select own.deduplication_id, abs(own.delay_until_epoch_ms - own.created_at) \
        from dbos.workflow_status own, dbos.workflow_status engine \
        where engine.workflow_uuid = 'engine' and own.workflow_uuid = 'own' \
        and to_jsonb(own) - '{workflow_uuid,created_at,updated_at,owner_xid,deduplication_id,delay_until_epoch_ms}'::text[] \
          = to_jsonb(engine) - '{workflow_uuid,created_at,updated_at,owner_xid,deduplication_id,delay_until_epoch_ms}'::text[]";
    assert_eq!(rig.database.psql(alike).trim(), "ours|3600000");

    let shown = client.show(&JobId::new("own")).await.unwrap().job;
    assert_eq!(shown.state, State::Delayed);
    assert_eq!(
        (shown.priority, shown.tags, shown.batch),
        (5, job.tags, job.batch)
    );
    assert_eq!(shown.delayed_until_ms, Some(shown.created_at_ms + 3_600_000));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_key_names_one_job_of_the_queue_at_a_time() {
    let rig = Rig::new();
    let client = rig.client().await;
    let submit = async |id: &str, name: &str| {
        let job = NewJob::of::<Greets>(JobId::new(id), &name.to_owned()).unwrap();
        client
            .submit_once(&job, &label("k"), SubmitOptions::default())
            .await
    };
    assert_eq!(submit("one", "you").await.unwrap(), Submitted::Queued);
    // The same submission again, as after an answer that was lost.
    assert_eq!(submit("one", "you").await.unwrap(), Submitted::Queued);
    let joined = Submitted::Joined(JobId::new("one"));
    assert_eq!(submit("two", "you").await.unwrap(), joined);
    assert!(
        matches!(submit("three", "me").await, Err(Error::KeyHeld { id, .. }) if id == "one"),
        "another request joined it"
    );
    let worker = rig.worker().await;
    client.output_of::<Greets>(&JobId::new("one")).await.unwrap();
    worker.drain(DEADLINE).await;
    assert_eq!(submit("three", "me").await.unwrap(), Submitted::Queued);
    let joined = Submitted::Joined(JobId::new("three"));
    assert_eq!(submit("four", "me").await.unwrap(), joined);
}

#[tokio::test(flavor = "multi_thread")]
async fn jobs_of_one_submission_are_claimed_in_their_order() {
    let rig = Rig::new();
    let client = rig.client().await;
    // Neither their ids nor the place where they are stored sort so.
    let ids: Vec<String> = (0..200).map(|n: u32| format!("{:03}", n * 37 % 200)).collect();
    let jobs: Vec<NewJob> = ids.iter().map(|id| greeting(id)).collect();
    client.submit_all(&jobs, SubmitOptions::default()).await.unwrap();
    rig.database
        .psql("update dbos.workflow_status set updated_at = 1 where workflow_uuid < '100'");
    let _worker = rig.worker().await;
    for job in &jobs {
        client.output_of::<Greets>(&job.id).await.unwrap();
    }
    // A worker has one job at a time, so that they end in the order of the claims.
    let ended = rig
        .database
        .psql("select workflow_uuid from dbos.workflow_status order by xmin::text::bigint");
    assert_eq!(ended.split_whitespace().collect::<Vec<_>>(), ids);
}

/// The planner's statistics are from before the jobs came, as they are for a minute after many have.
#[tokio::test(flavor = "multi_thread")]
async fn a_claim_reads_its_rows_and_not_the_backlog() {
    const JOBS: usize = 10_000;
    let rig = Rig::new();
    let client = rig.client().await;
    rig.database
        .psql("alter table dbos.workflow_status set (autovacuum_enabled = false)");
    client.submit_job(greeting("first")).await.unwrap();
    rig.database.psql("analyze dbos.workflow_status");
    let ids: Vec<String> = (0..JOBS).map(|n| format!("{n:05}")).collect();
    let jobs: Vec<NewJob> = ids.iter().map(|id| greeting(id)).collect();
    client.submit_all(&jobs, SubmitOptions::default()).await.unwrap();
    let worker = rig.worker().await;
    for job in &jobs[..50] {
        client.output_of::<Greets>(&job.id).await.unwrap();
    }
    client.close().await;
    worker.drain(DEADLINE).await;
    // What sessions have read is counted for certain when they end.
    let others = "select count(*) from pg_stat_activity where datname = current_database() \
        and backend_type = 'client backend' and pid <> pg_backend_pid()";
    eventually("their sessions to end", || {
        rig.database.psql(others).trim() == "0"
    });
    let read = "select coalesce(sum(idx_tup_read), 0) from pg_stat_user_indexes \
        where indexrelname = 'idx_workflow_status_in_flight'";
    let read: usize = rig.database.psql(read).trim().parse().unwrap();
    assert!(read < 5 * JOBS, "{read} entries of {JOBS} jobs were read");
}
