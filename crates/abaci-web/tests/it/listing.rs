//! Lists of jobs, and the steps of one.

use serde_json::{Value, json};

use crate::rig::Site;

/// The numbers of the jobs that a query lists, in their order.
#[track_caller]
fn numbers(site: &Site, query: &str) -> Vec<u64> {
    let list = site.get(&format!("/api/v1/jobs{query}")).send().expect(200);
    let jobs = list["jobs"].as_array().unwrap().iter();
    jobs.map(|job| job["input"]["n"].as_u64().unwrap()).collect()
}

#[test]
fn a_list_has_what_was_asked_for_and_nothing_else() {
    let site = Site::new();
    site.submit(&json!([
        {"n": 10, "tag": ["a", "b"]},
        {"n": 20, "tag": "a", "algorithm": "iterative"},
        {"n": 30, "id": "mine/30", "algorithm": "iterative"}
    ]));
    for (query, expected) in [
        ("", vec![30, 20, 10]),
        ("?sort=oldest", vec![10, 20, 30]),
        ("?tag=a", vec![20, 10]),
        ("?tag=a&tag=b", vec![10]),
        ("?state=queued", vec![30, 20, 10]),
        ("?state=running,succeeded&state=failed", vec![]),
        ("?parked=true", vec![]),
        ("?algorithm=iterative", vec![30, 20]),
        ("?n=20", vec![20]),
        ("?n=20..=30", vec![30, 20]),
        ("?n=10..30&algorithm=doubling", vec![10]),
        ("?id_prefix=mine%2F", vec![30]),
        ("?text=mine", vec![30]),
        ("?text=iterative", vec![30, 20]),
        ("?text=none-such", vec![]),
        ("?workflow=fibonacci_workflow", vec![30, 20, 10]),
        ("?workflow=other", vec![]),
        ("?executor=nobody", vec![]),
        ("?ended_since=1h", vec![]),
        ("?sort=last_ended", vec![]),
        ("?queue=fibonacci", vec![30, 20, 10]),
        ("?queue=other", vec![]),
        ("?since=1h", vec![30, 20, 10]),
        ("?until=1h", vec![]),
        ("?until=2020-01-01T00:00:00Z", vec![]),
        ("?since=1577836800000", vec![30, 20, 10]),
        ("?limit=1", vec![30]),
        ("?batch=none-such", vec![]),
    ] {
        assert_eq!(numbers(&site, query), expected, "{query}");
    }
}

#[test]
fn the_parts_of_a_list_are_the_list() {
    let site = Site::new();
    site.submit(&(1..=7).collect::<Value>());
    let (mut all, mut query) = (Vec::new(), "?limit=3".to_owned());
    loop {
        let list = site.get(&format!("/api/v1/jobs{query}")).send().expect(200);
        let jobs = list["jobs"].as_array().unwrap().iter();
        all.extend(jobs.map(|job| job["input"]["n"].as_u64().unwrap()));
        let Some(next) = list["next"].as_str() else {
            break;
        };
        query = format!("?limit=3&cursor={}", next.replace('/', "%2F"));
    }
    assert_eq!(all, [7, 6, 5, 4, 3, 2, 1]);
}

#[test]
fn jobs_that_ended_are_found_by_their_end_and_worker() {
    let site = Site::new();
    let worker = site.worker();
    for n in [3, 1, 2] {
        let id = site.submit(&json!({"n": n})).remove(0);
        site.ended(&id);
    }
    let of_worker = format!("?executor={}", worker.executor_id());
    for (query, expected) in [
        ("?sort=last_ended", vec![2, 1, 3]),
        ("?sort=first_ended", vec![3, 1, 2]),
        ("?sort=first_ended&n=1..=2", vec![1, 2]),
        ("?ended_since=1h", vec![2, 1, 3]),
        ("?ended_until=1h", vec![]),
        (&of_worker, vec![2, 1, 3]),
    ] {
        assert_eq!(numbers(&site, query), expected, "{query}");
    }
    let list = |query: &str| site.get(&format!("/api/v1/jobs?{query}")).send();
    let first = list("sort=first_ended&limit=1").expect(200);
    let next = first["next"].as_str().unwrap().replace('/', "%2F");
    let rest = format!("?sort=first_ended&cursor={next}");
    assert_eq!(numbers(&site, &rest), [1, 2]);
    let problem = list(&format!("cursor={next}")).problem(422, "invalid");
    let detail = problem["detail"].as_str().unwrap();
    assert!(detail.contains("another order"), "{detail}");
}

