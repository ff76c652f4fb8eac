//! Jobs that are submitted.

use std::thread;

use serde_json::{Value, json};

use crate::rig::Site;

const JOBS: &str = "/api/v1/jobs";

/// The number of jobs.
fn jobs(site: &Site) -> u64 {
    site.count("dbos.workflow_status")
}

#[test]
fn one_request_is_one_job_at_the_place_that_is_named() {
    let site = Site::new();
    let answer = site
        .post(JOBS, json!({"n": 30, "id": "a/b", "tag": "x"}).to_string())
        .send();
    let submitted = answer.expect(202);
    assert_eq!(answer.header("location"), Some("/api/v1/jobs/a%2Fb"));
    assert_eq!(
        submitted,
        json!({"jobs": [{"id": "a/b", "href": "/api/v1/jobs/a%2Fb"}]})
    );
    let job = site.get("/api/v1/jobs/a%2Fb").send().expect(200);
    assert_eq!(job["state"], "queued");
    assert_eq!(job["input"], json!({"n": 30, "algorithm": "doubling"}));
    assert_eq!(job["tags"], json!(["x"]));
}

#[test]
fn a_list_is_a_batch_in_its_order() {
    let site = Site::new();
    let answer = site.post(JOBS, "[{\"n\": 1}, 2, {\"n\": \"3\"}]").send();
    let submitted = answer.expect(202);
    let batch = submitted["batch"].as_str().unwrap();
    assert_eq!(
        answer.header("location"),
        Some(&*format!("/api/v1/jobs?batch={batch}"))
    );
    let ids = submitted["jobs"].as_array().unwrap();
    let numbers = ids.iter().map(|job| {
        let job = site.get(job["href"].as_str().unwrap()).send().expect(200);
        assert_eq!(job["batch"], batch);
        job["input"]["n"].clone()
    });
    assert_eq!(numbers.collect::<Vec<Value>>(), [1, 2, 3]);
}

#[test]
fn what_is_refused_is_named_and_nothing_is_queued() {
    let site = Site::new();
    for (body, location, value) in [
        (json!({"n": -1}), "body.n", json!(-1)),
        (json!({"n": 1.5}), "body.n", json!(1.5)),
        (json!({"n": 2_000_000_001u64}), "body.n", json!(2_000_000_001u64)),
        (
            json!({"n": 10, "algorithm": "magic"}),
            "body.algorithm",
            json!("magic"),
        ),
        (json!({"n": 10, "priority": -1}), "body.priority", json!(-1)),
        (json!({"n": 10, "id": "two words"}), "body.id", json!("two words")),
        (json!({"n": 10, "tag": ["a", 7]}), "body.tag", json!("[\"a\",7]")),
        (json!({"n": 10, "color": "red"}), "body", Value::Null),
        (json!({}), "body.n", Value::Null),
        (json!(null), "body.n", Value::Null),
        (json!([]), "body", Value::Null),
        (json!([{"n": 1}, {"n": -1}]), "body[1].n", json!(-1)),
        (json!([{"n": 1}, [{"n": 1}]]), "body[1].n", Value::Null),
    ] {
        let problem = site.post(JOBS, body.to_string()).send().problem(422, "invalid");
        assert_eq!(problem["errors"][0]["location"], location, "{body}: {problem}");
        assert_eq!(problem["errors"][0]["value"], value, "{body}: {problem}");
    }
    let too_many = json!(vec![1; 10_001]);
    site.post(JOBS, too_many.to_string())
        .send()
        .problem(422, "invalid");
    assert_eq!(
        site.count("pg_tables where schemaname = 'dbos'"),
        0,
        "the database was asked"
    );
}

#[test]
fn two_submits_with_one_key_at_once_are_one_job() {
    let site = Site::new();
    let submit = site.post(JOBS, "{\"n\": 30}").header("idempotency-key", "one");
    let several = site
        .post(JOBS, "[10, 20, 30]")
        .header("idempotency-key", "\"many\"");
    let answers = thread::scope(|scope| {
        let sent: Vec<_> = [&submit, &several]
            .repeat(4)
            .into_iter()
            .map(|request| scope.spawn(|| request.send()))
            .collect();
        sent.into_iter()
            .map(|sent| sent.join().unwrap())
            .collect::<Vec<_>>()
    });
    let ones = answers.iter().step_by(2).map(|answer| answer.expect(202));
    assert!(ones.into_iter().all(|answer| answer["jobs"][0]["id"] == "one"));
    let batches = answers.iter().skip(1).step_by(2).map(|answer| answer.expect(202));
    assert!(batches.into_iter().all(|answer| answer["batch"] == "many"));
    assert_eq!(jobs(&site), 4, "something was queued twice");
}

