//! The states of giant jobs, which the collection of garbage leaves to those that need them.

use std::time::Duration;

use durable_jobs::Client;
use durable_jobs::artifact::{ArtifactPlace, BucketAccess};
use durable_jobs::client::{GcMode, GcOptions, ResumeOptions, ResumeOutcome};
use fibonacci_jobs::{Algorithm, Request};

use crate::rig::{Rig, outcome};

impl Rig {
    /// The names of the artifacts, sorted.
    fn artifact_names(&self) -> Vec<String> {
        let files = self.artifact_files();
        let names = files
            .iter()
            .map(|file| file.file_name().unwrap().to_str().unwrap().to_owned());
        let mut names: Vec<String> = names.collect();
        names.sort_unstable();
        names
    }

    /// Removes whatever nobody refers to, however young it is.
    async fn collect(&self, client: &Client) {
        let options = GcOptions {
            min_age: Duration::ZERO,
            ..GcOptions::new(GcMode::Delete)
        };
        let place = ArtifactPlace::directory(self.artifacts.path());
        client.collect_garbage(&place, options).await.unwrap();
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_cancelled_giant_job_goes_on_from_its_states() {
    let rig = Rig::new();
    let (first, client) = (rig.worker().await, rig.client().await);
    // Holds the job between its last state and its digits.
    let hold = rig
        .database
        .hold_inserts("dbos.operation_outputs", "new.function_name = 'digits'");
    let request = Request::with(1_000_000, Algorithm::Giant);
    let id = client.submit_job(request.job()).await.unwrap();
    hold.await_somebody();
    client.cancel(&id).await.unwrap();
    let drain = tokio::spawn(first.drain(Duration::ZERO));
    drop(hold);
    drain.await.unwrap();

    // The name of a value is a hash alone.
    let is_state = |name: &&String| name.contains('-');
    let states: Vec<String> = rig.artifact_names().iter().filter(is_state).cloned().collect();
    assert!(!states.is_empty(), "no state was stored");
    rig.collect(&client).await;
    let left: Vec<String> = rig.artifact_names().iter().filter(is_state).cloned().collect();
    assert_eq!(left, states, "a state was collected that a resumed job needs");

    let steps = client.show(&id).await.unwrap().steps;
    assert_eq!(steps.len(), states.len(), "{steps:?}");
    let _second = rig.worker().await;
    let resumed = client.resume(&id, ResumeOptions::default()).await.unwrap();
    assert_eq!(resumed, ResumeOutcome::Resumed);
    let result = outcome(&client, &id).await.result.unwrap();
    result.verify_all(&BucketAccess::default()).unwrap();
    let all = client.show(&id).await.unwrap().steps;
    assert_eq!(all[..steps.len()], steps, "a recorded state was computed again");
}
