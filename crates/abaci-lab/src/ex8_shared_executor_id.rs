//! ex8: two processes with one executor id. The second one's launch starts the work again that the first is doing.
//!
//! The engine knows its own work by the executor id, and takes what is unfinished under that id for the work of a dead
//! process. If nobody sets the id, it is `local` everywhere. The right form holds its id by a lock in the database before
//! it launches; the lock ends with its session, and the session with the process. Not shown: a session can break while
//! its process lives on, so a real server watches it.

use std::time::Duration;

use anyhow::{Context, ensure};
use dbos::{DBOS, Enqueue, StartOptions, StepOptions, step_with};
use futures_util::{FutureExt, TryFutureExt};
use serde_json::{Value, json};
use sqlx::{AssertSqlSafe, postgres::PgConnection};
use tokio::{sync::RwLock, time::sleep};

use crate::actor::{Actor, Form, StepFailed};
use crate::experiment::Experiment;
use crate::report::Findings;
use crate::sandbox::{RunConfig, Sandbox};

pub(crate) const EXPERIMENT: Experiment = Experiment {
    name: "ex8",
    title: "two processes with one executor id",
    question: "What if a process launches under the executor id of another one that is still at work?",
    method: "A process is in a step that charges for an order when a second one starts under its executor id. In the \
             broken form it just launches. In the right one each process holds its id by a lock; the first is killed \
             in the end, and a third takes its id.",
    pattern: "Give every process an executor id of its own, and let it hold that id by a session lock in the database \
              before it launches the engine.",
    claim: "with one id, two live processes charge for one order, and the one that was first loses its result; with \
            the lock the second one is refused, and a third one takes the id when the first is dead",
    conduct: |sandbox| conduct(sandbox).boxed(),
    act: |actor| act(actor).boxed(),
};

/// A queue of which a process does one order at a time, so that the first, which is busy, does not take its own order a
/// second time; and a table of what steps did outside of the engine.
const TABLES: &str = "insert into queues (name, worker_concurrency) values ('orders', 1);
                      create table done (order_id text, step text, by text, go_on boolean default false)";
const GO_ON: &str = "update done set go_on = true where by = 'first'";
const OUTCOME: &str = "concat_ws(': ', status, trim('\"' from output))";
const CHARGES: &str = "(select count(*) from done where order_id = workflow_uuid and step = 'charge')";
/// The key of the lock on an executor id. All schemas share the locks of their database, so the schema is in it.
const KEY: &str = "hashtextextended(current_schema || ' executor ' || $1, 0)";
/// Held for reading while this process fulfils an order.
static BUSY: RwLock<()> = RwLock::const_new(());

async fn conduct(sandbox: &Sandbox<'_>) -> anyhow::Result<Findings> {
    sandbox.execute(TABLES).await?;
    let mut findings = Findings::default();
    direct_broken(sandbox, &mut findings).await?;
    direct_right(sandbox, &mut findings).await?;
    let expected = json!({
        "broken_charges_at_once": 2,
        "broken_recorded": "SUCCESS: charge by second, pack by second",
        "broken_first_error": "workflow lab/broken step 0 was already recorded by another execution",
        "right_second": "exit 1: abaci: executor id lab/right is in use by another process; start this one under another id",
        "right_row_untouched": true,
        "right_other_recorded": "SUCCESS: charge by other, pack by other",
        "right_charges": 1,
        "right_recorded": "SUCCESS: charge by first, pack by third",
    });
    findings.observed = json!(findings.facts) == expected;
    Ok(findings)
}

/// A second process launches, and finishes the order, while the first is in its step.
async fn direct_broken(sandbox: &Sandbox<'_>, findings: &mut Findings) -> anyhow::Result<()> {
    let id = "lab/broken";
    let mut first = sandbox.start(Form::Broken, process(id, "first")).await?;
    first.until("charge").await?;
    sandbox.run(Form::Broken, process(id, "second")).await?;
    let charges = ask(sandbox, CHARGES, id).await?;
    sandbox.execute(GO_ON).await?;
    let error = first.end().await?.last("lost", "error");
    let recorded = ask(sandbox, OUTCOME, id).await?;
    findings.case(Form::Broken, ["a second one just launches", "it does other work", &format!("{charges} charges at once for one order; recorded: {recorded}; the first one's step fails: {error}"), "its launch takes unfinished work under its own id for that of a dead process, and starts it again; of two \
         results of a step the earlier one is recorded"]);
    findings.fact("broken_charges_at_once", charges);
    findings.fact("broken_recorded", recorded);
    findings.fact("broken_first_error", error);
    Ok(())
}

