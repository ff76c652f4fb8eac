//! Who may do what, on every route of the description.

use abaci_web::Access;

use crate::http::Request;
use crate::rig::{Site, TOKEN, token};

/// The routes of the description as (method, path), with an id in the place of names.
fn routes(site: &Site) -> Vec<(String, String)> {
    let description = site.get("/openapi.json").token(TOKEN).send().expect(200);
    let paths = description["paths"].as_object().unwrap();
    let mut routes = Vec::new();
    for (path, methods) in paths {
        let path = path.replace("{id}", "some-job").replace("{name}", "some-queue");
        for method in methods.as_object().unwrap().keys() {
            if method != "parameters" {
                routes.push((method.to_uppercase(), path.clone()));
            }
        }
    }
    routes
}

/// The requests of all routes, with an empty object for a body, but for the streams, which do not end.
fn requests(site: &Site) -> impl Iterator<Item = (bool, Request)> {
    let routes = routes(site).into_iter();
    let finite = routes.filter(|(_, path)| !path.ends_with("/events"));
    finite.map(|(method, path)| {
        let request = site.request(&method, &path);
        let is_change = method != "GET";
        (is_change, if is_change { request.json("{}") } else { request })
    })
}

#[test]
fn without_the_token_everything_is_read_and_nothing_changed() {
    let site = Site::new();
    for (is_change, request) in requests(&site) {
        let answer = request.send();
        if is_change {
            answer.problem(401, "unauthorized");
            assert_eq!(answer.header("www-authenticate"), Some("Bearer"));
        } else {
            assert_ne!(answer.status, 401, "{}", answer.text());
        }
        let answer = request.clone().token(TOKEN).send();
        assert!(
            !matches!(answer.status, 401 | 403 | 405 | 500..),
            "{}: {}",
            answer.status,
            answer.text()
        );
    }
}

#[test]
fn a_wrong_token_is_refused_even_where_none_is_needed() {
    let site = Site::new();
    for given in [
        "Bearer not-the-token-of-it",
        "Bearer ",
        "Bearer",
        "",
        &format!("Basic {TOKEN}"),
        &format!("Bearer {TOKEN} "),
        &format!("Bearer x{TOKEN}"),
    ] {
        let is_right = given.trim_end() == format!("Bearer {TOKEN}");
        for (_, request) in requests(&site) {
            let answer = request.header("authorization", given).send();
            assert_eq!(answer.status == 401, !is_right, "{given:?}: {}", answer.text());
            assert!(!answer.text().contains(TOKEN), "the token is in an answer");
        }
    }
}

#[test]
fn a_closed_server_answers_nobody_without_the_token() {
    let site = Site::with(Access::new(token()).closed());
    for (_, request) in requests(&site) {
        request.send().problem(401, "unauthorized");
        assert_ne!(request.token(TOKEN).send().status, 401);
    }
    for path in ["/openapi.json", "/nothing", "/api/v1/events"] {
        site.get(path).send().problem(401, "unauthorized");
    }
    assert_eq!(site.get("/healthz").send().text(), "ok\n");
}

#[test]
fn a_read_only_server_has_no_route_that_changes() {
    let all = routes(&Site::new());
    let site = Site::with(Access::new(token()).read_only());
    let left = routes(&site);
    assert!(left.iter().all(|(method, _)| method == "GET"), "{left:?}");
    for (method, path) in all.iter().filter(|(method, _)| method != "GET") {
        let answer = site.request(method, path).token(TOKEN).json("{}").send();
        let kind = if answer.status == 404 {
            "not-found"
        } else {
            "method-not-allowed"
        };
        answer.problem(if kind == "not-found" { 404 } else { 405 }, kind);
    }
    assert!(all.iter().filter(|(method, _)| method == "GET").eq(left.iter()));
}

#[test]
fn only_the_session_of_this_servers_token_counts() {
    let site = Site::new();
    let change = site.request("POST", "/api/v1/jobs").json("{\"n\": 10}");
    for cookie in [
        "abaci-000000000000=a.99999999999.b",
        "abaci=1; token=the-token-of-this-test",
        "=; ;;",
    ] {
        let answer = change.clone().header("cookie", cookie).send();
        answer.problem(401, "unauthorized");
    }
}

