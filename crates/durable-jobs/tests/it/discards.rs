//! Workers that are ended because their executor id went to another, and what is left of them.

use std::time::Duration;

use durable_jobs::Worker;
use durable_jobs::worker::Loss;

use crate::rig::{DEADLINE, Rig, done, echo, lasting, outcome, submit_to};

const ROW: &str = "select status, executor_id, recovery_attempts from dbos.workflow_status";

/// Takes the executor id away, and returns once the worker knows.
async fn lose(rig: &Rig, worker: &Worker) {
    rig.database.psql("delete from abaci.presence");
    let loss = tokio::time::timeout(DEADLINE, worker.lost())
        .await
        .expect("the loss was not noticed");
    assert!(matches!(loss, Loss::ExecutorId(_)), "{loss}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_discarded_worker_records_nothing_and_another_begins() {
    let rig = Rig::new();
    let (worker, client) = (rig.worker().await, rig.client().await);
    let id = submit_to(&worker, &client, lasting(3000)).await;
    client.close().await;
    lose(&rig, &worker).await;
    worker.discard().await.unwrap();
    assert_eq!(rig.sessions("abaci%"), 0, "a session is left");
    assert_eq!(
        (rig.database.psql(ROW).trim(), rig.count("dbos.operation_outputs")),
        ("PENDING|test-host/0|1", 0),
        "it wrote what is not its own"
    );

    let (anew, client) = (rig.worker().await, rig.client().await);
    assert_eq!(anew.executor_id(), "test-host/0");
    let done = done(outcome(&client, &id).await);
    assert_eq!((done.number, done.attempt), (3000, 2));
    anew.drain(Duration::from_secs(5)).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_discard_undoes_what_its_engine_has_asked_and_not_got() {
    let rig = Rig::new();
    let (worker, client) = (rig.worker().await, rig.client().await);
    let hold = rig
        .database
        .hold_inserts("dbos.operation_outputs", "new.function_name = 'echo'");
    client.submit_job(echo(10)).await.unwrap();
    hold.await_somebody();
    client.close().await;
    lose(&rig, &worker).await;
    tokio::time::timeout(DEADLINE, worker.discard())
        .await
        .expect("a statement that hangs keeps a worker from its end")
        .unwrap();
    assert_eq!(rig.sessions("abaci%"), 0, "a statement of a worker outlived it");
}
