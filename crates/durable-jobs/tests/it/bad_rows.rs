//! Rows that other clients wrote: read where they can be, parked where they cannot, and never in anybody's way.

use std::time::{Duration, Instant};

use durable_jobs::client::SubmitOptions;
use durable_jobs::{ENGINE_QUEUE, JobId, JobType, State};
use testkit::eventually;

use crate::rig::{Rig, done, echo, outcome, outcomes};
use crate::types::Echoes;

#[tokio::test(flavor = "multi_thread")]
async fn rows_that_cannot_run_are_parked_soon_and_block_nothing() {
    let rig = Rig::new();
    let (_worker, client) = (rig.worker().await, rig.client().await);
    let written = Instant::now();
    rig.enqueue_foreign("unknown", "no_such_workflow", "10");
    let pickle = [
        ("inputs", "'gASVBQAAAAAAAABLCoWULg=='"),
        ("serialization", "'py_pickle'"),
    ];
    rig.insert("pickle", &pickle);
    rig.enqueue_foreign("garbage", Echoes::WORKFLOW, "{not json");
    rig.insert("method", &[("class_name", "'Jobs'")]);
    let good = client.submit_job(echo(20)).await.unwrap();
    assert_eq!(
        outcome(&client, &good).await.state,
        State::Succeeded,
        "a queue of concurrency 1 is blocked"
    );
    for ended in outcomes(&client, ["pickle", "garbage"].map(JobId::new)).await {
        assert_eq!(ended.state, State::Parked, "{}", ended.id);
        let message = ended.result.unwrap_err().message;
        let expected = match ended.id.as_str() {
            "pickle" => "pickle",
            _ => "not JSON",
        };
        assert!(message.contains(expected), "{}: {message}", ended.id);
    }
    for of_others in ["unknown", "method"].map(JobId::new) {
        let job = client.show(&of_others).await.unwrap().job;
        assert_eq!(job.state, State::Queued, "{of_others} may be another worker's");
    }
    // The promise of the product; they are parked when they are claimed, which takes milliseconds.
    assert!(
        written.elapsed() < Duration::from_secs(3),
        "parked after {:?}",
        written.elapsed()
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_row_of_another_type_that_the_engine_claimed_goes_back() {
    let rig = Rig::new();
    let (worker, client) = (rig.worker().await, rig.client().await);
    // As the engine leaves a row of its internal queue whose workflow nobody registered.
    rig.enqueue_claimed("stuck", "no_such_workflow", worker.executor_id());
    eventually("the row to go back to its queue", || {
        let row = "select status, executor_id is null, recovery_attempts from dbos.workflow_status";
        rig.database.psql(row).trim() == "ENQUEUED|t|0"
    });
    assert_eq!(
        client.show(&JobId::new("stuck")).await.unwrap().job.state,
        State::Queued
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_row_that_the_engine_claimed_and_cannot_run_is_parked() {
    let rig = Rig::new();
    let (worker, client) = (rig.worker().await, rig.client().await);
    rig.enqueue_claimed("stuck", Echoes::WORKFLOW, worker.executor_id());
    rig.database
        .psql("update dbos.workflow_status set inputs = '{not json'");
    let ended = outcome(&client, &JobId::new("stuck")).await;
    assert_eq!(ended.state, State::Parked);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_claimed_row_that_never_started_goes_back_and_runs() {
    let rig = Rig::new();
    let (worker, client) = (rig.worker().await, rig.client().await);
    // As a connection that broke between the claim and the start leaves it.
    rig.enqueue_claimed("stranded", Echoes::WORKFLOW, worker.executor_id());
    let ended = outcome(&client, &JobId::new("stranded")).await;
    assert_eq!(
        done(ended).attempt,
        1,
        "a job that never ran was counted as a death"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn an_endless_timeout_of_another_client_does_not_stop_the_queue() {
    let rig = Rig::new();
    let (_worker, client) = (rig.worker().await, rig.client().await);
    rig.insert("endless", &[("workflow_timeout_ms", "9223372036854775807")]);
    let good = client.submit_job(echo(20)).await.unwrap();
    assert_eq!(
        outcome(&client, &good).await.state,
        State::Succeeded,
        "every claim fails"
    );
    assert_eq!(
        outcome(&client, &JobId::new("endless")).await.state,
        State::Succeeded
    );
    let options = SubmitOptions {
        timeout: Some(Duration::MAX),
        ..SubmitOptions::default()
    };
    let error = client
        .submit_all(&[echo(20)], options)
        .await
        .unwrap_err()
        .to_string();
    assert!(
        error.starts_with("timeout is under a millisecond or over"),
        "{error}"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn an_input_that_the_engine_does_not_see_is_parked_too() {
    let rig = Rig::new();
    let (_worker, client) = (rig.worker().await, rig.client().await);
    // As a newer client keeps them, of jobs that the engine starts by itself.
    rig.database.psql(
        "create table dbos.workflow_input (workflow_uuid text, inputs text); \
         insert into dbos.workflow_input values ('garbage', '{not json'), ('huge', repeat('7', 5000000))",
    );
    let queue = format!("'{ENGINE_QUEUE}'");
    let said = [("garbage", "is not JSON"), ("huge", "limit of 65536")];
    for (id, _) in said {
        rig.insert(id, &[("inputs", "null"), ("queue_name", &queue)]);
    }
    for (id, words) in said {
        let ended = outcome(&client, &JobId::new(id)).await;
        assert_eq!(ended.state, State::Parked, "{id}");
        let message = ended.result.unwrap_err().message;
        assert!(message.contains(words), "{id}: {message}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_input_of_many_megabytes_is_parked_unread() {
    let rig = Rig::new();
    let (_worker, client) = (rig.worker().await, rig.client().await);
    rig.insert("huge", &[("inputs", "'{' || repeat('x', 5000000)")]);
    let ended = outcome(&client, &JobId::new("huge")).await;
    assert_eq!(ended.state, State::Parked);
    assert!(ended.result.unwrap_err().message.contains("5000001 bytes"));
}
