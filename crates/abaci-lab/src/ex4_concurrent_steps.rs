//! ex4: concurrent steps. Six items are stored, each after a wait, and the waits run at the same time. The process dies when
//! three items are stored; in the one that recovers, the waits end in the opposite order, as waits may.
//!
//! The engine knows a step by its place: the first step that the body builds has place 0, the next one place 1. A recovery
//! gives to each place what was recorded there; it compares the names of the steps and nothing else. So every run has to
//! build its steps in the same order. Built all at once, they are; built as their waits end, they are not.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use dbos::{PendingStep, step, step_id};
use futures_util::FutureExt;
use futures_util::future::{join_all, pending};
use futures_util::stream::{FuturesUnordered, StreamExt};
use serde_json::json;
use tokio::sync::{Mutex, watch};
use tokio::time::sleep;

use crate::actor::{Actor, Form, StepFailed, StepResult};
use crate::experiment::Experiment;
use crate::report::{Findings, listed};
use crate::sandbox::{EndedActor, RunConfig, Sandbox};

pub(crate) const EXPERIMENT: Experiment = Experiment {
    name: "ex4",
    title: "concurrent steps",
    question: "Steps run at the same time, and their process dies: does each of them get its own record back?",
    method: "A workflow waits for 6 items at the same time, and stores each of them in a step. The engine knows a step \
             by its place, its number in the order of building. SIGKILL takes the process when 3 items are stored; in a \
             second one, which recovers the workflow, the waits end in the opposite order. The broken form builds a \
             step when its wait has ended; the right one builds all steps first, with the waits inside.",
    pattern: "Build concurrent steps all at once, in an order that never changes, and wait inside of them. Give each \
              step a name of its own, so that the engine notices if the order changes after all.",
    claim: "steps that are built as waits end get each other's records, and the workflow ends in SUCCESS with items \
            lost and doubled; steps that are built first get their own, and still run at the same time",
    conduct: |sandbox| conduct(sandbox).boxed(),
    act: |actor| act(actor).boxed(),
};

const ITEMS: [char; 6] = ['A', 'B', 'C', 'D', 'E', 'F'];

/// Conducts both forms: a process that dies when three items are stored, and one that recovers what it left.
async fn conduct(sandbox: &Sandbox<'_>) -> anyhow::Result<Findings> {
    let mut order = ITEMS.to_vec();
    fastrand::Rng::with_seed(sandbox.seed()).shuffle(&mut order);
    let before = order[..3].to_vec();
    order.reverse();
    let mut findings = Findings::default();
    for form in [Form::Broken, Form::Right] {
        let id = format!("lab/{}", form.name());
        let process = |order: &[char]| RunConfig::new(&id, json!({ "order": order }));
        let mut first = sandbox.start(form, process(&before)).await?;
        let recorded = format!("select count(*)::text from operation_outputs where workflow_uuid = '{id}'");
        while sandbox.text(&recorded).await?.as_deref() != Some("3") {
            sleep(Duration::from_millis(5)).await;
        }
        first.kill()?;
        let first = first.end().await?;
        let second = sandbox.run(form, process(&order)).await?;
        let outcome = outcome(&second);
        let (case, why) = match form {
            Form::Broken => (
                "a step is built when its wait has ended",
                "a place gave back what another item had stored there; all steps have one name, so nothing was noticed",
            ),
            Form::Right => (
                "all steps are built first",
                "an item has the same place in both processes, whenever its step runs",
            ),
        };
        findings.case(form, [case, "SUCCESS with 6 of 6 items", &outcome, why]);
        findings.fact(form.name(), vec![stored(&first), stored(&second), outcome]);
    }
    let first = format!("stored {}; SIGKILL", listed(&before));
    let (others, again) = order.split_at(3);
    let mixed = listed([&before, again].concat());
    let expected = json!({
        "broken": [first, format!("stored {}; exit 0", listed(again)), format!("SUCCESS with 3 of 6 items: {mixed}")],
        "right": [first, format!("stored {}; exit 0", listed(others)), "SUCCESS with 6 of 6 items: A, B, C, D, E, F"],
    });
    findings.observed = json!(findings.facts) == expected;
    Ok(findings)
}

