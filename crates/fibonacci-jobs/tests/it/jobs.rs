//! A job's way from submission to its outcome.

use std::time::Duration;

use dbos::sysdb::SystemDatabase;
use dbos::sysdb::postgres::{PostgresSystemDatabase, Settings};
use dbos::sysdb::types::{NewWorkflow, Submission};
use durable_jobs::client::{CancelOutcome, ListFilter, SubmitOptions};
use durable_jobs::record::FailureKind;
use durable_jobs::{Error, JobId, State};
use fibonacci_jobs::{Algorithm, Request, new_jobs};
use sqlx::PgPool;
use testkit::eventually;

use crate::rig::{Rig, digits_of, outcome, outcomes};

#[tokio::test(flavor = "multi_thread")]
async fn a_job_ends_with_the_exact_value_and_a_certificate_that_holds() {
    let rig = Rig::new();
    let (worker, client) = (rig.worker().await, rig.client().await);
    let id = client.submit_job(Request::new(100).job()).await.unwrap();
    let ended = outcome(&client, &id).await;
    assert_eq!(ended.state, State::Succeeded);
    let result = ended.result.unwrap();
    assert_eq!(result.value.as_deref(), Some("354224848179261915075"));
    assert_eq!(
        (result.digits, result.attempts, result.pid),
        (21, 1, std::process::id())
    );
    assert_eq!(result.executor_id, worker.executor_id());
    result.verify().unwrap();
    let steps = client.show(&id).await.unwrap().steps;
    assert_eq!(
        steps.iter().map(|step| step.name.as_str()).collect::<Vec<_>>(),
        ["compute", "certify", "publish"]
    );
    worker.drain(Duration::from_secs(5)).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_wrong_digit_or_certificate_is_noticed_by_the_client() {
    let rig = Rig::new();
    let (_worker, client) = (rig.worker().await, rig.client().await);
    let id = client.submit_job(Request::new(1000).job()).await.unwrap();
    let good = outcome(&client, &id).await.result.unwrap();
    for position in [0, 100, 208] {
        let mut bad = good.clone();
        let mut digits = good.value.clone().unwrap().into_bytes();
        digits[position] = if digits[position] == b'7' { b'8' } else { b'7' };
        bad.value = Some(String::from_utf8(digits).unwrap());
        bad.verify().unwrap_err();
    }
    let mut bad = good.clone();
    bad.certificate.residues[1] = "7".to_owned();
    bad.verify().unwrap_err();
    let mut bad = *good;
    bad.n = 1001;
    bad.verify().unwrap_err();
}

#[tokio::test(flavor = "multi_thread")]
async fn every_algorithm_gives_the_same_value() {
    let rig = Rig::new();
    let (_worker, client) = (rig.worker().await, rig.client().await);
    let jobs = Algorithm::ALL.map(|algorithm| (JobId::new(algorithm.name()), Request::with(30, algorithm)));
    client
        .submit_all(&new_jobs(&jobs), SubmitOptions::default())
        .await
        .unwrap();
    let ended = outcomes(&client, jobs.map(|(id, _)| id)).await;
    assert_eq!(ended.len(), Algorithm::ALL.len());
    for outcome in ended {
        assert_eq!(
            outcome.result.unwrap().value.as_deref(),
            Some("832040"),
            "{}",
            outcome.id
        );
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_changed_artifact_is_never_believed() {
    let rig = Rig::new();
    let (_worker, client) = (rig.worker().await, rig.client().await);
    let id = client.submit_job(Request::new(100_000).job()).await.unwrap();
    let result = outcome(&client, &id).await.result.unwrap();
    assert_eq!((result.digits, &result.value), (20_899, &None));
    let record = result.artifact.clone().unwrap();
    let digits = digits_of(&record).unwrap();
    result.verify_digits(&digits).unwrap();
    assert!(digits.starts_with(&result.head) && digits.ends_with(&result.tail));
    let widest: i64 = rig
        .database
        .psql("select max(octet_length(output)) from dbos.operation_outputs")
        .trim()
        .parse()
        .unwrap();
    assert!(widest < 65_536, "a checkpoint has {widest} bytes");

    let path = record.uri.strip_prefix("file://").unwrap();
    std::fs::write(path, digits.replace('7', "8")).unwrap();
    let error = digits_of(&record).unwrap_err().to_string();
    assert!(error.contains("BLAKE3"), "a changed artifact was read: {error}");
}

#[tokio::test(flavor = "multi_thread")]
async fn an_artifact_that_is_gone_is_computed_again() {
    let rig = Rig::new();
    let (first, client) = (rig.worker().await, rig.client().await);
    // Holds the worker between the record of `compute` and that of `certify`.
    let hold = rig
        .database
        .hold_inserts("dbos.operation_outputs", "new.function_name = 'certify'");
    let id = client.submit_job(Request::new(100_000).job()).await.unwrap();
    hold.await_somebody();
    for file in rig.artifact_files() {
        std::fs::remove_file(file).unwrap();
    }
    let drain = tokio::spawn(first.drain(Duration::ZERO));
    drop(hold);
    drain.await.unwrap();
    let _second = rig.worker().await;
    let result = outcome(&client, &id).await.result.unwrap();
    result
        .verify_digits(&digits_of(&result.artifact.clone().unwrap()).unwrap())
        .unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn an_id_names_one_request_for_ever() {
    let rig = Rig::new();
    let (_worker, client) = (rig.worker().await, rig.client().await);
    let job = [(JobId::new("mine"), Request::new(50))];
    client
        .submit_all(&new_jobs(&job), SubmitOptions::default())
        .await
        .unwrap();
    outcome(&client, &job[0].0).await;
    client
        .submit_all(&new_jobs(&job), SubmitOptions::default())
        .await
        .unwrap();
    assert_eq!(
        client.list(&ListFilter::default()).await.unwrap().len(),
        1,
        "the job was queued twice"
    );
    assert_eq!(
        outcome(&client, &job[0].0).await.result.unwrap().attempts,
        1,
        "the job ran twice"
    );
    let other = [(JobId::new("mine"), Request::new(51))];
    let error = client
        .submit_all(&new_jobs(&other), SubmitOptions::default())
        .await
        .unwrap_err();
    assert!(matches!(error, Error::IdTaken { .. }), "{error}");
}

#[tokio::test(flavor = "multi_thread")]
async fn one_refused_request_among_many_queues_nothing() {
    let rig = Rig::new();
    let client = rig.client().await;
    let jobs = [
        (JobId::fresh(), Request::new(5)),
        (JobId::fresh(), Request::with(51, Algorithm::Recursive)),
    ];
    let error = client
        .submit_all(&new_jobs(&jobs), SubmitOptions::default())
        .await
        .unwrap_err()
        .to_string();
    assert_eq!(
        error,
        "n is 51, over the limit of 50 for the algorithm recursive; use doubling"
    );
    assert!(
        client.list(&ListFilter::default()).await.unwrap().is_empty(),
        "something was queued"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_running_job_stops_within_half_a_second_of_its_cancellation() {
    let rig = Rig::new();
    let (worker, client) = (rig.worker().await, rig.client().await);
    let id = client
        .submit_job(Request::with(50, Algorithm::Recursive).job())
        .await
        .unwrap();
    eventually("the job to run", || worker.running().contains(&id.to_string()));
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
    let next = client.submit_job(Request::new(10).job()).await.unwrap();
    assert_eq!(outcome(&client, &next).await.state, State::Succeeded);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_timeout_cancels_the_job_and_frees_its_slot() {
    let rig = Rig::new();
    let (worker, client) = (rig.worker().await, rig.client().await);
    let job = [(JobId::fresh(), Request::with(50, Algorithm::Recursive))];
    client
        .submit_all(
            &new_jobs(&job),
            SubmitOptions {
                timeout: Some(Duration::from_millis(300)),
                ..SubmitOptions::default()
            },
        )
        .await
        .unwrap();
    assert_eq!(outcome(&client, &job[0].0).await.state, State::Cancelled);
    eventually("the computation to stop", || worker.running().is_empty());
}

#[tokio::test(flavor = "multi_thread")]
async fn results_arrive_in_the_order_in_which_jobs_end() {
    let rig = Rig::new();
    let mut settings = rig.settings();
    settings.concurrency = 2;
    let _worker = durable_jobs::Worker::start(settings).await.unwrap();
    let client = rig.client().await;
    let slow = client
        .submit_job(Request::with(50, Algorithm::Recursive).job())
        .await
        .unwrap();
    let quick = client.submit_job(Request::new(10).job()).await.unwrap();
    let mut waiter = client.wait([slow.clone(), quick.clone()]);
    let first = loop {
        if let Some(durable_jobs::client::WaitEvent::Finished(outcome)) = waiter.next().await {
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
    rig.enqueue_foreign("bad", "fibonacci_workflow", "-1");
    let ended = outcome(&client, &JobId::new("bad")).await;
    let failure = ended.result.unwrap_err();
    assert_eq!(
        (failure.name.as_str(), failure.data.kind),
        ("InvalidRequest", FailureKind::Terminal)
    );
    let failed = ListFilter {
        states: vec![State::Failed],
        ..ListFilter::default()
    };
    assert_eq!(client.list(&failed).await.unwrap().len(), 1);
    let parked = ListFilter {
        states: vec![State::Parked],
        ..ListFilter::default()
    };
    assert!(client.list(&parked).await.unwrap().is_empty());
}

/// Rows are written by a statement of ours; they must be what the engine itself writes.
#[tokio::test(flavor = "multi_thread")]
async fn submitted_rows_are_those_of_the_engine() {
    let rig = Rig::new();
    let client = rig.client().await;
    let (request, timeout) = (Request::new(10), Some(Duration::from_secs(7)));
    let input = serde_json::to_string(&request).unwrap();
    let row = NewWorkflow {
        name: Some("fibonacci_workflow"),
        input: Some(&input),
        serialization: Some("rust_serde"),
        queue_name: Some("fibonacci"),
        timeout,
        application_version: Some("abaci-1"),
        ..NewWorkflow::new("engine")
    };
    let pool = PgPool::connect(rig.database.url()).await.unwrap();
    let settings = Settings {
        application_name: Some("abaci"),
        ..Settings::default()
    };
    let engine = PostgresSystemDatabase::from_pool(pool, &settings);
    engine
        .init_workflow(&row, None, Submission::Fresh, None)
        .await
        .unwrap();
    engine.close().await;

    let options = SubmitOptions {
        timeout,
        ..SubmitOptions::default()
    };
    let one = [(JobId::new("one"), request)];
    client.submit_all(&new_jobs(&one), options).await.unwrap();
    let jobs: Vec<_> = (0..1001)
        .map(|at| (JobId::new(format!("b{at}")), request))
        .collect();
    client.submit_all(&new_jobs(&jobs), options).await.unwrap();
    let alike = "select count(*), bool_and(own.created_at >= engine.created_at) \
        from dbos.workflow_status own, dbos.workflow_status engine \
        where engine.workflow_uuid = 'engine' and own.workflow_uuid <> 'engine' \
        and to_jsonb(own) - '{workflow_uuid,created_at,updated_at,owner_xid}'::text[] \
          = to_jsonb(engine) - '{workflow_uuid,created_at,updated_at,owner_xid}'::text[] \
        and length(own.owner_xid) = length(engine.owner_xid)";
    assert_eq!(rig.database.psql(alike).trim(), "1002|t");

    // The same again changes nothing; an id that asks for something else is refused, among whatever others.
    client.submit_all(&new_jobs(&jobs), options).await.unwrap();
    let mut others = jobs.clone();
    others[1000].1 = Request::new(11);
    let error = client
        .submit_all(&new_jobs(&others), options)
        .await
        .err()
        .unwrap();
    let Error::CutShort { queued, jobs, cause } = &error else {
        panic!("{error:?}")
    };
    assert_eq!((*queued, *jobs), (1000, 1001));
    assert!(
        matches!(&**cause, Error::IdTaken { id } if id == "b1000"),
        "{error:?}"
    );
    let count = rig.database.psql("select count(*) from dbos.workflow_status");
    assert_eq!(count.trim(), "1003");
}
