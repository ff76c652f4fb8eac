//! A fleet without its supervisor, its health process, its log or its database: what `/health` says
//! meanwhile, and what is left.

use std::os::unix::process::ExitStatusExt;
use std::thread;
use std::time::{Duration, Instant};

use serde_json::Value;
use testkit::{
    Deadline, PrivateServer, Process, Signal, TempDir, children_of, descendants_of, eventually, is_alive,
};

use crate::fleet::rig::{
    Fleet, Watch, adopt_orphans, await_ends, computing_process, end_by, field, pid_of, signal, signal_all,
    stop, workers_in,
};
use crate::http;
use crate::rig::{Rig, bare, code, objects, run};

/// Asserts what has to hold when the supervisor ends by a signal that it cannot or does not handle.
#[track_caller]
fn assert_nothing_is_left_after(deadly: Signal) {
    let rig = Rig::new();
    adopt_orphans();
    let mut fleet = Fleet::start(&rig, &["--workers", "3"]);
    let ids = rig.submit(&["--algorithm", "recursive", "50", "50"]);
    let busy: Vec<u32> = fleet.busy_workers(2).iter().map(pid_of).collect();
    let computing: Vec<u32> = busy.iter().map(|pid| computing_process(*pid)).collect();
    let all = descendants_of(fleet.process.pid());
    assert_eq!(
        all.len(),
        6,
        "health, three workers and what computes for two: {all:#?}"
    );
    // Who is stopped cannot act on anything that it is told, nor sees that anyone is gone.
    stop(busy[0]);
    stop(computing[0]);
    let watch = Watch::start(&fleet.address);
    assert_eq!(fleet.get("/livez").status, 200);
    end_by(fleet.process.pid(), deadly);
    await_ends(Deadline::after(Duration::from_secs(2)), &all);
    assert_eq!(fleet.process.wait_exit().signal(), Some(deadly.as_raw()));
    let farewell = watch.last_words();
    assert!(
        !farewell.is_empty() && farewell.iter().all(|words| words.contains("supervisor")),
        "{farewell:#?}"
    );
    // Nothing of the old fleet is in the way of a new one.
    let second = Fleet::start(&rig, &["--workers", "3"]);
    let mut taken_up: Vec<_> = second.busy_workers(2);
    taken_up.sort_by_key(|worker| worker["running"][0]["workflow_id"] != ids[0].as_str());
    for (worker, id) in taken_up.iter().zip(&ids) {
        assert_eq!(worker["running"][0]["workflow_id"], id.as_str(), "{taken_up:#?}");
        assert_eq!(code(&rig.run(["cancel", id])), 0);
    }
}

#[test]
fn a_killed_supervisor_leaves_no_process_and_health_says_so() {
    assert_nothing_is_left_after(Signal::KILL);
}

#[test]
fn a_supervisor_that_aborts_leaves_no_process() {
    assert_nothing_is_left_after(Signal::ABORT);
}

#[test]
fn a_supervisor_with_a_segmentation_fault_leaves_no_process() {
    assert_nothing_is_left_after(Signal::SEGV);
}

#[test]
fn a_stopped_health_process_ends_with_a_killed_supervisor() {
    let rig = Rig::new();
    adopt_orphans();
    let mut fleet = Fleet::start(&rig, &["--workers", "1"]);
    let health = u32::try_from(fleet.health()["pid"].as_u64().unwrap()).unwrap();
    signal(health, Signal::STOP);
    // Longer than between two of its heartbeats, so that it wakes up to both: one to send, and nobody to send it to.
    thread::sleep(Duration::from_secs(1));
    fleet.process.kill();
    Deadline::after(Duration::from_secs(2)).eventually("its end", || !is_alive(health));
}

