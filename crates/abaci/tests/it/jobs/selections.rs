//! Jobs that a command is about without naming them one by one.

use std::process::Command;

use testkit::{Process, TableLock, eventually};

use crate::rig::{Rig, assert_refused, code, objects};

fn states(rig: &Rig, selection: &[&str]) -> Vec<String> {
    let listed = objects(&rig.run(["list", "--json"].iter().chain(selection)));
    let mut states: Vec<String> = listed
        .iter()
        .map(|job| format!("{} {}", job["n"], job["state"].as_str().unwrap()))
        .collect();
    states.sort();
    states
}

/// Three batches of two jobs, of which one waits with its tag.
fn submitted() -> Rig {
    let rig = Rig::new();
    for (batch, tags, jobs) in [
        ("one", &["--tag", "a"][..], ["10", "11"]),
        ("two", &["--tag", "a", "--tag", "b"], ["20", "21"]),
        ("three", &[], ["30", "31"]),
    ] {
        rig.submit(&[&["--batch", batch][..], tags, &jobs].concat());
    }
    rig
}

#[test]
fn a_list_has_the_jobs_of_a_batch_or_with_all_tags() {
    let rig = submitted();
    let listed = |selection: &[&str]| states(&rig, selection).len();
    assert_eq!(listed(&["--batch", "one"]), 2);
    assert_eq!(listed(&["--tag", "a"]), 4);
    assert_eq!(listed(&["--tag", "a", "--tag", "b"]), 2);
    assert_eq!(listed(&["--batch", "one", "--tag", "b"]), 0);
    assert_eq!(listed(&["--batch", "on"]), 0, "a batch is not a beginning");
    assert_eq!(listed(&[]), 6);
}

#[test]
fn a_batch_is_cancelled_resumed_and_waited_for_as_a_whole() {
    let rig = submitted();
    let two = ["--batch", "two"];
    let dry = rig.run(["cancel", "--dry-run"].iter().chain(&two));
    assert_eq!(dry.stdout, ["two-0000001", "two-0000002"], "{dry:#?}");
    assert_eq!(dry.stderr, ["would cancel 2 jobs"]);
    assert_refused(
        &rig.run(["cancel"].iter().chain(&two)),
        2,
        &["cancel 2 jobs", "--yes"],
    );
    assert_eq!(states(&rig, &two), ["20 queued", "21 queued"]);

    let done = rig.run(["cancel", "--yes"].iter().chain(&two));
    assert_eq!(
        done.stdout,
        ["cancelled two-0000001", "cancelled two-0000002"],
        "{done:#?}"
    );
    let others = ["10 queued", "11 queued", "30 queued", "31 queued"];
    assert_eq!(states(&rig, &["--state", "queued"]), others);
    // An ended job is not cancelled again.
    assert_refused(
        &rig.run(["cancel", "--yes"].iter().chain(&two)),
        1,
        &[
            "no job that matches can be cancelled",
            "queued, delayed or running",
        ],
    );

    let done = rig.run(["resume", "--yes"].iter().chain(&two));
    assert_eq!(
        done.stdout,
        ["resumed two-0000001", "resumed two-0000002"],
        "{done:#?}"
    );
    let wait = Process::spawn(rig.abaci(["wait", "--tag", "b"]));
    let _server = rig.server(&[]);
    let output = wait.finish();
    assert_eq!((code(&output), output.stdout.len()), (0, 2), "{output:#?}");
}

#[test]
fn a_thousand_jobs_are_cancelled_by_their_tag() {
    let rig = Rig::new();
    rig.submit(&[
        "--tag", "big", "--random", "1200", "--range", "1..=9", "--seed", "1",
    ]);
    rig.submit(&["--id", "other", "10"]);
    let output = rig.run(["cancel", "--yes", "--tag", "big"]);
    assert_eq!(
        (code(&output), output.stdout.len()),
        (0, 1200),
        "{:#?}",
        output.stderr
    );
    let left = "select string_agg(workflow_uuid, ' ') from dbos.workflow_status where status <> 'CANCELLED'";
    assert_eq!(rig.database.psql(left).trim(), "other");
}

