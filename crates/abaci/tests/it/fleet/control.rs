//! Steering a running fleet: more and fewer workers, new ones for old, and what `abaci status` shows.

use std::os::unix::fs::PermissionsExt;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;

use rustix::process::Signal as Number;
use serde_json::Value;
use testkit::{Process, Signal, eventually};

use crate::fleet::rig::{Fleet, computing_process, control_socket, pid_of, signal, signal_all, workers_in};
use crate::http::Response;
use crate::rig::{Rig, assert_refused, code, objects};

/// Waits until the fleet has exactly these slots, all ready.
#[track_caller]
fn await_workers(fleet: &Fleet, slots: &[u64]) -> Value {
    eventually(&format!("ready workers in {slots:?}"), || {
        let health = fleet.health();
        let found: Vec<u64> = workers_in(&health)
            .iter()
            .filter_map(|worker| worker["slot"].as_u64())
            .collect();
        if found == slots && health["ready_workers"] == slots.len() {
            Ok(health)
        } else {
            Err(health)
        }
    })
}

#[test]
fn a_fleet_scales_both_ways_and_what_runs_is_finished() {
    let rig = Rig::new();
    let fleet = Fleet::start(&rig, &["--workers", "1"]);
    let first = fleet.pid(0);
    let output = rig.run(["fleet", "scale", "3"]);
    assert_eq!(
        (code(&output), output.stdout),
        (0, vec!["scaled from 1 to 3 workers".to_owned()])
    );
    let grown = await_workers(&fleet, &[0, 1, 2]);
    assert_eq!(grown["wanted_workers"], 3, "{grown}");
    let ids = rig.submit(&["--algorithm", "recursive", "43", "43", "43"]);
    let busy = fleet.busy_workers(3);
    // No job ends before the drain was seen, however slow this machine is.
    let computing: Vec<u32> = busy
        .iter()
        .map(|worker| computing_process(pid_of(worker)))
        .collect();
    signal_all(&computing, Signal::STOP);
    assert_eq!(code(&rig.run(["fleet", "scale", "1"])), 0);
    fleet.worker_in(2, "draining");
    assert_eq!(fleet.worker(0)["state"], "busy", "the wrong one has to go");
    signal_all(&computing, Signal::CONT);
    for id in &ids {
        let result = fleet.result_of(id);
        assert_eq!(
            (&result["value"], &result["attempts"]),
            (&"433494437".into(), &1.into()),
            "{result}"
        );
    }
    let shrunk = await_workers(&fleet, &[0]);
    assert_eq!(shrunk["workers"][0]["pid"], first, "{shrunk}");
}

#[test]
fn signals_add_and_remove_a_worker_and_the_last_one_stays() {
    let rig = Rig::new();
    let fleet = Fleet::start(&rig, &["--workers", "1"]);
    signal(fleet.process.pid(), Number::TTIN);
    await_workers(&fleet, &[0, 1]);
    signal(fleet.process.pid(), Number::TTOU);
    await_workers(&fleet, &[0]);
    signal(fleet.process.pid(), Number::TTOU);
    fleet.process.wait_for_line("not scaled");
    await_workers(&fleet, &[0]);
}

#[test]
fn a_number_of_workers_that_makes_no_sense_is_refused() {
    let rig = Rig::new();
    let _fleet = Fleet::start(&rig, &["--workers", "1"]);
    for workers in ["0", "1000"] {
        assert_refused(&rig.run(["fleet", "scale", workers]), 2, &[workers, "1 to 256"]);
    }
    assert_refused(&rig.run(["fleet", "scale", "many"]), 2, &["many"]);
}

/// The answers of `/readyz` during a reload.
#[derive(Debug, Default)]
struct Readiness {
    yes: usize,
    /// Answers that say that no worker takes jobs, or something else that no reload is an excuse for.
    gaps: Vec<String>,
    /// Answers of which all that is said is that the question to the database took too long: this machine is busy.
    doubts: Vec<String>,
}

impl Readiness {
    fn note(&mut self, ready: Response) {
        if ready.status == 200 {
            self.yes += 1;
            return;
        }
        let reasons = ready.json()["reasons"].as_array().cloned().unwrap_or_default();
        let is_doubt = |reason: &Value| {
            let reason = reason.as_str().unwrap_or_default();
            reason.starts_with("the database does not answer: no answer within")
                || reason.starts_with("the database is unknown")
        };
        if ready.status == 503 && !reasons.is_empty() && reasons.iter().all(is_doubt) {
            self.doubts.push(ready.body);
        } else {
            self.gaps.push(ready.body);
        }
    }
}

