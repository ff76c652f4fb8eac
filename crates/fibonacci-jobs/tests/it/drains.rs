//! Many drains at random moments, since a stop goes wrong between two statements or not at all.

use std::time::Duration;

use durable_jobs::client::{ListFilter, SubmitOptions};
use durable_jobs::{JobId, State, Worker};
use fibonacci_jobs::{Algorithm, Request, new_jobs};

use crate::rig::{Rig, outcomes};

const DRAINS: u32 = 200;
const JOBS: u64 = 600;

/// A failure can be repeated, as far as a race can.
const SEED: u64 = 20_261_123;

#[tokio::test(flavor = "multi_thread")]
async fn two_hundred_drains_under_load_lose_and_double_nothing() {
    let rig = Rig::new();
    let client = rig.client().await;
    let mut random = fastrand::Rng::with_seed(SEED);
    let jobs: Vec<_> = (0..JOBS)
        .map(|job| {
            (
                JobId::new(format!("job-{job}")),
                Request::with(20 + job % 12, Algorithm::Recursive),
            )
        })
        .collect();
    client
        .submit_all(&new_jobs(&jobs), SubmitOptions::default())
        .await
        .unwrap();
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
        let left = rig
            .database
            .psql("select count(*) from dbos.workflow_status where status = 'PENDING'");
        assert_eq!(left.trim(), "0", "a drain left a row that nobody has in hand");
    }
    assert!(
        handed_back > 0,
        "no drain met a running job; the test shows nothing"
    );
    let mut settings = rig.settings();
    settings.concurrency = 50;
    let _last = Worker::start(settings).await.unwrap();
    let ended = outcomes(&client, jobs.iter().map(|(id, _)| id.clone())).await;
    assert_eq!(ended.len(), jobs.len());
    for outcome in ended {
        let result = outcome
            .result
            .unwrap_or_else(|failure| panic!("{}: {failure}", outcome.id));
        result.verify().unwrap();
        assert_eq!(
            result.attempts, 1,
            "{}: a drain was counted as a death",
            outcome.id
        );
    }
    let unfinished = ListFilter {
        states: vec![State::Queued, State::Running],
        ..ListFilter::default()
    };
    assert!(client.list(&unfinished).await.unwrap().is_empty());
}
