//! Submitting and waiting, with a real server.

use serde_json::Value;
use testkit::{Process, Signal};

use crate::rig::{Rig, assert_refused, code, objects};

fn keys(object: &Value) -> Vec<&str> {
    object.as_object().unwrap().keys().map(String::as_str).collect()
}

/// The result of index `n` among lines of JSON.
fn result_of(results: &[Value], n: u64) -> &Value {
    results.iter().find(|result| result["n"] == n).unwrap()
}

#[test]
fn a_result_as_json_has_exactly_the_fields_of_the_contract() {
    let rig = Rig::new();
    let _server = rig.server(&[]);
    let output = rig.run(["submit", "--json", "300", "100000"]);
    assert_eq!(code(&output), 0, "{output:#?}");
    let results = objects(&output);
    let (small, large) = (result_of(&results, 300), result_of(&results, 100_000));

    let mut expected = vec![
        "workflow_id",
        "state",
        "n",
        "algorithm",
        "value",
        "digits",
        "head",
        "tail",
        "certificate",
        "seconds",
        "pid",
        "executor_id",
        "attempts",
    ];
    let sorted = |mut keys: Vec<&'static str>| {
        keys.sort_unstable();
        keys
    };
    assert_eq!(keys(small), sorted(expected.clone()));
    expected.retain(|key| *key != "value");
    expected.push("artifact");
    assert_eq!(keys(large), sorted(expected));
    assert_eq!(keys(&large["artifact"]), ["blake3", "bytes", "uri"]);

    assert_eq!(small["state"], "succeeded");
    assert_eq!(
        small["value"],
        "222232244629420445529739893461909967206666939096499764990979600"
    );
    assert_eq!(
        (&large["digits"], &large["tail"]),
        (&20899.into(), &"49895374653428746875".into())
    );
    assert!(
        small["certificate"]["residues"][0].is_string(),
        "JavaScript would round a number: {small}"
    );
}

#[test]
fn one_failed_job_hides_no_other_and_the_exit_code_is_1() {
    let rig = Rig::new();
    let _server = rig.server(&["--max-n", "1000"]);
    let output = rig.run(["submit", "--json", "10", "5000", "20"]);
    assert_eq!(code(&output), 1, "{output:#?}");
    let results = objects(&output);
    assert_eq!(result_of(&results, 10)["value"], "55");
    assert_eq!(result_of(&results, 20)["value"], "6765");
    let failed = result_of(&results, 5000);
    assert_eq!(keys(failed), ["algorithm", "error", "n", "state", "workflow_id"]);
    assert!(
        failed["error"]["message"]
            .as_str()
            .unwrap()
            .contains("limit of 1000"),
        "{failed}"
    );
    assert!(
        output.stderr.last().unwrap().starts_with("3 jobs, 1 failed"),
        "{output:#?}"
    );
}

#[test]
fn a_limit_of_the_server_is_said_to_be_the_servers() {
    let rig = Rig::new();
    let strict = rig.server(&["--max-n", "1000"]);
    let refused = |arguments: &[&str], words: &str| {
        let output = rig.run(["submit"].iter().chain(arguments));
        assert_eq!((code(&output), output.stdout.len()), (1, 1), "{output:#?}");
        assert!(
            output.stdout[0].contains(words),
            "{words:?} is not in: {output:#?}"
        );
    };
    refused(
        &["--max-n", "3000000000", "2500000000"],
        "raise --max-n of the server",
    );
    drop(strict);
    let _server = rig.server(&["--job-memory", "10MB"]);
    refused(
        &["20000000"],
        "raise --job-memory of the server, or of this job by: abaci resume --job-memory",
    );
}

#[test]
fn a_speed_up_is_told_by_who_submitted_and_not_by_who_waits() {
    let rig = Rig::new();
    let _server = rig.server(&[]);
    // Over a second together on any machine.
    let jobs = ["submit", "--json", "--algorithm", "recursive", "43", "43"];
    let submitted = rig.run(jobs);
    let summary = submitted.stderr.last().unwrap();
    assert!(
        summary.contains("2 jobs, 0 failed") && summary.contains("speed-up"),
        "{submitted:#?}"
    );
    let ids: Vec<String> = objects(&submitted)
        .iter()
        .map(|result| result["workflow_id"].as_str().unwrap().to_owned())
        .collect();
    let waited = rig.run(["wait".to_owned()].iter().chain(&ids));
    let summary = waited.stderr.last().unwrap();
    assert!(
        summary.contains("2 jobs, 0 failed") && !summary.contains("speed-up"),
        "{waited:#?}"
    );
}

