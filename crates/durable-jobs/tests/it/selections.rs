//! Jobs that are chosen by what is known of them, whatever their type and whoever wrote their rows.

use durable_jobs::client::{BulkAction, Found, JobCount, ResumeOptions, ResumeOutcome};
use durable_jobs::record::{Cursor, DetailFilter, Order};
use durable_jobs::{Client, JobFilter, JobId, State};

use crate::rig::Rig;

/// So many that a list has three pages, in two groups of one date each.
const MANY: usize = 1_234;

impl Rig {
    /// Writes many rows by one statement, which echo 1, 2 and so on.
    fn insert_many(&self) {
        self.database.psql(&format!(
            "insert into dbos.workflow_status (workflow_uuid, status, name, inputs, serialization, queue_name, \
                 application_version, created_at, updated_at, priority, recovery_attempts) \
             select 'j' || i, 'ENQUEUED', 'test_echoes', i::text, 'portable_json', 'default', \
                 'test-1', 1700000000000 + i / 1000, 0, 0, 0 from generate_series(1, {MANY}) as i"
        ));
    }
}

async fn ids(client: &Client, filter: JobFilter) -> Vec<String> {
    let jobs = client.list(&filter).await.unwrap();
    jobs.into_iter().map(|job| job.workflow_id.to_string()).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_list_has_each_job_once_in_either_order() {
    let rig = Rig::new();
    let client = rig.client().await;
    rig.insert_many();
    let newest_first = ids(&client, JobFilter::default()).await;
    let mut oldest_first = ids(
        &client,
        JobFilter {
            order: Order::OldestFirst,
            ..JobFilter::default()
        },
    )
    .await;
    oldest_first.reverse();
    assert_eq!(newest_first, oldest_first);
    let mut distinct = newest_first.clone();
    distinct.sort_unstable();
    distinct.dedup();
    assert_eq!(distinct.len(), MANY);
    // It goes on from any place, also from that of a job which is gone.
    let place = &client.list(&JobFilter::default()).await.unwrap()[700];
    let after = Some(Cursor::of(place));
    rig.database.psql(&format!(
        "delete from dbos.workflow_status where workflow_uuid = '{}'",
        place.workflow_id
    ));
    let rest = JobFilter {
        after,
        ..JobFilter::default()
    };
    assert_eq!(ids(&client, rest.clone()).await, newest_first[701..]);
    let left = client.count(&rest, 10_000).await.unwrap();
    assert_eq!(left, JobCount::Exactly((MANY - 701) as u64));
    assert_eq!(client.count(&rest, 500).await.unwrap(), JobCount::Over(500));
}

#[tokio::test(flavor = "multi_thread")]
async fn details_are_those_of_the_job_type() {
    let rig = Rig::new();
    let client = rig.client().await;
    rig.insert_many();
    rig.enqueue_foreign("other", "nobodys_type", r#"{"number": 7}"#);
    rig.enqueue_foreign("unreadable", "test_echoes", r#"{"number": 7}"#);
    let numbers = |range| JobFilter {
        details: vec![DetailFilter::Within("number".to_owned(), range)],
        ..JobFilter::default()
    };
    assert_eq!(ids(&client, numbers(7..=9)).await, ["j9", "j8", "j7"]);
    let first = JobFilter {
        limit: Some(2),
        ..numbers(1..=u64::MAX)
    };
    assert_eq!(ids(&client, first).await.len(), 2);
    let count = client.count(&numbers(7..=9), 10).await.unwrap();
    assert_eq!(count, JobCount::Exactly(3));
}

#[tokio::test(flavor = "multi_thread")]
async fn rows_of_other_applications_are_not_chosen_unless_named() {
    let rig = Rig::new();
    let client = rig.client().await;
    rig.insert("ours", &[]);
    rig.insert("theirs", &[("application_name", "'shop'")]);
    rig.insert("theirs-too", &[("application_name", "'shop'")]);
    assert_eq!(ids(&client, JobFilter::default()).await, ["ours"]);
    let texts = ["theirs", "their", "our", "nobody"].map(ToOwned::to_owned);
    let found = client.find(&texts).await.unwrap();
    let one = |id| Found::One(JobId::new(id));
    assert_eq!(
        found,
        [one("theirs"), Found::Nothing, one("ours"), Found::Nothing]
    );
    let named = JobFilter {
        ids: vec![JobId::new("theirs")],
        ..JobFilter::default()
    };
    assert_eq!(ids(&client, named).await, ["theirs"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_job_that_left_its_queue_is_still_of_it() {
    let rig = Rig::new();
    let client = rig.client().await;
    for id in ["cancelled", "queued"] {
        rig.insert(id, &[("queue_name", "'night'")]);
    }
    rig.insert("elsewhere", &[]);
    client.cancel(&JobId::new("cancelled")).await.unwrap();
    let of_night = JobFilter {
        queue: Some("night".to_owned()),
        ..JobFilter::default()
    };
    let mut jobs = client.list(&of_night).await.unwrap();
    jobs.sort_unstable_by(|a, b| a.workflow_id.cmp(&b.workflow_id));
    let seen: Vec<_> = jobs
        .iter()
        .map(|job| (job.workflow_id.as_str(), job.state, job.queue.as_deref()))
        .collect();
    assert_eq!(
        seen,
        [
            ("cancelled", State::Cancelled, Some("night")),
            ("queued", State::Queued, Some("night"))
        ]
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn many_jobs_are_resumed_and_deleted_each_by_its_state() {
    let rig = Rig::new();
    let client = rig.client().await;
    rig.insert("waits", &[]);
    rig.insert("succeeded", &[("status", "'SUCCESS'"), ("output", "'1'")]);
    for id in ["failed", "failed-elsewhere"] {
        rig.insert(id, &[("status", "'ERROR'"), ("error", "'{}'")]);
    }
    rig.insert("cancelled", &[("status", "'CANCELLED'"), ("queue_name", "null")]);
    let all = ["waits", "succeeded", "failed", "cancelled", "nobody"].map(JobId::new);
    let outcomes = client.resume_all(&all, ResumeOptions::default()).await.unwrap();
    let outcome = |id: &str| &outcomes[&JobId::new(id)];
    assert_eq!(outcome("waits"), &ResumeOutcome::Refused(State::Queued));
    assert_eq!(outcome("succeeded"), &ResumeOutcome::Refused(State::Succeeded));
    assert_eq!(outcome("failed"), &ResumeOutcome::Resumed);
    assert_eq!(
        outcome("cancelled"),
        &ResumeOutcome::ResumedOn("default".to_owned())
    );
    assert_eq!(outcome("nobody"), &ResumeOutcome::NotFound);

    let all = ["waits", "succeeded", "failed-elsewhere", "nobody"].map(JobId::new);
    let deleted = client.delete_all(&all).await.unwrap();
    let mut deleted: Vec<String> = deleted.iter().map(ToString::to_string).collect();
    deleted.sort_unstable();
    assert_eq!(deleted, ["failed-elsewhere", "succeeded"]);
    assert_eq!(rig.count("dbos.workflow_status where status = 'ENQUEUED'"), 3);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_text_is_found_in_ids_tags_batches_and_values() {
    let rig = Rig::new();
    let client = rig.client().await;
    let tags = r#"'{"tags": ["needle-1"], "batch": "b"}'"#;
    let batch = r#"'{"batch": "a-needle"}'"#;
    rig.insert("needles", &[("executor_id", "'here/1'")]);
    rig.insert("tagged", &[("attributes", tags)]);
    rig.insert("batched", &[("attributes", batch)]);
    rig.insert("valued", &[("inputs", "'31415'")]);
    rig.insert("other", &[("name", "'needle'")]);
    let having = |text: &str| JobFilter {
        text: Some(text.to_owned()),
        order: Order::OldestFirst,
        ..JobFilter::default()
    };
    let sorted = async |filter| {
        let mut found = ids(&client, filter).await;
        found.sort_unstable();
        found
    };
    assert_eq!(sorted(having("needle")).await, ["batched", "needles", "tagged"]);
    assert_eq!(sorted(having("141")).await, ["valued"]);
    // The names of things are no values.
    assert!(sorted(having("tags")).await.is_empty());
    assert_eq!(
        client.count(&having("needle"), 10).await.unwrap(),
        JobCount::Exactly(3)
    );
    let of_worker = JobFilter {
        executor_id: Some("here/1".to_owned()),
        ..JobFilter::default()
    };
    assert_eq!(sorted(of_worker).await, ["needles"]);
    let of_workflow = JobFilter {
        workflow: Some("needle".to_owned()),
        ..JobFilter::default()
    };
    assert_eq!(sorted(of_workflow).await, ["other"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_list_by_ends_has_each_ended_job_once() {
    let rig = Rig::new();
    let client = rig.client().await;
    rig.insert_many();
    rig.database.psql(
        "update dbos.workflow_status set status = 'SUCCESS', completed_at = 1800000000000 - created_at % 10 * 1000 \
             - inputs::bigint / 100 where inputs::bigint % 2 = 0",
    );
    let mut ended = ids(&client, by(Order::LastEndedFirst)).await;
    assert_eq!(ended.len(), MANY / 2);
    let place = client.list(&by(Order::LastEndedFirst)).await.unwrap();
    let place = Cursor::within(Order::LastEndedFirst, &place[550]);
    assert!(place.is_within(Order::FirstEndedFirst) && !place.is_within(Order::NewestFirst));
    let rest = JobFilter {
        after: Some(place.to_string().parse().unwrap()),
        ..by(Order::LastEndedFirst)
    };
    assert_eq!(ids(&client, rest).await, ended[551..]);
    ended.reverse();
    assert_eq!(ids(&client, by(Order::FirstEndedFirst)).await, ended);
    let between = JobFilter {
        completed_since_ms: Some(1_799_999_999_000),
        completed_until_ms: Some(1_800_000_000_000),
        ..JobFilter::default()
    };
    let first_group = ids(&client, between).await.len();
    assert!((400..=500).contains(&first_group), "{first_group}");
}

fn by(order: Order) -> JobFilter {
    JobFilter {
        order,
        ..JobFilter::default()
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_bulk_change_is_of_the_jobs_that_were_counted() {
    let rig = Rig::new();
    let client = rig.client().await;
    rig.insert_many();
    let preview = client
        .bulk_preview(JobFilter::default(), BulkAction::Cancel)
        .await
        .unwrap();
    assert_eq!((preview.count, preview.first.len()), (MANY as u64, 20));
    // One that comes later stays; one that has ended meanwhile is named.
    rig.insert("later", &[]);
    rig.database
        .psql("update dbos.workflow_status set status = 'SUCCESS' where workflow_uuid = 'j1234'");
    let report = client.bulk(preview).await.unwrap();
    assert_eq!((report.count, report.changed), (MANY as u64, MANY as u64 - 1));
    assert_eq!(rig.count("dbos.workflow_status where status = 'ENQUEUED'"), 1);
    let resume = client
        .bulk_preview(JobFilter::default(), BulkAction::RESUME)
        .await
        .unwrap();
    assert_eq!(resume.count, MANY as u64 - 1);
    let delete = client
        .bulk_preview(JobFilter::default(), BulkAction::Delete)
        .await
        .unwrap();
    assert_eq!(client.bulk(delete).await.unwrap().changed, MANY as u64);
    assert_eq!(client.bulk(resume).await.unwrap().changed, 0);
    assert_eq!(rig.count("dbos.workflow_status"), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn ended_jobs_are_counted_in_the_span_they_ended_in() {
    let rig = Rig::new();
    let client = rig.client().await;
    let now = "extract(epoch from now()) * 1000";
    for (id, status, age_ms) in [
        ("a", "SUCCESS", 0),
        ("b", "ERROR", 0),
        ("c", "SUCCESS", 300_000),
        ("d", "SUCCESS", 960_000),
    ] {
        let (status, ended) = (format!("'{status}'"), format!("{now} - {age_ms}"));
        rig.insert(id, &[("status", &status), ("completed_at", &ended)]);
    }
    let throughput = client.throughput(15).await.unwrap();
    assert_eq!((throughput.spans.len(), throughput.span_ms), (60, 15_000));
    let all = |of: fn(&durable_jobs::client::Ended) -> u64| throughput.spans.iter().map(of).sum::<u64>();
    assert_eq!((all(|span| span.succeeded), all(|span| span.others)), (2, 1));
    let early: u64 = throughput.spans[..42].iter().map(|span| span.succeeded).sum();
    assert_eq!(early, 1, "{throughput:?}");
    let overview = client.overview().await.unwrap();
    assert_eq!(
        (overview.failed, overview.parked),
        (JobCount::Exactly(1), JobCount::Exactly(0))
    );
}
