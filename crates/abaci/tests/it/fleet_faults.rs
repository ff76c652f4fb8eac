//! Real signals to the real processes of a fleet: what `/health` says before, during and after, and what the job says.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use abaci_testkit::{Deadline, PrivateServer, Process, Signal, TempDir, eventually, is_alive};
use serde_json::Value;

use crate::fleet_rig::{Fleet, children_of, field, pid_of, signal};
use crate::http;
use crate::rig::{Rig, bare, code, objects, run};

/// Over two seconds of one core: long enough to be met in the middle.
const LONG: [&str; 3] = ["--algorithm", "recursive", "44"];

/// Asks `/livez` again and again until it is stopped, and remembers what was no 200.
struct Watch {
    stop: Arc<AtomicBool>,
    asking: JoinHandle<(usize, Vec<String>)>,
}

impl Watch {
    fn start(address: &str) -> Self {
        let (address, stop) = (address.to_owned(), Arc::new(AtomicBool::new(false)));
        let asking = thread::spawn({
            let stop = Arc::clone(&stop);
            move || {
                let (mut answers, mut others) = (0, Vec::new());
                while !stop.load(Ordering::Relaxed) {
                    let answer = http::get(&address, "/livez");
                    answers += 1;
                    if answer.status != 200 {
                        others.push(answer.body);
                    }
                    // Without a pause it would take the processor from what it watches.
                    thread::sleep(Duration::from_millis(2));
                }
                (answers, others)
            }
        });
        Self { stop, asking }
    }

    /// Asserts that every question was answered with 200.
    #[track_caller]
    fn assert_never_stopped(self) {
        self.stop.store(true, Ordering::Relaxed);
        let (answers, others) = self.asking.join().expect("every question was answered");
        assert!(answers > 10, "only {answers} answers");
        assert!(others.is_empty(), "not alive: {others:#?}");
    }
}

/// Kills the idle worker of slot 0 so often that the pause after the next end is 0.8 s, long enough to be looked at.
#[track_caller]
fn make_the_next_pause_long(fleet: &Fleet) {
    for restarts in 1..=3 {
        signal(fleet.pid(0), Signal::KILL);
        fleet.worker_when(0, "back", |worker| {
            worker["restarts"] == restarts && worker["state"] == "idle"
        });
    }
}

/// What has to hold when the worker of slot 0 ends in the middle of a job, whatever ends it.
#[track_caller]
fn assert_survived(rig: &Rig, fleet: &Fleet, id: &str, killed: u32, signal: &str) {
    let dead = fleet.worker_in(0, "dead");
    assert_eq!(dead["pid"], Value::Null, "{dead}");
    assert_eq!(
        (&dead["last_exit"]["pid"], &dead["last_exit"]["signal"]),
        (&killed.into(), &signal.into()),
        "{dead}"
    );
    assert!(dead["restart_in_seconds"].as_f64().is_some(), "{dead}");
    let health = fleet.get("/health");
    assert_eq!(health.status, 503, "{}", health.body);
    assert_eq!(health.json()["status"], "unhealthy");
    let ready = fleet.get("/readyz");
    assert_eq!(ready.status, 503, "{}", ready.body);
    assert!(ready.body.contains(signal), "{}", ready.body);

    let back = fleet.worker_in(0, "busy");
    assert_ne!(back["pid"], killed, "{back}");
    assert_eq!(
        (&back["restarts"], &back["running"][0]["workflow_id"]),
        (&4.into(), &id.into()),
        "{back}"
    );
    assert_eq!(fleet.get("/readyz").status, 200);
    let result = fleet.result_of(id);
    assert_eq!(
        (&result["value"], &result["attempts"], &result["pid"]),
        (&"701408733".into(), &2.into(), &back["pid"]),
        "{result}"
    );
    fleet.await_health();
    assert_eq!(
        rig.database
            .psql("select count(*) from dbos.workflow_status")
            .trim(),
        "1"
    );
}

/// Whether a process has a handler for SIGSEGV, the eleventh bit of what Linux shows.
fn catches_segv(pid: u32) -> bool {
    let status = std::fs::read_to_string(format!("/proc/{pid}/status")).expect("it runs");
    let caught = status.lines().find_map(|line| line.strip_prefix("SigCgt:"));
    let mask = caught.and_then(|mask| u64::from_str_radix(mask.trim(), 16).ok());
    mask.expect("Linux shows it") & (1 << 10) != 0
}

