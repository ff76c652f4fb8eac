//! The database goes away and comes back.

use std::collections::BTreeSet;
use std::time::{Duration, Instant};

use durable_jobs::client::{SubmitOptions, WaitEvent};
use durable_jobs::{Client, Error, Worker};
use testkit::{PrivateServer, TempDir, eventually};

use crate::rig::{DEADLINE, Rig, client_settings, done, lasting, worker_settings};

const OUTAGE: Duration = Duration::from_secs(30);

#[tokio::test(flavor = "multi_thread")]
async fn an_outage_of_thirty_seconds_costs_no_job() {
    let mut server = PrivateServer::new();
    let url = server.create_database("jobs");
    let artifacts = TempDir::new();
    let settings = worker_settings(&url, "test-host", artifacts.path());
    let worker = Worker::start(settings).await.unwrap();
    let client = Client::connect(client_settings(&url)).await.unwrap();
    let jobs: Vec<_> = (0..20).map(|number| lasting(20 + number)).collect();
    client.submit_all(&jobs, SubmitOptions::default()).await.unwrap();
    eventually("a job to run", || !worker.running().is_empty());
    server.stop_immediate();
    let outage = tokio::task::spawn_blocking(move || {
        // The length of the outage is the subject of the test.
        std::thread::sleep(OUTAGE);
        server.start();
        server
    });
    let mut waiter = client.wait(jobs.iter().map(|job| job.id.clone()));
    let (mut numbers, mut was_lost, mut was_back) = (BTreeSet::new(), false, false);
    let all = async {
        while let Some(event) = waiter.next().await {
            match event {
                WaitEvent::DatabaseLost { .. } => was_lost = true,
                WaitEvent::DatabaseBack => was_back = true,
                WaitEvent::Finished(outcome) => assert!(numbers.insert(done(outcome).number)),
                _ => {}
            }
        }
    };
    tokio::time::timeout(3 * DEADLINE, all)
        .await
        .expect("the jobs did not end after the outage");
    assert_eq!((numbers, was_lost, was_back), ((20..40).collect(), true, true));
    let _server = outage.await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_database_that_is_not_there_is_an_error_and_not_a_wait() {
    let mut server = PrivateServer::new();
    let url = server.create_database("jobs");
    server.stop();
    let error = Client::connect(client_settings(&url)).await.err().unwrap();
    assert!(matches!(error, Error::Unreachable { .. }), "{error}");
}

/// Does `action` in the middle of the statement of a start that inserts into `table`.
fn strike(rig: &Rig, table: &str, action: &str) {
    rig.database.psql(&format!(
        "create or replace function strike() returns trigger language plpgsql as 'begin {action}; return new; end'; \
         create trigger strike before insert on {table} for each row execute function strike()"
    ));
}

#[tokio::test(flavor = "multi_thread")]
async fn only_a_broken_connection_makes_a_start_an_outage() {
    let rig = Rig::new();
    rig.client().await.close().await;
    for table in ["abaci.names", "abaci.presence"] {
        strike(&rig, table, "perform pg_terminate_backend(pg_backend_pid())");
        let error = Worker::start(rig.settings()).await.err().unwrap();
        assert!(matches!(error, Error::Unreachable { .. }), "{table}: {error:?}");
        rig.database.psql(&format!("drop trigger strike on {table}"));

        strike(&rig, table, "raise exception ''not here''");
        let error = Worker::start(rig.settings()).await.err().unwrap();
        assert!(
            matches!(&error, Error::Database { reason, .. } if reason.contains("not here")),
            "{table}: {error:?}"
        );
        rig.database.psql(&format!("drop trigger strike on {table}"));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_connection_that_breaks_in_a_migration_is_an_outage() {
    let rig = Rig::new();
    rig.client().await.close().await;
    rig.database.psql(
        "create function strike() returns event_trigger language plpgsql as \
         'begin perform pg_terminate_backend(pg_backend_pid()); end'",
    );
    let ours = "alter table abaci.presence drop column running";
    let engines = "update dbos.dbos_migrations set version = version - 1";
    for (missing, statements) in [(ours, "when tag in ('ALTER TABLE')"), (engines, "")] {
        rig.database.psql(missing);
        rig.database.psql(&format!(
            "create event trigger strike on ddl_command_start {statements} execute function strike()"
        ));
        let error = Worker::start(rig.settings()).await.err().unwrap();
        assert!(matches!(error, Error::Unreachable { .. }), "{missing}: {error:?}");
        rig.database.psql("drop event trigger strike");
        rig.worker().await.drain(Duration::ZERO).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_start_whose_questions_hang_leaves_no_session_behind() {
    let rig = Rig::new();
    rig.client().await.close().await;
    let lock = rig.database.lock("abaci.presence");
    let begun = Instant::now();
    let start = tokio::time::timeout(DEADLINE, Worker::start(rig.settings()));
    let error = start.await.expect("the start hangs").err().unwrap();
    let waited = begun.elapsed();
    assert!(
        matches!(&error, Error::Unreachable { reason, .. } if reason.contains("no answer within")),
        "{error:?}"
    );
    assert!(
        waited < Duration::from_secs(14),
        "it was given up after {waited:?}"
    );
    // Else each attempt would leave a session that waits for the lock and holds the executor id.
    eventually("the end of the session that was given up", || {
        rig.sessions("abaci%") == 0
    });
    drop(lock);
    assert_eq!(rig.worker().await.executor_id(), "test-host/0");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_newer_schema_is_refused_by_name_and_left_as_it_is() {
    let server = PrivateServer::new();
    let url = server.create_database("jobs");
    Client::connect(client_settings(&url))
        .await
        .unwrap()
        .close()
        .await;
    server.psql("jobs", "update dbos.dbos_migrations set version = 126");
    let error = Client::connect(client_settings(&url)).await.err().unwrap();
    assert!(
        matches!(
            error,
            Error::SchemaNewer {
                found: 126,
                newest: 125,
                ..
            }
        ),
        "{error}"
    );
    assert_eq!(
        server
            .psql("jobs", "select version from dbos.dbos_migrations")
            .trim(),
        "126"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn many_first_starts_at_once_make_the_tables_once() {
    let server = PrivateServer::new();
    let url = server.create_database("jobs");
    let clients: Vec<_> = (0..8)
        .map(|_| tokio::spawn(Client::connect(client_settings(&url))))
        .collect();
    for client in clients {
        client.await.unwrap().unwrap().close().await;
    }
}
