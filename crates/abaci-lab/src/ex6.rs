//! ex6: an error against a panic against running out of memory, each in a step and in a body.
//!
//! Only an error is an outcome. A panic ends the task that runs the workflow: the engine records nothing, as after a crash,
//! but its process lives, so nobody recovers the row. Rust answers memory that it is refused with an abort, which no code
//! can catch, and recovery meets it again. (The kernel's out-of-memory killer sends SIGKILL instead; the row is the same.)

use std::any::Any;
use std::panic::{AssertUnwindSafe, set_hook};
use std::sync::Arc;
use std::time::Duration;

use dbos::step;
use futures_util::FutureExt;
use serde_json::{Value, json};
use tokio::sync::Notify;
use tokio::task::spawn_blocking;

use crate::Experiment;
use crate::actor::{Actor, Failed, Form};
use crate::crash::starve;
use crate::report::Findings;
use crate::stage::{Casting, Stage, how};

pub(crate) const EXPERIMENT: Experiment = Experiment {
    name: "ex6",
    title: "error, panic, out of memory",
    question: "What becomes of a workflow whose code returns an error, panics or runs out of memory?",
    method: "After some good steps a workflow fails in each of the three ways, in a step or in its body. A second process \
             with the same executor id recovers what is left, and meets the same fault. Once nothing is caught; once panics \
             are caught, and what eats memory runs in a process of its own.",
    pattern: "Make every failure an error: compute in `spawn_blocking`, which returns a panic, and put `catch_unwind` around \
              the body. What may eat memory is a step, in a process of its own, whose death is the step's error.",
    claim: "a panic left its row PENDING and its caller waiting, running out of memory killed every process that recovered \
            the row, and both became errors, recorded once, when they were caught",
    direct: |stage| direct(stage).boxed(),
    act: |actor| act(actor).boxed(),
};

/// How long a caller still waits for an outcome after a panic.
const PATIENCE: Duration = Duration::from_secs(1);