/// One job of each state, but for a running one.
fn one_of_each() -> Rig {
    let rig = Rig::new();
    let server = rig.server(&[]);
    rig.run(["submit", "--id", "succeeded-1", "10"]);
    rig.run(["submit", "--id", "succeeded-2", "--algorithm", "iterative", "20"]);
    drop(server);
    rig.submit(&["--id", "queued-1", "--queue", "other", "30"]);
    rig.submit(&["--id", "delayed-1", "--delay", "1h", "40"]);
    rig.submit(&["--id", "cancelled-1", "--queue", "other", "50"]);
    rig.run(["cancel", "cancelled-1"]);
    rig.submit(&["--id", "failed-1", "60"]);
    rig.submit(&["--id", "parked-1", "70"]);
    for (id, kind) in [("failed-1", "terminal"), ("parked-1", "parked")] {
        rig.database.psql(&format!(
            r#"update dbos.workflow_status set status = 'ERROR', completed_at = updated_at,
               error = '{{"name":"X","message":"m","data":{{"kind":"{kind}","attempt":1}}}}' where workflow_uuid = '{id}'"#
        ));
    }
    rig
}

#[test]
fn a_list_has_the_jobs_that_every_flag_is_about() {
    let rig = one_of_each();
    let listed = |selection: &[&str]| {
        let jobs = objects(&rig.run(["list", "--json"].iter().chain(selection)));
        let mut ids: Vec<String> = jobs
            .iter()
            .map(|job| job["workflow_id"].as_str().unwrap().to_owned())
            .collect();
        ids.sort();
        ids.join(" ")
    };
    for state in ["queued", "delayed", "failed", "parked", "cancelled"] {
        assert_eq!(listed(&["--state", state]), format!("{state}-1"));
    }
    assert_eq!(listed(&["--parked"]), "parked-1");
    assert_eq!(
        listed(&["--state", "succeeded,failed"]),
        "failed-1 succeeded-1 succeeded-2"
    );
    assert_eq!(listed(&["--queue", "other"]), "cancelled-1 queued-1");
    assert_eq!(listed(&["--queue", "other", "--state", "queued"]), "queued-1");
    assert_eq!(listed(&["--queue", "nobody"]), "");
    assert_eq!(listed(&["--algorithm", "iterative"]), "succeeded-2");
    assert_eq!(listed(&["--n", "20..=40"]), "delayed-1 queued-1 succeeded-2");
    assert_eq!(listed(&["--n", "20..40", "--state", "succeeded"]), "succeeded-2");
    assert_eq!(listed(&["--n", "50"]), "cancelled-1");
    rig.database.psql(
        "update dbos.workflow_status set created_at = created_at - 7200000 where workflow_uuid ~ 'ed-1'",
    );
    assert_eq!(listed(&["--since", "1h"]), "succeeded-2");
    assert_eq!(listed(&["--until", "1h", "--n", "60..=70"]), "failed-1 parked-1");
    assert_eq!(listed(&["--since", "2999-01-01T00:00:00Z"]), "");
    let without_flags = objects(&rig.run(["list", "--json"]));
    for job in without_flags {
        let id = job["workflow_id"].as_str().unwrap();
        assert!(id.starts_with(job["state"].as_str().unwrap()), "{job}");
    }
}

