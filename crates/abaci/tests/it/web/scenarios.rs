//! Scenarios in a real browser, one test each.

use std::process::Command;

use testkit::{PrivateServer, Signal, TempDir, eventually};

use super::browser::Scenario;
use super::rig::{TOKEN, WebFleet, WebRig};
use crate::fleet_rig::{pid_of, signal, stop};
use crate::http;
use crate::rig::{Program, bare, run};

/// A fleet on a database server of its own, which can be stopped.
struct OutageRig {
    home: TempDir,
    url: String,
}

impl Program for OutageRig {
    fn command(&self, arguments: &[&str]) -> Command {
        let mut command = bare(&self.home, arguments);
        command
            .env("ABACI_DATABASE_URL", &self.url)
            .env("ABACI_WEB_TOKEN", TOKEN);
        command
    }
}

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
fn no_view_of_an_operator_is_blamed_by_axe() {
    let rig = WebRig::new();
    let web = rig.fleet(&["--workers", "1", "--enable-faults"]);
    web.scenario("audit").passes();
}

#[test]
fn no_view_of_a_reader_is_blamed_by_axe() {
    let rig = WebRig::new();
    let web = rig.fleet(&["--workers", "1", "--enable-faults"]);
    web.scenario_as("reader", "audit").passes();
}

#[test]
fn a_form_leads_to_a_job_whose_page_moves_to_its_value() {
    passes("submit");
}

#[test]
fn an_open_job_shows_a_killed_worker_and_the_next_start() {
    let rig = WebRig::new();
    let web = rig.fleet(&["--workers", "2"]);
    let mut scenario = web.scenario("kill");
    scenario.asks("kill its worker");
    let worker = web.fleet.busy_worker();
    signal(pid_of(&worker), Signal::KILL);
    let name = worker["executor_id"].as_str().map(str::to_owned);
    scenario.answer(&name.unwrap_or_else(|| panic!("no name: {worker}")));
    scenario.passes();
}

#[test]
fn a_worker_that_is_stopped_is_shown_as_silent() {
    let rig = WebRig::new();
    let web = rig.fleet(&["--workers", "1"]);
    stop(pid_of(&web.fleet.await_health()["workers"][0]));
    // Its supervisor kills it after ten seconds.
    eventually("a silent worker", || {
        let listed = http::get(web.address(), "/api/v1/workers").json();
        listed["workers"][0]["state"] == "silent"
    });
}

#[test]
fn a_browser_that_is_logged_in_cancels_resumes_and_forks() {
    let rig = WebRig::new();
    let web = rig.fleet(&["--workers", "1"]);
    let mut scenario = web.scenario("change");
    scenario.asks("the address that logs in");
    let mut url = rig.command(&["web", "url"]);
    url.env_remove("ABACI_WEB_ADDR");
    scenario.answer(&run(url).stdout[0]);
    scenario.passes();
}

#[test]
fn a_job_that_ends_under_the_focus_gives_it_to_no_other() {
    let rig = WebRig::new();
    let web = rig.fleet(&["--workers", "1", "--concurrency", "2"]);
    web.scenario("together").passes();
}

#[test]
fn each_tab_shows_what_another_does() {
    passes("tabs");
}

#[test]
fn an_open_page_outlives_its_killed_server() {
    let rig = WebRig::new();
    let web = rig.fleet(&["--workers", "1"]);
    let mut scenario = web.scenario("restart");
    scenario.asks("kill the web process");
    signal(web.pid, Signal::KILL);
    rig.run(&["submit", "77"]);
    scenario.answer("killed");
    scenario.passes();
}

#[test]
fn an_open_page_tells_an_outage_and_goes_on() {
    let mut postgres = PrivateServer::new();
    let rig = OutageRig {
        home: TempDir::new(),
        url: postgres.create_database("jobs"),
    };
    let web = WebFleet::start(&rig, &["--workers", "1"]);
    let mut scenario = web.scenario("outage");
    scenario.asks("stop the database");
    postgres.stop_immediate();
    scenario.answer("stopped");
    scenario.asks("start the database");
    postgres.start();
    scenario.answer("started");
    scenario.passes();
}

#[test]
fn many_jobs_are_changed_after_a_preview_of_them() {
    passes("bulk");
}

#[test]
fn the_keyboard_alone_does_everything() {
    passes("keyboard");
}

#[test]
fn a_browser_without_scripts_does_everything() {
    passes("plain");
}

#[test]
fn no_view_weighs_over_60_kb() {
    passes("weight");
}

#[test]
#[ignore = "it takes a minute of a quiet machine; run it by its name"]
fn an_open_list_follows_five_thousand_jobs_in_a_minute() {
    let rig = WebRig::new();
    let web = rig.fleet(&["--workers", "2", "--concurrency", "4"]);
    let crowd = web.scenario("crowd");
    crowd.passes();
}
