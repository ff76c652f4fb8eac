//! Garbage that is collected, and above all what is not.

use std::path::{Path, PathBuf};
use std::time::Duration;

use durable_jobs::artifact::{self, ArtifactPlace, BucketAccess};
use durable_jobs::client::{GcMode, GcOptions, GcReport, ResumeOptions, ResumeOutcome};
use durable_jobs::record::ArtifactRecord;
use durable_jobs::{Client, JobId, Worker};
use testkit::{ObjectServer, eventually};

use crate::rig::{Rig, keeping, outcome};
use crate::types::Keeps;

const ORPHAN: &str = "00000000000000000000000000000000ffffffffffffffffffffffffffffffff.txt";

impl Rig {
    fn place(&self) -> ArtifactPlace {
        ArtifactPlace::directory(self.artifacts.path())
    }

    /// Makes a file where this database's artifacts are.
    fn write_artifact(&self, name: &str) -> PathBuf {
        let database = self.database.psql("select name from abaci.names");
        let path = self.artifacts.path().join(database.trim()).join(name);
        std::fs::write(&path, "0123456789").unwrap();
        path
    }

    /// The names of this database's artifacts, sorted.
    fn artifact_names(&self) -> Vec<String> {
        let entries = |path: &Path| {
            std::fs::read_dir(path)
                .unwrap()
                .map(|entry| entry.unwrap().path())
        };
        let places = entries(self.artifacts.path());
        let files = places.flat_map(|place| entries(&place).collect::<Vec<_>>());
        let name = |file: PathBuf| file.file_name().unwrap().to_str().unwrap().to_owned();
        let mut names: Vec<String> = files.map(name).collect();
        names.sort_unstable();
        names
    }

    async fn collect(&self, client: &Client, options: GcOptions) -> GcReport {
        client.collect_garbage(&self.place(), options).await.unwrap()
    }
}

/// Whatever nobody refers to, however young it is.
fn at_once(mode: GcMode) -> GcOptions {
    GcOptions {
        min_age: Duration::ZERO,
        ..GcOptions::new(mode)
    }
}

fn names(report: &GcReport) -> Vec<&str> {
    report
        .artifacts
        .iter()
        .map(|artifact| artifact.uri.rsplit('/').next().unwrap())
        .collect()
}

/// Runs a job that keeps an artifact, and returns which.
async fn kept(client: &Client, number: u64) -> ArtifactRecord {
    let id = client.submit_job(keeping(number)).await.unwrap();
    kept_by(client, &id).await
}

/// The artifact of a job that succeeds.
async fn kept_by(client: &Client, id: &JobId) -> ArtifactRecord {
    outcome(client, id).await.result.unwrap().read().unwrap()
}

fn name_of(artifact: &ArtifactRecord) -> String {
    format!("{}.txt", artifact.blake3)
}

