//! Jobs end with exact values, certificates that hold, and artifacts that are not believed unread.

use std::time::Duration;

use durable_jobs::client::SubmitOptions;
use durable_jobs::{JobId, State};
use fibonacci_jobs::record::VerifyError;
use fibonacci_jobs::{Algorithm, Request, new_jobs};
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
    let mut bad = good.clone();
    bad.value = None;
    let absent = bad.verify();
    assert!(
        matches!(absent, Err(VerifyError::Absent { n: 1000 })),
        "{absent:?}"
    );
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
async fn a_job_that_was_drained_and_killed_ends_exact() {
    let rig = Rig::new();
    let (drained, client) = (rig.worker().await, rig.client().await);
    let request = Request::with(41, Algorithm::Recursive);
    let id = client.submit_job(request.job()).await.unwrap();
    eventually("the job to run", || !drained.running().is_empty());
    assert_eq!(drained.drain(Duration::ZERO).await.handed_back, 1);
    let mut killed = rig.worker_process("test-host");
    let status = "select status from dbos.workflow_status";
    eventually("the job to run again", || {
        rig.database.psql(status).trim() == "PENDING"
    });
    killed.kill();
    let _last = rig.worker().await;
    let result = outcome(&client, &id).await.result.unwrap();
    assert_eq!(result.value.as_deref(), Some("165580141"));
    result.verify().unwrap();
}
