//! Workers whose path to the database was cut without a word, while a pooler keeps their sessions.

use std::time::{Duration, Instant};

use durable_jobs::worker::{Slot, WorkerSettings};
use durable_jobs::{Client, Error, JobType, Worker};
use testkit::{CutPath, Deadline, PoolMode, Pooler, Process, Signal, eventually};

use crate::rig::{ENDLESS, Rig, client_settings, echo, lasting, outcome};
use crate::types::Echoes;

/// The bound of every such case.
const BOUND: Duration = Duration::from_secs(30);

/// The names of the sessions of workers, the engine's ones among them.
const WORKERS: &str = "abaci %";

/// A worker in a process of its own, and what stands between it and the database.
struct Pooled {
    process: Process,
    path: CutPath,
    _pooler: Pooler,
}

impl Rig {
    fn pooled_worker(&self, host: &str) -> Pooled {
        let pooler = Pooler::start(self.database.url(), PoolMode::Session);
        let path = CutPath::to(pooler.url());
        let process = Process::ready(self.worker_command(host, path.url()));
        Pooled {
            process,
            path,
            _pooler: pooler,
        }
    }

    fn slot_0_of(&self, host: &str) -> WorkerSettings {
        let mut settings = self.settings();
        settings.slot = Slot::Number(0);
        host.clone_into(&mut settings.host);
        settings
    }

    /// Which process runs the one job.
    fn runner(&self) -> String {
        let runner = "select coalesce(executor_id, '') from dbos.workflow_status where status = 'PENDING'";
        self.database.psql(runner).trim().to_owned()
    }
}

impl Pooled {
    /// Kills the worker behind a cut, so that its sessions stand.
    fn kill_unheard(&mut self) -> Instant {
        self.path.cut();
        self.process.kill();
        Instant::now()
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_start_ends_the_session_of_a_dead_process_and_has_the_id() {
    let rig = Rig::new();
    let mut dead = rig.pooled_worker("test-host");
    let killed = dead.kill_unheard();
    assert!(rig.sessions(WORKERS) > 3, "the pooler has let them go by itself");
    let successor = Worker::start(rig.slot_0_of("test-host")).await.unwrap();
    assert!(
        killed.elapsed() < Duration::from_secs(10),
        "{:?}",
        killed.elapsed()
    );
    successor.drain(Duration::ZERO).await;
    // Of the dead one nothing is left either.
    eventually("the end of all sessions", || rig.sessions(WORKERS) == 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_peer_of_the_same_host_ends_the_session_of_a_dead_process() {
    let rig = Rig::new();
    let client = rig.client().await;
    let mut dead = rig.pooled_worker("test-host");
    client.submit_job(lasting(ENDLESS)).await.unwrap();
    eventually("the claim", || rig.runner() == "test-host/0");
    let _peer = rig.worker().await;
    let killed = dead.kill_unheard();
    let soon = Deadline::after(Duration::from_secs(10));
    soon.eventually("the takeover", || rig.runner() == "test-host/1");
    assert!(
        killed.elapsed() < Duration::from_secs(10),
        "{:?}",
        killed.elapsed()
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_peer_of_another_host_takes_over_within_thirty_seconds() {
    let rig = Rig::new();
    let client = rig.client().await;
    let mut dead = rig.pooled_worker("other-host");
    let id = client.submit_job(lasting(ENDLESS)).await.unwrap();
    eventually("the claim", || rig.runner() == "other-host/0");
    let peer = rig.worker().await;
    let killed = dead.kill_unheard();
    Deadline::after(BOUND).eventually("the takeover", || rig.runner() == "test-host/0");
    let waited = killed.elapsed();
    assert!(waited > Duration::from_secs(16), "it was taken after {waited:?}");
    client.cancel(&id).await.unwrap();
    outcome(&client, &id).await;
    peer.drain(Duration::ZERO).await;
    eventually("the end of all sessions", || rig.sessions(WORKERS) == 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_session_that_cannot_be_judged_is_refused_by_name_or_ended() {
    let rig = Rig::new();
    let mut dead = rig.pooled_worker("test-host");
    // As of an older program, or of another container with this host's name.
    rig.database.psql("update abaci.presence set pid_space = null");
    let pid = dead.process.pid();
    let refused = Worker::start(rig.slot_0_of("test-host")).await.err().unwrap();
    assert!(
        matches!(&refused, Error::ExecutorTaken { pid: holder, .. } if *holder == pid),
        "{refused}"
    );
    dead.kill_unheard();
    let begun = Instant::now();
    let successor = Worker::start(rig.slot_0_of("test-host")).await.unwrap();
    let waited = begun.elapsed();
    assert!((Duration::from_secs(20)..BOUND).contains(&waited), "{waited:?}");
    successor.drain(Duration::ZERO).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_session_without_a_row_is_ended_when_it_stays() {
    let rig = Rig::new();
    let mut dead = rig.pooled_worker("test-host");
    // Its goodbye got through, and the end of its connection did not.
    dead.kill_unheard();
    rig.database.psql("delete from abaci.presence");
    rig.enqueue_claimed("held", Echoes::WORKFLOW, "test-host/0");
    let begun = Instant::now();
    let (by_start, peer) = tokio::join!(Worker::start(rig.slot_0_of("test-host")), rig.worker());
    by_start.unwrap();
    assert!(begun.elapsed() < BOUND, "{:?}", begun.elapsed());
    let ended = "dbos.workflow_status where status = 'SUCCESS'";
    eventually("the end of its job", || rig.count(ended) == 1);
    drop(peer);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stopped_process_that_is_seen_keeps_its_lock_and_its_job() {
    let rig = Rig::new();
    let client = rig.client().await;
    let stopped = rig.worker_process("test-host");
    let id = client.submit_job(lasting(ENDLESS)).await.unwrap();
    eventually("the claim", || rig.runner() == "test-host/0");
    let _peer = rig.worker().await;
    stopped.signal(Signal::STOP);
    // Longer than a silent worker out of sight has, with time for the peer's sweep.
    let age = "select extract(epoch from now() - heartbeat_at) > 23 from abaci.presence where executor_id like '%/0'";
    eventually("a long silence", || rig.database.psql(age).trim() == "t");
    assert_eq!(rig.runner(), "test-host/0", "its job was taken");
    stopped.signal(Signal::CONT);
    client.cancel(&id).await.unwrap();
    outcome(&client, &id).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_waiting_client_outlasts_a_cut() {
    let rig = Rig::new();
    let owner = rig.client().await;
    let id = owner.submit_job(echo(30)).await.unwrap();
    let path = CutPath::to(rig.database.url());
    let client = Client::connect(client_settings(path.url())).await.unwrap();
    let waiting = tokio::spawn({
        let (client, id) = (client.clone(), id.clone());
        async move { outcome(&client, &id).await }
    });
    // It asks at least every tenth of a second, so a question is under way or the next one meets the cut.
    eventually("a client that asks", || client_asks(&rig));
    path.cut();
    let cut = Instant::now();
    let worker = rig.worker().await;
    let ended = tokio::time::timeout(BOUND, waiting)
        .await
        .expect("the client hangs");
    assert_eq!(ended.unwrap().id, id);
    assert!(cut.elapsed() < BOUND, "{:?}", cut.elapsed());
    worker.drain(Duration::ZERO).await;
}

/// Tests whether a session has just been asked for the jobs that somebody waits for.
fn client_asks(rig: &Rig) -> bool {
    let asks = "pg_stat_activity where datname = current_database() \
        and query like 'select workflow_uuid, status from dbos.workflow_status%'";
    rig.count(asks) == 1
}
