//! ex6: an error against a panic against running out of memory, each in a step and in a body.
//!
//! Only an error is an outcome. A panic ends the task that runs the workflow: the engine records nothing, as after a crash,
//! but its process lives, so nobody recovers the row. Rust answers memory that it is refused with an abort, which no code
//! can catch, and recovery meets it again. (The kernel's out-of-memory killer sends SIGKILL instead; the row is the same.)

use std::any::Any;
use std::future::ready;
use std::panic::{AssertUnwindSafe, set_hook};
use std::process::ExitStatus;
use std::sync::Arc;
use std::time::Duration;

use dbos::step;
use futures_util::FutureExt;
use serde_json::{Value, json};
use tokio::sync::Notify;
use tokio::task::spawn_blocking;

use crate::actor::{Actor, Form, StepFailed, StepResult};
use crate::crash::starve;
use crate::experiment::Experiment;
use crate::report::Findings;
use crate::sandbox::{RunConfig, Sandbox, how};

pub(crate) const EXPERIMENT: Experiment = Experiment {
    name: "ex6",
    title: "error, panic, out of memory",
    question: "What becomes of a workflow whose code returns an error, panics or runs out of memory?",
    method: "After some good steps a workflow fails in each of the three ways, in a step or in its body. A second \
             process with the same executor id recovers what is left, and meets the same fault. The broken form \
             catches nothing; the right one catches panics, and runs what eats memory in a process of its own.",
    pattern: "Make every failure an error: compute in `spawn_blocking`, which returns a panic, and put `catch_unwind` \
              around the body. What may eat memory is a step, in a process of its own, whose death is the step's \
              error.",
    claim: "a panic left its row PENDING and its caller waiting, running out of memory killed every process that \
            recovered the row, and both became errors, recorded once, when they were caught",
    conduct: |sandbox| conduct(sandbox).boxed(),
    act: |actor| act(actor).boxed(),
};

/// The time that a caller still waits for an outcome after a panic.
const PATIENCE: Duration = Duration::from_secs(1);

