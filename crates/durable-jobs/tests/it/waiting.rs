//! The reason why a job waits, its place and the estimate, with real workers wherever one decides.

use std::time::{Duration, Instant};

use durable_jobs::client::{Delay, Rate, SubmitOptions, WaitEvent, Waiting};
use durable_jobs::record::WaitReason;
use durable_jobs::{Client, DEFAULT_QUEUE, Error, JobId, JobType, Worker};

use crate::rig::{DEADLINE, ENDLESS, Rig, echo, lasting, outcome, outcomes, submit_to};
use crate::types::{Greets, Spins, VERSION};

impl Rig {
    /// Starts a worker that runs so many jobs at once.
    async fn worker_of(&self, concurrency: u32) -> Worker {
        let mut settings = self.settings();
        settings.concurrency = concurrency;
        Worker::start(settings).await.unwrap()
    }

    /// Writes a row of a priority that is so many seconds old.
    fn insert_aged(&self, id: &str, priority: &str, age: i32, more: &[(&str, &str)]) {
        let created = ago(age);
        let columns = [&[("priority", priority), ("created_at", &*created)], more].concat();
        self.insert(id, &columns);
    }
}

/// The moment so many seconds ago, as an SQL expression.
fn ago(seconds: i32) -> String {
    format!("(extract(epoch from now()) - {seconds}) * 1000")
}

/// Writes five jobs that are due, in another order than that of their claims, and some that are not in line with them.
fn insert_five_due(rig: &Rig) {
    let (past, future) = (ago(5), ago(-900));
    rig.insert_aged("low and old", "9", 900, &[]);
    rig.insert_aged("third", "0", 10, &[]);
    rig.insert_aged("first", "0", 30, &[]);
    rig.insert_aged(
        "second",
        "0",
        20,
        &[("status", "'DELAYED'"), ("delay_until_epoch_ms", &past)],
    );
    rig.insert_aged(
        "not due",
        "0",
        40,
        &[("status", "'DELAYED'"), ("delay_until_epoch_ms", &future)],
    );
    rig.insert_aged("released early", "0", 40, &[("delay_until_epoch_ms", &future)]);
    rig.insert_aged("elsewhere", "0", 50, &[("queue_name", "'other'")]);
    rig.insert_aged("ended", "0", 50, &[("status", "'SUCCESS'")]);
    rig.insert_aged("fourth", "1", 60, &[]);
}

async fn waiting(client: &Client, id: &JobId) -> Waiting {
    let waiting = client.waiting(id).await.unwrap();
    waiting.unwrap_or_else(|| panic!("job {id} does not wait"))
}

async fn reason(client: &Client, id: &str) -> WaitReason {
    waiting(client, &JobId::new(id)).await.reason
}

