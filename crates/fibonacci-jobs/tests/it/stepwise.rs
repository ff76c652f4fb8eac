//! A workflow of thousands of steps: what each holds, what a replay takes from them, and what it costs.

use std::time::{Duration, Instant};

use durable_jobs::client::{CancelOutcome, SubmitOptions};
use durable_jobs::record::FailureKind;
use durable_jobs::{Client, JobId, State, Worker};
use fibonacci_jobs::record::Fault;
use fibonacci_jobs::{Algorithm, Limits, Request, new_jobs, server_types};
use testkit::{Deadline, eventually};

use crate::rig::{Rig, algorithm_of, n_of, outcome, outcomes};

fn stepwise(n: u64) -> Request {
    Request::with(n, Algorithm::Stepwise)
}

fn iterative(n: u64) -> String {
    fibonacci::iterative(n, &fibonacci::unobserved)
        .unwrap()
        .to_string()
}

/// Number, name and begin of every recorded step, in order.
fn recorded(rig: &Rig) -> Vec<String> {
    let select = "select function_id, function_name, started_at_epoch_ms from dbos.operation_outputs order by function_id";
    rig.database.psql(select).lines().map(str::to_owned).collect()
}

async fn submit(client: &Client, request: Request) -> JobId {
    client.submit_job(request.job()).await.unwrap()
}

/// Waits until over `count` steps are recorded.
fn await_steps(rig: &Rig, count: usize) {
    let select = "select count(*) from dbos.operation_outputs";
    eventually("recorded steps", || {
        rig.database.psql(select).trim().parse::<usize>().unwrap() > count
    });
}

