//! Many drains at random moments, since a stop goes wrong between two statements or not at all.

use std::collections::HashMap;
use std::time::Duration;

use durable_jobs::JobFilter;
use durable_jobs::client::SubmitOptions;
use durable_jobs::{State, Worker};

use crate::rig::{Rig, done, lasting, outcomes};

const DRAINS: u32 = 200;
const JOBS: u64 = 600;

/// The milliseconds that no job takes.
const LONGEST: u64 = 8;

/// A failure can be repeated, as far as a race can.
const SEED: u64 = 20_261_123;

#[tokio::test(flavor = "multi_thread")]
async fn two_hundred_drains_under_load_lose_and_double_nothing() {
    let rig = Rig::new();
    let client = rig.client().await;
    let mut random = fastrand::Rng::with_seed(SEED);
    let jobs: Vec<_> = (0..JOBS).map(|job| lasting(job % LONGEST)).collect();
    client.submit_all(&jobs, SubmitOptions::default()).await.unwrap();
    let mut handed_back = 0;
    for _ in 0..DRAINS {
        let mut settings = rig.settings();
        settings.concurrency = 4;
        let worker = Worker::start(settings).await.unwrap();
        // The moment is the subject of the test, so this is a pause and not a wait.
        tokio::time::sleep(Duration::from_millis(random.u64(..40))).await;
        handed_back += worker
            .drain(Duration::from_millis(random.u64(..30)))
            .await
            .handed_back;
        let left = rig.count("dbos.workflow_status where status = 'PENDING'");
        assert_eq!(left, 0, "a drain left a row that nobody has in hand");
    }
    assert!(
        handed_back > 0,
        "no drain met a running job; the test shows nothing"
    );
    let mut settings = rig.settings();
    settings.concurrency = 50;
    let _last = Worker::start(settings).await.unwrap();
    let ended = outcomes(&client, jobs.iter().map(|job| job.id.clone())).await;
    assert_eq!(ended.len(), jobs.len());
    let inputs: HashMap<_, _> = jobs.iter().map(|job| (&job.id, &job.input)).collect();
    for outcome in ended {
        let (id, input) = (outcome.id.clone(), inputs[&outcome.id]);
        let done = done(outcome);
        assert_eq!(done.number.to_string(), *input, "{id}");
        assert_eq!(done.attempt, 1, "{id}: a drain was counted as a death");
    }
    let unfinished = JobFilter {
        states: vec![State::Queued, State::Running],
        ..JobFilter::default()
    };
    assert!(client.list(&unfinished).await.unwrap().is_empty());
}
