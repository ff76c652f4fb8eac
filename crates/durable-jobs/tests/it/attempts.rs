//! The starts of jobs after the fact: each one's worker, process and end, and none for a job without trouble.

use std::time::Duration;

use durable_jobs::client::ResumeOptions;
use durable_jobs::record::{Attempt, AttemptEndKind};
use durable_jobs::{Client, Error, JobId, JobType, State};
use testkit::{Process, eventually};

use crate::rig::{ENDLESS, Rig, echo, lasting, outcome, submit_busy, submit_to};
use crate::types::{Echoes, Spin};

/// The worker, its process and the end of each start.
fn ends(attempts: &[Attempt]) -> Vec<(&str, Option<u32>, String)> {
    let end = |attempt: &Attempt| attempt.end.as_ref().map_or_else(String::new, ToString::to_string);
    attempts
        .iter()
        .map(|attempt| (&*attempt.executor_id, attempt.pid, end(attempt)))
        .collect()
}

/// Asserts that the starts follow one another, and returns them.
async fn attempts_of(client: &Client, id: &JobId) -> Vec<Attempt> {
    let attempts = client.attempts(id).await.unwrap();
    for (attempt, number) in attempts.iter().zip(1..) {
        assert_eq!(attempt.number, number, "{attempts:?}");
        assert!(
            attempt
                .ended_at_ms
                .is_none_or(|ended| ended >= attempt.started_at_ms),
            "{attempt:?}"
        );
    }
    assert!(
        attempts.is_sorted_by_key(|attempt| attempt.started_at_ms),
        "{attempts:?}"
    );
    attempts
}

