//! A job's way from submission to its outcome.

use std::time::Duration;

use dbos::sysdb::types::NewWorkflow;
use durable_jobs::JobFilter;
use durable_jobs::client::{CancelOutcome, SubmitOptions, WaitEvent};
use durable_jobs::record::FailureKind;
use durable_jobs::{DEFAULT_QUEUE, Error, JobId, JobType, State, Worker};
use testkit::eventually;

use crate::rig::{ENDLESS, Rig, done, echo, echo_as, lasting, outcome, submit_to};
use crate::types::{Echoes, LARGEST, VERSION};

#[tokio::test(flavor = "multi_thread")]
async fn an_id_names_one_request_for_ever() {
    let rig = Rig::new();
    let (_worker, client) = (rig.worker().await, rig.client().await);
    let mine = JobId::new("mine");
    for _ in 0..2 {
        client.submit_job(echo_as(mine.clone(), 50)).await.unwrap();
        outcome(&client, &mine).await;
    }
    assert_eq!(
        client.list(&JobFilter::default()).await.unwrap().len(),
        1,
        "the job was queued twice"
    );
    assert_eq!(
        done(outcome(&client, &mine).await).attempt,
        1,
        "the job ran twice"
    );
    let error = client.submit_job(echo_as(mine, 51)).await.unwrap_err();
    assert!(matches!(error, Error::IdTaken { .. }), "{error}");
}