#[test]
fn a_failed_job_is_one_readable_line_too() {
    let rig = Rig::new();
    let _server = rig.server(&["--max-n", "1000"]);
    let output = rig.run(["submit", "5000"]);
    assert_eq!((code(&output), output.stdout.len()), (1, 1), "{output:#?}");
    let line = &output.stdout[0];
    assert!(
        line.starts_with("F(5000) ") && line.contains("n is 5000") && line.contains("  job "),
        "{line}"
    );
}

#[test]
fn handles_survive_the_client() {
    let rig = Rig::new();
    let ids = rig.submit(&["10", "20"]);
    assert_eq!(ids.len(), 2);
    let _server = rig.server(&[]);
    let output = rig.run(
        ["wait", "--json"]
            .into_iter()
            .chain(ids.iter().map(String::as_str)),
    );
    assert_eq!(code(&output), 0, "{output:#?}");
    let results = objects(&output);
    assert_eq!(result_of(&results, 20)["value"], "6765");
    assert!(
        results
            .iter()
            .all(|result| ids.iter().any(|id| result["workflow_id"] == *id)),
        "{results:#?}"
    );
}

#[test]
fn a_wait_names_a_missing_job_and_waits_for_the_rest() {
    let rig = Rig::new();
    let _server = rig.server(&[]);
    let id = rig.submit(&["10"]).remove(0);
    let output = rig.run(["wait", "nobody", &id]);
    assert_eq!(code(&output), 1, "{output:#?}");
    assert!(
        output
            .stderr
            .iter()
            .any(|line| line.contains("no job has the id nobody")),
        "{output:#?}"
    );
    assert!(output.stdout[0].starts_with("F(10) = 55"), "{output:#?}");
}

#[test]
fn detached_jobs_as_json_name_what_was_queued() {
    let rig = Rig::new();
    let output = rig.run(["submit", "--detach", "--json", "--algorithm", "iterative", "10"]);
    let queued = &objects(&output)[0];
    assert_eq!(keys(queued), ["algorithm", "n", "state", "workflow_id"]);
    assert_eq!(
        (&queued["n"], &queued["algorithm"], &queued["state"]),
        (&10.into(), &"iterative".into(), &"queued".into())
    );
}

#[test]
fn one_id_is_one_job_and_another_request_for_it_is_refused() {
    let rig = Rig::new();
    let _server = rig.server(&[]);
    for _ in 0..2 {
        let output = rig.run(["submit", "--id", "mine", "10"]);
        assert_eq!(code(&output), 0, "{output:#?}");
    }
    assert_eq!(rig.run(["list", "--json"]).stdout.len(), 1);
    assert_refused(&rig.run(["submit", "--id", "mine", "11"]), 2, &["mine"]);
}

#[test]
fn requests_come_from_a_file_and_from_stdin() {
    let rig = Rig::new();
    let _server = rig.server(&[]);
    let file = rig.directory.path().join("numbers.txt");
    std::fs::write(
        &file,
        "10\n# comment\n{\"n\": 20, \"algorithm\": \"recursive\"}\n",
    )
    .unwrap();
    let output = rig.run([
        "submit".as_ref(),
        "--json".as_ref(),
        "--file".as_ref(),
        file.as_os_str(),
    ]);
    let results = objects(&output);
    assert_eq!(result_of(&results, 10)["algorithm"], "doubling", "{output:#?}");
    assert_eq!(result_of(&results, 20)["algorithm"], "recursive");

    let mut from_stdin = Process::spawn(rig.abaci(["submit", "--json", "--file", "-"]));
    from_stdin.write_line("30");
    assert_eq!(objects(&from_stdin.finish())[0]["value"], "832040");
}

