//! Rows whose texts are made to harm a terminal: nothing of them reaches it as it is, whatever prints it.

use serde_json::Value;
use testkit::{Output, eventually};

use crate::cli::terminal::OnTerminal;
use crate::health::Served;
use crate::rig::{Rig, code, objects};

/// Clears the screen, breaks the line, turns the direction of writing and takes no room.
const TEXT: &str = "x\u{1b}[2J\u{9b}2J\nabaci: forged\r\u{7f}\u{202e}\u{2066}\u{200b}\u{feff}y";

/// The same as it is shown.
const SHOWN: &str = r"x\u{1b}[2J\u{9b}2J\nabaci: forged\r\u{7f}\u{202e}\u{2066}\u{200b}\u{feff}y";

fn is_hidden(c: char) -> bool {
    c.is_control() || "\u{202e}\u{2066}\u{200b}\u{feff}".contains(c)
}

/// Asserts that nothing hidden was written, and no line that a row wanted.
#[track_caller]
fn assert_harmless(output: &Output) {
    for line in output.stdout.iter().chain(&output.stderr) {
        assert!(
            !line.contains(is_hidden) && !line.contains("\\u{fffd}"),
            "something hidden is in {line:?}: {output:#?}"
        );
        assert!(
            !line.starts_with("abaci: forged"),
            "a row wrote a line: {output:#?}"
        );
    }
}

