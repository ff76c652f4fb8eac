//! The views as HTML, without a script and without a database; in one file, since all are drawn from the same few rows.

use askama::Template;
use durable_jobs::client::{Ended, QueueInfo, Throughput, Waiting};
use durable_jobs::record::{
    Attempt, AttemptEnd, AttemptEndKind, Details, Job, JobDetail, StepRecord, WaitReason,
};
use durable_jobs::{Failure, JobId, State};

use super::assets::{SCRIPT, STYLE};
use super::bulk::Offer;
use super::chart::Chart;
use super::frame::Frame;
use super::health::Situation;
use super::job::SeenJob;
use super::list::{JobsPage, SearchForm};
use super::overview::OverviewPage;
use super::rows::{CardJob, JobRow, Share, WorkerCard, job_path};
use super::timeline::Start;
use crate::access::{Access, Token};
use crate::guard::Rights;

const NOW: i64 = 1_795_409_743_100;

/// A text that does harm where it is taken for HTML, or obeyed by who shows it.
const HOSTILE: &str = "\"><script>alert(1)</script>'\u{202e}";

fn access() -> Access {
    Access::new(Token::new("a-token-of-some-length").unwrap())
}

fn frame(rights: Rights) -> Frame {
    Frame::new(&access(), rights, "a database")
}

fn job(state: State) -> Job {
    Job {
        workflow_id: JobId::new("01a209ec-260d-76df-ba3b-47479eec3fff"),
        state,
        workflow: "fibonacci_workflow".to_owned(),
        details: Details::default()
            .with("n", 1_000_000)
            .with("algorithm", "doubling"),
        queue: Some("fibonacci".to_owned()),
        executor_id: Some("laptop/1".to_owned()),
        application_version: Some("abaci-1".to_owned()),
        priority: 0,
        tags: Vec::new(),
        batch: None,
        attempts: 2,
        created_at_ms: NOW - 14_000,
        started_at_ms: Some(NOW - 4_000),
        completed_at_ms: state.is_final().then_some(NOW - 1_000),
        delayed_until_ms: None,
    }
}

fn hostile_job() -> Job {
    Job {
        workflow_id: JobId::new(HOSTILE),
        workflow: HOSTILE.to_owned(),
        details: Details::default().with("n", HOSTILE).with("algorithm", HOSTILE),
        queue: Some(HOSTILE.to_owned()),
        executor_id: Some(HOSTILE.to_owned()),
        application_version: Some(HOSTILE.to_owned()),
        tags: serde_json::from_value(serde_json::json!([HOSTILE])).unwrap(),
        batch: serde_json::from_value(serde_json::json!(HOSTILE)).unwrap(),
        ..job(State::Failed)
    }
}

fn step(id: i32, name: &str, from: i64) -> StepRecord {
    StepRecord {
        id,
        name: name.to_owned(),
        started_at_ms: Some(from),
        completed_at_ms: Some(from + 10),
        error: None,
    }
}

/// The last start of a job.
fn start(job: &Job) -> Option<Attempt> {
    let kind = match job.state {
        State::Succeeded => AttemptEndKind::Succeeded,
        State::Failed => AttemptEndKind::Failed,
        _ => AttemptEndKind::Cancelled,
    };
    Some(Attempt {
        number: job.attempts,
        executor_id: job.executor_id.clone()?,
        host: None,
        pid: Some(4711),
        started_at_ms: job.started_at_ms?,
        ended_at_ms: job.completed_at_ms,
        end: job.completed_at_ms.map(|_| AttemptEnd { kind, reason: None }),
    })
}

fn seen(job: Job) -> SeenJob {
    SeenJob {
        starts: start(&job).iter().map(Start::of).collect(),
        detail: JobDetail {
            job,
            result: None,
            error: None,
            steps: Vec::new(),
        },
        waiting: None,
        progress: None,
    }
}

fn written(seen: SeenJob, rights: Rights) -> String {
    seen.page(frame(rights), NOW).render().unwrap()
}

fn card(state: &'static str) -> WorkerCard {
    WorkerCard {
        name: "laptop/1".to_owned(),
        host: "laptop".to_owned(),
        state,
        class: "busy",
        pid: 4711,
        slots: 2,
        queue: "fibonacci".to_owned(),
        version: "abaci-1".to_owned(),
        beat: "400 ms".to_owned(),
        jobs: vec![CardJob {
            id: "mine".to_owned(),
            href: job_path("mine"),
            title: "F(46)".to_owned(),
            at: "compute, attempt 2".to_owned(),
            share: Some(Share {
                value: "0.620".to_owned(),
                words: "62 %".to_owned(),
            }),
            took: "4.1 s".to_owned(),
        }],
        last_exit: None,
    }
}

