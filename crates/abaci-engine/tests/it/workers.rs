//! Workers that come and go: drains, deaths, poison, versions.

use std::time::Duration;

use abaci_engine::client::{ListFilter, SubmitOptions};
use abaci_engine::{Algorithm, JobId, Request, State};
use abaci_testkit::eventually;

use crate::rig::{Rig, outcome, outcomes};

#[tokio::test(flavor = "multi_thread")]
async fn a_drain_lets_a_running_job_finish() {
    let rig = Rig::new();
    let (worker, client) = (rig.worker().await, rig.client().await);
    let id = client
        .submit(Request::with(40, Algorithm::Recursive))
        .await
        .unwrap();
    eventually("the job to run", || !worker.running().is_empty());
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
    let id = client
        .submit(Request::with(41, Algorithm::Recursive))
        .await
        .unwrap();
    eventually("the job to run", || !first.running().is_empty());
    let report = first.drain(Duration::ZERO).await;
    assert_eq!((report.finished, report.handed_back), (0, 1));
    assert_eq!(client.show(&id).await.unwrap().job.state, State::Queued);
    let _second = rig.worker().await;
    let result = outcome(&client, &id).await.result.unwrap();
    assert_eq!(result.value.as_deref(), Some("165580141"));
    assert_eq!(result.attempts, 1, "a hand-back was counted as a death");
}

#[tokio::test(flavor = "multi_thread")]
async fn jobs_claimed_during_a_drain_go_back_to_the_queue() {
    let rig = Rig::new();
    let mut settings = rig.settings();
    settings.concurrency = 3;
    let worker = abaci_engine::Worker::start(settings).await.unwrap();
    let client = rig.client().await;
    let slow = client
        .submit(Request::with(42, Algorithm::Recursive))
        .await
        .unwrap();
    eventually("the job to run", || !worker.running().is_empty());
    let drain = tokio::spawn(worker.drain(Duration::from_mins(1)));
    eventually("the drain to be announced", || {
        rig.database
            .psql("select draining from abaci.presence")
            .contains('t')
    });
    let late: Vec<_> = (0..5).map(|n| (JobId::fresh(), Request::new(n))).collect();
    client.submit_all(&late, SubmitOptions::default()).await.unwrap();
    let report = drain.await.unwrap();
    assert_eq!(report.finished, 1);
    assert_eq!(client.show(&slow).await.unwrap().job.state, State::Succeeded);
    for job in client
        .list(&ListFilter::default())
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
    let ended = outcomes(&client, late.into_iter().map(|(id, _)| id)).await;
    assert!(
        ended.iter().all(|outcome| outcome.state == State::Succeeded),
        "a hand-back was taken for a death"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn jobs_of_an_executor_without_a_presence_row_are_taken_over() {
    let rig = Rig::new();
    let (_worker, client) = (rig.worker().await, rig.client().await);
    rig.enqueue_foreign("orphan", "fibonacci_workflow", "10");
    // As if it had been claimed long ago by a worker whose row nobody wrote.
    rig.database.psql(
        "update dbos.workflow_status set status = 'PENDING', executor_id = 'gone/7', recovery_attempts = 1, \
         updated_at = 0 where workflow_uuid = 'orphan' and status = 'ENQUEUED'",
    );
    assert_eq!(
        outcome(&client, &JobId::new("orphan")).await.state,
        State::Succeeded
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_job_that_took_three_workers_with_it_is_parked_and_the_queue_goes_on() {
    let rig = Rig::new();
    let client = rig.client().await;
    rig.enqueue_foreign("poison", "fibonacci_workflow", "10");
    rig.enqueue_foreign("unlucky", "fibonacci_workflow", "10");
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
    rig.database.psql(
        "insert into dbos.workflow_status (workflow_uuid, status, name, inputs, serialization, queue_name, \
         application_version, created_at, updated_at, priority, recovery_attempts) values ('future', 'ENQUEUED', \
         'fibonacci_workflow', '10', 'portable_json', 'fibonacci', 'abaci-2', 0, 0, 0, 0)",
    );
    let good = client.submit(Request::new(10)).await.unwrap();
    assert_eq!(outcome(&client, &good).await.state, State::Succeeded);
    let job = client.show(&JobId::new("future")).await.unwrap().job;
    assert_eq!(
        (job.state, job.application_version.as_deref()),
        (State::Queued, Some("abaci-2"))
    );
}
