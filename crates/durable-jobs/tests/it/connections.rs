//! Connections: how many a worker opens, and what becomes of jobs where there are too few.

use std::time::{Duration, Instant};

use durable_jobs::client::ClientSettings;
use durable_jobs::database::inspect;
use durable_jobs::record::State;
use durable_jobs::worker::WorkerSettings;
use durable_jobs::{Client, Error, JobId, JobType, Worker};
use testkit::eventually;

use crate::rig::{DEADLINE, Rig, client_settings, echo, echo_as, outcome, outcomes, worker_settings};
use crate::types::Echoes;

/// A role that owns the database and may open so many connections; dropped with the value.
struct Role<'a> {
    rig: &'a Rig,
    name: String,
}

impl<'a> Role<'a> {
    fn new(rig: &'a Rig, limit: u32) -> Self {
        let database = rig.database.name();
        let name = format!("{database}_app");
        rig.database.psql(&format!(
            "create role {name} login connection limit {limit}; alter database {database} owner to {name}"
        ));
        Self { rig, name }
    }

    fn limit(&self, limit: u32) {
        let name = &self.name;
        self.rig
            .database
            .psql(&format!("alter role {name} connection limit {limit}"));
    }

    fn url(&self) -> String {
        self.rig
            .database
            .url()
            .replace("user=postgres", &format!("user={}", self.name))
    }

    fn worker(&self, slot_of: &str) -> WorkerSettings {
        worker_settings(self.url(), slot_of, self.rig.artifacts.path())
    }

    /// Counts the connections that the role has now.
    fn used(&self) -> u64 {
        let name = &self.name;
        self.rig
            .count(&format!("pg_stat_activity where usename = '{name}'"))
    }
}

impl Drop for Role<'_> {
    fn drop(&mut self) {
        let (database, name) = (self.rig.database.name(), &self.name);
        self.rig.database.psql(&format!(
            "alter database {database} owner to postgres; \
             select pg_terminate_backend(pid) from pg_stat_activity where usename = '{name}'; \
             reassign owned by {name} to postgres; drop owned by {name}; drop role {name}"
        ));
    }
}

/// The sessions that have asked to begin a body.
const BEGINNING: &str = "pg_stat_activity where datname = current_database() and pid <> pg_backend_pid() \
     and query like 'update dbos.workflow_status set owner_xid = $3%'";

impl Rig {
    /// Lets claims pass and holds up the statement that begins a body, until the table `hanging` is empty.
    fn hang_before_bodies(&self, condition: &str) {
        self.database.psql(&format!(
            "create table hanging (); insert into hanging default values; \
             create function hang() returns trigger language plpgsql as 'begin \
             while substr(new.owner_xid, 15, 1) = ''7'' and exists (select from hanging) loop perform pg_sleep(0.01); \
             end loop; return new; end'; \
             create trigger hang before update of owner_xid on dbos.workflow_status for each row \
             when ({condition}) execute function hang()"
        ));
    }
}

async fn client(url: String, patience: Duration) -> Result<Client, Error> {
    let settings = ClientSettings {
        patience,
        ..client_settings(url)
    };
    Client::connect(settings).await
}

async fn submit(client: &Client, count: u64) -> Vec<JobId> {
    let mut ids = Vec::new();
    for n in 0..count {
        ids.push(client.submit_job(echo(n)).await.unwrap());
    }
    ids
}

