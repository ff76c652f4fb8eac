//! A token that changes while the server runs.

use std::fs;
use std::process::Command;

use testkit::{Process, eventually};

use super::rig::WebRig;
use crate::fleet_rig::field;
use crate::http;
use crate::rig::run;

const OLD: &str = "the-old-token-of-a-test";
const NEW: &str = "the-new-token-of-a-test";

/// Tests whether this header allows a change: of a job that is not there.
fn may(address: &str, header: &str) -> bool {
    let request = format!(
        "POST /api/v1/jobs/none/cancel HTTP/1.1\r\nhost: {address}\r\n{header}\r\nconnection: close\r\n\r\n"
    );
    let answer = http::exchange(address, request.as_bytes()).unwrap();
    match answer.split(' ').nth(1) {
        Some("404") => true,
        Some("401") => false,
        _ => panic!("{answer}"),
    }
}

fn bearer(token: &str) -> String {
    format!("authorization: Bearer {token}")
}

/// Logs in by the address that the program prints for this file of a token, and returns the cookie.
fn log_in(rig: &WebRig, address: &str, file: &str) -> String {
    let printed = run(rig.without_token(&["web", "url", "--web-addr", address, "--token-file", file])).stdout;
    let path = printed[0].strip_prefix(&format!("http://{address}")).unwrap();
    let request = format!("GET {path} HTTP/1.1\r\nhost: {address}\r\nconnection: close\r\n\r\n");
    let answer = http::exchange(address, request.as_bytes()).unwrap();
    let cookie = answer.lines().find_map(|line| line.strip_prefix("set-cookie: "));
    let cookie = cookie.unwrap_or_else(|| panic!("no session: {answer}"));
    format!("cookie: {}", cookie.split(';').next().unwrap())
}

#[test]
fn another_token_in_the_file_ends_sessions_and_opens_new_ones() {
    let rig = WebRig::new();
    let path = rig.0.directory.path().join("token");
    let file = path.to_str().unwrap();
    fs::write(&path, OLD).unwrap();
    let web = Process::spawn(rig.without_token(&["web", "--web-addr", "127.0.0.1:0", "--token-file", file]));
    let address = field(&web.wait_for_line(" web "), "address");
    let session = log_in(&rig, &address, file);
    let (old, new) = (bearer(OLD), bearer(NEW));
    assert_eq!(
        [&session, &old, &new].map(|header| may(&address, header)),
        [true, true, false]
    );
    // A token that makes no sense changes nothing.
    fs::write(&path, "short").unwrap();
    web.wait_for_line("the token cannot be read");
    assert_eq!(
        [&session, &old, &new].map(|header| may(&address, header)),
        [true, true, false]
    );
    fs::write(&path, format!("{NEW}\n")).unwrap();
    eventually("the new token", || may(&address, &new));
    assert_eq!(
        [&session, &old].map(|header| may(&address, header)),
        [false, false]
    );
    let session = log_in(&rig, &address, file);
    assert!(may(&address, &session));
    let log = web.stderr().join("\n");
    assert!(!log.contains(OLD) && !log.contains(NEW), "{log}");
}

#[test]
fn a_token_may_come_through_a_pipe() {
    let rig = WebRig::new();
    let pipe = rig.0.directory.path().join("pipe");
    assert!(Command::new("mkfifo").arg(&pipe).status().unwrap().success());
    let file = pipe.to_str().unwrap();
    let web = Process::spawn(rig.without_token(&["web", "--web-addr", "127.0.0.1:0", "--token-file", file]));
    fs::write(&pipe, OLD).unwrap();
    let address = field(&web.wait_for_line(" web "), "address");
    assert!(may(&address, &bearer(OLD)) && !may(&address, &bearer(NEW)));
}
