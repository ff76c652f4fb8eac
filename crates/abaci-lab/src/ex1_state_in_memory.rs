//! ex1: state in memory. A calculator keeps what it has computed in a map that all steps share; then its process dies.
//!
//! The seed's first experiment found that a class with state does not survive recovery. Here is why: a step that is
//! recorded is not run again, it only returns what it returned; so whatever it did besides that, such as filling a map, has
//! not happened in the new process. The body looks the same, and the map is empty.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use dbos::step;
use futures_util::FutureExt;
use serde_json::{Value, json};

use crate::actor::{Actor, Form, StepFailed};
use crate::crash::segfault;
use crate::experiment::Experiment;
use crate::report::Findings;
use crate::sandbox::{EndedActor, RunConfig, Sandbox};

pub(crate) const EXPERIMENT: Experiment = Experiment {
    name: "ex1",
    title: "state in memory",
    question: "May steps share an object that remembers what they computed?",
    method: "A workflow adds F(20) up, one step per index. A segmentation fault kills its process in one of the steps; \
             a second process with the same executor id recovers it. The broken form takes F(i-1) and F(i-2) from a \
             map in memory, the right one from what the steps before returned.",
    pattern: "Take everything that a step needs from the workflow's input and from what earlier steps returned. An \
              object may hold connections and settings, never results.",
    claim: "after a crash the steps that shared a map end in a wrong value with SUCCESS, and those that pass results \
            on in the right one",
    conduct: |sandbox| conduct(sandbox).boxed(),
    act: |actor| act(actor).boxed(),
};

const N: u64 = 20;

/// F(20).
const VALUE: u64 = 6765;

/// Conducts both forms: an actor that dies, and one that recovers what it left.
async fn conduct(sandbox: &Sandbox<'_>) -> anyhow::Result<Findings> {
    // Late enough that there is something to lose, early enough that something is left to do.
    let index = 5 + sandbox.seed() % 10;
    let mut findings = Findings::default();
    findings.fact("crash_index", index);
    let broken = crash_and_recover(sandbox, Form::Broken, index, &mut findings).await?;
    let right = crash_and_recover(sandbox, Form::Right, index, &mut findings).await?;
    let is_crashed = |[first, second]: &[EndedActor; 2]| {
        // The step that was running runs again, the recorded ones do not.
        first.how() == "SIGSEGV" && ran(first) == range(2, index) && ran(second) == range(index, N)
    };
    let [broken_value, right_value] = [&broken, &right].map(|[_, second]| second.last("outcome", "value"));
    findings.observed = is_crashed(&broken)
        && is_crashed(&right)
        && broken[1].last("outcome", "status") == "SUCCESS"
        && broken_value != VALUE
        && right_value == VALUE;
    findings.case(
        Form::Broken,
        [
            "a map that the steps share",
            "F(20) = 6765, as without a crash",
            &format!("SUCCESS with {broken_value}"),
            "recorded steps are not run again, so the map of the second process was never filled",
        ],
    );
    findings.case(
        Form::Right,
        [
            "results that steps return",
            "F(20) = 6765",
            &format!("SUCCESS with {right_value}"),
            "what a step returned is recorded, and given back in the second process",
        ],
    );
    Ok(findings)
}

/// Runs a process that dies at an index and one that recovers it, and notes the facts of both.
async fn crash_and_recover(
    sandbox: &Sandbox<'_>,
    form: Form,
    index: u64,
    findings: &mut Findings,
) -> anyhow::Result<[EndedActor; 2]> {
    let executor_id = format!("lab/{}", form.name());
    let run = |crash_index: Option<u64>| {
        let arguments = json!({ "crash_index": crash_index });
        sandbox.run(form, RunConfig::new(&executor_id, arguments))
    };
    let (first, second) = (run(Some(index)).await?, run(None).await?);
    let mut fact = |name, value: Value| findings.fact(&format!("{}_{name}", form.name()), value);
    fact("first_end", first.how().into());
    fact("first_ran", ran(&first).into());
    fact("second_ran", ran(&second).into());
    fact("status", second.last("outcome", "status"));
    fact("value", second.last("outcome", "value"));
    Ok([first, second])
}

/// The indices whose step an actor really ran.
fn ran(ended: &EndedActor) -> Vec<u64> {
    ended
        .all("step")
        .filter_map(|details| details["index"].as_u64())
        .collect()
}

fn range(first: u64, last: u64) -> Vec<u64> {
    (first..=last).collect()
}

/// One process: runs the workflow, or goes on with it if it is there already.
async fn act(actor: Actor) -> anyhow::Result<()> {
    let crash_index: Option<u64> = actor.argument("crash_index")?;
    let dbos = actor.engine();
    let memo = Arc::new(Memo(Mutex::new(HashMap::from([(0, 0), (1, 1)]))));
    let workflow = dbos.register_workflow("add_up", {
        let actor = actor.clone();
        move |n: u64| {
            let (actor, memo) = (actor.clone(), Arc::clone(&memo));
            async move {
                match actor.form() {
                    Form::Broken => from_memory(&actor, n, &memo, crash_index).await,
                    Form::Right => from_results(&actor, n, crash_index).await,
                }
            }
        }
    })?;
    dbos.launch().await?;
    // Under an id that exists this starts nothing: it waits for what the launch has recovered.
    let outcome = workflow
        .start_with(N, actor.start_options())
        .await?
        .result()
        .await;
    actor.send_outcome(&outcome);
    dbos.shutdown().await;
    Ok(())
}

/// The broken form: each step leaves its result in the map for the next ones.
async fn from_memory(
    actor: &Actor,
    n: u64,
    memo: &Memo,
    crash: Option<u64>,
) -> dbos::Result<u64, StepFailed> {
    let mut last = n;
    for i in 2..=n {
        // ANCHOR: broken
        // The map is filled only by steps that really run.
        last = step("add", || async {
            enter_step(actor, i, crash);
            let value = memo.get(i - 1) + memo.get(i - 2);
            memo.set(i, value);
            Ok(value)
        })
        .await?;
        // ANCHOR_END: broken
    }
    Ok(last)
}

/// The right form: each step is given what the two before it returned.
async fn from_results(actor: &Actor, n: u64, crash: Option<u64>) -> dbos::Result<u64, StepFailed> {
    let (mut before, mut last) = (0, 1);
    for i in 2..=n {
        // ANCHOR: right
        // What a step returned is recorded and comes back.
        let next = step("add", || async {
            enter_step(actor, i, crash);
            Ok(before + last)
        })
        .await?;
        (before, last) = (last, next);
        // ANCHOR_END: right
    }
    Ok(last)
}

/// Keeps what the steps of a process have computed, by its index.
struct Memo(Mutex<HashMap<u64, u64>>);

impl Memo {
    /// A map that does not know answers nothing, which adds up to a number all the same.
    fn get(&self, index: u64) -> u64 {
        self.values().get(&index).copied().unwrap_or_default()
    }

    fn set(&self, index: u64, value: u64) {
        self.values().insert(index, value);
    }

    fn values(&self) -> MutexGuard<'_, HashMap<u64, u64>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Sends that a step really runs, and dies where it is to.
fn enter_step(actor: &Actor, index: u64, crash_index: Option<u64>) {
    actor.send("step", json!({ "index": index }));
    if crash_index == Some(index) {
        actor.send("crash", json!({ "index": index, "by": "SIGSEGV" }));
        segfault();
    }
}
