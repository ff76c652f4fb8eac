//! The rule by which a worker counts as living, and the time until a killed one does not.

use std::time::{Duration, Instant};

use durable_jobs::Client;
use durable_jobs::client::ClientSettings;
use durable_jobs::presence::Presence;
use testkit::{Signal, eventually};
use tokio::runtime::Handle;

use crate::rig::{Rig, client_settings};

/// Bounds the time until a killed worker stops counting where its process can be looked for.
const SOON: Duration = Duration::from_secs(2);

/// The same where only the database tells: three seconds after its last heartbeat, which may have been its last deed.
const LATER: Duration = Duration::from_secs(5);

/// Asks for the one worker from the middle of a wait, which is not async.
fn the_worker(client: &Client) -> Presence {
    let workers = tokio::task::block_in_place(|| Handle::current().block_on(client.workers())).unwrap();
    let [worker] = &workers[..] else {
        panic!("not one row: {workers:#?}")
    };
    worker.clone()
}

/// Kills a worker and returns after what time a client that takes itself to be on `host` stops counting it.
async fn counted_for(host: Option<&str>) -> Duration {
    let rig = Rig::new();
    let client = Client::connect(ClientSettings {
        host: host.map(str::to_owned),
        ..client_settings(rig.database.url())
    });
    let client = client.await.unwrap();
    let mut process = rig.worker_process("test-host");
    let worker = the_worker(&client);
    assert!(worker.is_live() && worker.connected, "{worker:#?}");
    process.kill();
    let killed = Instant::now();
    eventually("the end of its count", || !the_worker(&client).is_live());
    killed.elapsed()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_killed_worker_of_this_host_stops_counting_at_once() {
    let took = counted_for(Some("test-host")).await;
    assert!(took < SOON, "it counted for {took:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_killed_worker_of_another_host_stops_counting_in_seconds() {
    for host in [None, Some("another-host")] {
        let took = counted_for(host).await;
        assert!(took < LATER, "to {host:?} it counted for {took:?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_worker_whose_connection_broke_counts_and_is_back() {
    let rig = Rig::new();
    let (client, process) = (rig.client().await, rig.worker_process("test-host"));
    // So that it is not back before anybody has looked.
    process.signal(Signal::STOP);
    rig.database.psql(
        "select pg_terminate_backend(pid) from pg_locks where locktype = 'advisory' and objsubid = 1 \
         and database = (select oid from pg_database where datname = current_database()); \
         update abaci.presence set heartbeat_at = now()",
    );
    let cut = eventually("the end of its session", || {
        Some(the_worker(&client)).filter(|worker| !worker.connected)
    });
    assert!(cut.is_live() || cut.heartbeat_age_seconds > 3.0, "{cut:#?}");
    process.signal(Signal::CONT);
    eventually("its return", || {
        let worker = the_worker(&client);
        worker.connected && worker.is_live()
    });
}

#[tokio::test(flavor = "multi_thread")]
async fn lock_and_heartbeat_decide_together_who_counts() {
    let rig = Rig::new();
    let client = rig.client().await;
    for (age_seconds, is_held, is_live) in [
        (0, false, true),
        (4, false, false),
        (4, true, true),
        (9, true, true),
        (11, true, false),
    ] {
        let mut session = None;
        if is_held {
            session = Some(rig.session_of("h/0").await);
        }
        rig.database.psql(&format!(
            "delete from abaci.presence; \
             insert into abaci.presence (executor_id, incarnation, host, pid, application_version, queue, concurrency, \
             heartbeat_at) values ('h/0', 'i', 'h', 1, 'test-1', 'default', 1, now() - interval '{age_seconds} s')"
        ));
        let worker = the_worker(&client);
        assert_eq!(
            (worker.connected, worker.is_live()),
            (is_held, is_live),
            "{worker:#?}"
        );
        if let Some(session) = session {
            sqlx::Connection::close(session).await.unwrap();
        }
    }
}
