//! Large values that are read in every way at once.

use std::io::{Read, Write};
use std::net::TcpStream;
use std::thread;

use serde_json::json;
use testkit::eventually;

use super::rig::{WebFleet, WebRig};
use crate::fleet_rig::memory_kib;
use crate::http;

/// F(100000000) has so many digits.
const N: u64 = 100_000_000;
const DIGITS: u64 = 20_898_764;

/// The memory that a server may need for readers of values, however long these are.
const READERS_KIB: u64 = 12 * 1024;

/// Asks for a value, and returns the stream behind the head of the answer.
fn ask(address: &str, path: &str, range: Option<(u64, u64)>) -> TcpStream {
    let mut stream = http::connect(address).unwrap();
    let range = range.map_or_else(String::new, |(first, last)| {
        format!("range: bytes={first}-{last}\r\n")
    });
    let request = format!("GET {path} HTTP/1.1\r\nhost: {address}\r\n{range}connection: close\r\n\r\n");
    stream.write_all(request.as_bytes()).unwrap();
    let (mut head, mut byte) = (Vec::new(), [0]);
    while !head.ends_with(b"\r\n\r\n") {
        stream.read_exact(&mut byte).unwrap();
        head.push(byte[0]);
    }
    assert!(
        head.starts_with(b"HTTP/1.1 20"),
        "{}",
        String::from_utf8_lossy(&head)
    );
    stream
}

/// Reads a stream to its end, into a hash.
fn read(mut stream: TcpStream, hash: &mut blake3::Hasher) -> u64 {
    std::io::copy(&mut stream, hash).unwrap()
}

/// Reads all of a value, and returns its hash.
fn all(address: &str, path: &str) -> String {
    let mut hash = blake3::Hasher::new();
    assert_eq!(read(ask(address, path, None), &mut hash), DIGITS);
    hash.finalize().to_hex().to_string()
}

/// Reads a value in five ranges, and returns the hash of all.
fn ranges(address: &str, path: &str) -> String {
    let (mut hash, step) = (blake3::Hasher::new(), DIGITS / 4);
    for part in 0..5 {
        let (first, last) = (part * step, ((part + 1) * step).min(DIGITS) - 1);
        if first <= last {
            let length = read(ask(address, path, Some((first, last))), &mut hash);
            assert_eq!(length, last - first + 1);
        }
    }
    hash.finalize().to_hex().to_string()
}

fn computed(web: &WebFleet) -> (String, String) {
    let id = web.submit(&json!({ "n": N })).remove(0);
    let job = eventually("a value", || {
        let job = http::get(web.address(), &format!("/api/v1/jobs/{id}")).json();
        if job["state"] == "succeeded" {
            Ok(job)
        } else {
            Err(job)
        }
    });
    let hash = job["result"]["certificate"]["blake3"].as_str().unwrap();
    (format!("/api/v1/jobs/{id}/value"), hash.to_owned())
}

#[test]
fn large_values_read_at_once_need_no_more_memory() {
    let rig = WebRig::new();
    let web = rig.fleet(&["--workers", "1"]);
    let (path, hash) = computed(&web);
    let address = web.address();
    // Whatever a first reader needs is there by now.
    http::get(address, &format!("{path}?head=10"));
    let before = memory_kib(web.pid, "VmHWM");
    thread::scope(|threads| {
        let readers = [0; 2].map(|_| threads.spawn(|| all(address, &path)));
        let parts = threads.spawn(|| ranges(address, &path));
        threads.spawn(|| {
            let mut aborted = ask(address, &path, None);
            aborted.read_exact(&mut vec![0; 5_000_000]).unwrap();
        });
        for reader in readers.into_iter().chain([parts]) {
            assert_eq!(reader.join().unwrap(), hash, "other digits than were stored");
        }
    });
    // The place of the one that left is free again.
    eventually("a check", || all(address, &path) == hash);
    let grown = memory_kib(web.pid, "VmHWM") - before;
    assert!(
        grown <= READERS_KIB,
        "{grown} KiB for the readers of {DIGITS} digits"
    );
}