#[test]
fn a_job_is_found_by_a_beginning_that_no_other_has() {
    let rig = one_of_each();
    assert_refused(
        &rig.run(["cancel", "succeeded-"]),
        2,
        &["succeeded-1 and succeeded-2"],
    );
    assert_refused(
        &rig.run(["resume", "succeeded-2"]),
        1,
        &["job succeeded-2 is succeeded"],
    );
    assert_eq!(
        rig.run(["cancel", "que", "delayed-1", "queued"]).stdout,
        ["cancelled queued-1", "cancelled delayed-1"]
    );
    assert_eq!(rig.run(["resume", "parked"]).stdout, ["resumed parked-1"]);
    assert_eq!(code(&rig.run(["verify", "succeeded-2"])), 0);
    assert_refused(
        &rig.run(["verify", "succeeded-"]),
        2,
        &["succeeded-1 and succeeded-2"],
    );
    assert_refused(
        &rig.run(["fork", "succ", "--from-step", "0"]),
        2,
        &["give more of it"],
    );
    // An id that is the beginning of others is of its own job.
    rig.submit(&["--id", "succeeded", "80"]);
    assert_eq!(rig.run(["cancel", "succeeded"]).stdout, ["cancelled succeeded"]);
    assert_refused(&rig.run(["cancel", ""]), 1, &["no job has the id"]);
}

#[test]
fn several_jobs_are_shown_one_after_the_other() {
    let rig = one_of_each();
    let ids = |arguments: &[&str]| {
        let shown = objects(&rig.run(["show", "--json"].iter().chain(arguments)));
        let ids: Vec<String> = shown
            .iter()
            .map(|job| job["workflow_id"].as_str().unwrap().to_owned())
            .collect();
        ids.join(" ")
    };
    assert_eq!(ids(&["queued-1", "failed"]), "queued-1 failed-1");
    assert_eq!(ids(&["--queue", "other"]), "queued-1 cancelled-1");
    let lines = rig.run(["show", "--state", "queued,delayed"]).stdout.join("\n");
    assert!(lines.contains("\n\njob          delayed-1\n"), "{lines}");
    assert_refused(
        &rig.run(["show", "--value", "--state", "succeeded"]),
        2,
        &["<ID> of one job"],
    );
    assert_refused(
        &rig.run(["show", "--watch", "queued-1", "failed-1"]),
        2,
        &["<ID> of one job"],
    );
    assert_refused(&rig.run(["show", "--n", "999"]), 1, &["no job matches"]);
}

#[test]
fn a_list_takes_ids_and_says_which_are_of_no_job() {
    let rig = one_of_each();
    let output = rig.run(["list", "--json", "queued-1", "nobody", "failed"]);
    let ids: Vec<String> = objects(&output)
        .iter()
        .map(|job| job["workflow_id"].as_str().unwrap().to_owned())
        .collect();
    assert_eq!(ids, ["failed-1", "queued-1"]);
    assert_eq!((code(&output), output.stderr.len()), (1, 1), "{output:#?}");
    assert!(output.stderr[0].contains("no job has the id nobody"));
}

#[test]
fn a_bulk_change_goes_on_when_its_reader_has_left() {
    let (rig, lock) = three_thousand();
    drop(lock);
    let mut head = Command::new("bash");
    head.args([
        "-c",
        "\"$0\" cancel --tag big --yes | head -1; exit ${PIPESTATUS[0]}",
        env!("CARGO_BIN_EXE_abaci"),
    ]);
    head.env("ABACI_DATABASE_URL", rig.database.url());
    let output = Process::spawn(head).finish();
    assert_eq!((code(&output), output.stdout.len()), (0, 1), "{output:#?}");
    assert_eq!(counts(&rig), "CANCELLED 3000");
}

#[test]
fn ids_come_from_standard_input_where_it_is_asked_for() {
    let rig = one_of_each();
    let mut cancel = Process::spawn(rig.abaci(["cancel", "-"]));
    for line in ["queued-1", "", "  delayed-1  ", "nobody"] {
        cancel.write_line(line);
    }
    cancel.close_stdin();
    let output = cancel.finish();
    assert_eq!(
        output.stdout,
        ["cancelled queued-1", "cancelled delayed-1"],
        "{output:#?}"
    );
    assert_eq!(
        (code(&output), &output.stderr[..]),
        (
            1,
            &["abaci: no job has the id nobody; see: abaci list".to_owned()][..]
        )
    );
    let mut empty = Process::spawn(rig.abaci(["cancel", "-"]));
    empty.close_stdin();
    assert_refused(&empty.finish(), 2, &["standard input has no ids"]);
}