#[test]
fn show_tells_how_the_worker_of_an_attempt_died() {
    let rig = Rig::new();
    let fleet = Fleet::start(&rig, &["--workers", "1"]);
    let id = rig.submit(&["--algorithm", "recursive", "50"]).remove(0);
    let killed = pid_of(&fleet.busy_worker());
    signal(killed, Signal::KILL);
    let attempts = eventually("the next attempt", || {
        let shown = objects(&rig.run(["show", "--json", &id])).remove(0);
        let attempts = shown["attempt_history"].clone();
        if attempts[0]["end"]["kind"] == "worker_died" && attempts[1].is_object() {
            Ok(attempts)
        } else {
            Err(attempts)
        }
    });
    assert_eq!(attempts[0]["pid"], killed, "{attempts:#}");
    assert_eq!(attempts[0]["end"]["reason"], "SIGKILL", "{attempts:#}");
    assert_eq!(
        (&attempts[1]["pid"], &attempts[1]["end"]),
        (&fleet.pid(0).into(), &Value::Null)
    );
    let host = attempts[0]["host"].as_str().unwrap();
    assert_eq!(attempts[0]["executor_id"], format!("{host}/0"));
    let shown = rig.run(["show", &id]).stdout.join("\n");
    assert!(shown.contains("its worker died: SIGKILL"), "{shown}");
    assert_eq!(code(&rig.run(["cancel", &id])), 0);
}

#[test]
fn a_killed_health_process_is_replaced_without_the_workers() {
    let rig = Rig::new();
    let fleet = Fleet::start(&rig, &["--workers", "1"]);
    let before = fleet.health();
    signal(
        u32::try_from(before["pid"].as_u64().unwrap()).unwrap(),
        Signal::KILL,
    );
    // The port was never free, so the very next question waits for an answer instead of being refused.
    let after = eventually("an answer of another process", || {
        let after = fleet.health();
        if after["pid"] == before["pid"] {
            Err(after)
        } else {
            Ok(after)
        }
    });
    assert_eq!(
        (
            &after["health"]["restarts"],
            &after["health"]["last_exit"]["signal"]
        ),
        (&1.into(), &"SIGKILL".into()),
        "{after}"
    );
    assert_eq!(after["workers"][0]["pid"], before["workers"][0]["pid"], "{after}");
    assert_eq!(after["workers"][0]["restarts"], 0, "{after}");
}

#[test]
fn a_stopped_health_process_is_killed_and_replaced() {
    let rig = Rig::new();
    let fleet = Fleet::start(&rig, &["--workers", "1", "--watchdog", "2s"]);
    let before = fleet.health();
    signal(
        u32::try_from(before["pid"].as_u64().unwrap()).unwrap(),
        Signal::STOP,
    );
    fleet.process.wait_for_line("killing the health process");
    fleet.process.wait_for_lines("health process started", 2);
    let after = fleet.health();
    assert_ne!(after["pid"], before["pid"]);
    assert_eq!(after["workers"][0]["pid"], before["workers"][0]["pid"], "{after}");
}

#[test]
fn a_supervisor_that_was_stopped_kills_nobody_when_it_goes_on() {
    let rig = Rig::new();
    let fleet = Fleet::start(&rig, &["--workers", "2", "--watchdog", "3s"]);
    let before = fleet.health();
    fleet.process.signal(Signal::STOP);
    http::await_status(&fleet.address, "/livez", 503);
    let health = fleet.health();
    assert_eq!(health["workers"][0]["state"], "unknown", "{health}");
    assert_eq!(health["status"], "unhealthy", "{health}");
    fleet.process.signal(Signal::CONT);
    let after = fleet.await_health();
    for slot in 0..2 {
        assert_eq!(
            after["workers"][slot]["pid"], before["workers"][slot]["pid"],
            "{after}"
        );
    }
}

#[test]
fn a_whole_fleet_that_was_stopped_goes_on_and_nobody_is_blamed() {
    let rig = Rig::new();
    let fleet = Fleet::start(&rig, &["--workers", "2", "--watchdog", "1s"]);
    let before = fleet.await_health();
    let all: Vec<u32> = children_of(fleet.process.pid())
        .iter()
        .map(|child| child.pid)
        .collect();
    fleet.process.signal(Signal::STOP);
    signal_all(&all, Signal::STOP);
    // Longer than any patience with a worker whose heartbeat does not get through: the subject of the test.
    thread::sleep(Duration::from_secs(9));
    fleet.process.signal(Signal::CONT);
    signal_all(&all, Signal::CONT);
    fleet.process.wait_for_line("nobody is blamed");
    let after = fleet.await_health();
    for slot in 0..2 {
        let (was, is) = (&before["workers"][slot], &after["workers"][slot]);
        assert_eq!((&is["pid"], &is["restarts"]), (&was["pid"], &0.into()), "{after}");
    }
}

