//! Collecting garbage, by hand and by a server that keeps jobs for a time.

use std::path::PathBuf;

use testkit::eventually;

use super::verifying::artifact_of;
use crate::rig::{Rig, assert_refused, code, objects};

/// Makes an artifact that no job refers to beside that of a job.
fn orphan_beside(artifact: &std::path::Path) -> PathBuf {
    let path = artifact.with_file_name(format!("{}.txt", "0f".repeat(32)));
    std::fs::write(&path, "0123456789").unwrap();
    path
}

#[test]
fn what_no_job_refers_to_is_listed_and_then_removed() {
    let rig = Rig::new();
    let _server = rig.server(&[]);
    assert_eq!(code(&rig.run(["submit", "--id", "large", "100000"])), 0);
    let artifact = artifact_of(&rig, "large");
    let orphan = orphan_beside(&artifact);

    let young = rig.run(["gc"]);
    assert_eq!((code(&young), young.stdout.len()), (0, 0), "{young:#?}");
    assert_eq!(young.stderr, ["removed 0 jobs and 0 artifacts (0 B)"]);

    let dry = rig.run(["gc", "--dry-run", "--min-age", "0s"]);
    let line = format!("would remove file://{} (10 B)", orphan.display());
    assert_eq!((code(&dry), &dry.stdout), (0, &vec![line]), "{dry:#?}");
    assert_eq!(dry.stderr, ["would remove 0 jobs and 1 artifact (10 B)"]);
    assert!(orphan.exists(), "a dry run removed something");

    let wet = rig.run(["gc", "--min-age", "0s", "--json"]);
    let report = objects(&wet).remove(0);
    assert_eq!(
        report,
        serde_json::json!({
            "jobs": 0,
            "artifacts": [{"uri": format!("file://{}", orphan.display()), "bytes": 10}],
            "bytes": 10,
            "lab_schemas": [],
        })
    );
    assert!(!orphan.exists() && artifact.exists());
    assert_eq!(code(&rig.run(["verify", "large"])), 0);
}

#[test]
fn old_jobs_go_with_their_values_only_when_asked_for() {
    let rig = Rig::new();
    let _server = rig.server(&[]);
    assert_eq!(code(&rig.run(["submit", "--id", "large", "100000"])), 0);
    let waiting = rig.submit(&["--queue", "nobody", "10"]).remove(0);
    let artifact = artifact_of(&rig, "large");
    let kept = rig.run(["gc", "--keep", "1h", "--min-age", "0s"]);
    assert_eq!(kept.stderr, ["removed 0 jobs and 0 artifacts (0 B)"], "{kept:#?}");

    let gone = rig.run(["gc", "--keep", "0s", "--min-age", "0s"]);
    let line = format!("removed file://{} (20 kB)", artifact.display());
    assert_eq!((code(&gone), &gone.stdout), (0, &vec![line]), "{gone:#?}");
    assert_eq!(gone.stderr, ["removed 1 job and 1 artifact (20 kB)"]);
    assert!(!artifact.exists());
    assert_refused(&rig.run(["show", "large"]), 1, &["no job has the id large"]);
    let left = objects(&rig.run(["list", "--json"]));
    assert_eq!((left.len(), &left[0]["workflow_id"]), (1, &waiting.into()));
}

#[test]
fn a_place_that_cannot_be_used_is_one_line() {
    let rig = Rig::new();
    let output = rig.run(["gc", "--artifacts", "/dev/null/values"]);
    assert_refused(&output, 2, &["artifacts in /dev/null/values"]);
    let output = rig.run(["gc", "--artifacts", "ftp://host/values"]);
    assert_refused(&output, 2, &["ftp://host/values", "s3://bucket"]);
}

#[test]
fn a_server_deletes_jobs_and_values_past_their_retention() {
    let rig = Rig::new();
    let keeping = rig.server(&[]);
    assert_eq!(code(&rig.run(["submit", "--id", "large", "100000"])), 0);
    let artifact = artifact_of(&rig, "large");
    drop(keeping);
    let server = rig.server(&["--retention", "1s"]);
    eventually("the job to be deleted", || {
        rig.run(["list", "--json", "--limit", "0"]).stdout.is_empty()
    });
    eventually("the value to be removed", || !artifact.exists());
    let line = server.wait_for_line("collected garbage");
    assert!(line.contains("jobs=1"), "{line}");
}

#[test]
fn a_retention_too_short_to_read_results_is_refused() {
    let rig = Rig::new();
    let output = rig.run(["serve", "--retention", "0s"]);
    assert_refused(&output, 2, &["retention is 0s", "1s or more"]);
    let output = rig.run(["serve", "--retention", "soon"]);
    assert_refused(&output, 2, &["soon", "not a duration"]);
}