#[test]
fn a_preview_of_named_jobs_says_which_can_be_changed() {
    let rig = one_of_each();
    let output = rig.run(["cancel", "--dry-run", "queued-1", "failed-1", "nobody"]);
    assert_eq!(
        (code(&output), &output.stdout[..]),
        (1, &["queued-1".to_owned()][..]),
        "{output:#?}"
    );
    let said = output.stderr.join("\n");
    for words in [
        "job failed-1 had ended before: failed",
        "no job has the id nobody",
        "would cancel 1 job",
    ] {
        assert!(said.contains(words), "{words:?} is not in:\n{said}");
    }
    assert_eq!(states(&rig, &["--state", "queued"]), ["30 queued"]);
}

#[test]
fn a_preview_and_its_change_agree_on_a_job_that_is_so_already() {
    let rig = one_of_each();
    for arguments in [
        &["cancel", "--dry-run", "cancelled-1"][..],
        &["cancel", "cancelled-1"],
    ] {
        let output = rig.run(arguments);
        assert_eq!(code(&output), 0, "{arguments:?}: {output:#?}");
    }
}

#[test]
fn a_long_list_of_named_jobs_has_one_header() {
    let rig = Rig::new();
    rig.submit(&[
        "--batch", "b", "--random", "501", "--range", "1..=9", "--seed", "1",
    ]);
    let ids: Vec<String> = (1..=501).map(|number| format!("b-{number:07}")).collect();
    let output = rig.run(["list".to_owned()].iter().chain(&ids));
    assert_eq!(
        (code(&output), output.stdout.len()),
        (0, 502),
        "{:#?}",
        output.stderr
    );
}

#[test]
fn jobs_that_ended_are_deleted_by_selection() {
    let rig = one_of_each();
    let gc = |arguments: &[&str]| rig.run(["gc", "--min-age", "0s"].iter().chain(arguments));
    assert_refused(&gc(&["--state", "failed"]), 2, &["--jobs"]);
    assert_refused(&gc(&["--jobs"]), 2, &["<ID>"]);
    assert_refused(
        &gc(&["--jobs", "--state", "queued", "--yes"]),
        2,
        &["no queued job can be deleted"],
    );
    assert_refused(&gc(&["--jobs", "--n", "0..=99"]), 2, &["delete 5 jobs", "--yes"]);
    assert_refused(&gc(&["--jobs", "queued-1"]), 1, &["job queued-1 is queued"]);
    assert_eq!(states(&rig, &[]).len(), 7, "something was deleted");
    assert!(
        gc(&["--jobs", "--parked", "--dry-run"])
            .stderr
            .concat()
            .contains("would remove 1 job ")
    );
    assert!(
        gc(&["--jobs", "--parked", "--yes"])
            .stderr
            .concat()
            .contains("removed 1 job ")
    );
    let report = objects(&gc(&["--jobs", "--n", "0..=99", "--yes", "--json"]));
    assert_eq!((report.len(), &report[0]["jobs"]), (1, &4.into()));
    assert_eq!(states(&rig, &[]), ["30 queued", "40 delayed"]);
    assert_eq!(
        rig.database
            .psql("select count(*) from dbos.operation_outputs")
            .trim(),
        "0"
    );
}

/// Three thousand jobs with a tag, and one that is locked about half-way.
fn three_thousand() -> (Rig, TableLock) {
    let rig = Rig::new();
    rig.submit(&[
        "--batch", "b", "--tag", "big", "--random", "3000", "--range", "1..=9", "--seed", "1",
    ]);
    let lock = rig
        .database
        .lock_rows("dbos.workflow_status", "workflow_uuid = 'b-0001700'");
    (rig, lock)
}