impl Rig {
    /// Waits until a worker's body of the job has begun.
    fn begun(&self, id: &JobId, executor_id: &str) {
        let held = format!(
            "select count(*) from dbos.workflow_status where workflow_uuid = '{id}' and status = 'PENDING' \
             and executor_id = '{executor_id}' and substr(owner_xid, 15, 1) = '7'"
        );
        eventually("the body to begin", || self.database.psql(&held).trim() == "1");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_job_without_trouble_leaves_no_row_and_one_attempt() {
    let rig = Rig::new();
    let (worker, client) = (rig.worker().await, rig.client().await);
    let id = submit_to(&worker, &client, lasting(300)).await;
    let running = attempts_of(&client, &id).await;
    let pid = Some(std::process::id());
    assert_eq!(ends(&running), [("test-host/0", pid, String::new())]);
    assert_eq!(running[0].host.as_deref(), Some("test-host"));
    outcome(&client, &id).await;
    let attempts = attempts_of(&client, &id).await;
    assert_eq!(ends(&attempts), [("test-host/0", pid, "succeeded".to_owned())]);
    assert_eq!(rig.count("abaci.attempts"), 0, "a job without trouble cost a row");
    let unknown = client.attempts(&JobId::new("unknown")).await;
    assert!(matches!(unknown, Err(Error::NotFound { .. })), "{unknown:?}");
    rig.enqueue_foreign("waits", "unknown_type", "1");
    assert_eq!(client.attempts(&JobId::new("waits")).await.unwrap(), []);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_killed_worker_that_restarts_leaves_its_process() {
    let rig = Rig::new();
    let client = rig.client().await;
    let mut first = rig.worker_process("test-host");
    let id = client.submit_job(lasting(ENDLESS)).await.unwrap();
    rig.begun(&id, "test-host/0");
    first.kill();
    let second = rig.worker_process("test-host");
    rig.begun(&id, "test-host/0");
    let attempts = attempts_of(&client, &id).await;
    assert_eq!(
        ends(&attempts),
        [
            ("test-host/0", Some(first.pid()), "worker gone".to_owned()),
            ("test-host/0", Some(second.pid()), String::new()),
        ]
    );
    client.cancel(&id).await.unwrap();
    let cancelled = attempts_of(&client, &id).await;
    assert_eq!(
        ends(&cancelled)[1],
        ("test-host/0", Some(second.pid()), "cancelled".to_owned())
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_worker_killed_elsewhere_is_gone_since_its_last_beat() {
    let rig = Rig::new();
    let client = rig.client().await;
    let mut remote = rig.worker_process("other-host");
    let id = client.submit_job(lasting(ENDLESS)).await.unwrap();
    rig.begun(&id, "other-host/0");
    let _local = rig.worker().await;
    remote.kill();
    rig.begun(&id, "test-host/0");
    let attempts = attempts_of(&client, &id).await;
    assert_eq!(
        ends(&attempts),
        [
            ("other-host/0", Some(remote.pid()), "worker gone".to_owned()),
            ("test-host/0", Some(std::process::id()), String::new()),
        ]
    );
    let silence = attempts[1].started_at_ms - attempts[0].ended_at_ms.unwrap();
    assert!(silence >= 8_000, "ended {silence} ms before the next one began");
    client.cancel(&id).await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_drain_a_death_and_a_resume_stay_visible() {
    let rig = Rig::new();
    let (first, client) = (rig.worker().await, rig.client().await);
    let id = submit_to(&first, &client, lasting(ENDLESS)).await;
    first.drain(Duration::ZERO).await;
    let pid = Some(std::process::id());
    let handed_back = ("test-host/0", pid, "handed back in a drain".to_owned());
    assert_eq!(
        ends(&attempts_of(&client, &id).await),
        std::slice::from_ref(&handed_back)
    );
    let second = rig.worker().await;
    rig.begun(&id, "test-host/0");
    client.cancel(&id).await.unwrap();
    let cancelled = ("test-host/0", pid, "cancelled".to_owned());
    client.resume(&id, ResumeOptions::default()).await.unwrap();
    rig.begun(&id, "test-host/0");
    assert_eq!(
        ends(&attempts_of(&client, &id).await),
        [handed_back, cancelled, ("test-host/0", pid, String::new())]
    );
    client.cancel(&id).await.unwrap();
    second.drain(Duration::from_secs(5)).await;
    client.delete_all(std::slice::from_ref(&id)).await.unwrap();
    assert_eq!(rig.count("abaci.attempts"), 0, "the starts outlived their job");
}

/// Waits for the end of a job, and kills whatever its worker computes it with until then.
async fn kill_until_parked(rig: &Rig, client: &Client, id: &JobId) {
    for _ in 0..3 {
        let mut worker = rig.worker_process("test-host");
        rig.begun(id, "test-host/0");
        worker.kill();
    }
    let last: Process = rig.worker_process("test-host");
    assert_eq!(outcome(client, id).await.state, State::Parked);
    drop(last);
}

#[tokio::test(flavor = "multi_thread")]
async fn three_deaths_park_a_job_and_all_of_them_are_kept() {
    let rig = Rig::new();
    let client = rig.client().await;
    let id = client.submit_job(lasting(ENDLESS)).await.unwrap();
    kill_until_parked(&rig, &client, &id).await;
    let parked = attempts_of(&client, &id).await;
    let kinds = |attempts: &[Attempt]| -> Vec<AttemptEndKind> {
        let ends = attempts.iter().filter_map(|attempt| attempt.end.as_ref());
        ends.map(|end| end.kind.clone()).collect()
    };
    let gone = AttemptEndKind::WorkerGone;
    let expected = [gone.clone(), gone.clone(), gone, AttemptEndKind::Parked];
    assert_eq!(kinds(&parked), expected);
    client.resume(&id, ResumeOptions::default()).await.unwrap();
    let resumed = attempts_of(&client, &id).await;
    assert_eq!(resumed[..4], parked, "a resume changed what was");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_process_that_dies_is_an_attempt_of_its_worker() {
    let rig = Rig::new();
    let (client, worker) = (rig.client().await, rig.worker_process("test-host"));
    let hungry = Spin {
        bytes: 256 << 20,
        ms: 0,
    };
    let id = submit_busy(&client, 1, hungry).await;
    assert_eq!(outcome(&client, &id).await.state, State::Parked);
    let attempts = attempts_of(&client, &id).await;
    let (kinds, pids): (Vec<String>, Vec<Option<u32>>) = ends(&attempts)
        .into_iter()
        .map(|(_, pid, end)| (end.split(':').next().unwrap().to_owned(), pid))
        .unzip();
    assert_eq!(kinds, ["its process died", "its process died", "parked"]);
    assert_eq!(pids, [Some(worker.pid()); 3]);
    client.resume(&id, ResumeOptions::default()).await.unwrap();
    assert_eq!(client.attempts(&id).await.unwrap()[..3], attempts);
}

#[tokio::test(flavor = "multi_thread")]
async fn of_a_thousand_starts_the_last_hundred_are_kept() {
    let rig = Rig::new();
    let client = rig.client().await;
    rig.enqueue_foreign("restless", Echoes::WORKFLOW, "10");
    rig.database.psql(
        "do $$ begin for i in 1..1000 loop \
         update dbos.workflow_status set status = 'PENDING', executor_id = 'far/1', recovery_attempts = 1, \
             started_at_epoch_ms = i, owner_xid = '01890a5d-ac96-774b-bcce-b302099a8057'; \
         update dbos.workflow_status set status = 'ENQUEUED', recovery_attempts = 0, started_at_epoch_ms = null; \
         end loop; end $$",
    );
    let attempts = client.attempts(&JobId::new("restless")).await.unwrap();
    let numbers: Vec<u32> = attempts.iter().map(|attempt| attempt.number).collect();
    assert_eq!(numbers, (901..=1000).collect::<Vec<_>>());
    assert!(attempts.iter().all(|attempt| attempt.pid.is_none()));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_client_without_rights_on_our_schema_still_cancels() {
    let rig = Rig::new();
    let (worker, client) = (rig.worker().await, rig.client().await);
    let id = submit_to(&worker, &client, lasting(ENDLESS)).await;
    let role = format!("stranger_{}", std::process::id());
    rig.database.psql(&format!(
        "create role {role}; grant usage on schema dbos to {role}; \
         grant select, update on dbos.workflow_status to {role}; set role {role}; \
         update dbos.workflow_status set status = 'CANCELLED', started_at_epoch_ms = null where workflow_uuid = '{id}'; \
         reset role; drop owned by {role}; drop role {role}"
    ));
    let attempts = attempts_of(&client, &id).await;
    assert_eq!(ends(&attempts)[0].2, "cancelled");
    // A job that ends is nobody's start any more.
    let next = client.submit_job(echo(1)).await.unwrap();
    assert_eq!(outcome(&client, &next).await.state, State::Succeeded);
}