#[track_caller]
fn assert_survives(deadly: Signal, name: &str) {
    let rig = Rig::new();
    let fleet = Fleet::start(&rig, &["--workers", "1"]);
    let watch = Watch::start(&fleet.address);
    make_the_next_pause_long(&fleet);
    let id = rig.submit(&LONG).remove(0);
    let busy = fleet.busy_worker();
    fleet.await_health();
    signal(pid_of(&busy), deadly);
    if deadly == Signal::SEGV {
        // The first one that no bad access stands behind only takes away the handler that Rust has for stack overflows.
        eventually("the handler's end", || !catches_segv(pid_of(&busy)));
        signal(pid_of(&busy), deadly);
    }
    assert_survived(&rig, &fleet, &id, pid_of(&busy), name);
    watch.assert_never_stopped();
}

#[test]
fn a_worker_killed_by_sigkill_is_told_of_and_its_job_goes_on() {
    assert_survives(Signal::KILL, "SIGKILL");
}

#[test]
fn a_worker_with_a_segmentation_fault_is_told_of_and_its_job_goes_on() {
    assert_survives(Signal::SEGV, "SIGSEGV");
}

#[test]
fn a_worker_that_aborts_is_told_of_and_its_job_goes_on() {
    assert_survives(Signal::ABORT, "SIGABRT");
}