fn overview(workers: Vec<WorkerCard>) -> OverviewPage {
    let situation = Situation {
        workers: &workers,
        queues: &[],
        oldest: None,
        now_ms: NOW,
    };
    OverviewPage {
        frame: frame(Rights::Read),
        health: situation.health(),
        waiting: "128".to_owned(),
        oldest: None,
        running: "3".to_owned(),
        parked: Some("2".to_owned()),
        failed: None,
        chart: Chart::of(&Throughput {
            since_ms: NOW - NOW % 60_000 - 14 * 60_000,
            span_ms: 15_000,
            spans: (0..60)
                .map(|place| Ended {
                    succeeded: if place == 59 { 1_204 } else { 0 },
                    others: if place == 59 { 3 } else { 0 },
                })
                .collect(),
        }),
        latest: vec![JobRow::of(&job(State::Succeeded), NOW)],
        workers,
    }
}

#[test]
fn an_overview_without_scripts_has_the_facts() {
    let page = overview(vec![card("busy")]).render().unwrap();
    for fact in [
        "Healthy: the only worker takes jobs.",
        "<b>128</b>",
        "laptop/1",
        ">busy</span>",
        "F(46)",
        "62 %",
        "F(1,000,000)",
        "succeeded",
        "14 s ago",
        "datetime=\"2026-11-23T04:55:29.100Z\"",
        "1,207 jobs in 15 minutes, 1.3 a second",
        "<th scope=\"row\">04:55</th><td>1,204</td><td>3</td>",
        "fill=\"url(#hatch)\"",
    ] {
        assert!(page.contains(fact), "{fact} is missing in:\n{page}");
    }
}

#[test]
fn a_job_without_scripts_has_its_story() {
    let mut seen = seen(job(State::Succeeded));
    seen.detail.steps = vec![step(0, "compute", NOW - 3_900), step(1, "certify", NOW - 2_000)];
    let page = written(seen, Rights::Change);
    for fact in [
        "waited 10.0 s",
        "Attempt 1",
        "Attempt 2",
        "succeeded after 3.0 s",
        "compute, certify",
        "value=\"1\"",
        "Fork from here",
    ] {
        assert!(page.contains(fact), "{fact} is missing in:\n{page}");
    }
    assert!(!page.contains("/cancel"), "an ended job cannot be cancelled");
}

#[test]
fn a_crash_is_marked_and_told_with_its_signal() {
    let crashed = Attempt {
        number: 1,
        executor_id: HOSTILE.to_owned(),
        started_at_ms: NOW - 8_000,
        ended_at_ms: Some(NOW - 5_000),
        end: Some(AttemptEnd {
            kind: AttemptEndKind::WorkerDied,
            reason: Some("SIGKILL".to_owned()),
        }),
        ..start(&job(State::Running)).unwrap()
    };
    let mut seen = seen(job(State::Running));
    seen.starts.insert(0, Start::of(&crashed));
    let page = written(seen, Rights::Read);
    assert_eq!(page.matches("class=\"crash\"").count(), 1, "{page}");
    for fact in [
        "its worker died after 3.0 s: SIGKILL",
        "laptop/1, pid 4711",
        "has run for 4.0 s",
    ] {
        assert!(page.contains(fact), "{fact} is missing in:\n{page}");
    }
    assert!(!page.contains("<script>"), "{page}");
}

#[test]
fn ten_thousand_equal_steps_are_one_band_and_few_rows() {
    let mut seen = seen(job(State::Running));
    let at = |id: i32| NOW - 3_900 + i64::from(id) / 10;
    seen.detail.steps = (0..10_000).map(|id| step(id, "add", at(id))).collect();
    let page = written(seen, Rights::Change);
    assert!(page.contains("10,000 times add") && page.contains("class=\"band\""));
    assert!(page.len() < 20_000, "{} bytes", page.len());
}

#[test]
fn a_waiting_job_says_why_in_one_sentence() {
    let mut seen = seen(Job {
        started_at_ms: None,
        ..job(State::Queued)
    });
    seen.waiting = Some(Waiting {
        queue: "fibonacci".to_owned(),
        version: "abaci-1".to_owned(),
        position: Some(12),
        of: 128,
        reason: WaitReason::Busy { slots: 4, in_use: 4 },
        estimate_seconds: Some(3.0),
    });
    let page = written(seen, Rights::Read);
    assert!(
        page.contains("12th of 128 in queue fibonacci; 4 of 4 slots are in use; about 3 s."),
        "{page}"
    );
}

