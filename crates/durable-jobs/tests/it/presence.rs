//! The workers that are here: executor ids, and what a wait says when nobody is.

use std::process::Command;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use durable_jobs::client::{Others, QueueVersion, WaitEvent, Waiter};
use durable_jobs::worker::{Loss, Slot, WorkerSettings};
use durable_jobs::{DEFAULT_QUEUE, Error, JobId, Worker};
use sqlx::{Connection, Executor, PgConnection};
use testkit::{Process, eventually};

use crate::rig::{DEADLINE, ENDLESS, Rig, echo, lasting, outcome, unlistened};
use crate::types::VERSION;

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

impl Rig {
    /// Leaves the presence row of a killed worker in slot 0, as if its process id were that of `process` by now.
    fn leave_row_of(&self, process: &Process) {
        self.worker_process("test-host").kill();
        let locks = "pg_locks where locktype = 'advisory' \
                     and database = (select oid from pg_database where datname = current_database())";
        eventually("the end of the killed worker's session", || {
            self.count(locks) == 0
        });
        let pid = process.pid();
        self.database
            .psql(&format!("update abaci.presence set pid = {pid}"));
        let row = self.database.psql("select executor_id, pid from abaci.presence");
        assert_eq!(row.trim(), format!("test-host/0|{pid}"));
    }

    fn settings_of_slot_0(&self) -> WorkerSettings {
        let mut settings = self.settings();
        settings.slot = Slot::Number(0);
        settings
    }
}

