//! The page as HTML, without scripts.

use std::time::Duration;

use abaci_web::Access;
use serde_json::json;

use crate::http::Request;
use crate::rig::{Site, token};

/// Reads a view as somebody who may change something.
#[track_caller]
fn view(site: &Site, path: &str) -> String {
    let answer = site.change("GET", path).header("accept", "text/html").send();
    assert_eq!(answer.status, 200, "{path}: {}", answer.text());
    answer.text()
}

/// The fields of the form that makes a change of many jobs, as a browser would send them.
fn fields(page: &str) -> String {
    let form = page.split("action=\"/bulk\" class=\"actions\">").nth(1);
    let form = form.unwrap_or_else(|| panic!("no button:\n{page}"));
    let inputs = form.split("</form>").next().unwrap().split("<input ").skip(1);
    let attribute = |input: &str, name: &str| {
        let value = input.split(&format!("{name}=\"")).nth(1).unwrap();
        value.split('"').next().unwrap().to_owned()
    };
    let pairs = inputs.map(|input| format!("{}={}", attribute(input, "name"), attribute(input, "value")));
    pairs.collect::<Vec<_>>().join("&")
}

#[track_caller]
fn has(page: &str, facts: &[&str]) {
    for fact in facts {
        assert!(page.contains(fact), "{fact} is missing in:\n{page}");
    }
}

#[test]
fn all_jobs_that_match_are_changed_after_a_preview() {
    let site = Site::new();
    site.submit(&json!(vec![json!({"n": 10, "tag": "x"}); 25]));
    let other = site.submit(&json!({"n": 11})).remove(0);
    let list = view(&site, "/jobs?tag=x");
    has(
        &list,
        &[
            "25 jobs",
            "all 25 that match",
            "/bulk?action=cancel&#38;of=all&#38;tag=x",
        ],
    );
    let preview = view(&site, "/bulk?action=cancel&of=all&tag=x");
    has(
        &preview,
        &[
            "Cancel 25 jobs?",
            "tag x",
            "and 5 more",
            "Cancel 25 jobs</button>",
        ],
    );
    let later = site.submit(&json!({"n": 10, "tag": "x"})).remove(0);
    let answer = site.change("POST", "/bulk").form(&fields(&preview)).send();
    has(&answer.text(), &["25 jobs were cancelled"]);
    for (id, state) in [(other, "queued"), (later, "queued")] {
        let job = site.get(&format!("/api/v1/jobs/{id}")).send().expect(200);
        assert_eq!(job["state"], state, "{job}");
    }
    has(
        &view(&site, "/jobs?state=cancelled"),
        &["25 jobs", "Resume…", "Delete…"],
    );
}

#[test]
fn selected_jobs_that_match_no_more_are_named_one_by_one() {
    let site = Site::new();
    let ids = site.submit(&json!([{"n": 1, "id": "a"}, {"n": 2, "id": "b"}, {"n": 3, "id": "c"}]));
    let cancel = |id: &str| {
        let path = format!("/api/v1/jobs/{id}/cancel");
        site.change("POST", &path).send().expect(200);
    };
    cancel("a");
    let list = view(&site, "/jobs?state=queued");
    has(
        &list,
        &[
            "2 jobs",
            "value=\"b\" form=\"choice\"",
            "name=\"of\" value=\"selected\"",
        ],
    );
    let preview = view(
        &site,
        "/bulk?action=cancel&of=selected&state=queued&id=a&id=b&id=c&id=gone",
    );
    has(
        &preview,
        &["Cancel 2 jobs?", ">a</a>", "cancelled</span>", ">gone</span>"],
    );
    cancel("b");
    let done = site.change("POST", "/bulk").form(&fields(&preview)).send();
    assert_eq!(done.status, 200, "{}", done.text());
    has(
        &done.text(),
        &["1 of 2 jobs was cancelled", ">b</a>", "cancelled</span>"],
    );
    let resumed = view(&site, "/bulk?action=resume&of=selected&id=a&id=b");
    site.change("POST", "/bulk").form(&fields(&resumed)).send();
    for id in ids {
        let job = site.get(&format!("/api/v1/jobs/{id}")).send().expect(200);
        assert_eq!(job["state"], if id == "c" { "cancelled" } else { "queued" });
    }
}

