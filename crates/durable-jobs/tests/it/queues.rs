//! A job keeps its queue, whoever cancels and resumes it.

use dbos::sysdb::SystemDatabase;
use dbos::sysdb::postgres::{PostgresSystemDatabase, Settings};
use durable_jobs::JobFilter;
use durable_jobs::client::{CancelOutcome, Rate, ResumeOptions, ResumeOutcome, SubmitOptions};
use durable_jobs::{Client, DEFAULT_QUEUE, JobId, State};
use sqlx::postgres::PgPoolOptions;
use testkit::{Signal, eventually};

use crate::rig::{DEADLINE, ENDLESS, Rig, client_settings, echo, lasting, outcome};
use crate::types::Echoes;

impl Rig {
    async fn client_of(&self, queue: &str) -> Client {
        let mut settings = client_settings(self.database.url());
        queue.clone_into(&mut settings.queue);
        Client::connect(settings).await.unwrap()
    }

    /// The statements of the vendor's own tools, which know nothing of our tables.
    async fn vendor(&self) -> PostgresSystemDatabase {
        let pool = PgPoolOptions::new().connect(self.database.url()).await.unwrap();
        PostgresSystemDatabase::from_pool(pool, &Settings::default())
    }
}

async fn queue_of(client: &Client, id: &JobId) -> Option<String> {
    client.show(id).await.unwrap().job.queue
}

