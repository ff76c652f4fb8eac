//! Workers that come and go: drains, deaths, poison, versions.

use std::time::{Duration, Instant};

use durable_jobs::JobFilter;
use durable_jobs::client::SubmitOptions;
use durable_jobs::{Client, JobId, JobType, State, Worker};
use testkit::eventually;

use crate::rig::{ENDLESS, Rig, done, echo, lasting, outcome, outcomes, submit_to};
use crate::types::Echoes;

#[tokio::test(flavor = "multi_thread")]
async fn a_drain_lets_a_running_job_finish() {
    let rig = Rig::new();
    let (worker, client) = (rig.worker().await, rig.client().await);
    let id = submit_to(&worker, &client, lasting(300)).await;
    let report = worker.drain(Duration::from_mins(1)).await;
    assert_eq!((report.finished, report.handed_back), (1, 0));
    assert_eq!(
        client.show(&id).await.unwrap().job.state,
        State::Succeeded,
        "the outcome was thrown away"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_drain_past_its_grace_hands_the_job_to_another_worker() {
    let rig = Rig::new();
    let (first, client) = (rig.worker().await, rig.client().await);
    let id = submit_to(&first, &client, lasting(1000)).await;
    let report = first.drain(Duration::ZERO).await;
    assert_eq!((report.finished, report.handed_back), (0, 1));
    assert_eq!(client.show(&id).await.unwrap().job.state, State::Queued);
    let second = rig.worker().await;
    let done = done(outcome(&client, &id).await);
    assert_eq!((done.number, &*done.executor_id), (1000, second.executor_id()));
    assert_eq!(done.attempt, 1, "a hand-back was counted as a death");
}

#[tokio::test(flavor = "multi_thread")]
async fn jobs_claimed_during_a_drain_go_back_to_the_queue() {
    let rig = Rig::new();
    let mut settings = rig.settings();
    settings.concurrency = 3;
    let worker = Worker::start(settings).await.unwrap();
    let client = rig.client().await;
    let slow = submit_to(&worker, &client, lasting(1500)).await;
    let drain = tokio::spawn(worker.drain(Duration::from_mins(1)));
    eventually("the drain to be announced", || {
        rig.database
            .psql("select draining from abaci.presence")
            .contains('t')
    });
    let late: Vec<_> = (0..5).map(echo).collect();
    client.submit_all(&late, SubmitOptions::default()).await.unwrap();
    let report = drain.await.unwrap();
    assert_eq!(report.finished, 1);
    assert_eq!(client.show(&slow).await.unwrap().job.state, State::Succeeded);
    for job in client
        .list(&JobFilter::default())
        .await
        .unwrap()
        .iter()
        .filter(|job| job.workflow_id != slow)
    {
        assert_eq!(
            job.state,
            State::Queued,
            "a draining worker kept or ran {}",
            job.workflow_id
        );
    }
    let _next = rig.worker().await;
    for ended in outcomes(&client, late.into_iter().map(|job| job.id)).await {
        assert_eq!(done(ended).attempt, 1, "a hand-back was taken for a death");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn jobs_of_an_executor_without_a_presence_row_are_taken_over() {
    let rig = Rig::new();
    let (_worker, client) = (rig.worker().await, rig.client().await);
    // As if it had been claimed by a worker whose row nobody wrote.
    rig.enqueue_claimed("orphan", Echoes::WORKFLOW, "gone/7");
    assert_eq!(
        outcome(&client, &JobId::new("orphan")).await.state,
        State::Succeeded
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_job_that_killed_three_workers_does_not_stop_the_queue() {
    let rig = Rig::new();
    let client = rig.client().await;
    rig.enqueue_foreign("poison", Echoes::WORKFLOW, "10");
    rig.enqueue_foreign("unlucky", Echoes::WORKFLOW, "10");
    rig.database.psql(
        "update dbos.workflow_status set recovery_attempts = case workflow_uuid when 'poison' then 3 else 2 end",
    );
    let _worker = rig.worker().await;
    let parked = outcome(&client, &JobId::new("poison")).await;
    assert_eq!(parked.state, State::Parked);
    assert!(
        parked
            .result
            .unwrap_err()
            .message
            .contains("when its worker died 3 times")
    );
    assert_eq!(
        outcome(&client, &JobId::new("unlucky")).await.state,
        State::Succeeded,
        "parked after two deaths"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_row_of_another_version_is_left_alone() {
    let rig = Rig::new();
    let (_worker, client) = (rig.worker().await, rig.client().await);
    rig.insert("future", &[("application_version", "'test-2'")]);
    let good = client.submit_job(echo(10)).await.unwrap();
    assert_eq!(outcome(&client, &good).await.state, State::Succeeded);
    let job = client.show(&JobId::new("future")).await.unwrap().job;
    assert_eq!(
        (job.state, job.application_version.as_deref()),
        (State::Queued, Some("test-2"))
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_drain_that_lost_its_executor_id_gives_nothing_back() {
    let rig = Rig::new();
    let worker = rig.worker().await;
    // Another process holds the id by now, and a job under it.
    rig.database
        .psql("update abaci.presence set incarnation = 'someone else'");
    rig.enqueue_claimed("theirs", Echoes::WORKFLOW, worker.executor_id());
    let report = worker.drain(Duration::ZERO).await;
    assert_eq!(report.handed_back, 0);
    let row = rig
        .database
        .psql("select status, recovery_attempts from dbos.workflow_status");
    assert_eq!(row.trim(), "PENDING|1", "the job of a living worker was requeued");
}

/// Submits a job whose row the trigger `steal` gives to another run, and asserts that it is left to that.
async fn assert_left_to_the_other_run(rig: &Rig, client: &Client) {
    let id = client.submit_job(echo(10)).await.unwrap();
    let owner = "select owner_xid from dbos.workflow_status";
    eventually("the other run", || {
        rig.database.psql(owner).trim() == "another run"
    });
    // A job of the same worker shows that the first was looked at and let go.
    rig.database.psql("drop trigger steal on dbos.workflow_status");
    let next = client.submit_job(echo(20)).await.unwrap();
    assert_eq!(outcome(client, &next).await.state, State::Succeeded);
    let stolen = client.show(&id).await.unwrap();
    assert_eq!(
        (stolen.job.state, stolen.steps.len()),
        (State::Running, 0),
        "two runs of one job at once"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_start_that_finds_another_run_in_its_row_leaves_it_alone() {
    let rig = Rig::new();
    let (_worker, client) = (rig.worker().await, rig.client().await);
    // Between the start and the body the row goes to another run, as after a start that an outage held up.
    rig.database.psql(
        "create function steal() returns trigger language plpgsql as 'begin \
         if old.owner_xid is null and new.status = ''PENDING'' and new.owner_xid is null then \
         new.owner_xid := ''another run''; end if; return new; end'; \
         create trigger steal before update on dbos.workflow_status for each row execute function steal()",
    );
    assert_left_to_the_other_run(&rig, &client).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_worker_killed_elsewhere_is_succeeded_in_fifteen_seconds() {
    let rig = Rig::new();
    let client = rig.client().await;
    // Its process is on this machine, of course; what counts is that the survivor cannot look at it.
    let mut remote = rig.worker_process("other-host");
    let id = client.submit_job(lasting(ENDLESS)).await.unwrap();
    let holder = "select executor_id from dbos.workflow_status";
    eventually("the claim", || rig.database.psql(holder).trim() == "other-host/0");
    let local = rig.worker().await;
    remote.kill();
    let killed = Instant::now();
    eventually("the takeover", || local.running().contains(&id.to_string()));
    eprintln!(
        "taken over {:.1} s after the kill",
        killed.elapsed().as_secs_f64()
    );
    assert!(
        killed.elapsed() < Duration::from_secs(15),
        "{:?}",
        killed.elapsed()
    );
    client.cancel(&id).await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_body_that_finds_another_run_in_its_row_does_not_begin() {
    let rig = Rig::new();
    let (_worker, client) = (rig.worker().await, rig.client().await);
    // After the engine's start has accepted the row, and before the body begins, another run takes it.
    rig.database.psql(
        "create function steal() returns trigger language plpgsql as 'begin \
         update dbos.workflow_status set owner_xid = ''another run'' where workflow_uuid = new.workflow_uuid; \
         return null; end'; \
         create trigger steal after update on dbos.workflow_status for each row \
         when (old.owner_xid is null and new.owner_xid is null and new.status = 'PENDING') execute function steal()",
    );
    assert_left_to_the_other_run(&rig, &client).await;
}
