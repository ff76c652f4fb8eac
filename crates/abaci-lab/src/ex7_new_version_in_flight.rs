//! ex7: a new version of the code, deployed while a workflow is in flight.
//!
//! A replay gives recorded results to steps by their position, and compares only their names. Under the old version's name
//! new code is therefore given what the old code recorded for other steps: another name is noticed, the same one believed.
//! An executor recovers, and takes from queues, only what was started under its own application version.

use std::sync::Arc;
use std::time::Duration;

use dbos::{DBOS, ForkFrom, ForkOptions, WorkflowRef, step};
use futures_util::FutureExt;
use serde_json::{Value, json};
use tokio::sync::Notify;
use tokio::time::sleep;

use crate::actor::{Actor, Form, StepFailed};
use crate::crash::segfault;
use crate::experiment::Experiment;
use crate::report::Findings;
use crate::sandbox::{RunConfig, Sandbox};

pub(crate) const EXPERIMENT: Experiment = Experiment {
    name: "ex7",
    title: "a new version while work is in flight",
    question: "What becomes of a workflow that the old code has begun when the new code is deployed?",
    method: "Version lab-1 adds up an order of six items, a step for each, and dies of a segmentation fault in the middle. \
             The code of lab-2 charges a fee first, in one more step. It is deployed as lab-1, with a name for each step or \
             one name for all, and as lab-2.",
    pattern: "Change the application version with every change of the sequence of steps. Let a process of the old version \
              finish what it began, or fork it into the new version. Give every step a name of its own.",
    claim: "under the old name the new code got stuck on a step of another name, or ended in a wrong total with SUCCESS; \
            under its own name it did not touch the old work, which the old version finished",
    conduct: |sandbox| conduct(sandbox).boxed(),
    act: |actor| act(actor).boxed(),
};

const OLD: &str = "lab-1";
const NEW: &str = "lab-2";
/// The charges: the fee by the new code only, and the items.
#[rustfmt::skip]
const CHARGES: [(&str, u64); 7] =
    [("fee", 100), ("item 1", 1), ("item 2", 4), ("item 3", 9), ("item 4", 16), ("item 5", 25), ("item 6", 36)];

/// The code of a process: its true version, whether its steps have names of their `own` or `one`, and where it dies.
type ProcessCode = (String, String, Option<String>);

