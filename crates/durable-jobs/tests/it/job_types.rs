//! Everything that guards one type of jobs guards every type.

use std::time::Duration;

use durable_jobs::client::{CancelOutcome, QueueProbe, ResumeOptions, ResumeOutcome, SubmitOptions};
use durable_jobs::record::FailureKind;
use durable_jobs::{JobId, JobType, State};
use rustix::process::{Pid, Signal, getpid, kill_process, set_child_subreaper};
use testkit::{Process, children_of, eventually, is_alive, started_child_of};

use crate::rig::{Rig, outcome, submit_busy, unlistened};
use crate::types::{Busy, Greets, Kills, Returns, Spin, Spins};

const SHORT: Spin = Spin { bytes: 0, ms: 200 };
const LONG: Spin = Spin {
    bytes: 0,
    ms: 600_000,
};

/// The computing process of a worker, once it outlasts SIGTERM.
fn steady_child_of(worker: &Process) -> Pid {
    let child = started_child_of(worker.pid(), &[]).pid;
    eventually("a handler of SIGTERM", || {
        let status = std::fs::read_to_string(format!("/proc/{child}/status")).ok()?;
        let caught = status.lines().find_map(|line| line.strip_prefix("SigCgt:"))?;
        let caught = u64::from_str_radix(caught.trim(), 16).ok()?;
        ((caught >> (Signal::TERM.as_raw() - 1)) & 1 == 1).then_some(())
    });
    Pid::from_raw(child.try_into().unwrap()).unwrap()
}

