//! Databases as people have them: of another application, read-only, in another encoding, behind a pooler.

use std::time::{Duration, Instant};

use durable_jobs::client::ClientSettings;
use durable_jobs::database::{Tables, inspect};
use durable_jobs::record::Details;
use durable_jobs::worker::Loss;
use durable_jobs::{Client, Error, Worker};
use testkit::{PoolMode, Pooler, PrivateServer, TempDir, TestDatabase};

use crate::rig::{DEADLINE, Rig, client_settings, done, echo, outcome, worker_settings};

/// The longest that a worker keeps sessions that cannot write any more.
const ROLE_FLIP: Duration = Duration::from_secs(10);

async fn connect(url: &str, tables: Tables) -> Result<Client, Error> {
    let settings = ClientSettings {
        tables,
        ..client_settings(url)
    };
    Client::connect(settings).await
}

async fn start(url: &str) -> Result<Worker, Error> {
    let artifacts = TempDir::new();
    Worker::start(worker_settings(url, "test-host", artifacts.path())).await
}

#[track_caller]
fn assert_says(error: &Error, words: &[&str]) {
    let said = error.to_string();
    for word in words {
        assert!(said.contains(word), "{word:?} is not in: {said}");
    }
}

/// The schemas that somebody has made.
fn schemas(database: &TestDatabase) -> String {
    let names = "select string_agg(nspname, ' ' order by nspname) from pg_namespace where nspname in ('abaci', 'dbos')";
    database.psql(names).trim().to_owned()
}

/// Makes the database one that another application has used with an older version of the engine.
fn belongs_to_another(database: &TestDatabase, version: i64) {
    database.psql(&format!(
        "create schema dbos; create table dbos.dbos_migrations (version bigint primary key); \
         insert into dbos.dbos_migrations values ({version})"
    ));
}

