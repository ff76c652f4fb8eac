//! Databases with few connections, no room, and nobody who may write.

use std::process::Command;

use testkit::{Output, PrivateServer, Process, TempDir};

use crate::fleet_rig::Fleet;
use crate::health::{SERVE, Served};
use crate::http;
use crate::rig::{Program, bare, code, objects, run};

/// The program on a database of a server of the test's own.
struct Scarce {
    home: TempDir,
    url: String,
    server: PrivateServer,
}

impl Scarce {
    fn new() -> Self {
        let server = PrivateServer::new();
        Self {
            home: TempDir::new(),
            url: server.create_database("jobs"),
            server,
        }
    }

    /// Lets the role `app`, which owns the database, have so many connections.
    fn allow(&mut self, connections: u32) {
        self.server.psql(
            "postgres",
            &format!(
                "create role app login connection limit {connections}; alter database jobs owner to app"
            ),
        );
        self.url = self.url.replace("user=postgres", "user=app");
    }

    fn run(&self, arguments: &[&str]) -> Output {
        run(self.command(arguments))
    }
}

impl Program for Scarce {
    fn command(&self, arguments: &[&str]) -> Command {
        let mut command = bare(&self.home, arguments);
        command.env("ABACI_DATABASE_URL", &self.url);
        command
    }
}

#[test]
fn a_fleet_of_four_works_with_twenty_connections() {
    let mut rig = Scarce::new();
    rig.allow(20);
    let submitted = rig.run(&["submit", "--detach", "--random", "300", "--range", "1..=100"]);
    assert_eq!(code(&submitted), 0, "{submitted:#?}");
    let fleet = Fleet::start(&rig, &["--workers", "4"]);
    let waited = rig.run(&[&["wait", "--json"], &*texts(&submitted)].concat());
    assert_eq!((code(&waited), objects(&waited).len()), (0, 300), "{waited:#?}");
    let status = rig.run(&["status", "--json"]);
    let limit = &objects(&status)[0]["database"]["connections"];
    assert_eq!(
        (&limit["whose"], &limit["allowed"]),
        (&"the role app".into(), &20.into())
    );
    assert_eq!(fleet.get("/readyz").status, 200);
    fleet.stop();
}

#[test]
fn a_server_without_connections_says_so_until_it_has_some() {
    let mut rig = Scarce::new();
    rig.allow(3);
    let serve = Process::spawn(rig.command(&["serve", "--health-addr", "none"]));
    let line = serve.wait_for_line("waiting for the database");
    for words in ["a worker needs 4", "the role app has 3 left of 3"] {
        assert!(line.contains(words), "{line}");
    }
    let doctor = rig.run(&["doctor"]);
    let said = doctor.stdout.join("\n");
    assert!(
        code(&doctor) == 1 && said.contains("the role app has") && said.contains("fewest for a worker are 4"),
        "{said}"
    );
    rig.server.psql("postgres", "alter role app connection limit 8");
    serve.wait_for_line("ready");
    let output = rig.run(&["submit", "--json", "30"]);
    assert_eq!(objects(&output)[0]["value"], "832040");
}

/// Forty clients and a worker share fifteen connections.
#[test]
fn a_crowd_of_clients_all_get_their_turn() {
    let mut rig = Scarce::new();
    rig.run(&["submit", "--detach", "1"]);
    rig.server
        .psql("postgres", "alter system set max_connections = 18");
    rig.server.stop();
    rig.server.start();
    let _serve = Process::ready(rig.command(&["serve", "--health-addr", "none"]));
    let clients: Vec<_> = (0..40)
        .map(|_| Process::spawn(rig.command(&["submit", "--json", "30"])))
        .collect();
    for client in clients {
        let output = client.finish();
        assert_eq!(code(&output), 0, "{output:#?}");
        assert_eq!(objects(&output)[0]["value"], "832040");
    }
}

#[test]
fn a_full_disk_is_named_and_outlasted() {
    let mut rig = Scarce::new();
    if !rig.server.create_small_database("small", 40) {
        eprintln!("not tested: this process may mount no file system");
        return;
    }
    rig.url = rig.server.url("small");
    let served = Served::begin(rig.command(&SERVE));
    served.process.wait_for_line("ready");
    let first = rig.run(&["submit", "--json", "20"]);
    assert_eq!(objects(&first)[0]["value"], "6765");

    rig.server.fill_disk();
    let full = "No space left on device";
    // Until the pages that are there already are full, rows go in.
    let mut refused = rig.run(&["submit", "--detach", "--random", "5000", "--range", "1..=100"]);
    while code(&refused) == 0 {
        refused = rig.run(&["submit", "--detach", "--random", "5000", "--range", "1..=100"]);
    }
    assert_eq!(code(&refused), 3, "{refused:#?}");
    assert!(
        refused.stderr.iter().any(|line| line.contains(full)),
        "{refused:#?}"
    );
    let doctor = rig.run(&["doctor"]);
    assert!(
        code(&doctor) == 1 && doctor.stdout.iter().any(|line| line.contains(full)),
        "{doctor:#?}"
    );
    let unready = http::await_status(&served.address, "/readyz", 503);
    assert!(unready.body.contains(full), "{unready:#?}");

    let second = Process::spawn(rig.command(&["serve", "--health-addr", "none"]));
    let line = second.wait_for_line("waiting for the database");
    assert!(line.contains("has no room") && line.contains(full), "{line}");

    rig.server.empty_disk();
    second.wait_for_line("ready");
    http::await_status(&served.address, "/readyz", 200);
    let last = rig.run(&["submit", "--json", "30"]);
    assert_eq!(objects(&last)[0]["value"], "832040");
    assert_eq!(code(&rig.run(&["doctor"])), 0);
}

#[test]
fn a_standby_is_waited_for_until_it_is_promoted() {
    let mut rig = Scarce::new();
    let before = rig.run(&["submit", "--detach", "10"]);
    assert_eq!(code(&before), 0, "{before:#?}");
    let standby = rig.server.standby();
    rig.url = standby.url("jobs");
    let serve = Process::spawn(rig.command(&["serve", "--health-addr", "none"]));
    let line = serve.wait_for_line("waiting for the database");
    assert!(line.contains("it is a standby"), "{line}");
    let refused = rig.run(&["submit", "--detach", "20"]);
    assert!(
        code(&refused) == 3 && refused.stderr.iter().any(|line| line.contains("it is a standby")),
        "{refused:#?}"
    );
    // The old primary is gone, as in a failover.
    rig.server.kill();
    standby.promote();
    serve.wait_for_line("ready");
    let output = rig.run(&["wait", "--json", &before.stdout[0]]);
    assert_eq!(objects(&output)[0]["value"], "55");
}

fn texts(output: &Output) -> Vec<&str> {
    output.stdout.iter().map(String::as_str).collect()
}
