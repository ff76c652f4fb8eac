//! A workflow of ten thousand recorded steps: what one costs in time and in the database, and how long a replay takes.

use std::thread;
use std::time::Duration;

use fibonacci_jobs::{Algorithm, Request};

use crate::database::{Database, all_succeed};
use crate::reading::Reading;
use crate::server::Server;

/// The largest index that there is.
const N: u64 = 10_000;

/// At how many recorded steps the job is taken from its server.
const TAKEN_AT: f64 = 5_000.0;

/// The table that the steps are in, with its indices and whatever is stored beside it.
const TABLE_BYTES: &str = "select pg_total_relation_size('dbos.operation_outputs')";

/// Measures all of it.
pub(crate) fn measure() -> Vec<Reading> {
    let mut readings = straight();
    readings.extend(replay());
    readings
}

/// One run without interruption.
fn straight() -> Vec<Reading> {
    let database = Database::start();
    let _server = Server::start(&database.url, &[]);
    let (runtime, client) = database.client();
    let before = database.number(TABLE_BYTES);
    runtime.block_on(async {
        let id = client
            .submit_job(Request::with(N, Algorithm::Stepwise).job())
            .await;
        all_succeed(&client, vec![id.expect("the database answers")]).await;
    });
    let milliseconds = |first: u32, last: u32| {
        database.number(&format!(
            "select max(completed_at_epoch_ms) - min(started_at_epoch_ms) from dbos.operation_outputs \
             where function_id between {first} and {last}"
        ))
    };
    let all = milliseconds(0, 9_998);
    let of_outputs = |aggregate: &str| {
        let select = format!(
            "select {aggregate}(octet_length(output)) from dbos.operation_outputs where function_name = 'add'"
        );
        database.number(&select)
    };
    let table = database.number(TABLE_BYTES) - before;
    vec![
        Reading::new("n = 10,000, all additions", all / 1e3, "s"),
        Reading::new("steps per second", 9_999.0 / all * 1e3, "1/s"),
        Reading::new("indices 1,000 to 1,999", milliseconds(998, 1_997), "ms"),
        Reading::new("indices 9,000 to 9,999", milliseconds(8_998, 9_997), "ms"),
        Reading::new("checkpoint of a step, average", of_outputs("avg"), "bytes"),
        Reading::new("checkpoint of a step, largest", of_outputs("max"), "bytes"),
        Reading::new("the table's growth", table / 1e6, "MB"),
        Reading::new("the table's growth per step", table / 10_001.0, "bytes"),
    ]
}

/// One run that is taken from its server in the middle.
fn replay() -> Vec<Reading> {
    let database = Database::start();
    let first = Server::start(&database.url, &["--grace", "0s"]);
    let (runtime, client) = database.client();
    let id = runtime.block_on(client.submit_job(Request::with(N, Algorithm::Stepwise).job()));
    let id = id.expect("the database answers");
    while database.number("select count(*) from dbos.operation_outputs") < TAKEN_AT {
        thread::sleep(Duration::from_millis(50));
    }
    drop(first);
    let second = Server::start(&database.url, &["--grace", "0s"]);
    let (begun, _) = second.wait_for(&["job started", id.as_str()]);
    let (resumed, line) = second.wait_for(&["resumed at index", id.as_str()]);
    runtime
        .block_on(client.cancel(&id))
        .expect("the database answers");
    let index = line
        .split_whitespace()
        .find_map(|word| word.strip_prefix("index="));
    let index: f64 = index
        .and_then(|index| index.parse().ok())
        .expect("the line names it");
    let (steps, took) = (index - 2.0, resumed - begun);
    vec![
        Reading::new("replay, recorded steps", steps, ""),
        Reading::milliseconds("replay", took),
        Reading::new(
            "replay, per recorded step",
            took.as_secs_f64() / steps * 1e6,
            "µs",
        ),
    ]
}
