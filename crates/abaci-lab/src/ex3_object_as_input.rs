//! ex3: an object as the input. A workflow is started with an account that has a connection and a secret; its process dies.
//!
//! The input is written down at the start, and every body, the first one too, gets what is read back: the fields that were
//! serialised, as they were. So a secret among them lies in the database, readable, for as long as the row does, and a
//! recovery uses it after it was replaced. The right form passes its name, and each step asks its process for the value.
//! That alone does not keep it out of what a step returns or fails with: the step has to.

use dbos::{Client, StepOptions, step_with};
use futures_util::FutureExt;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value, json};

use crate::actor::{Actor, Form, StepFailed};
use crate::experiment::Experiment;
use crate::report::{Findings, listed};
use crate::sandbox::{EndedActor, RunConfig, Sandbox};

pub(crate) const EXPERIMENT: Experiment = Experiment {
    name: "ex3",
    title: "an object as the input",
    question: "What is left of an object that a workflow is started with, and who can read it?",
    method: "A workflow charges an account in 3 steps, and its process aborts in one. The secret is replaced, and a \
             second process recovers the workflow. In the broken form the input has the secret, in the right one its \
             name. Then all tables are searched for the secret.",
    pattern: "Pass plain data, and a secret by its name. Let each step ask its process for the value, and return \
              nothing that has it inside.",
    claim: "the object's connection is lost at once, its secret is in the database and refused after the crash; passed \
            by name it is in no table, and the recovery uses the new one",
    conduct: |sandbox| conduct(sandbox).boxed(),
    act: |actor| act(actor).boxed(),
};

const STEPS: u64 = 3;
const REFUSED: &str = "refused: this secret was replaced";

#[derive(Serialize, Deserialize)]
struct BankAccount {
    user: String,
    secret: Secret,
    #[serde(skip)]
    connection: Option<Client>,
}

#[derive(Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
enum Secret {
    Value(String),
    Name(String),
}

/// Conducts both forms: an actor that dies, a new secret, and an actor that recovers.
async fn conduct(sandbox: &Sandbox<'_>) -> anyhow::Result<Findings> {
    let step = 1 + sandbox.seed() % STEPS;
    let mut findings = Findings::default();
    findings.fact("crash_step", step);
    for form in [Form::Broken, Form::Right] {
        let id = format!("lab/{}", form.name());
        // Both secrets of a form begin with this, and nothing else does.
        let mark = format!("sk-{}-{}", form.name(), sandbox.seed());
        let arguments =
            |day, step: Option<u64>| json!({ "billing": format!("{mark}-{day}"), "crash_step": step });
        let mut processes = Vec::new();
        for arguments in [arguments("monday", Some(step)), arguments("tuesday", None)] {
            processes.push(sandbox.run(form, RunConfig::new(&id, arguments)).await?);
        }
        let row = format!("regexp_replace(inputs, '{mark}-[a-z]+', 'sk-…') from workflow_status");
        let row = format!("select {row} where workflow_uuid = '{id}'");
        let mut fact = |name, value: Value| findings.fact(&format!("{}_{name}", form.name()), value);
        fact("ends", processes.iter().map(EndedActor::how).collect());
        fact("is_connected", details(&processes, "input", "is_connected"));
        fact("resolved", details(&processes, "resolved", "name"));
        fact("charged", details(&processes, "charged", "step"));
        fact("outcome", processes[1].last("outcome", "status"));
        fact("error", processes[1].last("outcome", "error"));
        fact("row", sandbox.text(&row).await?.into());
        fact("secret_in", places(sandbox, &mark).await?.into());
    }
    findings.observed = is_observed(&findings.facts, step);
    tell_cases(&mut findings);
    Ok(findings)
}

/// One detail of all events of a kind, by process.
fn details(processes: &[EndedActor], event: &str, detail: &str) -> Value {
    let of_one = |ended: &EndedActor| -> Value {
        let events = ended.all(event);
        events.map(|details| details[detail].clone()).collect()
    };
    processes.iter().map(of_one).collect()
}

/// The columns that a text is in, of all tables of the engine.
async fn places(sandbox: &Sandbox<'_>, text: &str) -> anyhow::Result<Vec<String>> {
    let tables = "select string_agg(table_name, ' ') from information_schema.tables where table_schema = current_schema()";
    let tables = sandbox.text(tables).await?.unwrap_or_default();
    let mut places = Vec::new();
    for table in tables.split_whitespace() {
        let columns = format!(
            "select string_agg(distinct '{table}.' || named, ' ') \
             from {table} t, jsonb_each_text(to_jsonb(t)) columns(named, content) where strpos(content, '{text}') > 0"
        );
        places.extend(sandbox.text(&columns).await?);
    }
    Ok(places)
}

