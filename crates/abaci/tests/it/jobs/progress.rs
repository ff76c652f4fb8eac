//! What is told of a running job to whoever has only the database: by `show`, `show --watch` and `submit`.

use rustix::process::{Pid, kill_process};
use serde_json::Value;
use testkit::{Output, Process, Signal, eventually};

use crate::cli::terminal::OnTerminal;
use crate::rig::{Rig, assert_refused, code, objects};

/// Minutes of one core: long enough to be met in the middle.
const ENDLESS: [&str; 3] = ["--algorithm", "recursive", "50"];

/// Seconds of one core.
const HEAVY: [&str; 3] = ["--algorithm", "recursive", "44"];

fn shown(rig: &Rig, id: &str) -> Value {
    objects(&rig.run(["show", "--json", id])).remove(0)
}

fn watch(rig: &Rig, arguments: &[&str]) -> Process {
    Process::spawn(rig.abaci(["show", "--watch"].iter().chain(arguments)))
}

/// Reads how much is done of the step in a line such as `running   compute 43 %`.
fn percent(line: &str) -> Option<u32> {
    let (_, rest) = line.split_once("compute ")?;
    rest.split_once(" %")?.0.parse().ok()
}

/// Asserts that the last lines are the job as `show` prints it.
#[track_caller]
fn assert_ends_with_detail(output: &Output, state: &str) {
    let job_at = output.stdout.iter().position(|line| line.starts_with("job  "));
    let detail = &output.stdout[job_at.expect("the job is not shown at the end")..];
    assert_eq!(detail[1], format!("state        {state}"), "{output:#?}");
    assert!(!detail.concat().contains("progress"), "{output:#?}");
}

#[test]
fn the_progress_of_a_job_is_shown_and_grows_and_ends_with_it() {
    let rig = Rig::new();
    let _server = rig.server(&[]);
    let id = rig.submit(&ENDLESS).remove(0);
    let look = || shown(&rig, &id)["progress"]["progress"].as_f64();
    let first = eventually("progress", look);
    eventually("more progress", || look().is_some_and(|later| later > first));

    let progress = &shown(&rig, &id)["progress"];
    assert_eq!(
        (&progress["n"], &progress["step"], &progress["attempt"]),
        (&50.into(), &"compute".into(), &1.into()),
        "{progress:#}"
    );
    let lines = rig.run(["show", &id]).stdout;
    let line = lines
        .iter()
        .find(|line| line.starts_with("progress     compute "));
    assert!(line.is_some_and(|line| percent(line).is_some()), "{lines:#?}");

    assert_eq!(code(&rig.run(["cancel", &id])), 0);
    assert_eq!(
        shown(&rig, &id).get("progress"),
        None,
        "a cancelled job makes progress"
    );
    let row = || rig.database.psql("select running from abaci.presence");
    eventually("the job to leave the row of its worker", || row() == "[]");
}

#[test]
fn a_watch_on_a_pipe_prints_what_changes_and_ends_with_the_job() {
    let rig = Rig::new();
    let _server = rig.server(&[]);
    let id = rig.submit(&HEAVY).remove(0);
    let output = watch(&rig, &[&id]).finish();
    assert_eq!(code(&output), 0, "{output:#?}");
    assert_ends_with_detail(&output, "succeeded");
    let seen: Vec<u32> = output.stdout.iter().filter_map(|line| percent(line)).collect();
    assert!(
        seen.len() >= 2 && seen.is_sorted(),
        "no growing progress: {output:#?}"
    );
    let mut lines = output.stdout.clone();
    lines.dedup();
    assert_eq!(lines, output.stdout, "a line was repeated without a change");
    assert!(!output.stdout.concat().contains('\u{1b}'), "{output:#?}");
}

#[test]
fn a_watch_in_json_is_one_object_per_look() {
    let rig = Rig::new();
    let _server = rig.server(&[]);
    let id = rig.submit(&HEAVY).remove(0);
    let output = watch(&rig, &["--json", &id]).finish();
    assert_eq!(code(&output), 0, "{output:#?}");
    let looks = objects(&output);
    let (last, before) = looks.split_last().unwrap();
    assert_eq!(
        (&last["state"], &last["result"]["value"], last.get("progress")),
        (&"succeeded".into(), &"701408733".into(), None)
    );
    assert!(
        before.iter().any(|look| look["progress"]["progress"].is_f64()),
        "{before:#?}"
    );
}

