//! Access control: host names, origins of changes, tokens and sessions; and the headers of every answer.

use std::net::IpAddr;

use axum::extract::{Request, State};
use axum::http::uri::Authority;
use axum::http::{HeaderMap, HeaderName, HeaderValue, Method, header};
use axum::middleware::Next;
use axum::response::{IntoResponse, Redirect, Response};

use crate::access::Access;
use crate::problem::{Kind, Problem};
use crate::state::Shared;

/// The headers of every answer.
const HEADERS: [(HeaderName, &str); 5] = [
    (
        header::CONTENT_SECURITY_POLICY,
        "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; connect-src 'self'; \
         form-action 'self'; frame-ancestors 'none'; base-uri 'none'",
    ),
    (header::X_CONTENT_TYPE_OPTIONS, "nosniff"),
    (header::REFERRER_POLICY, "no-referrer"),
    (
        HeaderName::from_static("cross-origin-resource-policy"),
        "same-origin",
    ),
    (header::CACHE_CONTROL, "no-store"),
];

/// The headers by which proxies say that they pass something on.
const FORWARDED: [&str; 4] = ["forwarded", "via", "x-forwarded-for", "x-forwarded-host"];

/// Says what a request may do, for handlers and views.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Rights {
    /// It may log in.
    LogIn,
    /// It may read.
    Read,
    /// It may change everything.
    Change,
}

/// Lets a request through that may be answered.
pub(crate) async fn guard(State(web): State<Shared>, mut request: Request, next: Next) -> Response {
    let mut response = match rights_of(&web.access, &request) {
        Ok(rights) => {
            request.extensions_mut().insert(rights);
            let mut response = next.run(request).await;
            // The layer of refusals is outside of this one: it sees the answer, and no more the request.
            response.extensions_mut().insert(rights);
            response
        }
        // Only a GET is redirected: after a POST the browser would lose the input of the form.
        Err(problem)
            if is_for_people(&request) && problem.status == 401 && request.method() == Method::GET =>
        {
            Redirect::to("/login").into_response()
        }
        Err(problem) => problem.into_response(),
    };
    // A header that a handler has set stays: files and values have a Cache-Control of their own.
    for (name, value) in HEADERS {
        response
            .headers_mut()
            .entry(name)
            .or_insert(HeaderValue::from_static(value));
    }
    response
}

/// Answers a request if there is a place for it.
pub(crate) async fn bound(State(web): State<Shared>, request: Request, next: Next) -> Response {
    // Whoever asks for a sign of life gets it, however many others there are.
    if request.uri().path() == "/healthz" {
        return next.run(request).await;
    }
    match web.load.place(request.uri().path()) {
        Ok(place) => place.leave_with(next.run(request).await),
        Err(problem) => problem.into_response(),
    }
}

fn rights_of(access: &Access, request: &Request) -> Result<Rights, Problem> {
    let (headers, path) = (request.headers(), request.uri().path());
    // A page under a rebound name has our origin for its browser, so that only the check of hosts stops it.
    let is_local = check_host(access, request)? && !is_forwarded(headers);
    let is_change = !matches!(*request.method(), Method::GET | Method::HEAD | Method::OPTIONS);
    if is_change {
        check_origin(headers)?;
    }
    let rights = match identify(access, headers)? {
        // All may read only on this machine: a proxy brings others to the loopback address.
        Rights::Read if access.is_closed() || !is_local => Rights::LogIn,
        rights => rights,
    };
    let is_open = matches!(path, "/healthz" | "/login") || path.starts_with("/static/");
    let is_refused = rights == Rights::LogIn || rights == Rights::Read && is_change;
    if is_refused && !is_open {
        let detail =
            "send the token of this server: Authorization: Bearer TOKEN, or log in with abaci web url";
        return Err(Problem::new(Kind::Unauthorized, detail));
    }
    Ok(rights)
}

/// Finds out what the token or the session of a request allows.
fn identify(access: &Access, headers: &HeaderMap) -> Result<Rights, Problem> {
    if let Some(given) = headers.get(header::AUTHORIZATION) {
        let token = given.to_str().ok().and_then(|given| given.split_once(' '));
        let is_ours = token.is_some_and(|(scheme, token)| {
            scheme.eq_ignore_ascii_case("Bearer") && access.token().is(token.trim())
        });
        // Refused also where no token is needed: who sends one is to learn that it is wrong.
        if !is_ours {
            let detail = "the token is not the one of this server";
            return Err(Problem::new(Kind::Unauthorized, detail));
        }
        return Ok(Rights::Change);
    }
    let name = access.token().cookie_name();
    let is_session = cookies(headers).any(|(key, value)| key == name && access.is_session(value));
    Ok(if is_session { Rights::Change } else { Rights::Read })
}

pub(crate) fn cookies(headers: &HeaderMap) -> impl Iterator<Item = (&str, &str)> {
    let all = headers.get_all(header::COOKIE).into_iter();
    all.filter_map(|line| line.to_str().ok())
        .flat_map(|line| line.split(';'))
        .filter_map(|pair| pair.trim().split_once('='))
}