#[test]
fn a_worker_that_is_stopped_is_wedged_then_killed_and_its_job_goes_on() {
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
fn a_worker_that_runs_out_of_memory_is_told_of_and_its_job_goes_on() {
    let rig = Rig::new();
    let fleet = Fleet::start(&rig, &["--workers", "1", "--enable-faults"]);
    let watch = Watch::start(&fleet.address);
    let starved = fleet.pid(0);
    // The worker sets itself a limit of its address space and asks for more; a heavy job would do so in a child.
    let id = rig
        .submit(&["--algorithm", "stepwise", "--fault", "oom@50", "100"])
        .remove(0);
    let back = fleet.worker_when(0, "replaced", |worker| worker["restarts"] == 1);
    let exit = &back["last_exit"];
    assert_eq!(
        (&exit["pid"], &exit["signal"]),
        (&starved.into(), &"SIGABRT".into()),
        "{back}"
    );
    let result = fleet.result_of(&id);
    assert_eq!(
        (&result["value"], &result["attempts"]),
        (&"354224848179261915075".into(), &2.into()),
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
fn a_worker_that_exits_during_its_start_is_told_of_and_tried_again_until_its_job_goes_on() {
    let rig = Rig::new();
    let fleet = Fleet::start(&rig, &["--workers", "1"]);
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
fn a_slot_in_a_crash_loop_is_told_of_while_the_others_work_and_a_reload_revives_it() {
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
fn no_process_is_left_two_seconds_after_the_supervisor_was_killed_and_health_says_so_meanwhile() {
    let rig = Rig::new();
    let mut fleet = Fleet::start(&rig, &["--workers", "3"]);
    let id = rig.submit(&["--algorithm", "recursive", "50"]).remove(0);
    fleet.busy_worker();
    let children = children_of(fleet.process.pid());
    assert_eq!(children.len(), 4, "{children:#?}");
    // One that is stopped cannot act on anything that it is told.
    let stopped = children.iter().find(|(_, command)| command.contains("--slot 2"));
    signal(stopped.unwrap().0, Signal::STOP);
    fleet.process.kill();
    let killed = Instant::now();
    let farewell = fleet.get("/livez");
    assert_eq!(farewell.status, 503, "{}", farewell.body);
    assert!(farewell.body.contains("supervisor"), "{}", farewell.body);
    Deadline::after(Duration::from_secs(2)).eventually("the end of all processes", || {
        let left: Vec<_> = children.iter().filter(|(pid, _)| is_alive(*pid)).collect();
        if left.is_empty() {
            Ok(())
        } else {
            Err(format!("{left:#?} after {:?}", killed.elapsed()))
        }
    });
    // Nothing of the old fleet is in the way of a new one.
    let second = Fleet::start(&rig, &["--workers", "3"]);
    assert_eq!(second.busy_worker()["running"][0]["workflow_id"], id.as_str());
    assert_eq!(code(&rig.run(["cancel", &id])), 0);
}

#[test]
fn a_stopped_health_process_wakes_up_and_ends_when_the_supervisor_was_killed() {
    let rig = Rig::new();
    let mut fleet = Fleet::start(&rig, &["--workers", "1"]);
    let health = u32::try_from(fleet.health()["pid"].as_u64().unwrap()).unwrap();
    signal(health, Signal::STOP);
    // Longer than between two of its heartbeats, so that it wakes up to both: one to send, and nobody to send it to.
    thread::sleep(Duration::from_secs(1));
    fleet.process.kill();
    Deadline::after(Duration::from_secs(2)).eventually("its end", || !is_alive(health));
}

#[test]
fn a_killed_health_process_is_replaced_on_its_port_and_the_workers_do_not_notice() {
    let rig = Rig::new();
    let fleet = Fleet::start(&rig, &["--workers", "1"]);
    let before = fleet.health();
    signal(
        u32::try_from(before["pid"].as_u64().unwrap()).unwrap(),
        Signal::KILL,
    );
    // The port was never free, so the very next question waits for an answer instead of being refused.
    let after = eventually("an answer of another process", || {
        let after = fleet.health();
        if after["pid"] == before["pid"] {
            Err(after)
        } else {
            Ok(after)
        }
    });
    assert_eq!(
        (
            &after["health"]["restarts"],
            &after["health"]["last_exit"]["signal"]
        ),
        (&1.into(), &"SIGKILL".into()),
        "{after}"
    );
    assert_eq!(after["workers"][0]["pid"], before["workers"][0]["pid"], "{after}");
    assert_eq!(after["workers"][0]["restarts"], 0, "{after}");
}

#[test]
fn a_stopped_health_process_is_killed_and_replaced() {
    let rig = Rig::new();
    let fleet = Fleet::start(&rig, &["--workers", "1", "--watchdog", "2s"]);
    let before = fleet.health();
    signal(
        u32::try_from(before["pid"].as_u64().unwrap()).unwrap(),
        Signal::STOP,
    );
    fleet.process.wait_for_line("killing the health process");
    fleet.process.wait_for_lines("health process started", 2);
    let after = fleet.health();
    assert_ne!(after["pid"], before["pid"]);
    assert_eq!(after["workers"][0]["pid"], before["workers"][0]["pid"], "{after}");
}

#[test]
fn a_supervisor_that_was_stopped_is_told_of_and_blames_nobody_when_it_goes_on() {
    let rig = Rig::new();
    let fleet = Fleet::start(&rig, &["--workers", "2", "--watchdog", "3s"]);
    let before = fleet.health();
    fleet.process.signal(Signal::STOP);
    eventually("a health process that says so", || {
        let live = fleet.get("/livez");
        if live.status == 503 {
            Ok(())
        } else {
            Err(live.body)
        }
    });
    let health = fleet.health();
    assert_eq!(health["workers"][0]["state"], "unknown", "{health}");
    assert_eq!(health["status"], "unhealthy", "{health}");
    fleet.process.signal(Signal::CONT);
    let after = fleet.await_health();
    for slot in 0..2 {
        assert_eq!(
            after["workers"][slot]["pid"], before["workers"][slot]["pid"],
            "{after}"
        );
    }
}

#[test]
fn a_whole_fleet_that_was_stopped_goes_on_and_nobody_is_blamed() {
    let rig = Rig::new();
    let fleet = Fleet::start(&rig, &["--workers", "2", "--watchdog", "1s"]);
    let before = fleet.await_health();
    let all: Vec<u32> = children_of(fleet.process.pid())
        .into_iter()
        .map(|(pid, _)| pid)
        .collect();
    let stop_or_go = |deed: Signal| all.iter().for_each(|pid| signal(*pid, deed));
    fleet.process.signal(Signal::STOP);
    stop_or_go(Signal::STOP);
    // Longer than any patience with a worker whose heartbeat does not get through: the subject of the test.
    thread::sleep(Duration::from_secs(9));
    fleet.process.signal(Signal::CONT);
    stop_or_go(Signal::CONT);
    fleet.process.wait_for_line("nobody is blamed");
    let after = fleet.await_health();
    for slot in 0..2 {
        let (was, is) = (&before["workers"][slot], &after["workers"][slot]);
        assert_eq!((&is["pid"], &is["restarts"]), (&was["pid"], &0.into()), "{after}");
    }
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

#[test]
fn a_signal_to_every_process_of_a_fleet_drains_it_like_one_to_the_supervisor() {
    let rig = Rig::new();
    let fleet = Fleet::start(&rig, &["--workers", "1"]);
    let id = rig.submit(&LONG).remove(0);
    let busy = fleet.busy_worker();
    let children = children_of(fleet.process.pid());
    // As systemd does it unless it is told otherwise.
    fleet.process.signal(Signal::TERM);
    for (pid, _) in &children {
        signal(*pid, Signal::TERM);
    }
    let output = fleet.process.finish();
    assert_eq!(code(&output), 0, "{output:#?}");
    let result = &objects(&rig.run(["wait", "--json", &id]))[0];
    assert_eq!(
        (&result["value"], &result["pid"], &result["attempts"]),
        (&"701408733".into(), &busy["pid"], &1.into()),
        "{result}"
    );
}

#[test]
fn a_fleet_whose_log_nobody_reads_any_more_goes_on() {
    let rig = Rig::new();
    let mut command = rig.abaci([
        "fleet",
        "--health-addr",
        "none",
        "--workers",
        "1",
        "--until-stdin-closes",
    ]);
    let (log, end_of_log) = std::io::pipe().unwrap();
    let (end_of_stdin, stdin) = std::io::pipe().unwrap();
    command.stdin(end_of_stdin).stderr(end_of_log);
    let mut fleet = command.spawn().unwrap();
    drop(command);
    eventually("a worker", || code(&rig.run(["status"])) == 0);
    drop(log);
    let workers = children_of(fleet.id());
    signal(workers[0].0, Signal::KILL);
    assert_eq!(code(&rig.run(["submit", "10"])), 0, "it did not outlive its log");
    drop(stdin);
    eventually("its end in order", || {
        fleet.try_wait().unwrap().is_some_and(|end| end.success())
    });
}

#[test]
fn a_stopped_worker_does_not_keep_a_fleet_from_stopping() {
    let rig = Rig::new();
    let fleet = Fleet::start(&rig, &["--workers", "2", "--watchdog", "2s"]);
    signal(fleet.pid(1), Signal::STOP);
    let output = fleet.stop();
    assert_eq!(code(&output), 0, "{output:#?}");
}

#[test]
fn a_database_that_is_away_for_twenty_seconds_is_told_of_and_outlasted_without_a_restart() {
    let mut database = PrivateServer::new();
    let (url, home) = (database.create_database("jobs"), TempDir::new());
    let abaci = |arguments: &[&str]| {
        let mut command = bare(&home, arguments);
        command.env("ABACI_DATABASE_URL", &url);
        command
    };
    let fleet = Process::spawn(abaci(&[
        "fleet",
        "--workers",
        "2",
        "--health-addr",
        "127.0.0.1:0",
    ]));
    let address = field(&fleet.wait_for_line("health process started"), "address");
    fleet.wait_for_line("fleet ready");
    let before = http::get(&address, "/health").json();
    let watch = Watch::start(&address);
    let submitted = run(abaci(&["submit", "--detach", "--algorithm", "recursive", "47"]));
    fleet.wait_for_line("job started");
    database.stop_immediate();
    let gone = Instant::now();
    let ready = eventually("a fleet that is not ready", || {
        let ready = http::get(&address, "/readyz");
        if ready.status == 503 {
            Ok(ready)
        } else {
            Err(ready.body)
        }
    });
    assert!(ready.body.contains("database"), "{}", ready.body);
    // The length of the outage is the subject of the test.
    thread::sleep(Duration::from_secs(20).saturating_sub(gone.elapsed()));
    let during = http::get(&address, "/health");
    assert_eq!(
        (during.status, during.json()["database"]["status"].clone()),
        (503, "unreachable".into())
    );
    database.start();
    eventually("a fleet that is ready again", || {
        let ready = http::get(&address, "/readyz");
        if ready.status == 200 {
            Ok(())
        } else {
            Err(ready.body)
        }
    });
    watch.assert_never_stopped();
    let output = run(abaci(&["wait", "--json", &submitted.stdout[0]]));
    assert_eq!(code(&output), 0, "{output:#?}");
    assert_eq!(objects(&output)[0]["value"], "2971215073");
    let after = http::get(&address, "/health").json();
    for slot in 0..2 {
        let (was, is) = (&before["workers"][slot], &after["workers"][slot]);
        assert_eq!((&is["pid"], &is["restarts"]), (&was["pid"], &0.into()), "{after}");
    }
}
