//! Scenarios in a real browser, one test each.

use testkit::Signal;

use super::browser::Scenario;
use super::rig::WebRig;
use crate::fleet_rig::signal;

/// Runs a scenario that needs nobody, on a fleet of one worker.
#[track_caller]
fn passes(name: &str) {
    let rig = WebRig::new();
    rig.fleet(&["--workers", "1"]).scenario(name).passes();
}

#[test]
fn the_frame_of_browser_tests_notices_each_kind_of_fault() {
    Scenario::start("frame", &[]).passes();
}

#[test]
fn a_browser_comes_back_to_a_killed_server_and_hears_the_end() {
    let rig = WebRig::new();
    let web = rig.fleet(&["--workers", "1"]);
    rig.run(&["queue", "pause"]);
    web.fleet.process.wait_for_line("queue is paused");
    rig.run(&["submit", "--detach", "--id", "watched", "100"]);
    let mut scenario = web.scenario("events");
    scenario.asks("kill the web process");
    signal(web.pid, Signal::KILL);
    scenario.answer("killed");
    scenario.asks("let the job end");
    rig.run(&["queue", "resume"]);
    scenario.answer("it may");
    scenario.passes();
}

#[test]
fn whoever_may_change_something_meets_no_view_that_axe_blames() {
    let rig = WebRig::new();
    let web = rig.fleet(&["--workers", "1", "--enable-faults"]);
    web.scenario("audit").passes();
}

#[test]
fn whoever_only_reads_meets_no_view_that_axe_blames() {
    let rig = WebRig::new();
    let web = rig.fleet(&["--workers", "1", "--enable-faults"]);
    web.scenario_as("reader", "audit").passes();
}

#[test]
fn the_keyboard_alone_does_everything() {
    passes("keyboard");
}
