//! Changes of one job, of many, and of queues.

use std::thread;

use serde_json::{Value, json};
use testkit::eventually;

use crate::rig::Site;

/// A job of several steps that has ended.
fn ended(site: &Site) -> String {
    let id = site.submit(&json!({"n": 9, "algorithm": "stepwise"})).remove(0);
    assert_eq!(site.ended(&id)["state"], "succeeded");
    id
}

fn job(id: &str) -> String {
    format!("/api/v1/jobs/{id}")
}

fn bulk(site: &Site, verb: &str, body: &Value) -> crate::http::Answer {
    site.post(&format!("/api/v1/bulk/{verb}"), body.to_string())
        .send()
}

/// Asserts that each of these bulk changes is refused for the part of its body that is named, and changes nothing.
#[track_caller]
fn assert_refused(changes: &[(&str, Value, &str)]) {
    let site = Site::new();
    let id = site.submit(&json!({"n": 10})).remove(0);
    for (verb, body, location) in changes {
        let problem = bulk(&site, verb, body).problem(422, "invalid");
        assert_eq!(problem["errors"][0]["location"], *location, "{body}: {problem}");
    }
    assert_eq!(site.get(&job(&id)).send().expect(200)["state"], "queued");
}

#[test]
fn a_job_is_cancelled_resumed_and_deleted_when_it_has_ended() {
    let site = Site::new();
    let id = site.submit(&json!({"n": 10})).remove(0);
    let change = |method: &str, what: &str| site.change(method, &format!("{}{what}", job(&id))).send();
    let problem = change("DELETE", "").problem(409, "conflict");
    assert!(
        problem["detail"].as_str().unwrap().contains("queued"),
        "{problem}"
    );
    change("POST", "/resume").problem(409, "conflict");
    for _ in 0..2 {
        assert_eq!(change("POST", "/cancel").expect(200)["state"], "cancelled");
    }
    assert_eq!(change("POST", "/resume").expect(200)["state"], "queued");
    let _worker = site.worker();
    assert_eq!(site.ended(&id)["state"], "succeeded");
    change("POST", "/cancel").problem(409, "conflict");
    change("POST", "/resume").problem(409, "conflict");
    let deleted = change("DELETE", "");
    assert_eq!((deleted.status, deleted.body.len()), (204, 0));
    for (method, what) in [
        ("DELETE", ""),
        ("POST", "/cancel"),
        ("POST", "/resume"),
        ("POST", "/verify"),
    ] {
        change(method, what).problem(404, "not-found");
    }
    assert_eq!(site.count("dbos.workflow_status"), 0);
}

#[test]
fn a_job_is_resumed_with_the_memory_that_was_said() {
    let site = Site::new();
    let id = site.submit(&json!({"n": 10})).remove(0);
    let resume = |body: &str| site.post(&format!("{}/resume", job(&id)), body).send();
    for body in [
        "{\"memory_bytes\": -1}",
        "{\"memory_bytes\": 0}",
        "{\"memory\": 1}",
        "[]",
    ] {
        resume(body).problem(422, "invalid");
    }
    site.change("POST", &format!("{}/cancel", job(&id)))
        .send()
        .expect(200);
    resume("{\"memory_bytes\": 1000000000}").expect(200);
    assert_eq!(site.count("abaci.allowances where memory_bytes = 1000000000"), 1);
}

#[test]
fn a_fork_keeps_the_steps_before_its_first() {
    let site = Site::new();
    let _worker = site.worker();
    let origin = ended(&site);
    let path = format!("{}/fork", job(&origin));
    for (body, status, kind) in [
        (json!({}), 422, "invalid"),
        (json!({"from_step": true}), 422, "invalid"),
        (json!({"from_step": 1.5}), 422, "invalid"),
        (json!({"from_step": 1, "id": "two words"}), 422, "invalid"),
        (json!({"from_step": 1, "id": origin.as_str()}), 422, "invalid"),
        (json!({"from_step": 1, "step": 1}), 422, "invalid"),
        (json!({"from_step": 99}), 409, "conflict"),
        (json!({"from_step": "none such"}), 409, "conflict"),
    ] {
        site.post(&path, body.to_string()).send().problem(status, kind);
    }
    let answer = site
        .post(&path, json!({"from_step": 1, "id": "a/fork"}).to_string())
        .send();
    let forked = answer.expect(201);
    assert_eq!(answer.header("location"), Some("/api/v1/jobs/a%2Ffork"));
    assert_eq!(forked["kept"].as_array().unwrap().len(), 1, "{forked}");
    site.ended("a%2Ffork");
    site.post("/api/v1/jobs/none/fork", "{\"from_step\": 0}")
        .send()
        .problem(404, "not-found");
}

