//! Stops that somebody asked for, in order or at once: none of them is a fault of the job that was running.

use std::time::{Duration, Instant};

use testkit::{Output, Process, Signal};

use crate::fleet_rig::{Fleet, await_a_new_wish, computing_process, pid_of, stop};
use crate::rig::{Rig, code, objects};

/// Over two seconds of one core: long enough to be met in the middle.
const LONG: [&str; 3] = ["--algorithm", "recursive", "44"];

/// F(44).
const VALUE: &str = "701408733";

/// So often a job is stopped that would be parked if these were deaths.
const STOPS: usize = 3;

/// Ends whatever runs as Ctrl-C twice does; returns what it has logged, and how long it took from the second on.
#[track_caller]
fn stop_hard(process: Process) -> (Output, Duration) {
    process.signal(Signal::INT);
    process.wait_for_line("asked to stop");
    await_a_new_wish();
    let asked = Instant::now();
    process.signal(Signal::INT);
    let output = process.finish();
    assert_eq!(code(&output), 130, "{output:#?}");
    (output, asked.elapsed())
}

/// The state of the one job's row, and how many of its claims were not given back.
fn row(rig: &Rig) -> String {
    let row = rig
        .database
        .psql("select status, recovery_attempts from dbos.workflow_status");
    row.trim().to_owned()
}

/// Asserts that the job is finished by the next server, as if no other had ever had it.
#[track_caller]
fn assert_costs_nothing(rig: &Rig, id: &str) {
    let server = rig.server(&[]);
    let output = rig.run(["wait", "--json", id]);
    let result = &objects(&output)[0];
    assert_eq!(
        (&result["value"], &result["pid"], &result["attempts"]),
        (&VALUE.into(), &server.pid().into(), &1.into()),
        "{output:#?}"
    );
}

#[test]
fn three_hard_stops_of_a_server_cost_its_job_nothing() {
    let rig = Rig::new();
    let id = rig.submit(&LONG).remove(0);
    for _ in 0..STOPS {
        let server = rig.server(&[]);
        // It cannot end before its server does, however slow this machine is.
        stop(computing_process(server.pid()));
        let (output, _) = stop_hard(server);
        assert!(
            output.stderr.last().unwrap().contains("finished=0 handed_back=1"),
            "{output:#?}"
        );
        assert_eq!(row(&rig), "ENQUEUED|0", "{output:#?}");
    }
    assert_costs_nothing(&rig, &id);
}

#[test]
fn three_hard_stops_of_a_fleet_cost_its_job_nothing() {
    let rig = Rig::new();
    let id = rig.submit(&LONG).remove(0);
    for _ in 0..STOPS {
        let fleet = Fleet::start(&rig, &["--workers", "2"]);
        stop(computing_process(pid_of(&fleet.busy_worker())));
        let (output, took) = stop_hard(fleet.process);
        assert!(took < Duration::from_secs(2), "it took {took:?}: {output:#?}");
        assert_eq!(row(&rig), "ENQUEUED|0", "{output:#?}");
    }
    assert_costs_nothing(&rig, &id);
}

#[test]
fn a_hard_stop_is_one_too_when_the_database_gives_no_answer() {
    for command in [["serve", "--slot", "0"], ["fleet", "--workers", "1"]] {
        let rig = Rig::new();
        let usual = ["--health-addr", "none", "--poll-interval", "5ms"];
        let process = Process::ready(rig.abaci(command.iter().chain(&usual)));
        rig.submit(&LONG);
        process.wait_for_line("job started");
        // Whoever hands a job back waits for this.
        let lock = rig.database.lock("dbos.workflow_status");
        let (output, took) = stop_hard(process);
        assert!(took < Duration::from_secs(2), "it took {took:?}: {output:#?}");
        drop(lock);
        assert_eq!(row(&rig), "PENDING|1", "{output:#?}");
    }
}

#[test]
fn no_reload_and_no_scaling_of_a_fleet_counts_as_a_death() {
    let rig = Rig::new();
    let fleet = Fleet::start(&rig, &["--workers", "2", "--grace", "0s"]);
    let ids = rig.submit(&["--algorithm", "recursive", "44", "44"]);
    for busy in fleet.busy_workers(2) {
        stop(computing_process(pid_of(&busy)));
    }
    assert_eq!(code(&rig.run(["fleet", "reload"])), 0);
    for busy in fleet.busy_workers(2) {
        stop(computing_process(pid_of(&busy)));
    }
    assert_eq!(code(&rig.run(["fleet", "scale", "1"])), 0);
    // The worker that is left has a job that cannot end, until the fleet hands it back too.
    assert_eq!(code(&fleet.stop()), 0);
    let _server = rig.server(&[]);
    for id in &ids {
        let output = rig.run(["wait", "--json", id]);
        let result = &objects(&output)[0];
        assert_eq!(
            (&result["value"], &result["attempts"]),
            (&VALUE.into(), &1.into()),
            "{output:#?}"
        );
    }
}
