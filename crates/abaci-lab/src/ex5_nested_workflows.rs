//! ex5: nesting. One function runs five steps; it is called from inside a step, from a spawned task, from the body of a
//! workflow, and as the body of a child workflow. The process dies in the middle of it.
//!
//! A step is a leaf: its record stands for all that it did, so what it calls has none, and runs again if the step did not
//! end. A task does not know which workflow spawned it. What a body calls, however deep in plain functions, are its own
//! steps. A child workflow has a row and steps of its own, and an id that its parent finds again.

use dbos::{WorkflowRef, step};
use futures_util::FutureExt;
use serde_json::{Map, Value, json};
use tokio::spawn;
use tokio::task::JoinHandle;

use crate::actor::{Actor, Form, StepFailed, StepResult};
use crate::crash::segfault;
use crate::experiment::Experiment;
use crate::report::{Findings, listed};
use crate::sandbox::{EndedActor, RunConfig, Sandbox};

pub(crate) const EXPERIMENT: Experiment = Experiment {
    name: "ex5",
    title: "nested steps and workflows",
    question: "From where may a workflow call steps and other workflows, and what of it runs again after a crash?",
    method: "The same five steps are called in four places: inside a step, in a spawned task, by a plain function that the body \
             calls, and by a child workflow. A segmentation fault strikes in the middle. A workflow inside a step is tried too.",
    pattern: "Call steps and start child workflows from the body, directly or through plain functions. Inside a step do plain \
              work, small enough to be repeated.",
    claim: "steps inside a step or a spawned task leave no records and all run again, and a workflow there is refused; steps of \
            a plain function and of a child workflow are recorded, and only the one that was running runs again",
    conduct: |sandbox| conduct(sandbox).boxed(),
    act: |actor| act(actor).boxed(),
};

const PARTS: u64 = 5;

/// The place and the part in which a process is to die.
type CrashPoint = Option<(String, u64)>;

/// Conducts both forms: a process dies in each place that can go on after it, and the last one finishes.
async fn conduct(sandbox: &Sandbox<'_>) -> anyhow::Result<Findings> {
    let part = 2 + sandbox.seed() % 3;
    let mut findings = Findings::default();
    findings.fact("crash_part", part);
    for (form, crashes) in [
        (Form::Broken, &["step"][..]),
        (Form::Right, &["function", "child"]),
    ] {
        let id = format!("lab/{}", form.name());
        let mut run_form = Vec::new();
        let crashes = crashes.iter().map(|place| json!([place, part]));
        for crash in crashes.chain([Value::Null]) {
            let config = RunConfig::new(&id, json!({ "crash": crash }));
            run_form.push(sandbox.run(form, config).await?);
        }
        let mut fact = |name: &str, value: Value| findings.fact(&format!("{}_{name}", form.name()), value);
        fact("ends", run_form.iter().map(EndedActor::how).collect());
        for place in ["step", "task", "function", "child"] {
            fact(place, run_form.iter().map(|ended| ran(ended, place)).collect());
        }
        let last = &run_form[run_form.len() - 1];
        fact("refusal", last.last("refused", "error"));
        fact("outcome", last.last("outcome", "value"));
        let workflow = "workflow_uuid || ' ' || status || coalesce(', child of ' || parent_workflow_id, '')";
        fact(
            "workflows",
            list(sandbox, workflow, "workflow_status", &id).await?,
        );
        let record = "workflow_uuid || ' step ' || function_id || ' ' || function_name || coalesce(' of ' || child_workflow_id, '')";
        fact("records", list(sandbox, record, "operation_outputs", &id).await?);
    }
    findings.observed = is_observed(&findings.facts, part);
    tell_cases(&mut findings);
    Ok(findings)
}

/// The parts that a process really ran in a place.
fn ran(ended: &EndedActor, place: &str) -> Vec<u64> {
    let ran = ended.all("ran").filter(|details| details["in"] == place);
    ran.filter_map(|details| details["part"].as_u64()).collect()
}

/// A line for each row about a workflow and its children.
async fn list(sandbox: &Sandbox<'_>, line: &str, table: &str, id: &str) -> anyhow::Result<Value> {
    let lines = format!("select {line} line from {table} where workflow_uuid like '{id}%'");
    let query = format!("select json_agg(line order by line collate \"C\")::text from ({lines}) lines");
    let lines = sandbox.text(&query).await?.unwrap_or_default();
    Ok(serde_json::from_str(&lines)?)
}

fn is_observed(facts: &Map<String, Value>, part: u64) -> bool {
    let parts = |first: u64, last: u64| (first..=last).collect::<Vec<_>>();
    let (all, until, from, none) = (parts(1, PARTS), parts(1, part), parts(part, PARTS), parts(1, 0));
    facts["broken_ends"] == json!(["SIGSEGV", "exit 0"])
        && facts["broken_step"] == json!([until, all])
        && facts["broken_task"] == json!([all, all])
        && facts["broken_records"] == json!(["lab/broken step 0 start_child", "lab/broken step 1 all_parts"])
        && facts["broken_refusal"] == "starting a workflow cannot be called from within a step"
        && facts["right_ends"] == json!(["SIGSEGV", "SIGSEGV", "exit 0"])
        && facts["right_function"] == json!([until, from, none])
        && facts["right_child"] == json!([none, until, from])
        && facts["right_workflows"] == json!(["lab/right SUCCESS", "lab/right-5 SUCCESS, child of lab/right"])
        && facts["right_records"].as_array().map(Vec::len) == Some(12)
        && facts["broken_outcome"] == facts["right_outcome"]
}

