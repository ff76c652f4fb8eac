//! ex9: a job that kills every worker it meets. It is recovered each time, and meets the next one.
//!
//! Recovery is right about a worker that died by accident, and wrong about one that died of the job: a process that is
//! gone cannot say which. What can be known is how often a job was started and not finished. The engine counts that
//! in the job's row, and gives up after about 100 starts, which cannot be changed; so the right form parks the job sooner, as
//! in ex2, which shows how it is resumed. It may be unjust to a job that was only there when its workers died of something
//! else, so a person has to look at it.

use std::future::{Ready, ready};
use std::time::Duration;

use dbos::{Client, ClientConfig, Config, DBOS, Enqueue, EnqueueOptions};
use dbos::{QueueConflict, QueueOptions, step};
use futures_util::FutureExt;
use serde_json::json;

use crate::actor::{Actor, Form, StepFailed};
use crate::crash::segfault;
use crate::experiment::Experiment;
use crate::parking::{DEATHS_TO_PARK, POISON, poison, starts};
use crate::report::Findings;
use crate::sandbox::{RunConfig, Sandbox};

pub(crate) const EXPERIMENT: Experiment = Experiment {
    name: "ex9",
    title: "a job that kills its workers",
    question: "What becomes of a queue with a job at its front that kills every process that runs it?",
    method: "A queue has four jobs to square a number, of which the first kills its process with a segmentation fault. \
             A worker that died is started again with the same executor id, up to four times. The broken form runs \
             whatever it is given; the right one looks first how often the job was started already. The rows of the \
             queue are listed with their status and how often they were started.",
    pattern: "Count the starts of a job outside of the process that may die of it. Park a job that three processes \
              died of: before its first step, end it with an error that says so, and let a person resume it (ex2).",
    claim: "a job that kills its workers is started by each of them and stops the queue; parked at its fourth start, \
            it ends with an error that tells why, and the jobs behind it are done",
    conduct: |sandbox| conduct(sandbox).boxed(),
    act: |actor| act(actor).boxed(),
};

/// Number of workers, one after the other.
const WORKERS: usize = 4;

/// The jobs, in the order of the queue.
const JOBS: [&str; 4] = ["poison", "good-1", "good-2", "good-3"];

/// Their rows, each as its name, its status and how often it was started.
const ROWS: &str = "select string_agg(concat_ws(' ', split_part(workflow_uuid, '/', 3), status, recovery_attempts), ', ' \
                    order by priority) from workflow_status where queue_name = ";

async fn conduct(sandbox: &Sandbox<'_>) -> anyhow::Result<Findings> {
    let mut findings = Findings::default();
    for form in [Form::Broken, Form::Right] {
        direct_form(sandbox, form, &mut findings).await?;
    }
    let before = "poison ENQUEUED 0, good-1 ENQUEUED 0, good-2 ENQUEUED 0, good-3 ENQUEUED 0";
    let expected = json!({
        "broken_before": before,
        "broken_deaths": 4,
        "broken_good_done": 0,
        "broken_after": "poison PENDING 4, good-1 ENQUEUED 0, good-2 ENQUEUED 0, good-3 ENQUEUED 0",
        "broken_poison": null,
        "right_before": before,
        "right_deaths": 3,
        "right_good_done": 3,
        "right_after": "poison ERROR 4, good-1 SUCCESS 1, good-2 SUCCESS 1, good-3 SUCCESS 1",
        "right_poison": POISON,
    });
    findings.observed = json!(findings.facts) == expected;
    Ok(findings)
}

/// Fills a queue, and starts workers on it until one of them has done all there is to do, or four are dead.
async fn direct_form(sandbox: &Sandbox<'_>, form: Form, findings: &mut Findings) -> anyhow::Result<()> {
    let queue = format!("lab/{}", form.name());
    let rows = format!("{ROWS} '{queue}'");
    let poison = 10 + sandbox.seed() % 10;
    let filler = RunConfig::new(&queue, json!({ "poison": poison, "fill": true }));
    sandbox.run(form, filler).await?;
    let before = sandbox.text(&rows).await?.unwrap_or_default();
    let (mut deaths, mut outcome) = (0, json!(null));
    while deaths < WORKERS {
        let worker = RunConfig::new(&queue, json!({ "poison": poison, "fill": false }));
        let worker = sandbox.run(form, worker).await?;
        outcome = worker.last("poison", "outcome");
        if worker.how() != "SIGSEGV" {
            break;
        }
        deaths += 1;
    }
    let after = sandbox.text(&rows).await?.unwrap_or_default();
    let (case, why) = match form {
        Form::Broken => (
            "every job is run, whatever it did",
            "the launch of each worker recovers what the one before it was doing, and that is again the poison; the \
             engine itself gives up after about 100 starts",
        ),
        Form::Right => (
            "a job that three workers died of is parked",
            "the count is in the row of the job, where it survives the worker; an error is an outcome, so nothing recovers \
             the job any more, and the queue goes on",
        ),
    };
    let happened = format!("{deaths} workers died; then status and starts are: {after}");
    findings.case(form, [case, "the other jobs are done", &happened, why]);
    let good_done = after.matches("SUCCESS").count();
    let mut fact = |name, value| findings.fact(&format!("{}_{name}", form.name()), value);
    fact("before", json!(before));
    fact("deaths", json!(deaths));
    fact("good_done", json!(good_done));
    fact("after", json!(after));
    fact("poison", outcome);
    Ok(())
}