async fn worker_with_faults(rig: &Rig) -> Worker {
    let mut settings = rig.settings();
    settings.job_types = server_types(Limits::default(), true);
    Worker::start(settings).await.unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn every_index_is_a_recorded_step_and_the_smallest_have_none() {
    let rig = Rig::new();
    let (_worker, client) = (rig.worker().await, rig.client().await);
    for n in [0, 1, 2, 3, 94, 300] {
        let id = submit(&client, stepwise(n)).await;
        let result = outcome(&client, &id).await.result.unwrap();
        assert_eq!(result.value, Some(iterative(n)), "F({n})");
        assert_eq!(
            (result.n, result.algorithm, result.attempts),
            (n, Algorithm::Stepwise, 1)
        );
        result.verify().unwrap();
        let names: Vec<String> = client
            .show(&id)
            .await
            .unwrap()
            .steps
            .into_iter()
            .enumerate()
            .map(|(position, step)| {
                assert_eq!(usize::try_from(step.id).unwrap(), position, "a step is missing");
                step.name
            })
            .collect();
        let additions = usize::try_from(n.saturating_sub(1)).unwrap();
        let mut expected = vec!["add"; additions];
        expected.extend(["certify", "publish"]);
        assert_eq!(names, expected, "F({n})");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_drained_stepwise_job_ends_as_a_straight_run_does() {
    let rig = Rig::new();
    let client = rig.client().await;
    let id = submit(&client, stepwise(1500)).await;
    for stop in 1..=4 {
        let worker = rig.worker().await;
        await_steps(&rig, stop * 200);
        let before = recorded(&rig);
        let report = worker.drain(Duration::ZERO).await;
        assert_eq!((report.finished, report.handed_back), (0, 1));
        let after = recorded(&rig);
        assert_eq!(after[..before.len()], before[..], "a recorded step ran again");
    }
    let before = recorded(&rig);
    let _worker = rig.worker().await;
    let result = outcome(&client, &id).await.result.unwrap();
    assert_eq!(result.value, Some(iterative(1500)));
    assert_eq!(result.attempts, 1, "a hand-back was counted as a death");
    let after = recorded(&rig);
    assert_eq!(after[..before.len()], before[..], "a recorded step ran again");
    assert_eq!(after.len(), 1501);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_recorded_is_what_is_added_up() {
    let rig = Rig::new();
    let client = rig.client().await;
    let id = submit(&client, stepwise(1000)).await;
    let worker = rig.worker().await;
    await_steps(&rig, 100);
    worker.drain(Duration::ZERO).await;
    // The last recorded value is made one larger; only a replay that takes it from there can notice.
    rig.database.psql(
        "update dbos.operation_outputs set output = jsonb_set(output::jsonb, '{value}', '\"1\"')::text \
         where function_id = (select max(function_id) from dbos.operation_outputs)",
    );
    let _worker = rig.worker().await;
    let failure = outcome(&client, &id).await.result.unwrap_err();
    assert_eq!(
        (failure.name.as_str(), failure.data.kind),
        ("CertificateMismatch", FailureKind::Terminal),
        "{failure}"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_cancellation_and_a_timeout_reach_it_between_two_steps() {
    let rig = Rig::new();
    let (worker, client) = (rig.worker().await, rig.client().await);
    let is_free = || worker.running().is_empty();
    let id = submit(&client, stepwise(10_000)).await;
    await_steps(&rig, 50);
    assert_eq!(client.cancel(&id).await.unwrap(), CancelOutcome::Cancelled);
    Deadline::after(Duration::from_millis(500)).eventually("the end of the cancelled job", is_free);
    let options = SubmitOptions {
        timeout: Some(Duration::from_millis(300)),
        ..SubmitOptions::default()
    };
    let late = JobId::fresh();
    let submitted = Instant::now();
    client
        .submit_all(&[stepwise(10_000).job_as(late.clone())], options)
        .await
        .unwrap();
    assert_eq!(outcome(&client, &late).await.state, State::Cancelled);
    eventually("the end of the late job", is_free);
    assert!(
        submitted.elapsed() < Duration::from_millis(800),
        "{:?}",
        submitted.elapsed()
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn the_report_says_how_far_it_is() {
    let rig = Rig::new();
    let (worker, client) = (rig.worker().await, rig.client().await);
    let id = submit(&client, stepwise(2000)).await;
    await_steps(&rig, 500);
    let report = worker.observer().report();
    let [job] = &report.running[..] else {
        panic!("{report:#?}")
    };
    assert_eq!(
        (
            n_of(&job.details),
            algorithm_of(&job.details),
            job.step.as_deref()
        ),
        (Some(2000), Some(Algorithm::Stepwise), Some("add"))
    );
    assert!(
        job.progress.is_some_and(|share| (0.25..1.0).contains(&share)),
        "{job:#?}"
    );
    client.cancel(&id).await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn an_error_in_a_step_is_met_by_another_attempt_of_that_step() {
    let rig = Rig::new();
    let (_worker, client) = (worker_with_faults(&rig).await, rig.client().await);
    let mut request = stepwise(60);
    request.fault = Some("error@57".parse().unwrap());
    let id = submit(&client, request).await;
    let result = outcome(&client, &id).await.result.unwrap();
    assert_eq!((result.value, result.attempts), (Some(iterative(60)), 1));
    let detail = client.show(&id).await.unwrap();
    let took = |index: usize| {
        let step = &detail.steps[index - 2];
        step.completed_at_ms.unwrap() - step.started_at_ms.unwrap()
    };
    assert!(
        took(57) >= 1000,
        "the step of index 57 did not fail: {} ms",
        took(57)
    );
    assert!(took(56) < 1000 && took(58) < 1000);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_worker_without_faults_refuses_a_job_that_asks_for_one() {
    let rig = Rig::new();
    let (_worker, client) = (rig.worker().await, rig.client().await);
    let mut request = stepwise(60);
    request.fault = Some("segfault@57".parse().unwrap());
    let failure = outcome(&client, &submit(&client, request).await)
        .await
        .result
        .unwrap_err();
    assert_eq!(
        (failure.name.as_str(), failure.data.kind),
        ("FaultsDisabled", FailureKind::Terminal)
    );
    assert!(
        failure.message.contains("segfault@57") && failure.message.contains("--enable-faults"),
        "{failure}"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_client_refuses_what_no_worker_would_run() {
    let rig = Rig::new();
    let client = rig.client().await;
    let with = |request: Request, fault: &str| Request {
        fault: Some(fault.parse::<Fault>().unwrap()),
        ..request
    };
    for (request, words) in [
        (
            stepwise(10_001),
            "n is 10001, over the limit of 10000 for the algorithm stepwise; use doubling",
        ),
        (
            with(Request::new(10), "abort@5"),
            "fault abort@5 needs the algorithm stepwise, and the job uses doubling",
        ),
        (
            with(stepwise(10), "abort@11"),
            "fault abort@11 has no step to strike in F(10)",
        ),
        (
            with(stepwise(10), "abort@1"),
            "fault abort@1 has no step to strike in F(10)",
        ),
    ] {
        let error = client.submit_job(request.job()).await.unwrap_err().to_string();
        assert!(error.contains(words), "{error}");
    }
    assert_eq!(
        rig.database
            .psql("select count(*) from dbos.workflow_status")
            .trim(),
        "0"
    );
}

/// Inputs of the workflow `fibonacci_stepwise` that ask for F(10).
const GOOD: [&str; 6] = [
    "10",
    "[10]",
    "{\"n\": 10}",
    "{\"n\": 10, \"algorithm\": \"stepwise\"}",
    "{\"positionalArgs\": [10], \"namedArgs\": {}}",
    "{\"positionalArgs\": [10, \"stepwise\"], \"namedArgs\": {}}",
];

/// A workflow, an input that it refuses, and words of the failure.
const BAD: [(&str, &str, &str); 5] = [
    (
        "fibonacci_stepwise",
        "{\"n\": 10, \"algorithm\": \"doubling\"}",
        "not run by the workflow \"fibonacci_stepwise\"; enqueue \"fibonacci_workflow\"",
    ),
    (
        "fibonacci_workflow",
        "{\"n\": 10, \"algorithm\": \"stepwise\"}",
        "not run by the workflow \"fibonacci_workflow\"; enqueue \"fibonacci_stepwise\"",
    ),
    (
        "fibonacci_stepwise",
        "10001",
        "n is 10001, over the limit of 10000 for the algorithm stepwise",
    ),
    (
        "fibonacci_stepwise",
        "{\"n\": 10, \"fault\": 3}",
        "fault is \"3\", which does not exist",
    ),
    (
        "fibonacci_workflow",
        "{\"n\": 10, \"fault\": \"abort@3\"}",
        "needs the algorithm stepwise",
    ),
];

#[tokio::test(flavor = "multi_thread")]
async fn foreign_rows_of_another_workflow_are_refused() {
    let rig = Rig::new();
    let (_worker, client) = (rig.worker().await, rig.client().await);
    for (index, input) in GOOD.iter().enumerate() {
        rig.enqueue_foreign(&format!("good-{index}"), "fibonacci_stepwise", input);
    }
    for (index, (name, input, _)) in BAD.iter().enumerate() {
        rig.enqueue_foreign(&format!("bad-{index}"), name, input);
    }
    let ids =
        |kind: &'static str, count: usize| (0..count).map(move |index| JobId::new(format!("{kind}-{index}")));
    for ended in outcomes(&client, ids("good", GOOD.len())).await {
        let result = ended.result.unwrap();
        assert_eq!(
            (result.value.as_deref(), result.algorithm),
            (Some("55"), Algorithm::Stepwise)
        );
    }
    for ended in outcomes(&client, ids("bad", BAD.len())).await {
        let index: usize = ended.id.as_str()["bad-".len()..].parse().unwrap();
        let (name, input, words) = BAD[index];
        let failure = ended.result.unwrap_err();
        assert!(failure.message.contains(words), "{name} {input}: {failure}");
        assert_eq!(failure.data.kind, FailureKind::Terminal);
    }
    let listed = client.list(&durable_jobs::JobFilter::default()).await.unwrap();
    assert_eq!(listed.len(), GOOD.len() + BAD.len(), "a job is not listed");
    let read = listed
        .iter()
        .filter(|job| algorithm_of(&job.details) == Some(Algorithm::Stepwise));
    // The two whose limit or fault is wrong can be read and say what they asked for.
    assert!(read.count() > GOOD.len());
}

#[tokio::test(flavor = "multi_thread")]
async fn an_id_of_one_workflow_is_refused_for_the_other() {
    let rig = Rig::new();
    let client = rig.client().await;
    let id = JobId::new("mine");
    let submit = async |request| {
        let job = [(id.clone(), request)];
        client.submit_all(&new_jobs(&job), SubmitOptions::default()).await
    };
    submit(stepwise(10)).await.unwrap();
    submit(stepwise(10)).await.unwrap();
    for other in [Request::new(10), stepwise(11)] {
        let error = submit(other).await.unwrap_err().to_string();
        assert!(
            error.starts_with("job mine exists already with the input"),
            "{error}"
        );
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_index_costs_what_an_index_costs_however_many_came_before() {
    let rig = Rig::new();
    let (_worker, client) = (rig.worker().await, rig.client().await);
    let id = submit(&client, stepwise(5000)).await;
    let result = outcome(&client, &id).await.result.unwrap();
    assert_eq!(result.digits, 1045);
    // The fastest of twenty spans, since the machine has other things to do.
    let milliseconds = |first: u32| -> f64 {
        let spans = format!(
            "select min(span) from ( \
             select max(completed_at_epoch_ms) - min(started_at_epoch_ms) as span from dbos.operation_outputs \
             where function_id between {first} and {first} + 999 group by function_id / 50) as spans"
        );
        rig.database.psql(&spans).trim().parse().unwrap()
    };
    let (early, late) = (milliseconds(500), milliseconds(3900));
    assert!(
        late < 2.5 * early,
        "fifty indices took {early} ms after 500 and {late} ms after 3,900"
    );
    let widest = "select max(octet_length(output)) from dbos.operation_outputs where function_name = 'add'";
    let widest: u32 = rig.database.psql(widest).trim().parse().unwrap();
    assert!(
        widest < 1000,
        "a checkpoint holds more than its value: {widest} bytes"
    );
}