#[test]
fn random_jobs_are_drawn_again_with_their_seed() {
    let rig = Rig::new();
    let _server = rig.server(&[]);
    let drawn = |seed: &str| {
        let arguments = [
            "submit",
            "--json",
            "--random",
            "5",
            "--range",
            "100..=200",
            "--seed",
            seed,
        ];
        let output = rig.run(arguments);
        let mut indices: Vec<u64> = objects(&output)
            .iter()
            .map(|result| result["n"].as_u64().unwrap())
            .collect();
        indices.sort_unstable();
        indices
    };
    let first = drawn("7");
    assert!(
        first.len() == 5 && first.iter().all(|n| (100..=200).contains(n)),
        "{first:?}"
    );
    assert_eq!(first, drawn("7"));
}

#[test]
fn without_a_server_it_is_said_and_the_way_back_is_told() {
    let rig = Rig::new();
    let output = rig.run(["submit", "--wait-for-server", "3s", "10"]);
    assert_eq!(code(&output), 3, "{output:#?}");
    assert!(output.stdout.is_empty(), "{output:#?}");
    let said = "no worker is listening on queue \"fibonacci\"; start one with: abaci serve";
    assert!(output.stderr.iter().any(|line| line == said), "{output:#?}");
    let (_, id) = output.stderr.last().unwrap().rsplit_once("abaci wait ").unwrap();

    let _server = rig.server(&[]);
    let waited = rig.run(["wait", id]);
    assert_eq!(code(&waited), 0, "{waited:#?}");
    assert!(waited.stdout[0].starts_with("F(10) = 55"), "{waited:#?}");
}

#[test]
fn a_wait_names_the_queue_that_nobody_serves_whatever_its_own() {
    let rig = Rig::new();
    let _server = rig.server(&[]);
    let other = rig.submit(&["--queue", "other", "10"]).remove(0);
    let third = rig.submit(&["--queue", "the third", "20"]).remove(0);
    let output = rig.run(["wait", "--wait-for-server", "3s", &other, &third]);
    assert_eq!(code(&output), 3, "{output:#?}");
    for said in [
        r#"no worker is listening on queue "other"; start one with: abaci serve --queue other"#,
        r#"no worker is listening on queue "the third"; start one with: abaci serve --queue 'the third'"#,
    ] {
        let count = output.stderr.iter().filter(|line| *line == said).count();
        assert_eq!(count, 1, "{said:?} is not said once: {output:#?}");
    }
    let last = output.stderr.last().unwrap();
    assert!(
        last.contains("on queue \"other\" for 3s") && last.contains("--queue other"),
        "{last}"
    );
    let _other = rig.server(&["--queue", "other"]);
    // The flag that once said which queue to look at is still taken.
    assert_eq!(code(&rig.run(["wait", "--queue", "fibonacci", &other])), 0);
}

#[test]
fn a_server_that_appears_ends_the_wait_for_one() {
    let rig = Rig::new();
    let submit = Process::spawn(rig.abaci(["submit", "10"]));
    submit.wait_for_line("no worker is listening");
    let _server = rig.server(&[]);
    let output = submit.finish();
    assert_eq!(code(&output), 0, "{output:#?}");
    assert!(output.stdout[0].starts_with("F(10) = 55"), "{output:#?}");
}

#[test]
fn ctrl_c_stops_the_waiting_and_not_the_job() {
    let rig = Rig::new();
    let submit = Process::spawn(rig.abaci(["submit", "10"]));
    submit.wait_for_line("no worker is listening");
    submit.signal(Signal::INT);
    let output = submit.finish();
    assert_eq!(code(&output), 130, "{output:#?}");
    let (_, id) = output.stderr.last().unwrap().rsplit_once("abaci wait ").unwrap();
    let _server = rig.server(&[]);
    assert_eq!(code(&rig.run(["wait", id])), 0);
}

#[test]
fn a_job_that_outlasts_its_timeout_is_cancelled() {
    let rig = Rig::new();
    let _server = rig.server(&[]);
    let output = rig.run([
        "submit",
        "--json",
        "--timeout",
        "300ms",
        "--algorithm",
        "recursive",
        "50",
    ]);
    assert_eq!(code(&output), 1, "{output:#?}");
    assert_eq!(objects(&output)[0]["state"], "cancelled", "{output:#?}");
    // The server must be free again: the computation really stopped.
    assert_eq!(code(&rig.run(["submit", "10"])), 0);
}
