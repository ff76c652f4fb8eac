//! The health of a server over HTTP while its database is not there, or does not answer, or is asked too much.

use std::net::TcpListener;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use serde_json::json;
use testkit::{Deadline, PrivateServer, TempDir};

use super::{SERVE, Served};
use crate::http;
use crate::rig::{Rig, bare};

/// No question about health may take longer, and most take a millisecond; a loaded test machine gets some more.
const AT_ONCE: Duration = Duration::from_millis(500);

/// The time for a question that the database answers or not, of which a second is its own; the rest is the test machine's.
const LONG: Duration = Duration::from_secs(3);

#[test]
fn an_outage_is_seen_at_once_and_its_end_too_without_a_restart() {
    let mut postgres = PrivateServer::new();
    let url = postgres.create_database("jobs");
    let home = TempDir::new();
    let mut command = bare(&home, SERVE);
    command.env("ABACI_DATABASE_URL", &url);
    let served = Served::begin(command);
    served.process.wait_for_line("ready");
    assert_eq!(served.get("/readyz").status, 200);
    assert_eq!(served.get("/health").json()["status"], "healthy");

    postgres.stop_immediate();
    Deadline::after(LONG).eventually("an unready server", || {
        // The worker may notice first; then the question follows.
        let unready = served.get("/readyz");
        if unready.status == 503 && unready.body.contains("the database does not answer") {
            Ok(())
        } else {
            Err(unready)
        }
    });
    served.assert_unready(&["the database does not answer"]);
    let health = served.health_until("an unhealthy server", |health| health["status"] == "unhealthy");
    assert_eq!(health["database"]["status"], "unreachable", "{health:#}");
    let health = served.get("/health");
    assert!(health.status == 503 && health.took < AT_ONCE, "{health:#?}");
    let live = served.get("/livez");
    assert!(live.status == 200 && live.took < AT_ONCE, "{live:#?}");
    assert!(served.get("/metrics").body.contains("abaci_database_up 0.0"));

    postgres.start();
    http::await_status(&served.address, "/readyz", 200);
    let health = served.health_until("a healthy server", |health| health["status"] == "healthy");
    assert_eq!(health["pid"], served.process.pid());
}

#[test]
fn a_database_that_hangs_holds_up_readiness_for_a_second() {
    let rig = Rig::new();
    let served = Served::ready(&rig);
    assert_eq!(served.get("/readyz").status, 200);
    let lock = rig.database.lock("dbos.workflow_status");
    // A last answer from before the lock counts for a moment.
    http::await_status(&served.address, "/readyz", 503);
    let unready = served.get("/readyz");
    assert!(unready.status == 503 && unready.took < LONG, "{unready:#?}");
    assert!(
        unready
            .body
            .contains("the database does not answer: no answer within 1 s"),
        "{unready:#?}"
    );
    let live = served.get("/livez");
    assert!(live.status == 200 && live.took < AT_ONCE, "{live:#?}");
    let health = served.get("/health");
    assert!(health.status == 503 && health.took < AT_ONCE, "{health:#?}");
    assert_eq!(
        health.json()["queue"]["queued"],
        0,
        "the old numbers are not shown: {health:#?}"
    );
    drop(lock);
    http::await_status(&served.address, "/readyz", 200);
}

#[test]
fn a_server_that_waits_for_its_database_is_starting() {
    let mut postgres = PrivateServer::new();
    let url = postgres.create_database("jobs");
    postgres.stop();
    let home = TempDir::new();
    let mut command = bare(&home, SERVE);
    command.env("ABACI_DATABASE_URL", &url);
    let served = Served::begin(command);
    assert_eq!(served.get("/livez").status, 200);
    served.assert_unready(&[
        "no worker takes jobs: worker 0 has been starting for",
        "the database does not answer",
    ]);
    let health = served.get("/health");
    assert_eq!(
        (health.status, &health.json()["status"]),
        (503, &json!("unhealthy")),
        "{health:#?}"
    );
    assert_eq!(health.json()["workers"][0]["state"], "starting", "{health:#?}");
    postgres.start();
    http::await_status(&served.address, "/readyz", 200);
}

#[test]
fn a_server_is_ready_however_often_it_was_asked_before() {
    let mut postgres = PrivateServer::new();
    let url = postgres.create_database("jobs");
    postgres.stop();
    let home = TempDir::new();
    let mut command = bare(&home, SERVE);
    command.env("ABACI_DATABASE_URL", &url);
    let served = Served::begin(command);
    let is_over = AtomicBool::new(false);
    thread::scope(|scope| {
        // Who asks all the time finds each failure while it is young.
        scope.spawn(|| {
            while !is_over.load(Ordering::Relaxed) {
                served.get("/readyz");
            }
        });
        served.assert_unready(&["the database does not answer"]);
        postgres.start();
        served.process.wait_for_line("ready");
        let ready = served.get("/readyz");
        is_over.store(true, Ordering::Relaxed);
        assert_eq!(ready.status, 200, "{ready:#?}");
    });
}

#[test]
fn many_requests_are_few_questions_to_the_database() {
    // Whoever asks this database is turned away, so each question is one connection.
    let database = TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!(
        "postgres://ada@{}/jobs?sslmode=disable",
        database.local_addr().unwrap()
    );
    let questions = AtomicUsize::new(0);
    let home = TempDir::new();
    let mut command = bare(&home, SERVE);
    command.env("ABACI_DATABASE_URL", &url);
    let served = Served::begin(command);
    let requests = AtomicUsize::new(0);
    let length = Duration::from_secs(2);
    thread::scope(|scope| {
        scope.spawn(|| {
            // The last one is this test's own.
            while database.accept().is_ok() && requests.load(Ordering::SeqCst) < usize::MAX / 2 {
                questions.fetch_add(1, Ordering::SeqCst);
            }
        });
        thread::scope(|clients| {
            for _ in 0..8 {
                clients.spawn(|| {
                    let begun = Instant::now();
                    while begun.elapsed() < length {
                        assert_eq!(served.get("/readyz").status, 503);
                        requests.fetch_add(1, Ordering::SeqCst);
                    }
                });
            }
        });
        let (asked, answered) = (questions.load(Ordering::SeqCst), requests.load(Ordering::SeqCst));
        requests.store(usize::MAX, Ordering::SeqCst);
        http::connect(&database.local_addr().unwrap().to_string()).unwrap();
        // Each waits for the next question, and all of them for the same.
        assert!(answered > 80, "only {answered} requests");
        // Ten a second, and the worker's own attempts, of which there are a few in that time.
        assert!(
            (10..=30).contains(&asked),
            "{answered} requests were {asked} questions"
        );
    });
}
