//! Many at once.

use std::io::Read;
use std::net::TcpStream;

use testkit::eventually;

use crate::rig::Site;

#[test]
fn requests_over_their_number_are_told_to_come_again() {
    let site = Site::new();
    let slow = site
        .change("POST", "/api/v1/jobs")
        .header("content-type", "application/json");
    let slow = slow.header("content-length", "9");
    // One more at each question: the question itself may have had the place of one that was refused for it.
    let mut held: Vec<TcpStream> = (0..256).map(|_| slow.start()).collect();
    eventually("a refusal", || {
        held.push(slow.start());
        site.get("/api/v1/estimate?n=1").send().status == 429
    });
    let refused = site.get("/api/v1/estimate?n=1").send();
    refused.problem(429, "too-many");
    assert_eq!(refused.header("retry-after"), Some("2"));
    let page = site.get("/jobs").header("accept", "text/html").send();
    assert_eq!((page.status, page.header("retry-after")), (429, Some("2")));
    assert_eq!(site.get("/healthz").send().status, 200);
    site.request("POST", "/api/v1/jobs")
        .json("1")
        .send()
        .problem(401, "unauthorized");
    drop(held);
    eventually("an answer", || {
        site.get("/api/v1/estimate?n=1").send().status == 200
    });
}

#[test]
fn listeners_leave_places_for_requests() {
    let site = Site::new();
    let listen = site.get("/api/v1/events");
    let mut listeners = Vec::new();
    // A quarter of the 2048 connections is left.
    for _ in 0..1536 {
        listeners.push(listen.start());
    }
    for listener in &mut listeners {
        let mut status = [0; 12];
        listener.read_exact(&mut status).unwrap();
        assert_eq!(&status, b"HTTP/1.1 200");
    }
    listen.send().problem(429, "too-many");
    site.get("/api/v1/estimate?n=1").send().expect(200);
    drop(listeners);
    eventually("a place", || {
        let mut status = [0; 12];
        listen.start().read_exact(&mut status).unwrap();
        &status == b"HTTP/1.1 200"
    });
}
