//! Clients that send nonsense to a health server, are slow, or are many.

use std::fs;
use std::io::{Read, Write};
use std::net::TcpStream;
use std::process::Command;
use std::time::{Duration, Instant};

use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use testkit::eventually;

use super::Served;
use crate::http;
use crate::rig::{Rig, code};

/// Lets this process open as many files as it may.
fn raise_own_limit() {
    let Rlimit { maximum, .. } = getrlimit(Resource::Nofile);
    let raised = Rlimit {
        current: maximum,
        maximum,
    };
    setrlimit(Resource::Nofile, raised).unwrap();
}

/// A server under a limit of open files, `-S` for one that it may raise and nothing for one that it may not.
fn limited(rig: &Rig, which: &str, files: u32) -> Served {
    let serve = rig.abaci(["serve", "--health-addr", "127.0.0.1:0"]);
    let mut command = Command::new("/bin/sh");
    command
        .args(["-c", &format!("ulimit {which} -n {files} && exec \"$@\""), "sh"])
        .arg(serve.get_program())
        .args(serve.get_args())
        .env_clear()
        .envs(serve.get_envs().filter_map(|(name, value)| Some((name, value?))));
    let served = Served::begin(command);
    served.process.wait_for_line("ready");
    served
}

fn silent_connections(address: &str, count: usize) -> Vec<TcpStream> {
    (0..count).map(|_| http::connect(address).unwrap()).collect()
}

#[test]
fn nonsense_gets_an_error_and_the_server_goes_on() {
    let rig = Rig::new();
    let served = Served::ready(&rig);
    let huge = "x".repeat(100_000);
    let nonsense = [
        "\u{0}\u{1}\u{2} nothing at all \r\n\r\n".to_owned(),
        "GET\r\n\r\n".to_owned(),
        "GET /livez HTTP/9.9\r\n\r\n".to_owned(),
        "GET /livez HTTP/1.1\r\nno colon\r\n\r\n".to_owned(),
        "GET /livez HTTP/1.1\r\ncontent-length: 1\r\ncontent-length: 2\r\n\r\n".to_owned(),
        format!("GET /{huge} HTTP/1.1\r\n\r\n"),
        format!("GET /livez HTTP/1.1\r\nhost: a\r\nlong: {huge}\r\n\r\n"),
        format!("GET /livez HTTP/1.1\r\n{}\r\n", "a: b\r\n".repeat(2_000)),
        "\u{16}\u{3}\u{1}\u{2}\u{0}\u{1}\u{0}\u{1}\u{fc}\u{3}\u{3}".to_owned() + &huge,
    ];
    for bytes in nonsense {
        // The server may hang up before it has read everything, which the client may meet as an error.
        let answer = http::exchange(&served.address, bytes.as_bytes()).unwrap_or_default();
        let is_refused = answer.is_empty() || answer.starts_with("HTTP/1.1 4");
        assert!(
            is_refused,
            "{:?} was answered with {answer:?}",
            &bytes[..bytes.len().min(60)]
        );
        assert_eq!(served.get("/livez").status, 200);
    }
}

#[test]
fn only_get_and_head_of_the_four_paths_are_answered() {
    let rig = Rig::new();
    let served = Served::ready(&rig);
    for method in ["POST", "PUT", "DELETE", "OPTIONS", "PATCH"] {
        let request = format!("{method} /health HTTP/1.1\r\nhost: a\r\nconnection: close\r\n\r\n");
        let answer = http::exchange(&served.address, request.as_bytes()).unwrap();
        assert!(answer.starts_with("HTTP/1.1 405"), "{answer}");
        assert!(
            answer.to_lowercase().contains("\r\nallow: get, head\r\n"),
            "{answer}"
        );
        assert!(
            answer.ends_with("{\"error\":\"only GET and HEAD are answered\"}\n"),
            "{answer}"
        );
    }
    for path in ["/", "/healthz", "/health/", "/LIVEZ"] {
        let answer = served.get(path);
        assert!(
            answer.status == 404 && answer.json()["error"].is_string(),
            "{answer:#?}"
        );
    }
    let head = b"HEAD /livez HTTP/1.1\r\nhost: a\r\nconnection: close\r\n\r\n";
    let answer = http::exchange(&served.address, head).unwrap();
    assert!(
        answer.starts_with("HTTP/1.1 200") && answer.ends_with("\r\n\r\n"),
        "{answer}"
    );
}

