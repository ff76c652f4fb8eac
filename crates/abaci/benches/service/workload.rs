//! The workload of the Python original: 37 39 37 39 39 by the naive recursion, one job at a time a server.

use abaci_engine::client::SubmitOptions;
use abaci_engine::{Algorithm, JobId, Request};

use crate::database::{Database, all_succeed, timed};
use crate::reading::Reading;
use crate::server::Server;

const INDICES: [u64; 5] = [37, 39, 37, 39, 39];

/// Measures one server and two.
pub(crate) fn measure() -> Vec<Reading> {
    let (one, two) = (with_servers(1), with_servers(2));
    vec![
        Reading::new("37 39 37 39 39 recursive, 1 server", one, "s"),
        Reading::new("37 39 37 39 39 recursive, 2 servers", two, "s"),
        Reading::new("37 39 37 39 39 recursive, speed-up", one / two, "times"),
    ]
}

/// Seconds from before the submission until the last result.
fn with_servers(count: usize) -> f64 {
    let database = Database::start();
    let _servers: Vec<Server> = (0..count).map(|_| Server::start(&database.url, &[])).collect();
    let (runtime, client) = database.client();
    let job = |n| (JobId::fresh(), Request::with(n, Algorithm::Recursive));
    let jobs = INDICES.map(job);
    let ids = jobs.iter().map(|(id, _)| id.clone()).collect();
    let wall = timed(|| {
        runtime.block_on(async {
            let submitted = client.submit_all(&jobs, SubmitOptions::default()).await;
            submitted.expect("the database answers");
            all_succeed(&client, ids).await;
        });
    });
    wall.as_secs_f64()
}
