//! The health of a server over HTTP: at rest, at work, at the end.

use std::net::TcpListener;

use serde_json::{Value, json};
use testkit::{Process, Signal, TempDir};

use super::Served;
use crate::http;
use crate::rig::{Rig, assert_refused, bare, code, run};

#[test]
fn an_idle_server_is_alive_ready_and_healthy() {
    let rig = Rig::new();
    let served = Served::ready(&rig);
    let live = served.get("/livez");
    assert_eq!(
        (live.status, live.body.as_str()),
        (200, "{\"status\":\"alive\",\"reasons\":[]}\n")
    );
    let ready = served.get("/readyz");
    assert_eq!(
        (ready.status, ready.body.as_str()),
        (200, "{\"status\":\"ready\",\"reasons\":[]}\n")
    );
    let health = served.get("/health");
    assert!(
        health.head.contains("content-type: application/json")
            && health.head.contains("cache-control: no-store"),
        "{health:#?}"
    );
    assert!(health.body.ends_with("}\n"), "{health:#?}");
    let (status, health) = (health.status, health.json());
    assert_eq!(
        (status, &health["status"]),
        (200, &json!("healthy")),
        "{health:#}"
    );
    assert_eq!(
        (&health["pid"], &health["ppid"]),
        (&served.process.pid().into(), &std::process::id().into())
    );
    let worker = &health["workers"][0];
    assert_eq!(
        (&worker["state"], &worker["slot"], &worker["running"]),
        (&json!("idle"), &json!(0), &json!([]))
    );
    assert!(
        worker["executor_id"].as_str().unwrap().ends_with("/0"),
        "{worker}"
    );
    assert_eq!(
        (&health["queue"]["queued"], &health["supervisor"]),
        (&json!(0), &Value::Null)
    );
}

#[test]
fn metrics_of_an_idle_server_say_that_it_is_ready_and_idle() {
    let rig = Rig::new();
    let served = Served::ready(&rig);
    // Readiness waits for what is true now; metrics take the last answer, which may be from before there were tables.
    assert_eq!(served.get("/readyz").status, 200);
    let metrics = served.get("/metrics");
    assert_eq!(metrics.status, 200);
    for line in [
        "abaci_ready 1.0",
        "abaci_database_up 1.0",
        "abaci_workers{state=\"idle\"} 1.0",
    ] {
        assert!(
            metrics.body.lines().any(|found| found == line),
            "{line} is not in {}",
            metrics.body
        );
    }
}

#[test]
fn a_job_is_seen_while_it_runs_and_gone_when_it_is_cancelled() {
    let rig = Rig::new();
    let served = Served::ready(&rig);
    let running = rig.submit(&["--algorithm", "recursive", "50"]).remove(0);
    served.process.wait_for_line("job started");
    let waiting = rig.submit(&["10"]).remove(0);
    let health = served.health_until("one job at work and one that waits", |health| {
        // The queue may have been asked before the first job was claimed.
        let queue = &health["queue"];
        health["workers"][0]["state"] == "busy" && queue["queued"] == 1 && queue["running"] == 1
    });
    let job = &health["workers"][0]["running"][0];
    assert_eq!(
        (&job["workflow_id"], &job["n"]),
        (&json!(running), &json!(50)),
        "{health:#}"
    );
    assert!(job["seconds"].is_number() && job["step"] == "compute", "{job}");
    assert!(
        health["queue"]["oldest_waiting_seconds"].is_number(),
        "{health:#}"
    );
    assert_eq!(
        health["status"], "healthy",
        "a server at work is not ill: {health:#}"
    );
    assert_eq!(
        (served.get("/livez").status, served.get("/readyz").status),
        (200, 200)
    );
    let metrics = served.get("/metrics").body;
    assert!(
        metrics.contains("abaci_worker_running_jobs{slot=\"0\"} 1.0"),
        "{metrics}"
    );
    assert_eq!(code(&rig.run(["cancel", &running])), 0);
    assert_eq!(code(&rig.run(["wait", &waiting])), 0);
    let health = served.health_until("an idle worker", |health| health["workers"][0]["state"] == "idle");
    assert_eq!(health["workers"][0]["running"], json!([]), "{health:#}");
}