#[tokio::test(flavor = "multi_thread")]
async fn four_workers_and_clients_fit_into_twenty() {
    let rig = Rig::new();
    let role = Role::new(&rig, 20);
    let mut workers = Vec::new();
    for host in ["a", "b", "c", "d"] {
        workers.push(Worker::start(role.worker(host)).await.unwrap());
    }
    assert_eq!(role.used(), 16, "a worker of concurrency 1 has four");
    let client = client(role.url(), Duration::ZERO).await.unwrap();
    let ids = submit(&client, 100).await;
    let ended = outcomes(&client, ids).await;
    assert!(ended.iter().all(|outcome| outcome.state == State::Succeeded));
    assert_eq!(role.used(), 17, "somebody opens connections on the way");
    for worker in workers {
        worker.drain(Duration::ZERO).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_worker_makes_do_with_the_connections_left() {
    let rig = Rig::new();
    let role = Role::new(&rig, 12);
    let settings = WorkerSettings {
        concurrency: 8,
        ..role.worker("a")
    };
    let worker = Worker::start(settings).await.unwrap();
    // One that was just closed may still be counted on a busy machine.
    let used = role.used();
    assert!(
        (4..=9).contains(&used),
        "{used} of 12: nothing is left for clients"
    );
    let client = client(role.url(), Duration::ZERO).await.unwrap();
    let ids = submit(&client, 50).await;
    let ended = outcomes(&client, ids).await;
    assert!(ended.iter().all(|outcome| outcome.state == State::Succeeded));
    worker.drain(Duration::ZERO).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn too_few_connections_are_said_to_be_too_few() {
    let rig = Rig::new();
    let role = Role::new(&rig, 3);
    let error = Worker::start(role.worker("a")).await.err().unwrap();
    let said = error.to_string();
    assert!(matches!(error, Error::Unreachable { .. }), "{error:?}");
    assert!(
        said.contains("needs 4") && said.contains("has 3 left of 3"),
        "{said}"
    );
    assert_eq!(inspect(&role.url(), DEADLINE).await.unwrap().connections.left, 3);
    role.limit(4);
    let worker = Worker::start(role.worker("a")).await.unwrap();
    worker.drain(Duration::ZERO).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_client_waits_for_a_place_and_names_who_has_none() {
    let rig = Rig::new();
    let role = Role::new(&rig, 5);
    client(role.url(), DEADLINE).await.unwrap().close().await;
    role.limit(1);
    let first = client(role.url(), DEADLINE).await.unwrap();
    let error = client(role.url(), Duration::ZERO).await.err().unwrap();
    let said = error.to_string();
    assert!(said.contains("too many connections for role"), "{said}");
    let second = tokio::spawn(client(role.url(), DEADLINE));
    first.close().await;
    let second = tokio::time::timeout(DEADLINE, second).await.unwrap().unwrap();
    submit(&second.unwrap(), 1).await;
}

/// Rows whose claim succeeded and whose next statement fails, which is how a starving worker used to pile them up.
#[tokio::test(flavor = "multi_thread")]
async fn claims_that_fail_halfway_pile_nothing_up() {
    let rig = Rig::new();
    let (_worker, client) = (rig.worker().await, rig.client().await);
    rig.database.psql(
        "create sequence rounds; create function refuse() returns trigger language plpgsql as 'begin \
         perform nextval(''rounds''); raise exception ''not now''; end'; \
         create trigger refuse before update of owner_xid on dbos.workflow_status for each row execute function refuse()",
    );
    let ids = submit(&client, 20).await;
    eventually("ten failing rounds", || {
        let looked = rig.database.psql(
            "select last_value, (select count(*) from dbos.workflow_status where status = 'PENDING') from rounds",
        );
        let (rounds, pending) = looked.trim().split_once('|').unwrap();
        assert!(pending.parse::<u32>().unwrap() <= 1, "rows pile up");
        rounds.parse::<u32>().unwrap() >= 10
    });
    rig.database.psql("drop trigger refuse on dbos.workflow_status");
    let ended = outcomes(&client, ids).await;
    assert!(ended.iter().all(|outcome| outcome.state == State::Succeeded));
    let claims = "select max(recovery_attempts) from dbos.workflow_status";
    assert_eq!(rig.database.psql(claims).trim(), "1");
}

/// Four workers in turn are killed while they have the job and cannot begin it.
#[tokio::test(flavor = "multi_thread")]
async fn a_job_that_never_began_counts_no_deaths() {
    let rig = Rig::new();
    let client = rig.client().await;
    rig.hang_before_bodies("true");
    let id = client.submit_job(echo(10)).await.unwrap();
    for _ in 0..4 {
        let mut process = rig.worker_process("test-host");
        let count = format!("{BEGINNING} and state = 'active'");
        eventually("a body about to begin", || rig.count(&count) == 1);
        process.kill();
        // The server would go on with it until the row is let go of.
        let end = format!("select count(pg_terminate_backend(pid)) from {BEGINNING}");
        eventually("its end", || rig.database.psql(&end).trim() == "0");
    }
    rig.database.psql("delete from hanging");
    let worker = rig.worker().await;
    assert_eq!(outcome(&client, &id).await.state, State::Succeeded);
    worker.drain(Duration::ZERO).await;
}

/// Bodies that began and died count, also after claims that did not begin.
#[tokio::test(flavor = "multi_thread")]
async fn only_bodies_that_began_count_as_deaths() {
    let rig = Rig::new();
    let client = rig.client().await;
    let token = "'0193a5a0-0000-7000-8000-000000000000'";
    for (id, owner, claims) in [
        ("began", token, "4"),
        ("claimed", "null", "3"),
        ("settled", "'abaci 3'", "3"),
    ] {
        rig.enqueue_claimed(id, Echoes::WORKFLOW, "gone/0");
        rig.database.psql(&format!(
            "update dbos.workflow_status set owner_xid = {owner}, recovery_attempts = {claims} where workflow_uuid = '{id}'"
        ));
    }
    let worker = rig.worker().await;
    for (id, state, claims) in [
        ("began", State::Parked, "5"),
        ("claimed", State::Succeeded, "3"),
        ("settled", State::Parked, "4"),
    ] {
        let ended = outcome(&client, &JobId::new(id)).await;
        assert_eq!(ended.state, state, "{id}: {ended:?}");
        let count =
            format!("select recovery_attempts from dbos.workflow_status where workflow_uuid = '{id}'");
        assert_eq!(rig.database.psql(&count).trim(), claims, "{id}");
    }
    worker.drain(Duration::ZERO).await;
}

/// Somebody holds the row of one job; the worker has four connections, and the others still go through.
#[tokio::test(flavor = "multi_thread")]
async fn a_locked_row_holds_up_its_own_job_only() {
    let rig = Rig::new();
    let settings = WorkerSettings {
        concurrency: 2,
        max_connections: Some(4),
        ..rig.settings()
    };
    let client = rig.client().await;
    let locked = JobId::new("locked");
    client.submit_job(echo_as(locked.clone(), 10)).await.unwrap();
    rig.hang_before_bodies("new.workflow_uuid = 'locked'");
    let worker = Worker::start(settings).await.unwrap();
    let stuck = format!("{BEGINNING} and state = 'active'");
    let mut most = 0;
    // Longer than the bound of one attempt, so that there are several.
    let until = Instant::now() + Duration::from_secs(20);
    while Instant::now() < until {
        let id = client.submit_job(echo(20)).await.unwrap();
        assert_eq!(outcome(&client, &id).await.state, State::Succeeded);
        most = most.max(rig.count(&stuck));
    }
    assert!((1..=3).contains(&most), "{most} sessions wait for one row");
    rig.database.psql("delete from hanging");
    assert_eq!(outcome(&client, &locked).await.state, State::Succeeded);
    worker.drain(Duration::ZERO).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_start_without_a_place_for_its_engine_leaves_nothing() {
    let rig = Rig::new();
    let role = Role::new(&rig, 20);
    client(role.url(), DEADLINE).await.unwrap().close().await;
    eventually("the end of its session", || role.used() == 0);
    // Places are taken after the worker has counted, as by somebody faster: the engine gets two connections of three.
    rig.database.psql(&format!(
        "create function take() returns trigger language plpgsql security definer as 'begin \
         alter role {} connection limit 7; return new; end'; \
         create trigger take before insert on abaci.presence for each row execute function take()",
        role.name
    ));
    let settings = WorkerSettings {
        concurrency: 3,
        ..role.worker("a")
    };
    let error = Worker::start(settings.clone()).await.err().unwrap();
    let said = error.to_string();
    assert!(said.contains("too many connections for role"), "{said}");
    eventually("the end of its sessions", || role.used() == 0);
    rig.database.psql("drop trigger take on abaci.presence");
    role.limit(20);
    let worker = Worker::start(settings).await.unwrap();
    worker.drain(Duration::ZERO).await;
}

/// Twelve clients fill all places of a role and wait; then a worker starts.
#[tokio::test(flavor = "multi_thread")]
async fn waiting_clients_leave_a_place_for_a_worker() {
    let rig = Rig::new();
    let role = Role::new(&rig, 6);
    let first = client(role.url(), DEADLINE).await.unwrap();
    let id = first.submit_job(echo(30)).await.unwrap();
    first.close().await;
    let waits: Vec<_> = (0..12)
        .map(|_| {
            let (url, id) = (role.url(), id.clone());
            tokio::spawn(async move {
                let client = client(url, DEADLINE).await.unwrap();
                let ended = outcome(&client, &id).await;
                client.close().await;
                ended.state
            })
        })
        .collect();
    eventually("a role without places", || role.used() == 6);
    let begun = Instant::now();
    let worker = loop {
        match Worker::start(role.worker("a")).await {
            Ok(worker) => break worker,
            Err(error) => assert!(begun.elapsed() < DEADLINE, "{error}"),
        }
    };
    for wait in waits {
        assert_eq!(wait.await.unwrap(), State::Succeeded);
    }
    worker.drain(Duration::ZERO).await;
}
