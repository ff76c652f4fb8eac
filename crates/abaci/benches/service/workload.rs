//! The workload of the Python original: 37 39 37 39 39 by the naive recursion, one job at a time a server.

use crate::database::{Database, recursive_jobs};
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
    recursive_jobs(&database, INDICES)
}