/// A process that goes on with an order in flight: fact, form, version of the code, names of steps, attempt, and texts.
type Deployment = (
    &'static str,
    Form,
    &'static str,
    &'static str,
    u32,
    [&'static str; 3],
);

#[rustfmt::skip]
const DEPLOYMENTS: [Deployment; 5] = [
    ("broken_own_names", Form::Broken, NEW, "own", 2, [
        "new code as lab-1, a name for each step", "the order goes on, or fails",
        "another name is recorded at that position; no outcome is, since code that fits can still finish the order"]),
    ("broken_rolled_back", Form::Broken, OLD, "own", 3, [
        "then the old code again", "91", "what is recorded fits again, and nothing is lost"]),
    ("broken_one_name", Form::Broken, NEW, "one", 2, [
        "new code as lab-1, one name for all steps", "191, or 91 as it was begun",
        "the fee got the recorded price of item 1, item 1 that of item 2, and so on: one item counts twice"]),
    ("right_left_alone", Form::Right, NEW, "one", 1, [
        "new code as lab-2", "it recovers the order, having its executor id",
        "a launch recovers what has its executor id and its version: not even an attempt is counted"]),
    ("right_finished", Form::Right, OLD, "one", 2, [
        "then a process of lab-1", "91", "the old code finishes what it began; then its last process can go"]),
];

/// Conducts every deployment, and before each one of new code an order that is in flight when its process dies.
async fn conduct(sandbox: &Sandbox<'_>) -> anyhow::Result<Findings> {
    let item = 2 + usize::try_from(sandbox.seed() % 4)?;
    let (crash_at, last_recorded) = (CHARGES[item].0, CHARGES[item - 1].1);
    let new_total: u64 = CHARGES.iter().map(|(_, price)| price).sum();
    let old_total = new_total - CHARGES[0].1;
    let (old, mixed) = (Some(old_total), Some(old_total + last_recorded));
    let totals = [None, old, mixed, None, old];
    let mut findings = Findings::default();
    findings.fact("crash_at", crash_at);
    findings.observed = true;
    for ((fact, form, code, names, attempt, texts), total) in DEPLOYMENTS.into_iter().zip(totals) {
        let id = format!("lab/{}/{names}", form.name());
        if code == NEW {
            let dead = sandbox
                .run(form, process(&id, OLD, names, Some(crash_at)))
                .await?;
            findings.fact(&format!("{fact}_crash"), dead.how());
            findings.observed &= dead.how() == "SIGSEGV" && row(sandbox, &id).await? == claimed(OLD, None, 1);
        }
        let ended = sandbox.run(form, process(&id, code, names, None)).await?;
        findings.fact(&format!("{fact}_error"), ended.last("stuck", "error"));
        let row = row(sandbox, &id).await?;
        findings.observed &= row == claimed(OLD, total, attempt);
        findings.case(form, [texts[0], texts[1], &in_words(&row), texts[2]]);
        findings.fact(fact, row);
    }
    let why = "lab-2 runs what is started under its name; a fork from the beginning runs every step again";
    for order in ["new", "fork"] {
        let row = row(sandbox, &format!("lab/right/one/{order}")).await?;
        findings.observed &= row == claimed(NEW, Some(new_total), 1);
        findings.case(
            Form::Right,
            [&format!("as lab-2: {order}"), "191", &in_words(&row), why],
        );
        findings.fact(&format!("right_{order}"), row);
    }
    findings.observed &= findings.facts["broken_own_names_error"].is_string();
    Ok(findings)
}

fn process<'a>(id: &'a str, version: &'a str, names: &str, crash_at: Option<&str>) -> RunConfig<'a> {
    let mut config = RunConfig::new(id, json!({ "code": [version, names, crash_at] }));
    config.application_version = version;
    config
}

/// Returns the row of an order.
async fn row(sandbox: &Sandbox<'_>, id: &str) -> anyhow::Result<Value> {
    let query = "select json_build_object('status', status, 'version', application_version, 'total', output::json, \
                 'attempts', recovery_attempts)::text from workflow_status where workflow_uuid = ";
    let row = sandbox.text(&format!("{query}'{id}'")).await?;
    Ok(serde_json::from_str(&row.unwrap_or_default()).unwrap_or_default())
}

fn claimed(version: &str, total: Option<u64>, attempts: u32) -> Value {
    let status = if total.is_some() { "SUCCESS" } else { "PENDING" };
    json!({ "status": status, "version": version, "total": total, "attempts": attempts })
}

fn in_words(row: &Value) -> String {
    let [status, total, version] = ["status", "total", "version"].map(|name| row[name].to_string());
    let words = format!("{status} {total} as {version}, attempt {}", row["attempts"]);
    words.replace('"', "").replace(" null", "")
}

/// One process: a deployment of its code.
async fn act(actor: Actor) -> anyhow::Result<()> {
    let code: ProcessCode = actor.argument("code")?;
    let is_apart = actor.form() == Form::Right && code.0 == NEW;
    let mut config = actor.engine().config().clone();
    config.app_version = match actor.form() {
        // ANCHOR: broken
        // Whatever the code is, its version stays the same.
        Form::Broken => Some(OLD.to_owned()),
        // ANCHOR_END: broken
        // ANCHOR: right
        // Another sequence of steps is another version.
        Form::Right => Some(code.0.clone()),
        // ANCHOR_END: right
    };
    let dbos = DBOS::new(config);
    let stuck = Arc::new(Notify::new());
    let (caller, is_stuck) = (actor.clone(), Arc::clone(&stuck));
    let workflow = register(&dbos, actor, code, stuck)?;
    dbos.launch().await?;
    let id = caller.executor_id();
    let own = [id, if is_apart { "/new" } else { "" }].concat();
    let mut options = caller.start_options();
    options.workflow_id = Some(&own);
    let order = workflow.start_with((), options).await?;
    // Stuck, the engine still has the time to record an outcome, which it does not.
    let patience = is_stuck.notified().then(|()| sleep(Duration::from_millis(500)));
    tokio::select! {
        total = order.result() => caller.send_outcome(&total),
        () = patience => caller.send("caller_waits", json!({})),
    }
    if is_apart {
        let fork = format!("{id}/fork");
        let options = ForkOptions {
            forked_id: Some(&fork),
            app_version: Some(NEW),
            ..Default::default()
        };
        let order = dbos.fork_with::<u64, StepFailed>(id, ForkFrom::Beginning, options);
        caller.send_outcome(&order.await?.result().await);
    }
    dbos.shutdown().await;
    Ok(())
}

/// Registers the workflow; one that the engine is stuck in is reported and notified.
fn register(
    dbos: &DBOS,
    actor: Actor,
    code: ProcessCode,
    stuck: Arc<Notify>,
) -> dbos::Result<WorkflowRef<(), u64, StepFailed>> {
    dbos.register_workflow("total", move |(): ()| {
        let (actor, code, stuck) = (actor.clone(), code.clone(), Arc::clone(&stuck));
        async move {
            let total = total(&actor, &code).await;
            if let Err(dbos::Error::SystemDatabase(error)) = &total {
                actor.send("stuck", json!({ "error": error.to_string() }));
                stuck.notify_one();
            }
            total
        }
    })
}

/// The workflow, in the code of either version: adds up what an order costs, a step for each charge.
async fn total(actor: &Actor, (version, names, crash_at): &ProcessCode) -> dbos::Result<u64, StepFailed> {
    let mut total = 0;
    for (charge, price) in &CHARGES[usize::from(version == OLD)..] {
        let name = if names == "own" { charge } else { "charge" };
        total += step(name, || async {
            actor.send("step", json!({ "charge": charge, "price": price }));
            if crash_at.as_deref() == Some(charge) {
                segfault();
            }
            Ok::<_, dbos::Error<StepFailed>>(*price)
        })
        .await?;
    }
    Ok(total)
}