/// One process at work, one refused under its id, one at work beside it, and one that takes over when it is dead.
async fn direct_right(sandbox: &Sandbox<'_>, findings: &mut Findings) -> anyhow::Result<()> {
    let id = "lab/right";
    let mut first = sandbox.start(Form::Right, process(id, "first")).await?;
    first.until("charge").await?;
    let row = ask(sandbox, "workflow_status", id).await?;
    let second = sandbox.run(Form::Right, process(id, "second")).await?;
    let second = format!("{}: {}", second.how(), second.stderr);
    sandbox.run(Form::Right, process("lab/other", "other")).await?;
    let other = ask(sandbox, OUTCOME, "lab/other").await?;
    let is_untouched = row == ask(sandbox, "workflow_status", id).await?;
    sandbox.execute(GO_ON).await?;
    first.until("pack").await?;
    first.kill()?;
    first.end().await?;
    // This lock ends with its statement: it only tells whether anybody holds the id.
    let key = KEY.replace("$1", "workflow_uuid");
    let free = format!("pg_try_advisory_xact_lock({key})");
    while ask(sandbox, &free, id).await? != true {
        sleep(Duration::from_millis(5)).await;
    }
    sandbox.run(Form::Right, process(id, "third")).await?;
    let (charges, recorded) = (ask(sandbox, CHARGES, id).await?, ask(sandbox, OUTCOME, id).await?);
    findings.case(
        Form::Right,
        [
            "a second one needs the lock",
            "it waits, or works",
            &format!("{second}; meanwhile one with another id: {other}"),
            "a lock has one holder, and is asked for before the launch",
        ],
    );
    findings.case(Form::Right, ["the first one is killed", "its id stays locked", &format!("a third one takes it; charges for the order: {charges}; recorded: {recorded}"), "the lock is the session's, which the server ends when the process is gone; the charge was recorded before"]);
    findings.fact("right_second", second);
    findings.fact("right_row_untouched", is_untouched);
    findings.fact("right_other_recorded", other);
    findings.fact("right_charges", charges);
    findings.fact("right_recorded", recorded);
    Ok(())
}

/// A process that fulfils the order of its executor id, or goes on with it if it is there already.
fn process<'a>(executor_id: &'a str, name: &str) -> RunConfig<'a> {
    RunConfig::new(executor_id, json!({ "name": name }))
}

async fn ask(sandbox: &Sandbox<'_>, what: &str, id: &str) -> anyhow::Result<Value> {
    let query = format!("select to_json({what})::text from workflow_status where workflow_uuid = '{id}'");
    let answer = sandbox.text(&query).await?.context("there is no such order")?;
    Ok(serde_json::from_str(&answer)?)
}

/// One process: fulfils an order, unless another one has its executor id.
async fn act(actor: Actor) -> anyhow::Result<()> {
    let id = actor.executor_id();
    // Lives as long as the process.
    let mut session = actor.session().await?;
    let dbos = actor.engine();
    let player = actor.clone();
    let workflow = dbos.register_workflow("fulfil", move |id: String| fulfil(player.clone(), id))?;
    match actor.form() {
        Form::Broken => just_launch(&dbos).await?,
        Form::Right => hold_id_and_launch(&dbos, id, &mut session).await?,
    }
    let options = StartOptions {
        workflow_id: Some(id),
        queue: Some(Enqueue::new("orders")),
        ..StartOptions::default()
    };
    // Under an id that exists this starts nothing: it waits for the outcome, and then for its own part in that.
    let handle = workflow.start_with(id.to_owned(), options).await?;
    actor.send_outcome(&handle.result().await);
    let _idle = BUSY.write().await;
    dbos.shutdown().await;
    Ok(())
}

async fn just_launch(dbos: &DBOS) -> anyhow::Result<()> {
    // ANCHOR: broken
    // Another process may have this executor id.
    dbos.launch().await?;
    // ANCHOR_END: broken
    Ok(())
}

async fn hold_id_and_launch(dbos: &DBOS, id: &str, session: &mut PgConnection) -> anyhow::Result<()> {
    let lock = format!("select pg_try_advisory_lock({KEY})");
    let lock = sqlx::query_scalar(AssertSqlSafe(lock)).bind(id);
    // ANCHOR: right
    // The lock is the session's: both end with the process.
    let is_held: bool = lock.fetch_one(session).await?;
    ensure!(is_held, in_use(id));
    dbos.launch().await?;
    // ANCHOR_END: right
    Ok(())
}

fn in_use(id: &str) -> String {
    format!("executor id {id} is in use by another process; start this one under another id")
}

async fn fulfil(actor: Actor, order_id: String) -> dbos::Result<String, StepFailed> {
    let _busy = BUSY.read().await;
    let mut done = Vec::new();
    for step in ["charge", "pack"] {
        let work = || work(&actor, &order_id, step).map_err(|error| StepFailed(error.to_string()).into());
        let name = step_with(step, StepOptions::default(), work).await;
        let name = name.inspect_err(|error| actor.send("lost", json!({ "error": error.to_string() })))?;
        done.push(format!("{step} by {name}"));
    }
    Ok(done.join(", "))
}

/// Charges outside of the engine and returns the name of the process. The first process stays in it until it may go on.
async fn work(actor: &Actor, order_id: &str, step: &str) -> anyhow::Result<String> {
    let name: String = actor.argument("name")?;
    let mut session = actor.session().await?;
    let insert = sqlx::query("insert into done values ($1, $2, $3)").bind(order_id);
    insert.bind(step).bind(&name).execute(&mut session).await?;
    actor.send(step, json!({ "order": order_id, "by": name }));
    let select = "select go_on from done where order_id = $1 and step = $2 and by = 'first'";
    let go_on = || sqlx::query_scalar(select).bind(order_id).bind(step);
    while name == "first" && !go_on().fetch_one(&mut session).await? {
        sleep(Duration::from_millis(5)).await;
    }
    Ok(name)
}
