//! How long one small job takes, from before it is submitted until its result is here.

use std::thread;
use std::time::Duration;

use fibonacci_jobs::Request;

use crate::database::{Database, ForeignClient, all_succeed, timed};
use crate::reading::{Reading, percentiles};
use crate::server::Server;

/// The number of jobs, one after the other.
const JOBS: u32 = 200;

/// The number of those before, which are not counted.
const WARM_UP: u32 = 20;

/// The index of every job: nothing to compute.
pub(crate) const N: u64 = 30;

/// Measures our client and one that announces nothing, at the default poll interval and at 5 ms.
pub(crate) fn measure() -> Vec<Reading> {
    let mut readings = Vec::new();
    for (name, arguments) in [
        ("default", &[][..]),
        ("5 ms poll", &["--poll-interval", "5ms"][..]),
    ] {
        let database = Database::start();
        let _server = Server::start(&database.url, arguments);
        let (runtime, client) = database.client();
        let own = || {
            runtime.block_on(async {
                let id = client
                    .submit_job(Request::new(N).job())
                    .await
                    .expect("the database answers");
                all_succeed(&client, vec![id]).await;
            });
        };
        readings.extend(percentiles(&format!("latency, {name}, own client"), &repeat(own)));
        let mut stranger = ForeignClient::connect(&database);
        let foreign = || {
            let id = stranger.submit();
            runtime.block_on(all_succeed(&client, vec![id]));
        };
        readings.extend(percentiles(
            &format!("latency, {name}, foreign client"),
            &repeat(foreign),
        ));
    }
    readings
}

/// Times the jobs after the warm-up, with pauses between them that meet every phase of a poll.
pub(crate) fn repeat(mut job: impl FnMut()) -> Vec<Duration> {
    let one = |number: u32| {
        let time = timed(&mut job);
        // 7 and 53 have no common factor: each of 0 to 52 ms comes equally often.
        thread::sleep(Duration::from_millis(u64::from(number * 7 % 53)));
        time
    };
    let times: Vec<Duration> = (0..WARM_UP + JOBS).map(one).collect();
    times[WARM_UP as usize..].to_vec()
}
