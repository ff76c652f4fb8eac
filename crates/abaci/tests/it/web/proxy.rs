//! A real nginx before the server, with the settings of docs/http.md as they stand.

use std::fs;
use std::net::TcpListener;
use std::path::Path;
use std::process::Command;

use testkit::{Process, TempDir, eventually};

use super::rig::{TOKEN, WebFleet, WebRig};
use crate::rig::{Program, code, run};

/// The host of the settings, and the name of the files of its certificate.
const HOST: &str = "jobs.example.org";

/// A running nginx, whose certificate and settings are in a directory.
struct Proxy {
    directory: TempDir,
    port: u16,
    _process: Process,
}

impl Proxy {
    /// Starts one before a web process and returns once an answer comes through.
    #[track_caller]
    fn start(web: &WebFleet) -> Self {
        let directory = TempDir::new();
        make_certificate(directory.path());
        let port = TcpListener::bind("127.0.0.1:0")
            .unwrap()
            .local_addr()
            .unwrap()
            .port();
        // The page cannot know the ports of this test.
        let block = block_of_the_page();
        let server = block
            .replace("listen 443 ssl", &format!("listen 127.0.0.1:{port} ssl"))
            .replace("127.0.0.1:8081", web.address());
        assert!(
            server.contains(&port.to_string()) && server.contains(web.address()),
            "{block}"
        );
        let file = directory.path().join("nginx.conf");
        fs::write(&file, settings(directory.path(), &server)).unwrap();
        let process = Process::spawn(nginx(&file));
        let proxy = Self {
            directory,
            port,
            _process: process,
        };
        eventually("an answer through the proxy", || {
            let answer = proxy.ask("/healthz", &[]);
            if answer.0 == 200 { Ok(()) } else { Err(answer) }
        });
        proxy
    }

    /// Sends a request to the host by its name, and returns the status and the answer with its headers.
    fn ask(&self, path: &str, arguments: &[&str]) -> (u16, String) {
        let output = run(self.curl(path, &[&["--include"], arguments].concat()));
        let answer = output.stdout.join("\n");
        let status = answer.split(' ').nth(1).and_then(|status| status.parse().ok());
        (status.unwrap_or_default(), answer)
    }

    fn curl(&self, path: &str, arguments: &[&str]) -> Command {
        let mut command = Command::new("curl");
        command
            .args(["--silent", "--show-error", "--no-buffer", "--http1.1", "--cacert"])
            .arg(self.directory.path().join(format!("{HOST}.pem")))
            // The client sees the port of the settings.
            .args(["--connect-to", &format!("{HOST}:443:127.0.0.1:{}", self.port)])
            .args(arguments)
            .arg(format!("https://{HOST}{path}"));
        command
    }
}

/// Returns the server block that the page shows.
#[track_caller]
fn block_of_the_page() -> String {
    let page = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docs/http.md");
    let page = fs::read_to_string(page).unwrap();
    let blocks = page
        .split("```text\n")
        .skip(1)
        .filter_map(|rest| rest.split_once("```"));
    let mut servers = blocks
        .map(|(block, _)| block)
        .filter(|block| block.starts_with("server {"));
    servers
        .next()
        .expect("docs/http.md has a server block")
        .to_owned()
}

/// Puts the block where nginx reads it, with all that it writes below the directory.
fn settings(directory: &Path, server: &str) -> String {
    let here = directory.display();
    let places = ["client_body", "proxy", "fastcgi", "uwsgi", "scgi"];
    let places = places.map(|name| format!("{name}_temp_path {here}/{name};\n"));
    format!(
        "daemon off;\nmaster_process off;\npid {here}/pid;\nerror_log stderr;\nevents {{}}\n\
         http {{\naccess_log off;\n{}{server}}}\n",
        places.concat()
    )
}

fn nginx(settings: &Path) -> Command {
    let mut command = Command::new("nginx");
    let mut path = std::env::var_os("PATH").unwrap_or_default();
    // Debian has it where only root looks.
    path.push(":/usr/sbin");
    command.env("PATH", path).arg("-c").arg(settings);
    command
}

/// Makes a key and a certificate that it signs itself, under the names of the settings.
#[track_caller]
fn make_certificate(directory: &Path) {
    let mut command = Command::new("openssl");
    command.current_dir(directory).args([
        "req",
        "-x509",
        "-newkey",
        "ec",
        "-pkeyopt",
        "ec_paramgen_curve:prime256v1",
        "-nodes",
        "-subj",
        &format!("/CN={HOST}"),
        "-addext",
        &format!("subjectAltName=DNS:{HOST}"),
        "-keyout",
        &format!("{HOST}.key"),
        "-out",
        &format!("{HOST}.pem"),
    ]);
    let made = run(command);
    assert_eq!(code(&made), 0, "{made:#?}");
}

#[test]
fn what_comes_by_the_proxy_of_the_page_needs_the_token() {
    let rig = WebRig::new();
    let web = rig.fleet(&["--workers", "1", "--web-host", HOST]);
    let proxy = Proxy::start(&web);
    let bearer = format!("authorization: Bearer {TOKEN}");
    let jobs = "/api/v1/jobs";
    assert_eq!(proxy.ask(jobs, &[]).0, 401, "it looks like a reader of this host");
    assert_eq!(proxy.ask(jobs, &["-H", &bearer]).0, 200);

    let events = Process::spawn(proxy.curl("/api/v1/events", &["-H", &bearer]));
    events.wait_for_line("event: changes");
    let body = r#"{"n": 100}"#;
    let job = [
        "-H",
        &bearer,
        "-H",
        "prefer: wait=30",
        "-H",
        "content-type: application/json",
        "-d",
        body,
    ];
    let (status, answer) = proxy.ask(jobs, &job);
    assert_eq!(status, 200, "{answer}");
    assert!(answer.contains("354224848179261915075"), "{answer}");
    // The stream goes on, so what comes has not waited in a buffer for its end.
    events.wait_for_line("\"state\":\"succeeded\"");
}

#[test]
fn a_browser_behind_the_proxy_of_the_page_may_change_things() {
    let rig = WebRig::new();
    let web = rig.fleet(&["--workers", "1", "--web-host", HOST]);
    let proxy = Proxy::start(&web);
    let mut url = rig.command(&["web", "url"]);
    url.env_remove("ABACI_WEB_ADDR");
    let printed = run(url).stdout.swap_remove(0);
    let path = printed
        .strip_prefix(&web.url)
        .expect("an address of the server itself");
    let (status, entered) = proxy.ask(path, &[]);
    assert_eq!(status, 200, "{entered}");
    let cookie = entered.lines().find_map(|line| line.strip_prefix("set-cookie: "));
    let cookie = cookie.unwrap_or_else(|| panic!("no session: {entered}"));
    assert!(
        cookie.contains("; Secure"),
        "it would be sent without TLS, too: {cookie}"
    );

    let session = format!("cookie: {}", cookie.split(';').next().unwrap());
    let pause = |origin: &str| {
        let origin = format!("origin: {origin}");
        let change = ["-X", "POST", "-H", &session, "-H", &origin];
        proxy.ask("/api/v1/queues/fibonacci/pause", &change).0
    };
    assert_eq!(pause("https://elsewhere.example"), 403);
    assert_eq!(pause(&format!("https://{HOST}")), 200);
}
