//! What a server costs that has nothing to do.

use std::fs;
use std::thread;
use std::time::Duration;

use crate::database::Database;
use crate::reading::Reading;
use crate::server::Server;

/// The time for which it is watched, once it has settled.
pub(crate) const WATCH: Duration = Duration::from_secs(10);

/// The pause between its start and that.
pub(crate) const SETTLE: Duration = Duration::from_secs(3);

/// The length of a tick of `/proc/PID/stat` is; Linux shows every program 100 a second.
const TICK: Duration = Duration::from_millis(10);

/// Measures the processor time and memory of an idle server, and of PostgreSQL's processes that serve it.
pub(crate) fn measure() -> Vec<Reading> {
    let mut readings = Vec::new();
    for (name, arguments) in [
        ("default", &[][..]),
        ("5 ms poll", &["--poll-interval", "5ms"][..]),
    ] {
        let database = Database::start();
        let server = Server::start(&database.url, arguments);
        thread::sleep(SETTLE);
        let (own, backends) = ([server.pid()], database.backends());
        let before = (ticks(&own), ticks(&backends));
        thread::sleep(WATCH);
        let after = (ticks(&own), ticks(&backends));
        let name = format!("idle, {name}");
        readings.extend([
            Reading::new(
                format!("{name}, server"),
                share(after.0 - before.0),
                "% of a core",
            ),
            Reading::new(
                format!("{name}, its backends"),
                share(after.1 - before.1),
                "% of a core",
            ),
            memory(&name, "VmRSS", server.pid()),
            memory(&name, "VmHWM", server.pid()),
        ]);
    }
    readings
}

/// The processor time of processes so far: user and system, fields 14 and 15.
pub(crate) fn ticks(pids: &[u32]) -> u32 {
    let of = |pid: &u32| -> u32 {
        let stat = fs::read_to_string(format!("/proc/{pid}/stat")).expect("the process runs");
        // The second field, the name in parentheses, may hold blanks.
        let (_, fields) = stat.rsplit_once(')').expect("it has a name");
        let fields = fields.split_whitespace().skip(11).take(2);
        fields
            .map(|field| field.parse::<u32>().expect("it is a number"))
            .sum()
    };
    pids.iter().map(of).sum()
}

/// Ticks of the watch as a share of one core.
pub(crate) fn share(ticks: u32) -> f64 {
    (TICK * ticks).as_secs_f64() / WATCH.as_secs_f64() * 100.0
}

/// A line of `/proc/PID/status` in MB of 10^6 bytes.
pub(crate) fn memory(name: &str, field: &str, pid: u32) -> Reading {
    let status = fs::read_to_string(format!("/proc/{pid}/status")).expect("the process runs");
    let line = status
        .lines()
        .find(|line| line.starts_with(field))
        .expect("Linux tells it");
    let kib = line.split_whitespace().nth(1).expect("a number follows");
    let kib: f64 = kib.parse().expect("it is a number");
    Reading::new(format!("{name}, {field}"), kib * 1024.0 / 1e6, "MB")
}
