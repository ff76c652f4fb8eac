//! The end of a fleet that is asked to stop: in order, in time, and with nothing left.

use std::process::Command;
use std::time::{Duration, Instant};

use testkit::{Deadline, Listed, Process, Signal, children_of, descendants_of, eventually, is_alive};

use crate::fleet::rig::{
    Fleet, adopt_orphans, await_a_new_wish, await_ends, computing_process, field, is_pending, pid_of, signal,
    signal_all, stop, workers_in,
};
use crate::http;
use crate::rig::{Rig, code, objects};

/// Over two seconds of one core: long enough to be met in the middle.
const LONG: [&str; 3] = ["--algorithm", "recursive", "44"];

#[test]
fn a_fleet_that_drains_is_not_ready_and_finishes_what_runs() {
    let rig = Rig::new();
    let fleet = Fleet::start(&rig, &["--workers", "2"]);
    let id = rig.submit(&LONG).remove(0);
    let busy = fleet.busy_worker();
    let children = children_of(fleet.process.pid());
    fleet.process.signal(Signal::TERM);
    let ready = http::await_status(&fleet.address, "/readyz", 503);
    assert!(ready.body.contains("draining"), "{}", ready.body);
    assert_eq!(fleet.get("/livez").status, 200, "it lives while it drains");
    assert!(is_alive(pid_of(&busy)), "the worker was not given its time");
    let output = fleet.process.finish();
    assert_eq!(code(&output), 0, "{output:#?}");
    for Listed { pid, command, .. } in children {
        assert!(!is_alive(pid), "left over: {command}");
    }
    let result = &objects(&rig.run(["wait", "--json", &id]))[0];
    assert_eq!(
        (&result["value"], &result["pid"]),
        (&"701408733".into(), &busy["pid"])
    );
}

#[test]
fn the_workers_of_a_fleet_drain_side_by_side() {
    let rig = Rig::new();
    let fleet = Fleet::start(&rig, &["--workers", "2"]);
    let ids = rig.submit(&["--algorithm", "recursive", "42", "42"]);
    let busy = fleet.busy_workers(2);
    // Neither job ends before both drains were seen, however slow this machine is.
    let computing: Vec<u32> = busy
        .iter()
        .map(|worker| computing_process(pid_of(worker)))
        .collect();
    signal_all(&computing, Signal::STOP);
    fleet.process.signal(Signal::TERM);
    let answer = fleet.answer_when("both workers drain", |health| {
        let workers = workers_in(health);
        workers.len() == 2 && workers.iter().all(|worker| worker["state"] == "draining")
    });
    assert_eq!(
        (answer.status, &answer.json()["status"]),
        (503, &"draining".into()),
        "{}",
        answer.body
    );
    let ready = fleet.get("/readyz");
    assert_eq!(ready.status, 503, "{}", ready.body);
    assert!(ready.body.contains("draining"), "{}", ready.body);
    signal_all(&computing, Signal::CONT);
    let output = fleet.process.finish();
    assert_eq!(code(&output), 0, "{output:#?}");
    let mut computed_by = Vec::new();
    for id in &ids {
        let result = &objects(&rig.run(["wait", "--json", id]))[0];
        assert_eq!(
            (&result["value"], &result["attempts"]),
            (&"267914296".into(), &1.into()),
            "{result}"
        );
        computed_by.push(result["pid"].clone());
    }
    assert!(
        busy.iter().all(|worker| computed_by.contains(&worker["pid"])),
        "{computed_by:?}"
    );
}

#[test]
fn a_fleets_job_beyond_the_grace_time_goes_to_another_server() {
    let rig = Rig::new();
    let fleet = Fleet::start(&rig, &["--workers", "1", "--grace", "0s"]);
    let id = rig.submit(&LONG).remove(0);
    let busy = fleet.busy_worker();
    // It cannot end before the fleet does, however slow this machine is.
    stop(computing_process(pid_of(&busy)));
    let all = descendants_of(fleet.process.pid());
    let asked = Instant::now();
    let output = fleet.stop();
    assert_eq!(code(&output), 0, "{output:#?}");
    let took = asked.elapsed();
    assert!(
        took < Duration::from_secs(20),
        "as if it had the usual 30 s: {took:?}"
    );
    assert!(
        output
            .stderr
            .iter()
            .any(|line| line.contains("drained") && line.contains("finished=0 handed_back=1")),
        "{output:#?}"
    );
    await_ends(Deadline::after(Duration::from_secs(2)), &all);
    let status = format!("select status from dbos.workflow_status where workflow_uuid = '{id}'");
    assert_eq!(rig.database.psql(&status).trim(), "ENQUEUED");
    let server = rig.server(&[]);
    let result = &objects(&rig.run(["wait", "--json", &id]))[0];
    // To be handed back is no death, and so it does not count.
    assert_eq!(
        (&result["value"], &result["pid"], &result["attempts"]),
        (&"701408733".into(), &server.pid().into(), &1.into()),
        "{result}"
    );
}

