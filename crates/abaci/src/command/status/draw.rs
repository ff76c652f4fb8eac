//! The lines of `abaci status`.

use durable_jobs::client::{PriorityWait, QueueStatus};
use durable_jobs::database::ConnectionLimit;
use durable_jobs::presence::{Liveness, Presence};
use durable_jobs::record::RunningJob;
use durable_jobs::worker::FEWEST_CONNECTIONS;
use worker_fleet::snapshot::{Phase, Snapshot, WorkerExit, WorkerSnapshot, WorkerState};

use super::StatusReport;
use crate::output::{self, Paint, Table};

/// As wide as lines become where there is no terminal.
const UNLIMITED: usize = usize::MAX;

/// No terminal counts as narrower.
const NARROWEST: usize = 40;

/// The columns of workers that a narrow terminal goes without, the first of them first.
const DISPENSABLE: [&str; 4] = ["BEAT", "RESTARTS", "LAST EXIT", "PID"];

/// The same of other workers.
const DISPENSABLE_OF_OTHERS: [&str; 2] = ["BEAT", "PID"];

/// Everything, line by line, each no longer than the terminal is wide.
pub(super) fn lines(report: &StatusReport, columns: Option<usize>) -> Vec<String> {
    let width = columns.map_or(UNLIMITED, |columns| columns.max(NARROWEST));
    let mut facts = Vec::new();
    match (&report.fleet, &report.fleet_reason) {
        (Some(fleet), _) => facts.extend(fleet_facts(fleet, &report.database.name)),
        (None, Some(reason)) => facts.push(("fleet     ", format!("{}: {reason}", "unknown".red()))),
        (None, None) => facts.push(("fleet     ", format!("none runs in {}", report.fleet_directory))),
    }
    facts.push(("queue     ", queue_fact(report)));
    if let Some(limit) = report
        .database
        .connections
        .as_ref()
        .filter(|limit| limit.left <= FEWEST_CONNECTIONS)
    {
        let ConnectionLimit { whose, allowed, left } = limit;
        let said = format!("{} left of the {allowed} that {whose} allows", left.yellow());
        facts.push(("connections ", said));
    }
    let clocks = report.wrong_clocks.iter();
    facts.extend(clocks.map(|clock| ("clock     ", clock.to_string().yellow().to_string())));
    let mut lines: Vec<String> = facts
        .iter()
        .flat_map(|(label, text)| output::labelled(label, text, width))
        .collect();
    if let Some(fleet) = &report.fleet {
        lines.push(String::new());
        lines.extend(workers(&fleet.workers, width));
    }
    if !report.other_workers.is_empty() {
        lines.push(String::new());
        let mut table = others_table(&report.other_workers);
        table.fit(width, &DISPENSABLE_OF_OTHERS);
        lines.extend(table.drawn());
    }
    lines
}

