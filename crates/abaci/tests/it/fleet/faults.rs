//! Real signals to the real processes of a fleet: what `/health` says before, during and after, and what the job says.

use std::num::NonZero;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::Duration;

use serde_json::Value;
use testkit::{Deadline, Process, Signal};

use crate::fleet::rig::{Fleet, Watch, end_by, field, pid_of, signal, workers_in};
use crate::rig::{Rig, code, objects};

/// Over two seconds of one core: long enough to be met in the middle.
const LONG: [&str; 3] = ["--algorithm", "recursive", "44"];

/// A fleet of one worker that may end as often as it likes.
const PATIENT: [&str; 4] = ["--workers", "1", "--max-restarts", "100"];

/// Kills the idle worker of slot 0 so often that the pause after the next end is 1.6 s, long enough to be looked at;
/// returns the processes.
#[track_caller]
fn make_the_next_pause_long(fleet: &Fleet) -> Vec<u32> {
    let kill = |restarts: u32| {
        let pid = fleet.pid(0);
        signal(pid, Signal::KILL);
        fleet.worker_when(0, "back", |worker| {
            worker["restarts"] == restarts && worker["state"] == "idle"
        });
        pid
    };
    (1..=4).map(kill).collect()
}

/// Asserts what is logged when the process of slot 0 has ended, and when another one is there; returns the latter.
#[track_caller]
fn assert_told_of(fleet: &Fleet, killed: &Value, signal: &str) -> Value {
    // One answer for all: by the next one the worker may be back.
    let answer = fleet.answer_when("an answer that shows the end", |health| {
        health["workers"][0]["state"] == "dead"
    });
    let health = answer.json();
    let dead = &health["workers"][0];
    assert_eq!(
        (&dead["pid"], &dead["executor_id"]),
        (&Value::Null, &killed["executor_id"]),
        "{dead}"
    );
    assert_eq!(
        (&dead["last_exit"]["pid"], &dead["last_exit"]["signal"]),
        (&killed["pid"], &signal.into()),
        "{dead}"
    );
    assert!(dead["restart_in_seconds"].as_f64().is_some(), "{dead}");
    assert_eq!((answer.status, &health["status"]), (503, &"unhealthy".into()));
    let reason = health["reasons"][0].as_str().unwrap_or_default();
    assert!(
        reason.starts_with("no worker takes jobs: worker 0 is dead") && reason.contains(signal),
        "{health}"
    );
    let ready = fleet.get("/readyz");
    let has_gone_on = ready.status == 200 || ready.body.contains("starting");
    assert!(has_gone_on || ready.body.contains(signal), "{}", ready.body);

    let back = fleet.worker_when(0, "replaced", |worker| {
        worker["state"] == "idle" || worker["state"] == "busy"
    });
    assert_ne!(back["pid"], killed["pid"], "{back}");
    assert_eq!(
        (&back["restarts"], &back["executor_id"]),
        (&5.into(), &killed["executor_id"]),
        "{back}"
    );
    assert_eq!(fleet.get("/readyz").status, 200);
    back
}

/// Asserts what is in the log of a fleet of one worker, whose processes were these, when all but the last have ended by
/// themselves.
#[track_caller]
fn assert_logged_once(log: &[String], processes: &[u32]) {
    let pids_of = |what: &str| -> Vec<String> {
        let lines = log.iter().filter(|line| line.contains(what));
        lines.map(|line| field(line, "pid")).collect()
    };
    let started: Vec<String> = processes.iter().map(u32::to_string).collect();
    assert_eq!(pids_of("worker started"), started, "{log:#?}");
    assert_eq!(pids_of("worker ended"), started[..started.len() - 1], "{log:#?}");
}