/// Reloads a fleet while jobs run and readiness is asked for without a pause.
#[track_caller]
fn assert_reloads_without_a_gap(workers: &str, reload: impl Fn(&Rig, &Fleet)) {
    let rig = Rig::new();
    let fleet = Fleet::start(&rig, &["--workers", workers]);
    let before = fleet.await_health();
    let mut submit = vec!["submit", "--json", "--algorithm", "recursive"];
    submit.resize(submit.len() + 12, "39");
    let client = Process::spawn(rig.abaci(&submit));
    client.wait_for_line("\"workflow_id\"");
    let is_over = AtomicBool::new(false);
    let readiness = thread::scope(|scope| {
        let asking = scope.spawn(|| {
            let mut readiness = Readiness::default();
            while !is_over.load(Ordering::Relaxed) {
                readiness.note(fleet.get("/readyz"));
                // Without a pause it would take the processor from what it watches.
                thread::sleep(std::time::Duration::from_millis(2));
            }
            readiness
        });
        reload(&rig, &fleet);
        is_over.store(true, Ordering::Relaxed);
        asking.join().expect("every question was answered")
    });
    assert!(
        readiness.gaps.is_empty() && readiness.yes > readiness.doubts.len(),
        "not ready at some moments: {readiness:#?}"
    );
    let output = client.finish();
    assert_eq!(code(&output), 0, "{output:#?}");
    let results = objects(&output);
    assert!(
        results
            .iter()
            .all(|result| result["value"] == "63245986" && result["attempts"] == 1),
        "{results:#?}"
    );
    let slots: Vec<u64> = (0..workers.parse().unwrap()).collect();
    let after = await_workers(&fleet, &slots);
    for slot in 0..slots.len() {
        let (was, is) = (&before["workers"][slot], &after["workers"][slot]);
        assert_ne!(is["pid"], was["pid"], "{after}");
        assert_eq!(
            (&is["executor_id"], &is["restarts"]),
            (&was["executor_id"], &0.into()),
            "{after}"
        );
    }
}

fn by_command(rig: &Rig, fleet: &Fleet) {
    let output = rig.run(["fleet", "reload"]);
    assert_eq!(code(&output), 0, "{output:#?}\n{:#?}", fleet.process.stderr());
    assert!(output.stdout[0].starts_with("replaced"), "{output:#?}");
}

#[test]
fn a_reload_replaces_every_worker_and_one_is_always_ready() {
    assert_reloads_without_a_gap("2", by_command);
}

#[test]
fn a_reload_of_a_single_worker_has_no_gap_either() {
    assert_reloads_without_a_gap("1", by_command);
}

#[test]
fn sighup_reloads() {
    assert_reloads_without_a_gap("2", |_, fleet| {
        fleet.process.signal(Signal::HUP);
        fleet.process.wait_for_line("reloaded");
    });
}

#[test]
fn a_reload_takes_up_what_has_changed_in_the_configuration_file() {
    let rig = Rig::new();
    let file = rig.directory.path().join("abaci.toml");
    std::fs::write(&file, "max_n = 100\n").unwrap();
    let _fleet = Fleet::start(&rig, &["--workers", "1", "--config", file.to_str().unwrap()]);
    let refused = rig.run(["submit", "--json", "--max-n", "1000", "500"]);
    assert_eq!(
        code(&refused),
        1,
        "the workers' limit does not hold: {refused:#?}"
    );
    std::fs::write(&file, "max_n = 1000\n").unwrap();
    assert_eq!(code(&rig.run(["fleet", "reload"])), 0);
    assert_eq!(code(&rig.run(["submit", "--max-n", "1000", "500"])), 0);
}

#[test]
fn a_reload_to_what_does_not_start_leaves_the_rest_as_it_was() {
    let rig = Rig::new();
    let fleet = Fleet::start(&rig, &["--workers", "2"]);
    let before = fleet.health();
    rig.database.psql(
        "create function refuse() returns trigger language plpgsql as 'begin raise exception ''not today''; end'; \
         create trigger refuse before insert on abaci.presence for each row execute function refuse()",
    );
    assert_refused(
        &rig.run(["fleet", "reload"]),
        1,
        &[
            "the new worker does not start",
            "slot 2, a spare one",
            "no worker was replaced",
        ],
    );
    let health = fleet.health();
    for slot in [0, 1] {
        let pid = |health: &Value| health["workers"][slot]["pid"].clone();
        assert_eq!(pid(&health), pid(&before), "{health}");
    }
    assert_eq!(health["phase"], "running", "{health}");
    assert_eq!(code(&rig.run(["submit", "10"])), 0);
    rig.database.psql("drop trigger refuse on abaci.presence");
    await_workers(&fleet, &[0, 1]);
}

