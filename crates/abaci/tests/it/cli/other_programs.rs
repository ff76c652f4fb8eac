//! Jobs of another program in the same database: the example of `durable-jobs`, and rows of clients in other languages.

use std::path::Path;
use std::process::Command;

use rustix::process::{Pid, kill_process_group};
use testkit::{Process, Signal, eventually};

use crate::rig::{Rig, assert_refused, code, objects};

/// The JSON of an output with blanks between its values and hidden characters in a string.
const OUTPUT: &str = "{\n\t\"text\": \"\\u001b[2J\u{9b}2J\"}";

impl Rig {
    /// The example `primes`, which is built with the tests, on this rig's database.
    fn primes(&self, arguments: &[&str]) -> Process {
        let program = Path::new(env!("CARGO_BIN_EXE_abaci")).with_file_name("examples/primes");
        let mut command = Command::new(program);
        command
            .args(arguments)
            .env("DATABASE_URL", self.database.url())
            .current_dir(self.directory.path());
        Process::spawn(command)
    }

    /// Submits a span to `primes` and returns the client, which waits, and the id of the job.
    fn submit_primes(&self, span: &str) -> (Process, String) {
        let client = self.primes(&["submit", span]);
        let listed = || self.run(["list", "--json"]);
        eventually("the job of another program in the list", || {
            listed().stdout.len() == 1
        });
        let job = objects(&listed()).remove(0);
        assert_eq!(job["workflow"], "count_primes");
        (client, job["workflow_id"].as_str().unwrap().to_owned())
    }

    /// Writes a job of another program that succeeded, in a queue or in none.
    fn insert_ended(&self, id: &str, columns: &str, values: &str) {
        self.database.psql(&format!(
            "insert into dbos.workflow_status (workflow_uuid, name, {columns}, created_at, updated_at, priority, \
             recovery_attempts) values ('{id}', 'mystery', {values}, 0, 0, 0, 1)"
        ));
    }
}

#[test]
fn a_job_of_another_program_is_listed_shown_and_waited_for() {
    let rig = Rig::new();
    let _worker = rig.primes(&["work"]);
    let (client, id) = rig.submit_primes("1..1000");
    assert_eq!(client.finish().stdout, ["168 primes"]);

    let row = rig.run(["list"]).stdout.remove(1);
    for cell in [&id, "succeeded", "count_primes", "default", "-"] {
        assert!(row.split_whitespace().any(|found| found == cell), "{row}");
    }
    let waited = rig.run(["wait", &id]);
    assert_eq!(code(&waited), 0, "{waited:#?}");
    assert_eq!(waited.stdout, [format!("count_primes succeeded: 168  job {id}")]);
    let waited = objects(&rig.run(["wait", "--json", &id])).remove(0);
    let expected = serde_json::json!({
        "workflow_id": id, "workflow": "count_primes", "state": "succeeded", "result": 168,
    });
    assert_eq!(waited, expected);
    let shown = rig.run(["show", &id]).stdout;
    for line in ["type         count_primes", "output       168"] {
        assert!(shown.iter().any(|found| found == line), "{shown:#?}");
    }
    for digits in [&["show", "--value", &id][..], &["verify", &id]] {
        assert_refused(&rig.run(digits), 1, &["count_primes", "abaci show"]);
    }
}

#[test]
fn a_method_of_a_class_is_a_type_of_its_own() {
    let rig = Rig::new();
    rig.submit(&["--id", "ours", "10"]);
    let other = "update dbos.workflow_status set class_name = 'Jobs', status = 'SUCCESS', output = '7', completed_at = 1";
    rig.database.psql(other);
    let listed = objects(&rig.run(["list", "--json"])).remove(0);
    assert_eq!(listed["workflow"], "Jobs.fibonacci_workflow");
    let waited = rig.run(["wait", "ours"]);
    assert_eq!(
        waited.stdout,
        ["Jobs.fibonacci_workflow succeeded: 7  job ours"],
        "{waited:#?}"
    );
}

