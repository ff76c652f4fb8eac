//! Looking at jobs and cancelling them, from outside of the process that submitted them.

use serde_json::Value;

use crate::rig::{Rig, assert_refused, code, objects};

fn only(rig: &Rig, arguments: &[&str]) -> Value {
    let output = rig.run(arguments);
    assert_eq!((code(&output), output.stdout.len()), (0, 1), "{output:#?}");
    objects(&output).remove(0)
}

#[test]
fn a_job_is_listed_shown_cancelled_and_listed_again() {
    let rig = Rig::new();
    let id = rig.submit(&["10"]).remove(0);
    let listed = only(&rig, &["list", "--json"]);
    assert_eq!(
        (&listed["workflow_id"], &listed["state"], &listed["n"]),
        (&id.as_str().into(), &"queued".into(), &10.into())
    );
    assert_eq!(only(&rig, &["show", "--json", &id])["state"], "queued");

    let cancelled = rig.run(["cancel", &id]);
    assert_eq!(
        (code(&cancelled), cancelled.stdout),
        (0, vec![format!("cancelled {id}")])
    );
    assert_eq!(
        code(&rig.run(["cancel", &id])),
        0,
        "cancelling twice is as good as once"
    );
    assert_eq!(
        only(&rig, &["list", "--json", "--state", "cancelled"])["workflow_id"],
        id.as_str()
    );
    assert!(
        rig.run(["list", "--json", "--state", "queued,running"])
            .stdout
            .is_empty()
    );
}

#[test]
fn a_job_that_ended_cannot_be_cancelled() {
    let rig = Rig::new();
    let _server = rig.server(&[]);
    assert_eq!(code(&rig.run(["submit", "--id", "done", "10"])), 0);
    assert_refused(&rig.run(["cancel", "done"]), 1, &["done", "succeeded"]);
}

#[test]
fn a_running_job_is_cancelled_and_its_waiter_learns_of_it() {
    let rig = Rig::new();
    let server = rig.server(&[]);
    let id = rig.submit(&["--algorithm", "recursive", "50"]).remove(0);
    server.wait_for_line("job started");
    assert_eq!(code(&rig.run(["cancel", &id])), 0);
    let waited = rig.run(["wait", "--json", &id]);
    assert_eq!(code(&waited), 1);
    assert_eq!(objects(&waited)[0]["state"], "cancelled");
}

#[test]
fn a_job_that_does_not_exist_is_said_to_be_none() {
    let rig = Rig::new();
    assert_refused(
        &rig.run(["show", "nobody"]),
        1,
        &["no job has the id nobody", "abaci list"],
    );
    assert_refused(&rig.run(["cancel", "nobody"]), 1, &["no job has the id nobody"]);
}

#[test]
fn the_steps_of_a_job_are_shown_with_their_times() {
    let rig = Rig::new();
    let _server = rig.server(&[]);
    assert_eq!(code(&rig.run(["submit", "--id", "mine", "100"])), 0);
    let detail = only(&rig, &["show", "--json", "mine"]);
    let names: Vec<&str> = detail["steps"]
        .as_array()
        .unwrap()
        .iter()
        .map(|step| step["name"].as_str().unwrap())
        .collect();
    assert_eq!(names, ["compute", "certify", "publish"]);
    assert_eq!(detail["result"]["value"], "354224848179261915075");

    let shown = rig.run(["show", "mine"]).stdout.join("\n");
    for word in [
        "state        succeeded",
        "value        354224848179261915075",
        "STEP",
        "certify",
    ] {
        assert!(shown.contains(word), "{word:?} is not in:\n{shown}");
    }
}

#[test]
fn a_value_is_printed_with_all_digits_wherever_it_is_kept() {
    let rig = Rig::new();
    let _server = rig.server(&[]);
    assert_eq!(code(&rig.run(["submit", "--id", "small", "100"])), 0);
    assert_eq!(code(&rig.run(["submit", "--id", "large", "100000"])), 0);
    assert_eq!(
        rig.run(["show", "--value", "small"]).stdout,
        ["354224848179261915075"]
    );
    let large = rig.run(["show", "--value", "large"]).stdout;
    assert_eq!((large.len(), large[0].len()), (1, 20_899));
    assert!(large[0].starts_with("25974069347221724166") && large[0].ends_with("49895374653428746875"));
}

#[test]
fn a_job_without_a_value_has_none_to_print() {
    let rig = Rig::new();
    let id = rig.submit(&["10"]).remove(0);
    assert_refused(&rig.run(["show", "--value", &id]), 1, &[&id, "queued"]);
}

#[test]
fn a_list_is_a_table_of_the_newest_jobs() {
    let rig = Rig::new();
    rig.submit(&["1", "2", "3"]);
    let output = rig.run(["list", "--limit", "2"]);
    let columns: Vec<&str> = output.stdout[0].split_whitespace().collect();
    insta::assert_snapshot!("columns_of_list", columns.join("\n"));
    assert_eq!(output.stdout.len(), 3, "{output:#?}");
    assert_eq!(rig.run(["list", "--limit", "0", "--json"]).stdout.len(), 3);
}

