//! What `abaci status` shows to somebody who looks, once or all the time.

use std::time::{Duration, Instant};

use rustix::process::{Pid, kill_process};
use testkit::{Process, Signal, eventually};

use crate::cli::terminal::OnTerminal;
use crate::fleet_rig::{Fleet, signal};
use crate::rig::{Rig, code, objects};

/// Moves the cursor to the first cell; every drawing begins with it.
const HOME: &str = "\u{1b}[H";

/// Erases the rest of a line; every line of a drawing ends with it.
const ERASE_LINE: &str = "\u{1b}[K";

/// Erases all below; every drawing ends with it.
const ERASE_BELOW: &str = "\u{1b}[J";

/// The cell of the worker table in the row of `slot` and under `header`.
#[track_caller]
fn cell(lines: &[String], slot: &str, header: &str) -> String {
    let cells = |line: &str| -> Vec<String> {
        let cells = line.split("  ").map(str::trim);
        cells.filter(|cell| !cell.is_empty()).map(str::to_owned).collect()
    };
    let mut table = lines.iter().map(|line| cells(line));
    let mut next = |first: &str| {
        let row = table.find(|row| row.first().is_some_and(|cell| cell == first));
        row.unwrap_or_else(|| panic!("no row begins with {first:?}: {lines:#?}"))
    };
    let (headers, row) = (next("SLOT"), next(slot));
    let column = headers.iter().position(|name| name == header);
    let column = column.unwrap_or_else(|| panic!("no column is called {header:?}: {lines:#?}"));
    let cell = row.get(column);
    cell.unwrap_or_else(|| panic!("slot {slot} has no {header:?}: {lines:#?}"))
        .clone()
}

/// Kills the worker of slot 0 and waits until another one is in its place.
#[track_caller]
fn replace_by_force(fleet: &Fleet) {
    signal(fleet.pid(0), Signal::KILL);
    fleet.worker_when(0, "back", |worker| {
        worker["restarts"] == 1 && worker["state"] == "idle"
    });
}

#[test]
fn a_killed_worker_shows_in_its_slot_and_in_no_other() {
    let rig = Rig::new();
    let fleet = Fleet::start(&rig, &["--workers", "2"]);
    let killed = fleet.pid(0).to_string();
    let shown = || {
        let output = rig.run(["status"]);
        assert_eq!(code(&output), 0, "{output:#?}");
        output.stdout
    };
    let before = shown();
    assert_eq!(
        (
            cell(&before, "0", "PID"),
            cell(&before, "0", "RESTARTS"),
            cell(&before, "0", "LAST EXIT")
        ),
        (killed, "0".to_owned(), "-".to_owned())
    );

    replace_by_force(&fleet);
    let after = shown();
    assert_eq!(cell(&after, "0", "PID"), fleet.pid(0).to_string());
    assert_eq!(cell(&after, "0", "RESTARTS"), "1", "{after:#?}");
    let last_exit = cell(&after, "0", "LAST EXIT");
    assert!(
        last_exit.starts_with("SIGKILL ") && last_exit.ends_with("s ago"),
        "{last_exit}"
    );
    assert_eq!(
        (cell(&after, "1", "RESTARTS"), cell(&after, "1", "LAST EXIT")),
        ("0".to_owned(), "-".to_owned()),
        "{after:#?}"
    );
}

#[test]
fn a_killed_server_is_gone_at_once_while_its_row_is_there() {
    let rig = Rig::new();
    let mut server = rig.server(&[]);
    server.kill();
    let killed = Instant::now();
    let others = eventually("the end of its count", || {
        let output = rig.run(["status", "--json"]);
        let report = objects(&output).remove(0);
        let is_counted = code(&output) == 0 || report["other_workers"][0]["live"] == true;
        if is_counted {
            Err(report)
        } else {
            Ok(report["other_workers"].clone())
        }
    });
    let took = killed.elapsed();
    assert!(took < Duration::from_secs(2), "it counted for {took:?}");
    assert_eq!(others[0]["pid"], server.pid(), "its row went first: {others}");
    let output = rig.run(["status"]);
    let row = output.stdout.last().unwrap();
    assert!(code(&output) == 1 && row.contains("gone"), "{output:#?}");
    let doctor = rig.run(["doctor"]).stdout.join("\n");
    assert!(doctor.contains("none on queue"), "{doctor}");
}

