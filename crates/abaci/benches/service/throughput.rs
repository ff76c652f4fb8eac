//! How many small jobs a second one server completes.

use durable_jobs::JobId;
use durable_jobs::client::SubmitOptions;
use fibonacci_jobs::Request;

use crate::database::{Database, all_succeed, timed};
use crate::reading::Reading;
use crate::server::Server;

/// The number of jobs, all submitted by one call.
const JOBS: usize = 2000;

/// The index of every job: nothing to compute.
const N: u64 = 30;

/// Measures with one and with fifty jobs at once.
pub(crate) fn measure() -> Vec<Reading> {
    ["50", "1"].into_iter().flat_map(at_concurrency).collect()
}

/// From before the first submission until the last result; jobs run while others are still being submitted.
fn at_concurrency(concurrency: &str) -> Vec<Reading> {
    let database = Database::start();
    let _server = Server::start(&database.url, &["--concurrency", concurrency]);
    let (runtime, client) = database.client();
    let jobs: Vec<(JobId, Request)> = (0..JOBS).map(|_| (JobId::fresh(), Request::new(N))).collect();
    let ids: Vec<JobId> = jobs.iter().map(|(id, _)| id.clone()).collect();
    let submission = timed(|| {
        runtime
            .block_on(client.submit_all(&fibonacci_jobs::new_jobs(&jobs), SubmitOptions::default()))
            .expect("the database answers");
    });
    let rest = timed(|| runtime.block_on(all_succeed(&client, ids)));
    let wall = (submission + rest).as_secs_f64();
    let name = format!("{JOBS} jobs, concurrency {concurrency}");
    #[expect(clippy::cast_precision_loss, reason = "a few thousand jobs are exact")]
    let rate = JOBS as f64 / wall;
    vec![
        Reading::new(format!("{name}, rate"), rate, "jobs/s"),
        Reading::new(format!("{name}, wall"), wall, "s"),
        Reading::new(format!("{name}, submission alone"), submission.as_secs_f64(), "s"),
    ]
}
