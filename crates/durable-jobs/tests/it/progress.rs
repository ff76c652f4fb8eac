//! The progress of running jobs for clients, who have only the database.

use std::collections::HashMap;

use durable_jobs::client::CancelOutcome;
use durable_jobs::record::{Details, RunningJob};
use durable_jobs::{Client, JobId};
use testkit::eventually;
use tokio::runtime::Handle;

use crate::rig::{ENDLESS, Rig, echo, lasting, outcome};

/// A row of a worker that had `slow` in hand at its last heartbeat; no process has its number.
const FOREIGN_ROW: &str = "insert into abaci.presence (executor_id, incarnation, host, pid, application_version, queue, \
     concurrency, heartbeat_at, running) values ('EXECUTOR', 'x', 'elsewhere', 999999999, 'test-1', 'default', 1, \
     now() - interval 'AGE', '[{\"workflow_id\": \"slow\", \"step\": \"compute\", \"progress\": SHARE, \"seconds\": 7}]')";

fn write_row(rig: &Rig, executor: &str, age: &str, share: &str) {
    let row = FOREIGN_ROW
        .replace("EXECUTOR", executor)
        .replace("AGE", age)
        .replace("SHARE", share);
    rig.database.psql(&row);
}

/// Asks from the middle of a wait, which is not async.
fn ask(client: &Client, ids: &[JobId]) -> HashMap<JobId, RunningJob> {
    tokio::task::block_in_place(|| Handle::current().block_on(client.progress(ids))).unwrap()
}

fn told(rig: &Rig) -> String {
    rig.database.psql("select running from abaci.presence")
}

#[tokio::test(flavor = "multi_thread")]
async fn progress_grows_in_the_database_and_goes_with_the_job() {
    let rig = Rig::new();
    let (_worker, client) = (rig.worker().await, rig.client().await);
    let id = client.submit_job(lasting(ENDLESS)).await.unwrap();
    let ids = [JobId::new("another"), id.clone()];
    let look = || {
        ask(&client, &ids)
            .remove(&id)
            .filter(|job| job.progress.is_some())
    };
    let first = eventually("progress", look);
    assert_eq!(
        (
            &*first.workflow_id,
            &first.details,
            first.attempt,
            first.step.as_deref()
        ),
        (
            id.as_str(),
            &Details::default().with("ms", ENDLESS),
            Some(1),
            Some("last")
        )
    );
    let later = eventually("more progress", || {
        look().filter(|job| job.progress > first.progress)
    });
    assert!(later.seconds > first.seconds, "a job grew younger");
    assert_eq!(ask(&client, &[JobId::new("another")]), HashMap::new());

    assert_eq!(client.cancel(&id).await.unwrap(), CancelOutcome::Cancelled);
    eventually("the job to leave the row", || told(&rig) == "[]");
    assert_eq!(ask(&client, &ids), HashMap::new());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_short_job_is_never_told() {
    let rig = Rig::new();
    let (_worker, client) = (rig.worker().await, rig.client().await);
    rig.database.psql(
        "create table told as select running from abaci.presence; \
         create function note() returns trigger language plpgsql as \
         'begin insert into told values (new.running); return new; end'; \
         create trigger note after update on abaci.presence for each row execute function note()",
    );
    for n in 0..20 {
        let id = client.submit_job(echo(n)).await.unwrap();
        assert!(outcome(&client, &id).await.result.is_ok());
    }
    eventually("two beats", || {
        rig.database.psql("select count(*) >= 3 from told") == "t"
    });
    assert_eq!(rig.database.psql("select distinct running from told"), "[]");
}

#[tokio::test(flavor = "multi_thread")]
async fn the_word_of_a_silent_worker_is_not_believed() {
    let rig = Rig::new();
    let client = rig.client().await;
    let ids = [JobId::new("slow")];
    let _sessions = [
        rig.session_of("elsewhere/0").await,
        rig.session_of("elsewhere/1").await,
    ];
    write_row(&rig, "elsewhere/0", "11 seconds", "0.5");
    write_row(&rig, "elsewhere/2", "4 seconds", "0.5");
    assert_eq!(ask(&client, &ids), HashMap::new(), "a dead worker was believed");

    write_row(&rig, "elsewhere/1", "1 second", "0.25");
    let job = ask(&client, &ids).remove(&ids[0]).unwrap();
    assert_eq!((job.progress, job.details), (Some(0.25), Details::default()));
    assert!(
        job.seconds >= 8.0,
        "the heartbeat's age is missing: {}",
        job.seconds
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn of_two_workers_the_later_word_on_a_job_counts() {
    let rig = Rig::new();
    let client = rig.client().await;
    let ids = [JobId::new("slow")];
    let mut sessions = Vec::new();
    for (executor, age, share) in [
        ("elsewhere/1", "3 seconds", "0.5"),
        ("elsewhere/2", "1 second", "0.25"),
        ("elsewhere/3", "2 seconds", "0.75"),
    ] {
        sessions.push(rig.session_of(executor).await);
        write_row(&rig, executor, age, share);
    }
    assert_eq!(ask(&client, &ids)[&ids[0]].progress, Some(0.25));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_word_that_cannot_be_read_hides_no_other() {
    let rig = Rig::new();
    let client = rig.client().await;
    let ids = [JobId::new("slow")];
    let _sessions = [
        rig.session_of("elsewhere/0").await,
        rig.session_of("elsewhere/1").await,
    ];
    write_row(&rig, "elsewhere/0", "1 second", "\"half\"");
    assert_eq!(ask(&client, &ids), HashMap::new());
    write_row(&rig, "elsewhere/1", "2 seconds", "0.5");
    assert_eq!(ask(&client, &ids)[&ids[0]].progress, Some(0.5));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_successor_does_not_repeat_what_the_dead_said() {
    let rig = Rig::new();
    let client = rig.client().await;
    rig.worker_process("test-host").kill();
    rig.database
        .psql("update abaci.presence set running = '[{\"workflow_id\": \"slow\", \"seconds\": 7}]'");
    let worker = rig.worker().await;
    assert_eq!((worker.executor_id(), told(&rig).as_str()), ("test-host/0", "[]"));
    assert_eq!(ask(&client, &[JobId::new("slow")]), HashMap::new());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_database_of_an_older_abaci_gets_what_is_missing() {
    let rig = Rig::new();
    rig.client().await.close().await;
    rig.database
        .psql("alter table abaci.presence drop column running, drop column pid_space");
    let client = rig.client().await;
    let worker = rig.worker().await;
    assert_eq!(told(&rig), "[]");
    assert_eq!(ask(&client, &[]), HashMap::new());
    assert_eq!(
        client.workers().await.unwrap()[0].executor_id,
        worker.executor_id()
    );
}