#[test]
fn a_bulk_change_means_what_its_preview_said() {
    let site = Site::new();
    site.submit(&json!(vec![json!({"n": 10, "tag": "x"}); 25]));
    let other = site.submit(&json!({"n": 10})).remove(0);
    let preview = bulk(&site, "cancel", &json!({"filter": {"tag": "x"}, "dry_run": true})).expect(200);
    assert_eq!(
        (&preview["matched"], &preview["changed"]),
        (&json!(25), &json!(0)),
        "{preview}"
    );
    assert_eq!(preview["jobs"].as_array().unwrap().len(), 20);
    let done = bulk(&site, "cancel", &json!({"filter": {"tag": "x"}})).expect(200);
    assert_eq!(
        done,
        json!({"matched": 25, "changed": 25, "refused": [], "dry_run": false, "jobs": []})
    );
    let again = bulk(&site, "cancel", &json!({"filter": {"tag": ["x"]}})).expect(200);
    assert_eq!(again["matched"], 0, "{again}");
    let resumed = bulk(&site, "resume", &json!({"filter": {"n": 10, "tag": "x"}})).expect(200);
    assert_eq!(resumed["changed"], 25, "{resumed}");
    bulk(&site, "cancel", &json!({"filter": {"tag": "x"}})).expect(200);
    let deleted = bulk(
        &site,
        "delete",
        &json!({"filter": {"state": ["cancelled", "failed"]}}),
    )
    .expect(200);
    assert_eq!(deleted["changed"], 25, "{deleted}");
    assert_eq!(site.get(&job(&other)).send().expect(200)["state"], "queued");
}

#[test]
fn a_bulk_change_names_each_job_that_it_did_not_change() {
    let site = Site::new();
    let ids = site.submit(&json!([{"n": 1}, {"n": 2}, {"n": 3}]));
    // Two of them go another way, and are let go of once the change waits for them.
    let otherwise = format!(
        "do $$ begin \
             update dbos.workflow_status set status = 'SUCCESS' where workflow_uuid = '{}'; \
             delete from dbos.workflow_status where workflow_uuid = '{}'; \
             while not exists (select from pg_stat_activity where pg_backend_pid() = any(pg_blocking_pids(pid))) loop \
                 perform pg_stat_clear_snapshot(), pg_sleep(0.01); \
             end loop; end $$",
        ids[0], ids[1]
    );
    let done = thread::scope(|threads| {
        threads.spawn(|| site.database.psql(&otherwise));
        eventually("the other way", || {
            let free = "(select 1 from dbos.workflow_status for update skip locked) as free";
            site.count(free) == 1
        });
        bulk(&site, "cancel", &json!({"filter": {"queue": "fibonacci"}})).expect(200)
    });
    assert_eq!(
        (&done["matched"], &done["changed"]),
        (&json!(3), &json!(1)),
        "{done}"
    );
    assert_eq!(
        done["refused"],
        json!([
            {"id": ids[0], "state": "succeeded", "reason": "its state is succeeded by now"},
            {"id": ids[1], "state": null, "reason": "it was deleted meanwhile"}
        ])
    );
    assert_eq!(site.get(&job(&ids[2])).send().expect(200)["state"], "cancelled");
}

#[test]
fn a_bulk_change_without_a_condition_is_refused() {
    assert_refused(&[
        ("cancel", json!({}), "body.filter"),
        ("cancel", json!({"filter": {}}), "body.filter"),
        ("cancel", json!({"filter": {"state": []}}), "body.filter"),
        ("cancel", json!({"filter": "queued"}), "body.filter"),
        ("cancel", json!([]), "body"),
        ("cancel", json!({"filter": {"text": ""}}), "body.filter.text"),
        (
            "cancel",
            json!({"filter": {"id_prefix": ""}}),
            "body.filter.id_prefix",
        ),
    ]);
}