#[test]
fn a_foreign_host_is_answered_nothing() {
    let site = Site::with(Access::new(token()).with_hosts(vec!["abaci.example".to_owned()]));
    for (_, request) in requests(&site) {
        for host in [
            "evil.example",
            "evil.example:80",
            "localhost.evil.example",
            "127.0.0.1.evil.example",
            "",
        ] {
            let answer = request.clone().token(TOKEN).header("host", host).send();
            answer.problem(421, "foreign-host");
        }
    }
    for host in [
        "localhost",
        "LOCALHOST:1",
        "127.0.0.1:9",
        "[::1]:9",
        "abaci.example",
        "ABACI.example:443",
    ] {
        assert_eq!(
            site.get("/healthz").header("host", host).send().status,
            200,
            "{host}"
        );
    }
}

#[test]
fn who_comes_through_a_proxy_reads_with_the_token_alone() {
    let site = Site::with(Access::new(token()).with_hosts(vec!["abaci.example".to_owned()]));
    for (_, request) in requests(&site).filter(|(is_change, _)| !is_change) {
        for (name, value) in [
            ("host", "abaci.example"),
            ("host", "203.0.113.5"),
            ("x-forwarded-for", "203.0.113.5"),
            ("x-forwarded-host", "localhost"),
            ("forwarded", "for=203.0.113.5"),
            ("via", "1.1 proxy"),
        ] {
            let passed_on = request.clone().header(name, value);
            passed_on.clone().send().problem(401, "unauthorized");
            let page = passed_on.clone().header("accept", "text/html").send();
            assert!(matches!(page.status, 303 | 401), "{}", page.status);
            assert!(!page.text().contains("a database of a test"), "{}", page.text());
            assert_ne!(passed_on.token(TOKEN).send().status, 401);
        }
    }
    assert_eq!(site.get("/healthz").header("via", "1.1 proxy").send().status, 200);
}

#[test]
fn a_session_is_for_tls_alone_where_it_began_by_tls() {
    let site = Site::new();
    let login = site.request("POST", "/login").form(&format!("token={TOKEN}"));
    for (scheme, is_secure) in [("http", false), ("https", true)] {
        let answer = login.clone().header("x-forwarded-proto", scheme).send();
        let cookie = answer.header("set-cookie").unwrap();
        assert_eq!(cookie.ends_with("; Secure"), is_secure, "{cookie}");
    }
}

#[test]
fn a_page_of_another_site_changes_nothing() {
    let site = Site::new();
    for (_, request) in requests(&site).filter(|(is_change, _)| *is_change) {
        let request = request.token(TOKEN);
        for (name, value) in [
            ("origin", "http://evil.example"),
            ("origin", "null"),
            ("origin", "http://localhost:1"),
            ("sec-fetch-site", "cross-site"),
            ("sec-fetch-site", "same-site"),
        ] {
            let answer = request.clone().header(name, value).send();
            answer.problem(403, "foreign-origin");
        }
    }
    assert_eq!(
        site.count("pg_tables where schemaname = 'dbos'"),
        0,
        "the database was asked"
    );
}

#[test]
fn a_page_of_this_server_changes_what_it_may() {
    let site = Site::new();
    let host = "localhost:8081";
    let submit = site.post("/api/v1/jobs", "{\"n\": 10}").header("host", host);
    let submit = submit.header("origin", "http://localhost:8081");
    submit.header("sec-fetch-site", "same-origin").send().expect(202);
}

#[test]
fn every_answer_has_the_headers_that_protect_it() {
    let site = Site::new();
    for (_, request) in requests(&site) {
        let answer = request.send();
        let policy = answer.header("content-security-policy").unwrap();
        assert!(
            policy.starts_with("default-src 'none'; script-src 'self';"),
            "{policy}"
        );
        assert_eq!(answer.header("x-content-type-options"), Some("nosniff"));
        assert_eq!(answer.header("referrer-policy"), Some("no-referrer"));
        assert!(answer.header("cache-control").is_some());
        assert_eq!(answer.header("access-control-allow-origin"), None);
    }
}

#[test]
fn an_unknown_method_is_refused_with_those_there_are() {
    let site = Site::new();
    let mut methods = std::collections::BTreeMap::<String, Vec<String>>::new();
    for (method, path) in routes(&site) {
        methods.entry(path).or_default().push(method);
    }
    for (path, methods) in methods {
        let answer = site.change("PUT", &path).json("{}").send();
        answer.problem(405, "method-not-allowed");
        let allowed = answer.header("allow").unwrap_or_default();
        for method in methods {
            assert!(allowed.contains(&method), "{path}: {allowed}");
        }
    }
}