/// Describes what a process really stored, in that order, and how it ended.
fn stored(ended: &EndedActor) -> String {
    let items: Vec<_> = ended.all("stored").map(|stored| &stored["item"]).collect();
    format!("stored {}; {}", listed(&items), ended.how())
}

fn outcome(ended: &EndedActor) -> String {
    let items: Vec<char> = serde_json::from_value(ended.last("outcome", "value")).unwrap_or_default();
    let distinct = items.iter().collect::<BTreeSet<_>>().len();
    let status = ended.last("outcome", "status");
    let status = status.as_str().unwrap_or_default();
    format!("{status} with {distinct} of 6 items: {}", listed(&items))
}

/// One process: runs the workflow, or goes on with it.
async fn act(actor: Actor) -> anyhow::Result<()> {
    let order: Vec<char> = actor.argument("order")?;
    actor.send("waits", json!({ "end_in_order": listed(&order) }));
    let dbos = actor.engine();
    let store = Arc::new(Store {
        actor: actor.clone(),
        order,
        ended: watch::Sender::new(0),
        stored: Mutex::default(),
    });
    let workflow = dbos.register_workflow("store_all", move |(): ()| {
        let store = Arc::clone(&store);
        async move {
            match store.actor.form() {
                Form::Broken => as_waits_end(&store).await,
                Form::Right => all_at_once(&store).await,
            }
        }
    })?;
    dbos.launch().await?;
    let handle = workflow.start_with((), actor.start_options()).await?;
    actor.send_outcome(&handle.result().await);
    dbos.shutdown().await;
    Ok(())
}

async fn as_waits_end(store: &Store) -> StepResult<Vec<char>> {
    let (items, mut stored) = (ITEMS.into_iter(), Vec::new());
    // ANCHOR: broken
    let waits = items.map(|item| store.wait(item));
    let mut waits: FuturesUnordered<_> = waits.collect();
    while let Some(item) = waits.next().await {
        // Built as its wait ends: time gives the place.
        let built = step("store", || store.put(item));
        stored.push(store.traced(item, built).await?);
    }
    // ANCHOR_END: broken
    Ok(stored)
}

async fn all_at_once(store: &Store) -> StepResult<Vec<char>> {
    let items = ITEMS.into_iter();
    // ANCHOR: right
    let build = |item| {
        let wait_and_put = move || store.wait_and_put(item);
        store.traced(item, step("store", wait_and_put))
    };
    // Built in one order, all before the first one waits.
    let steps: Vec<_> = items.map(build).collect();
    let stored = join_all(steps).await;
    // ANCHOR_END: right
    stored.into_iter().collect()
}

/// Stores items, each after a wait.
struct Store {
    actor: Actor,
    /// The order in which the waits end.
    order: Vec<char>,
    /// The number of waits that have ended.
    ended: watch::Sender<usize>,
    /// The items that were stored in this process.
    stored: Mutex<Vec<char>>,
}

impl Store {
    /// Waits until the waits before this one have ended; for ever, if it is not in the order.
    async fn wait(&self, item: char) -> char {
        match self.order.iter().position(|other| *other == item) {
            Some(turn) => drop(self.ended.subscribe().wait_for(|ended| *ended == turn).await),
            None => pending().await,
        }
        self.ended.send_modify(|ended| *ended += 1);
        item
    }

    async fn wait_and_put(&self, item: char) -> dbos::Result<char, StepFailed> {
        self.put(self.wait(item).await).await
    }

    async fn put(&self, item: char) -> dbos::Result<char, StepFailed> {
        self.stored.lock().await.push(item);
        self.actor
            .send("stored", json!({ "item": item, "place": step_id() }));
        Ok(item)
    }

    /// Completes the step of an item, and tells if it did not run, as its place has a record.
    async fn traced(
        &self,
        item: char,
        step: PendingStep<'_, char, StepFailed>,
    ) -> dbos::Result<char, StepFailed> {
        let place = step.step_id();
        let recorded = step.await?;
        if !self.stored.lock().await.contains(&item) {
            let details = json!({ "item": item, "place": place, "recorded": recorded });
            self.actor.send("replayed", details);
        }
        Ok(recorded)
    }
}