#[track_caller]
fn assert_survives(deadly: Signal, name: &str) {
    let rig = Rig::new();
    let fleet = Fleet::start(&rig, &PATIENT);
    let watch = Watch::start(&fleet.address);
    let mut processes = make_the_next_pause_long(&fleet);
    let id = rig.submit(&LONG).remove(0);
    let busy = fleet.busy_worker();
    fleet.await_health();
    end_by(pid_of(&busy), deadly);
    let back = assert_told_of(&fleet, &busy, name);
    let again = fleet.worker_in(0, "busy");
    assert_eq!(
        (&again["pid"], &again["running"][0]["workflow_id"]),
        (&back["pid"], &id.as_str().into()),
        "{again}"
    );
    let result = fleet.result_of(&id);
    assert_eq!(
        (&result["value"], &result["attempts"], &result["pid"]),
        (&"701408733".into(), &2.into(), &back["pid"]),
        "{result}"
    );
    fleet.await_health();
    watch.assert_never_stopped();
    assert_eq!(
        rig.database
            .psql("select count(*) from dbos.workflow_status")
            .trim(),
        "1"
    );
    processes.extend([pid_of(&busy), pid_of(&back)]);
    let output = fleet.stop();
    assert_eq!(code(&output), 0, "{output:#?}");
    assert_logged_once(&output.stderr, &processes);
}

#[test]
fn a_worker_killed_by_sigkill_is_told_of_and_its_job_goes_on() {
    assert_survives(Signal::KILL, "SIGKILL");
}

#[test]
fn a_segmentation_fault_is_reported_and_the_job_goes_on() {
    assert_survives(Signal::SEGV, "SIGSEGV");
}

#[test]
fn a_worker_that_aborts_is_told_of_and_its_job_goes_on() {
    assert_survives(Signal::ABORT, "SIGABRT");
}

#[test]
fn a_stopped_worker_is_wedged_then_killed_and_its_job_goes_on() {
    let rig = Rig::new();
    let fleet = Fleet::start(&rig, &["--workers", "1", "--watchdog", "3s"]);
    let watch = Watch::start(&fleet.address);
    let id = rig.submit(&LONG).remove(0);
    let busy = fleet.busy_worker();
    signal(pid_of(&busy), Signal::STOP);
    let wedged = fleet.worker_in(0, "wedged");
    assert_eq!(wedged["pid"], busy["pid"], "{wedged}");
    assert!(
        wedged["heartbeat_age_seconds"].as_f64().unwrap() >= 1.0,
        "{wedged}"
    );
    let ready = fleet.get("/readyz");
    assert_eq!(
        (ready.status, ready.body.contains("wedged")),
        (503, true),
        "{}",
        ready.body
    );
    let back = fleet.worker_when(0, "replaced", |worker| {
        worker["state"] == "busy" && worker["pid"] != busy["pid"]
    });
    let exit = &back["last_exit"];
    assert_eq!(
        (&exit["pid"], &exit["signal"]),
        (&busy["pid"], &"SIGKILL".into()),
        "{back}"
    );
    assert!(
        exit["reason"].as_str().unwrap().contains("no heartbeat"),
        "{back}"
    );
    assert_eq!(fleet.result_of(&id)["value"], "701408733");
    watch.assert_never_stopped();
}

#[test]
fn an_end_for_want_of_memory_is_reported_and_the_job_goes_on() {
    let rig = Rig::new();
    let fleet = Fleet::start(&rig, &[PATIENT.as_slice(), &["--enable-faults"]].concat());
    let watch = Watch::start(&fleet.address);
    make_the_next_pause_long(&fleet);
    let starved = fleet.worker(0);
    // The worker sets itself a limit of its memory and asks for more; a heavy job would do so in a child.
    let id = rig
        .submit(&["--algorithm", "stepwise", "--fault", "oom@50", "100"])
        .remove(0);
    let back = assert_told_of(&fleet, &starved, "SIGABRT");
    let result = fleet.result_of(&id);
    assert_eq!(
        (&result["value"], &result["attempts"], &result["pid"]),
        (&"354224848179261915075".into(), &2.into(), &back["pid"]),
        "{result}"
    );
    assert!(
        fleet
            .process
            .stderr()
            .iter()
            .any(|line| line.contains("memory allocation")),
        "it ended for another reason: {:#?}",
        fleet.process.stderr()
    );
    watch.assert_never_stopped();
}