fn is_observed(facts: &Map<String, Value>, step: u64) -> bool {
    let (before, after): (Vec<u64>, Vec<u64>) = (1..=STEPS).partition(|charged| *charged < step);
    let ends = json!(["SIGABRT", "exit 0"]);
    (&facts["broken_ends"], &facts["right_ends"]) == (&ends, &ends)
        && facts["broken_is_connected"] == json!([[false], [false]])
        && facts["broken_charged"] == json!([before, []])
        && facts["broken_error"] == REFUSED
        && facts["broken_secret_in"] == json!(["workflow_status.inputs"])
        && facts["right_resolved"] == json!([vec!["billing"; before.len() + 1], vec!["billing"; after.len()]])
        && facts["right_charged"] == json!([before, after])
        && facts["right_outcome"] == "SUCCESS"
        && facts["right_secret_in"] == json!([])
}

#[rustfmt::skip]
fn tell_cases(findings: &mut Findings) {
    let facts = findings.facts.clone();
    let text = |name: &str| facts[name].as_str().unwrap_or_default();
    let readable = |name: &str| match facts[name].as_array().map_or(0, Vec::len) {
        0 => "in no table".to_owned(),
        _ => format!("readable in {}", listed(&facts[name]).replace('.', ", column ")),
    };
    let processes = facts["broken_is_connected"].as_array().map_or(&[][..], Vec::as_slice);
    let connected = processes.iter().filter(|process| process[0] == true).count();
    findings.case(Form::Broken, [
        "a connection in the object", "the body can use it",
        &format!("it is there in {connected} of {} processes", processes.len()),
        "a body gets what is read back from the row, and a skipped field is its default there" ]);
    findings.case(Form::Broken, [
        "a secret in the object", "only the workflow has it", &readable("broken_secret_in"),
        "inputs are stored as they are, for as long as the row is" ]);
    findings.case(Form::Broken, [
        "the same, replaced before the recovery", "the new one is used", text("broken_error"),
        "a recovery gets the recorded input, whatever the new process passes under that id" ]);
    findings.case(Form::Right, [
        "a secret by its name", "as with the secret",
        &format!("{}; {}", text("right_outcome"), readable("right_secret_in")),
        "each step asks the process that it runs in, and returns a receipt without it" ]);
}

/// One process: charges the account, or goes on with it.
async fn act(actor: Actor) -> anyhow::Result<()> {
    let dbos = actor.engine();
    let workflow = dbos.register_workflow("charge_all", {
        let actor = actor.clone();
        move |account: BankAccount| charge_all(actor.clone(), account)
    })?;
    dbos.launch().await?;
    let secret = match actor.form() {
        // ANCHOR: broken
        // At the start: the secret goes into the row.
        Form::Broken => Secret::Value(of_process(&actor, "billing")),
        // ANCHOR_END: broken
        // ANCHOR: right
        // At the start: only its name goes into the row.
        Form::Right => Secret::Name("billing".to_owned()),
        // ANCHOR_END: right
    };
    let account = BankAccount {
        user: "alice".to_owned(),
        secret,
        connection: Some(actor.client().await?),
    };
    let handle = workflow.start_with(account, actor.start_options()).await?;
    actor.send_outcome(&handle.result().await);
    dbos.shutdown().await;
    Ok(())
}

async fn charge_all(actor: Actor, account: BankAccount) -> dbos::Result<Vec<String>, StepFailed> {
    actor.send("input", json!({ "is_connected": account.connection.is_some() }));
    let mut receipts = Vec::new();
    for step in 1..=STEPS {
        let charge = || async { Ok(charge(&actor, &account, step)?) };
        receipts.push(step_with("charge", StepOptions::default(), charge).await?);
    }
    Ok(receipts)
}

/// Charges once; what is charged takes the secret of today, and no other.
fn charge(actor: &Actor, account: &BankAccount, step: u64) -> Result<String, StepFailed> {
    let secret = match &account.secret {
        // ANCHOR: broken
        // In a step: the value that the row has, of any age.
        Secret::Value(value) => value.clone(),
        // ANCHOR_END: broken
        // ANCHOR: right
        // In a step: the value that this process has.
        Secret::Name(name) => resolve(actor, name),
        // ANCHOR_END: right
    };
    if actor.argument::<u64>("crash_step").ok() == Some(step) {
        std::process::abort();
    }
    if secret != of_process(actor, "billing") {
        return Err(StepFailed(REFUSED.to_owned()));
    }
    actor.send("charged", json!({ "step": step }));
    Ok(format!("receipt {step} for {}", account.user))
}

fn resolve(actor: &Actor, name: &str) -> String {
    actor.send("resolved", json!({ "name": name }));
    of_process(actor, name)
}

/// Returns the settings that the process was given at its start, as by its environment.
fn of_process(actor: &Actor, name: &str) -> String {
    actor.argument(name).unwrap_or_default()
}