#[test]
fn a_body_is_not_waited_for() {
    let rig = Rig::new();
    let served = Served::ready(&rig);
    // What is announced never comes.
    let announced = b"GET /livez HTTP/1.1\r\nhost: a\r\ncontent-length: 1000000000\r\n\r\nbegin";
    let mut stream = http::connect(&served.address).unwrap();
    let begun = Instant::now();
    stream.write_all(announced).unwrap();
    let mut answer = [0; 12];
    stream.read_exact(&mut answer).unwrap();
    assert_eq!(&answer, b"HTTP/1.1 200");
    assert!(begun.elapsed() < Duration::from_secs(2), "{:?}", begun.elapsed());
}

#[test]
fn a_client_that_is_slow_in_or_between_requests_is_cut_off() {
    let rig = Rig::new();
    let served = Served::ready(&rig);
    let begun = Instant::now();
    let mut half = http::connect(&served.address).unwrap();
    half.write_all(b"GET /livez HTTP/1.1\r\nho").unwrap();
    let mut idle = http::connect(&served.address).unwrap();
    idle.write_all(b"GET /livez HTTP/1.1\r\nhost: a\r\n\r\n").unwrap();
    let mut silent = http::connect(&served.address).unwrap();
    let mut answer = String::new();
    idle.read_to_string(&mut answer).unwrap();
    assert!(
        answer.starts_with("HTTP/1.1 200") && answer.ends_with("[]}\n"),
        "{answer}"
    );
    for stream in [&mut half, &mut silent] {
        let mut answer = String::new();
        stream.read_to_string(&mut answer).unwrap();
        assert!(
            answer.is_empty() || answer.starts_with("HTTP/1.1 408"),
            "{answer}"
        );
    }
    let took = begun.elapsed();
    assert!((4..10).contains(&took.as_secs()), "cut off after {took:?}");
}

#[test]
fn a_thousand_silent_connections_hold_nobody_up() {
    raise_own_limit();
    let rig = Rig::new();
    let served = limited(&rig, "-S", 256);
    let silent = silent_connections(&served.address, 1_000);
    for path in ["/livez", "/readyz", "/health", "/metrics"] {
        let answer = served.get(path);
        assert!(
            answer.status == 200 && answer.took < Duration::from_secs(1),
            "{answer:#?}"
        );
    }
    assert_eq!(code(&rig.run(["submit", "10"])), 0);
    drop(silent);
}

#[test]
fn connections_beyond_the_limit_wait_and_the_worker_goes_on() {
    raise_own_limit();
    let rig = Rig::new();
    // Room for a hundred connections, and none that it could take from elsewhere.
    let served = limited(&rig, "", 200);
    let silent = silent_connections(&served.address, 195);
    let open_files = || {
        let files = fs::read_dir(format!("/proc/{}/fd", served.process.pid()));
        files.unwrap().count()
    };
    eventually("a full server", || open_files() >= 100);
    // Its value is a file.
    let output = rig.run(["submit", "100000"]);
    assert_eq!(
        code(&output),
        0,
        "the worker has no descriptors left: {output:#?}"
    );
    assert!(
        open_files() < 180,
        "{} of 200 descriptors are taken",
        open_files()
    );
    // The silent ones are cut off after five seconds.
    let answer = served.get("/livez");
    assert!(
        answer.status == 200 && answer.took < Duration::from_secs(15),
        "{answer:#?}"
    );
    drop(silent);
    assert!(served.get("/readyz").took < Duration::from_secs(2));
}