/// The processes that computed the recorded steps of all jobs.
fn recorded(rig: &Rig) -> Vec<u32> {
    let outputs = rig
        .database
        .psql("select output from dbos.operation_outputs order by function_id");
    outputs
        .split_whitespace()
        .map(|output| output.parse().unwrap())
        .collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_killed_worker_loses_no_recorded_step() {
    let rig = Rig::new();
    let mut killed = rig.worker_of_types(&[Spins::WORKFLOW]);
    let client = rig.client().await;
    let id = submit_busy(&client, 6, SHORT).await;
    eventually("two recorded steps", || rig.count("dbos.operation_outputs") >= 2);
    let _peer = rig.worker_of_types(&[Spins::WORKFLOW]);
    killed.kill();
    let before = recorded(&rig);
    assert!(before.len() < 6, "the job was over before its worker was killed");
    let pids = client.output_of::<Spins>(&id).await.unwrap();
    assert_eq!(pids.len(), 6);
    assert_eq!(pids[..before.len()], before, "a recorded step ran again");
    assert_eq!(client.show(&id).await.unwrap().job.attempts, 2);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_child_without_memory_parks_its_job_until_it_gets_some() {
    let rig = Rig::new();
    let worker = rig.worker_of_types(&[Spins::WORKFLOW]);
    let client = rig.client().await;
    let id = submit_busy(
        &client,
        1,
        Spin {
            bytes: 600 << 20,
            ms: 0,
        },
    )
    .await;
    let ended = outcome(&client, &id).await;
    let failure = ended.result.unwrap_err();
    assert_eq!((ended.state, &*failure.name), (State::Parked, "Poison"));
    assert!(failure.message.contains("died 3 times"), "{failure}");
    assert!(
        failure.message.contains("more memory than its limit"),
        "{failure}"
    );

    let grant = ResumeOptions {
        memory_bytes: Some(2 << 30),
    };
    assert_eq!(client.resume(&id, grant).await.unwrap(), ResumeOutcome::Resumed);
    let pids = client.output_of::<Spins>(&id).await.unwrap();
    assert!(!pids.contains(&worker.pid()), "it was computed in its worker");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_cancelled_job_ends_with_its_child() {
    let rig = Rig::new();
    let worker = rig.worker_of_types(&[Spins::WORKFLOW]);
    let client = rig.client().await;
    let id = submit_busy(&client, 1, LONG).await;
    eventually("a computing process", || !children_of(worker.pid()).is_empty());
    assert_eq!(client.cancel(&id).await.unwrap(), CancelOutcome::Cancelled);
    assert_eq!(outcome(&client, &id).await.state, State::Cancelled);
    eventually("the end of the computing process", || {
        children_of(worker.pid()).is_empty()
    });
}

#[tokio::test(flavor = "multi_thread")]
async fn signals_to_a_whole_service_end_no_computation() {
    let rig = Rig::new();
    let worker = rig.worker_of_types(&[Spins::WORKFLOW]);
    let client = rig.client().await;
    let spin = Spin { bytes: 0, ms: 10_000 };
    let id = submit_busy(&client, 1, spin).await;
    let child = steady_child_of(&worker);
    for signal in [Signal::HUP, Signal::INT, Signal::TERM] {
        kill_process(child, signal).unwrap();
    }
    let pids = client.output_of::<Spins>(&id).await.unwrap();
    let child = child.as_raw_pid().unsigned_abs();
    assert_eq!(pids, [child], "another process had to compute it");
    assert_eq!(client.show(&id).await.unwrap().job.attempts, 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_killed_worker_leaves_no_stopped_child() {
    let rig = Rig::new();
    // The child's next parent is of its session: left to one of another, the kernel itself would continue its group.
    set_child_subreaper(Some(getpid())).unwrap();
    let mut worker = rig.worker_of_types(&[Spins::WORKFLOW]);
    let client = rig.client().await;
    submit_busy(&client, 1, LONG).await;
    let child = steady_child_of(&worker);
    kill_process(child, Signal::STOP).unwrap();
    worker.kill();
    let child = child.as_raw_pid().unsigned_abs();
    eventually("the end of the stopped child", || !is_alive(child));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_drained_worker_hands_its_job_back_uncounted() {
    let rig = Rig::new();
    let mut drained = rig.worker_of_types(&[Spins::WORKFLOW]);
    let client = rig.client().await;
    let id = submit_busy(&client, 4, SHORT).await;
    eventually("a recorded step", || rig.count("dbos.operation_outputs") >= 1);
    drained.signal(Signal::TERM);
    assert!(drained.wait_exit().success());
    drained.wait_for_line("handed back 1");
    let before = recorded(&rig);
    assert!(before.len() < 4, "the job was over before its worker drained");
    assert_eq!(client.show(&id).await.unwrap().job.state, State::Queued);
    let _next = rig.worker_of_types(&[Spins::WORKFLOW]);
    let pids = client.output_of::<Spins>(&id).await.unwrap();
    assert_eq!(pids[..before.len()], before, "a recorded step ran again");
    assert_eq!(client.show(&id).await.unwrap().job.attempts, 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_job_that_kills_three_workers_is_parked() {
    let rig = Rig::new();
    let client = rig.client().await;
    let id = client
        .submit::<Kills>(&(), SubmitOptions::default())
        .await
        .unwrap();
    for _ in 0..3 {
        let mut worker = rig.worker_of_types(&[Kills::WORKFLOW]);
        assert!(!worker.wait_exit().success());
    }
    let _survivor = rig.worker_of_types(&[Kills::WORKFLOW]);
    let ended = outcome(&client, &id).await;
    let failure = ended.result.unwrap_err();
    assert_eq!(
        (ended.state, &*failure.name, failure.data.kind),
        (State::Parked, "Poison", FailureKind::Parked)
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn one_worker_runs_jobs_of_two_types() {
    let rig = Rig::new();
    let _worker = rig.worker_of_types(&[Spins::WORKFLOW, Greets::WORKFLOW]);
    let client = rig.client().await;
    let busy = submit_busy(&client, 1, SHORT).await;
    let greeting = client
        .submit::<Greets>(&"you".to_owned(), SubmitOptions::default())
        .await
        .unwrap();
    assert_eq!(client.output_of::<Greets>(&greeting).await.unwrap(), "hello you");
    assert_eq!(client.output_of::<Spins>(&busy).await.unwrap().len(), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_job_of_an_unknown_type_is_left_to_others() {
    let rig = Rig::new();
    let _other = rig.worker_of_types(&[Spins::WORKFLOW]);
    let client = rig.client().await;
    let id = client
        .submit::<Greets>(&"you".to_owned(), SubmitOptions::default())
        .await
        .unwrap();
    // The worker goes on with what it knows, past the job that it does not.
    let busy = submit_busy(&client, 1, SHORT).await;
    client.output_of::<Spins>(&busy).await.unwrap();
    assert_eq!(client.show(&id).await.unwrap().job.state, State::Queued);
    let (lacking, _) = unlistened(&mut client.wait([id.clone()])).await;
    assert_eq!(lacking.unknown_workflow.as_deref(), Some(Greets::WORKFLOW));
    let probe = QueueProbe::new(rig.database.url(), "default", "test-1").unwrap();
    let stranded = async || probe.ask(Duration::from_secs(5)).await.unwrap().stranded;
    assert_eq!(stranded().await, 1);
    let untouched = "select updated_at = created_at from dbos.workflow_status where name = 'test_greets'";
    assert_eq!(
        rig.database.psql(untouched).trim(),
        "t",
        "it was claimed and given back"
    );
    let _knows = rig.worker_of_types(&[Greets::WORKFLOW]);
    assert_eq!(client.output_of::<Greets>(&id).await.unwrap(), "hello you");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_row_without_a_version_goes_to_those_who_know_its_type() {
    let rig = Rig::new();
    let client = rig.client().await;
    // A newer version of the same application that knows other types.
    rig.database.psql(
        "insert into dbos.application_versions (version_id, version_name, version_timestamp, created_at, application_name) \
         values ('newer', 'other-9', 9999999999999, 0, 'abaci'); \
         insert into abaci.presence (executor_id, incarnation, host, pid, application_version, queue, concurrency, workflows) \
         values ('elsewhere/0', 'x', 'elsewhere', 999999999, 'other-9', 'default', 1, '{other}')",
    );
    rig.enqueue_foreign("unversioned", Greets::WORKFLOW, r#""you""#);
    rig.database
        .psql("update dbos.workflow_status set application_version = null where status = 'ENQUEUED'");
    // Only now, or it would take the row while that still has a version.
    let _worker = rig.worker_of_types(&[Greets::WORKFLOW]);
    let id = JobId::new("unversioned");
    let output = client.output_of::<Greets>(&id);
    let output = tokio::time::timeout(Duration::from_mins(1), output)
        .await
        .unwrap();
    assert_eq!(output.unwrap(), "hello you");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_task_or_an_output_that_cannot_travel_is_a_failure() {
    let rig = Rig::new();
    let _worker = rig.worker_of_types(&[Returns::WORKFLOW]);
    let client = rig.client().await;
    let named = [(300_000, "TooLarge"), (0, "UnknownTask"), (1, "UnreadableTask")];
    for (characters, name) in named {
        let options = SubmitOptions::default();
        let id = client.submit::<Returns>(&characters, options).await.unwrap();
        let ended = outcome(&client, &id).await;
        assert_eq!(
            (ended.state, &*ended.result.unwrap_err().name),
            (State::Failed, name)
        );
    }
    let id = client
        .submit::<Returns>(&3, SubmitOptions::default())
        .await
        .unwrap();
    assert_eq!(client.output_of::<Returns>(&id).await.unwrap(), "xxx");
}

#[tokio::test(flavor = "multi_thread")]
async fn nonsense_is_refused_by_clients_and_by_workers() {
    let rig = Rig::new();
    let _worker = rig.worker_of_types(&[Spins::WORKFLOW]);
    let client = rig.client().await;
    let busy = Busy {
        steps: 0,
        step: SHORT,
    };
    let refused = client.submit::<Spins>(&busy, SubmitOptions::default()).await;
    assert_eq!(refused.unwrap_err().to_string(), "steps is 0; give one at least");
    for (id, input, words) in [
        (
            "zero",
            r#"{"steps": 0, "step": {"bytes": 0, "ms": 0}}"#,
            "give one at least",
        ),
        ("text", r#""many""#, "the input \"many\" is refused"),
    ] {
        rig.enqueue_foreign(id, Spins::WORKFLOW, input);
        let ended = outcome(&client, &JobId::new(id)).await;
        let failure = ended.result.unwrap_err();
        assert_eq!((ended.state, &*failure.name), (State::Failed, "InvalidRequest"));
        assert!(failure.message.contains(words), "{failure}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn portable_inputs_of_foreign_clients_are_read() {
    let rig = Rig::new();
    let _worker = rig.worker_of_types(&[Greets::WORKFLOW]);
    let client = rig.client().await;
    for (id, input) in [
        ("plain", r#""you""#),
        ("positional", r#"{"positionalArgs": ["you"], "namedArgs": {}}"#),
    ] {
        rig.enqueue_foreign(id, Greets::WORKFLOW, input);
        let output = client.output_of::<Greets>(&JobId::new(id)).await.unwrap();
        assert_eq!(output, "hello you", "{id}");
    }
}
