//! What surrounds the body, tested with bodies that no product has.

use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use testkit::{Database, TempDir, eventually};

use super::{Loss, Worker, WorkerSettings};
use crate::client::{ClientSettings, WaitEvent};
use crate::record::{Failure, FailureKind, JobResult, Request};
use crate::workflow::JobContext;
use crate::{Client, compute};

struct Rig {
    database: Database,
    artifacts: TempDir,
}

impl Rig {
    fn new() -> Self {
        Self {
            database: Database::create(),
            artifacts: TempDir::new(),
        }
    }

    fn settings(&self) -> WorkerSettings {
        let mut settings = WorkerSettings::new(self.database.url(), "test-host", self.artifacts.path());
        settings.poll_interval = Duration::from_millis(5);
        settings
    }

    /// Runs one job with `body` and returns how it ended.
    async fn failure_of(&self, body: super::Body) -> Failure {
        let _worker = Worker::start_with(self.settings(), body).await.unwrap();
        let client = Client::connect(ClientSettings::new(self.database.url()))
            .await
            .unwrap();
        let id = client.submit(Request::new(10)).await.unwrap();
        let mut waiter = client.wait([id]);
        loop {
            if let Some(WaitEvent::Finished(outcome)) = waiter.next().await {
                return outcome.result.unwrap_err();
            }
        }
    }
}

async fn panics_in_the_body(_: Arc<JobContext>, _: Request) -> dbos::Result<JobResult, Failure> {
    tokio::task::yield_now().await;
    panic!("the body broke")
}

async fn panics_in_a_step(_: Arc<JobContext>, _: Request) -> dbos::Result<JobResult, Failure> {
    dbos::step("compute", || async { panic!("the step broke") }).await
}

async fn panics_on_the_thread(_: Arc<JobContext>, _: Request) -> dbos::Result<JobResult, Failure> {
    dbos::step("compute", || async {
        Ok(compute::on_thread(|_| panic!("the thread broke")).await?)
    })
    .await
}

async fn fails_twice(_: Arc<JobContext>, _: Request) -> dbos::Result<JobResult, Failure> {
    let options = dbos::StepOptions {
        max_attempts: 2,
        interval: Duration::from_millis(1),
        ..Default::default()
    };
    let body = || async { Err(Failure::retryable("Artifact", "the disk is full").into()) };
    dbos::step_with("compute", options, body).await
}

/// Runs a step, and one that the host fails in the first attempt; says how often the first one ran, and in which attempt of
/// the job.
async fn meets_a_full_disk(job: Arc<JobContext>, _: Request) -> dbos::Result<JobResult, Failure> {
    static RUNS: AtomicU32 = AtomicU32::new(0);
    let runs = dbos::step("first", || async { Ok(RUNS.fetch_add(1, Ordering::Relaxed) + 1) }).await?;
    let has_failed = RUNS.swap(7, Ordering::Relaxed) == 7;
    dbos::step("second", || async {
        if has_failed {
            return Ok(());
        }
        Err(job.give_up(&Failure::of_host("the disk is full")))
    })
    .await?;
    let (ran, attempt) = (RUNS.load(Ordering::Relaxed), job.attempts);
    Err(Failure::terminal("Done", format!("{runs} {ran} {attempt}")).into())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_job_that_its_host_fails_keeps_its_steps() {
    let failure = Rig::new()
        .failure_of(|job, request| Box::pin(meets_a_full_disk(job, request)))
        .await;
    assert_eq!(
        failure.message, "1 7 1",
        "a step ran again, or the claim was counted"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_panic_anywhere_is_a_recorded_failure() {
    let bodies: [(super::Body, &str); 3] = [
        (
            |job, request| Box::pin(panics_in_the_body(job, request)),
            "the body broke",
        ),
        (
            |job, request| Box::pin(panics_in_a_step(job, request)),
            "the step broke",
        ),
        (
            |job, request| Box::pin(panics_on_the_thread(job, request)),
            "the thread broke",
        ),
    ];
    for (body, text) in bodies {
        let failure = Rig::new().failure_of(body).await;
        assert_eq!(
            (failure.name.as_str(), failure.data.kind),
            ("Panic", FailureKind::Terminal)
        );
        assert!(failure.message.contains(text), "{}", failure.message);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_step_that_fails_on_every_attempt_fails_the_job_with_its_last_reason() {
    let failure = Rig::new()
        .failure_of(|job, request| Box::pin(fails_twice(job, request)))
        .await;
    assert_eq!(
        (failure.message.as_str(), failure.data.attempt),
        ("the disk is full", 2)
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_computation_stops_when_nobody_waits_for_it() {
    let (stopped, stopped_seen) = std::sync::mpsc::channel();
    let endless = compute::on_thread(move |is_wanted| {
        while is_wanted().is_continue() {
            std::thread::yield_now();
        }
        stopped.send(()).map_err(|_| compute::stopped())
    });
    tokio::time::timeout(Duration::from_millis(50), endless)
        .await
        .unwrap_err();
    eventually("the thread to stop", || stopped_seen.try_recv().is_ok());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_worker_whose_claim_loop_broke_off_is_lost() {
    let rig = Rig::new();
    let worker = Worker::start(rig.settings()).await.unwrap();
    // As by a panic in it.
    worker.claiming.abort();
    let loss = tokio::time::timeout(Duration::from_secs(10), worker.lost())
        .await
        .expect("nobody learns that the worker takes no jobs any more");
    assert_eq!(loss, Loss::Claims);
    assert_eq!(worker.drain(Duration::ZERO).await.handed_back, 0);
}
