//! Literal reports and what is drawn of them.

use std::time::Duration;

use durable_jobs::client::{Limit, QueueStatus, Rate};
use durable_jobs::record::Details;
use worker_fleet::snapshot::{PrivateDatabase, ServingView, SupervisorView};

use super::super::QueueReport;
use super::*;

fn worker(slot: u32, state: WorkerState) -> WorkerSnapshot {
    WorkerSnapshot {
        slot,
        executor_id: Some(format!("host/{slot}")),
        pid: Some(10_000 + slot),
        state,
        state_seconds: 3.0,
        heartbeat_age_seconds: Some(0.24),
        database: None,
        host: None,
        restarts: slot,
        restart_in_seconds: None,
        start_failure: None,
        last_exit: None,
        running: Vec::new(),
    }
}

fn busy(slot: u32) -> WorkerSnapshot {
    let job = RunningJob {
        workflow_id: "id".to_owned(),
        details: Details::default().with("n", 46),
        attempt: Some(1),
        step: Some("compute".to_owned()),
        progress: Some(0.21),
        phase: None,
        bytes: None,
        seconds: 1.5,
    };
    WorkerSnapshot {
        running: vec![job],
        ..worker(slot, WorkerState::Busy)
    }
}

fn ended(slot: u32, state: WorkerState, signal: Option<&str>, reason: Option<&str>) -> WorkerSnapshot {
    let last_exit = WorkerExit {
        pid: 99,
        code: signal.is_none().then_some(2),
        signal: signal.map(str::to_owned),
        reason: reason.map(str::to_owned),
        ran_seconds: 7.0,
        age_seconds: 3.4,
    };
    WorkerSnapshot {
        pid: None,
        heartbeat_age_seconds: None,
        restart_in_seconds: Some(42.0),
        last_exit: Some(last_exit),
        ..worker(slot, state)
    }
}

/// A fleet with a worker in every state but two.
fn report() -> StatusReport {
    let clash = "executor id host/4 is in use by process 4711 on host; stop it or use another slot";
    let workers = vec![
        busy(0),
        worker(1, WorkerState::Idle),
        worker(2, WorkerState::Wedged),
        ended(3, WorkerState::Dead, Some("SIGKILL"), None),
        ended(4, WorkerState::CrashLoop, None, Some(clash)),
        worker(5, WorkerState::Draining),
    ];
    StatusReport {
        fleet_directory: "/data/fleet".to_owned(),
        fleet: Some(Snapshot {
            supervisor: Some(SupervisorView {
                database: String::new(),
                pid: 9_999,
                uptime_seconds: 61.0,
            }),
            phase: Phase::Running,
            queue: "fibonacci".to_owned(),
            wanted: 6,
            workers,
            health: Some(ServingView {
                pid: Some(9_998),
                address: "127.0.0.1:8080".to_owned(),
                restarts: 0,
                last_exit: None,
            }),
            web: None,
            private_database: Some(PrivateDatabase::RUNNING),
        }),
        fleet_reason: None,
        wrong_clocks: Vec::new(),
        database: QueueReport {
            name: "fibonacci".to_owned(),
            queue: Some(QueueStatus {
                queued: 12,
                running: 1,
                oldest_waiting_seconds: Some(75.0),
                priorities: Vec::new(),
                paused: false,
                limit: None,
                stranded: 0,
            }),
            connections: None,
            reason: None,
        },
        other_workers: Vec::new(),
    }
}

fn plain(columns: Option<usize>) -> Vec<String> {
    let lines = lines(&report(), columns);
    lines.iter().map(|line| output::unpainted(line)).collect()
}

#[test]
fn limits_and_priorities_are_said_where_there_are_any() {
    let mut report = report();
    let queue = report.database.queue.as_mut().unwrap();
    let wait = |priority, oldest_waiting_seconds| PriorityWait {
        priority,
        due: 1,
        oldest_waiting_seconds,
    };
    queue.priorities = vec![wait(0, 3.0)];
    assert_eq!(queue_counts(queue), "1 running, 12 waiting (the oldest for 1m)");
    queue.priorities.push(wait(9, 7200.0));
    queue.limit = Some(Limit {
        rate: Some(Rate::new(100, Duration::from_mins(1))),
        concurrency: Some(2),
    });
    assert_eq!(
        queue_counts(queue),
        "1 running, 12 waiting (the oldest for 1m), by priority: 0 3.0s, 9 2h; \
         it starts 100 in 1m and runs 2 at once at most"
    );
}

#[test]
fn a_status_fits_every_terminal_from_forty_columns_on() {
    for columns in 40..=140 {
        for line in plain(Some(columns)) {
            assert!(line.chars().count() <= columns, "{columns}: {line}");
        }
    }
    assert_eq!(plain(Some(300)), plain(None), "a pipe has room for everything");
}

#[test]
fn a_status_at_forty_columns_is_what_was_agreed() {
    insta::assert_snapshot!(plain(Some(40)).join("\n"));
}

#[test]
fn a_status_at_sixty_columns_is_what_was_agreed() {
    insta::assert_snapshot!(plain(Some(60)).join("\n"));
}

#[test]
fn a_status_at_a_hundred_columns_is_what_was_agreed() {
    insta::assert_snapshot!(plain(Some(100)).join("\n"));
}

#[test]
fn states_differ_in_colour_and_troubled_ones_in_word() {
    let drawn = lines(&report(), Some(100)).join("\n");
    for painted in [
        "busy".cyan().to_string(),
        "idle".green().to_string(),
        "draining".yellow().to_string(),
        "WEDGED".red().bold().to_string(),
        "DEAD".red().bold().to_string(),
        "CRASH-LOOP".red().bold().to_string(),
    ] {
        assert!(drawn.contains(&painted), "{painted:?} is not in {drawn:?}");
    }
}

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