#[test]
fn a_bulk_change_with_a_wrong_field_is_refused_for_that_field() {
    assert_refused(&[
        (
            "cancel",
            json!({"filter": {"parked": "false"}}),
            "body.filter.parked",
        ),
        (
            "cancel",
            json!({"filter": {"state": "failed"}}),
            "body.filter.state",
        ),
        (
            "resume",
            json!({"filter": {"state": "queued"}}),
            "body.filter.state",
        ),
        (
            "delete",
            json!({"filter": {"state": "running"}}),
            "body.filter.state",
        ),
        ("cancel", json!({"filter": {"tags": "x"}}), "body.filter.tags"),
        (
            "cancel",
            json!({"filter": {"queue": -42103}}),
            "body.filter.queue",
        ),
        ("cancel", json!({"filter": {"queue": ["a"]}}), "body.filter.queue"),
        ("cancel", json!({"filter": {"n": -1}}), "body.filter.n"),
        (
            "cancel",
            json!({"filter": {"tag": {"is": "x"}}}),
            "body.filter.tag",
        ),
        (
            "cancel",
            json!({"filter": {"state": "queued"}, "dryrun": true}),
            "body.dryrun",
        ),
        (
            "cancel",
            json!({"filter": {"state": "queued"}, "dry_run": "yes"}),
            "body.dry_run",
        ),
    ]);
}

#[test]
fn a_queue_is_paused_limited_and_resumed() {
    let site = Site::new();
    let id = site.submit(&json!({"n": 10})).remove(0);
    let path = "/api/v1/queues/fibonacci";
    let queue = |what: &str| site.change("POST", &format!("{path}/{what}")).send().expect(200);
    assert_eq!(queue("pause")["paused"], true);
    assert_eq!(queue("pause")["paused"], true);
    let _worker = site.worker();
    eventually("the reason", || {
        site.get(&job(&id)).send().expect(200)["waiting"]["reason"] == "paused"
    });
    let limit = |body: &str| site.change("PATCH", path).json(body).send();
    let limited = limit("{\"rate\": {\"starts\": 100, \"seconds\": 60}}").expect(200);
    assert_eq!(limited["rate"], json!({"starts": 100, "seconds": 60.0}));
    for body in [
        "{}",
        "{\"rate\": 1}",
        "{\"rate\": {\"starts\": 0, \"seconds\": 60}}",
        "{\"rate\": {\"starts\": 1, \"seconds\": 0}}",
        "{\"rate\": {\"starts\": 1, \"seconds\": 1e300}}",
        "{\"rate\": {\"starts\": 1}}",
        "{\"rate\": {\"starts\": 1, \"seconds\": 60, \"x\": 1}}",
        "{\"rate\": null, \"concurrency\": 3}",
    ] {
        limit(body).problem(422, "invalid");
    }
    let queues = site.get("/api/v1/queues").send().expect(200)["queues"].clone();
    assert_eq!(queues[0], limited, "{queues}");
    assert_eq!(limit("{\"rate\": null}").expect(200)["rate"], Value::Null);
    assert_eq!(queue("resume")["paused"], false);
    assert_eq!(site.ended(&id)["state"], "succeeded");
    let workers = site.get("/api/v1/workers").send().expect(200)["workers"].clone();
    assert_eq!(workers[0]["queue"], "fibonacci", "{workers}");
    for name in ["none", "%00", "%20"] {
        let path = format!("/api/v1/queues/{name}/pause");
        site.change("POST", &path).send().problem(404, "not-found");
    }
}

#[test]
fn an_estimate_says_what_a_number_takes_and_queues_nothing() {
    let site = Site::new();
    let estimate = |query: &str| site.get(&format!("/api/v1/estimate?{query}")).send();
    let small = estimate("n=1000").expect(200);
    assert_eq!(
        (&small["digits"], &small["accepted"]),
        (&json!(209), &json!(true)),
        "{small}"
    );
    let large = estimate("n=10000000000").expect(200);
    assert_eq!(
        (&large["algorithm"], &large["accepted"]),
        (&json!("giant"), &json!(false))
    );
    assert!(large["refusal"].as_str().unwrap().contains("limit"), "{large}");
    let largest = estimate("n=18446744073709551615").expect(200);
    assert_eq!(largest["n"], "18446744073709551615", "over 2^53 it is text");
    for query in [
        "",
        "n=",
        "n=-1",
        "n=1.5",
        "n=18446744073709551616",
        "n=1&algorithm=magic",
        "n=1&x=1",
    ] {
        estimate(query).problem(422, "invalid");
    }
    assert_eq!(estimate("n=18446744073709551615").expect(200)["accepted"], false);
    assert_eq!(
        site.count("pg_tables where schemaname = 'dbos'"),
        0,
        "the database was asked"
    );
}