#[test]
fn a_server_that_drains_is_alive_and_not_ready_until_it_is_gone() {
    let rig = Rig::new();
    let served = Served::ready(&rig);
    // A second or two of one core: long enough to be met in the middle.
    rig.submit(&["--algorithm", "recursive", "43"]);
    served.process.wait_for_line("job started");
    served.process.signal(Signal::TERM);
    served.process.wait_for_line("asked to stop");
    let health = served.get("/health");
    assert_eq!(
        (health.status, &health.json()["status"]),
        (503, &json!("draining")),
        "{health:#?}"
    );
    assert_eq!(health.json()["workers"][0]["state"], "draining", "{health:#?}");
    served.assert_unready(&["draining"]);
    assert_eq!(served.get("/livez").status, 200);
    let Served { process, address } = served;
    let output = process.finish();
    assert_eq!(code(&output), 0, "{output:#?}");
    assert!(
        output.stderr.last().unwrap().contains("finished=1"),
        "{output:#?}"
    );
    assert!(
        http::try_get(&address, "/livez").is_err(),
        "somebody still answers"
    );
}

#[test]
fn a_busy_address_is_a_setting_to_fix_and_nothing_is_started() {
    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = taken.local_addr().unwrap().to_string();
    let home = TempDir::new();
    let output = run(bare(&home, ["serve", "--health-addr", &address]));
    assert_refused(&output, 2, &[&address, "in use", "--health-addr", "none"]);
    assert!(
        !home.path().join("data").exists(),
        "something was started all the same"
    );
}

#[test]
fn the_address_is_a_setting_like_any_other() {
    let rig = Rig::new();
    let mut command = rig.abaci(["serve"]);
    command.env("ABACI_HEALTH_ADDR", "127.0.0.1:0");
    let served = Served::begin(command);
    assert_eq!(served.get("/livez").status, 200);
    let mut command = rig.abaci(["serve", "--health-addr", "none"]);
    command.env("ABACI_HEALTH_ADDR", &served.address);
    let silent = Process::ready(command);
    assert!(
        !silent.stderr().iter().any(|line| line.contains("health address")),
        "a flag did not win"
    );
}

#[test]
fn keys_of_health_and_names_of_metrics_are_what_was_agreed() {
    let rig = Rig::new();
    let served = Served::ready(&rig);
    let id = rig.submit(&["--algorithm", "recursive", "50"]).remove(0);
    let health = served.health_until("a job at work", |health| {
        health["workers"][0]["running"][0]["step"].is_string() && health["queue"].is_object()
    });
    let mut keys = Vec::new();
    collect_keys("", &health, &mut keys);
    insta::assert_snapshot!("keys_of_health", keys.join("\n"));
    let metrics = served.get("/metrics");
    assert!(
        metrics.head.contains("application/openmetrics-text"),
        "{metrics:#?}"
    );
    let lines = metrics.body.lines().map(without_value);
    let names = lines.collect::<Vec<_>>().join("\n");
    let names = names.replace(env!("CARGO_PKG_VERSION"), "VERSION");
    insta::assert_snapshot!("names_of_metrics", names);
    assert_eq!(code(&rig.run(["cancel", &id])), 0);
}

/// A line of the metrics, without the value if it is a sample.
fn without_value(line: &str) -> &str {
    if line.starts_with('#') {
        return line;
    }
    line.rsplit_once(' ').map_or(line, |(name, _)| name)
}

/// Every key as a path, with `[]` for the items of a list, of which the first stands for all.
fn collect_keys(path: &str, value: &Value, keys: &mut Vec<String>) {
    match value {
        Value::Object(fields) => {
            for (key, value) in fields {
                let path = format!("{path}.{key}");
                keys.push(path.clone());
                collect_keys(&path, value, keys);
            }
        }
        Value::Array(items) => {
            if let Some(first) = items.first() {
                collect_keys(&format!("{path}[]"), first, keys);
            }
        }
        _ => {}
    }
}