#[tokio::test(flavor = "multi_thread")]
async fn one_refused_request_among_many_queues_nothing() {
    let rig = Rig::new();
    let client = rig.client().await;
    let jobs = [echo(5), echo(LARGEST + 1)];
    let refused = client.submit_all(&jobs, SubmitOptions::default()).await;
    assert_eq!(
        refused.unwrap_err().to_string(),
        "the number is 1000001, over the limit of 1000000"
    );
    assert!(
        client.list(&JobFilter::default()).await.unwrap().is_empty(),
        "something was queued"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_running_job_stops_within_half_a_second_of_its_cancellation() {
    let rig = Rig::new();
    let (worker, client) = (rig.worker().await, rig.client().await);
    let id = submit_to(&worker, &client, lasting(ENDLESS)).await;
    assert_eq!(client.cancel(&id).await.unwrap(), CancelOutcome::Cancelled);
    let cancelled = std::time::Instant::now();
    eventually("the computation to stop", || worker.running().is_empty());
    // The bound is the product's promise; the poll that notices is every 50 ms.
    let stopped_after = cancelled.elapsed();
    assert!(
        stopped_after < Duration::from_millis(500),
        "stopped after {stopped_after:?}"
    );
    let ended = outcome(&client, &id).await;
    assert_eq!(ended.state, State::Cancelled);
    assert_eq!(ended.result.unwrap_err().name, "Cancelled");
    assert_eq!(
        client.cancel(&id).await.unwrap(),
        CancelOutcome::AlreadyFinal(State::Cancelled)
    );
    assert_eq!(
        client.cancel(&JobId::new("nobody")).await.unwrap(),
        CancelOutcome::NotFound
    );
    // The slot is free again: the next job is not behind a ghost.
    let next = client.submit_job(echo(10)).await.unwrap();
    assert_eq!(outcome(&client, &next).await.state, State::Succeeded);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_timeout_cancels_the_job_and_frees_its_slot() {
    let rig = Rig::new();
    let (worker, client) = (rig.worker().await, rig.client().await);
    let job = lasting(ENDLESS);
    let options = SubmitOptions {
        timeout: Some(Duration::from_millis(300)),
        ..SubmitOptions::default()
    };
    client
        .submit_all(std::slice::from_ref(&job), options)
        .await
        .unwrap();
    assert_eq!(outcome(&client, &job.id).await.state, State::Cancelled);
    eventually("the computation to stop", || worker.running().is_empty());
}

#[tokio::test(flavor = "multi_thread")]
async fn results_arrive_in_the_order_in_which_jobs_end() {
    let rig = Rig::new();
    let mut settings = rig.settings();
    settings.concurrency = 2;
    let _worker = Worker::start(settings).await.unwrap();
    let client = rig.client().await;
    let slow = client.submit_job(lasting(ENDLESS)).await.unwrap();
    let quick = client.submit_job(echo(10)).await.unwrap();
    let mut waiter = client.wait([slow.clone(), quick.clone()]);
    let first = loop {
        if let Some(WaitEvent::Finished(outcome)) = waiter.next().await {
            break outcome;
        }
    };
    assert_eq!(first.id, quick, "a slow job held back a result");
    client.cancel(&slow).await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_failure_is_data_and_is_listed_with_its_state() {
    let rig = Rig::new();
    let (_worker, client) = (rig.worker().await, rig.client().await);
    rig.enqueue_foreign("bad", Echoes::WORKFLOW, "-1");
    let ended = outcome(&client, &JobId::new("bad")).await;
    let failure = ended.result.unwrap_err();
    assert_eq!(
        (failure.name.as_str(), failure.data.kind),
        ("InvalidRequest", FailureKind::Terminal)
    );
    let failed = JobFilter {
        states: vec![State::Failed],
        ..JobFilter::default()
    };
    assert_eq!(client.list(&failed).await.unwrap().len(), 1);
    let parked = JobFilter {
        states: vec![State::Parked],
        ..JobFilter::default()
    };
    assert!(client.list(&parked).await.unwrap().is_empty());
}

/// Rows are written by a statement of ours; they must be what the engine itself writes.
#[tokio::test(flavor = "multi_thread")]
async fn submitted_rows_are_those_of_the_engine() {
    let rig = Rig::new();
    let client = rig.client().await;
    let timeout = Some(Duration::from_secs(7));
    let row = NewWorkflow {
        name: Some(Echoes::WORKFLOW),
        input: Some("10"),
        serialization: Some("rust_serde"),
        queue_name: Some(DEFAULT_QUEUE),
        timeout,
        application_version: Some(VERSION),
        ..NewWorkflow::new("engine")
    };
    rig.submit_by_engine(&row).await;

    let options = SubmitOptions {
        timeout,
        ..SubmitOptions::default()
    };
    let one = [echo_as(JobId::new("one"), 10)];
    client.submit_all(&one, options).await.unwrap();
    let jobs: Vec<_> = (0..1001)
        .map(|at| echo_as(JobId::new(format!("b{at}")), 10))
        .collect();
    client.submit_all(&jobs, options).await.unwrap();
    let alike = "select count(*), bool_and(own.created_at > engine.created_at - 1000) \
        from dbos.workflow_status own, dbos.workflow_status engine \
        where engine.workflow_uuid = 'engine' and own.workflow_uuid <> 'engine' \
        and to_jsonb(own) - '{workflow_uuid,created_at,updated_at,owner_xid}'::text[] \
          = to_jsonb(engine) - '{workflow_uuid,created_at,updated_at,owner_xid}'::text[] \
        and length(own.owner_xid) = length(engine.owner_xid)";
    assert_eq!(rig.database.psql(alike).trim(), "1002|t");
}

#[tokio::test(flavor = "multi_thread")]
async fn of_many_jobs_one_under_the_id_of_another_refuses_all() {
    let rig = Rig::new();
    let client = rig.client().await;
    let options = SubmitOptions {
        timeout: Some(Duration::from_mins(1)),
        ..SubmitOptions::default()
    };
    let jobs: Vec<_> = (0..1001)
        .map(|at| echo_as(JobId::new(format!("b{at}")), 10))
        .collect();
    for _again in 0..2 {
        client.submit_all(&jobs, options).await.unwrap();
        assert_eq!(rig.count("dbos.workflow_status"), 1001);
    }
    let mut others = jobs.clone();
    others[1000] = echo_as(jobs[1000].id.clone(), 11);
    others.insert(0, echo_as(JobId::new("new"), 10));
    let error = client.submit_all(&others, options).await.err().unwrap();
    assert!(
        matches!(&error, Error::IdTaken { id, .. } if id == "b1000"),
        "{error:?}"
    );
    assert_eq!(rig.count("dbos.workflow_status"), 1001);
}