/// A process that has nothing to do with any worker.
fn stranger() -> Process {
    let mut sleep = Command::new("sleep");
    sleep.arg("600");
    Process::spawn(sleep)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_row_whose_process_id_was_reused_is_taken_over() {
    let rig = Rig::new();
    let stranger = stranger();
    rig.leave_row_of(&stranger);
    let begun = Instant::now();
    // Whoever does not insist on the slot takes the next one at once.
    let lowest = rig.worker().await;
    assert_eq!(lowest.executor_id(), "test-host/1");
    assert!(begun.elapsed() < Duration::from_secs(5), "{:?}", begun.elapsed());
    // Else it would take the row over.
    lowest.drain(Duration::ZERO).await;
    let begun = Instant::now();
    let worker = Worker::start(rig.settings_of_slot_0()).await.unwrap();
    let waited = begun.elapsed();
    assert_eq!(worker.executor_id(), "test-host/0");
    assert!(
        (Duration::from_secs(10)..Duration::from_secs(15)).contains(&waited),
        "the row was watched for {waited:?}"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_number_that_has_another_start_by_now_keeps_no_id() {
    let rig = Rig::new();
    let stranger = stranger();
    rig.leave_row_of(&stranger);
    // As if the other process had the number now, and the dead one had begun ten seconds before it.
    let space =
        "split_part(pid_space, ' ', 1) || ' ' || pid || ' ' || split_part(pid_space, ' ', 3)::bigint - 1000";
    rig.database
        .psql(&format!("update abaci.presence set pid_space = {space}"));
    let begun = Instant::now();
    Worker::start(rig.settings_of_slot_0()).await.unwrap();
    assert!(begun.elapsed() < Duration::from_secs(5), "{:?}", begun.elapsed());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_moving_heartbeat_is_refused_without_a_lock() {
    let rig = Rig::new();
    let stranger = stranger();
    rig.leave_row_of(&stranger);
    let is_beating = Arc::new(AtomicBool::new(true));
    let (url, beating) = (rig.database.url().to_owned(), Arc::clone(&is_beating));
    let beats = tokio::spawn(async move {
        let mut connection = PgConnection::connect(&url).await.unwrap();
        while beating.load(Ordering::Relaxed) {
            let beat = "update abaci.presence set heartbeat_at = clock_timestamp(); select pg_sleep(0.5)";
            connection.execute(beat).await.unwrap();
        }
    });
    let begun = Instant::now();
    let start = tokio::time::timeout(DEADLINE, Worker::start(rig.settings_of_slot_0()));
    let refused = start.await.expect("the row is watched for ever").err().unwrap();
    let waited = begun.elapsed();
    is_beating.store(false, Ordering::Relaxed);
    beats.await.unwrap();
    assert!(
        matches!(&refused, Error::ExecutorTaken { pid, .. } if *pid == stranger.pid()),
        "{refused}"
    );
    assert!(waited < Duration::from_secs(8), "it was refused after {waited:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_wait_says_that_nobody_listens_and_that_somebody_does_again() {
    let rig = Rig::new();
    let client = rig.client().await;
    let id = client.submit_job(echo(10)).await.unwrap();
    let (of, since) = unlistened(&mut client.wait([id.clone()])).await;
    assert_eq!(of, QueueVersion::new(DEFAULT_QUEUE, VERSION));
    assert!(since >= Duration::from_secs(1));
    let _worker = rig.worker().await;
    assert!(outcome(&client, &id).await.result.is_ok());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_worker_of_another_queue_does_not_count() {
    let rig = Rig::new();
    let _worker = rig.worker_on("elsewhere").await;
    let client = rig.client().await;
    let id = client.submit_job(echo(10)).await.unwrap();
    unlistened(&mut client.wait([id])).await;
}

/// Collects what is said of missing workers until the `expected` event.
async fn until(waiter: &mut Waiter, expected: impl Fn(&WaitEvent) -> bool) -> Vec<WaitEvent> {
    let mut said = Vec::new();
    let wait = async {
        while let Some(event) = waiter.next().await {
            let is_last = expected(&event);
            if matches!(event, WaitEvent::NoWorker { .. } | WaitEvent::WorkerBack(_)) {
                said.push(event);
            }
            if is_last {
                return;
            }
        }
    };
    let is_in_time = tokio::time::timeout(DEADLINE, wait).await.is_ok();
    assert!(is_in_time, "a silent hang; what was said is {said:#?}");
    said
}

fn is_missing(event: &WaitEvent, queue: &str) -> bool {
    matches!(event, WaitEvent::NoWorker { of, .. } if of.queue == queue)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_wait_judges_every_job_by_its_own_queue_and_version() {
    let rig = Rig::new();
    let (_worker, client) = (rig.worker().await, rig.client().await);
    rig.insert("other", &[("queue_name", "'other'")]);
    rig.insert("older", &[("application_version", "'test-0'")]);
    // Every worker takes what the vendor's tools resume.
    let engine = [("queue_name", "'_dbos_internal_queue'"), ("status", "'DELAYED'")];
    rig.insert("engine", &engine);
    let served = client.submit_job(lasting(ENDLESS)).await.unwrap();
    let ids = ["other", "older", "engine"].map(JobId::new);
    let mut waiter = client.wait(ids.into_iter().chain([served.clone()]));

    let older = QueueVersion {
        version: "test-0".to_owned(),
        ..QueueVersion::new(DEFAULT_QUEUE, VERSION)
    };
    let said = until(&mut waiter, |event| is_missing(event, "other")).await;
    let [
        WaitEvent::NoWorker {
            of: first, others, ..
        },
        WaitEvent::NoWorker { of: second, .. },
    ] = said.as_slice()
    else {
        panic!("{said:#?}")
    };
    assert_eq!((first, second), (&older, &QueueVersion::new("other", VERSION)));
    assert_eq!(*others, Others::GoOn, "somebody takes one of the jobs");

    client.cancel(&served).await.unwrap();
    client.cancel(&JobId::new("engine")).await.unwrap();
    let stands =
        |event: &WaitEvent| matches!(event, WaitEvent::NoWorker { others, .. } if *others == Others::Stand);
    until(&mut waiter, stands).await;

    let _other = rig.worker_on("other").await;
    let back = WaitEvent::WorkerBack(QueueVersion::new("other", VERSION));
    let is_over = |event: &WaitEvent| {
        *event == back || matches!(event, WaitEvent::Finished(outcome) if outcome.id.as_str() == "other")
    };
    until(&mut waiter, is_over).await;
    let said = until(&mut waiter, |event| is_missing(event, DEFAULT_QUEUE)).await;
    assert!(!said.iter().any(|event| is_missing(event, "other")), "{said:#?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn an_executor_id_that_went_to_another_is_reported_as_lost() {
    let rig = Rig::new();
    let worker = rig.worker().await;
    rig.database
        .psql("update abaci.presence set incarnation = 'someone else'");
    let loss = tokio::time::timeout(DEADLINE, worker.lost())
        .await
        .expect("the loss was not noticed");
    assert!(
        matches!(&loss, Loss::ExecutorId(reason) if reason.contains("given to others")),
        "{loss}"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_job_that_its_dead_worker_still_holds_is_not_a_silent_hang() {
    let rig = Rig::new();
    let client = rig.client().await;
    let id = client.submit_job(echo(10)).await.unwrap();
    rig.database
        .psql("update dbos.workflow_status set status = 'PENDING', executor_id = 'gone/0'");
    unlistened(&mut client.wait([id])).await;
}
