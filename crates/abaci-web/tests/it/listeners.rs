//! Those who listen to events.

use std::collections::HashMap;
use std::fs;
use std::io::{BufRead, BufReader, Read};
use std::net::{Shutdown, TcpStream};
use std::sync::OnceLock;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::Duration;

use abaci_web::Access;
use serde_json::{Value, json};
use testkit::{Deadline, eventually};

use crate::rig::{Site, token};

/// The data of the events of a stream.
fn data(stream: TcpStream) -> impl Iterator<Item = String> {
    let lines = BufReader::new(stream).lines().map_while(Result::ok);
    lines.filter_map(|line| line.strip_prefix("data: ").map(str::to_owned))
}

/// Tests whether the server still has its side of a connection, by the kernel's table.
fn is_kept(client: &TcpStream) -> bool {
    let ends =
        [client.peer_addr(), client.local_addr()].map(|end| format!("0100007F:{:04X}", end.unwrap().port()));
    let table = fs::read_to_string("/proc/self/net/tcp").unwrap();
    let established = format!("{} {} 01", ends[0], ends[1]);
    table.contains(&established)
}

/// Ends a stream with the test that fails beside its reader, who would wait for ever.
struct EndOnPanic(TcpStream);

impl Drop for EndOnPanic {
    fn drop(&mut self) {
        if thread::panicking() {
            // The failure says more than an error here.
            let _ = self.0.shutdown(Shutdown::Both);
        }
    }
}

/// Submits jobs until the server has given up a connection that nobody reads from.
#[track_caller]
fn submit_until_ended(site: &Site, silent: &TcpStream) {
    let many = json!(vec![json!({"n": 1}); 300]);
    // Megabytes fit into the buffers on the way.
    let deadline = Deadline::after(Duration::from_mins(2));
    deadline.eventually("the end of a connection", || {
        site.submit(&many);
        !is_kept(silent)
    });
}

/// The changes that a listener was told.
#[derive(Default)]
struct Told {
    /// The times that each job was told.
    times: HashMap<String, u32>,
    /// The times that all jobs were to be read anew.
    resets: usize,
}

impl Told {
    fn hear(&mut self, json: &str) {
        let told: Value = serde_json::from_str(json).unwrap();
        self.resets += usize::from(told["reset"] == true);
        for job in told["jobs"].as_array().unwrap() {
            let id = job["id"].as_str().unwrap().to_owned();
            *self.times.entry(id).or_default() += 1;
        }
    }
}

#[test]
fn a_listener_that_never_reads_is_ended_and_others_go_on() {
    let site = Site::shaped(Access::new(token()), |server| {
        server.with_write_timeout(Duration::from_secs(1))
    });
    let listen = || site.get("/api/v1/events").start();
    let silent = listen();
    eventually("a listener", || is_kept(&silent));
    let other = listen();
    let end = EndOnPanic(other.try_clone().unwrap());
    let (last, is_heard) = (OnceLock::new(), AtomicBool::new(false));
    let mut told = Told::default();
    thread::scope(|threads| {
        threads.spawn(|| {
            let _end = end;
            submit_until_ended(&site, &silent);
            last.set(site.submit(&json!({"n": 1})).remove(0)).unwrap();
            // The listener may have heard of that one before it looks.
            site.submit(&json!({"n": 1}));
            eventually("the last job at the other listener", || {
                is_heard.load(Ordering::Relaxed)
            });
        });
        for json in data(other) {
            told.hear(&json);
            // The last one may be among those that are to be read anew.
            if last
                .get()
                .is_some_and(|last| told.resets > 0 || told.times.contains_key(last))
            {
                break;
            }
        }
        is_heard.store(true, Ordering::Relaxed);
    });
    assert!(
        told.times.values().all(|times| *times == 1),
        "something was told twice"
    );
    // An open transaction of another test may have kept so many changes back that they are to be read anew.
    let count = usize::try_from(site.count("dbos.workflow_status")).unwrap();
    assert!(
        told.times.len() + 1 >= count || told.resets > 0,
        "{} of {count} were told",
        told.times.len()
    );
}

#[test]
fn a_listener_of_a_job_hears_that_it_was_deleted() {
    let site = Site::new();
    let ids = site.submit(&json!([{"n": 10}, {"n": 11}]));
    let mut listeners = ids
        .iter()
        .map(|id| data(site.get(&format!("/api/v1/jobs/{id}/events")).start()));
    let (mut first, mut other) = (listeners.next().unwrap(), listeners.next().unwrap());
    for listener in [&mut first, &mut other] {
        assert!(listener.next().unwrap().contains("\"state\":\"queued\""));
    }
    // By somebody who does not care that it has not ended.
    site.database.psql(&format!(
        "delete from dbos.workflow_status where workflow_uuid = '{}'",
        ids[0]
    ));
    assert_eq!(first.next().unwrap(), "{\"reason\":\"the job was deleted\"}");
    assert_eq!(first.next(), None, "the stream goes on");
    site.change("POST", &format!("/api/v1/jobs/{}/cancel", ids[1]))
        .send()
        .expect(200);
    assert!(other.any(|json| json.contains("\"state\":\"cancelled\"")));
}

