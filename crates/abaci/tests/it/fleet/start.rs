//! The processes of a fleet, and its start.

use testkit::{Process, Signal, children_of, eventually};

use crate::fleet::rig::{Fleet, field, memory_kib};
use crate::http;
use crate::rig::{Rig, assert_refused, code};

/// Over two seconds of one core: long enough to be met in the middle.
const LONG: [&str; 3] = ["--algorithm", "recursive", "44"];

#[test]
fn the_processes_of_a_fleet_can_be_told_apart_by_ps() {
    let rig = Rig::new();
    let fleet = Fleet::start(&rig, &["--workers", "2"]);
    let mut children = children_of(fleet.process.pid());
    children.sort_by(|one, other| one.command.cmp(&other.command));
    let commands: Vec<&str> = children.iter().map(|child| child.command.as_str()).collect();
    let [health, first, second] = commands.as_slice() else {
        panic!("not three children: {commands:#?}")
    };
    assert!(health.contains("fleet health"), "{health}");
    assert!(first.contains("fleet worker --slot 0"), "{first}");
    assert!(second.contains("fleet worker --slot 1"), "{second}");
    let view = fleet.await_health();
    assert_eq!(view["pid"], children[0].pid, "{view}");
    assert_eq!(view["ppid"], fleet.process.pid(), "{view}");
    assert_eq!(view["workers"][0]["pid"], children[1].pid, "{view}");
    assert_eq!(view["workers"][1]["pid"], children[2].pid, "{view}");
}

#[test]
fn the_supervisor_is_small() {
    let rig = Rig::new();
    let fleet = Fleet::start(&rig, &["--workers", "2"]);
    // Its own memory: how much of the program's file is mapped differs with its length and with the system.
    let own = memory_kib(fleet.process.pid(), "RssAnon");
    assert!(own < 8_000, "{own} KiB");
}

#[test]
fn the_supervisor_never_connects_to_the_database() {
    let rig = Rig::new();
    // In the place of a database sits one who only notes who comes.
    let socket = rig.directory.path().join(".s.PGSQL.5432");
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .unwrap();
    let door = runtime
        .block_on(async { tokio::net::UnixListener::bind(&socket) })
        .unwrap();
    let mut command = rig.abaci(["fleet", "--health-addr", "127.0.0.1:0", "--workers", "1"]);
    let url = format!(
        "postgres:///jobs?host={}&user=nobody",
        rig.directory.path().display()
    );
    command.env("ABACI_DATABASE_URL", url);
    let fleet = Process::spawn(command);
    let mut callers = Vec::new();
    runtime.block_on(async {
        while callers.len() < 8 {
            let (caller, _) = door.accept().await.unwrap();
            callers.push(caller.peer_cred().unwrap().pid().unwrap().unsigned_abs());
        }
    });
    let children: Vec<u32> = children_of(fleet.pid()).iter().map(|child| child.pid).collect();
    assert!(
        callers.iter().all(|caller| children.contains(caller)),
        "{callers:?} came; the supervisor is {}, its children {children:?}",
        fleet.pid()
    );
    let kinds: std::collections::HashSet<_> = callers.iter().collect();
    assert_eq!(
        kinds.len(),
        2,
        "the worker and the health process did not both come: {callers:?}"
    );
}

#[test]
fn a_fleet_takes_jobs_and_shows_them_while_they_run() {
    let rig = Rig::new();
    let fleet = Fleet::start(&rig, &["--workers", "2"]);
    let id = rig.submit(&LONG).remove(0);
    let busy = fleet.busy_worker();
    let job = &busy["running"][0];
    assert_eq!(
        (&job["workflow_id"], &job["n"], &job["algorithm"], &job["attempt"]),
        (&id.as_str().into(), &44.into(), &"recursive".into(), &1.into()),
        "{busy}"
    );
    let slot = busy["slot"].as_u64().unwrap();
    let before = job["progress"].as_f64().unwrap_or_default();
    let later = fleet.worker_when(slot, "further", |worker| {
        worker["running"][0]["progress"]
            .as_f64()
            .is_some_and(|now| now > before)
    });
    assert!(later["running"][0]["seconds"].as_f64().unwrap() > 0.0, "{later}");
    let result = fleet.result_of(&id);
    assert_eq!(
        (&result["value"], &result["pid"]),
        (&"701408733".into(), &busy["pid"])
    );
}

#[test]
fn a_busy_health_port_is_refused_before_anything_is_started() {
    let rig = Rig::new();
    let taken = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let address = taken.local_addr().unwrap().to_string();
    let output = rig.run(["fleet", "--health-addr", &address]);
    assert_refused(&output, 2, &[&address, "in use", "--health-addr"]);
    let made = rig.database.psql("select to_regclass('abaci.presence') is null");
    assert_eq!(made.trim(), "t", "a worker was started");
}

#[test]
fn a_fleet_without_health_has_no_health_process() {
    let rig = Rig::new();
    let fleet = Process::spawn(rig.abaci(["fleet", "--health-addr", "none", "--workers", "1"]));
    fleet.wait_for_line("fleet ready");
    let children = children_of(fleet.pid());
    assert_eq!(children.len(), 1, "{children:#?}");
    assert_eq!(code(&rig.run(["submit", "10"])), 0);
}

#[test]
fn a_second_fleet_on_the_same_directory_is_refused() {
    let rig = Rig::new();
    let fleet = Fleet::start(&rig, &["--workers", "1"]);
    let output = rig.run(["fleet", "--health-addr", "none"]);
    let pid = fleet.process.pid().to_string();
    assert_refused(&output, 2, &["a fleet runs already", &pid, "--data-dir"]);
    assert_eq!(code(&rig.run(["submit", "10"])), 0);
    let worker = fleet.worker(0);
    assert_eq!(worker["restarts"], 0, "{worker}");
}

