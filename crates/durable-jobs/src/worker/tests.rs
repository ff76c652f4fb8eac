//! Tests of what surrounds the body, with job types that have unusual ones.

use std::marker::PhantomData;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::time::Duration;

use sqlx::AssertSqlSafe;
use testkit::{Deadline, TempDir, TestDatabase, eventually};

use super::claimed_row::RowRefusal;
use super::{ClaimedRow, Loss, RowHolder, Worker, WorkerSettings};
use crate::client::{ClientSettings, SubmitOptions, WaitEvent};
use crate::compute::stopped;
use crate::database::workflow_rows::{CLAIMED_ROW, HELD_ROWS};
use crate::record::{Failure, FailureKind};
use crate::{Client, JobContext, JobType, JobTypes, StepOptions};

struct Rig {
    database: TestDatabase,
    artifacts: TempDir,
}

/// A body that has no input and whose end is a failure.
trait Body: Send + Sync + 'static {
    fn run(job: &JobContext) -> impl Future<Output = Result<(), Failure>> + Send;
}

struct Unusual<B>(PhantomData<B>);

impl<B: Body> JobType for Unusual<B> {
    const WORKFLOW: &'static str = "unusual";
    type Input = ();
    type Output = ();

    async fn run(&self, job: &JobContext, (): ()) -> Result<(), Failure> {
        B::run(job).await
    }
}

impl Rig {
    fn new() -> Self {
        Self {
            database: TestDatabase::create(),
            artifacts: TempDir::new(),
        }
    }

    fn settings(&self, job_types: JobTypes) -> WorkerSettings {
        let mut settings =
            WorkerSettings::new(self.database.url(), "test-host", self.artifacts.path(), job_types);
        settings.poll_interval = Duration::from_millis(5);
        settings
    }
}

/// Runs one job with the body `B` and returns how it ended.
async fn failure_of<B: Body>() -> Failure {
    let rig = Rig::new();
    let types = JobTypes::new("test-1").with(Unusual::<B>(PhantomData));
    let _worker = Worker::start(rig.settings(types.clone())).await.unwrap();
    let client = Client::connect(ClientSettings::new(rig.database.url(), types))
        .await
        .unwrap();
    let id = client
        .submit::<Unusual<B>>(&(), SubmitOptions::default())
        .await
        .unwrap();
    let mut waiter = client.wait([id]);
    loop {
        if let Some(WaitEvent::Finished(outcome)) = waiter.next().await {
            return outcome.result.unwrap_err();
        }
    }
}

struct PanicsInTheBody;

impl Body for PanicsInTheBody {
    async fn run(_: &JobContext) -> Result<(), Failure> {
        tokio::task::yield_now().await;
        panic!("the body broke")
    }
}

struct PanicsInAStep;

impl Body for PanicsInAStep {
    async fn run(job: &JobContext) -> Result<(), Failure> {
        job.step("compute", || async { panic!("the step broke") }).await
    }
}

struct PanicsOnTheThread;

impl Body for PanicsOnTheThread {
    async fn run(job: &JobContext) -> Result<(), Failure> {
        job.step("compute", || job.on_thread(|_| panic!("the thread broke")))
            .await
    }
}

struct FailsTwice;

impl Body for FailsTwice {
    async fn run(job: &JobContext) -> Result<(), Failure> {
        let options = StepOptions {
            attempts: 2,
            ..StepOptions::default()
        };
        let body = || async { Err(Failure::retryable("Artifact", "the disk is full")) };
        job.step_with("compute", options, body).await
    }
}

/// Runs a step, and one that the host fails in the first attempt; says how often the first one ran, and in which attempt of
/// the job.
struct MeetsAFullDisk;

