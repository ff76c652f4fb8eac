//! Servers that were cut off from the database until their jobs were given to others.

use std::time::{Duration, Instant};

use serde_json::Value;
use testkit::{Process, Signal, is_alive};

use crate::fleet_rig::{computing_process, stop};
use crate::health::Served;
use crate::rig::{Rig, code, objects};

/// A server says this when it begins anew.
const ANEW: &str = "beginning anew";

/// Minutes of one core.
const ENDLESS: [&str; 3] = ["--algorithm", "recursive", "50"];

fn shown(rig: &Rig, id: &str) -> Value {
    objects(&rig.run(["show", "--json", id])).remove(0)
}

/// A server with a health address that its worker's executor id was taken from.
fn robbed(rig: &Rig) -> Served {
    let served = Served::ready(rig);
    rig.database
        .psql("update abaci.presence set incarnation = 'another'");
    served
}

#[test]
fn a_server_whose_job_went_to_a_peer_begins_anew_and_goes_on() {
    let rig = Rig::new();
    let server = Served::ready(&rig);
    let pid = server.process.pid();
    let id = rig.submit(&ENDLESS).remove(0);
    let computing = computing_process(pid);
    // A cut of its network: it hears and says nothing, and the database has given its sessions up.
    stop(pid);
    rig.database.psql(
        "select pg_terminate_backend(pid) from pg_stat_activity \
         where datname = current_database() and application_name like 'abaci%'",
    );
    let peer = rig.server(&[]);
    peer.wait_for_line("requeued the jobs of a dead worker");
    peer.wait_for_line("job started");

    server.process.signal(Signal::CONT);
    server.process.wait_for_line(ANEW);
    server.process.wait_for_lines("ready executor_id", 2);
    assert!(!is_alive(computing), "it computes for a job that is not its own");
    let health = server.health_until("a ready server", |health| health["status"] == "healthy");
    assert_eq!(
        (&health["workers"][0]["pid"], &health["workers"][0]["restarts"]),
        (&pid.into(), &1.into()),
        "{health}"
    );
    let job = shown(&rig, &id);
    assert_eq!(
        (&job["state"], &job["attempts"]),
        (&"running".into(), &2.into()),
        "the peer's job was touched: {job}"
    );

    assert_eq!(code(&rig.run(["cancel", &id])), 0);
    peer.signal(Signal::TERM);
    assert_eq!(code(&peer.finish()), 0);
    let output = rig.run(["submit", "--json", "10"]);
    let result = objects(&output).pop().unwrap();
    assert_eq!(result["pid"], pid, "it takes no jobs any more: {output:#?}");
    server.process.signal(Signal::TERM);
    assert_eq!(code(&server.process.finish()), 0);
}

#[test]
fn a_server_that_begins_anew_is_unready_and_can_be_stopped() {
    let rig = Rig::new();
    let served = robbed(&rig);
    // Every start of a worker asks for what is in it.
    let lock = rig.database.lock("abaci.names");
    served.process.wait_for_line(ANEW);
    let health = served.health_until("a start", |health| health["workers"][0]["state"] == "starting");
    assert_eq!(health["workers"][0]["pid"], served.process.pid(), "{health}");
    served.assert_unready(&["starting"]);
    assert_eq!(served.get("/livez").status, 200, "it lives while it starts");
    let asked = Instant::now();
    served.process.signal(Signal::TERM);
    assert_eq!(code(&served.process.finish()), 0);
    assert!(asked.elapsed() < Duration::from_secs(5), "{:?}", asked.elapsed());
    drop(lock);
}

#[test]
fn a_server_waits_for_its_database_as_long_when_it_begins_anew() {
    let rig = Rig::new();
    let server = Process::ready(rig.abaci(["serve", "--wait-for-database", "1s"]));
    rig.database
        .psql("update abaci.presence set incarnation = 'another'");
    let _lock = rig.database.lock("abaci.names");
    server.wait_for_line(ANEW);
    let output = server.finish();
    let last = output.stderr.last().unwrap();
    assert_eq!(code(&output), 3, "{last}");
    assert!(last.starts_with("abaci: no database answers at"), "{last}");
}