#[test]
fn a_change_of_many_that_names_no_jobs_is_refused() {
    let site = Site::new();
    site.submit(&json!([1, 2]));
    for fields in [
        "action=cancel&of=selected",
        "action=cancel&of=selected&state=queued",
        "action=cancel&of=all",
        "action=cancel&of=all&state=",
        "action=cancel&of=all&id=a&state=queued",
        "action=cancel&state=queued",
        "action=burn&of=all&state=queued",
        "of=all&state=queued",
        "action=cancel&of=all&stat=queued",
        "action=cancel&of=all&state=queue",
        "action=cancel&of=all&state=queued&as_of=soon",
    ] {
        let preview = site.change("GET", &format!("/bulk?{fields}")).send();
        assert_eq!(preview.status, 422, "{fields}: {}", preview.text());
        let change = site.change("POST", "/bulk").form(fields).send();
        assert_eq!(change.status, 422, "{fields}: {}", change.text());
    }
    let without_token = site
        .request("POST", "/bulk")
        .form("action=cancel&of=all&state=queued");
    without_token.send().problem(401, "unauthorized");
    let jobs = site.get("/api/v1/jobs?state=queued").send().expect(200);
    assert_eq!(jobs["jobs"].as_array().unwrap().len(), 2, "something was changed");
}

#[test]
fn a_list_that_took_long_is_live_as_any_other() {
    let site = Site::new();
    site.submit(&json!([7]));
    let lock = site.database.lock("dbos.workflow_status");
    let list = std::thread::scope(|scope| {
        let list = scope.spawn(|| view(&site, "/jobs"));
        // The time that the list takes is the test's subject.
        std::thread::sleep(Duration::from_secs(1));
        drop(lock);
        list.join().unwrap()
    });
    has(&list, &["<h1 data-live id=\"count\">1 job</h1>"]);
}

#[test]
fn who_may_only_look_sees_a_preview_and_no_button() {
    let site = Site::new();
    site.submit(&json!(7));
    let preview = site.get("/bulk?action=cancel&of=all&state=queued").send().text();
    has(&preview, &["Cancel 1 job?", "abaci web url"]);
    let list = site.get("/jobs").send().text();
    for page in [preview, list] {
        assert!(
            !page.contains("method=\"post\"") && !page.contains("type=\"checkbox\""),
            "{page}"
        );
    }
}

#[test]
fn every_condition_of_a_list_is_a_chip_and_narrows_it() {
    let site = Site::new();
    site.submit(&json!([{"n": 10, "tag": ["a", "b"], "id": "mine/1"}, {"n": 20, "tag": "a"}, 30]));
    for (query, jobs, chip) in [
        ("", "3 jobs", "all"),
        ("q=10..=20", "2 jobs", "n 10 to 20"),
        ("q=mine", "1 job", "id mine…"),
        ("tag=a&tag=b", "1 job", "tag b"),
        ("worker=laptop%2F1", "0 jobs", "worker laptop/1"),
        (
            "queue=fibonacci&state=queued&state=running",
            "3 jobs",
            "queue fibonacci",
        ),
        ("text=mine", "1 job", "with “mine”"),
        ("since=2h", "3 jobs", "submitted since 2h ago"),
        ("until=2020-01-01", "0 jobs", "submitted until 2020-01-01"),
        ("ended_since=1h", "0 jobs", "ended since 1h ago"),
        (
            "ended_until=2020-01-01%2000:00",
            "0 jobs",
            "ended until 2020-01-01 00:00",
        ),
    ] {
        let list = view(&site, &format!("/jobs?{query}"));
        has(&list, &[&format!("<h1 data-live id=\"count\">{jobs}</h1>"), chip]);
    }
    let blank = site.get("/jobs?q=&state=queued&tag=+&worker=").send();
    assert_eq!(
        (blank.status, blank.header("location")),
        (303, Some("/jobs?state=queued"))
    );
    for query in [
        "stat=queued",
        "since=soon",
        "queue=a&queue=b",
        "after=x",
        "worker=%00",
    ] {
        assert_eq!(site.get(&format!("/jobs?{query}")).send().status, 422, "{query}");
    }
}

