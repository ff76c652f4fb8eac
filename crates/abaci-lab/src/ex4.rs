//! ex4: concurrent steps. Eleven waits run at once, each for an item to store; the process dies in the middle, and in the
//! one that recovers it the waits end in the opposite order, as waits may.
//!
//! The engine knows a step by its place, a number that is taken when the step is built and not when it is run. So the order
//! of building has to repeat. It does when all steps are built before one is awaited, and does not when whoever is ready
//! first builds the next one. Of what is recorded at a place, the engine compares nothing but the name.

use std::collections::BTreeSet;
use std::time::{Duration, Instant};

use dbos::{StartOptions, select_step, step};
use futures_util::FutureExt;
use futures_util::future::{join_all, pending};
use futures_util::stream::{FuturesUnordered, StreamExt};
use serde_json::{Value, json};
use tokio::{sync::mpsc, time::sleep};

use crate::Experiment;
use crate::actor::{Actor, Failed, Form};
use crate::report::Findings;
use crate::stage::{Casting, Ended, Stage};

pub(crate) const EXPERIMENT: Experiment = Experiment {
    name: "ex4",
    title: "concurrent steps",
    question: "Which concurrent steps does a recovery replay, and does the engine notice when it does not?",
    method: "One workflow stores 11 items, each after a wait of its own; another races a price against a timeout. SIGKILL takes \
             their process in the middle. In the second one the waits end in the opposite order, and the price comes at once.",
    pattern: "Build all concurrent steps first, in a fixed order and with the waiting inside, then join them. Race with \
              select_step!, which records the winner.",
    claim: "where timing decides which step is built next, a recovery loses and repeats work with SUCCESS, and is stopped only \
            if step names differ; steps that are built first replay exactly, and are concurrent all the same",
    direct: |stage| direct(stage).boxed(),
    act: |actor| act(actor).boxed(),
};

type Outcome = dbos::Result<Vec<u32>, Failed>;

const ITEMS: u32 = 11;
const WAIT_MS: u32 = 30;
const TIMEOUT: Duration = Duration::from_millis(300);
const OLD_PRICE: u32 = 1;
const NEW_PRICE: u32 = 2;

/// Directs both forms: a process that is killed, and one that recovers what it left.
async fn direct(stage: &Stage<'_>) -> anyhow::Result<Findings> {
    let mut order: Vec<u32> = (0..ITEMS).collect();
    fastrand::Rng::with_seed(stage.seed()).shuffle(&mut order);
    // So many waits end before the crash: places are taken that the opposite order gives to others, and items are left.
    let before: Vec<u32> = order[..7 + usize::try_from(stage.seed() % 3)?].to_vec();
    let after: Vec<u32> = order.into_iter().rev().collect();
    let mut findings = Findings::default();
    for form in [Form::Broken, Form::Right] {
        let id = format!("lab/{}", form.name());
        let first = kill_halfway(stage, form, &id, &before).await?;
        let second = Casting::new(&id, json!({ "order": after }));
        let second = stage.run(form, second).await?;
        let status = |case| format!("select status from workflow_status where workflow_uuid = '{id}/{case}'");
        let stored = "select json_agg(output::int order by function_id)::text from operation_outputs";
        let stored = format!("{stored} where workflow_uuid = '{id}/items'");
        let stored = stage.text(&stored).await?.unwrap_or_default();
        let mut fact = |name: &str, value: Value| findings.fact(&format!("{}_{name}", form.name()), value);
        fact("first_end", first.how().into());
        fact("items_status", stage.text(&status("items")).await?.into());
        fact("race_status", stage.text(&status("race")).await?.into());
        fact("stored", serde_json::from_str(&stored)?);
        fact("race", second.last("race", "outcome"));
        fact("undisturbed_ms", second.last("undisturbed", "ms"));
    }
    findings.fact("sum_of_waits_ms", WAIT_MS * (1..=ITEMS).sum::<u32>());
    let (facts, misplaced) = (&findings.facts, [&before, &after[before.len()..]].concat());
    let refusal = facts["broken_race"].as_str().unwrap_or_default();
    findings.observed = facts["broken_first_end"] == "SIGKILL"
        && facts["broken_items_status"] == "SUCCESS"
        && facts["broken_stored"] == json!(misplaced)
        && facts["broken_race_status"] == "PENDING"
        && refusal.ends_with("was recorded as \"charge_old\", but \"charge_new\" was expected")
        && facts["right_first_end"] == "SIGKILL"
        && facts["right_items_status"] == "SUCCESS"
        && facts["right_race_status"] == "SUCCESS"
        && facts["right_stored"] == json!((0..ITEMS).collect::<Vec<_>>())
        && facts["right_race"] == json!([OLD_PRICE])
        && facts["right_undisturbed_ms"].as_u64().map(|ms| 2 * ms) < facts["sum_of_waits_ms"].as_u64();
    tell_cases(&mut findings);
    Ok(findings)
}

/// Runs a process until it has recorded all that it can, and kills it.
async fn kill_halfway(stage: &Stage<'_>, form: Form, id: &str, order: &[u32]) -> anyhow::Result<Ended> {
    let casting = Casting::new(id, json!({ "order": order }));
    let mut acting = stage.start(form, casting).await?;
    let rows = format!("from operation_outputs where workflow_uuid like '{id}/%'");
    let recorded = format!("select count(*)::text {rows} and function_name in ('store', 'charge_old')");
    while stage.text(&recorded).await? != Some((order.len() + 1).to_string()) {
        sleep(Duration::from_millis(10)).await;
    }
    acting.kill()?;
    acting.end().await
}