fn counts(rig: &Rig) -> String {
    let counts = "select string_agg(status || ' ' || jobs, ' ' order by status) from \
         (select status, count(*) as jobs from dbos.workflow_status group by 1) as counts";
    rig.database.psql(counts).trim().to_owned()
}

fn await_a_lock(rig: &Rig) {
    eventually("a statement that waits for the lock", || {
        let waiting = "select count(*) from pg_stat_activity where datname = current_database() and wait_event_type = 'Lock'";
        rig.database.psql(waiting).trim() != "0"
    });
}

#[test]
fn a_killed_bulk_change_is_completed_by_the_same_command() {
    let (rig, lock) = three_thousand();
    let change = |verb: &str| Process::spawn(rig.abaci([verb, "--tag", "big", "--yes"]));
    let mut cancel = change("cancel");
    await_a_lock(&rig);
    cancel.kill();
    drop(lock);
    // A statement that the server had begun before the end of its client is done there as a whole.
    eventually("whole statements", || {
        ["CANCELLED 1500 ENQUEUED 1500", "CANCELLED 2000 ENQUEUED 1000"].contains(&counts(&rig).as_str())
    });
    let output = change("cancel").finish();
    assert!(
        code(&output) == 0 && output.stdout.len() <= 1500,
        "{:#?}",
        output.stderr
    );
    assert_eq!(counts(&rig), "CANCELLED 3000");

    let lock = rig
        .database
        .lock_rows("dbos.workflow_status", "workflow_uuid = 'b-0001700'");
    let mut resume = change("resume");
    await_a_lock(&rig);
    resume.kill();
    drop(lock);
    let output = change("resume").finish();
    assert_eq!(code(&output), 0, "{:#?}", output.stderr);
    eventually("all of them", || counts(&rig) == "ENQUEUED 3000");
}

#[test]
fn two_bulk_changes_at_once_share_the_jobs_out() {
    let (rig, lock) = three_thousand();
    rig.submit(&[
        "--batch", "c", "--tag", "small", "--tag", "big", "--random", "500", "--range", "1..=9", "--seed",
        "1",
    ]);
    let cancel =
        |selection: [&str; 2]| Process::spawn(rig.abaci(["cancel", "--yes"].iter().chain(&selection)));
    let both = [cancel(["--tag", "big"]), cancel(["--batch", "b"])];
    await_a_lock(&rig);
    drop(lock);
    let outputs = both.map(Process::finish);
    let mut named: Vec<&String> = outputs.iter().flat_map(|output| &output.stdout).collect();
    assert!(
        outputs.iter().all(|output| code(output) == 0),
        "{:#?}",
        outputs.map(|output| output.stderr)
    );
    assert_eq!(named.len(), 3500);
    named.sort();
    named.dedup();
    assert_eq!(named.len(), 3500, "both say that they cancelled a job");
    assert_eq!(counts(&rig), "CANCELLED 3500");

    let resume = || Process::spawn(rig.abaci(["resume", "--tag", "big", "--yes"]));
    let outputs = [resume(), resume()].map(Process::finish);
    let mut named: Vec<&String> = outputs.iter().flat_map(|output| &output.stdout).collect();
    assert_eq!(named.len(), 3500, "both say that they resumed a job");
    named.sort();
    named.dedup();
    assert_eq!(named.len(), 3500);
    assert_eq!(counts(&rig), "ENQUEUED 3500");
}