/// The next event of a stream that has a name: its id if any, its name and its data.
fn next_event(lines: &mut impl Iterator<Item = String>) -> Option<(Option<String>, String, String)> {
    let (mut id, mut name, mut data) = (None, String::new(), String::new());
    for line in lines {
        match line.split_once(": ") {
            Some(("id", given)) => id = Some(given.to_owned()),
            Some(("event", given)) => given.clone_into(&mut name),
            Some(("data", given)) => given.clone_into(&mut data),
            _ if line.is_empty() && !name.is_empty() => return Some((id, name, data)),
            _ => {}
        }
    }
    None
}

fn lines(stream: TcpStream) -> impl Iterator<Item = String> {
    BufReader::new(stream).lines().map_while(Result::ok)
}

#[test]
fn a_change_that_could_not_be_read_is_told_to_who_returns() {
    let site = Site::new();
    let id = site.submit(&json!({"n": 10})).remove(0);
    let path = format!("/api/v1/jobs/{id}/events");
    let mut listener = lines(site.get(&path).start());
    let (last, ..) = next_event(&mut listener).unwrap();
    site.database
        .psql("alter table dbos.operation_outputs rename to away");
    site.database.psql(&format!(
        "update dbos.workflow_status set status = 'CANCELLED', updated_at = extract(epoch from now()) * 1000, \
         completed_at = extract(epoch from now()) * 1000 where workflow_uuid = '{id}'"
    ));
    let (id_of_end, name, reason) = next_event(&mut listener).unwrap();
    assert!(name == "end" && reason.contains("come back"), "{name} {reason}");
    site.database
        .psql("alter table dbos.away rename to operation_outputs");
    let mut request = site.get(&path);
    if let Some(last) = id_of_end.or(last) {
        request = request.header("last-event-id", &last);
    }
    let (_, name, json) = next_event(&mut lines(request.start())).expect("all was told, it says");
    assert!(
        name == "result" && json.contains("\"state\":\"cancelled\""),
        "{name} {json}"
    );
}

#[test]
fn who_returns_to_a_job_that_has_ended_is_told_to_stay_away() {
    let site = Site::new();
    let id = site.submit(&json!({"n": 10})).remove(0);
    site.change("POST", &format!("/api/v1/jobs/{id}/cancel"))
        .send()
        .expect(200);
    let path = format!("/api/v1/jobs/{id}/events");
    let mut last = id_of_end(site.get(&path).start());
    // A transaction of another test may keep the moment before the job's end, so that it is told again.
    eventually("an answer that all was told", || {
        let mut stream = site.get(&path).header("last-event-id", &last).start();
        let mut status = [0; 12];
        stream.read_exact(&mut status).unwrap();
        if &status != b"HTTP/1.1 204" {
            last = id_of_end(stream);
        }
        &status == b"HTTP/1.1 204"
    });
}

/// Reads the events of a job that has ended, and returns the id of the last.
fn id_of_end(stream: TcpStream) -> String {
    let mut lines = lines(stream);
    let mut events = std::iter::from_fn(|| next_event(&mut lines));
    assert_eq!(events.next().unwrap().1, "result");
    let (last, name, _) = events.next().unwrap();
    assert_eq!(name, "end");
    last.expect("the end has no id")
}

#[test]
fn an_outage_without_a_change_is_told_and_taken_back() {
    let site = Site::new();
    let mut listener = lines(site.get("/api/v1/events").start());
    let (last, ..) = next_event(&mut listener).unwrap();
    site.database
        .psql("alter table dbos.workflow_status rename to away");
    while next_event(&mut listener).unwrap().1 != "outage" {}
    let returning = site.get("/api/v1/events").header("last-event-id", &last.unwrap());
    let mut returning = lines(returning.start());
    let mut joining = lines(site.get("/api/v1/events").start());
    for listener in [&mut returning, &mut joining] {
        assert_eq!(next_event(listener).unwrap().1, "outage");
    }
    site.database
        .psql("alter table dbos.away rename to workflow_status");
    let mut all: [Box<dyn Iterator<Item = String>>; 3] =
        [Box::new(listener), Box::new(returning), Box::new(joining)];
    for listener in &mut all {
        let (_, _, json) = std::iter::from_fn(|| next_event(listener))
            .find(|(_, name, _)| name == "changes")
            .unwrap();
        assert!(!json.contains("reset"), "{json}");
    }
}

#[test]
fn a_listener_of_a_job_hears_the_end_of_an_outage() {
    let site = Site::new();
    let id = site.submit(&json!({"n": 10})).remove(0);
    let mut listener = lines(site.get(&format!("/api/v1/jobs/{id}/events")).start());
    assert_eq!(next_event(&mut listener).unwrap().1, "state");
    site.database
        .psql("alter table dbos.workflow_status rename to away");
    while next_event(&mut listener).unwrap().1 != "outage" {}
    site.database
        .psql("alter table dbos.away rename to workflow_status");
    let (_, name, json) = next_event(&mut listener).unwrap();
    assert!(
        name == "state" && json.contains("\"state\":\"queued\""),
        "{name} {json}"
    );
}

#[test]
fn listeners_are_told_that_the_server_is_ending() {
    let site = Site::new();
    let mut listener = lines(site.get("/api/v1/events").start());
    next_event(&mut listener).unwrap();
    drop(site);
    let (_, name, reason) = next_event(&mut listener).expect("cut off");
    assert_eq!(
        (name.as_str(), reason.as_str()),
        ("end", "{\"reason\":\"the server is ending\"}")
    );
}
