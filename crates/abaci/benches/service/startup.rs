//! How long a server takes until it takes jobs.

use std::time::Duration;

use crate::database::Database;
use crate::reading::{Reading, median};
use crate::server::Server;

/// The number of starts of each kind.
const STARTS: usize = 5;

/// Measures starts on a database that has the tables and on an empty one; PostgreSQL runs already.
pub(crate) fn measure() -> Vec<Reading> {
    let database = Database::start();
    let start = || Server::start(&database.url, &[]).start;
    let from_nothing: Vec<Duration> = (0..STARTS)
        .map(|_| {
            database.clear();
            start()
        })
        .collect();
    let prepared: Vec<Duration> = (0..STARTS).map(|_| start()).collect();
    vec![
        Reading::milliseconds("start to ready, tables there", median(&prepared)),
        Reading::milliseconds("start to ready, empty database", median(&from_nothing)),
    ]
}