fn tell_cases(findings: &mut Findings) {
    let facts = findings.facts.clone();
    let text = |name: &str| facts[name].as_str().unwrap_or_default();
    let items = |status: &str, stored: &str, ms: &str| {
        let stored = facts[stored].as_array().into_iter().flatten();
        let distinct = stored.filter_map(Value::as_u64).collect::<BTreeSet<_>>().len();
        format!(
            "{} with {distinct} of 11; undisturbed it takes {} ms",
            text(status),
            facts[ms]
        )
    };
    findings.case(
        Form::Broken,
        [
            "whoever is ready first builds the next step",
            "11 items, or an error",
            &items("broken_items_status", "broken_stored", "broken_undisturbed_ms"),
            "a place holds the record of another item's step; the name is the same, so it is believed",
        ],
    );
    findings.case(
        Form::Right,
        [
            "steps built first, then joined",
            "11 items, in 1980 ms: one by one",
            &items("right_items_status", "right_stored", "right_undisturbed_ms"),
            "places follow the source; the waits inside the steps overlap",
        ],
    );
    findings.case(
        Form::Broken,
        [
            "tokio::select! of a price and a timeout",
            "the winner wins again",
            &format!("{}: {}", text("broken_race_status"), text("broken_race")),
            "the winner is not recorded. Here the names differ: the engine refuses, and records no outcome",
        ],
    );
    findings.case(
        Form::Right,
        [
            "select_step! of the same",
            "the winner wins again",
            &format!("{}, charged {}", text("right_race_status"), facts["right_race"]),
            "the winner is recorded before anything follows from it",
        ],
    );
}

/// One process: runs both workflows, or goes on with them; one that does not die runs another without a crash.
async fn act(actor: Actor) -> anyhow::Result<()> {
    let order: Vec<u32> = actor.argument("order")?;
    let form = actor.form();
    let dbos = actor.engine();
    let (refuse, mut refused) = mpsc::unbounded_channel();
    let workflow = dbos.register_workflow("concurrent", move |case: String| {
        let (order, refuse) = (order.clone(), refuse.clone());
        async move {
            let outcome = match case.as_str() {
                "race" => race(form, &order).await,
                _ => store(form, &order).await,
            };
            match &outcome {
                Ok(_) => survive(&order).await,
                // It is not recorded, so the handle does not see it.
                Err(error) => refuse.send(error.to_string()).unwrap_or_default(),
            }
            outcome
        }
    })?;
    dbos.launch().await?;
    let id = |case| format!("{}/{case}", actor.executor_id());
    let (items, race) = (id("items"), id("race"));
    let options = |id| StartOptions {
        workflow_id: Some(id),
        ..StartOptions::default()
    };
    let items = workflow.start_with("items".to_owned(), options(&items)).await?;
    let race = workflow.start_with("race".to_owned(), options(&race)).await?;
    tokio::select! {
        prices = race.result() => actor.say("race", json!({ "outcome": prices? })),
        error = refused.recv() => actor.say("race", json!({ "outcome": error })),
    }
    actor.say("items", json!({ "outcome": items.result().await? }));
    let begin = Instant::now();
    workflow.start("items".to_owned()).await?.result().await?;
    actor.say("undisturbed", json!({ "ms": begin.elapsed().as_millis() }));
    dbos.shutdown().await;
    Ok(())
}

async fn store(form: Form, order: &[u32]) -> Outcome {
    let mut stored = Vec::new();
    if form == Form::Broken {
        // The item whose wait ends first is stored first.
        let mut ready: FuturesUnordered<_> = (0..ITEMS).map(|item| wait(order, item)).collect();
        while let Some(item) = ready.next().await {
            stored.push(step("store", || async { Ok(item) }).await?);
        }
        return Ok(stored);
    }
    // All steps are there, in order, before one of them waits.
    let step = |item| step("store", move || async move { Ok(wait(order, item).await) });
    let steps: Vec<_> = (0..ITEMS).map(step).collect();
    join_all(steps).await.into_iter().collect()
}

/// Waits as long as this item takes: for ever, if the process is to die before.
async fn wait(order: &[u32], item: u32) -> u32 {
    match order.iter().zip(1..).find(|(other, _)| **other == item) {
        Some((_, rank)) => sleep(Duration::from_millis(u64::from(WAIT_MS * rank))).await,
        None => pending().await,
    }
    item
}

async fn race(form: Form, order: &[u32]) -> Outcome {
    // The price comes at once, or in the process that is to die never.
    let price = step("price", || survive(order).map(|()| Ok(NEW_PRICE)));
    if form == Form::Broken {
        return tokio::select! {
            price = price => charge("charge_new", price?).await,
            () = sleep(TIMEOUT) => charge("charge_old", OLD_PRICE).await,
        };
    }
    select_step! {
        price = price => charge("charge_new", price?).await?,
        timeout = dbos::sleep(TIMEOUT) => { timeout?; charge("charge_old", OLD_PRICE).await? }
    }
}

async fn charge(name: &str, price: u32) -> Outcome {
    Ok(vec![step(name, || async { Ok(price) }).await?])
}

/// Never comes back in the process that is to die, whose order of waits has no end.
async fn survive(order: &[u32]) {
    if order.len() < ITEMS as usize {
        pending::<()>().await;
    }
}
