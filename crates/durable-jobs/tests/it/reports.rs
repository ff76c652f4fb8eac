//! The reports of a worker on itself: its jobs, its contact with the database, its drain.

use std::time::Duration;

use durable_jobs::client::CancelOutcome;
use durable_jobs::record::{Details, RunningJob};
use durable_jobs::worker::WorkerReport;
use durable_jobs::{Client, JobId, State, Worker};
use testkit::{PrivateServer, TempDir, eventually};

use crate::rig::{ENDLESS, Rig, client_settings, echo, lasting, outcome, worker_settings};

/// The heartbeat's interval of two seconds, and what a loaded machine adds.
const OLDEST_CONTACT_SECONDS: f64 = 2.5;

/// The one job of a report that has one.
fn the_job(report: WorkerReport) -> Option<RunningJob> {
    let mut running = report.running;
    assert!(running.len() <= 1, "one job has several lines: {running:?}");
    running.pop()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_running_job_is_shown_with_growing_progress() {
    let rig = Rig::new();
    let (worker, client) = (rig.worker().await, rig.client().await);
    let observer = worker.observer();
    let id = client.submit_job(lasting(1000)).await.unwrap();
    let mut seen: Vec<RunningJob> = Vec::new();
    eventually("the job to be shown and to end", || {
        let job = the_job(observer.report());
        let is_gone = job.is_none();
        seen.extend(job.filter(|job| job.step.as_deref() == Some("last")));
        is_gone && !seen.is_empty()
    });
    for job in &seen {
        assert_eq!(
            (&*job.workflow_id, &job.details, job.attempt),
            (id.as_str(), &Details::default().with("ms", 1000), Some(1))
        );
    }
    assert!(
        seen.windows(2).all(|pair| pair[0].seconds < pair[1].seconds),
        "a job grew younger"
    );
    let shares: Vec<f64> = seen.iter().filter_map(|job| job.progress).collect();
    assert!(
        shares.windows(2).all(|pair| pair[0] <= pair[1]),
        "progress was taken back: {shares:?}"
    );
    let (first, last) = (shares.first().unwrap(), shares.last().unwrap());
    assert!(
        first < last && *first >= 0.0 && *last <= 1.0,
        "from {first} to {last}"
    );
    assert_eq!(client.show(&id).await.unwrap().job.state, State::Succeeded);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_job_that_is_cancelled_leaves_the_report() {
    let rig = Rig::new();
    let (worker, client) = (rig.worker().await, rig.client().await);
    let observer = worker.observer();
    // As if its first worker had died with it.
    let columns = [
        ("name", "'test_lasts'"),
        ("inputs", "'600000'"),
        ("recovery_attempts", "1"),
    ];
    rig.insert("slow", &columns);
    let job = eventually("the computation", || {
        the_job(observer.report()).filter(|job| job.progress.is_some())
    });
    assert_eq!(
        (job.details, job.attempt),
        (Details::default().with("ms", 600_000), Some(2))
    );
    let id = JobId::new("slow");
    assert_eq!(client.cancel(&id).await.unwrap(), CancelOutcome::Cancelled);
    eventually("an empty report", || the_job(observer.report()).is_none());
}

#[tokio::test(flavor = "multi_thread")]
async fn an_idle_worker_has_nothing_in_hand_and_a_fresh_contact() {
    let rig = Rig::new();
    let worker = rig.worker().await;
    let observer = worker.observer();
    let (mut oldest, mut last) = (0.0_f64, 0.0);
    let mut beats = 0;
    eventually("two beats", || {
        let report = observer.report();
        assert_eq!(
            (report.executor_id.as_str(), report.draining, report.running.len()),
            (worker.executor_id(), false, 0)
        );
        assert_eq!(report.database.failure, None);
        let age = report.database.age_seconds;
        beats += u32::from(age < last);
        (oldest, last) = (oldest.max(age), age);
        beats >= 2
    });
    assert!(
        oldest < OLDEST_CONTACT_SECONDS,
        "the contact was {oldest} s old while the database answered"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn an_outage_shows_as_a_failure_and_a_growing_age_until_it_ends() {
    let mut server = PrivateServer::new();
    let url = server.create_database("jobs");
    let artifacts = TempDir::new();
    let worker = Worker::start(worker_settings(&url, "test-host", artifacts.path()))
        .await
        .unwrap();
    let observer = worker.observer();
    server.stop_immediate();
    let lost = eventually("the failure", || {
        let contact = observer.report().database;
        contact.failure.map(|_| contact.age_seconds)
    });
    eventually("an older contact", || {
        let contact = observer.report().database;
        assert!(contact.failure.is_some(), "a failure passed during the outage");
        contact.age_seconds > lost + 3.0
    });
    server.start();
    eventually("the contact", || observer.report().database.failure.is_none());
    let age = observer.report().database.age_seconds;
    assert!(
        age < OLDEST_CONTACT_SECONDS,
        "the contact is {age} s old after it was there again"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_beat_that_hangs_shows_as_an_age_and_then_as_a_failure() {
    let rig = Rig::new();
    let worker = rig.worker().await;
    let observer = worker.observer();
    rig.database.psql(
        "create table hanging as select 1 as n; \
         create function hang() returns trigger language plpgsql as 'begin \
         while exists (select 1 from hanging) loop perform pg_sleep(0.01); end loop; return new; end'; \
         create trigger hang before update on abaci.presence for each row execute function hang()",
    );
    eventually("an old contact without a failure", || {
        let contact = observer.report().database;
        contact.age_seconds > 4.0 && contact.failure.is_none()
    });
    eventually("the failure", || observer.report().database.failure.is_some());
    rig.database.psql("delete from hanging");
    eventually("the contact", || {
        let contact = observer.report().database;
        contact.failure.is_none() && contact.age_seconds < OLDEST_CONTACT_SECONDS
    });
}

#[tokio::test(flavor = "multi_thread")]
async fn a_worker_that_cannot_claim_says_so_until_it_can() {
    let rig = Rig::new();
    let (worker, client) = (rig.worker().await, rig.client().await);
    let observer = worker.observer();
    rig.database.psql(
        "create function refuse() returns trigger language plpgsql as 'begin \
         raise exception ''nobody claims here''; end'; \
         create trigger refuse before update on dbos.workflow_status for each row \
         when (old.status = 'ENQUEUED' and new.status = 'PENDING') execute function refuse()",
    );
    let id = client.submit_job(echo(10)).await.unwrap();
    let failure = eventually("the failure", || observer.report().database.failure);
    assert!(
        failure.starts_with("cannot claim jobs: ") && failure.contains("nobody claims here"),
        "{failure}"
    );
    let (mut beats, mut last) = (0, f64::INFINITY);
    eventually("two beats", || {
        let contact = observer.report().database;
        assert!(
            contact.failure.is_some(),
            "a heartbeat hides that nothing can be claimed"
        );
        beats += u32::from(contact.age_seconds < last);
        last = contact.age_seconds;
        beats >= 3
    });
    rig.database.psql("drop trigger refuse on dbos.workflow_status");
    assert_eq!(outcome(&client, &id).await.state, State::Succeeded);
    eventually("no failure", || observer.report().database.failure.is_none());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_drain_is_shown_while_it_lasts_and_after_the_worker_is_gone() {
    let rig = Rig::new();
    let (worker, client) = (rig.worker().await, rig.client().await);
    let observer = worker.observer();
    let id = client.submit_job(lasting(1500)).await.unwrap();
    eventually("the job to run", || the_job(observer.report()).is_some());
    assert!(!observer.report().draining);
    let drain = tokio::spawn(worker.drain(Duration::from_mins(1)));
    eventually("the drain", || observer.report().draining);
    assert_eq!(
        the_job(observer.report()).map(|job| job.workflow_id),
        Some(id.to_string()),
        "a job in hand is not shown during the drain"
    );
    assert_eq!(drain.await.unwrap().finished, 1);
    let last = observer.report();
    assert!(last.draining && last.running.is_empty(), "{last:?}");
    assert_eq!(outcome(&client, &id).await.state, State::Succeeded);
}

#[tokio::test(flavor = "multi_thread")]
async fn jobs_are_reported_while_nobody_answers() {
    let mut server = PrivateServer::new();
    let url = server.create_database("jobs");
    let artifacts = TempDir::new();
    let worker = Worker::start(worker_settings(&url, "test-host", artifacts.path()))
        .await
        .unwrap();
    let observer = worker.observer();
    let client = Client::connect(client_settings(&url)).await.unwrap();
    let id = client.submit_job(lasting(ENDLESS)).await.unwrap();
    let before = eventually("the computation", || {
        the_job(observer.report()).and_then(|job| job.progress)
    });
    server.stop_immediate();
    eventually("progress without a database", || {
        let report = observer.report();
        let is_lost = report.database.failure.is_some();
        is_lost && the_job(report).and_then(|job| job.progress) > Some(before)
    });
    server.start();
    client.cancel(&id).await.unwrap();
    eventually("an empty report", || the_job(observer.report()).is_none());
}