#[test]
fn an_overview_counts_what_ended() {
    let site = Site::new();
    has(&view(&site, "/"), &["No job has ended in the last 15 minutes"]);
    let site = Site::new();
    let _worker = site.worker();
    let id = site.submit(&json!(10)).remove(0);
    site.ended(&id);
    has(
        &view(&site, "/"),
        &[
            "1 job in 15 minutes",
            "1 succeeded",
            "0 did not",
            "<td>1</td><td>0</td>",
        ],
    );
}

#[test]
fn a_submitted_form_keeps_its_delay() {
    let site = Site::new();
    let submit = |fields: &str| site.change("POST", "/submit").form(fields).send();
    let refused = submit("numbers=10&delay=soon");
    assert_eq!(refused.status, 422);
    has(
        &refused.text(),
        &["delay-error", "value=\"soon\"", "&#34;soon&#34; is no time"],
    );
    assert_eq!(
        submit("numbers=10&delay=2h&key=later").header("location"),
        Some("/jobs/later?did=queued")
    );
    assert_eq!(
        submit("numbers=1%0A2&delay=2099-12-24+18:00&key=both").status,
        303
    );
    let delayed = |id: &str| site.get(&format!("/api/v1/jobs/{id}")).send().expect(200);
    assert_eq!(delayed("later")["state"], "delayed");
    let both = site
        .get("/api/v1/jobs?batch=both&state=delayed")
        .send()
        .expect(200);
    assert_eq!(both["jobs"].as_array().unwrap().len(), 2, "{both}");
    assert_eq!(both["jobs"][0]["delayed_until_ms"], 4_101_818_400_000_u64);
}

#[test]
fn a_browser_is_shown_refusals_as_pages_and_others_problems() {
    let site = Site::new();
    let closed = Site::with(Access::new(token()).closed());
    let html = |request: Request| request.header("accept", "text/html,*/*");
    for (request, status, kind) in [
        (site.get("/nothing"), 404, "not-found"),
        (site.change("PUT", "/jobs"), 405, "method-not-allowed"),
        (site.get("/").header("host", "evil.example"), 421, "foreign-host"),
        (
            site.change("POST", "/bulk")
                .header("origin", "http://evil.example"),
            403,
            "foreign-origin",
        ),
        (site.request("POST", "/submit"), 401, "unauthorized"),
        (closed.request("POST", "/submit"), 401, "unauthorized"),
        (site.get("/static/none.css"), 404, "not-found"),
    ] {
        let plain = request.clone().send();
        plain.problem(status, kind);
        let page = html(request).send();
        assert_eq!(page.status, status);
        assert_eq!(page.header("content-type"), Some("text/html; charset=utf-8"));
        for name in ["content-security-policy", "cache-control", "www-authenticate"] {
            assert_eq!(page.header(name), plain.header(name), "{name}");
        }
        has(&page.text(), &["<h1 class=\"bad\">", "</html>"]);
        let is_let_in = matches!(status, 404 | 405);
        assert_eq!(
            page.text().contains("a database of a test"),
            is_let_in,
            "{}",
            page.text()
        );
    }
    html(site.get("/api/v1/nothing")).send().problem(404, "not-found");
    let twice = site.get("/login?code=a&code=b").send();
    assert_eq!(twice.status, 422);
    has(&twice.text(), &["code: given twice", "</html>"]);
    let login = html(closed.get("/jobs")).send();
    assert_eq!((login.status, login.header("location")), (303, Some("/login")));
    assert!(
        !html(closed.get("/login"))
            .send()
            .text()
            .contains("a database of a test")
    );
}

#[test]
fn a_job_has_failed_within_a_day_if_it_ended_then() {
    let site = Site::new();
    let ids = site.submit(&json!([10, 11]));
    for (id, ended_ago) in ids.iter().zip([60_000_u64, 2 * 86_400_000]) {
        site.database.psql(&format!(
            "with now as (select (extract(epoch from now()) * 1000)::bigint as ms) \
             update dbos.workflow_status set status = 'ERROR', error = '{{}}', created_at = ms - 3 * 86400000, \
                 updated_at = ms - {ended_ago}, completed_at = ms - {ended_ago} from now where workflow_uuid = '{id}'"
        ));
    }
    has(
        &view(&site, "/"),
        &["<b class=\"bad\">1</b> <a href=\"/jobs?state=failed\">failed</a>"],
    );
}