/// Refuses a host name that is not this server's, against DNS rebinding; returns whether the host is the loopback
/// interface.
fn check_host(access: &Access, request: &Request) -> Result<bool, Problem> {
    let given = request.headers().get_all(header::HOST).into_iter();
    let given = given.map(|host| host.to_str().unwrap_or("?"));
    // A request line in absolute form names a host as well; of two different ones one would stay unchecked.
    let mut hosts = given.chain(request.uri().authority().map(Authority::as_str));
    let host = hosts.next().unwrap_or_default();
    if let Some(other) = hosts.find(|other| !other.eq_ignore_ascii_case(host)) {
        let detail = format!("the request names two hosts, {host:?} and {other:?}; name one");
        return Err(Problem::new(Kind::Malformed, detail));
    }
    let name = name_in(host);
    // DNS rebinding needs a name, so an IP address is accepted.
    let address = name.trim_matches(['[', ']']).parse::<IpAddr>().ok();
    let is_local =
        name.eq_ignore_ascii_case("localhost") || address.is_some_and(|address| address.is_loopback());
    let is_known = is_local
        || address.is_some()
        || access
            .hosts()
            .iter()
            .any(|known| known.eq_ignore_ascii_case(name));
    if is_known {
        return Ok(is_local);
    }
    let detail =
        format!("{name:?} is not a name of this server; name it with --web-host to have it answered");
    Err(Problem::new(Kind::ForeignHost, detail))
}

/// Tests whether a proxy says that it passes the request on: who sent it is not on this host for certain.
fn is_forwarded(headers: &HeaderMap) -> bool {
    FORWARDED.iter().any(|name| headers.contains_key(*name))
}

/// Tests whether the browser came by TLS, as the proxy before this server says.
pub(crate) fn is_by_tls(headers: &HeaderMap) -> bool {
    // Anybody may send this header: alone it makes a cookie that is kept to TLS, which gives no rights.
    headers
        .get("x-forwarded-proto")
        .is_some_and(|scheme| scheme.as_bytes().eq_ignore_ascii_case(b"https"))
}

/// Returns the name in `name:port`.
fn name_in(host: &str) -> &str {
    match host.rsplit_once(':') {
        // The part after the last colon of `[::1]` ends with a bracket, so it is no port.
        Some((name, port)) if port.bytes().all(|byte| byte.is_ascii_digit()) && !name.is_empty() => name,
        _ => host,
    }
}

/// Refuses a change that a page of another site asks for.
fn check_origin(headers: &HeaderMap) -> Result<(), Problem> {
    let text = |name: &str| headers.get(name).map(|value| value.to_str().unwrap_or("?"));
    let host = text("host").unwrap_or_default();
    let site = text("sec-fetch-site");
    // A program sends no such header, and a browser says `none` where no page asked, as for a typed address.
    // `same-site` is refused: for a browser, another port of the same host is the same site.
    let is_of_site = site.is_none_or(|site| matches!(site, "same-origin" | "none"));
    let is_of_origin = text("origin").is_none_or(|origin| match origin.split_once("://") {
        Some((_, authority)) => authority == host,
        // A form of a page that is not to tell where it was sent from has the origin `null`, also of our own pages.
        None => origin == "null" && site == Some("same-origin"),
    });
    if is_of_site && is_of_origin {
        return Ok(());
    }
    let detail = "a page of another site may change nothing here";
    Err(Problem::new(Kind::ForeignOrigin, detail))
}

/// Tests whether a browser asks, to show a page, and not a program.
pub(crate) fn is_for_people(request: &Request) -> bool {
    let accepts = request
        .headers()
        .get(header::ACCEPT)
        .and_then(|accept| accept.to_str().ok());
    !request.uri().path().starts_with("/api/") && accepts.is_some_and(|accept| accept.contains("text/html"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_form_without_an_origin_is_ours_if_the_browser_says_so() {
        let check = |origin: &'static str, site: Option<&'static str>| {
            let mut headers = HeaderMap::new();
            headers.insert("host", HeaderValue::from_static("localhost:8081"));
            headers.insert("origin", HeaderValue::from_static(origin));
            if let Some(site) = site {
                headers.insert("sec-fetch-site", HeaderValue::from_static(site));
            }
            check_origin(&headers).is_ok()
        };
        assert!(check("null", Some("same-origin")));
        assert!(!check("null", None) && !check("null", Some("cross-site")) && !check("null", Some("none")));
        assert!(check("http://localhost:8081", None) && !check("http://localhost:8082", None));
    }

    #[test]
    fn a_request_of_two_hosts_is_refused() {
        let access = Access::new(crate::access::Token::new("a-token-of-some-length").unwrap());
        let check = |uri: &str, hosts: &[&str]| {
            let mut request = Request::builder().uri(uri);
            for host in hosts {
                request = request.header("host", *host);
            }
            check_host(&access, &request.body(axum::body::Body::empty()).unwrap())
                .map_err(|problem| problem.status)
        };
        assert_eq!(check("/", &["localhost:80"]), Ok(true));
        assert_eq!(check("http://LOCALHOST:80/", &["localhost:80"]), Ok(true));
        assert_eq!(check("/", &["192.0.2.1"]), Ok(false));
        assert_eq!(check("/", &["localhost", "evil.example"]), Err(400));
        assert_eq!(check("http://evil.example/", &["localhost"]), Err(400));
        assert_eq!(check("/", &[]), Err(421));
    }

    #[test]
    fn a_name_is_told_from_its_port() {
        for (host, name) in [
            ("localhost:8081", "localhost"),
            ("localhost", "localhost"),
            ("[::1]:8081", "[::1]"),
            ("127.0.0.1", "127.0.0.1"),
            (":80", ":80"),
            ("", ""),
        ] {
            assert_eq!(name_in(host), name);
        }
    }
}