#[test]
fn a_watch_says_who_is_missing_and_goes_on_when_somebody_comes() {
    let rig = Rig::new();
    let id = rig.submit(&["30"]).remove(0);
    let watch = watch(&rig, &[&id]);
    let line = watch.wait_for_line("queued ");
    assert_eq!(
        line,
        "queued    place 1 of 1; no worker is listening on queue \"fibonacci\"; start one with: abaci serve"
    );
    let _server = rig.server(&[]);
    let output = watch.finish();
    assert_eq!(code(&output), 0, "{output:#?}");
    assert_ends_with_detail(&output, "succeeded");
}

#[test]
fn a_watch_of_a_queued_job_says_so_and_its_cancel_is_a_no() {
    let rig = Rig::new();
    let server = rig.server(&[]);
    rig.submit(&ENDLESS);
    server.wait_for_line("job started");
    let id = rig.submit(&["30"]).remove(0);
    let watch = watch(&rig, &[&id]);
    watch.wait_for_line("queued    place 1 of 1 in queue fibonacci; 1 of 1 slots are in use");
    let waits = &shown(&rig, &id)["waits"];
    assert_eq!(
        (
            &waits["reason"],
            &waits["position"],
            &waits["slots"],
            &waits["estimate_seconds"]
        ),
        (&"busy".into(), &1.into(), &1.into(), &Value::Null)
    );
    let shown = rig.run(["show", &id]).stdout;
    let line = "waits        place 1 of 1 in queue fibonacci; 1 of 1 slots are in use";
    assert!(shown.iter().any(|shown| shown == line), "{shown:#?}");
    // It says the same after five seconds.
    let wait = Process::spawn(rig.abaci(["wait", &id]));
    wait.wait_for_line(&format!(
        "job {id} waits: place 1 of 1 in queue fibonacci; 1 of 1 slots are in use"
    ));
    assert_eq!(code(&rig.run(["cancel", &id])), 0);
    let output = watch.finish();
    assert_eq!(code(&output), 1, "{output:#?}");
    assert_ends_with_detail(&output, "cancelled");
}

#[test]
fn an_interrupted_watch_leaves_the_job_alone() {
    let rig = Rig::new();
    let _server = rig.server(&[]);
    let id = rig.submit(&ENDLESS).remove(0);
    let watch = watch(&rig, &[&id]);
    watch.wait_for_line("compute ");
    watch.signal(Signal::INT);
    assert_eq!(code(&watch.finish()), 130);
    assert_eq!(shown(&rig, &id)["state"], "running");
}

#[test]
fn a_job_that_does_not_exist_cannot_be_watched() {
    let rig = Rig::new();
    let output = rig.run(["show", "--watch", "nobody"]);
    assert_refused(&output, 1, &["no job has the id nobody"]);
}

#[test]
fn on_a_terminal_a_watch_is_drawn_in_place() {
    let rig = Rig::new();
    let _server = rig.server(&[]);
    let id = rig.submit(&ENDLESS).remove(0);
    let mut watch = OnTerminal::spawn(rig.abaci(["show", "--watch", &id]));
    eventually("two looks with progress", || {
        let shown = watch.shown();
        let drawn = shown
            .split("\u{1b}[H")
            .filter(|look| look.contains("progress     compute "));
        drawn.count() >= 2
    });
    assert_eq!(code(&rig.run(["cancel", &id])), 0);
    let exit = eventually("the end of the watch", || watch.code());
    assert_eq!(exit, 1);
    eventually("the last look", || {
        let shown = watch.shown();
        let last = shown.rsplit("\u{1b}[H").next().unwrap().to_owned();
        last.contains("state        cancelled") && !last.contains("progress")
    });
}

#[test]
fn on_a_terminal_submit_shows_the_progress_of_the_running_job() {
    let rig = Rig::new();
    let _server = rig.server(&[]);
    let mut submit = OnTerminal::spawn(rig.abaci(["submit"].iter().chain(&ENDLESS)));
    let percents = || {
        let shown = submit.shown();
        let lines: Vec<u32> = shown
            .split('\r')
            .filter(|line| line.contains("0 of 1 done, 1 running, 0 waiting") && line.contains(": F(50) "))
            .filter_map(percent)
            .collect();
        lines
    };
    eventually("growing progress", || {
        let seen = percents();
        seen.last() > seen.first()
    });
    let pid = Pid::from_raw(submit.pid().cast_signed()).unwrap();
    kill_process(pid, Signal::INT).unwrap();
    assert_eq!(eventually("the end of the wait", || submit.code()), 130);
}