#[test]
fn a_job_runs_again_three_seconds_after_its_workers_death() {
    let rig = Rig::new();
    let fleet = Fleet::start(&rig, &["--workers", "1"]);
    let id = rig.submit(&["--algorithm", "recursive", "50"]).remove(0);
    let busy = fleet.busy_worker();
    signal(pid_of(&busy), Signal::KILL);
    // The goal is one second, and the benchmark measures it; this is a slower build on a machine that has more to do.
    Deadline::after(Duration::from_secs(3)).eventually("the job to run again", || {
        let worker = fleet.worker(0);
        let job = &worker["running"][0];
        let runs_again = worker["state"] == "busy"
            && worker["pid"] != busy["pid"]
            && (&job["workflow_id"], &job["step"]) == (&id.as_str().into(), &"compute".into());
        if runs_again { Ok(()) } else { Err(worker) }
    });
    assert_eq!(fleet.worker(0)["executor_id"], busy["executor_id"]);
    assert_eq!(code(&rig.run(["cancel", &id])), 0);
}

#[test]
fn an_only_worker_in_a_crash_loop_makes_a_fleet_not_ready() {
    let rig = Rig::new();
    let fleet = Fleet::start(&rig, &["--workers", "1", "--max-restarts", "0"]);
    let killed = fleet.pid(0);
    signal(killed, Signal::KILL);
    let looping = fleet.worker_in(0, "crash-loop");
    assert_eq!(
        (&looping["pid"], &looping["last_exit"]["pid"]),
        (&Value::Null, &killed.into()),
        "{looping}"
    );
    // It stays like that for seconds, since nobody else takes jobs.
    let ready = fleet.get("/readyz");
    assert_eq!(ready.status, 503, "{}", ready.body);
    assert!(
        ready
            .body
            .contains("no worker takes jobs: worker 0 is in a crash loop (SIGKILL), restarted in"),
        "{}",
        ready.body
    );
    assert_eq!(fleet.get("/livez").status, 200);
    let restart_in = looping["restart_in_seconds"].as_f64().unwrap();
    assert!(restart_in <= 5.0, "a queue stands for {restart_in} s");
    fleet.worker_in(0, "idle");
}

/// Threads of this process that compute nothing, and that for as long as this lives.
struct Burning(Arc<AtomicBool>);

impl Burning {
    fn begin(threads: usize) -> Self {
        let is_over = Arc::new(AtomicBool::new(false));
        for _ in 0..threads {
            let is_over = Arc::clone(&is_over);
            thread::spawn(move || while !is_over.load(Ordering::Relaxed) {});
        }
        Self(is_over)
    }
}

impl Drop for Burning {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Relaxed);
    }
}

#[test]
fn a_worker_on_a_busy_processor_does_not_count_as_wedged() {
    let rig = Rig::new();
    let processors = thread::available_parallelism().map_or(1, NonZero::get);
    let concurrency = (processors + 1).to_string();
    // The shortest watchdog that there is.
    let fleet = Fleet::start(
        &rig,
        &[
            "--workers",
            "2",
            "--watchdog",
            "1s",
            "--concurrency",
            &concurrency,
        ],
    );
    let before = fleet.await_health();
    let _burning = Burning::begin(2 * processors);
    let mut submit = vec!["--algorithm", "recursive"];
    submit.resize(submit.len() + 4 * processors, "40");
    let ids = rig.submit(&submit);
    for id in &ids {
        let result = fleet.result_of(id);
        assert_eq!(
            (&result["value"], &result["attempts"]),
            (&"102334155".into(), &1.into()),
            "{result}"
        );
    }
    let after = workers_in(&fleet.health());
    for (is, was) in after.iter().zip(workers_in(&before)) {
        assert_eq!(
            (&is["pid"], &is["restarts"], &is["last_exit"]),
            (&was["pid"], &0.into(), &Value::Null),
            "{is}"
        );
    }
}

/// Makes every start in one slot fail, after the worker has reached the database.
fn break_starts(rig: &Rig, slot: u32) {
    rig.database.psql(&format!(
        "create function refuse() returns trigger language plpgsql as 'begin raise exception ''not today''; end'; \
         create trigger refuse before insert on abaci.presence for each row \
         when (new.executor_id like '%/{slot}') execute function refuse()"
    ));
}

fn mend_starts(rig: &Rig) {
    rig.database
        .psql("drop trigger refuse on abaci.presence; drop function refuse");
}

