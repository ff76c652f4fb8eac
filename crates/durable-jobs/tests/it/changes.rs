//! Jobs as they change, for a follower: nothing twice, nothing lost.

use std::collections::{BTreeMap, BTreeSet};
use std::time::{Duration, Instant};

use durable_jobs::client::{Changes, Moment, ResumeOptions, SubmitOptions};
use durable_jobs::{Client, Job, JobFilter, JobId, State};
use sqlx::{Connection, PgConnection};
use testkit::{PrivateServer, eventually};

use crate::rig::{DEADLINE, ENDLESS, Rig, client_settings, echo, echo_as, lasting, outcomes};

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
        let changes = self.client.changes(Some(self.moment.clone())).await.unwrap();
        assert!(changes.moment > self.moment, "{} stands", self.moment);
        assert!(!changes.is_cut || changes.jobs.is_empty());
        self.moment = changes.moment.clone();
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

    async fn until_cut(&mut self) {
        let cut = async { while !self.ask().await.is_cut {} };
        tokio::time::timeout(DEADLINE, cut).await.expect("no cut");
    }

    /// Submits a job and asks until it is told, or is found by one who is told to read anew.
    ///
    /// A transaction of another test may be open, so that too many are told ahead of its end.
    async fn reads(&mut self, client: &Client) {
        let id = client.submit_job(echo(1)).await.unwrap();
        let read = async {
            while self.of(id.as_str()).is_empty() {
                if self.ask().await.is_cut {
                    assert_eq!(client.show(&id).await.unwrap().job.workflow_id, id);
                    break;
                }
            }
        };
        tokio::time::timeout(DEADLINE, read).await.expect("nothing told");
    }

    /// All that was told of a job.
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
    let before = follower.moment.clone();
    let ids = [(); 3].map(|()| JobId::fresh());
    for id in &ids {
        client.submit_job(echo_as(id.clone(), 1)).await.unwrap();
        let told = follower.ask().await.jobs;
        assert!(told.iter().any(|job| job.workflow_id == *id), "{told:?}");
    }
    // It is told once, also after the other one's end and by another process, and so is what that did.
    let mut other = Follower::from(rig.client().await, before);
    let mut resumed = Follower::from(rig.client().await, follower.moment.clone());
    foreign.run("savepoint a").await;
    rig.insert_old("late", "ENQUEUED");
    foreign.run("update dbos.workflow_status set priority = 9, updated_at = extract(epoch from now()) * 1000 where workflow_uuid = 'late'").await;
    follower.ask().await;
    foreign.run("commit").await;
    for (follower, times) in [(&mut follower, 1), (&mut other, 1), (&mut resumed, 0)] {
        follower
            .until(|told| told.iter().any(|job| job.priority == 9))
            .await;
        for id in &ids {
            assert_eq!(follower.of(id.as_str()).len(), times, "{:?}", follower.told);
        }
    }
    assert!(follower.of("late").len() <= 1, "{:?}", follower.told);
}

/// The statements of the engine, of its other tools and of ours that change a row in a way that is shown, and where it comes to;
/// `$` stands for the present. Each row was submitted yesterday, and of some it matters how they were before.
const KINDS: [(&str, &str, &str, &str); 12] = [
    (
        "claimed",
        "ENQUEUED",
        "",
        "status = 'PENDING', started_at_epoch_ms = $, updated_at = $",
    ),
    (
        "ended",
        "PENDING",
        "",
        "status = 'SUCCESS', updated_at = $, completed_at = $",
    ),
    (
        "parked",
        "PENDING",
        "",
        "status = 'ERROR', error = '{\"kind\":\"parked\"}', updated_at = $, completed_at = $",
    ),
    (
        "cancelled",
        "ENQUEUED",
        "",
        "status = 'CANCELLED', queue_name = null, updated_at = $, completed_at = $",
    ),
    (
        "dead_letter",
        "PENDING",
        "recovery_attempts = 101, started_at_epoch_ms = $, updated_at = $",
        "status = 'MAX_RECOVERY_ATTEMPTS_EXCEEDED', started_at_epoch_ms = null, queue_name = null",
    ),
    ("due", "DELAYED", "", "status = 'ENQUEUED', updated_at = $"),
    (
        "put_off",
        "DELAYED",
        "",
        "delay_until_epoch_ms = $ + 60000, updated_at = $",
    ),
    (
        "given_back",
        "PENDING",
        "",
        "status = 'ENQUEUED', started_at_epoch_ms = null, updated_at = $",
    ),
    (
        "resumed",
        "ERROR",
        "completed_at = created_at",
        "status = 'ENQUEUED', completed_at = null, updated_at = $",
    ),
    (
        "resumed_by_a_tool",
        "CANCELLED",
        "queue_name = null, completed_at = created_at",
        "status = 'ENQUEUED', queue_name = '_dbos_internal_queue', started_at_epoch_ms = null, completed_at = null, updated_at = $",
    ),
    (
        "reworded",
        "SUCCESS",
        "completed_at = created_at",
        "attributes = '{\"tags\": [\"x\"]}', updated_at = $",
    ),
    (
        "reworded_in_hand",
        "PENDING",
        "started_at_epoch_ms = created_at",
        "attributes = '{\"tags\": [\"x\"]}', updated_at = $",
    ),
];

