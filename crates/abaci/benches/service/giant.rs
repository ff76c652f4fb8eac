//! What durability costs a large number: its digits computed in a bare process, by the default algorithm, and with a stored
//! state, one after the other.

use std::time::{Duration, Instant};

use durable_jobs::{Client, JobId};
use fibonacci_jobs::{Algorithm, Request};
use tokio::runtime::Runtime;

use crate::database::{Database, all_succeed};
use crate::reading::Reading;
use crate::server::Server;

/// The number of the goal: a checkpoint should cost at most a twentieth.
const N: u64 = 100_000_000;

/// Each time is the median of so many, the three kinds taking turns.
const TURNS: usize = 7;

/// Measures all three.
pub(crate) fn measure() -> Vec<Reading> {
    let database = Database::start();
    let _server = Server::start(&database.url, &[]);
    let (runtime, client) = database.client();
    let durable = |algorithm| durably(&runtime, &client, Request::with(N, algorithm));
    // The first ones warm the caches of the machine.
    durable(Algorithm::Doubling);
    let (mut bare, mut plain, mut stored) = (Vec::new(), Vec::new(), Vec::new());
    for _ in 0..TURNS {
        bare.push(barely());
        plain.push(durable(Algorithm::Doubling));
        stored.push(durable(Algorithm::Giant));
    }
    let [bare, plain, stored] = [bare, plain, stored].map(median);
    let over =
        |longer: Duration, shorter: Duration| (longer.as_secs_f64() / shorter.as_secs_f64() - 1.0) * 100.0;
    vec![
        Reading::milliseconds("F(10^8), bare arithmetic", bare),
        Reading::milliseconds("F(10^8), doubling", plain),
        Reading::milliseconds("F(10^8), giant, one state stored", stored),
        Reading::new("the state's cost", over(stored, plain), "%"),
        Reading::milliseconds("durable beside bare", plain.saturating_sub(bare)),
    ]
}

fn barely() -> Duration {
    let begun = Instant::now();
    let digits = fibonacci::decimal_digits(N, &fibonacci::unobserved);
    assert!(digits.is_ok_and(|digits| digits.len() == 20_898_764));
    begun.elapsed()
}

/// From the submission to the recorded outcome.
fn durably(runtime: &Runtime, client: &Client, request: Request) -> Duration {
    let begun = Instant::now();
    runtime.block_on(async {
        let id: JobId = client
            .submit_job(request.job())
            .await
            .expect("the database answers");
        all_succeed(client, vec![id]).await;
    });
    begun.elapsed()
}

fn median(mut times: Vec<Duration>) -> Duration {
    times.sort_unstable();
    times[times.len() / 2]
}
