//! What `abaci status` looks like.

use abaci_engine::client::QueueStatus;
use abaci_engine::presence::Presence;
use abaci_engine::worker::RunningJob;
use owo_colors::OwoColorize;

use super::Report;
use crate::output::{self, Table};
use crate::snapshot::{LastExit, Phase, Snapshot, WorkerView};

/// Everything, line by line.
pub(super) fn lines(report: &Report) -> Vec<String> {
    let mut lines = Vec::new();
    match (&report.fleet, &report.fleet_reason) {
        (Some(fleet), _) => lines.extend(fleet_lines(fleet, &report.database.name)),
        (None, Some(reason)) => lines.push(format!("fleet     {}: {reason}", "unknown".red())),
        (None, None) => lines.push(format!("fleet     none runs in {}", report.fleet_directory)),
    }
    lines.push(queue_line(report));
    if let Some(fleet) = &report.fleet {
        lines.push(String::new());
        lines.extend(worker_table(&fleet.workers).drawn());
    }
    if !report.other_workers.is_empty() {
        lines.push(String::new());
        lines.extend(others_table(&report.other_workers).drawn());
    }
    lines
}

fn fleet_lines(fleet: &Snapshot, queue: &str) -> Vec<String> {
    let ready = fleet.workers.iter().filter(|worker| worker.takes_jobs()).count();
    let phase = match fleet.phase {
        Phase::Running => "",
        Phase::Reloading => ", reloading",
        Phase::Draining => ", stopping",
    };
    let elsewhere = if fleet.queue == queue {
        String::new()
    } else {
        format!(" of queue {:?}", fleet.queue)
    };
    let mut lines = Vec::new();
    if let Some(supervisor) = &fleet.supervisor {
        lines.push(format!(
            "fleet     process {}, up {}, {ready} of {} workers take jobs{elsewhere}{phase}",
            supervisor.pid,
            span(supervisor.uptime_seconds),
            fleet.wanted
        ));
    }
    if let Some(health) = &fleet.health {
        let process = health
            .pid
            .map_or_else(|| "no process".to_owned(), |pid| format!("process {pid}"));
        lines.push(format!("health    {process}, http://{}/health", health.address));
    }
    if let Some(database) = &fleet.private_database {
        lines.push(match (database.running, &database.reason) {
            (true, _) => "database  private PostgreSQL, running".to_owned(),
            (false, Some(reason)) => format!("database  private PostgreSQL, {}: {reason}", "down".red()),
            (false, None) => format!("database  private PostgreSQL, {}", "down".red()),
        });
    }
    lines
}

fn queue_line(report: &Report) -> String {
    let database = &report.database;
    let said = match (&database.queue, &database.reason) {
        (Some(queue), _) => queue_counts(queue) + &trouble(report, queue),
        (None, Some(reason)) => format!("{}: {reason}", "unknown".red()),
        (None, None) => "unknown".red().to_string(),
    };
    format!("queue     {}: {said}", database.name)
}

fn queue_counts(queue: &QueueStatus) -> String {
    let oldest = queue
        .oldest_waiting_seconds
        .map_or_else(String::new, |age| format!(" (the oldest for {})", span(age)));
    format!("{} running, {} waiting{oldest}", queue.running, queue.queued)
}

/// Why jobs are not taken, unless the table of the workers shows it.
fn trouble(report: &Report, queue: &QueueStatus) -> String {
    if report.is_listened() {
        return match queue.stranded {
            0 => String::new(),
            count => format!(", {count} of them of a version that no worker runs"),
        };
    }
    if report.fleet_of_queue().is_some() {
        return String::new();
    }
    let serve = output::serve_command(&report.database.name);
    format!("; no worker is listening on it; start one with: {serve}")
}

fn worker_table(workers: &[WorkerView]) -> Table {
    let mut table = Table::new(["SLOT", "PID", "STATE", "BEAT", "RESTARTS", "JOB", "LAST EXIT"]);
    for worker in workers {
        table.row([
            worker.slot.to_string(),
            worker.pid.map_or_else(|| "-".to_owned(), |pid| pid.to_string()),
            worker.state.name().to_owned(),
            worker.heartbeat_age_seconds.map_or_else(|| "-".to_owned(), span),
            worker.restarts.to_string(),
            jobs(&worker.running),
            last_exit(worker),
        ]);
    }
    table
}

fn others_table(workers: &[Presence]) -> Table {
    let mut table = Table::new(["OTHER WORKER", "PID", "STATE", "BEAT", "QUEUE"]);
    for worker in workers {
        let state = match (worker.is_live(), worker.draining) {
            (false, _) => "silent",
            (true, true) => "draining",
            (true, false) => "live",
        };
        table.row([
            worker.executor_id.clone(),
            worker.pid.to_string(),
            state.to_owned(),
            span(worker.heartbeat_age_seconds),
            worker.queue.clone(),
        ]);
    }
    table
}

/// The first job with its step, and how many there are besides.
fn jobs(running: &[RunningJob]) -> String {
    let Some(job) = running.first() else {
        return "-".to_owned();
    };
    let progress = output::progress(job).map_or_else(String::new, |said| format!(" {said}"));
    let more = match running.len() {
        1 => String::new(),
        count => format!(" and {} more", count - 1),
    };
    format!("{}{progress} {}{more}", output::name(job), span(job.seconds))
}

/// How the last process ended, or why there is none.
fn last_exit(worker: &WorkerView) -> String {
    match (&worker.start_failure, &worker.last_exit) {
        (Some(reason), _) => reason.clone(),
        (None, Some(end)) => exit(end),
        (None, None) => "-".to_owned(),
    }
}

fn exit(exit: &LastExit) -> String {
    let how = match (&exit.signal, exit.code) {
        (Some(signal), _) => signal.clone(),
        (None, Some(code)) => format!("code {code}"),
        (None, None) => "unknown".to_owned(),
    };
    format!("{how} {} ago", span(exit.age_seconds))
}

/// A time in its one largest unit, with a tenth below ten seconds.
fn span(seconds: f64) -> String {
    match seconds {
        ..10.0 => format!("{:.1}s", seconds.max(0.0)),
        10.0..60.0 => format!("{seconds:.0}s"),
        60.0..3600.0 => format!("{:.0}m", (seconds / 60.0).floor()),
        3600.0..86400.0 => format!("{:.0}h", (seconds / 3600.0).floor()),
        _ => format!("{:.0}d", (seconds / 86400.0).floor()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_span_is_short_and_never_negative() {
        for (seconds, text) in [
            (-1.0, "0.0s"),
            (0.26, "0.3s"),
            (59.0, "59s"),
            (61.0, "1m"),
            (7300.0, "2h"),
            (200_000.0, "2d"),
        ] {
            assert_eq!(span(seconds), text);
        }
    }
}
