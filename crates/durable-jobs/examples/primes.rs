//! Counts primes: a job type of one's own, with its worker and its client, in two terminals.
//!
//! ```sh
//! cargo run --release -p durable-jobs --example primes -- work
//! cargo run --release -p durable-jobs --example primes -- submit 1..20000000
//! ```
//!
//! The database is that of `DATABASE_URL`, or a private one in `primes-data`. Kill the worker while it counts, and start
//! another: what was counted is not counted again.
use std::error::Error;
use std::time::Duration;

use durable_jobs::client::{ClientSettings, SubmitOptions};
use durable_jobs::compute::{Task, TaskRun};
use durable_jobs::process::{Isolation, TaskKind, compute_for_worker};
use durable_jobs::worker::{WorkerSettings, asked_to_stop};
use durable_jobs::{Client, Failure, JobContext, JobType, JobTypes, Worker};
use local_postgres::{KeeperCommand, KeeperSettings, Lease, Settings};
use serde::{Deserialize, Serialize};

const DATA: &str = "primes-data";

/// The numbers from the first to before the second.
#[derive(Clone, Serialize, Deserialize)]
struct Span(u64, u64);

struct CountPrimes;

impl JobType for CountPrimes {
    const WORKFLOW: &'static str = "count_primes";
    type Input = Span;
    type Output = u64;

    async fn run(&self, job: &JobContext, Span(from, to): Span) -> Result<u64, Failure> {
        let mut count = 0;
        for from in (from..to).step_by(1_000_000) {
            let part = Span(from, to.min(from.saturating_add(1_000_000)));
            count += job.step("count", || job.compute(part.clone())).await?;
        }
        Ok(count)
    }
}

impl Task for Span {
    const NAME: &'static str = "count";
    type Output = u64;

    fn run(&self, run: &TaskRun<'_, u64>) -> Result<u64, Failure> {
        let mut count = 0;
        for n in self.0..self.1 {
            run.progress(n - self.0, self.1 - self.0)?;
            let is_prime = n > 1 && (2..=n.isqrt()).all(|d| n % d != 0);
            count += u64::from(is_prime);
        }
        Ok(count)
    }
}

/// Starts the private database, which runs while somebody has a lease on it.
fn private() -> Result<(String, Option<Lease>), Box<dyn Error>> {
    let keeper = KeeperCommand::new(std::env::current_exe()?, ["keep"]);
    let lease = Lease::acquire(&Settings::new(DATA, keeper))?;
    lease.ensure_database("primes")?;
    Ok((lease.url("primes"), Some(lease)))
}

#[tokio::main]
async fn main() -> Result<(), Box<dyn Error>> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let submitted = match arguments.iter().map(String::as_str).collect::<Vec<_>>()[..] {
        ["compute"] => return Ok(compute_for_worker(&[TaskKind::of::<Span>()])?),
        ["keep"] => return Ok(local_postgres::keep(&KeeperSettings::new(DATA))?),
        ["submit", span] => match span.split_once("..").map(|(from, to)| (from.parse(), to.parse())) {
            Some((Ok(from), Ok(to))) => Some(Span(from, to)),
            _ => None,
        },
        _ => None,
    };
    if submitted.is_none() && arguments != ["work"] {
        eprintln!("primes: {arguments:?} is neither work nor submit with a span such as 1..1000000");
        std::process::exit(2);
    }
    let given = std::env::var("DATABASE_URL");
    let (url, _lease) = given.map_or_else(|_| private(), |url| Ok((url, None)))?;
    let types = JobTypes::new("primes-1").with(CountPrimes);
    if let Some(span) = submitted {
        let client = Client::connect(ClientSettings::new(url, types)).await?;
        let options = SubmitOptions::default();
        let id = client.submit::<CountPrimes>(&span, options).await?;
        println!("{} primes", client.output_of::<CountPrimes>(&id).await?);
        return Ok(());
    }
    let mut settings = WorkerSettings::new(url, "localhost", DATA, types);
    settings.isolation = Some(Isolation::of_this_program(["compute"])?);
    let (stop, worker) = (asked_to_stop()?, Worker::start(settings).await?);
    eprintln!("{} takes jobs, until Ctrl-C", worker.executor_id());
    worker.run_until(stop, Duration::from_secs(1)).await?;
    Ok(())
}