#[test]
fn doctor_counts_a_worker_only_if_it_takes_jobs() {
    let rig = Rig::new();
    rig.submit(&["10"]);
    for (slot, version, draining) in [("0", "abaci-0", "false"), ("1", fibonacci_jobs::VERSION, "true")] {
        rig.database.psql(&format!(
            "insert into abaci.presence (executor_id, incarnation, host, pid, application_version, queue, concurrency, draining) \
             values ('h/{slot}', 'i{slot}', 'h', 1, '{version}', 'fibonacci', 1, {draining})"
        ));
    }
    let doctor = rig.run(["doctor"]).stdout.join("\n");
    assert!(doctor.contains("none on queue"), "{doctor}");
}

#[test]
fn a_status_that_asks_another_database_than_the_fleets_says_so() {
    let rig = Rig::new();
    let _fleet = Fleet::start(&rig, &["--workers", "1"]);
    let mut command = rig.abaci(["status"]);
    command.env_remove("ABACI_DATABASE_URL");
    let output = Process::spawn(command).finish();
    assert_eq!(code(&output), 3, "{output:#?}");
    let all = output.stdout.join("\n");
    assert!(
        all.contains("1 of 1 workers take jobs") && all.contains("give the same --database-url"),
        "{all}"
    );
}

#[test]
fn a_queue_that_nobody_serves_is_said_to_be_one() {
    let rig = Rig::new();
    let _fleet = Fleet::start(&rig, &["--workers", "1"]);
    rig.submit(&["--queue", "other", "10"]);
    let output = rig.run(["status", "--queue", "other"]);
    assert_eq!(code(&output), 1, "{output:#?}");
    let all = output.stdout.join("\n");
    let said = "; no worker is listening on it; start one with: abaci serve --queue other";
    assert!(all.contains(said) && !all.contains("version"), "{all}");
    let fleet = "1 of 1 workers take jobs of queue \"fibonacci\"";
    assert!(all.contains(fleet), "{all}");
    // There it is the version indeed.
    rig.submit(&["--id", "older", "10", "--queue", "third"]);
    rig.database.psql(
        "update dbos.workflow_status set application_version = 'abaci-0' where workflow_uuid = 'older'",
    );
    let _third = rig.server(&["--queue", "third"]);
    let all = rig.run(["status", "--queue", "third"]).stdout.join("\n");
    assert!(
        all.contains("1 of them of a version or a type that no worker runs"),
        "{all}"
    );
}

#[test]
fn on_a_narrow_terminal_no_line_of_a_status_is_too_long() {
    let rig = Rig::new();
    let _fleet = Fleet::start(&rig, &["--workers", "2"]);
    for columns in [40, 60, 100] {
        let mut command = rig.abaci(["status"]);
        command.env("NO_COLOR", "1");
        let mut status = OnTerminal::with_columns(command, columns);
        assert_eq!(eventually("the end of the status", || status.code()), 0);
        let shown = status.shown();
        let widths = shown.lines().map(|line| line.trim_end().chars().count());
        assert!(
            widths.max() <= Some(usize::from(columns))
                && shown.contains("STATE")
                && !shown.contains('\u{1b}'),
            "{columns} columns: {shown:?}"
        );
    }
}