/// A line of the matrix: claimed are process, caller and row; texts are the case, what one might expect, and why.
struct MatrixLine {
    form: Form,
    fault: &'static str,
    claimed: [&'static str; 3],
    texts: [&'static str; 3],
}

#[rustfmt::skip]
const MATRIX: [MatrixLine; 5] = [
    MatrixLine { form: Form::Broken, fault: "error", claimed: ["exit 0", "bad input", "ERROR"], texts: [
        "an error", "it is recorded", "an error is an outcome, as a value is; there is nothing to recover" ] },
    MatrixLine { form: Form::Broken, fault: "panic", claimed: ["exit 0", "waits", "PENDING"], texts: [
        "a panic", "an error, or a crash that is recovered",
        "it ends the task of the workflow, not the process: nothing is recorded, and only a launch recovers the row" ] },
    MatrixLine { form: Form::Broken, fault: "oom", claimed: ["SIGABRT", "died with it", "PENDING"], texts: [
        "out of memory", "an error, or a recovery that helps",
        "the process aborts, with all other work in it; recovery runs the same code, which aborts again" ] },
    MatrixLine { form: Form::Right, fault: "panic", claimed: ["exit 0", "panic: bad luck", "ERROR"], texts: [
        "a panic, caught", "an error",
        "`spawn_blocking` (in a step) and `catch_unwind` (in a body) give the panic back, to be returned as an error" ] },
    MatrixLine { form: Form::Right, fault: "oom", claimed: ["exit 0", "its own process ended: SIGABRT", "ERROR"], texts: [
        "out of memory, in a process of its own", "an error",
        "only that process dies; what eats memory in a body has to become a step first" ] },
];

/// Conducts every line, in a step and in a body at the same time.
async fn conduct(sandbox: &Sandbox<'_>) -> anyhow::Result<Findings> {
    let mut findings = Findings::default();
    findings.fact("good_steps", 1 + sandbox.seed() % 3);
    findings.observed = true;
    for line in &MATRIX {
        let [process, caller, row] = line.claimed;
        let (step, body) =
            tokio::try_join!(recovered(sandbox, line, "step"), recovered(sandbox, line, "body"))?;
        let mut happened = Vec::new();
        for (place, lefts) in [("step", step), ("body", body)] {
            // Each process that recovers a PENDING row runs it; an outcome is run by none.
            let claimed = [1, u64::from(row == "PENDING")]
                .map(|ran| json!({ "process": process, "caller": caller, "ran": ran, "row": row }));
            findings.observed &= lefts == claimed;
            let words = ["process", "caller", "row"].map(|name| lefts[1][name].as_str().unwrap_or_default());
            happened.push(format!("{place}: {}", words.join(", ")));
            let fact = format!("{}_{}_{place}", line.form.name(), line.fault);
            findings.fact(&fact, lefts.to_vec());
        }
        findings.case(
            line.form,
            [line.texts[0], line.texts[1], &happened.join("; "), line.texts[2]],
        );
    }
    Ok(findings)
}

/// Runs a process that meets the fault, then one that recovers it, and returns what both leave.
async fn recovered(sandbox: &Sandbox<'_>, line: &MatrixLine, place: &str) -> anyhow::Result<[Value; 2]> {
    let id = format!("lab/{}/{}/{place}", line.form.name(), line.fault);
    let arguments = json!({ "fault": line.fault, "place": place, "good_steps": 1 + sandbox.seed() % 3 });
    let config = || RunConfig {
        // A version each: under one, both would take what is recovered from the same queue.
        application_version: place,
        ..RunConfig::new(&id, arguments.clone())
    };
    let first = leave(sandbox, line.form, config()).await?;
    let second = leave(sandbox, line.form, config()).await?;
    Ok([first, second])
}

/// Describes what one process leaves: its end, what its caller was told, how often the faulty code ran, the row's status.
async fn leave(sandbox: &Sandbox<'_>, form: Form, config: RunConfig<'_>) -> anyhow::Result<Value> {
    let id = config.executor_id.to_owned();
    let ended = sandbox.run(form, config).await?;
    let row = format!("select status from workflow_status where workflow_uuid = '{id}'");
    let told = Some(ended.last("caller", "told")).filter(|told| !told.is_null());
    Ok(json!({
        "process": ended.how(),
        "caller": told.unwrap_or("died with it".into()),
        "ran": ended.all("work").count(),
        "row": sandbox.text(&row).await?,
    }))
}

/// One process: runs the workflow, or goes on with it, and waits for it as a caller in any other process would.
async fn act(actor: Actor) -> anyhow::Result<()> {
    let (fault, place): (String, String) = (actor.argument("fault")?, actor.argument("place")?);
    if place == "process" {
        starve();
    }
    let panicked = Arc::new(Notify::new());
    let hooked = Arc::clone(&panicked);
    set_hook(Box::new(move |_| hooked.notify_one()));
    let (dbos, caller) = (actor.engine(), actor.clone());
    let workflow = dbos.register_workflow("work", move |input: (u64, String, String)| {
        let actor = actor.clone();
        async move {
            let body = body(&actor, &input);
            match actor.form() {
                // ANCHOR: broken
                // A panic ends the workflow's task, and is lost.
                Form::Broken => body.await,
                // ANCHOR_END: broken
                Form::Right => caught_around(body).await,
            }
        }
    })?;
    dbos.launch().await?;
    let input = (caller.argument("good_steps")?, fault, place);
    workflow.start_with(input, caller.start_options()).await?;
    // The handle of `start` would panic in its turn; this one asks the database.
    let outcome = dbos.retrieve_workflow::<(), StepFailed>(caller.executor_id())?;
    let told = tokio::select! {
        outcome = outcome.result() => outcome.map_or_else(|error| error.to_string(), |()| "done".to_owned()),
        () = panicked.notified().then(|()| tokio::time::sleep(PATIENCE)) => "waits".to_owned(),
    };
    caller.send("caller", json!({ "told": told }));
    dbos.shutdown().await;
    Ok(())
}

/// Some good steps, then the fault.
async fn body(actor: &Actor, input: &(u64, String, String)) -> StepResult<()> {
    let (good_steps, fault, place) = input;
    for _ in 0..*good_steps {
        step("prepare", || async { StepResult::Ok(()) }).await?;
    }
    match actor.form() {
        Form::Broken if place == "step" => in_the_workflow(actor, fault).await,
        Form::Right if fault == "oom" => step("work", || in_own_process(actor, fault)).await,
        Form::Right if place == "step" => step("work", || in_own_thread(actor, fault)).await,
        _ => work(actor, fault),
    }
}

async fn in_the_workflow(actor: &Actor, fault: &str) -> StepResult<()> {
    // ANCHOR: broken
    // Here too; a lack of memory ends the process.
    step("work", || ready(work(actor, fault))).await
    // ANCHOR_END: broken
}

async fn caught_around(body: impl Future<Output = StepResult<()>>) -> StepResult<()> {
    // ANCHOR: right
    // A panic in the body becomes its error.
    let outcome = AssertUnwindSafe(body).catch_unwind().await;
    outcome.unwrap_or_else(|panic| Err(caught(&*panic)))
    // ANCHOR_END: right
}

async fn in_own_thread(actor: &Actor, fault: &str) -> StepResult<()> {
    let (actor, fault) = (actor.clone(), fault.to_owned());
    // ANCHOR: right
    // So does a panic in a step's own thread.
    let done = spawn_blocking(move || work(&actor, &fault)).await;
    done.unwrap_or_else(|error| Err(caught(&*error.into_panic())))
    // ANCHOR_END: right
}

async fn in_own_process(actor: &Actor, fault: &str) -> StepResult<()> {
    actor.send("work", json!({ "fault": fault, "in": "a process of its own" }));
    let arguments = json!({ "fault": fault, "place": "process" });
    // ANCHOR: right
    // And so does the death of a step's own process.
    Err(died(actor.run_apart(arguments).await))
    // ANCHOR_END: right
}

fn work(actor: &Actor, fault: &str) -> StepResult<()> {
    actor.send("work", json!({ "fault": fault }));
    match fault {
        "panic" => panic!("bad luck"),
        "oom" => starve(),
        _ => Err(StepFailed("bad input".to_owned()).into()),
    }
}

fn caught(panic: &(dyn Any + Send)) -> dbos::Error<StepFailed> {
    StepFailed(format!("panic: {}", panic.downcast_ref().unwrap_or(&"no words"))).into()
}

fn died(ended: anyhow::Result<ExitStatus>) -> dbos::Error<StepFailed> {
    let ended = ended.map_or_else(|error| error.to_string(), how);
    StepFailed(format!("its own process ended: {ended}")).into()
}
