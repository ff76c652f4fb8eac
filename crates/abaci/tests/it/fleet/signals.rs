//! Signals and requests to a fleet at awkward moments: before it has come up, while its supervisor stands still, twice.

use std::net::TcpListener;

use testkit::{Process, Signal, eventually, is_alive};

use crate::fleet::rig::{Fleet, control_socket, field, pid_of, signal, stop, try_signal};
use crate::rig::{Rig, assert_refused, code};

/// A rig whose database has its tables.
fn prepared() -> Rig {
    let rig = Rig::new();
    let server = rig.server(&[]);
    server.signal(Signal::TERM);
    assert_eq!(code(&server.finish()), 0);
    rig
}

#[test]
fn a_fleet_whose_workers_all_die_at_their_start_ends() {
    let rig = prepared();
    // A worker cannot come up while nobody can write there.
    let _lock = rig.database.lock("abaci.presence");
    let mut fleet = Fleet::launch(&rig, &["--workers", "1"]);
    let mut killed = 0;
    // One more than the restart intensity allows.
    for _ in 0..6 {
        let starting = fleet.worker_when(0, "starting anew", |worker| {
            worker["state"] == "starting"
                && worker["pid"].as_u64().is_some_and(|pid| pid != u64::from(killed))
        });
        killed = pid_of(&starting);
        signal(killed, Signal::KILL);
    }
    fleet.process.wait_exit();
    let output = fleet.process.finish();
    let last = output.stderr.last().expect("it says why");
    assert!(
        code(&output) == 1
            && last.contains("every worker ends as soon as it starts")
            && last.contains("SIGKILL"),
        "{output:#?}"
    );
    assert!(
        output.stderr.iter().all(|line| !line.contains("fleet ready")),
        "{output:#?}"
    );
}

#[test]
fn a_fleet_that_is_starting_is_neither_scaled_nor_reloaded() {
    let rig = prepared();
    let lock = rig.database.lock("abaci.presence");
    let fleet = Fleet::launch(&rig, &["--workers", "1"]);
    for order in [&["fleet", "scale", "2"][..], &["fleet", "reload"]] {
        assert_refused(&rig.run(order), 1, &["the fleet is starting", "when it is ready"]);
    }
    fleet.process.signal(Signal::HUP);
    fleet.process.wait_for_line("not reloaded");
    drop(lock);
    fleet.process.wait_for_line("fleet ready");
    assert_eq!(code(&rig.run(["fleet", "scale", "2"])), 0);
}

#[test]
fn a_fleet_stopped_before_it_started_anything_ends_in_order() {
    let rig = Rig::new();
    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = taken.local_addr().unwrap().to_string();
    // It waits for two seconds for an address that is taken.
    let mut fleet = Process::spawn(rig.abaci(["fleet", "--health-addr", &address]));
    let socket = control_socket(&rig);
    eventually("its place", || socket.exists());
    // What asks a running fleet for something would end a process that does not listen.
    fleet.signal(Signal::HUP);
    fleet.signal(Signal::TERM);
    assert_eq!(fleet.wait_exit().code(), Some(130));
    assert!(!socket.exists());
}

#[test]
fn an_order_that_its_sender_gave_up_is_not_carried_out_later() {
    let rig = Rig::new();
    let fleet = Fleet::start(&rig, &["--workers", "1"]);
    stop(fleet.process.pid());
    let scale = rig.run(["fleet", "scale", "3"]);
    fleet.process.signal(Signal::CONT);
    assert_refused(&scale, 3, &["the fleet does not answer within 5 s"]);
    assert_eq!(
        rig.run(["fleet", "scale", "2"]).stdout,
        ["scaled from 1 to 2 workers"]
    );
}

#[test]
fn a_reload_to_a_broken_file_says_why_and_replaces_nobody() {
    let rig = Rig::new();
    let file = rig.directory.path().join("abaci.toml");
    std::fs::write(&file, "concurrency = 1\n").unwrap();
    let fleet = Fleet::start(&rig, &["--workers", "2", "--config", file.to_str().unwrap()]);
    let before = [fleet.pid(0), fleet.pid(1)];
    std::fs::write(&file, "concurency = 1\n").unwrap();
    assert_refused(
        &rig.run(["fleet", "reload"]),
        1,
        &[
            "the new worker does not start",
            "concurency",
            "no worker was replaced",
        ],
    );
    assert_eq!([fleet.pid(0), fleet.pid(1)], before);
    fleet.await_health();
}