#[tokio::test(flavor = "multi_thread")]
async fn a_job_behind_busy_slots_has_a_place_and_no_estimate() {
    let rig = Rig::new();
    let (worker, client) = (rig.worker_of(1).await, rig.client().await);
    let running = submit_to(&worker, &client, lasting(ENDLESS)).await;
    assert_eq!(client.waiting(&running).await.unwrap(), None, "it runs");
    client.submit_job(echo(1)).await.unwrap();
    let second = client.submit_job(echo(2)).await.unwrap();
    let expected = Waiting {
        queue: DEFAULT_QUEUE.to_owned(),
        version: VERSION.to_owned(),
        position: Some(2),
        of: 2,
        reason: WaitReason::Busy { slots: 1, in_use: 1 },
        estimate_seconds: None,
    };
    assert_eq!(waiting(&client, &second).await, expected);
    client.cancel(&running).await.unwrap();
    assert!(outcome(&client, &second).await.result.is_ok());
    assert_eq!(client.waiting(&second).await.unwrap(), None, "it has ended");
    let unknown = client.waiting(&JobId::new("nobody")).await;
    assert!(matches!(unknown, Err(Error::NotFound { .. })), "{unknown:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn the_last_jobs_of_its_kind_say_how_long_a_job_waits() {
    let rig = Rig::new();
    let (worker, client) = (rig.worker_of(2).await, rig.client().await);
    for (id, queue, name, seconds) in [
        ("alike", "default", "test_lasts", 20),
        ("slower", "default", "test_lasts", 40),
        ("elsewhere", "other", "test_lasts", 9000),
        ("another", "default", "test_echoes", 9000),
    ] {
        let (queue, name) = (format!("'{queue}'"), format!("'{name}'"));
        let began = format!("(extract(epoch from now()) - {seconds}) * 1000");
        rig.insert(
            id,
            &[
                ("status", "'SUCCESS'"),
                ("queue_name", &queue),
                ("name", &name),
                ("started_at_epoch_ms", &began),
                ("completed_at", "extract(epoch from now()) * 1000"),
            ],
        );
    }
    for _ in 0..2 {
        submit_to(&worker, &client, lasting(ENDLESS)).await;
    }
    client.submit_job(echo(1)).await.unwrap();
    client.submit_job(echo(2)).await.unwrap();
    let third = client.submit_job(lasting(1)).await.unwrap();
    let seen = waiting(&client, &third).await;
    assert_eq!((seen.position, seen.of), (Some(3), 3));
    let estimate = seen.estimate_seconds.unwrap();
    assert!(
        (estimate - 45.0).abs() < 0.1,
        "three starts of 30 s over two slots: {seen:?}"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn what_no_worker_takes_says_what_it_lacks() {
    let rig = Rig::new();
    let client = rig.client().await;
    rig.insert("ours", &[]);
    assert_eq!(reason(&client, "ours").await, WaitReason::NoWorker);
    let _other = rig.worker_on("other").await;
    assert_eq!(
        reason(&client, "ours").await,
        WaitReason::NoWorker,
        "it is of another queue"
    );
    let process = rig.worker_of_types(&[Spins::WORKFLOW]);
    let greets = format!("'{}'", Greets::WORKFLOW);
    rig.insert("unknown", &[("name", &greets)]);
    let workflow = Greets::WORKFLOW.to_owned();
    assert_eq!(reason(&client, "unknown").await, WaitReason::Type { workflow });
    rig.insert("older", &[("application_version", "'test-0'")]);
    assert_eq!(reason(&client, "older").await, WaitReason::Version);
    let lacking = waiting(&client, &JobId::new("older")).await.lacking().unwrap();
    assert_eq!((&*lacking.queue, &*lacking.version), (DEFAULT_QUEUE, "test-0"));
    drop(process);
    rig.insert(
        "held",
        &[
            ("status", "'PENDING'"),
            ("executor_id", "'gone/0'"),
            ("queue_name", "'nobodys'"),
        ],
    );
    let held = waiting(&client, &JobId::new("held")).await;
    assert_eq!((held.reason, held.position), (WaitReason::NoWorker, None));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_job_of_a_paused_queue_waits_for_that_and_a_delayed_one_too() {
    let rig = Rig::new();
    let (worker, client) = (rig.worker().await, rig.client().await);
    let until_ms = 4_000_000_000_000;
    let options = SubmitOptions {
        delay: Some(Delay::Until(until_ms)),
        ..SubmitOptions::default()
    };
    let job = echo(1);
    client
        .submit_all(std::slice::from_ref(&job), options)
        .await
        .unwrap();
    let delayed = waiting(&client, &job.id).await;
    assert_eq!(delayed.reason, WaitReason::Delayed { until_ms });
    assert_eq!((delayed.position, delayed.of), (None, 0), "it is not due");
    client.pause_queue(DEFAULT_QUEUE).await.unwrap();
    assert_eq!(waiting(&client, &job.id).await.reason, WaitReason::Paused);
    // A worker may have read the limits a moment before the pause.
    let next = async || client.submit_job(echo(2)).await.unwrap();
    let ask = async {
        loop {
            if let Some(seen) = client.waiting(&next().await).await.unwrap() {
                return seen;
            }
        }
    };
    let paused = tokio::time::timeout(DEADLINE, ask).await.unwrap();
    assert_eq!((paused.reason, paused.position), (WaitReason::Paused, Some(1)));
    worker.drain(DEADLINE).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_job_of_a_limited_queue_waits_for_its_next_start() {
    let rig = Rig::new();
    let client = rig.client().await;
    let rate = Rate::new(2, Duration::from_hours(1));
    client.limit_queue(DEFAULT_QUEUE, Some(rate)).await.unwrap();
    let _worker = rig.worker().await;
    for number in 0..2 {
        let id = client.submit_job(echo(number)).await.unwrap();
        assert!(outcome(&client, &id).await.result.is_ok());
    }
    let first = client.submit_job(echo(3)).await.unwrap();
    client.submit_job(echo(4)).await.unwrap();
    let third = client.submit_job(echo(5)).await.unwrap();
    let seen = waiting(&client, &first).await;
    let WaitReason::RateLimited { limit, next_start_ms } = seen.reason else {
        panic!("{seen:?}")
    };
    assert_eq!(limit, rate);
    let started = "select min(started_at_epoch_ms) from dbos.workflow_status where status = 'SUCCESS'";
    let started: i64 = rig.database.psql(started).trim().parse().unwrap();
    assert_eq!(
        next_start_ms,
        Some(started + 3_600_000),
        "the oldest of the last two starts leaves first"
    );
    for (id, hours) in [(&first, 1.0), (&third, 2.0)] {
        let estimate = waiting(&client, id).await.estimate_seconds.unwrap();
        let expected = hours * 3600.0;
        assert!(
            (expected - 60.0..=expected).contains(&estimate),
            "{estimate} s instead of {expected} s"
        );
    }
    let mut waiter = client.wait([third]);
    let told = async {
        loop {
            if let Some(WaitEvent::QueueLimited { queue, limit }) = waiter.next().await {
                return (queue, limit.rate);
            }
        }
    };
    let told = tokio::time::timeout(DEADLINE, told).await.expect("a silent hang");
    assert_eq!(told, (DEFAULT_QUEUE.to_owned(), Some(rate)));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_job_beyond_the_jobs_at_once_waits_for_one_of_them() {
    let rig = Rig::new();
    let client = rig.client().await;
    client.pause_queue(DEFAULT_QUEUE).await.unwrap();
    rig.database.psql("update dbos.queues set concurrency = 1");
    let worker = rig.worker_of(4).await;
    submit_to(&worker, &client, lasting(ENDLESS)).await;
    let next = client.submit_job(echo(1)).await.unwrap();
    let seen = waiting(&client, &next).await;
    assert_eq!(seen.reason, WaitReason::Concurrency { limit: 1 });
    assert_eq!(seen.estimate_seconds, None);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_place_is_in_the_order_of_claims_among_jobs_that_are_due() {
    let rig = Rig::new();
    let client = rig.client().await;
    insert_five_due(&rig);
    for (id, place) in [
        ("first", 1),
        ("second", 2),
        ("third", 3),
        ("fourth", 4),
        ("low and old", 5),
    ] {
        let seen = waiting(&client, &JobId::new(id)).await;
        assert_eq!((seen.position, seen.of), (Some(place), 5), "{id}");
    }
    for id in ["not due", "released early"] {
        assert_eq!(waiting(&client, &JobId::new(id)).await.position, None, "{id}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_job_that_its_workers_do_not_take_is_before_no_other() {
    let rig = Rig::new();
    let client = rig.client().await;
    insert_five_due(&rig);
    rig.insert_aged("foreign", "0", 90, &[("name", "'foreign'")]);
    rig.insert_aged("older", "0", 90, &[("application_version", "'test-0'")]);
    assert_eq!(waiting(&client, &JobId::new("first")).await.position, Some(3));
    rig.database.psql(
        "insert into abaci.presence (executor_id, incarnation, host, pid, application_version, queue, concurrency, workflows) \
         values ('h/0', 'i', 'h', 1, 'test-1', 'default', 1, '{test_echoes}')",
    );
    let first = waiting(&client, &JobId::new("first")).await;
    assert_eq!(
        (first.position, first.of, first.reason),
        (Some(1), 5, WaitReason::Starting)
    );
    let second = waiting(&client, &JobId::new("second")).await;
    assert_eq!(
        second.reason,
        WaitReason::Busy { slots: 1, in_use: 0 },
        "the slot is for the one before"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn jobs_of_one_moment_have_a_place_each() {
    let rig = Rig::new();
    let client = rig.client().await;
    let ids = ["c", "a", "b"];
    for id in ids {
        rig.insert(id, &[("created_at", "1000")]);
    }
    for (place, id) in (1..).zip(ids) {
        assert_eq!(
            waiting(&client, &JobId::new(id)).await.position,
            Some(place),
            "{id}"
        );
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_place_among_a_hundred_thousand_is_found_soon() {
    let rig = Rig::new();
    let client = rig.client().await;
    rig.database.psql(
        "insert into dbos.workflow_status (workflow_uuid, status, name, inputs, queue_name, application_version, \
         created_at, updated_at, priority, started_at_epoch_ms, completed_at) \
         select 'job ' || job, case when job > 100000 then 'ENQUEUED' else 'SUCCESS' end, 'test_echoes', '10', \
         'default', 'test-1', job, 0, job % 3, case when job <= 100000 then job end, case when job <= 100000 then job + 10 end \
         from generate_series(1, 200000) job; \
         insert into abaci.presence (executor_id, incarnation, host, pid, application_version, queue, concurrency, workflows, heartbeat_at) \
         values ('h/0', 'i', 'h', 1, 'test-1', 'default', 1, '{test_echoes}', now() + interval '1 h')",
    );
    let last = JobId::new("job 200000");
    for _ in 0..3 {
        let asked = Instant::now();
        let seen = waiting(&client, &last).await;
        eprintln!("answered after {:.1} ms", asked.elapsed().as_secs_f64() * 1e3);
        assert_eq!((seen.position, seen.of), (Some(100_000), 100_000));
        assert!(asked.elapsed() < Duration::from_secs(1), "{:?}", asked.elapsed());
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_row_of_an_unknown_status_holds_up_no_wait() {
    let rig = Rig::new();
    let client = rig.client().await;
    rig.insert("strange", &[("status", "'STRANGE'")]);
    rig.insert("ended", &[("status", "'SUCCESS'"), ("output", "'7'")]);
    let ended = outcomes(&client, ["strange", "ended"].map(JobId::new)).await;
    let result_of = |id: &str| {
        ended
            .iter()
            .find(|ended| ended.id.as_str() == id)
            .unwrap()
            .result
            .clone()
    };
    assert!(result_of("ended").is_ok());
    let failure = result_of("strange").unwrap_err();
    assert!(
        failure.message.contains("its status in the database"),
        "{failure}"
    );
}