#[test]
fn a_parameter_that_is_wrong_or_unknown_is_named() {
    let site = Site::new();
    for (query, name) in [
        ("state=quick", "state"),
        ("state=", "state"),
        ("parked=yes", "parked"),
        ("parked=false", "parked"),
        ("parked=true&state=failed", "parked"),
        ("algorithm=magic", "algorithm"),
        ("n=-1", "n"),
        ("n=9..=3", "n"),
        ("tag=", "tag"),
        ("batch=two%20words", "batch"),
        ("since=yesterday", "since"),
        ("until=", "until"),
        ("limit=0", "limit"),
        ("limit=501", "limit"),
        ("limit=5&limit=6", "limit"),
        ("cursor=somewhere", "cursor"),
        ("sort=random", "sort"),
        ("order=oldest", "order"),
        ("text=", "text"),
        ("id_prefix=", "id_prefix"),
        ("ended_since=soon", "ended_since"),
        ("ended_until=", "ended_until"),
        ("executor=a&executor=b", "executor"),
        ("sort=last_ended&cursor=5%2Fa", "cursor"),
        ("cursor=ended:5%2Fa", "cursor"),
        ("queue=a%00b", "queue"),
        ("offset=10", "offset"),
        ("State=queued", "State"),
    ] {
        let answer = site.get(&format!("/api/v1/jobs?{query}")).send();
        let problem = answer.problem(422, "invalid");
        assert_eq!(
            problem["errors"][0]["location"],
            format!("query.{name}"),
            "{problem}"
        );
    }
    site.get("/api/v1/events?since=1").send().problem(422, "invalid");
}

#[test]
fn the_attempts_of_a_job_have_their_workers_and_ends() {
    let site = Site::new();
    let id = site.submit(&json!(90)).remove(0);
    let path = format!("/api/v1/jobs/{id}/attempts");
    assert_eq!(site.get(&path).send().expect(200), json!({ "attempts": [] }));
    let worker = site.worker();
    site.ended(&id);
    let attempts = site.get(&path).send().expect(200)["attempts"].clone();
    assert_eq!(attempts.as_array().unwrap().len(), 1, "{attempts}");
    let attempt = &attempts[0];
    assert_eq!(attempt["executor_id"], worker.executor_id());
    assert_eq!(attempt["pid"], std::process::id());
    assert_eq!(attempt["number"], 1);
    assert!(attempt["started_at_ms"].as_i64() <= attempt["ended_at_ms"].as_i64());
    assert_eq!(attempt["end"], json!({"kind": "succeeded", "reason": null}));
    site.get("/api/v1/jobs/none/attempts").send().expect(404);
}

#[test]
fn a_row_of_an_unknown_status_hides_no_other() {
    let site = Site::new();
    site.submit(&json!(90));
    for (id, status) in [("odd", "'WHAT_IS_THIS'"), ("none", "null")] {
        site.database.psql(&format!(
            "insert into dbos.workflow_status (workflow_uuid, status, name, created_at, updated_at, recovery_attempts) \
             values ('{id}', {status}, 'mystery', 1, 1, -1)"
        ));
    }
    let jobs = site.get("/api/v1/jobs").send().expect(200)["jobs"].clone();
    assert_eq!(jobs.as_array().unwrap().len(), 3, "{jobs}");
    for id in ["odd", "none"] {
        let job = site.get(&format!("/api/v1/jobs/{id}")).send().expect(200);
        let message = job["error"]["message"].as_str().unwrap();
        assert!(message.contains("none that this program knows"), "{job}");
        assert_eq!(site.get(&format!("/jobs/{id}")).send().status, 200);
    }
    for view in ["/", "/jobs"] {
        assert_eq!(site.get(view).send().status, 200, "{view}");
    }
}

#[test]
fn the_steps_of_a_job_are_those_that_were_recorded() {
    let site = Site::new();
    let _worker = site.worker();
    let id = site.submit(&json!({"n": 5, "algorithm": "stepwise"})).remove(0);
    let path = format!("/api/v1/jobs/{id}/steps");
    let count = site.ended(&id)["steps"].as_u64().unwrap();
    let steps = site.get(&path).send().expect(200)["steps"].clone();
    let steps = steps.as_array().unwrap();
    assert_eq!(steps.len() as u64, count);
    for (position, step) in steps.iter().enumerate() {
        assert_eq!(step["id"], position);
        assert!(step["completed_at_ms"].as_i64() >= step["started_at_ms"].as_i64());
    }
    let mut parts = Vec::new();
    let mut cursor = String::new();
    for _ in 0..count {
        let part = site.get(&format!("{path}?limit=1{cursor}")).send().expect(200);
        parts.extend(part["steps"].as_array().unwrap().clone());
        cursor = format!("&cursor={}", part["next"]);
    }
    assert_eq!(cursor, "&cursor=null");
    assert_eq!(&parts, steps);
    for wrong in ["limit=0", "limit=5001", "cursor=-1", "cursor=x", "after=1"] {
        site.get(&format!("{path}?{wrong}"))
            .send()
            .problem(422, "invalid");
    }
    site.get("/api/v1/jobs/none/steps")
        .send()
        .problem(404, "not-found");
}