#[test]
fn a_reload_to_what_is_no_program_leaves_the_rest_as_it_was() {
    let rig = Rig::new();
    let program = rig.directory.path().join("abaci");
    std::fs::copy(env!("CARGO_BIN_EXE_abaci"), &program).unwrap();
    let mut command = std::process::Command::new(&program);
    command.args(["fleet", "--health-addr", "none", "--workers", "2"]);
    command.env_clear().env("ABACI_DATABASE_URL", rig.database.url());
    command.env("ABACI_DATA_DIR", rig.directory.path().join("data"));
    let fleet = Process::spawn(command);
    fleet.wait_for_line("fleet ready");
    std::fs::remove_file(&program).unwrap();
    assert_refused(
        &rig.run(["fleet", "reload"]),
        1,
        &["the program cannot be started", "no worker was replaced"],
    );
    let status = rig.run(["status"]).stdout.join("\n");
    assert!(status.contains("2 of 2 workers take jobs"), "{status}");
}

#[test]
fn a_reload_takes_another_slot_where_the_next_one_is_taken() {
    let rig = Rig::new();
    let fleet = Fleet::start(&rig, &["--workers", "1"]);
    let neighbour = rig.server(&["--slot", "1"]);
    let output = rig.run(["fleet", "reload"]);
    assert_eq!(code(&output), 0, "{output:#?}");
    assert!(testkit::is_alive(neighbour.pid()));
    await_workers(&fleet, &[0]);
}

#[test]
fn silent_connections_to_the_control_socket_keep_nobody_out() {
    let rig = Rig::new();
    let _fleet = Fleet::start(&rig, &["--workers", "1"]);
    let socket = control_socket(&rig);
    let connect = |_| std::os::unix::net::UnixStream::connect(&socket).unwrap();
    let _silent: Vec<_> = (0..20).map(connect).collect();
    assert_eq!(code(&rig.run(["status"])), 0);
}

#[test]
fn nobody_else_can_reach_the_control_socket() {
    let rig = Rig::new();
    let _fleet = Fleet::start(&rig, &["--workers", "1"]);
    let directory = rig.directory.path().join("data").join("fleet");
    let mode = |path: &std::path::Path| std::fs::metadata(path).unwrap().permissions().mode() & 0o777;
    assert_eq!(
        (mode(&directory), mode(&directory.join("control.sock"))),
        (0o700, 0o600)
    );
}

#[test]
fn status_shows_every_worker_its_job_and_the_queue() {
    let rig = Rig::new();
    let fleet = Fleet::start(&rig, &["--workers", "1"]);
    let ids = rig.submit(&["--algorithm", "recursive", "45", "45"]);
    let busy = fleet.busy_worker();
    let output = rig.run(["status"]);
    assert_eq!(code(&output), 0, "{output:#?}");
    let all = output.stdout.join("\n");
    let pid = pid_of(&busy).to_string();
    let supervisor = fleet.process.pid().to_string();
    for word in [
        "SLOT",
        &pid,
        &supervisor,
        "busy",
        "F(45) compute",
        "1 running, 1 waiting",
        "1 of 1 workers take jobs",
    ] {
        assert!(all.contains(word), "{word:?} is not in:\n{all}");
    }
    let report = &objects(&rig.run(["status", "--json"]))[0];
    assert_eq!(
        report["fleet"]["workers"][0]["running"][0]["workflow_id"],
        ids[0].as_str(),
        "{report}"
    );
    assert_eq!(report["database"]["queue"]["queued"], 1, "{report}");
    for id in &ids {
        assert_eq!(code(&rig.run(["cancel", id])), 0);
    }
}

#[test]
fn status_without_a_fleet_shows_the_servers_if_any() {
    let rig = Rig::new();
    let nobody = rig.run(["status"]);
    assert_eq!(
        code(&nobody),
        3,
        "a database without tables has no queue: {nobody:#?}"
    );
    let server = rig.server(&[]);
    let output = rig.run(["status"]);
    assert_eq!(code(&output), 0, "{output:#?}");
    let all = output.stdout.join("\n");
    for word in ["none runs in", "OTHER WORKER", &server.pid().to_string(), "live"] {
        assert!(all.contains(word), "{word:?} is not in:\n{all}");
    }
    server.signal(Signal::TERM);
    assert_eq!(code(&server.finish()), 0);
    assert_eq!(code(&rig.run(["status"])), 1);
}

#[test]
fn status_looks_again_until_it_is_interrupted() {
    let rig = Rig::new();
    let _fleet = Fleet::start(&rig, &["--workers", "1"]);
    let watch = Process::spawn(rig.abaci(["status", "--watch", "--json"]));
    watch.wait_for_lines("\"fleet\"", 2);
    watch.signal(Signal::INT);
    let output = watch.finish();
    assert_eq!(code(&output), 130, "{output:#?}");
    assert!(objects(&output).len() >= 2);
}

#[test]
fn status_does_not_start_a_private_database() {
    let rig = Rig::new();
    let mut command = rig.abaci(["status"]);
    command.env_remove("ABACI_DATABASE_URL");
    let output = Process::spawn(command).finish();
    assert_eq!(code(&output), 3, "{output:#?}");
    assert!(output.stdout.join("\n").contains("does not run"), "{output:#?}");
    assert!(!rig.directory.path().join("data").join("postgres").exists());
}
