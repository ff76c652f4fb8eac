//! The digits of values.

use std::fs::OpenOptions;
use std::io::Read;
use std::net::Shutdown;
use std::path::PathBuf;
use std::process::Command;

use serde_json::json;
use testkit::eventually;

use crate::rig::Site;

/// F(500000) has 104,494 digits: an artifact.
const LARGE: u64 = 500_000;

/// A job that has ended with its value; returns the path of the value.
fn computed(site: &Site, n: u64) -> String {
    let id = site.submit(&json!({ "n": n })).remove(0);
    assert_eq!(site.ended(&id)["state"], "succeeded");
    format!("/api/v1/jobs/{id}/value")
}

/// Changes the last digit of the only artifact.
fn spoil(site: &Site) {
    let path = artifact(site);
    let mut digits = std::fs::read(&path).unwrap();
    let last = digits.last_mut().unwrap();
    *last = if *last == b'1' { b'2' } else { b'1' };
    std::fs::remove_file(&path).unwrap();
    std::fs::write(&path, digits).unwrap();
}

fn artifact(site: &Site) -> PathBuf {
    let uri = site
        .database
        .psql("select output::jsonb -> 'artifact' ->> 'uri' from dbos.workflow_status limit 1");
    uri.trim().strip_prefix("file://").unwrap().into()
}

#[test]
fn every_part_of_a_value_is_the_one_that_was_asked_for() {
    let site = Site::new();
    let _worker = site.worker();
    for n in [300, LARGE] {
        let path = computed(&site, n);
        let all = site.get(&path).send();
        assert_eq!(all.status, 200);
        let (digits, tag) = (all.text(), all.header("etag").unwrap().to_owned());
        let length = digits.len();
        for (query, expected) in [
            ("?head=7", &digits[..7]),
            ("?tail=7", &digits[length - 7..]),
            ("?head=99999999", &digits),
        ] {
            let part = site.get(&format!("{path}{query}")).send();
            assert!(part.status == 200 && part.text() == expected, "{query}");
            assert_ne!(part.header("etag"), Some(&*tag), "{query}");
        }
        for (range, expected) in [
            ("bytes=0-9", 0..10),
            ("bytes=50-", 50..length),
            ("bytes=-5", length - 5..length),
        ] {
            let part = site.get(&path).header("range", range).send();
            assert!(
                part.status == 206 && part.text() == digits[expected.clone()],
                "{range}"
            );
            let (first, last) = (expected.start, expected.end - 1);
            let said = format!("bytes {first}-{last}/{length}");
            assert_eq!(part.header("content-range"), Some(&*said));
        }
        let other = site
            .get(&path)
            .header("range", "bytes=0-9")
            .header("if-range", "\"x\"")
            .send();
        assert_eq!((other.status, other.text()), (200, digits.clone()));
        let beyond = site.get(&path).header("range", "bytes=999999-").send();
        beyond.problem(416, "range");
        assert_eq!(
            beyond.header("content-range"),
            Some(&*format!("bytes */{length}"))
        );
    }
}

#[test]
fn a_value_that_is_known_or_only_asked_about_is_not_sent() {
    let site = Site::new();
    let _worker = site.worker();
    for n in [300, LARGE] {
        let path = computed(&site, n);
        let all = site.get(&path).send();
        assert_eq!(all.status, 200);
        let (length, tag) = (all.text().len().to_string(), all.header("etag").unwrap());
        assert_eq!(tag.len(), 66);
        assert_eq!(all.header("content-length"), Some(&*length));
        assert_eq!(all.header("content-type"), Some("text/plain; charset=utf-8"));
        let known = site
            .get(&path)
            .header("if-none-match", &format!("\"x\", {tag}"))
            .send();
        assert_eq!((known.status, known.body.len()), (304, 0));
        let head = site.request("HEAD", &path).send();
        assert_eq!(head.header("content-length"), Some(&*length));
        assert_eq!((head.status, head.body.len()), (200, 0));
    }
}

#[test]
fn a_job_without_a_value_says_why_it_has_none() {
    let site = Site::new();
    let id = site.submit(&json!({"n": 10})).remove(0);
    let path = format!("/api/v1/jobs/{id}");
    let problem = site.get(&format!("{path}/value")).send().problem(409, "conflict");
    assert!(
        problem["detail"].as_str().unwrap().contains("it is queued"),
        "{problem}"
    );
    site.change("POST", &format!("{path}/verify"))
        .send()
        .problem(409, "conflict");
    site.get("/api/v1/jobs/none/value")
        .send()
        .problem(404, "not-found");
    for query in ["head=0", "head=1&tail=1", "tail=-1", "middle=3"] {
        let answer = site.get(&format!("{path}/value?{query}")).send();
        answer.problem(422, "invalid");
    }
}