#[test]
fn a_reload_names_the_slot_that_it_leaves_without_a_worker() {
    let rig = Rig::new();
    let fleet = Fleet::start(&rig, &["--workers", "2"]);
    let other = fleet.pid(1);
    // The spare worker starts, and the one of slot 0 does not.
    rig.database.psql(
        "create function refuse() returns trigger language plpgsql as 'begin raise exception ''not today''; end'; \
         create trigger refuse before insert on abaci.presence for each row when (new.executor_id like '%/0') \
         execute function refuse()",
    );
    assert_refused(
        &rig.run(["fleet", "reload"]),
        1,
        &[
            "not today",
            "no worker was replaced; slot 0 has no worker now, and the next one is tried in 0.",
        ],
    );
    let logged = fleet.process.wait_for_line("the reload was broken off");
    assert_eq!(field(&logged, "slot_without_worker"), "0");
    assert_eq!(fleet.pid(1), other);
    rig.database.psql("drop trigger refuse on abaci.presence");
    fleet.worker_in(0, "idle");
}

#[test]
fn a_reload_without_a_free_slot_for_a_spare_does_without() {
    let rig = Rig::new();
    let fleet = Fleet::start(&rig, &["--workers", "2"]);
    let neighbours = ["2", "3", "4"].map(|slot| rig.server(&["--slot", slot]));
    let output = rig.run(["fleet", "reload"]);
    assert_eq!(code(&output), 0, "{output:#?}");
    assert!(output.stdout[0].starts_with("replaced 2 workers"), "{output:#?}");
    assert!(neighbours.iter().all(|server| is_alive(server.pid())));
    fleet.await_health();
}

#[test]
fn a_wedged_worker_covers_for_nobody_in_a_reload() {
    let rig = Rig::new();
    let fleet = Fleet::start(&rig, &["--workers", "2", "--watchdog", "1h"]);
    let (well, stopped) = (fleet.pid(0), fleet.pid(1));
    signal(stopped, Signal::STOP);
    // With so patient a watchdog it stays; nobody believes it any more after ten seconds.
    fleet.worker_in(1, "wedged");
    let mut reload = Process::spawn(rig.abaci(["fleet", "reload"]));
    while reload.try_exit().is_none() {
        let ready = fleet.get("/readyz");
        assert_eq!(ready.status, 200, "a gap: {}", ready.body);
        let first = fleet.worker(0)["pid"].clone();
        if first.is_number() && first != well {
            // Its own turn: it has to wake up to go, if it has not gone yet.
            let _ = try_signal(stopped, Signal::CONT);
        }
    }
    assert_eq!(code(&reload.finish()), 0);
}

#[test]
fn a_stopped_worker_is_killed_by_the_shortest_watchdog_too() {
    let rig = Rig::new();
    let arguments = [
        "fleet",
        "--workers",
        "1",
        "--watchdog",
        "1s",
        "--health-addr",
        "none",
    ];
    let fleet = Process::spawn(rig.abaci(arguments));
    let stopped = field(&fleet.wait_for_line("worker started"), "pid");
    fleet.wait_for_line("fleet ready");
    signal(stopped.parse().unwrap(), Signal::STOP);
    let killing = fleet.wait_for_line("killing a worker");
    assert_eq!(field(&killing, "pid"), stopped);
    fleet.wait_for_lines("worker started", 2);
    fleet.signal(Signal::TERM);
    assert_eq!(code(&fleet.finish()), 0);
}

#[test]
fn a_hang_up_begins_an_end_and_never_hastens_it() {
    let rig = Rig::new();
    let server = rig.server(&[]);
    let id = rig.submit(&["--algorithm", "recursive", "43"]).remove(0);
    server.wait_for_line("job started");
    // Of a terminal that goes away both the shell and the kernel may tell.
    server.signal(Signal::HUP);
    server.wait_for_line("asked to stop");
    server.signal(Signal::HUP);
    let output = server.finish();
    assert_eq!(code(&output), 0, "{output:#?}");
    assert!(
        output.stderr.last().unwrap().contains("finished=1"),
        "{output:#?}"
    );
    assert_eq!(code(&rig.run(["wait", &id])), 0);
}