impl Rig {
    /// Writes a row all of whose texts are hostile, but for what is given.
    fn insert_hostile(&self, id: &str, status: &str, executor_id: &str) {
        let text = TEXT.replace('\n', "\\n").replace('\r', "\\r");
        let failure = format!(r#"{{"name": "{text}", "message": "{text}"}}"#);
        self.database.psql(&format!(
            "insert into dbos.workflow_status (workflow_uuid, status, name, inputs, serialization, queue_name, \
             application_version, executor_id, error, created_at, updated_at, priority, recovery_attempts) \
             values ('{id}', '{status}', 'fibonacci_workflow', '{{\"n\": \"{text}\"}}', 'portable_json', '{TEXT}', 'abaci-1', \
             '{executor_id}', '{failure}', 0, 0, 0, 1)"
        ));
        self.database.psql(&format!(
            "insert into dbos.operation_outputs (workflow_uuid, function_id, function_name, error) \
             values ('{id}', 0, '{TEXT}', '{TEXT}')"
        ));
    }
}

#[test]
fn nothing_that_prints_a_hostile_row_hands_it_to_the_terminal() {
    let rig = Rig::new();
    rig.submit(&["--id", "mine", "10"]);
    rig.insert_hostile(TEXT, "ERROR", TEXT);
    rig.database.psql(&format!(
        "insert into abaci.presence (executor_id, incarnation, host, pid, application_version, queue, concurrency, running) \
         values ('{TEXT}', 'i', 'h', 1, 'abaci-1', '{TEXT}', 1, \
         json_build_array(json_build_object('workflow_id', '{TEXT}', 'seconds', 1, 'step', '{TEXT}', 'phase', '{TEXT}')))"
    ));
    for arguments in [
        &["list"][..],
        &["list", "--json"],
        &["show", TEXT],
        &["show", "--json", TEXT],
        &["show", "--value", TEXT],
        &["show", "--watch", TEXT],
        &["wait", TEXT],
        &["wait", "--json", TEXT],
        &["wait", "no\u{1b}[2Jsuch"],
        &["cancel", TEXT],
        &["verify", TEXT],
        &["status"],
        &["status", "--json"],
        &["status", "--queue", TEXT],
        &["doctor", "--queue", TEXT],
        &["resume", "mine", TEXT],
        &["wait", "--wait-for-server", "2s", TEXT],
        &["cancel", TEXT],
        &["resume", "--queue", TEXT, TEXT],
    ] {
        let output = rig.run(arguments);
        assert_harmless(&output);
        assert!(
            !output.stdout.is_empty() || !output.stderr.is_empty(),
            "{arguments:?} said nothing"
        );
    }
    let row = rig.run(["list"]).stdout.remove(2);
    let cells: Vec<&str> = row
        .split("  ")
        .map(str::trim)
        .filter(|cell| !cell.is_empty())
        .collect();
    assert_eq!((cells[0], cells[4]), (SHOWN, SHOWN), "{row}");
    let shown = &objects(&rig.run(["list", "--json"]))[1];
    assert_eq!(shown["workflow_id"], TEXT, "JSON does not say what is there");
}

#[test]
fn on_a_terminal_a_hostile_row_is_as_harmless() {
    let rig = Rig::new();
    rig.submit(&["--id", "mine", "10"]);
    rig.insert_hostile(TEXT, "ERROR", TEXT);
    for arguments in [&["list"][..], &["show", TEXT], &["wait", TEXT]] {
        let mut process = OnTerminal::spawn(rig.abaci(arguments));
        eventually("its end", || process.code().is_some());
        let shown = process.shown();
        assert!(shown.contains("forged"), "{shown:?}");
        for harm in ["\u{1b}[2J", "\nabaci: forged", "\u{9b}", "\u{202e}", "\u{7f}"] {
            assert!(!shown.contains(harm), "{arguments:?} wrote {harm:?}: {shown:?}");
        }
    }
}

#[test]
fn the_log_of_a_server_has_one_harmless_line_for_each_event() {
    let rig = Rig::new();
    rig.submit(&["--id", "mine", "10"]);
    let rename = |id: &str, queue: &str| {
        rig.database.psql(&format!(
            "update dbos.workflow_status set queue_name = '{queue}', workflow_uuid = workflow_uuid || '{TEXT}' \
             where workflow_uuid = '{id}'"
        ));
    };
    rig.insert_hostile("bad", "ENQUEUED", "");
    rig.submit(&["--id", "json", "10"]);
    rename("mine", "fibonacci");
    rename("bad", "fibonacci");
    let output = served(&rig, &[]);
    assert_harmless(&output);
    for said in ["job started", "ended a row that cannot run"] {
        assert!(
            output.stderr.iter().any(|line| line.contains(said)),
            "{output:#?}"
        );
    }

    rig.submit(&["--id", "again", "10"]);
    rename("again", "fibonacci");
    let output = served(&rig, &["--log-format", "json"]);
    assert_harmless(&output);
    let events: Vec<Value> = output
        .stderr
        .iter()
        .map(|line| serde_json::from_str(line).unwrap())
        .collect();
    let started = events
        .iter()
        .find(|event| event["message"] == "job started")
        .unwrap();
    assert_eq!(started["workflow_id"], format!("again{TEXT}"));
}

#[test]
fn the_health_of_a_server_with_a_hostile_job_is_as_harmless() {
    let rig = Rig::new();
    rig.submit(&["--id", "mine", "--algorithm", "recursive", "50"]);
    rig.database.psql(&format!(
        "update dbos.workflow_status set workflow_uuid = '{TEXT}'"
    ));
    let command = rig.abaci(["serve", "--health-addr", "127.0.0.1:0"]);
    let server = Served::begin(command);
    let health = server.health_until("the job in hand", |health| {
        health["workers"][0]["running"][0]["workflow_id"] == TEXT
    });
    assert_eq!(health["status"], "healthy", "{health:#}");
    for path in ["/health", "/metrics"] {
        let body = server.get(path).body;
        assert!(!body.lines().any(|line| line.contains(is_hidden)), "{body:?}");
    }
    let refused = rig.run(["status", "--queue", TEXT]);
    assert_eq!(code(&refused), 2, "{refused:#?}");
    assert_harmless(&refused);
}

/// Runs a server until nothing waits or runs any more.
fn served(rig: &Rig, arguments: &[&str]) -> Output {
    let server = rig.server(arguments);
    let open = "select count(*) from dbos.workflow_status where status in ('ENQUEUED', 'PENDING')";
    eventually("the end of the jobs", || rig.database.psql(open).trim() == "0");
    server.signal(testkit::Signal::TERM);
    let output = server.finish();
    assert_eq!(code(&output), 0, "{output:#?}");
    output
}