#[test]
fn a_worker_that_exits_at_its_start_is_tried_again() {
    let rig = Rig::new();
    // However long the mend takes, it is no crash loop, which would be tried again after a minute only.
    let fleet = Fleet::start(&rig, &PATIENT);
    let watch = Watch::start(&fleet.address);
    let id = rig.submit(&LONG).remove(0);
    let busy = fleet.busy_worker();
    break_starts(&rig, 0);
    signal(pid_of(&busy), Signal::KILL);
    let failing = fleet.worker_when(0, "failing", |worker| worker["last_exit"]["code"] == 3);
    assert!(
        failing["last_exit"]["reason"]
            .as_str()
            .unwrap()
            .contains("not today"),
        "{failing}"
    );
    assert_eq!(fleet.get("/readyz").status, 503);
    mend_starts(&rig);
    let result = fleet.result_of(&id);
    assert_eq!(
        (&result["value"], &result["attempts"]),
        (&"701408733".into(), &2.into()),
        "{result}"
    );
    watch.assert_never_stopped();
}

#[test]
fn a_reload_revives_a_slot_in_a_crash_loop() {
    let rig = Rig::new();
    let fleet = Fleet::start(&rig, &["--workers", "2", "--max-restarts", "3"]);
    let other = fleet.pid(0);
    break_starts(&rig, 1);
    signal(fleet.pid(1), Signal::KILL);
    let looping = fleet.worker_in(1, "crash-loop");
    assert_eq!(looping["last_exit"]["code"], 3, "{looping}");
    assert!(
        looping["restart_in_seconds"].as_f64().unwrap() > 30.0,
        "{looping}"
    );
    let health = fleet.get("/health");
    assert_eq!(
        (health.status, health.json()["status"].clone()),
        (200, "degraded".into()),
        "{}",
        health.body
    );
    assert_eq!(fleet.get("/readyz").status, 200, "one worker is enough");
    let output = rig.run(["submit", "--json", "10", "100", "1000"]);
    assert_eq!(code(&output), 0, "{output:#?}");
    assert!(
        objects(&output).iter().all(|result| result["pid"] == other),
        "{output:#?}"
    );
    mend_starts(&rig);
    assert_eq!(code(&rig.run(["fleet", "reload"])), 0);
    assert_eq!(fleet.worker(1)["state"], "idle");
    fleet.await_health();
}

#[test]
fn a_client_outwaits_a_fleet_that_restarts_its_worker() {
    let rig = Rig::new();
    let fleet = Fleet::start(&rig, &["--workers", "1", "--max-restarts", "1"]);
    break_starts(&rig, 0);
    signal(fleet.pid(0), Signal::KILL);
    fleet.worker_in(0, "crash-loop");
    // Nobody's absence would be waited out for so short a time.
    let client = Process::spawn(rig.abaci(["submit", "--wait-for-server", "100ms", "10"]));
    let notice = client.wait_for_line("has no worker that takes jobs now");
    for words in [
        &format!("the fleet of process {}", fleet.process.pid()),
        "the last one ended by exit code 3",
        "not today",
    ] {
        assert!(notice.contains(words), "{words:?} is not in: {notice}");
    }
    mend_starts(&rig);
    let output = client.finish();
    assert_eq!(code(&output), 0, "{output:#?}");
}

#[test]
fn a_client_gives_up_when_no_fleet_is_left() {
    let rig = Rig::new();
    let fleet = Fleet::start(&rig, &["--workers", "1"]);
    assert_eq!(code(&fleet.stop()), 0);
    let output = rig.run(["submit", "--wait-for-server", "100ms", "10"]);
    assert_eq!(code(&output), 3, "{output:#?}");
}

#[test]
fn a_wedged_worker_costs_the_supervisor_no_processor_time() {
    let rig = Rig::new();
    let fleet = Fleet::start(&rig, &["--workers", "1", "--watchdog", "6s"]);
    signal(fleet.pid(0), Signal::STOP);
    fleet.worker_in(0, "wedged");
    let before = ticks(fleet.process.pid());
    fleet.process.wait_for_line("killing a worker");
    let spent = ticks(fleet.process.pid()) - before;
    // About four seconds, of which a loop without a pause would use a good part.
    assert!(spent < 50, "{spent} ticks of 10 ms");
}

/// The processor time of a process so far, in hundredths of a second.
fn ticks(pid: u32) -> u64 {
    let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).expect("it runs");
    let (_, fields) = stat.rsplit_once(')').expect("it has a name");
    let times = fields.split_whitespace().skip(11).take(2);
    times
        .map(|time| time.parse::<u64>().expect("it is a number"))
        .sum()
}
