//! Jobs as they change, for one who asks again and again: nothing twice, nothing lost.

use std::time::{Duration, Instant};

use durable_jobs::client::{Changes, Moment, ResumeOptions};
use durable_jobs::{Client, Job, JobId, State};
use sqlx::{Connection, PgConnection};
use testkit::eventually;

use crate::rig::{DEADLINE, ENDLESS, Rig, echo, echo_as, lasting, outcomes};

/// A date that no question looks back to.
const YESTERDAY: &str = "(extract(epoch from now()) - 86400) * 1000";

/// One who shows jobs as they change.
struct Follower {
    client: Client,
    moment: Moment,
    /// All that was told, in its order.
    told: Vec<Job>,
}

impl Follower {
    async fn start(client: Client) -> Self {
        let changes = client.changes(None).await.unwrap();
        assert!(changes.jobs.is_empty() && !changes.is_cut);
        Self::from(client, changes.moment)
    }

    fn from(client: Client, moment: Moment) -> Self {
        Self {
            client,
            moment,
            told: Vec::new(),
        }
    }

    async fn ask(&mut self) -> Changes {
        let changes = self.client.changes(Some(self.moment)).await.unwrap();
        assert!(changes.moment > self.moment, "{} stands", self.moment);
        assert!(!changes.is_cut || changes.jobs.is_empty());
        self.moment = changes.moment;
        self.told.extend(changes.jobs.iter().cloned());
        changes
    }

    /// Asks until what was told is enough.
    async fn until(&mut self, is_enough: impl Fn(&[Job]) -> bool) {
        let asked = async {
            while !is_enough(&self.told) {
                assert!(!self.ask().await.is_cut);
            }
        };
        let asked = tokio::time::timeout(DEADLINE, asked).await;
        asked.unwrap_or_else(|_| panic!("was told {:?}", self.told));
    }

    /// What was told of a job.
    fn of(&self, id: &str) -> Vec<&Job> {
        self.told
            .iter()
            .filter(|job| job.workflow_id.as_str() == id)
            .collect()
    }
}

/// A session of somebody else.
struct Foreign(PgConnection);

impl Foreign {
    async fn connect(url: &str) -> Self {
        Self(PgConnection::connect(url).await.unwrap())
    }

    /// The same, in a transaction that has a number.
    async fn with_transaction(url: &str) -> Self {
        let mut session = Self::connect(url).await;
        session
            .run("begin; create temporary table somebodys (n int)")
            .await;
        session
    }

    async fn run(&mut self, statements: &str) {
        let statements = sqlx::AssertSqlSafe(statements.to_owned());
        sqlx::raw_sql(statements).execute(&mut self.0).await.unwrap();
    }
}

impl Rig {
    /// Writes a row that was submitted yesterday, in this status.
    fn insert_old(&self, id: &str, status: &str) {
        let status = format!("'{status}'");
        self.insert(
            id,
            &[
                ("created_at", YESTERDAY),
                ("updated_at", YESTERDAY),
                ("status", &status),
            ],
        );
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_job_is_told_at_each_turn_of_its_life() {
    let rig = Rig::new();
    let client = rig.client().await;
    let mut follower = Follower::start(rig.client().await).await;
    let id = client.submit_job(lasting(ENDLESS)).await.unwrap();
    let last_is = |state: State| move |told: &[Job]| told.last().is_some_and(|job| job.state == state);
    follower.until(last_is(State::Queued)).await;
    let worker = rig.worker().await;
    follower.until(last_is(State::Running)).await;
    let of_worker = |changes: Changes| {
        changes
            .workers
            .into_iter()
            .flat_map(|worker| worker.running)
            .next()
    };
    let progress =
        async { while of_worker(follower.ask().await).is_none_or(|job| job.progress.is_none()) {} };
    tokio::time::timeout(DEADLINE, progress)
        .await
        .expect("no progress");
    client.cancel(&id).await.unwrap();
    follower.until(last_is(State::Cancelled)).await;
    worker.drain(Duration::ZERO).await;
    eventually("a second after the cancellation", || {
        let resumed = client.resume(&id, ResumeOptions::default());
        let resumed = tokio::task::block_in_place(|| tokio::runtime::Handle::current().block_on(resumed));
        format!("{resumed:?}").contains("Resumed")
    });
    follower.until(last_is(State::Queued)).await;
    client.cancel(&id).await.unwrap();
    let done = client.submit_job(echo(7)).await.unwrap();
    let _worker = rig.worker().await;
    outcomes(&client, [done.clone()]).await;
    let is_done = |job: &Job| job.workflow_id == done && job.state == State::Succeeded;
    follower.until(|told| told.iter().any(is_done)).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn one_open_transaction_silences_nobody() {
    let rig = Rig::new();
    let client = rig.client().await;
    let mut follower = Follower::start(rig.client().await).await;
    let mut foreign = Foreign::with_transaction(rig.database.url()).await;
    let before = follower.moment;
    let began = Instant::now();
    let ids = [(); 3].map(|()| JobId::fresh());
    for id in &ids {
        client.submit_job(echo_as(id.clone(), 1)).await.unwrap();
        follower
            .until(|told| told.iter().any(|job| job.workflow_id == *id))
            .await;
    }
    assert!(began.elapsed() > Duration::from_millis(900), "told ahead at once");
    // It is told once, also after the other one's end, and so is what that did.
    let mut other = Follower::from(rig.client().await, before);
    let mut resumed = Follower::from(rig.client().await, follower.moment);
    foreign.run("savepoint a").await;
    rig.insert_old("late", "ENQUEUED");
    foreign.run("update dbos.workflow_status set priority = 9, updated_at = extract(epoch from now()) * 1000 where workflow_uuid = 'late'").await;
    follower.ask().await;
    foreign.run("commit").await;
    for follower in [&mut follower, &mut other, &mut resumed] {
        follower
            .until(|told| told.iter().any(|job| job.priority == 9))
            .await;
        for id in &ids {
            assert_eq!(follower.of(id.as_str()).len(), 1, "{:?}", follower.told);
        }
    }
    assert!(follower.of("late").len() <= 1, "{:?}", follower.told);
}