impl Body for MeetsAFullDisk {
    async fn run(job: &JobContext) -> Result<(), Failure> {
        static RUNS: AtomicU32 = AtomicU32::new(0);
        let runs: u32 = job
            .step("first", || async { Ok(RUNS.fetch_add(1, Ordering::Relaxed) + 1) })
            .await?;
        let has_failed = RUNS.swap(7, Ordering::Relaxed) == 7;
        job.step("second", || async {
            if has_failed {
                return Ok(());
            }
            Err(Failure::of_host("the disk is full"))
        })
        .await?;
        let (ran, attempt) = (RUNS.load(Ordering::Relaxed), job.attempt());
        Err(Failure::terminal("Done", format!("{runs} {ran} {attempt}")))
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_job_that_its_host_fails_keeps_its_steps() {
    let failure = failure_of::<MeetsAFullDisk>().await;
    assert_eq!(
        failure.message, "1 7 1",
        "a step ran again, or the claim was counted"
    );
}

/// Tries a step again and again, whatever it returns.
struct Stubborn;

impl Body for Stubborn {
    async fn run(job: &JobContext) -> Result<(), Failure> {
        static HAS_FAILED: AtomicBool = AtomicBool::new(false);
        let step = || async {
            if HAS_FAILED.swap(true, Ordering::Relaxed) {
                Ok(())
            } else {
                Err(Failure::of_host("the disk is full"))
            }
        };
        while job.step("compute", step).await.is_err() {}
        Err(Failure::terminal("Done", "at last"))
    }
}

/// Comes to another step in its second start than in its first.
struct Fickle;

impl Body for Fickle {
    async fn run(job: &JobContext) -> Result<(), Failure> {
        static STARTS: AtomicU32 = AtomicU32::new(0);
        let name = ["first", "second"][STARTS.fetch_add(1, Ordering::Relaxed) as usize];
        job.step(name, || async { Ok(()) }).await?;
        Err(Failure::of_host("the disk is full"))
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_body_cannot_outlast_what_ends_its_job() {
    assert_eq!(failure_of::<Stubborn>().await.message, "at last");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_body_that_comes_to_other_steps_fails() {
    let failure = failure_of::<Fickle>().await;
    assert_eq!(
        (failure.name.as_str(), failure.data.kind),
        ("UnexpectedStep", FailureKind::Terminal)
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_panic_anywhere_is_a_recorded_failure() {
    for (failure, text) in [
        (failure_of::<PanicsInTheBody>().await, "the body broke"),
        (failure_of::<PanicsInAStep>().await, "the step broke"),
        (failure_of::<PanicsOnTheThread>().await, "the thread broke"),
    ] {
        assert_eq!(
            (failure.name.as_str(), failure.data.kind),
            ("Panic", FailureKind::Terminal)
        );
        assert!(failure.message.contains(text), "{}", failure.message);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_step_that_fails_on_every_attempt_fails_the_job() {
    let failure = failure_of::<FailsTwice>().await;
    assert_eq!(
        (failure.message.as_str(), failure.data.attempt),
        ("the disk is full", 2)
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_computation_stops_when_nobody_waits_for_it() {
    let (ended, ended_seen) = std::sync::mpsc::channel();
    let activity = crate::compute::Activity::new(1);
    let endless = crate::compute::on_thread(&activity, move |watch| {
        let stage = crate::compute::Stage::Writing { bytes: 0 };
        while watch(stage).is_continue() {
            std::thread::yield_now();
        }
        ended.send(()).map_err(|_| stopped())
    });
    tokio::time::timeout(Duration::from_millis(50), endless)
        .await
        .unwrap_err();
    eventually("the thread to stop", || ended_seen.try_recv().is_ok());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_worker_whose_heartbeat_broke_off_is_lost() {
    let rig = Rig::new();
    let worker = Worker::start(rig.settings(JobTypes::new("test-1")))
        .await
        .unwrap();
    worker.registration.break_off();
    let loss = tokio::time::timeout(Duration::from_secs(10), worker.lost())
        .await
        .expect("nobody learns that the id is not held any more");
    let Loss::ExecutorId(reason) = loss else {
        panic!("{loss:?}")
    };
    assert!(reason.contains("heartbeat broke off"), "{reason}");
}

#[tokio::test(flavor = "multi_thread")]
async fn only_a_row_that_is_still_held_is_parked() {
    let rig = Rig::new();
    let worker = Worker::start(rig.settings(JobTypes::new("test-1")))
        .await
        .unwrap();
    let executor = format!("'{}'", worker.executor_id());
    let columns = [
        ("workflow_uuid", "'row'"),
        ("status", "'PENDING'"),
        ("name", "'of_nobody'"),
        ("executor_id", &*executor),
        // Young, or the janitor would see to it.
        // In the future, so that the janitor leaves the row alone.
        ("started_at_epoch_ms", "(extract(epoch from now()) + 3600) * 1000"),
        ("created_at", "0"),
        ("updated_at", "0"),
        ("priority", "0"),
    ];
    rig.database.insert("dbos.workflow_status", &columns, &[]);
    let held = async || {
        let held = sqlx::query(AssertSqlSafe(format!("select {CLAIMED_ROW}{HELD_ROWS}")));
        let held = held.bind(worker.executor_id());
        held.fetch_optional(&worker.database.pool).await.unwrap()
    };
    let refuse = async |executor_id: &str, row: &ClaimedRow| {
        let holder = RowHolder {
            executor_id: executor_id.to_owned(),
            queue: "default".to_owned(),
        };
        let failure = Failure::parked("UnreadableInput", "the input is not JSON");
        row.refuse(&worker.database, &holder, &RowRefusal::Never(failure))
            .await;
    };
    let mut row = ClaimedRow::from_row(&held().await.unwrap()).unwrap();
    refuse("elsewhere/0", &row).await;
    assert!(held().await.is_some(), "the row of another worker was parked");
    let owner = row.owner.replace("a former run".to_owned());
    refuse(worker.executor_id(), &row).await;
    assert!(held().await.is_some(), "the row of another run was parked");
    row.owner = owner;
    refuse(worker.executor_id(), &row).await;
    assert!(held().await.is_none(), "the row was not parked");
}

#[tokio::test(flavor = "multi_thread")]
async fn the_end_of_claims_waits_for_no_look_at_timeouts() {
    let rig = Rig::new();
    let worker = Worker::start(rig.settings(JobTypes::new("test-1")))
        .await
        .unwrap();
    let _lock = rig.database.lock("dbos.workflow_status");
    // One that got no answer, after which the look at timeouts gets none either.
    eventually("a failed round", || worker.claim_failure.borrow().is_some());
    worker.stop_claiming.cancel();
    // The look alone takes five seconds.
    let soon = Deadline::after(Duration::from_secs(3));
    soon.eventually("the end of the claims", || worker.claiming.is_finished());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_dropped_worker_claims_no_more_and_says_that_it_drains() {
    let rig = Rig::new();
    let worker = Worker::start(rig.settings(JobTypes::new("test-1")))
        .await
        .unwrap();
    let claims = worker.claim_failure.clone();
    drop(worker);
    eventually("the end of the claims", || claims.has_changed().is_err());
    eventually("the word of it", || {
        rig.database.psql("select draining from abaci.presence").trim() == "t"
    });
}

#[tokio::test(flavor = "multi_thread")]
async fn a_worker_whose_claim_loop_broke_off_is_lost() {
    let rig = Rig::new();
    let worker = Worker::start(rig.settings(JobTypes::new("test-1")))
        .await
        .unwrap();
    // As by a panic in it.
    worker.claiming.abort();
    let loss = tokio::time::timeout(Duration::from_secs(10), worker.lost())
        .await
        .expect("nobody learns that the worker takes no jobs any more");
    assert_eq!(loss, Loss::Claims);
    assert_eq!(worker.drain(Duration::ZERO).await.handed_back, 0);
}