#[test]
fn a_list_says_what_it_left_out_and_why_it_is_empty() {
    let rig = Rig::new();
    let said = |arguments: &[&str]| {
        let output = rig.run(["list"].iter().chain(arguments));
        assert_eq!(code(&output), 0, "{output:#?}");
        output.stderr
    };
    assert_eq!(said(&[]), ["no jobs; submit one with: abaci submit 100"]);
    rig.submit(&["1", "2", "3"]);
    for nothing in [&["--state", "failed"][..], &["--parked"], &["--id-prefix", "x"]] {
        assert_eq!(said(nothing), ["no job matches; all of them: abaci list"]);
    }
    for (limit, beginning) in [
        ("1", "1 of 3 jobs; next: --after "),
        ("2", "2 of 3 jobs; next: --after "),
    ] {
        assert!(said(&["--limit", limit])[0].starts_with(beginning));
    }
    assert!(said(&["--limit", "3"]).is_empty());
    assert!(said(&["--limit", "4"]).is_empty());
}

/// Reads a list two jobs at a time, as it says itself where it goes on.
fn leafed(rig: &Rig, selection: &[&str]) -> Vec<String> {
    let (mut ids, mut place) = (Vec::new(), Vec::<String>::new());
    loop {
        let arguments = ["list", "--json", "--limit", "2"].iter().chain(selection);
        let arguments = arguments.map(ToString::to_string).chain(place.iter().cloned());
        let output = rig.run(arguments);
        let jobs = objects(&output);
        ids.extend(
            jobs.iter()
                .map(|job| job["workflow_id"].as_str().unwrap().to_owned()),
        );
        let Some((_, after)) = output.stderr.first().and_then(|said| said.split_once("; next: ")) else {
            assert!(output.stderr.is_empty(), "{output:#?}");
            return ids;
        };
        place = after.split(' ').map(ToOwned::to_owned).collect();
    }
}

#[test]
fn a_list_goes_on_where_it_ended_until_all_were_shown() {
    let rig = Rig::new();
    rig.submit(&["--batch", "b", "--tag", "t", "1", "2", "3", "4", "5", "6", "7"]);
    // Those of one millisecond as well.
    rig.database
        .psql("update dbos.workflow_status set created_at = 1700000000000 where inputs ~ '[2-6]'");
    let all = ["7", "1", "6", "5", "4", "3", "2"].map(|position| format!("b-000000{position}"));
    // The first and the last were submitted after the others.
    for selection in [&[][..], &["--batch", "b"], &["--tag", "t", "--state", "queued"]] {
        assert_eq!(leafed(&rig, selection), all, "{selection:?}");
    }
    assert_eq!(
        leafed(&rig, &["--n", "3..=5"]),
        ["b-0000005", "b-0000004", "b-0000003"]
    );
    assert_refused(
        &rig.run(["list", "--after", "b-0000005"]),
        2,
        &["b-0000005", "--after"],
    );
}

#[test]
fn jobs_of_every_queue_are_listed_and_counted_apart() {
    let rig = Rig::new();
    rig.submit(&["--queue", "other", "10"]);
    assert_eq!(only(&rig, &["list", "--json"])["queue"], "other");
    let waiting = |arguments: &[&str]| {
        let output = rig.run(["doctor", "--json"].iter().chain(arguments));
        let checks = objects(&output);
        let found = checks.iter().find(|check| check["subject"] == "queue").unwrap();
        found["detail"].as_str().unwrap().to_owned()
    };
    assert_eq!(waiting(&[]), "\"fibonacci\": 0 waiting, 0 running");
    assert_eq!(waiting(&["--queue", "other"]), "\"other\": 1 waiting, 0 running");
}

#[test]
fn a_resumed_job_waits_in_its_own_queue_and_in_no_other() {
    let rig = Rig::new();
    let _server = rig.server(&[]);
    let id = rig.submit(&["--queue", "other", "77"]).remove(0);
    assert_eq!(code(&rig.run(["cancel", &id])), 0);
    assert_eq!(only(&rig, &["show", "--json", &id])["queue"], "other");
    let row = rig.run(["list"]).stdout.remove(1);
    assert!(row.contains("other"), "{row}");

    let resumed = rig.run(["resume", &id]);
    assert_eq!(
        (code(&resumed), resumed.stdout, resumed.stderr),
        (0, vec![format!("resumed {id}")], vec![])
    );
    // A job that was submitted later and ended shows that the server has looked at its queue since.
    assert_eq!(code(&rig.run(["submit", "10"])), 0);
    let job = only(&rig, &["show", "--json", &id]);
    assert_eq!(
        (&job["state"], &job["queue"]),
        (&"queued".into(), &"other".into())
    );
    let _other = rig.server(&["--queue", "other"]);
    assert_eq!(code(&rig.run(["wait", &id])), 0);
}

#[test]
fn a_job_whose_queue_nobody_knows_is_resumed_and_told_where() {
    let rig = Rig::new();
    let id = rig.submit(&["--queue", "other", "77"]).remove(0);
    assert_eq!(code(&rig.run(["cancel", &id])), 0);
    rig.database.psql("delete from abaci.former_queues");
    let resumed = rig.run(["resume", "--queue", "third", &id]);
    assert_eq!((code(&resumed), resumed.stdout.len()), (0, 1), "{resumed:#?}");
    let [said] = resumed.stderr.as_slice() else {
        panic!("{resumed:#?}")
    };
    assert!(said.contains(&id) && said.contains("\"third\""), "{said}");
    assert_eq!(only(&rig, &["show", "--json", &id])["queue"], "third");
}