#[test]
fn a_second_signal_ends_a_fleet_at_once_and_leaves_nothing() {
    let rig = Rig::new();
    adopt_orphans();
    let fleet = Fleet::start(&rig, &["--workers", "2"]);
    let ids = rig.submit(&["--algorithm", "recursive", "50", "50"]);
    let busy: Vec<u32> = fleet.busy_workers(2).iter().map(pid_of).collect();
    let computing: Vec<u32> = busy.iter().map(|pid| computing_process(*pid)).collect();
    let children = children_of(fleet.process.pid());
    let all = descendants_of(fleet.process.pid());
    assert_eq!(
        (children.len(), all.len()),
        (3, 5),
        "health, two workers, and what computes for each: {all:#?}"
    );
    // Who is stopped cannot act on anything that it is told, nor sees that anyone is gone.
    stop(busy[0]);
    stop(computing[0]);
    fleet.process.signal(Signal::INT);
    fleet.process.wait_for_line("asked to stop");
    await_a_new_wish();
    fleet.process.signal(Signal::INT);
    let output = fleet.process.finish();
    assert_eq!(code(&output), 130, "{output:#?}");
    for Listed { pid, command, .. } in children {
        assert!(!is_alive(pid), "left over: {command}");
    }
    await_ends(Deadline::after(Duration::from_secs(2)), &all);
    for id in &ids {
        assert_eq!(code(&rig.run(["cancel", id])), 0);
    }
}

#[test]
fn a_worker_that_is_killed_while_it_drains_is_in_the_log() {
    let rig = Rig::new();
    let fleet = Fleet::start(&rig, &["--workers", "1"]);
    let id = rig.submit(&["--algorithm", "recursive", "50"]).remove(0);
    let worker = pid_of(&fleet.busy_worker());
    fleet.process.signal(Signal::TERM);
    fleet.worker_in(0, "draining");
    signal(worker, Signal::KILL);
    let output = fleet.process.finish();
    assert_eq!(code(&output), 0, "{output:#?}");
    let ends = |line: &&String| line.contains("ended before it had finished");
    let ends: Vec<_> = output.stderr.iter().filter(ends).collect();
    let [end] = &ends[..] else { panic!("{output:#?}") };
    assert_eq!(
        (field(end, "pid"), field(end, "signal")),
        (worker.to_string(), "SIGKILL".to_owned()),
        "{end}"
    );
    assert_eq!(code(&rig.run(["cancel", &id])), 0);
}

#[test]
fn a_signal_to_every_process_drains_like_one_to_the_supervisor() {
    let rig = Rig::new();
    let fleet = Fleet::start(&rig, &["--workers", "1"]);
    let id = rig.submit(&LONG).remove(0);
    let busy = fleet.busy_worker();
    let children = children_of(fleet.process.pid());
    // As systemd does it unless it is told otherwise.
    fleet.process.signal(Signal::TERM);
    for child in &children {
        signal(child.pid, Signal::TERM);
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
fn a_stopped_worker_does_not_keep_a_fleet_from_stopping() {
    let rig = Rig::new();
    adopt_orphans();
    let fleet = Fleet::start(&rig, &["--workers", "2", "--watchdog", "2s"]);
    let id = rig.submit(&["--algorithm", "recursive", "50"]).remove(0);
    let busy = fleet.busy_worker();
    let computing = computing_process(pid_of(&busy));
    let all = descendants_of(fleet.process.pid());
    assert_eq!(
        all.len(),
        4,
        "health, two workers and what computes for one: {all:#?}"
    );
    stop(pid_of(&busy));
    stop(computing);
    let output = fleet.stop();
    assert_eq!(code(&output), 0, "{output:#?}");
    await_ends(Deadline::after(Duration::from_secs(2)), &all);
    assert_eq!(code(&rig.run(["cancel", &id])), 0);
}

#[test]
fn a_worker_stopped_before_the_drain_finishes_its_job_after_it() {
    let rig = Rig::new();
    let fleet = Fleet::start(&rig, &["--workers", "1"]);
    let id = rig.submit(&LONG).remove(0);
    let busy = fleet.busy_worker();
    let worker = pid_of(&busy);
    stop(worker);
    fleet.process.signal(Signal::TERM);
    eventually("a word to the worker that it cannot take", || {
        is_pending(worker, Signal::TERM)
    });
    signal(worker, Signal::CONT);
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
fn the_two_signals_of_timeout_are_one() {
    for arguments in [
        ["fleet", "--workers", "1", "--health-addr", "none"],
        ["serve", "--slot", "0", "--health-addr", "none"],
    ] {
        let rig = Rig::new();
        let program = rig.abaci(arguments.iter().chain(&["--until-stdin-closes", "--grace", "5m"]));
        let mut command = Command::new("timeout");
        command
            .arg("600")
            .arg(program.get_program())
            .args(program.get_args());
        command.env_clear().envs(
            program
                .get_envs()
                .filter_map(|(name, value)| Some((name, value?))),
        );
        let process = Process::spawn(command).with_deadline(Deadline::after(Duration::from_mins(3)));
        let id = rig.submit(&LONG).remove(0);
        process.wait_for_line("child started");
        // It does now what it does when the time is over: it signals the program, and then the group of the two.
        process.signal(Signal::TERM);
        process.wait_for_line("asked to stop");
        let output = process.finish();
        assert_eq!(code(&output), 0, "{output:#?}");
        let result = &objects(&rig.run(["wait", "--json", &id]))[0];
        assert_eq!(result["value"], "701408733", "{output:#?}");
    }
}
