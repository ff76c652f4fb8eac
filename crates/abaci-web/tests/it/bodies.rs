//! Requests that no client should send.

use std::io::{Read, Write};
use std::net::TcpStream;

use testkit::eventually;

use crate::http::{Answer, Request};
use crate::rig::{Site, TOKEN};

const JOBS: &str = "/api/v1/jobs";

/// A request of which the rest is to come, in chunks.
fn chunked(site: &Site) -> Request {
    let request = site
        .change("POST", JOBS)
        .header("content-type", "application/json");
    request.header("transfer-encoding", "chunked")
}

#[test]
fn a_body_that_cannot_be_read_is_refused_with_its_kind() {
    let site = Site::new();
    let deep = "[".repeat(200_000);
    let deep_object = format!("{}1{}", "{\"n\":".repeat(1_000), "}".repeat(1_000));
    for body in [
        b"".as_slice(),
        b"{",
        b"{\"n\": 10",
        b"n=10",
        b"{\"n\": 10} {\"n\": 10}",
        b"\xff\xfe{}",
        b"{\"n\": \"\xc3\x28\"}",
        b"{\"n\": NaN}",
        b"{\"n\": 10, \"n\": 11}",
        b"[{\"n\": 10, \"tag\": \"a\", \"tag\": \"b\"}]",
        deep.as_bytes(),
        deep_object.as_bytes(),
    ] {
        let problem = site.post(JOBS, body).send().problem(400, "malformed");
        assert!(
            problem["detail"]
                .as_str()
                .unwrap()
                .starts_with("the body is not JSON"),
            "{problem}"
        );
    }
    assert_eq!(
        site.count("pg_tables where schemaname = 'dbos'"),
        0,
        "the database was asked"
    );
}

#[test]
fn a_body_of_another_form_is_refused() {
    let site = Site::new();
    let request = site.change("POST", JOBS).body("{\"n\": 10}");
    request.send().problem(415, "media-type");
    for kind in [
        "text/plain",
        "application/x-www-form-urlencoded",
        "application/jsonp",
        "",
        "json",
    ] {
        let answer = request.clone().header("content-type", kind).send();
        answer.problem(415, "media-type");
    }
    for kind in ["application/json; charset=utf-8", "Application/JSON"] {
        request.clone().header("content-type", kind).send().expect(202);
    }
}

#[test]
fn a_body_that_is_too_large_is_refused_unread() {
    let site = Site::new();
    let large = vec![b' '; (1 << 20) + 1];
    site.post(JOBS, large.clone()).send().problem(413, "too-large");
    let mut stream = chunked(&site).start();
    // The server stops to read once it has refused.
    let _ = write!(stream, "{:x}\r\n", large.len()).and_then(|()| stream.write_all(&large));
    Answer::read(stream).problem(413, "too-large");
    let said = site
        .change("POST", JOBS)
        .header("content-type", "application/json");
    let said = said.header("content-length", "99999999999999");
    said.send().problem(413, "too-large");
}

#[test]
fn a_body_that_does_not_come_is_not_waited_for() {
    let site = Site::new();
    let said = site
        .change("POST", JOBS)
        .header("content-type", "application/json");
    let streams = [
        said.header("content-length", "9").start(),
        // A chunk that never ends.
        {
            let mut stream = chunked(&site).start();
            stream.write_all(b"ff\r\n{\"n\":").unwrap();
            stream
        },
    ];
    for stream in streams {
        Answer::read(stream).problem(408, "timeout");
    }
}

#[test]
fn chunks_that_never_end_are_not_waited_for() {
    let site = Site::new();
    let mut stream = chunked(&site).start();
    let mut writing = stream.try_clone().unwrap();
    // One space after the other, each in time, until the server has had enough.
    let writer = std::thread::spawn(move || {
        let pause = std::time::Duration::from_millis(100);
        while writing.write_all(b"1\r\n \r\n").is_ok() {
            std::thread::sleep(pause);
        }
    });
    let mut status = [0; 12];
    stream.read_exact(&mut status).unwrap();
    assert_eq!(&status, b"HTTP/1.1 408");
    drop(stream);
    writer.join().unwrap();
}

#[test]
fn a_header_that_does_not_end_ends_its_connection() {
    let site = Site::new();
    let mut slow = TcpStream::connect(site.address()).unwrap();
    slow.write_all(b"GET /healthz HTTP/1.1\r\nhost: localhost\r\nx-slow: ")
        .unwrap();
    let mut answer = Vec::new();
    let _ = slow.read_to_end(&mut answer);
    let answer = String::from_utf8_lossy(&answer);
    assert!(
        answer.is_empty() || answer.starts_with("HTTP/1.1 408"),
        "{answer}"
    );
    assert_eq!(site.get("/healthz").send().status, 200);
}

#[test]
fn paths_and_queries_that_are_not_utf_8_are_refused() {
    let site = Site::new();
    for path in [
        "/api/v1/jobs/%ff",
        "/api/v1/jobs/%ff/value",
        "/api/v1/jobs?text=%ff",
    ] {
        let answer = site.get(path).send();
        answer.problem(400, "malformed");
    }
    let mut stream = TcpStream::connect(site.address()).unwrap();
    stream
        .write_all(b"GET /\xff HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\n\r\n")
        .unwrap();
    let status = Answer::read(stream).status;
    assert!((400..500).contains(&status), "{status}");
}

#[test]
fn chunks_that_make_no_sense_are_refused() {
    let site = Site::new();
    for chunk in ["zz\r\n{}", "ffffffffffffffffff\r\n", "-1\r\n"] {
        let mut stream = chunked(&site).start();
        let _ = stream.write_all(chunk.as_bytes());
        let answer = Answer::read(stream);
        assert!(
            (400..500).contains(&answer.status),
            "{}: {}",
            answer.status,
            answer.text()
        );
    }
}

#[test]
fn a_body_in_chunks_is_read() {
    let site = Site::new();
    let mut stream = chunked(&site).start();
    for chunk in ["5\r\n{\"n\":\r\n", "4\r\n 10}\r\n", "0\r\n\r\n"] {
        stream.write_all(chunk.as_bytes()).unwrap();
    }
    Answer::read(stream).expect(202);
}

#[test]
fn ten_thousand_headers_are_refused() {
    let site = Site::new();
    let mut request = site.get("/healthz");
    for number in 0..10_000 {
        request = request.header(&format!("x-{number}"), "1");
    }
    assert_eq!(request.send().status, 431);
    let long = site.get("/healthz").header("x-long", &"x".repeat(100_000));
    assert_eq!(long.send().status, 431);
}

#[test]
fn the_server_answers_others_while_some_are_slow() {
    let site = Site::new();
    let slow: Vec<_> = (0..50)
        .map(|_| {
            let slow = site
                .change("POST", JOBS)
                .header("content-type", "application/json");
            slow.header("content-length", "9").start()
        })
        .collect();
    eventually("an answer", || site.get("/healthz").send().status == 200);
    site.post(JOBS, "{\"n\": 1}").send().expect(202);
    assert!(!TOKEN.is_empty() && slow.len() == 50);
}