#[test]
fn a_value_that_was_changed_is_never_sent_to_its_end() {
    let site = Site::new();
    let _worker = site.worker();
    // Its 417,975 digits are sent in two pieces.
    let path = computed(&site, 2_000_000);
    let verify = path.replace("/value", "/verify");
    let verified = site.change("POST", &verify).send().expect(200);
    assert_eq!(verified["verified"], true, "{verified}");
    let button = verify.trim_start_matches("/api/v1");
    let answer = site.change("POST", button).send();
    let place = answer.header("location").unwrap_or_default();
    assert!(answer.status == 303 && place.ends_with("did=verified"), "{place}");
    spoil(&site);
    assert_eq!(site.change("POST", button).send().status, 409);
    let mut sent = Vec::new();
    // The connection may end with an error, which is the point.
    let _ = site.get(&path).start().read_to_end(&mut sent);
    assert!(sent.len() < 417_975, "all of a changed value was sent");
    let verified = site.change("POST", &verify).send().expect(200);
    assert_eq!(verified["verified"], false, "{verified}");
    std::fs::remove_file(artifact(&site)).unwrap();
    let problem = site.get(&path).send().problem(500, "internal");
    assert!(
        !problem.to_string().contains("file://"),
        "a place is told: {problem}"
    );
    let verified = site.change("POST", &verify).send().expect(200);
    assert!(
        !verified.to_string().contains("file://"),
        "a place is told: {verified}"
    );
}

#[test]
fn a_value_in_the_row_is_checked_before_it_is_sent() {
    let site = Site::new();
    let _worker = site.worker();
    let path = computed(&site, 300);
    let digits = site.get(&path).send().text();
    let (length, quoted) = (digits.len(), format!("\"{digits}\""));
    let backwards: String = quoted.chars().rev().collect();
    let set = |field: &str, json: &str| {
        site.database.psql(&format!(
            "update dbos.workflow_status set output = jsonb_set(output::jsonb, '{{{field}}}', '{json}')::text"
        ));
    };
    for (field, right, wrong) in [
        ("digits", length.to_string(), (length - 1).to_string()),
        ("digits", length.to_string(), (length + 1).to_string()),
        ("value", quoted, backwards),
    ] {
        set(field, &wrong);
        for query in ["", "?head=5"] {
            let answer = site.get(&format!("{path}{query}")).send();
            answer.problem(500, "internal");
        }
        set(field, &right);
        assert_eq!(site.get(&path).send().text(), digits);
    }
}

#[test]
fn an_artifact_of_another_length_than_its_value_is_not_sent() {
    let site = Site::new();
    let _worker = site.worker();
    let path = computed(&site, LARGE);
    site.database.psql(
        "update dbos.workflow_status set output = jsonb_set(output::jsonb, '{artifact,bytes}', '200000')::text",
    );
    site.get(&path).send().problem(500, "internal");
}

/// Lets those go on who wait at a pipe for its other end, also when the test fails.
struct PipeOpener(PathBuf);

impl Drop for PipeOpener {
    fn drop(&mut self) {
        // For reading as well, which waits for nobody.
        let _ = OpenOptions::new().read(true).write(true).open(&self.0);
    }
}

#[test]
fn a_reader_that_leaves_keeps_its_place_while_its_thread_hangs() {
    let site = Site::new();
    let _worker = site.worker();
    let path = computed(&site, LARGE);
    // A pipe without a writer is a file system that does not answer.
    let pipe = PipeOpener(artifact(&site));
    std::fs::remove_file(&pipe.0).unwrap();
    assert!(Command::new("mkfifo").arg(&pipe.0).status().unwrap().success());
    let mut readers: Vec<_> = (0..17).map(|_| site.get(&path).start()).collect();
    for reader in &readers {
        reader.set_nonblocking(true).unwrap();
    }
    eventually("the one without a place", || {
        readers.iter().any(|reader| reader.peek(&mut [0]).is_ok())
    });
    for reader in &mut readers {
        reader.set_nonblocking(false).unwrap();
        // The server may have closed that of the refused one.
        let _ = reader.shutdown(Shutdown::Write);
        let _ = reader.read_to_end(&mut Vec::new());
    }
    site.get(&path).send().problem(429, "too-many");
}

#[test]
fn readers_of_large_values_have_so_many_places() {
    let site = Site::new();
    let _worker = site.worker();
    // Longer than what is on the way to readers that do not read.
    let path = computed(&site, 80_000_000);
    let mut readers: Vec<_> = (0..16).map(|_| site.get(&path).start()).collect();
    for reader in &mut readers {
        // It has its place once its answer begins.
        reader.read_exact(&mut [0; 12]).unwrap();
    }
    let refused = site.get(&path).send();
    refused.problem(429, "too-many");
    assert!(refused.header("retry-after").is_some());
    site.get(&format!("{path}?head=5"))
        .send()
        .problem(429, "too-many");
    site.get("/api/v1/jobs").send().expect(200);
    drop(readers);
    eventually("a place", || {
        site.get(&format!("{path}?head=5")).send().status == 200
    });
}

#[test]
fn a_changed_value_of_one_piece_is_an_error_of_its_own() {
    let site = Site::new();
    let _worker = site.worker();
    let path = computed(&site, LARGE);
    spoil(&site);
    let problem = site.get(&path).send().problem(500, "internal");
    assert!(
        problem["detail"].as_str().unwrap().contains("was changed"),
        "{problem}"
    );
}