/// One process: fills the queue, or works on it until all is done.
async fn act(actor: Actor) -> anyhow::Result<()> {
    let (queue, poison) = (actor.executor_id().to_owned(), actor.argument("poison")?);
    let config = actor.engine().config().clone();
    if actor.argument("fill")? {
        fill(config, &queue, poison).await?;
        actor.send("filled", json!({ "jobs": JOBS.len() }));
        return Ok(());
    }
    let dbos = DBOS::new(Config {
        listen_queues: Some(vec![queue.clone()]),
        ..config
    });
    let player = actor.clone();
    dbos.register_workflow("square", move |n: u64| square(player.clone(), n, poison))?;
    dbos.launch().await?;
    for job in JOBS {
        let outcome = dbos.retrieve_workflow::<u64, StepFailed>(&format!("{queue}/{job}"))?;
        let outcome = outcome.result().await.map(|value| value.to_string());
        let outcome = outcome.unwrap_or_else(|error| error.to_string());
        actor.send(job, json!({ "outcome": outcome }));
    }
    dbos.shutdown().await;
    Ok(())
}

/// Fills the queue, as any client would: the poison is the most urgent job.
async fn fill(config: Config, queue: &str, poison: u64) -> anyhow::Result<()> {
    let client = Client::connect(ClientConfig {
        schema: config.schema,
        ..ClientConfig::new(config.database_url)
    });
    let client = client.await?;
    let options = QueueOptions {
        worker_concurrency: Some(1),
        polling_interval: Duration::from_millis(10),
        priority_enabled: true,
        ..QueueOptions::default()
    };
    client
        .register_queue(queue, options, QueueConflict::AlwaysUpdate)
        .await?;
    for ((job, n), priority) in JOBS.iter().zip([poison, 1, 2, 3]).zip(1..) {
        let options = EnqueueOptions {
            workflow_id: Some(&format!("{queue}/{job}")),
            app_version: config.app_version.as_deref(),
            ..EnqueueOptions::on(Enqueue {
                priority: Some(priority),
                ..Enqueue::new(queue)
            })
        };
        client
            .enqueue_with::<_, u64, StepFailed>("square", n, options)
            .await?;
    }
    client.close().await;
    Ok(())
}

/// The body of a job.
async fn square(actor: Actor, n: u64, poison: u64) -> dbos::Result<u64, StepFailed> {
    match actor.form() {
        Form::Broken => run_whatever_it_did(&actor, n, poison).await,
        Form::Right => park_after_three_deaths(&actor, n, poison).await,
    }
}

async fn run_whatever_it_did(actor: &Actor, n: u64, killer: u64) -> dbos::Result<u64, StepFailed> {
    // ANCHOR: broken
    // Every start runs the job that the last worker died of.
    step("square", || work(actor, n, killer)).await
    // ANCHOR_END: broken
}

async fn park_after_three_deaths(actor: &Actor, n: u64, killer: u64) -> dbos::Result<u64, StepFailed> {
    // ANCHOR: right
    // Not a step: a recorded count would never grow.
    if starts(actor).await > DEATHS_TO_PARK {
        return Err(poison().into());
    }
    step("square", || work(actor, n, killer)).await
    // ANCHOR_END: right
}

fn work(actor: &Actor, n: u64, killer: u64) -> Ready<dbos::Result<u64, StepFailed>> {
    actor.send("step", json!({ "n": n }));
    if n == killer {
        actor.send("crash", json!({ "n": n, "by": "SIGSEGV" }));
        segfault();
    }
    ready(Ok(n * n))
}
