//! Events, whatever happens to the process that tells them.

use std::collections::HashMap;

use serde_json::{Value, json};
use testkit::{PrivateServer, Process, TempDir};

use super::rig::WebRig;
use super::stream::{Event, Listener};
use crate::children::kill;
use crate::fleet_rig::field;
use crate::http;
use crate::rig::bare;

/// The ids of jobs that an event says have succeeded.
pub(super) fn succeeded(event: &Event) -> Vec<String> {
    if event.name != "changes" {
        return Vec::new();
    }
    let data: Value = serde_json::from_str(&event.data).unwrap();
    assert_ne!(data["reset"], true, "changes were not told: {data}");
    let jobs = data["jobs"].as_array().unwrap().iter();
    let ended = jobs.filter(|job| job["state"] == "succeeded");
    ended.map(|job| job["id"].as_str().unwrap().to_owned()).collect()
}

#[test]
fn a_killed_web_process_costs_listeners_nothing() {
    let rig = WebRig::new();
    let web = rig.fleet(&["--workers", "1"]);
    let mut listener = Listener::new(web.address(), "/api/v1/events");
    // Its first event is of the workers, and it knows where it is from then on.
    listener.next();
    let (mut expected, mut heard) = (Vec::new(), HashMap::new());
    for round in 0..4 {
        let numbers: Vec<Value> = (0..25).map(|n| json!({"n": 100 * round + n})).collect();
        expected.extend(web.submit(&json!(numbers)));
        kill(rig.web_pid());
        while heard.len() < expected.len() {
            for id in succeeded(&listener.next()) {
                *heard.entry(id).or_insert(0) += 1;
            }
        }
    }
    assert!(expected.iter().all(|id| heard.contains_key(id)), "{heard:?}");
    let twice: Vec<_> = heard.iter().filter(|(_, times)| **times > 1).collect();
    assert!(twice.is_empty(), "told twice: {twice:?}");
    let workers = web.fleet.health();
    assert_eq!(
        workers["workers"][0]["restarts"], 0,
        "a worker was touched: {workers}"
    );
    assert_eq!(workers["web"]["restarts"], 4, "its ends are not in {workers}");
}

#[test]
fn a_job_is_told_from_its_submission_to_its_value() {
    let rig = WebRig::new();
    let web = rig.fleet(&["--workers", "1"]);
    let id = web.submit(&json!({"n": 38, "algorithm": "recursive"})).remove(0);
    let mut listener = Listener::new(web.address(), &format!("/api/v1/jobs/{id}/events"));
    let mut names = Vec::new();
    let result = loop {
        let event = listener.next();
        names.push(event.name.clone());
        if event.name == "result" {
            break event;
        }
    };
    let result: Value = serde_json::from_str(&result.data).unwrap();
    assert_eq!(
        (&result["state"], &result["result"]["value"]),
        (&json!("succeeded"), &json!("39088169"))
    );
    assert!(names.contains(&"state".to_owned()), "{names:?}");
    assert_eq!(listener.next().name, "end");
}

#[test]
fn an_outage_is_told_and_passes_by_itself() {
    let mut postgres = PrivateServer::new();
    let home = TempDir::new();
    let mut command = bare(&home, ["web", "--web-addr", "127.0.0.1:0"]);
    command.env("ABACI_DATABASE_URL", postgres.create_database("jobs"));
    let web = Process::spawn(command);
    let address = field(&web.wait_for_line(" web "), "address");
    let mut listener = Listener::new(&address, "/api/v1/events");
    listener.next();
    let queued = http::get(&address, "/api/v1/jobs/none");
    assert_eq!(queued.status, 404, "{queued:#?}");
    postgres.stop_immediate();
    while listener.next().name != "outage" {}
    let refused = http::get(&address, "/api/v1/jobs/none");
    assert_eq!(refused.status, 503, "{refused:#?}");
    assert!(refused.head.contains("retry-after: "), "{refused:#?}");
    assert!(
        !refused.body.contains("postgres"),
        "an internal text: {refused:#?}"
    );
    postgres.start();
    // The numbers of transactions may have been given out again, so that what is shown has to be read anew.
    let mut heard = Vec::new();
    loop {
        let event = listener.next();
        heard.push(event.clone());
        if event.name == "changes" {
            break;
        }
    }
    let changes = heard.last().unwrap();
    assert!(changes.data.contains("\"reset\":true"), "{heard:#?}");
    assert_eq!(http::get(&address, "/api/v1/jobs/none").status, 404);
}
