//! The question of a health server: how the queue stands, within a bound, whatever the database does.

use std::time::{Duration, Instant};

use durable_jobs::client::{Limit, QueueProbe, QueueStatus, Rate};
use durable_jobs::record::WaitReason;
use durable_jobs::{Client, DEFAULT_QUEUE, Error};
use sqlx::{Connection, Executor, PgConnection};
use testkit::{PrivateServer, eventually};

use crate::rig::{Rig, client_settings, echo};
use crate::types::VERSION;

/// Longer than any answer here takes, so that only a database that does not answer reaches it.
const PATIENT: Duration = Duration::from_secs(20);

/// Long enough for an answer on a loaded machine, short enough to wait for in vain.
const SHORT: Duration = Duration::from_secs(1);

/// The milliseconds since 1970 that many seconds ago, as SQL.
fn ago(seconds: i32) -> String {
    format!("(extract(epoch from now()) - {seconds}) * 1000")
}

impl Rig {
    fn probe(&self) -> QueueProbe {
        QueueProbe::new(self.database.url(), DEFAULT_QUEUE, VERSION).unwrap()
    }

    /// Makes the tables, as any client does.
    async fn tables(&self) {
        self.client().await.close().await;
    }

    /// Writes the presence row of a worker whose last heartbeat was that many seconds ago.
    fn presence(&self, executor_id: &str, version: &str, queue: &str, age_seconds: u32) {
        self.database.psql(&format!(
            "insert into abaci.presence (executor_id, incarnation, host, pid, application_version, queue, concurrency, \
             heartbeat_at) values ('{executor_id}', 'i', 'h', 1, '{version}', '{queue}', 1, \
             now() - interval '{age_seconds} s')"
        ));
    }
}