#[test]
fn a_fleet_whose_log_nobody_reads_any_more_goes_on() {
    let rig = Rig::new();
    let mut command = rig.abaci([
        "fleet",
        "--health-addr",
        "none",
        "--workers",
        "1",
        "--until-stdin-closes",
    ]);
    let (log, end_of_log) = std::io::pipe().unwrap();
    let (end_of_stdin, stdin) = std::io::pipe().unwrap();
    command.stdin(end_of_stdin).stderr(end_of_log);
    let mut fleet = command.spawn().unwrap();
    drop(command);
    eventually("a worker", || code(&rig.run(["status"])) == 0);
    drop(log);
    let workers = children_of(fleet.id());
    signal(workers[0].pid, Signal::KILL);
    assert_eq!(code(&rig.run(["submit", "10"])), 0, "it did not outlive its log");
    drop(stdin);
    eventually("its end in order", || {
        fleet.try_wait().unwrap().is_some_and(|end| end.success())
    });
}

#[test]
fn twenty_seconds_without_the_database_restart_nobody() {
    let mut database = PrivateServer::new();
    let (url, home) = (database.create_database("jobs"), TempDir::new());
    let abaci = |arguments: &[&str]| {
        let mut command = bare(&home, arguments);
        command.env("ABACI_DATABASE_URL", &url);
        command
    };
    let fleet = Process::spawn(abaci(&[
        "fleet",
        "--workers",
        "2",
        "--health-addr",
        "127.0.0.1:0",
    ]));
    let address = field(&fleet.wait_for_line("health process started"), "address");
    fleet.wait_for_line("fleet ready");
    let before = http::get(&address, "/health").json();
    let watch = Watch::start(&address);
    let submitted = run(abaci(&["submit", "--detach", "--algorithm", "recursive", "45"]));
    fleet.wait_for_line("job started");
    database.stop_immediate();
    let gone = Instant::now();
    let ready = http::await_status(&address, "/readyz", 503);
    assert!(ready.body.contains("database"), "{}", ready.body);
    // The length of the outage is the subject of the test.
    thread::sleep(Duration::from_secs(20).saturating_sub(gone.elapsed()));
    let during = http::get(&address, "/health");
    assert_eq!(
        (during.status, during.json()["database"]["status"].clone()),
        (503, "unreachable".into())
    );
    database.start();
    http::await_status(&address, "/readyz", 200);
    watch.assert_never_stopped();
    let output = run(abaci(&["wait", "--json", &submitted.stdout[0]]));
    assert_eq!(code(&output), 0, "{output:#?}");
    assert_eq!(objects(&output)[0]["value"], "1134903170");
    let after = http::get(&address, "/health").json();
    for slot in 0..2 {
        let (was, is) = (&before["workers"][slot], &after["workers"][slot]);
        assert_eq!((&is["pid"], &is["restarts"]), (&was["pid"], &0.into()), "{after}");
    }
}

#[test]
fn a_fleet_started_before_its_database_waits_for_it() {
    let mut database = PrivateServer::new();
    let (url, home) = (database.create_database("jobs"), TempDir::new());
    database.stop();
    let mut command = bare(&home, ["fleet", "--workers", "2", "--health-addr", "127.0.0.1:0"]);
    command.env("ABACI_DATABASE_URL", &url);
    let fleet = Process::spawn(command);
    let address = field(&fleet.wait_for_line("health process started"), "address");
    let health = || http::get(&address, "/health").json();
    let before = eventually("workers that start", || {
        let (health, workers) = (health(), workers_in(&health()));
        let are_starting = workers.iter().all(|worker| worker["state"] == "starting");
        if workers.len() == 2 && are_starting {
            Ok(workers)
        } else {
            Err(health)
        }
    });
    // Each has tried and failed, and is still there.
    fleet.wait_for_lines("waiting for the database", 2);
    assert_eq!(http::get(&address, "/livez").status, 200);
    let ready = http::get(&address, "/readyz");
    assert_eq!(ready.status, 503, "{}", ready.body);
    for words in [
        "worker 0 has been starting",
        "worker 1 has been starting",
        "the database does not answer",
    ] {
        assert!(ready.body.contains(words), "{words:?} is not in: {}", ready.body);
    }
    database.start();
    fleet.wait_for_line("fleet ready");
    http::await_status(&address, "/readyz", 200);
    for (is, was) in workers_in(&health()).iter().zip(&before) {
        assert_eq!((&is["pid"], &is["restarts"]), (&was["pid"], &0.into()), "{is}");
    }
}