#[test]
fn hostile_texts_of_a_job_are_inert() {
    let mut seen = seen(hostile_job());
    seen.detail.error = Some(Failure::terminal("Invalid", HOSTILE));
    seen.detail.steps = vec![StepRecord {
        error: Some(HOSTILE.to_owned()),
        ..step(0, HOSTILE, NOW - 3_000)
    }];
    let row = JobRow::of(&hostile_job(), NOW);
    let list = JobsPage {
        frame: frame(Rights::Change),
        heading: "1 job".to_owned(),
        form: SearchForm {
            search: HOSTILE.to_owned(),
            kept: vec![("tag", HOSTILE.to_owned())],
            ..SearchForm::default()
        },
        states: Vec::new(),
        conditions: Vec::new(),
        offer: Offer {
            fields: vec![("tag", HOSTILE.to_owned())],
            ..Offer::default()
        },
        jobs: vec![row],
        is_cut: false,
        is_first: true,
        first: "/jobs".to_owned(),
        next: None,
    };
    for page in [written(seen, Rights::Change), list.render().unwrap()] {
        assert!(!page.contains("<script>alert"), "{page}");
        assert!(!page.contains("\"><script"), "{page}");
        assert!(page.contains(r"\u{202e}"), "{page}");
        assert!(page.contains("/jobs/%22%3E%3Cscript%3E"), "{page}");
    }
}

#[test]
fn a_job_of_any_moment_is_drawn() {
    for at in [i64::MIN, i64::MAX] {
        let job = Job {
            created_at_ms: at,
            started_at_ms: Some(at),
            completed_at_ms: Some(at),
            delayed_until_ms: Some(at),
            ..job(State::Failed)
        };
        let page = written(seen(job), Rights::Read);
        assert!(page.contains("Attempt 2") && !page.contains("NaN"), "{page}");
    }
}

#[test]
fn nothing_of_a_page_needs_what_the_policy_forbids() {
    let mut seen = seen(job(State::Succeeded));
    seen.detail.steps = vec![step(0, "compute", NOW - 3_900)];
    for page in [
        written(seen, Rights::Change),
        overview(vec![card("idle")]).render().unwrap(),
    ] {
        for forbidden in [
            " style=",
            "<style",
            " onclick=",
            "javascript:",
            "http://",
            "https://",
        ] {
            assert!(!page.contains(forbidden), "{forbidden} in:\n{page}");
        }
        assert_eq!(page.matches("<script").count(), 1, "the one script is a file");
        assert!(page.contains(&STYLE.path()) && page.contains(&SCRIPT.path()));
    }
}

#[test]
fn who_may_only_read_is_told_how_to_log_in_instead() {
    let page = written(seen(job(State::Running)), Rights::Read);
    assert!(!page.contains("method=\"post\""), "{page}");
    assert!(page.contains("abaci web url"), "{page}");
    let read_only = Frame::new(&access().read_only(), Rights::Change, "a database");
    let page = seen(job(State::Running)).page(read_only, NOW).render().unwrap();
    assert!(
        !page.contains("method=\"post\"") && !page.contains("/submit"),
        "{page}"
    );
}

#[test]
fn the_sentence_says_the_worst_of_all() {
    let queue = |paused, queued| QueueInfo {
        name: "fibonacci".to_owned(),
        paused,
        rate: None,
        concurrency: None,
        queued,
        running: 0,
    };
    let lacking = Waiting {
        queue: "fibonacci".to_owned(),
        version: "abaci-0".to_owned(),
        position: None,
        of: 1,
        reason: WaitReason::Version,
        estimate_seconds: None,
    };
    let say = |workers: &[WorkerCard], queues: &[QueueInfo], oldest: Option<&Waiting>| {
        let situation = Situation {
            workers,
            queues,
            oldest,
            now_ms: NOW,
        };
        let health = situation.health();
        (health.class, health.sentence)
    };
    let both = [card("busy"), card("idle")];
    assert_eq!(
        say(&both, &[queue(false, 3)], None),
        ("ok", "Healthy: both workers take jobs.".to_owned())
    );
    let said = say(&[card("busy"), card("gone")], &[], None);
    assert_eq!(said, ("warn", "1 of 2 workers takes jobs; 1 is gone.".to_owned()));
    assert_eq!(say(&[], &[queue(false, 1)], None).0, "bad");
    assert_eq!(say(&[], &[], None).0, "warn");
    assert!(
        say(&both, &[queue(true, 3)], None)
            .1
            .contains("queue fibonacci is paused with 3 jobs waiting")
    );
    let said = say(&both, &[queue(true, 3)], Some(&lacking));
    assert!(said.0 == "bad" && said.1.contains("abaci-0"), "{said:?}");
}