#[track_caller]
fn assert_about(seconds: Option<f64>, expected: f64) {
    let seconds = seconds.expect("something waits");
    assert!(
        (expected..expected + 10.0).contains(&seconds),
        "waiting for {seconds} s instead of {expected} s"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn what_waits_and_what_runs_is_counted_in_its_own_queue_alone() {
    let rig = Rig::new();
    rig.tables().await;
    let probe = rig.probe();
    let empty = QueueStatus {
        priorities: Vec::new(),
        paused: false,
        limit: None,
        queued: 0,
        running: 0,
        oldest_waiting_seconds: None,
        stranded: 0,
    };
    assert_eq!(probe.ask(PATIENT).await.unwrap(), empty);
    let _session = rig.session_of("h/0").await;
    rig.presence("h/0", "test-1", DEFAULT_QUEUE, 0);
    rig.insert("waiting", &[("created_at", &ago(30))]);
    rig.insert("young", &[]);
    rig.insert("running", &[("status", "'PENDING'"), ("created_at", &ago(900))]);
    rig.insert(
        "delayed",
        &[
            ("status", "'DELAYED'"),
            ("created_at", &ago(900)),
            ("delay_until_epoch_ms", &ago(-900)),
        ],
    );
    rig.insert("done", &[("status", "'SUCCESS'"), ("created_at", &ago(900))]);
    rig.insert(
        "elsewhere",
        &[("queue_name", "'other'"), ("created_at", &ago(900))],
    );
    let status = probe.ask(PATIENT).await.unwrap();
    assert_eq!((status.queued, status.running, status.stranded), (3, 1, 0));
    assert_about(status.oldest_waiting_seconds, 30.0);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_job_waits_since_it_could_have_been_started() {
    let rig = Rig::new();
    rig.tables().await;
    let probe = rig.probe();
    let oldest = async || probe.ask(PATIENT).await.unwrap().oldest_waiting_seconds;
    let later = ago(-900);
    rig.insert(
        "not due",
        &[("status", "'DELAYED'"), ("delay_until_epoch_ms", &later)],
    );
    assert_eq!(oldest().await, None, "a job waits before it is due");
    rig.insert("from a fast clock", &[("created_at", &later)]);
    assert_eq!(oldest().await, Some(0.0), "a job has waited less than nothing");
    rig.insert(
        "given back",
        &[
            ("created_at", &ago(900)),
            ("updated_at", &ago(40)),
            ("executor_id", "'h/0'"),
        ],
    );
    assert_about(oldest().await, 40.0);
    rig.insert(
        "due and queued",
        &[("created_at", &ago(900)), ("delay_until_epoch_ms", &ago(60))],
    );
    assert_about(oldest().await, 60.0);
    // Moving it to the queue is a worker's work, and there may be none.
    rig.insert(
        "due",
        &[
            ("status", "'DELAYED'"),
            ("created_at", &ago(900)),
            ("delay_until_epoch_ms", &ago(80)),
        ],
    );
    assert_about(oldest().await, 80.0);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_job_whose_version_nobody_runs_is_stranded() {
    let rig = Rig::new();
    rig.tables().await;
    let probe = rig.probe();
    let stranded = async || probe.ask(PATIENT).await.unwrap().stranded;
    rig.insert("ours", &[]);
    rig.insert("of no version", &[("application_version", "null")]);
    rig.insert("newer", &[("application_version", "'test-2'")]);
    assert_eq!(stranded().await, 3, "without any worker");
    let mut sessions = Vec::new();
    for executor_id in ["h/0", "h/1", "h/2", "h/3"] {
        sessions.push(rig.session_of(executor_id).await);
    }
    rig.presence("h/0", "test-1", "elsewhere", 0);
    rig.presence("h/1", "test-1", DEFAULT_QUEUE, 11);
    rig.presence("h/4", "test-1", DEFAULT_QUEUE, 4);
    assert_eq!(
        stranded().await,
        3,
        "a worker of another queue, or a dead one, was counted"
    );
    rig.presence("h/2", "test-1", DEFAULT_QUEUE, 1);
    assert_eq!(stranded().await, 1);
    rig.presence("h/3", "test-2", DEFAULT_QUEUE, 1);
    assert_eq!(stranded().await, 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_unused_database_is_told_as_such_and_left_alone() {
    let rig = Rig::new();
    let probe = rig.probe();
    let error = probe.ask(PATIENT).await.unwrap_err();
    let Error::Database { reason, .. } = &error else {
        panic!("{error}")
    };
    assert!(reason.contains("tables are not there yet"), "{error}");
    let schemas = "information_schema.schemata where schema_name in ('dbos', 'abaci')";
    assert_eq!(rig.count(schemas), 0, "a question made something");
    rig.tables().await;
    assert_eq!(probe.ask(PATIENT).await.unwrap().queued, 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn the_first_question_after_an_outage_is_answered() {
    let mut server = PrivateServer::new();
    let url = server.create_database("jobs");
    make_tables(&url).await;
    let probe = QueueProbe::new(&url, DEFAULT_QUEUE, VERSION).unwrap();
    probe.ask(PATIENT).await.unwrap();
    server.stop();
    for _ in 0..3 {
        let asked = Instant::now();
        let error = probe.ask(SHORT).await.unwrap_err();
        assert!(matches!(error, Error::Unreachable { .. }), "{error}");
        assert!(
            asked.elapsed() < 3 * SHORT,
            "it took {:?} to give up",
            asked.elapsed()
        );
    }
    server.start();
    probe.ask(PATIENT).await.unwrap();
    // This time the connection broke between two questions, and nobody asked meanwhile.
    server.kill();
    server.start();
    probe.ask(PATIENT).await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn an_answer_that_does_not_come_leaves_no_session() {
    let rig = Rig::new();
    rig.tables().await;
    let probe = rig.probe();
    let mut blocker = PgConnection::connect(rig.database.url()).await.unwrap();
    for _ in 0..2 {
        probe.ask(SHORT).await.unwrap();
        blocker
            .execute("begin; lock table dbos.workflow_status")
            .await
            .unwrap();
        for _ in 0..2 {
            let asked = Instant::now();
            let error = probe.ask(SHORT).await.unwrap_err();
            assert!(
                matches!(&error, Error::Unreachable { reason, .. } if reason.contains("no answer within")),
                "{error}"
            );
            assert!(
                asked.elapsed() < 3 * SHORT,
                "it took {:?} to give up",
                asked.elapsed()
            );
        }
        // Nobody waits for them any more, and the lock is still held.
        eventually("the end of the sessions that were given up", || {
            rig.sessions("abaci") == 0
        });
        blocker.execute("rollback").await.unwrap();
    }
    probe.ask(PATIENT).await.unwrap();
    assert_eq!(rig.sessions("abaci"), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn two_hundred_questions_at_once_share_one_connection() {
    let server = PrivateServer::new();
    let url = server.create_database("jobs");
    make_tables(&url).await;
    // The server itself refuses a second session; and no more than reading is needed.
    server.psql(
        "jobs",
        "create role reader login connection limit 1; grant usage on schema dbos, abaci to reader; \
         grant select on dbos.workflow_status, dbos.queues, abaci.presence to reader",
    );
    let probe = QueueProbe::new(
        &url.replace("user=postgres", "user=reader"),
        DEFAULT_QUEUE,
        VERSION,
    )
    .unwrap();
    let session = "select string_agg(pid::text, ' ') from pg_stat_activity where usename = 'reader'";
    let mut pids = Vec::new();
    for _ in 0..3 {
        let asks: Vec<_> = (0..200)
            .map(|_| {
                let probe = probe.clone();
                tokio::spawn(async move { probe.ask(PATIENT).await })
            })
            .collect();
        for ask in asks {
            ask.await.unwrap().unwrap();
        }
        pids.push(server.psql("jobs", session));
    }
    assert!(
        pids.iter()
            .all(|pid| *pid == pids[0] && pid.trim().parse::<u32>().is_ok()),
        "the sessions changed: {pids:?}"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn fifty_thousand_waiting_jobs_are_counted_well_within_a_second() {
    let rig = Rig::new();
    rig.tables().await;
    let _session = rig.session_of("h/0").await;
    rig.presence("h/0", "test-1", DEFAULT_QUEUE, 0);
    rig.database.psql(
        "insert into dbos.workflow_status (workflow_uuid, status, name, inputs, queue_name, application_version, \
         created_at, updated_at) \
         select 'job ' || job, case when job > 100000 then 'ENQUEUED' else 'SUCCESS' end, 'test_echoes', '10', \
         'default', 'test-' || 1 + job % 2, extract(epoch from now()) * 1000 - job, 0 \
         from generate_series(1, 150000) job",
    );
    let probe = rig.probe();
    for _ in 0..3 {
        let asked = Instant::now();
        let status = probe.ask(Duration::from_secs(1)).await.unwrap();
        eprintln!("answered after {:.1} ms", asked.elapsed().as_secs_f64() * 1e3);
        assert_eq!((status.queued, status.stranded), (50_000, 25_000));
        assert_about(status.oldest_waiting_seconds, 150.0);
    }
}

async fn make_tables(url: &str) {
    let client = Client::connect(client_settings(url)).await.unwrap();
    client.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_oldest_of_each_priority_with_due_jobs_is_told() {
    let rig = Rig::new();
    rig.tables().await;
    let later = ago(-900);
    for (id, priority, age) in [("young", "0", 1), ("old", "9", 500), ("older", "9", 700)] {
        rig.insert(id, &[("priority", priority), ("created_at", &ago(age))]);
    }
    let delayed = |due| {
        [
            ("status", "'DELAYED'"),
            ("priority", "5"),
            ("delay_until_epoch_ms", due),
        ]
    };
    rig.insert("not due", &delayed(&later));
    let status = rig.probe().ask(PATIENT).await.unwrap();
    let told = |status: &QueueStatus| {
        let waits = status.priorities.iter();
        waits.map(|wait| (wait.priority, wait.due)).collect::<Vec<_>>()
    };
    assert_eq!(told(&status), [(0, 1), (9, 2)]);
    assert_about(Some(status.priorities[1].oldest_waiting_seconds), 700.0);
    assert_eq!(status.queued, 4);
    rig.insert("due", &delayed(&ago(60)));
    for priority in 20..40 {
        rig.insert(&format!("job {priority}"), &[("priority", &priority.to_string())]);
    }
    let status = rig.probe().ask(PATIENT).await.unwrap();
    let last: Vec<(i32, u64)> = (30..40).map(|priority| (priority, 1)).collect();
    assert_eq!(
        told(&status),
        last,
        "of many priorities the ten that are claimed last"
    );
    assert_about(status.oldest_waiting_seconds, 700.0);
}

#[tokio::test(flavor = "multi_thread")]
async fn the_limits_of_a_queue_are_told_with_its_numbers() {
    let rig = Rig::new();
    let client = rig.client().await;
    let rate = Rate::new(10, Duration::from_secs(2));
    client.limit_queue(DEFAULT_QUEUE, Some(rate)).await.unwrap();
    let status = rig.probe().ask(PATIENT).await.unwrap();
    let limit = Limit {
        rate: Some(rate),
        concurrency: None,
    };
    assert_eq!((status.paused, status.limit), (false, Some(limit)));
    client.pause_queue(DEFAULT_QUEUE).await.unwrap();
    let status = rig.probe().ask(PATIENT).await.unwrap();
    assert_eq!((status.paused, status.limit), (true, Some(limit)));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_database_of_an_older_program_answers_all_the_same() {
    let rig = Rig::new();
    let client = rig.client().await;
    let id = client.submit_job(echo(10)).await.unwrap();
    rig.database
        .psql("alter table abaci.presence drop column workflows");
    assert_eq!(rig.probe().ask(PATIENT).await.unwrap().priorities.len(), 1);
    // Connecting brings our tables up to date.
    let waiting = rig.client().await.waiting(&id).await.unwrap().unwrap();
    assert_eq!(
        (waiting.reason, waiting.position),
        (WaitReason::NoWorker, Some(1))
    );
}
