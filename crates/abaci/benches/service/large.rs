//! What looking at jobs costs where there are a million of them.

use std::process::Command;
use std::time::Duration;

use crate::database::{Database, timed};
use crate::reading::{Reading, median};

/// The number of times that each command runs.
const TIMES: usize = 9;

/// A million jobs that ended, and a hundred thousand that wait, submitted over two days.
const FILL: &str = "insert into dbos.workflow_status (workflow_uuid, status, name, output, error, executor_id, created_at, \
     updated_at, application_version, recovery_attempts, queue_name, inputs, started_at_epoch_ms, completed_at, \
     priority, serialization, application_name, attributes) \
     select gen_random_uuid()::text, case when i % 1000 = 0 then 'ERROR' else 'SUCCESS' end, 'fibonacci_workflow', \
         case when i % 1000 > 0 then '{\"n\":1,\"digits\":1,\"value\":\"1\"}' end, \
         case when i % 1000 = 0 then '{\"name\":\"X\",\"message\":\"m\",\"data\":{\"kind\":\"' || \
             case when i % 3000 = 0 then 'parked' else 'terminal' end || '\",\"attempt\":1}}' end, \
         'host/0', at, at + 5, 'abaci-1', 1, 'fibonacci', '{\"n\":' || i % 5000 || ',\"algorithm\":\"doubling\"}', at, at + 5, \
         0, 'rust_serde', 'abaci', \
         case when i % 100 = 0 then jsonb_build_object('batch', 'b' || i / 100000, 'tags', jsonb_build_array('nightly')) end \
     from (select i, (extract(epoch from now()) * 1000)::bigint - 172800000 + i * 100::bigint as at \
         from generate_series(1, 1000000) as i) as ended; \
     insert into dbos.workflow_status (workflow_uuid, status, name, created_at, updated_at, application_version, \
         recovery_attempts, queue_name, inputs, priority, serialization, application_name) \
     select case when i = 50000 then 'one-that-waits' else gen_random_uuid()::text end, 'ENQUEUED', 'fibonacci_workflow', \
         at, at, 'abaci-1', 0, 'fibonacci', '{\"n\":' || i % 5000 || ',\"algorithm\":\"doubling\"}', i % 5, 'rust_serde', 'abaci' \
     from (select i, (extract(epoch from now()) * 1000)::bigint - 86400000 + i * 100 as at \
         from generate_series(1, 100000) as i) as waiting; \
     analyze dbos.workflow_status";

/// Measures whole processes that list and show jobs, each with its own connection.
pub(crate) fn measure() -> Vec<Reading> {
    let database = Database::start();
    // A client makes the tables.
    drop(database.client());
    database.run(FILL);
    let commands: [&[&str]; 9] = [
        &["list"],
        &["list", "--state", "failed"],
        &["list", "--parked"],
        &["list", "--state", "queued"],
        &["list", "--batch", "b3"],
        &["list", "--tag", "nightly"],
        &["list", "--n", "4000..=4100"],
        &["show", "one-that-waits"],
        &["status", "--json"],
    ];
    let reading = |command: &&[&str]| {
        let runs: Vec<Duration> = (0..TIMES)
            .map(|_| timed(|| run(&database.url, command)))
            .collect();
        Reading::milliseconds(format!("1,100,000 jobs: {}", command.join(" ")), median(&runs))
    };
    commands.iter().map(reading).collect()
}

fn run(url: &str, command: &[&str]) {
    let output = Command::new(env!("CARGO_BIN_EXE_abaci"))
        .args(command)
        .env("ABACI_DATABASE_URL", url)
        .output()
        .expect("the program can be started");
    assert!(
        !output.stdout.is_empty(),
        "{command:?} printed nothing: {output:?}"
    );
}