#[tokio::test(flavor = "multi_thread")]
async fn looking_makes_no_tables() {
    let database = TestDatabase::create();
    let error = connect(database.url(), Tables::Expect).await.err().unwrap();
    assert!(matches!(error, Error::NoTables { .. }), "{error:?}");
    let report = inspect(database.url(), DEADLINE).await.unwrap();
    assert_eq!((report.schema_version, report.has_own_tables), (None, false));
    assert_eq!(schemas(&database), "");
    connect(database.url(), Tables::Make).await.unwrap();
    assert_eq!(schemas(&database), "abaci dbos");
    connect(database.url(), Tables::Expect).await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn tables_of_another_application_stay_as_they_are() {
    let database = TestDatabase::create();
    belongs_to_another(&database, 1);
    let refusals = [
        connect(database.url(), Tables::Make).await.err(),
        start(database.url()).await.err(),
    ];
    for error in refusals {
        assert_says(&error.unwrap(), &["version 1", "Tables::Update"]);
    }
    let version = "select max(version) from dbos.dbos_migrations";
    assert_eq!(database.psql(version).trim(), "1");
    assert_eq!(schemas(&database), "dbos");
}

#[tokio::test(flavor = "multi_thread")]
async fn tables_of_another_application_are_updated_when_told() {
    let database = TestDatabase::create();
    connect(database.url(), Tables::Make).await.unwrap();
    // As another application on the version before has left it.
    database.psql(
        "drop schema abaci cascade; delete from dbos.dbos_migrations; insert into dbos.dbos_migrations values (107)",
    );
    let error = connect(database.url(), Tables::Make).await.err().unwrap();
    assert!(
        matches!(error, Error::SchemaOlder { found: 107, .. }),
        "{error:?}"
    );
    connect(database.url(), Tables::Update).await.unwrap();
    assert_eq!(schemas(&database), "abaci dbos");
}

#[tokio::test(flavor = "multi_thread")]
async fn tables_that_a_killed_start_left_half_made_are_completed() {
    let database = TestDatabase::create();
    connect(database.url(), Tables::Make).await.unwrap();
    database.psql(
        "drop schema abaci cascade; create schema abaci; \
         delete from dbos.dbos_migrations; insert into dbos.dbos_migrations values (107)",
    );
    let error = connect(database.url(), Tables::Expect).await.err().unwrap();
    assert!(matches!(error, Error::NoTables { .. }), "{error:?}");
    connect(database.url(), Tables::Make).await.unwrap();
    connect(database.url(), Tables::Expect).await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn an_encoding_other_than_utf_8_is_refused() {
    let database = TestDatabase::create();
    let latin = format!("{}_latin", database.name());
    database.psql(&format!(
        "create database {latin} encoding 'LATIN1' locale 'C' template template0"
    ));
    let url = database.url().replace(database.name(), &latin);
    let error = connect(&url, Tables::Make).await.err().unwrap();
    assert_says(&error, &["LATIN1", "UTF8"]);
    assert!(matches!(error, Error::Unsuitable { .. }), "{error:?}");
    database.psql(&format!("drop database {latin} with (force)"));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_read_only_server_is_an_outage_for_who_writes() {
    let rig = Rig::new();
    rig.client().await;
    let name = rig.database.name();
    rig.database.psql(&format!(
        "alter database {name} set default_transaction_read_only = on"
    ));
    let error = Worker::start(rig.settings()).await.err().unwrap();
    assert!(matches!(error, Error::Unreachable { .. }), "{error:?}");
    assert_says(&error, &["read-only"]);
    connect(rig.database.url(), Tables::Expect).await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_worker_gives_up_sessions_that_cannot_write() {
    let server = PrivateServer::new();
    let url = server.create_database("jobs");
    let worker = start(&url).await.unwrap();
    // As after a managed failover: what is connected stays so and reads, what connects anew can write.
    server.psql(
        "jobs",
        "alter database jobs set default_transaction_read_only = off",
    );
    server.psql("jobs", "alter system set default_transaction_read_only = on");
    let flipped = Instant::now();
    server.psql("jobs", "select pg_reload_conf()");
    let loss = tokio::time::timeout(ROLE_FLIP, worker.lost())
        .await
        .expect("the worker keeps its sessions");
    assert!(
        matches!(&loss, Loss::ExecutorId(reason) if reason.contains("cannot write")),
        "{loss}"
    );
    println!("given up after {:?}", flipped.elapsed());
    worker.discard().await.unwrap();
    let successor = start(&url).await.unwrap();
    let client = Client::connect(client_settings(&url)).await.unwrap();
    let id = client.submit_job(echo(30)).await.unwrap();
    assert_eq!(done(outcome(&client, &id).await).number, 30);
    successor.drain(Duration::ZERO).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_pooler_in_transaction_mode_is_refused() {
    let database = TestDatabase::create();
    let pooler = Pooler::start(database.url(), PoolMode::Transaction);
    let refusals = [
        start(pooler.url()).await.err(),
        inspect(pooler.url(), DEADLINE).await.err(),
    ];
    for error in refusals {
        let error = error.unwrap();
        assert!(matches!(error, Error::Unsuitable { .. }), "{error:?}");
        assert_says(&error, &["pooler", "session mode"]);
    }
    assert_eq!(schemas(&database), "", "something was made all the same");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_pooler_in_session_mode_serves() {
    let database = TestDatabase::create();
    let pooler = Pooler::start(database.url(), PoolMode::Session);
    let worker = start(pooler.url()).await.unwrap();
    assert_eq!(worker.drain(Duration::ZERO).await.handed_back, 0);
}

/// A role that may log in and has these rights on what the owner has made; dropped with the database.
fn role_with(rig: &Rig, rights: &str) -> String {
    let name = format!("{}_guest", rig.database.name());
    rig.database.psql(&format!(
        "create role {name} login; grant usage on schema dbos, abaci to {name}; \
         grant {rights} on all tables in schema dbos, abaci to {name}"
    ));
    rig.database
        .url()
        .replace("user=postgres", &format!("user={name}"))
}

/// Takes the role away again, which outlives its database otherwise.
fn drop_role(rig: &Rig) {
    let name = format!("{}_guest", rig.database.name());
    rig.database.psql(&format!(
        "select pg_terminate_backend(pid) from pg_stat_activity where usename = '{name}'; \
         drop owned by {name}; drop role {name}"
    ));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_role_without_ddl_serves_tables_that_are_there() {
    let rig = Rig::new();
    rig.client().await.close().await;
    let url = role_with(&rig, "select, insert, update, delete");
    let worker = Worker::start(worker_settings(&url, "test-host", rig.artifacts.path()))
        .await
        .unwrap();
    let client = connect(&url, Tables::Make).await.unwrap();
    let id = client.submit_job(echo(90)).await.unwrap();
    assert_eq!(done(outcome(&client, &id).await).number, 90);
    client.cancel(&id).await.unwrap();
    worker.drain(Duration::ZERO).await;
    client.close().await;
    drop_role(&rig);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_role_that_only_reads_looks_and_writes_nothing() {
    let rig = Rig::new();
    let owner = rig.client().await;
    let id = owner.submit_job(echo(90)).await.unwrap();
    let url = role_with(&rig, "select");
    let client = connect(&url, Tables::Expect).await.unwrap();
    let shown = client.show(&id).await.unwrap().job;
    assert_eq!(shown.details, Details::default().with("number", 90));
    client.workers().await.unwrap();
    let refusals = [client.submit_job(echo(1)).await.err(), start(&url).await.err()];
    for error in refusals {
        assert_says(&error.unwrap(), &["permission denied for"]);
    }
    client.close().await;
    drop_role(&rig);
}