#[test]
fn a_second_fleet_on_the_same_slots_of_a_database_is_refused() {
    let rig = Rig::new();
    let fleet = Fleet::start(&rig, &["--workers", "2", "--first-slot", "1"]);
    let other = rig.directory.path().join("other");
    // One of its slots is free, and the other is not.
    let mut second = rig.abaci([
        "fleet",
        "--health-addr",
        "none",
        "--workers",
        "2",
        "--log-level",
        "off",
    ]);
    second.env("ABACI_DATA_DIR", &other);
    let output = Process::spawn(second).finish();
    let holder = fleet.pid(1).to_string();
    assert_refused(&output, 2, &["executor id", "/1 is in use", &holder]);
    assert_eq!(code(&rig.run(["submit", "10"])), 0);
    assert_eq!(fleet.worker(1)["restarts"], 0);
    let mut third = rig.abaci([
        "fleet",
        "--health-addr",
        "none",
        "--workers",
        "2",
        "--first-slot",
        "3",
    ]);
    third.env("ABACI_DATA_DIR", &other);
    Process::spawn(third).wait_for_line("fleet ready");
}

#[test]
fn settings_that_make_no_sense_are_refused_by_name() {
    let rig = Rig::new();
    let refused = |arguments: &[&str], words: &[&str]| {
        let all = ["fleet", "--health-addr", "none"].iter().chain(arguments);
        assert_refused(&rig.run(all), 2, words);
    };
    refused(&["--workers", "0"], &["workers is 0"]);
    refused(&["--workers", "4000000000"], &["workers is 4000000000", "256"]);
    refused(&["--watchdog", "10ms"], &["watchdog is 10ms", "1s"]);
    refused(&["--watchdog", "2h"], &["watchdog is 2h", "1h"]);
    refused(&["--grace", "1year"], &["grace is 1year", "30days"]);
    refused(&["--queue", ""], &["queue is \"\" (flag)"]);
    refused(&["--restart-window", "0s"], &["restart_window is 0s"]);
    refused(&["--first-slot", "4000000000"], &["first_slot is 4000000000"]);
    refused(&["--concurrency", "0"], &["concurrency is 0"]);
    assert_refused(
        &rig.run(["fleet", "--health-addr", "localhost"]),
        2,
        &["'localhost'", "--health-addr", "127.0.0.1:8080"],
    );
    assert_refused(
        &rig.run(["fleet", "scale", "3"]),
        3,
        &["no fleet runs", "abaci fleet"],
    );
    assert_refused(
        &rig.run([
            "fleet",
            "worker",
            "--slot",
            "0",
            "--fleet-size",
            "1",
            "--supervisor",
            "1",
        ]),
        2,
        &["belongs to a fleet"],
    );
}

#[test]
fn a_database_that_refuses_is_reported_once_with_its_exit_code() {
    let rig = Rig::new();
    let mut command = rig.abaci([
        "fleet",
        "--health-addr",
        "none",
        "--workers",
        "2",
        "--log-level",
        "off",
    ]);
    let nobody = rig
        .database
        .url()
        .replace(rig.database.name(), "no_such_database");
    command.env("ABACI_DATABASE_URL", nobody);
    assert_refused(
        &Process::spawn(command).finish(),
        3,
        &["no_such_database", "does not exist"],
    );
}

#[test]
fn a_fleet_shows_its_private_database_and_lets_it_go() {
    let rig = Rig::new();
    let mut command = rig.abaci(["fleet", "--health-addr", "127.0.0.1:0", "--workers", "1"]);
    command.env_remove("ABACI_DATABASE_URL");
    let fleet = Process::spawn(command);
    let address = field(&fleet.wait_for_line("health process started"), "address");
    fleet.wait_for_line("fleet ready");
    eventually("a private database that runs", || {
        let health = http::get(&address, "/health").json();
        if health["private_database"]["running"] == true {
            Ok(())
        } else {
            Err(health)
        }
    });
    let submit = |n: &str| {
        let mut command = rig.abaci(["submit", n]);
        command.env_remove("ABACI_DATABASE_URL");
        code(&Process::spawn(command).finish())
    };
    assert_eq!(submit("10"), 0);
    fleet.signal(Signal::TERM);
    assert_eq!(code(&fleet.finish()), 0);
    eventually("the end of a private database that nobody uses", || {
        let mut command = rig.abaci(["db", "status"]);
        command.env_remove("ABACI_DATABASE_URL");
        code(&Process::spawn(command).finish()) == 1
    });
}

#[test]
fn a_type_that_no_worker_of_a_fleet_knows_is_named() {
    let rig = Rig::new();
    let fleet = Fleet::start(&rig, &["--workers", "1"]);
    fleet.worker_in(0, "idle");
    rig.database.psql(
        "insert into dbos.workflow_status (workflow_uuid, status, name, inputs, serialization, queue_name, \
         application_version, created_at, updated_at, priority, recovery_attempts) \
         values ('unknown', 'ENQUEUED', 'mystery', '1', 'portable_json', 'fibonacci', 'abaci-1', \
         extract(epoch from now()) * 1000, 0, 0, 0)",
    );
    let waited = rig.run(["wait", "--wait-for-server", "4s", "unknown"]);
    let said = waited.stderr.join("\n");
    assert!(
        said.contains(r#"no worker of queue "fibonacci" knows jobs of type "mystery""#),
        "{waited:#?}"
    );
}