#[test]
fn a_key_that_was_used_for_something_else_is_refused() {
    let site = Site::new();
    let submit = |body: &str| site.post(JOBS, body).header("idempotency-key", "one").send();
    submit("{\"n\": 30}").expect(202);
    for other in [
        "{\"n\": 31}",
        "{\"n\": 30, \"priority\": 3}",
        "{\"n\": 30, \"tag\": \"x\"}",
    ] {
        let problem = submit(other).problem(422, "invalid");
        assert!(
            problem["detail"].as_str().unwrap().contains("exists already"),
            "{problem}"
        );
    }
    submit("{\"n\": 30}").expect(202);
    let batch = |body: &str| site.post(JOBS, body).header("idempotency-key", "many").send();
    batch("[1, 2]").expect(202);
    batch("[1, 3]").problem(422, "invalid");
    assert_eq!(jobs(&site), 3);
}

#[test]
fn a_key_that_is_no_id_is_refused() {
    let site = Site::new();
    for key in ["two words", "", "\"\"", "-a", "\u{e9}", &"x".repeat(129)] {
        let submit = site.post(JOBS, "{\"n\": 30}").header("idempotency-key", key);
        let problem = submit.send().problem(422, "invalid");
        assert_eq!(
            problem["errors"][0]["location"], "header.Idempotency-Key",
            "{problem}"
        );
    }
    let both = site
        .post(JOBS, "{\"n\": 30, \"id\": \"a\"}")
        .header("idempotency-key", "b");
    both.send().problem(422, "invalid");
}

#[test]
fn a_wait_is_answered_with_the_job_if_it_ends_in_time() {
    let site = Site::new();
    let submit = |body: &str, wait: &str| site.post(JOBS, body).header("prefer", wait).send();
    let late = submit("{\"n\": 30}", "wait=1");
    assert_eq!(late.expect(202)["jobs"].as_array().unwrap().len(), 1);
    assert_eq!(late.header("preference-applied"), Some("wait=1"));
    let _worker = site.worker();
    let in_time = submit("{\"n\": 31}", "wait=60");
    let job = in_time.expect(200);
    assert_eq!(
        (&job["state"], &job["result"]["value"]),
        (&json!("succeeded"), &json!("1346269"))
    );
    let href = format!("/api/v1/jobs/{}", job["id"].as_str().unwrap());
    assert_eq!(in_time.header("location"), Some(&*href));
    assert_eq!(in_time.header("preference-applied"), Some("wait=60"));
    let list = submit("[1, 2]", "wait=60");
    list.expect(202);
    assert_eq!(list.header("preference-applied"), None);
}

#[test]
fn a_submission_says_when_and_how_long_its_jobs_run() {
    let site = Site::new();
    let submit = |query: &str| site.post(&format!("{JOBS}?{query}"), "{\"n\": 30}").send();
    let job = |query: &str| {
        let href = submit(query).expect(202)["jobs"][0]["href"].clone();
        site.get(href.as_str().unwrap()).send().expect(200)
    };
    assert_eq!(job("delay=2h")["state"], "delayed");
    assert_eq!(
        job("at=2999-12-24T18:00:00Z")["delayed_until_ms"],
        32_503_053_600_000_i64
    );
    assert_eq!(
        job("at=32503053600000")["delayed_until_ms"],
        32_503_053_600_000_i64
    );
    assert_eq!(job("at=1000&timeout=5m")["state"], "queued");
    assert_eq!(
        site.count("dbos.workflow_status where workflow_timeout_ms = 300000"),
        1
    );
    let first = job("dedup=nightly")["id"].clone();
    assert_eq!(job("dedup=nightly")["id"], first);
    site.post(&format!("{JOBS}?dedup=nightly"), "{\"n\": 31}")
        .send()
        .problem(422, "invalid");
    site.post(&format!("{JOBS}?dedup=nightly"), "[1, 2]")
        .send()
        .problem(422, "invalid");
    let before = jobs(&site);
    for (query, name) in [
        ("delay=soon", "delay"),
        ("delay=1s&at=1000", "at"),
        ("at=tomorrow", "at"),
        ("timeout=-1s", "timeout"),
        ("dedup=", "dedup"),
        ("queue=other", "queue"),
    ] {
        let problem = submit(query).problem(422, "invalid");
        assert_eq!(
            problem["errors"][0]["location"],
            format!("query.{name}"),
            "{problem}"
        );
    }
    submit("delay=2000years").problem(422, "invalid");
    submit("at=9223372036854775807").problem(422, "invalid");
    submit("timeout=0s").problem(422, "invalid");
    assert_eq!(jobs(&site), before);
}

#[test]
fn a_new_id_is_no_place_in_a_path() {
    let site = Site::new();
    for id in [".", ".."] {
        site.post("/api/v1/jobs", json!({"n": 5, "id": id}).to_string())
            .send()
            .problem(422, "invalid");
    }
}

#[test]
fn an_id_is_any_text() {
    let site = Site::new();
    site.submit(&json!({"n": 1}));
    for id in [
        "nothing",
        "%00",
        "a%00b",
        "%ff",
        "%F0%9F%A6%80",
        "%20",
        "..%2F..",
        "%2E",
        "'%3B--",
        "{id}",
    ] {
        let answer = site.get(&format!("/api/v1/jobs/{id}")).send();
        let (status, kind) = if id == "%ff" {
            (400, "malformed")
        } else {
            (404, "not-found")
        };
        let problem = answer.problem(status, kind);
        assert!(!problem["detail"].as_str().unwrap().contains('\0'), "{problem}");
    }
}
