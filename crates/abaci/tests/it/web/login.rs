//! Logging in by the address that the program prints.

use super::rig::WebRig;
use crate::http;
use crate::rig::{Program, run};

/// Asks the server and returns the head of its answer.
fn ask(address: &str, request: &str, cookie: Option<&str>) -> String {
    let cookie = cookie.map_or_else(String::new, |cookie| format!("cookie: {cookie}\r\n"));
    let request = format!(
        "{request} HTTP/1.1\r\nhost: {address}\r\nsec-fetch-site: same-origin\r\n{cookie}connection: close\r\n\
         content-length: 0\r\n\r\n"
    );
    let answer = http::exchange(address, request.as_bytes()).unwrap();
    answer.split("\r\n\r\n").next().unwrap().to_owned()
}

#[test]
fn a_login_address_works_once_and_its_session_may_change() {
    let rig = WebRig::new();
    let web = rig.fleet(&["--workers", "1"]);
    let mut url = rig.command(&["web", "url"]);
    url.env_remove("ABACI_WEB_ADDR");
    let printed = run(url).stdout;
    let path = printed[0]
        .strip_prefix(&web.url)
        .expect("the fleet's own address");
    let entered = ask(web.address(), &format!("GET {path}"), None);
    let cookie = entered.lines().find_map(|line| line.strip_prefix("set-cookie: "));
    let cookie = cookie.unwrap_or_else(|| panic!("no session: {entered}"));
    assert!(
        entered.starts_with("HTTP/1.1 200")
            && cookie.contains("; HttpOnly; SameSite=Strict")
            && !entered.contains("code="),
        "{entered}"
    );
    let session = cookie.split(';').next();
    let pause = "POST /api/v1/queues/fibonacci/pause";
    assert!(ask(web.address(), pause, None).starts_with("HTTP/1.1 401"));
    let paused = ask(web.address(), pause, session);
    assert!(paused.starts_with("HTTP/1.1 20"), "{paused}");
    let again = ask(web.address(), &format!("GET {path}"), None);
    assert!(
        again.starts_with("HTTP/1.1 401") && !again.contains("set-cookie"),
        "a code was taken twice: {again}"
    );
    let log = web.fleet.process.stderr().join("\n");
    assert!(!log.contains(path) && !log.contains(super::rig::TOKEN), "{log}");
}