async fn resume(client: &Client, id: &JobId) -> ResumeOutcome {
    client.resume(id, ResumeOptions::default()).await.unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_cancelled_job_is_resumed_on_its_own_queue() {
    let rig = Rig::new();
    let (ours, others) = (rig.client().await, rig.client_of("other").await);
    let vendor = rig.vendor().await;
    let by_us = others.submit_job(echo(10)).await.unwrap();
    assert_eq!(ours.cancel(&by_us).await.unwrap(), CancelOutcome::Cancelled);
    let by_vendor = others.submit_job(echo(11)).await.unwrap();
    vendor
        .cancel_workflows(&[by_vendor.as_str()], false, None)
        .await
        .unwrap();
    // Nobody of ours has ever seen this one.
    rig.insert("foreign", &[("queue_name", "'other'"), ("priority", "7")]);
    let foreign = JobId::new("foreign");
    vendor.cancel_workflows(&["foreign"], false, None).await.unwrap();

    let listed = ours.list(&JobFilter::default()).await.unwrap();
    assert!(
        listed.iter().all(|job| job.queue.as_deref() == Some("other")),
        "{listed:#?}"
    );
    for id in [&by_us, &by_vendor, &foreign] {
        assert_eq!(
            queue_of(&ours, id).await.as_deref(),
            Some("other"),
            "cancelled: {id}"
        );
        assert_eq!(resume(&ours, id).await, ResumeOutcome::Resumed);
    }
    let rows = "select distinct queue_name, status from dbos.workflow_status";
    assert_eq!(rig.database.psql(rows).trim(), "other|ENQUEUED");
    let priority = "select priority from dbos.workflow_status where workflow_uuid = 'foreign'";
    assert_eq!(rig.database.psql(priority).trim(), "7");
    let left = rig.count("abaci.former_queues");
    assert_eq!(left, 0, "what is not needed any more is still there");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_job_that_runs_out_of_time_is_resumed_on_its_own_queue() {
    let rig = Rig::new();
    let (ours, others) = (rig.client().await, rig.client_of("other").await);
    let worker = rig.worker_on("other").await;
    let job = lasting(ENDLESS);
    let options = SubmitOptions {
        timeout: Some(std::time::Duration::from_millis(300)),
        ..SubmitOptions::default()
    };
    others
        .submit_all(std::slice::from_ref(&job), options)
        .await
        .unwrap();
    let id = &job.id;
    assert_eq!(outcome(&ours, id).await.state, State::Cancelled);
    eventually("the computation to stop", || worker.running().is_empty());
    worker.drain(std::time::Duration::ZERO).await;
    assert_eq!(resume(&ours, id).await, ResumeOutcome::Resumed);
    assert_eq!(queue_of(&ours, id).await.as_deref(), Some("other"));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_job_that_another_client_resumed_still_has_its_own_queue() {
    let rig = Rig::new();
    let (ours, others) = (rig.client().await, rig.client_of("other").await);
    let vendor = rig.vendor().await;
    let id = others.submit_job(echo(10)).await.unwrap();
    vendor
        .cancel_workflows(&[id.as_str()], false, None)
        .await
        .unwrap();
    vendor.resume_workflows(&[id.as_str()], None, None).await.unwrap();
    rig.database
        .psql("update dbos.workflow_status set status = 'ERROR', error = '{}'");
    assert_eq!(queue_of(&ours, &id).await.as_deref(), Some("other"));
    assert_eq!(resume(&ours, &id).await, ResumeOutcome::Resumed);
    assert_eq!(queue_of(&ours, &id).await.as_deref(), Some("other"));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_failed_or_parked_job_is_resumed_on_its_own_queue() {
    let rig = Rig::new();
    let ours = rig.client().await;
    for (id, status, queue) in [
        ("failed", "'ERROR'", "'other'"),
        // So the engine leaves a row that it parks, of whose queue nobody knows.
        ("poison", "'MAX_RECOVERY_ATTEMPTS_EXCEEDED'", "null"),
    ] {
        rig.insert(
            id,
            &[("status", status), ("error", "'{}'"), ("queue_name", queue)],
        );
    }
    assert_eq!(resume(&ours, &JobId::new("failed")).await, ResumeOutcome::Resumed);
    assert_eq!(
        queue_of(&ours, &JobId::new("failed")).await.as_deref(),
        Some("other")
    );
    let poison = JobId::new("poison");
    assert_eq!(queue_of(&ours, &poison).await, None);
    assert_eq!(
        resume(&ours, &poison).await,
        ResumeOutcome::ResumedOn(DEFAULT_QUEUE.to_owned())
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn the_tables_of_an_older_program_are_completed() {
    let rig = Rig::new();
    rig.client().await.close().await;
    rig.insert("older", &[("queue_name", "'other'")]);
    rig.database.psql(
        "drop trigger abaci_remember_queue on dbos.workflow_status; drop function abaci.remember_queue; \
         drop table abaci.former_queues; \
         drop trigger abaci_note_attempt on dbos.workflow_status; drop trigger abaci_forget_attempts on dbos.workflow_status; \
         drop trigger abaci_note_death on abaci.deaths; drop table abaci.attempts; \
         insert into abaci.deaths (workflow_uuid, deaths, last_reason) values ('older', 1, 'SIGKILL')",
    );
    let client = rig.client().await;
    let id = JobId::new("older");
    client.cancel(&id).await.unwrap();
    assert_eq!(queue_of(&client, &id).await.as_deref(), Some("other"));
    assert_eq!(client.attempts(&id).await.unwrap(), []);
    let deaths = rig.database.psql("select deaths from abaci.deaths");
    assert_eq!(deaths.trim(), "1", "what the older program recorded is gone");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_resumed_job_waits_for_no_delay_any_more() {
    let rig = Rig::new();
    let client = rig.client().await;
    let vendor = rig.vendor().await;
    for id in ["ours", "theirs"] {
        let far = "(extract(epoch from now()) + 36000) * 1000";
        rig.insert(id, &[("status", "'DELAYED'"), ("delay_until_epoch_ms", far)]);
        assert_eq!(
            client.cancel(&JobId::new(id)).await.unwrap(),
            CancelOutcome::Cancelled
        );
    }
    assert_eq!(resume(&client, &JobId::new("ours")).await, ResumeOutcome::Resumed);
    vendor.resume_workflows(&["theirs"], None, None).await.unwrap();
    let worker = rig.worker().await;
    for id in ["ours", "theirs"] {
        assert_eq!(
            client.output_of::<Echoes>(&JobId::new(id)).await.unwrap().number,
            10
        );
    }
    worker.drain(DEADLINE).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_process_stopped_in_its_turn_holds_up_no_limited_queue() {
    let rig = Rig::new();
    let client = rig.client().await;
    let rate = Rate::new(100, std::time::Duration::from_secs(1));
    client.limit_queue("default", Some(rate)).await.unwrap();
    let stopped = rig.worker_process("test-host");
    // Before its first claim it looks for what an earlier one left behind, without a turn.
    let id = client
        .submit::<Echoes>(&9, SubmitOptions::default())
        .await
        .unwrap();
    assert_eq!(client.output_of::<Echoes>(&id).await.unwrap().number, 9);
    // It has its turn, and the next question in it waits for this lock.
    let lock = rig.database.lock("dbos.workflow_status");
    eventually("a claim in its turn", || {
        rig.count(
            "pg_stat_activity where wait_event_type = 'Lock' and pid in \
                 (select pid from pg_locks where relation = 'dbos.queues'::regclass and mode = 'RowShareLock')",
        ) > 0
    });
    stopped.signal(Signal::STOP);
    drop(lock);
    let worker = rig.worker().await;
    let id = client
        .submit::<Echoes>(&10, SubmitOptions::default())
        .await
        .unwrap();
    let done = tokio::time::timeout(DEADLINE, client.output_of::<Echoes>(&id)).await;
    assert_eq!(done.expect("the queue is held up").unwrap().number, 10);
    worker.drain(DEADLINE).await;
}