/// A line of the matrix: claimed are process, caller and row; texts are the case, what one might expect, and why.
struct Line {
    form: Form,
    fault: &'static str,
    claimed: [&'static str; 3],
    texts: [&'static str; 3],
}

#[rustfmt::skip]
const MATRIX: [Line; 5] = [
    Line { form: Form::Broken, fault: "error", claimed: ["exit 0", "bad input", "ERROR"], texts: [
        "an error", "it is recorded", "an error is an outcome, as a value is; there is nothing to recover" ] },
    Line { form: Form::Broken, fault: "panic", claimed: ["exit 0", "waits", "PENDING"], texts: [
        "a panic", "an error, or a crash that is recovered",
        "it ends the task of the workflow, not the process: nothing is recorded, and only a launch recovers the row" ] },
    Line { form: Form::Broken, fault: "oom", claimed: ["SIGABRT", "died with it", "PENDING"], texts: [
        "out of memory", "an error, or a recovery that helps",
        "the process aborts, with all other work in it; recovery runs the same code, which aborts again" ] },
    Line { form: Form::Right, fault: "panic", claimed: ["exit 0", "panic: bad luck", "ERROR"], texts: [
        "a panic, caught", "an error",
        "`spawn_blocking` (in a step) and `catch_unwind` (in a body) give the panic back, to be returned as an error" ] },
    Line { form: Form::Right, fault: "oom", claimed: ["exit 0", "its own process ended: SIGABRT", "ERROR"], texts: [
        "out of memory, in a process of its own", "an error",
        "only that process dies; what eats memory in a body has to become a step first" ] },
];

/// Directs every line, in a step and in a body at the same time.
async fn direct(stage: &Stage<'_>) -> anyhow::Result<Findings> {
    let mut findings = Findings::default();
    findings.fact("good_steps", 1 + stage.seed() % 3);
    findings.observed = true;
    for line in &MATRIX {
        let [process, caller, row] = line.claimed;
        let (step, body) = tokio::try_join!(recovered(stage, line, "step"), recovered(stage, line, "body"))?;
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

/// What a process leaves that meets the fault, and then one that recovers that.
async fn recovered(stage: &Stage<'_>, line: &Line, place: &str) -> anyhow::Result<[Value; 2]> {
    let id = format!("lab/{}/{}/{place}", line.form.name(), line.fault);
    let arguments = json!({ "fault": line.fault, "place": place, "good_steps": 1 + stage.seed() % 3 });
    let casting = || Casting {
        // A version each: under one, both would take what is recovered from the same queue.
        application_version: place,
        ..Casting::new(&id, arguments.clone())
    };
    let first = leave(stage, line.form, casting()).await?;
    let second = leave(stage, line.form, casting()).await?;
    Ok([first, second])
}

/// What one process leaves: how it ended, what its caller was told, how often the faulty code ran, the row's status.
async fn leave(stage: &Stage<'_>, form: Form, casting: Casting<'_>) -> anyhow::Result<Value> {
    let id = casting.executor_id.to_owned();
    let ended = stage.run(form, casting).await?;
    let row = format!("select status from workflow_status where workflow_uuid = '{id}'");
    let told = Some(ended.last("caller", "told")).filter(|told| !told.is_null());
    Ok(json!({
        "process": ended.how(),
        "caller": told.unwrap_or("died with it".into()),
        "ran": ended.all("work").count(),
        "row": stage.text(&row).await?,
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
                Form::Broken => body.await,
                Form::Right => {
                    let outcome = AssertUnwindSafe(body).catch_unwind().await;
                    outcome.unwrap_or_else(|panic| Err(caught(&*panic).into()))
                }
            }
        }
    })?;
    dbos.launch().await?;
    let input = (caller.argument("good_steps")?, fault, place);
    workflow.start_with(input, caller.start_options()).await?;
    // The handle of `start` would panic in its turn; this one asks the database.
    let outcome = dbos.retrieve_workflow::<(), Failed>(caller.executor_id())?;
    let told = tokio::select! {
        outcome = outcome.result() => outcome.map_or_else(|error| error.to_string(), |()| "done".to_owned()),
        () = panicked.notified().then(|()| tokio::time::sleep(PATIENCE)) => "waits".to_owned(),
    };
    caller.say("caller", json!({ "told": told }));
    dbos.shutdown().await;
    Ok(())
}

/// Some good steps, then the fault.
async fn body(actor: &Actor, input: &(u64, String, String)) -> dbos::Result<(), Failed> {
    let (good_steps, fault, place) = input;
    for _ in 0..*good_steps {
        step("prepare", || async { dbos::Result::<(), Failed>::Ok(()) }).await?;
    }
    match actor.form() {
        Form::Right if place == "step" || fault == "oom" => step("work", || apart(actor, fault)).await,
        Form::Broken if place == "step" => step("work", || async { Ok(work(actor, fault)?) }).await,
        _ => Ok(work(actor, fault)?),
    }
}

/// The right form of a step: away from the workflow's task, and from its process if that may run out of memory.
async fn apart(actor: &Actor, fault: &str) -> dbos::Result<(), Failed> {
    if fault == "oom" {
        actor.say("work", json!({ "fault": fault, "in": "a process of its own" }));
        let alone = actor.run_apart(json!({ "fault": fault, "place": "process" }));
        let ended = alone.await.map_or_else(|error| error.to_string(), how);
        return Err(Failed(format!("its own process ended: {ended}")))?;
    }
    let (actor, fault) = (actor.clone(), fault.to_owned());
    let joined = spawn_blocking(move || work(&actor, &fault)).await;
    Ok(joined.unwrap_or_else(|error| Err(caught(&*error.into_panic())))?)
}

fn work(actor: &Actor, fault: &str) -> Result<(), Failed> {
    actor.say("work", json!({ "fault": fault }));
    match fault {
        "panic" => panic!("bad luck"),
        "oom" => starve(),
        _ => Err(Failed("bad input".to_owned())),
    }
}

fn caught(panic: &(dyn Any + Send)) -> Failed {
    Failed(format!("panic: {}", panic.downcast_ref().unwrap_or(&"no words")))
}