#[rustfmt::skip]
fn tell_cases(findings: &mut Findings) {
    let facts = findings.facts.clone();
    let ran = |name: &str| {
        let processes = facts[name].as_array().into_iter().flatten().zip(1..);
        let ran = processes.map(|(parts, number)| match listed(parts) {
            parts if parts.is_empty() => format!("process {number} ran none"),
            parts => format!("process {number} ran parts {parts}"),
        });
        ran.collect::<Vec<_>>().join("; ")
    };
    let recorded = "recorded, and not run again";
    findings.case(Form::Broken, [
        "a step inside a step", recorded, &ran("broken_step"),
        "the step around it is the record, and it had not ended: all of it is repeated" ]);
    findings.case(Form::Broken, [
        "a step in a spawned task", recorded, &ran("broken_task"),
        "a task does not belong to the workflow that spawned it, so its steps are plain calls" ]);
    findings.case(Form::Broken, [
        "a workflow inside a step", "a child workflow", facts["broken_refusal"].as_str().unwrap_or_default(),
        "a child's id comes from its parent's next place, and inside a step there is none" ]);
    findings.case(Form::Right, [
        "steps of a plain function that the body calls", recorded, &ran("right_function"),
        "they are the workflow's own steps" ]);
    findings.case(Form::Right, [
        "a child workflow that the body starts", recorded, &ran("right_child"),
        "its id is the parent's with the place of the start, so the parent finds it again; it recovers by itself" ]);
}

/// One process: runs the parent, or goes on with it and its child.
async fn act(actor: Actor) -> anyhow::Result<()> {
    let parts = FiveSteps {
        crash: actor.argument("crash")?,
        actor: actor.clone(),
    };
    let dbos = actor.engine();
    let of_child = parts.clone();
    let child = dbos.register_workflow("child", move |(): ()| of_child.clone().run("child"))?;
    let parent = dbos.register_workflow("parent", move |(): ()| {
        let (parts, child) = (parts.clone(), child.clone());
        async move {
            match parts.actor.form() {
                Form::Broken => nested(&parts, &child).await,
                Form::Right => flat(&parts, &child).await,
            }
        }
    })?;
    dbos.launch().await?;
    let outcome = parent.start_with((), actor.start_options()).await?.result().await;
    actor.send_outcome(&outcome);
    dbos.shutdown().await;
    Ok(())
}

/// The broken form: a workflow inside a step, steps in a task, steps inside a step.
async fn nested(parts: &FiveSteps, child: &WorkflowRef<(), u64, StepFailed>) -> StepResult<u64> {
    // ANCHOR: broken
    // Inside a step no workflow can start.
    let refused = step("start_child", || child.run(())).await;
    // ANCHOR_END: broken
    if let Err(error) = refused {
        parts.actor.send("refused", json!({ "error": error.to_string() }));
    }
    // ANCHOR: broken
    // A task belongs to no workflow: its steps are calls.
    let task = spawn(parts.clone().run("task"));
    let from_task = joined(task).await?;

    // So are the steps inside a step.
    let inside = || parts.clone().run("step");
    let from_step = step("all_parts", inside).await?;
    // ANCHOR_END: broken
    Ok(from_task + from_step)
}

/// The right form: the body calls a plain function, and starts a child.
async fn flat(parts: &FiveSteps, child: &WorkflowRef<(), u64, StepFailed>) -> StepResult<u64> {
    // ANCHOR: right
    // The steps of a plain function are the body's own.
    let of_body = parts.clone().run("function").await?;

    // A child has a row, an id and steps of its own.
    let handle = child.start(()).await?;
    let of_child = handle.result().await?;
    // ANCHOR_END: right
    Ok(of_body + of_child)
}

async fn joined(task: JoinHandle<StepResult<u64>>) -> StepResult<u64> {
    task.await.map_err(|error| StepFailed(error.to_string()))?
}

/// Five steps; in which place they are called decides what they are.
#[derive(Clone)]
struct FiveSteps {
    actor: Actor,
    crash: CrashPoint,
}

impl FiveSteps {
    async fn run(self, place: &'static str) -> StepResult<u64> {
        let mut sum = 0;
        for part in 1..=PARTS {
            sum += step("part", || async {
                self.actor.send("ran", json!({ "in": place, "part": part }));
                if self.crash.as_ref() == Some(&(place.to_owned(), part)) {
                    self.actor.send("crash", json!({ "by": "SIGSEGV" }));
                    segfault();
                }
                Ok(part)
            })
            .await?;
        }
        Ok(sum)
    }
}
