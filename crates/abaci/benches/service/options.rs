//! The cost of priorities, of tags and of a limit on one small job and on many.

use std::time::Duration;

use durable_jobs::client::{NewJob, Priority, Rate, SubmitOptions};
use durable_jobs::record::{Batch, Label};
use fibonacci_jobs::{DEFAULT_QUEUE, Request};

use crate::database::{Database, all_succeed, timed};
use crate::latency::{N, repeat};
use crate::reading::{Reading, percentiles};
use crate::server::Server;

/// The number of jobs that are submitted by one call.
const JOBS: usize = 2000;

/// The priorities, which the jobs have in turn.
const PRIORITIES: u32 = 10;

/// A limit far above what a server starts.
const STARTS_A_MINUTE: u32 = 10_000_000;

/// The things that are measured, each on a database and a server of its own.
#[derive(Clone, Copy, PartialEq)]
enum Variant {
    Plain,
    Priorities,
    Tags,
    Limit,
}

impl Variant {
    fn name(self) -> &'static str {
        match self {
            Self::Plain => "without options",
            Self::Priorities => "with priorities",
            Self::Tags => "with two tags and a batch",
            Self::Limit => "with a limit of the queue",
        }
    }

    /// Makes one of several small jobs.
    fn job(self, number: u32) -> NewJob {
        let mut job = Request::new(N).job();
        match self {
            Self::Priorities => job.priority = Priority::new(number % PRIORITIES).unwrap_or_default(),
            Self::Tags => {
                job.tags = ["nightly", "team a"].map(tag).to_vec();
                job.batch = Some("bench".parse::<Batch>().expect("it is an id"));
            }
            Self::Plain | Self::Limit => {}
        }
        job
    }
}

fn tag(text: &str) -> Label {
    text.parse().expect("it is a label")
}

/// Measures a job after the other and many at once, with each of the options and without.
pub(crate) fn measure() -> Vec<Reading> {
    let all = [Variant::Plain, Variant::Priorities, Variant::Tags, Variant::Limit];
    all.into_iter().flat_map(with).collect()
}

fn with(variant: Variant) -> Vec<Reading> {
    let database = Database::start();
    let _server = Server::start(&database.url, &["--concurrency", "50"]);
    let (runtime, client) = database.client();
    if variant == Variant::Limit {
        let rate = Rate::new(STARTS_A_MINUTE, Duration::from_mins(1));
        let limited = client.limit_queue(DEFAULT_QUEUE, Some(rate));
        runtime.block_on(limited).expect("the database answers");
    }
    let mut number = 0;
    let one = || {
        number += 1;
        runtime.block_on(async {
            let id = client.submit_job(variant.job(number)).await;
            all_succeed(&client, vec![id.expect("the database answers")]).await;
        });
    };
    let times = repeat(one);
    let jobs: Vec<NewJob> = (0..).take(JOBS).map(|number| variant.job(number)).collect();
    let ids = jobs.iter().map(|job| job.id.clone()).collect();
    let wall = timed(|| {
        runtime.block_on(async {
            let submitted = client.submit_all(&jobs, SubmitOptions::default()).await;
            submitted.expect("the database answers");
            all_succeed(&client, ids).await;
        });
    });
    let mut readings = percentiles(&format!("submit to result, {}", variant.name()), &times);
    #[expect(clippy::cast_precision_loss, reason = "a few thousand jobs are exact")]
    let rate = JOBS as f64 / wall.as_secs_f64();
    readings.push(Reading::new(
        format!("{JOBS} jobs, {}", variant.name()),
        rate,
        "jobs/s",
    ));
    readings
}