#[test]
fn a_cancelled_job_of_another_program_is_resumed_and_runs() {
    let rig = Rig::new();
    let (client, id) = rig.submit_primes("1..1000");
    assert_eq!(code(&rig.run(["cancel", &id])), 0);
    assert_ne!(code(&client.finish()), 0);
    let waited = rig.run(["wait", &id]);
    assert_eq!(code(&waited), 1, "{waited:#?}");
    assert!(
        waited.stdout[0].starts_with("count_primes cancelled: "),
        "{waited:#?}"
    );

    let resumed = rig.run(["resume", &id]);
    assert_eq!(
        (code(&resumed), resumed.stdout, resumed.stderr),
        (0, vec![format!("resumed {id}")], vec![])
    );
    let _worker = rig.primes(&["work"]);
    let waited = rig.run(["wait", "--json", &id]);
    assert_eq!(objects(&waited)[0]["result"], 168, "{waited:#?}");
}

#[test]
fn a_resumed_job_of_no_known_queue_waits_on_the_engines() {
    let rig = Rig::new();
    rig.submit(&["10"]);
    rig.insert_ended("started", "status", "'CANCELLED'");
    let resumed = rig.run(["resume", "started"]);
    assert_eq!(code(&resumed), 0, "{resumed:#?}");
    assert!(resumed.stderr[0].contains("_dbos_internal_queue"), "{resumed:#?}");
}

#[test]
fn an_output_of_any_form_is_one_harmless_line() {
    let rig = Rig::new();
    rig.submit(&["10"]);
    rig.insert_ended("json", "status, output", &format!("'SUCCESS', '{OUTPUT}'"));
    rig.insert_ended(
        "pickle",
        "status, output",
        "'SUCCESS', 'gASVBQAAAAAAAABLCoWULg=='",
    );
    let waited = rig.run(["wait", "json"]);
    assert_eq!(code(&waited), 0, "{waited:#?}");
    let shown = r#"{  "text": "\u001b[2J\u{9b}2J"}"#;
    assert_eq!(waited.stdout, [format!("mystery succeeded: {shown}  job json")]);
    let line = format!("output       {shown}");
    assert!(rig.run(["show", "json"]).stdout.contains(&line));
    for arguments in [["wait", "--json", "json"], ["show", "--json", "json"]] {
        let object = objects(&rig.run(arguments)).remove(0);
        assert_eq!(object["result"]["text"], "\u{1b}[2J\u{9b}2J", "{arguments:?}");
    }
    let waited = rig.run(["wait", "pickle"]);
    assert_eq!(code(&waited), 0, "the job succeeded: {waited:#?}");
    assert!(waited.stdout[0].contains("cannot be read"), "{waited:#?}");
}

#[test]
fn an_interrupt_ends_the_query_of_psql_and_not_what_it_runs_on() {
    let rig = Rig::new();
    let mut psql = Process::spawn(rig.abaci(["db", "psql"]));
    psql.write_line("select pg_sleep(600);");
    let sleepers = "select count(*) from pg_stat_activity \
                    where datname = current_database() and query like '%sleep(600)%' and pid <> pg_backend_pid()";
    eventually("a query that takes long", || {
        rig.database.psql(sleepers).trim() == "1"
    });
    // As a terminal does it: to all that run in it.
    let group = Pid::from_raw(i32::try_from(psql.pid()).unwrap()).unwrap();
    kill_process_group(group, Signal::INT).unwrap();
    psql.close_stdin();
    let ended = psql.finish();
    let said = ended.stderr.join("\n");
    assert!(
        said.contains("canceling statement due to user request"),
        "{ended:#?}"
    );
    // Its own code for a script that was interrupted, and not an end by the signal.
    assert_eq!(code(&ended), 3, "{ended:#?}");
}