#[test]
fn a_bulk_change_is_of_the_jobs_that_were_counted() {
    let (rig, lock) = three_thousand();
    drop(lock);
    let cancelled = |which: &str| {
        rig.database.psql(&format!(
            "update dbos.workflow_status set status = 'CANCELLED', updated_at = 0 where workflow_uuid {which}"
        ));
    };
    cancelled("like 'b-%'");
    let lock = rig
        .database
        .lock_rows("dbos.workflow_status", "workflow_uuid = 'b-0001700'");
    // Neither a tag nor an open state, whose pages end at the last of them in any case.
    let resume = Process::spawn(rig.abaci(["resume", "--state", "cancelled", "--yes"]));
    await_a_lock(&rig);
    // One that was counted ends, and another one comes that would be in its place.
    rig.database
        .psql("update dbos.workflow_status set status = 'SUCCESS' where workflow_uuid = 'b-0002900'");
    rig.submit(&["--id", "newcomer", "10"]);
    cancelled("= 'newcomer'");
    drop(lock);
    let output = resume.finish();
    assert_eq!(
        (code(&output), output.stdout.len()),
        (0, 2999),
        "{:#?}",
        output.stderr
    );
    assert_eq!(
        output.stderr,
        ["resumed 2999 of 3000 jobs; the others changed meanwhile"]
    );
    assert_eq!(counts(&rig), "CANCELLED 1 ENQUEUED 2999 SUCCESS 1");
}

#[test]
fn many_named_jobs_are_looked_at_and_changed_in_their_order() {
    let (rig, _) = three_thousand();
    let ids = rig
        .database
        .psql("select workflow_uuid from dbos.workflow_status order by md5(workflow_uuid)");
    let with_ids = |arguments: &[&str]| {
        let mut process = Process::spawn(rig.abaci(arguments));
        ids.lines().for_each(|id| process.write_line(id));
        process.close_stdin();
        process.finish()
    };
    let preview = with_ids(&["cancel", "--dry-run", "-"]);
    assert!(
        preview.stdout.iter().map(String::as_str).eq(ids.lines()),
        "{:#?}",
        preview.stderr
    );
    assert_eq!(with_ids(&["cancel", "-"]).stdout.len(), 3000);
    // None of them has to be asked about alone.
    assert_eq!(with_ids(&["cancel", "-"]).stdout.len(), 3000);
}

#[test]
fn a_selection_that_makes_no_sense_is_refused_in_one_line() {
    let rig = submitted();
    for (arguments, exit, word) in [
        (&["cancel"][..], 2, "<ID>"),
        (&["cancel", "x", "--batch", "one"], 2, "--batch"),
        (&["cancel", "x", "--queue", "fibonacci"], 2, "not both"),
        (
            &["cancel", "--batch", "a b", "--yes"],
            2,
            "is not the id of a batch",
        ),
        (&["resume", "--tag", "a\u{1b}[2J", "--yes"], 2, "is not a label"),
        (
            &["resume", "--tag", "a", "--yes"],
            1,
            "no job that matches can be resumed",
        ),
        (&["resume", "--tag", "nobody", "--yes"], 1, "no job matches"),
        (
            &["cancel", "--state", "succeeded", "--yes"],
            2,
            "no succeeded job can be cancelled",
        ),
        (
            &["resume", "--state", "queued", "--yes"],
            2,
            "failed, parked or cancelled",
        ),
        (&["cancel", "--state", "asleep"], 2, "asleep"),
        (&["cancel", "--parked", "--state", "failed"], 2, "--parked"),
        (&["list", "--n", "9..=3"], 2, "9..=3"),
        (&["list", "--n", "many"], 2, "many"),
        (&["list", "--n", "-1"], 2, "-1"),
        (&["list", "--algorithm", "magic"], 2, "magic"),
        (&["list", "--since", "yesterday"], 2, "yesterday"),
        (&["list", "--until", "2026-13-01T00:00:00Z"], 2, "2026-13-01"),
        (&["list", "--after", "somewhere"], 2, "somewhere"),
        (&["list", "--limit", "-1"], 2, "-1"),
        (&["wait", "x", "--state", "queued"], 2, "not both"),
        (&["wait", "--batch", "nobody"], 1, "no job matches"),
        (&["list", "--tag", ""], 2, "--tag"),
    ] {
        assert_refused(&rig.run(arguments), exit, &[word]);
    }
    assert_eq!(states(&rig, &["--state", "queued"]).len(), 6);
}
