//! Who works here: executor ids, and what a wait says when nobody does.

use std::time::Duration;

use abaci_engine::client::WaitEvent;
use abaci_engine::worker::Slot;
use abaci_engine::{Error, Request, Worker};

use crate::rig::{DEADLINE, Rig, outcome};

#[tokio::test(flavor = "multi_thread")]
async fn two_live_workers_never_share_an_executor_id() {
    let rig = Rig::new();
    let first = rig.worker().await;
    let second = rig.worker().await;
    assert_eq!(
        (first.executor_id(), second.executor_id()),
        ("test-host/0", "test-host/1")
    );
    let mut settings = rig.settings();
    settings.slot = Slot::Number(0);
    let refused = Worker::start(settings.clone()).await.err().unwrap();
    assert!(
        matches!(&refused, Error::ExecutorTaken { pid, .. } if *pid == std::process::id()),
        "{refused}"
    );
    first.drain(Duration::from_secs(5)).await;
    let third = Worker::start(settings).await.unwrap();
    assert_eq!(
        third.executor_id(),
        "test-host/0",
        "a released id was not given again"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_wait_says_that_nobody_listens_and_that_somebody_does_again() {
    let rig = Rig::new();
    let client = rig.client().await;
    let id = client.submit(Request::new(10)).await.unwrap();
    let mut waiter = client.wait([id.clone()]);
    let unlistened = async {
        loop {
            if let Some(WaitEvent::NoWorker { queue, since }) = waiter.next().await {
                break (queue, since);
            }
        }
    };
    let (queue, since) = tokio::time::timeout(DEADLINE, unlistened)
        .await
        .expect("a silent hang");
    assert_eq!(queue, "fibonacci");
    assert!(since >= Duration::from_secs(1));
    let _worker = rig.worker().await;
    assert!(outcome(&client, &id).await.result.is_ok());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_worker_of_another_queue_does_not_count() {
    let rig = Rig::new();
    let mut settings = rig.settings();
    settings.queue = "elsewhere".to_owned();
    let _worker = Worker::start(settings).await.unwrap();
    let client = rig.client().await;
    let id = client.submit(Request::new(10)).await.unwrap();
    let mut waiter = client.wait([id]);
    let unlistened = async { while !matches!(waiter.next().await, Some(WaitEvent::NoWorker { .. })) {} };
    tokio::time::timeout(DEADLINE, unlistened)
        .await
        .expect("a worker of another queue was taken for ours");
}

#[tokio::test(flavor = "multi_thread")]
async fn an_executor_id_that_went_to_another_is_reported_as_lost() {
    let rig = Rig::new();
    let worker = rig.worker().await;
    rig.database
        .psql("update abaci.presence set incarnation = 'someone else'");
    let reason = tokio::time::timeout(DEADLINE, worker.lost())
        .await
        .expect("the loss was not noticed");
    assert!(reason.contains("given to others"), "{reason}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_job_that_its_dead_worker_still_holds_is_not_a_silent_hang() {
    let rig = Rig::new();
    let client = rig.client().await;
    let id = client.submit(Request::new(10)).await.unwrap();
    rig.database
        .psql("update dbos.workflow_status set status = 'PENDING', executor_id = 'gone/0'");
    let mut waiter = client.wait([id]);
    let unlistened = async { while !matches!(waiter.next().await, Some(WaitEvent::NoWorker { .. })) {} };
    tokio::time::timeout(DEADLINE, unlistened)
        .await
        .expect("a silent hang");
}