#[tokio::test(flavor = "multi_thread")]
async fn each_kind_of_change_of_an_old_row_is_told() {
    let rig = Rig::new();
    let client = rig.client().await;
    let change = |id: &str, columns: &str| {
        let columns = columns.replace('$', "(extract(epoch from now()) * 1000)::bigint");
        rig.database.psql(&format!(
            "update dbos.workflow_status set {columns} where workflow_uuid = '{id}'"
        ));
    };
    for (id, status, before, _) in KINDS {
        rig.insert_old(id, status);
        if !before.is_empty() {
            change(id, before);
        }
    }
    for (id, .., columns) in KINDS {
        let mut follower = Follower::start(client.clone()).await;
        change(id, columns);
        follower
            .until(|told| told.iter().any(|job| job.workflow_id.as_str() == id))
            .await;
        let now = client.show(&JobId::new(id)).await.unwrap().job;
        assert_eq!(follower.told, [now]);
    }
}

/// So many write at once.
const WRITERS: usize = 6;

/// The changes of each.
const ROUNDS: usize = 60;

/// Changes rows again and again, in transactions that stay open for a while, of which some change nothing in the end.
async fn write(url: String, writer: usize) {
    let mut session = Foreign::connect(&url).await;
    for round in 0..ROUNDS {
        let row = format!("w{writer}-{}", round % 7);
        let date = ["started_at_epoch_ms", "completed_at", "updated_at"][fastrand::usize(..3)];
        let pause = f64::from(fastrand::u32(..30)) / 1000.0;
        let end = if fastrand::u8(..5) == 0 {
            "rollback"
        } else {
            "commit"
        };
        let (before, after) = if fastrand::bool() {
            ("savepoint s;", "release s;")
        } else {
            ("", "")
        };
        session
            .run(&format!(
                "begin; {before} insert into dbos.workflow_status (workflow_uuid, status, name, inputs, created_at, updated_at, priority) \
                     values ('{row}', 'PENDING', 'test_echoes', '1', {YESTERDAY}, {YESTERDAY}, 0) on conflict do nothing; \
                 update dbos.workflow_status set priority = priority + 1, {date} = extract(epoch from now()) * 1000 \
                     where workflow_uuid = '{row}'; {after} select pg_sleep({pause}); {end}"
            ))
            .await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_many_writers_do_at_once_is_told_once() {
    let server = PrivateServer::new();
    let url = server.create_database("jobs");
    let client = Client::connect(client_settings(&*url)).await.unwrap();
    let mut follower = Follower::start(client.clone()).await;
    let mut writers = tokio::task::JoinSet::new();
    for writer in 0..WRITERS {
        writers.spawn(write(url.clone(), writer));
    }
    let mut restarted = 0;
    while !writers.is_empty() {
        follower.ask().await;
        while let Some(ended) = writers.try_join_next() {
            ended.unwrap();
        }
        // Another process goes on from the moment's text.
        if restarted < follower.told.len() / 20 {
            restarted += 1;
            let moment = follower.moment.to_string().parse().unwrap();
            let told = std::mem::take(&mut follower.told);
            follower = Follower::from(Client::connect(client_settings(&*url)).await.unwrap(), moment);
            follower.told = told;
        }
    }
    let last: BTreeMap<JobId, u32> = client
        .list(&JobFilter::default())
        .await
        .unwrap()
        .into_iter()
        .map(|job| (job.workflow_id, job.priority))
        .collect();
    let told = |told: &[Job]| -> BTreeMap<JobId, u32> {
        told.iter()
            .map(|job| (job.workflow_id.clone(), job.priority))
            .collect()
    };
    follower.until(|jobs| told(jobs) == last).await;
    let versions: BTreeSet<(&JobId, u32)> = follower
        .told
        .iter()
        .map(|job| (&job.workflow_id, job.priority))
        .collect();
    assert_eq!(versions.len(), follower.told.len(), "a change was told twice");
    assert!(
        last.len() > WRITERS && restarted > 2,
        "{restarted} of {}",
        follower.told.len()
    );
}

/// So long that the date of what a transaction did at its beginning is not looked at any more.
const LONG: Duration = Duration::from_millis(11_500);

impl Foreign {
    /// Inserts rows that were submitted yesterday.
    async fn insert_old(&mut self, ids: &[&str]) {
        for id in ids {
            self.run(&format!(
                "insert into dbos.workflow_status (workflow_uuid, status, name, inputs, created_at, updated_at, priority) \
                     values ('{id}', 'PENDING', 'test_echoes', '1', {YESTERDAY}, {YESTERDAY}, 0)"
            ))
            .await;
        }
    }

    /// Changes a row, dated so long before.
    async fn change(&mut self, id: &str, before: Duration) {
        let before = before.as_millis();
        self.run(&format!(
            "update dbos.workflow_status set priority = 9, updated_at = extract(epoch from clock_timestamp()) * 1000 - {before} \
                 where workflow_uuid = '{id}'"
        ))
        .await;
    }
}

impl Follower {
    async fn ask_for(&mut self, time: Duration) {
        let begun = Instant::now();
        while begun.elapsed() < time {
            assert!(self.ask().await.jobs.is_empty());
        }
    }

    async fn is_told(&mut self, ids: &[&str]) {
        let told = self.ask().await.jobs;
        let mut told: Vec<&str> = told.iter().map(|job| job.workflow_id.as_str()).collect();
        told.sort_unstable();
        assert_eq!(told, ids);
        assert!(self.ask().await.jobs.is_empty(), "told twice");
    }
}

/// A server where no other transaction ends, with a job that is old, one who follows, and somebody else.
struct Alone {
    _server: PrivateServer,
    url: String,
    foreign: Foreign,
    follower: Follower,
}

impl Alone {
    async fn with_jobs(ids: &[&str]) -> Self {
        let server = PrivateServer::new();
        let url = server.create_database("jobs");
        let client = Client::connect(client_settings(&*url)).await.unwrap();
        let mut foreign = Foreign::connect(&url).await;
        foreign.insert_old(ids).await;
        Self {
            _server: server,
            url,
            foreign,
            follower: Follower::start(client).await,
        }
    }

    /// Another process.
    async fn connect(&self) -> Client {
        Client::connect(client_settings(&*self.url)).await.unwrap()
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_lone_transaction_did_at_its_beginning_is_told() {
    // No snapshot names it.
    let mut alone = Alone::with_jobs(&["early"]).await;
    alone.foreign.run("begin").await;
    alone.foreign.change("early", Duration::from_secs(9)).await;
    alone.follower.ask_for(LONG).await;
    let mut other = Follower::from(alone.connect().await, alone.follower.moment.clone());
    let Alone {
        _server,
        mut foreign,
        mut follower,
        ..
    } = alone;
    foreign.run("commit").await;
    follower.is_told(&["early"]).await;
    other.is_told(&["early"]).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_ends_beside_a_longer_transaction_is_told_as_a_whole() {
    let Alone {
        _server,
        url,
        mut foreign,
        mut follower,
    } = Alone::with_jobs(&["early", "late"]).await;
    let mut longer = Foreign::with_transaction(&url).await;
    foreign.run("begin").await;
    foreign.change("early", Duration::from_secs(9)).await;
    follower.ask_for(LONG).await;
    foreign.change("late", Duration::ZERO).await;
    foreign.run("commit").await;
    follower.is_told(&["early", "late"]).await;
    longer.run("commit").await;
    assert!(follower.ask().await.jobs.is_empty(), "told twice");
}

#[tokio::test(flavor = "multi_thread")]
async fn who_moves_to_a_process_that_knows_less_reads_anew() {
    let mut alone = Alone::with_jobs(&["early"]).await;
    let _longer = Foreign::with_transaction(&alone.url).await;
    alone.foreign.change("early", Duration::from_secs(9)).await;
    alone.follower.is_told(&["early"]).await;
    // Until it is dated before a fresh process looks.
    alone.follower.ask_for(Duration::from_secs(2)).await;
    let second = alone.connect().await;
    let until = second.changes(None).await.unwrap().moment;
    let missed = second.missed(alone.follower.moment.clone(), until).await.unwrap();
    assert!(missed.is_cut && missed.jobs.is_empty(), "{missed:?}");
}

/// Submits more jobs than one answer has.
async fn submit_too_many(client: &Client) {
    let jobs: Vec<_> = (0..10_000).map(echo).collect();
    client.submit_all(&jobs, SubmitOptions::default()).await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn too_many_changes_are_read_anew_and_then_goes_on() {
    let rig = Rig::new();
    let client = rig.client().await;
    let mut follower = Follower::start(client.clone()).await;
    submit_too_many(&client).await;
    follower.until_cut().await;
    assert!(follower.told.len() < 10_000);
    follower.reads(&client).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_too_many_transactions_did_is_told_and_read_anew() {
    let rig = Rig::new();
    let client = rig.client().await;
    let mut follower = Follower::start(client.clone()).await;
    let mut foreign = Foreign::with_transaction(rig.database.url()).await;
    let mut ids = BTreeSet::new();
    for _ in 0..600 {
        ids.insert(client.submit_job(echo(1)).await.unwrap());
        if ids.len() % 100 == 0 {
            follower.ask().await;
        }
    }
    follower.until(|told| told.len() >= ids.len()).await;
    let told: Vec<&JobId> = follower.told.iter().map(|job| &job.workflow_id).collect();
    assert_eq!(told.len(), ids.len(), "something was told twice");
    assert!(told.into_iter().all(|id| ids.contains(id)));
    let mut other = Follower::from(rig.client().await, follower.moment.clone());
    assert!(other.ask().await.is_cut, "what was told is not known elsewhere");
    other.reads(&client).await;
    foreign.run("commit").await;
    follower.until_cut().await;
    follower.reads(&client).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_was_told_ahead_once_is_not_told_ahead_again() {
    let rig = Rig::new();
    let client = rig.client().await;
    let mut follower = Follower::start(client.clone()).await;
    let mut first = Foreign::with_transaction(rig.database.url()).await;
    let mut second = Foreign::with_transaction(rig.database.url()).await;
    let ids = [(); 3].map(|()| JobId::fresh());
    for id in &ids {
        client.submit_job(echo_as(id.clone(), 1)).await.unwrap();
        follower
            .until(|told| told.iter().any(|job| job.workflow_id == *id))
            .await;
        first.run("end").await;
    }
    second.run("end").await;
    let last = client.submit_job(echo(1)).await.unwrap();
    follower
        .until(|told| told.iter().any(|job| job.workflow_id == last))
        .await;
    for id in &ids {
        assert_eq!(follower.of(id.as_str()).len(), 1, "{:?}", follower.told);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_follows_a_silence_is_told_once_by_two_processes() {
    let server = PrivateServer::new();
    let url = server.create_database("jobs");
    let client = Client::connect(client_settings(&*url)).await.unwrap();
    let mut follower = Follower::start(client.clone()).await;
    // Longer than an open transaction keeps anything back; here none is open.
    let begun = Instant::now();
    while begun.elapsed() < Duration::from_millis(1_500) {
        follower.ask().await;
    }
    client.submit_job(echo(1)).await.unwrap();
    follower.until(|told| !told.is_empty()).await;
    let other = Client::connect(client_settings(&*url)).await.unwrap();
    let mut other = Follower::from(other, follower.moment.clone());
    let told = other.ask().await.jobs;
    assert!(told.is_empty(), "told again: {told:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_restart_of_the_server_is_read_anew() {
    let mut server = PrivateServer::new();
    let url = server.create_database("jobs");
    let client = Client::connect(client_settings(&*url)).await.unwrap();
    let mut follower = Follower::start(client.clone()).await;
    let before = client.submit_job(echo(1)).await.unwrap();
    follower
        .until(|told| told.iter().any(|job| job.workflow_id == before))
        .await;
    server.kill();
    server.start();
    let cut = async {
        loop {
            match client.changes(Some(follower.moment.clone())).await {
                Ok(changes) => break changes,
                Err(error) => drop(error),
            }
        }
    };
    let changes = tokio::time::timeout(DEADLINE, cut).await.expect("no answer");
    assert!(changes.is_cut && changes.jobs.is_empty());
    let mut follower = Follower::from(client.clone(), changes.moment);
    let after = client.submit_job(echo(1)).await.unwrap();
    follower
        .until(|told| told.iter().any(|job| job.workflow_id == after))
        .await;
    assert_eq!(follower.told.len(), 1, "{:?}", follower.told);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_moment_out_of_reach_is_answered_without_a_look() {
    let rig = Rig::new();
    let client = rig.client().await;
    let until = client.changes(None).await.unwrap().moment;
    let first: Moment = "0".repeat(34).parse().unwrap();
    let mut foreign = Foreign::with_transaction(rig.database.url()).await;
    foreign
        .run("lock table dbos.workflow_status in access exclusive mode")
        .await;
    let missed = client
        .missed(first.clone(), until.clone())
        .await
        .expect("it waited for the table");
    assert!(missed.is_cut && missed.moment == until);
    foreign.run("commit").await;
    let changes = client.changes(Some(first)).await.unwrap();
    assert!(changes.is_cut && changes.moment >= until);
}