/// Reads an artifact, which is compared with its hash on the way.
fn text_of(artifact: &ArtifactRecord, access: &BucketAccess) -> String {
    let mut text = Vec::new();
    artifact::read(artifact, access, |piece| text.extend_from_slice(piece)).unwrap();
    String::from_utf8(text).unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_job_refers_to_stays_and_what_nobody_refers_to_goes() {
    let rig = Rig::new();
    let (_worker, client) = (rig.worker().await, rig.client().await);
    let artifact = kept(&client, 1).await;
    let foreign = rig.write_artifact("README.txt");
    rig.write_artifact(ORPHAN);
    let before = rig.artifact_names();

    let reported = rig.collect(&client, at_once(GcMode::Report)).await;
    assert_eq!(
        (names(&reported), reported.bytes, reported.jobs),
        (vec![ORPHAN], 10, 0)
    );
    assert_eq!(rig.artifact_names(), before, "a report removed something");

    let removed = rig.collect(&client, at_once(GcMode::Delete)).await;
    assert_eq!(removed, reported, "what was done is not what was said");
    assert_eq!(rig.artifact_names().len(), 2);
    assert!(foreign.exists(), "what no worker wrote was removed");
    assert_eq!(text_of(&artifact, &BucketAccess::default()), Keeps::text(1));
    let again = rig.collect(&client, at_once(GcMode::Delete)).await;
    assert_eq!(again, GcReport::default());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_copy_of_a_database_takes_nothing_of_the_original() {
    let rig = Rig::new();
    let (worker, client) = (rig.worker().await, rig.client().await);
    kept(&client, 1).await;
    worker.drain(Duration::ZERO).await;
    let before = rig.artifact_names();
    // As a copy is that was made before the job: it has the name of the original, and an oid of its own.
    rig.database
        .psql("update abaci.names set database = 1; delete from dbos.workflow_status");
    let removed = rig.collect(&client, at_once(GcMode::Delete)).await;
    assert_eq!((removed, rig.artifact_names()), (GcReport::default(), before));
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_young_may_be_recorded_yet_and_stays() {
    let rig = Rig::new();
    let (_worker, client) = (rig.worker().await, rig.client().await);
    let orphan = rig.write_artifact(ORPHAN);
    let usual = GcOptions::new(GcMode::Delete);
    assert_eq!(rig.collect(&client, usual).await, GcReport::default());
    let age = usual.min_age + Duration::from_secs(1);
    let file = std::fs::File::open(&orphan).unwrap();
    file.set_modified(std::time::SystemTime::now() - age).unwrap();
    assert_eq!(names(&rig.collect(&client, usual).await), [ORPHAN]);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_cancelled_job_has_recorded_is_kept_for_it() {
    let rig = Rig::new();
    let (first, client) = (rig.worker().await, rig.client().await);
    // Holds the job between its draft and its value.
    let hold = rig
        .database
        .hold_inserts("dbos.operation_outputs", "new.function_name = 'value'");
    let id = client.submit_job(keeping(1)).await.unwrap();
    hold.await_somebody();
    client.cancel(&id).await.unwrap();
    let drain = tokio::spawn(first.drain(Duration::ZERO));
    drop(hold);
    drain.await.unwrap();

    let draft = Keeps::draft(1);
    rig.write_artifact(ORPHAN);
    let removed = rig.collect(&client, at_once(GcMode::Delete)).await;
    assert!(names(&removed).contains(&ORPHAN), "{removed:?}");
    assert_eq!(
        rig.artifact_names(),
        [&*draft],
        "what a resumed job needs was collected"
    );

    let steps = client.show(&id).await.unwrap().steps;
    assert_eq!(steps.len(), 1, "{steps:?}");
    let _second = rig.worker().await;
    let resumed = client.resume(&id, ResumeOptions::default()).await.unwrap();
    assert_eq!(resumed, ResumeOutcome::Resumed);
    let artifact = kept_by(&client, &id).await;
    assert_eq!(text_of(&artifact, &BucketAccess::default()), Keeps::text(1));
    let all = client.show(&id).await.unwrap().steps;
    assert_eq!(all[..1], steps, "a recorded step ran again");

    // Nobody needs the drafts of a job that succeeded.
    rig.write_artifact(&draft);
    let removed = rig.collect(&client, at_once(GcMode::Delete)).await;
    assert_eq!(names(&removed), [&draft]);
    assert_eq!(rig.artifact_names(), [name_of(&artifact)]);
}

#[tokio::test(flavor = "multi_thread")]
async fn jobs_that_ended_long_ago_go_with_all_that_was_theirs() {
    let rig = Rig::new();
    let (worker, client) = (rig.worker().await, rig.client().await);
    let id = client.submit_job(keeping(1)).await.unwrap();
    let (old, new) = (kept_by(&client, &id).await, kept(&client, 2).await);
    let hours_ago = "(extract(epoch from now()) - 7200) * 1000";
    rig.database.psql(&format!(
        "update dbos.workflow_status set completed_at = {hours_ago} where workflow_uuid = '{id}'"
    ));
    worker.drain(Duration::ZERO).await;
    // Neither a job that waits nor another program's is ours to delete; one that the engine parked is.
    rig.insert("waits", &[("created_at", hours_ago)]);
    let ended = ("completed_at", hours_ago);
    rig.insert("foreign", &[("name", "'other'"), ("status", "'SUCCESS'"), ended]);
    rig.insert("parked", &[("status", "'MAX_RECOVERY_ATTEMPTS_EXCEEDED'")]);
    rig.database
        .psql("insert into abaci.deaths values ('gone', 1, 'SIGKILL'), ('waits', 1, 'SIGKILL')");
    rig.database
        .psql("insert into abaci.allowances values ('gone', 1)");
    rig.database
        .psql("insert into abaci.former_queues values ('gone', 'other')");

    let options = |mode| GcOptions {
        keep_jobs: Some(Duration::from_hours(1)),
        ..at_once(mode)
    };
    let reported = rig.collect(&client, options(GcMode::Report)).await;
    assert_eq!((reported.jobs, names(&reported)), (2, vec![&*name_of(&old)]));
    assert_eq!(rig.count("dbos.workflow_status"), 5, "a report deleted a job");

    let removed = rig.collect(&client, options(GcMode::Delete)).await;
    assert_eq!(removed, reported, "what was done is not what was said");
    let left = rig
        .database
        .psql("select string_agg(workflow_uuid, ' ' order by workflow_uuid) from dbos.workflow_status where status = 'ENQUEUED' or name = 'other'");
    assert_eq!(left.trim(), "foreign waits");
    assert_eq!(rig.count("dbos.workflow_status"), 3);
    assert_eq!(
        rig.count("dbos.operation_outputs"),
        3,
        "steps of a deleted job are left"
    );
    assert_eq!((rig.count("abaci.deaths"), rig.count("abaci.allowances")), (1, 0));
    assert_eq!(rig.count("abaci.former_queues"), 0);
    assert_eq!(rig.artifact_names(), [name_of(&new)]);
}

#[tokio::test(flavor = "multi_thread")]
async fn more_jobs_than_one_statement_deletes_are_all_deleted() {
    let rig = Rig::new();
    let client = rig.client().await;
    rig.database.psql(
        "insert into dbos.workflow_status (workflow_uuid, status, name, created_at, updated_at, completed_at, priority) \
         select 'old-' || i, 'ERROR', 'test_echoes', 0, 0, i, 0 from generate_series(1, 250) i",
    );
    let options = |mode| GcOptions {
        keep_jobs: Some(Duration::ZERO),
        ..at_once(mode)
    };
    assert_eq!(rig.collect(&client, options(GcMode::Report)).await.jobs, 250);
    assert_eq!(rig.collect(&client, options(GcMode::Delete)).await.jobs, 250);
    assert_eq!(rig.count("dbos.workflow_status"), 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_another_database_keeps_in_the_same_place_stays() {
    let (rig, other) = (Rig::new(), Rig::new());
    let mut settings = other.settings();
    settings.artifacts = rig.place();
    let _worker = Worker::start(settings).await.unwrap();
    let artifact = kept(&other.client().await, 1).await;
    let client = rig.client().await;
    assert_eq!(
        rig.collect(&client, at_once(GcMode::Delete)).await,
        GcReport::default()
    );
    assert_eq!(text_of(&artifact, &BucketAccess::default()), Keeps::text(1));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_bucket_is_collected_as_a_directory_is() {
    let (rig, server) = (Rig::new(), ObjectServer::start());
    let access = BucketAccess(server.environment());
    let place = ArtifactPlace {
        bucket: Some(format!("{}/some/prefix", server.url())),
        access: access.clone(),
        ..rig.place()
    };
    let mut settings = rig.settings();
    settings.artifacts = place.clone();
    let (_worker, client) = (Worker::start(settings).await.unwrap(), rig.client().await);
    let artifact = kept(&client, 1).await;
    let [value] = server.objects().try_into().unwrap();
    let (folder, _) = value.rsplit_once('/').unwrap();
    server.write(&format!("{folder}/{ORPHAN}"), b"0123456789");
    server.write(&format!("some/prefix/{ORPHAN}"), b"another's");

    let usual = client
        .collect_garbage(&place, GcOptions::new(GcMode::Delete))
        .await
        .unwrap();
    assert_eq!(usual, GcReport::default(), "a young object was removed");
    let reported = client
        .collect_garbage(&place, at_once(GcMode::Report))
        .await
        .unwrap();
    let removed = client
        .collect_garbage(&place, at_once(GcMode::Delete))
        .await
        .unwrap();
    assert_eq!(removed, reported);
    assert_eq!(
        removed.artifacts[0].uri,
        format!("{}/{folder}/{ORPHAN}", server.url())
    );
    assert_eq!(removed.bytes, 10);
    let mut left = vec![value, format!("some/prefix/{ORPHAN}")];
    left.sort_unstable();
    assert_eq!(server.objects(), left);
    let text = tokio::task::spawn_blocking(move || text_of(&artifact, &access));
    assert_eq!(text.await.unwrap(), Keeps::text(1));

    server.deny(true);
    let refused = client.collect_garbage(&place, at_once(GcMode::Delete)).await;
    let line = refused.unwrap_err().to_string();
    assert!(line.contains("access denied") && !line.contains('\n'), "{line}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_worker_deletes_what_nobody_wanted_to_keep() {
    let rig = Rig::new();
    let mut settings = rig.settings();
    settings.retention = Some(Duration::from_millis(300));
    let (_worker, client) = (Worker::start(settings).await.unwrap(), rig.client().await);
    let id = client.submit_job(keeping(1)).await.unwrap();
    eventually("the job to be deleted", || rig.count("dbos.workflow_status") == 0);
    eventually("the artifact to be removed", || rig.artifact_names().is_empty());
    let error = client.show(&id).await.unwrap_err().to_string();
    assert!(error.contains("no job has the id"), "{error}");
}