#[test]
fn a_slot_that_is_somebody_elses_shows_by_whom_it_is_taken() {
    let rig = Rig::new();
    let _fleet = Fleet::start(&rig, &["--workers", "1"]);
    let neighbour = rig.server(&["--slot", "1"]);
    assert_eq!(code(&rig.run(["fleet", "scale", "2"])), 0);
    let holder = format!("/1 is in use by process {}", neighbour.pid());
    eventually("the reason", || {
        let status = rig.run(["status"]);
        let told = status
            .stdout
            .iter()
            .any(|line| line.starts_with("slot 1 ") && line.contains(&holder));
        if told { Ok(()) } else { Err(status) }
    });
}

#[test]
fn on_a_terminal_a_watch_draws_each_look_over_the_last() {
    let rig = Rig::new();
    let fleet = Fleet::start(&rig, &["--workers", "1"]);
    let mut watch = OnTerminal::spawn(rig.abaci(["status", "--watch"]));
    let drawn = || -> Vec<String> {
        let shown = watch.shown();
        let (first, looks) = shown.split_once(HOME).unwrap_or((&shown, ""));
        assert_eq!(first, "", "something was written above the first drawing");
        // What comes after the last end is still being written.
        let whole = looks.rsplit_once(ERASE_BELOW).map_or("", |(whole, _)| whole);
        whole.split(HOME).map(str::to_owned).collect()
    };
    let drawn_so_that = |what: &str, is_so: &dyn Fn(&[String]) -> bool| {
        eventually(what, || {
            let looks = drawn();
            if is_so(&looks) {
                Ok(looks)
            } else {
                Err(watch.shown())
            }
        })
    };
    drawn_so_that("two drawings of a worker that never ended", &|looks| {
        let complete = looks.iter().filter(|look| look.contains("SLOT"));
        complete.filter(|look| !look.contains("SIGKILL")).count() >= 2
    });
    replace_by_force(&fleet);
    let looks = drawn_so_that("a drawing of its end", &|looks| {
        looks.iter().any(|look| look.contains("SIGKILL"))
    });
    for (number, look) in looks.iter().enumerate() {
        let is_last = number + 1 == looks.len();
        // The end of the last one was cut off above.
        let lines = look.strip_suffix(ERASE_BELOW).or(is_last.then_some(look));
        let lines = lines.unwrap_or_else(|| panic!("drawing {number} leaves what is below it: {look:?}"));
        assert!(
            lines.lines().all(|line| line.ends_with(ERASE_LINE)),
            "drawing {number} leaves what is beside it: {look:?}"
        );
    }
    kill_process(Pid::from_raw(watch.pid().cast_signed()).unwrap(), Signal::INT).unwrap();
    assert_eq!(eventually("the end of the watch", || watch.code()), 130);
}

#[test]
fn without_colours_a_watch_draws_in_place_all_the_same() {
    let rig = Rig::new();
    let _fleet = Fleet::start(&rig, &["--workers", "1"]);
    let mut command = rig.abaci(["status", "--watch"]);
    command.env("NO_COLOR", "1");
    let watch = OnTerminal::spawn(command);
    let shown = eventually("two drawings", || {
        let shown = watch.shown();
        if shown.matches(ERASE_BELOW).count() >= 2 {
            Ok(shown)
        } else {
            Err(shown)
        }
    });
    let rest = shown
        .replace(HOME, "")
        .replace(ERASE_LINE, "")
        .replace(ERASE_BELOW, "");
    assert!(shown.starts_with(HOME) && !rest.contains('\u{1b}'), "{shown:?}");
}

#[test]
fn on_a_pipe_a_watch_is_one_plain_look_after_the_other() {
    let rig = Rig::new();
    let _fleet = Fleet::start(&rig, &["--workers", "1"]);
    let watch = Process::spawn(rig.abaci(["status", "--watch"]));
    watch.wait_for_lines("SLOT", 2);
    watch.signal(Signal::INT);
    let output = watch.finish();
    assert_eq!(code(&output), 130, "{output:#?}");
    let all = output.stdout.join("\n");
    assert!(!all.contains(['\u{1b}', '\r']), "{all:?}");
}