/// A label and the text behind it.
type Fact = (&'static str, String);

fn fleet_facts(fleet: &Snapshot, queue: &str) -> Vec<Fact> {
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
    let mut facts = Vec::new();
    if let Some(supervisor) = &fleet.supervisor {
        let said = format!(
            "process {}, up {}, {ready} of {} workers take jobs{elsewhere}{phase}",
            supervisor.pid,
            span(supervisor.uptime_seconds),
            fleet.wanted
        );
        facts.push(("fleet     ", said));
    }
    if let Some(health) = &fleet.health {
        let process = health
            .pid
            .map_or_else(|| "no process".to_owned(), |pid| format!("process {pid}"));
        facts.push((
            "health    ",
            format!("{process}, http://{}/health", health.address),
        ));
    }
    if let Some(web) = &fleet.web {
        let process = web
            .pid
            .map_or_else(|| "no process".to_owned(), |pid| format!("process {pid}"));
        facts.push(("page      ", format!("{process}, http://{}/", web.address)));
    }
    if let Some(database) = &fleet.private_database {
        let said = match (database.running, &database.reason) {
            (true, _) => "private PostgreSQL, running".to_owned(),
            (false, Some(reason)) => format!("private PostgreSQL, {}: {reason}", "down".red()),
            (false, None) => format!("private PostgreSQL, {}", "down".red()),
        };
        facts.push(("database  ", said));
    }
    facts
}

fn queue_fact(report: &StatusReport) -> String {
    let database = &report.database;
    let said = match (&database.queue, &database.reason) {
        (Some(queue), _) => queue_counts(queue) + &queue_trouble(report, queue),
        (None, Some(reason)) => format!("{}: {reason}", "unknown".red()),
        (None, None) => "unknown".red().to_string(),
    };
    format!("{}: {said}", database.name)
}

fn queue_counts(queue: &QueueStatus) -> String {
    let oldest = queue
        .oldest_waiting_seconds
        .map_or_else(String::new, |age| format!(" (the oldest for {})", span(age)));
    let limit = queue.limit.as_ref().map(output::limit);
    let limit = limit.map_or_else(String::new, |limit| format!("; it {limit}"));
    format!(
        "{} running, {} waiting{oldest}{}{limit}",
        queue.running,
        queue.queued,
        oldest_by_priority(&queue.priorities)
    )
}

/// Says how long the oldest of each priority has waited, where there are several: the last may starve.
fn oldest_by_priority(priorities: &[PriorityWait]) -> String {
    let oldest = |wait: &PriorityWait| format!("{} {}", wait.priority, span(wait.oldest_waiting_seconds));
    match priorities {
        [] | [_] => String::new(),
        several => {
            let said: Vec<String> = several.iter().map(oldest).collect();
            format!(", by priority: {}", said.join(", "))
        }
    }
}

/// Says why jobs are not taken, unless the table of the workers shows it.
fn queue_trouble(report: &StatusReport, queue: &QueueStatus) -> String {
    if queue.paused {
        let resume = output::resume_queue_command(&report.database.name);
        return format!("; it is {}: {resume}", "paused".yellow());
    }
    if report.is_listened() {
        return match queue.stranded {
            0 => String::new(),
            count => format!(", {count} of them of a version or a type that no worker runs"),
        };
    }
    if report.fleet_of_queue().is_some() {
        return String::new();
    }
    let serve = output::serve_command(&report.database.name);
    format!("; no worker is listening on it; start one with: {serve}")
}

/// The table of workers, and below it why some of them take no jobs.
fn workers(workers: &[WorkerSnapshot], width: usize) -> Vec<String> {
    let mut table = worker_table(workers);
    table.fit(width, &DISPENSABLE);
    // The widths count characters, so the colours come after the layout.
    let mut lines = table.lines();
    // Left of it are only numbers and dashes: the byte in the header is the same in each row.
    let column = lines.first().and_then(|header| header.find(STATE));
    for (line, worker) in lines.iter_mut().skip(1).zip(workers) {
        if let Some(column) = column {
            paint(line, column, worker.state);
        }
    }
    let mut lines = output::with_bold_header(lines);
    let troubles: Vec<_> = workers.iter().filter_map(trouble).collect();
    if !troubles.is_empty() {
        lines.push(String::new());
    }
    let told = troubles
        .iter()
        .flat_map(|(label, text)| output::labelled(label, text, width));
    lines.extend(told);
    lines
}

/// The header over what the workers are doing.
const STATE: &str = "STATE";

fn worker_table(workers: &[WorkerSnapshot]) -> Table {
    let mut table = Table::new(["SLOT", "PID", STATE, "BEAT", "RESTARTS", "JOB", "LAST EXIT"]);
    for worker in workers {
        table.row([
            worker.slot.to_string(),
            worker.pid.map_or_else(|| "-".to_owned(), |pid| pid.to_string()),
            word(worker.state),
            worker.heartbeat_age_seconds.map_or_else(|| "-".to_owned(), span),
            worker.restarts.to_string(),
            jobs(&worker.running),
            last_exit(worker),
        ]);
    }
    table
}

/// Returns the word for a state; in capitals where attention is needed, so that it stands out without colour, too.
fn word(state: WorkerState) -> String {
    if is_trouble(state) {
        state.name().to_uppercase()
    } else {
        state.name().to_owned()
    }
}

fn is_trouble(state: WorkerState) -> bool {
    match state {
        WorkerState::Starting | WorkerState::Idle | WorkerState::Busy | WorkerState::Draining => false,
        WorkerState::Wedged | WorkerState::CrashLoop | WorkerState::Dead | WorkerState::Unknown => true,
    }
}

/// Gives the word for a state its colour; it begins at this byte of the line.
fn paint(line: &mut String, column: usize, state: WorkerState) {
    let word = word(state);
    let range = column..column + word.len();
    // On a narrow terminal the word may have been cut; then it stays plain.
    if line.get(range.clone()) != Some(word.as_str()) {
        return;
    }
    let painted = match state {
        WorkerState::Idle => word.green().to_string(),
        WorkerState::Busy => word.cyan().to_string(),
        WorkerState::Starting | WorkerState::Draining => word.yellow().to_string(),
        WorkerState::Wedged | WorkerState::CrashLoop | WorkerState::Dead | WorkerState::Unknown => {
            word.red().bold().to_string()
        }
    };
    line.replace_range(range, &painted);
}

/// Explains why a worker takes no jobs, with the message of its host's system or of its last process, and the next attempt.
fn trouble(worker: &WorkerSnapshot) -> Option<(String, String)> {
    let label = format!("slot {}    ", worker.slot);
    if let Some(host) = worker.host.as_ref().filter(|_| worker.state.is_ready()) {
        let next = span(host.retry_in_seconds);
        return Some((label, format!("{}; next try in {next}", host.reason)));
    }
    let said = worker.last_exit.as_ref().filter(|exit| exit.reason.is_some());
    let why = worker.start_failure.clone().or_else(|| said.map(WorkerExit::how));
    let why = why.filter(|_| !worker.state.is_ready() && worker.state != WorkerState::Draining)?;
    let next = worker.restart_in_seconds;
    let next = next.map_or_else(String::new, |seconds| format!("; next try in {}", span(seconds)));
    Some((label, format!("{why}{next}")))
}

fn others_table(workers: &[Presence]) -> Table {
    let mut table = Table::new(["OTHER WORKER", "PID", "STATE", "BEAT", "QUEUE"]);
    for worker in workers {
        table.row([
            worker.executor_id.clone(),
            worker.pid.to_string(),
            state_of(worker).to_owned(),
            span(worker.heartbeat_age_seconds),
            worker.queue.clone(),
        ]);
    }
    table
}

/// Returns the word for a worker that is known from the database only.
fn state_of(worker: &Presence) -> &'static str {
    match worker.liveness() {
        Liveness::Gone => "gone",
        Liveness::Silent => "silent",
        Liveness::Reconnecting => "reconnecting",
        Liveness::Connected if worker.draining => "draining",
        Liveness::Connected => "live",
    }
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

/// Says how the last process ended, in short; the reason stands below the table.
fn last_exit(worker: &WorkerSnapshot) -> String {
    match (&worker.start_failure, &worker.last_exit) {
        (Some(_), _) => "not started".to_owned(),
        (None, Some(end)) => exit(end),
        (None, None) => "-".to_owned(),
    }
}

fn exit(exit: &WorkerExit) -> String {
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
mod tests;
