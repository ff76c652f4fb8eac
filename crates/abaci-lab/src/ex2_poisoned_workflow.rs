//! ex2: a poisoned workflow. The last attempt at one page kills the process, and so does every recovery.
//!
//! Attempts are counted in memory, so a recovery begins with attempt 1: they bound errors, not crashes. Starts are counted in
//! the row, and the engine gives up after 100 recoveries, which is fixed. So the right form looks at that count before its
//! first step, and parks as abaci does: it ends with an error, which no launch recovers. The engine resumes what was
//! cancelled and nothing that failed, so `abaci resume` puts the row back by a statement of its own, as is done here.

use std::sync::{Arc, OnceLock};
use std::time::{Duration, Instant};

use anyhow::Context;
use dbos::sysdb::types::WorkflowFilter;
use dbos::{StepOptions, step_status, step_with};
use futures_util::FutureExt;
use serde_json::{Map, Value, json};

use crate::actor::{Actor, Form, StepFailed, StepResult};
use crate::crash::segfault;
use crate::experiment::Experiment;
use crate::parking::{DEATHS_TO_PARK, POISON, poison, starts};
use crate::report::{Findings, listed};
use crate::sandbox::{EndedActor, RunConfig, Sandbox};

pub(crate) const EXPERIMENT: Experiment = Experiment {
    name: "ex2",
    title: "a poisoned workflow",
    question: "What stops a workflow that kills every process that runs it?",
    method: "A workflow builds an object and fetches 5 pages with it. One page fails 3 times, with growing waits; attempt 4 is \
             a segmentation fault. A dead process is started again, 4 starts in all; then the page is repaired, and the workflow resumed: by the engine, and as abaci does it.",
    pattern: "Bound errors by max_attempts, and crashes by the count of starts in the database. Park a job that three \
              processes died of: before its first step, end it with an error that says so, and let a person resume it.",
    claim: "without a limit each of 4 starts dies; with one the fourth parks the workflow, and once resumed it finishes without \
            fetching again what it had",
    conduct: |sandbox| conduct(sandbox).boxed(),
    act: |actor| act(actor).boxed(),
};

const PAGES: u64 = 5;
const STARTS: usize = 4;
const MAX_ATTEMPTS: u32 = 4;

/// Does what `abaci resume` does: a job that ended without a value goes back to its queue, here the engine's own. The
/// records of its successful steps stay, and its starts are counted anew.
const RESUME: &str = "update workflow_status set status = 'ENQUEUED', queue_name = '_dbos_internal_queue', \
    recovery_attempts = 0, error = null, started_at_epoch_ms = null, completed_at = null \
    where workflow_uuid = 'lab/right' and status = 'ERROR'";

/// Conducts both forms, and the repair of the right one.
async fn conduct(sandbox: &Sandbox<'_>) -> anyhow::Result<Findings> {
    let page = 2 + sandbox.seed() % 3;
    let mut findings = Findings::default();
    findings.fact("poisoned_page", page);
    let arguments = |poisoned: Option<u64>, resume: Option<&str>| json!({ "poisoned": poisoned, "resume": resume, "credentials": ["crawler", "letmein"] });
    for form in [Form::Broken, Form::Right] {
        let id = format!("lab/{}", form.name());
        let mut starts = Vec::new();
        while starts.len() < STARTS && starts.iter().all(|ended: &EndedActor| ended.how() == "SIGSEGV") {
            starts.push(
                sandbox
                    .run(form, RunConfig::new(&id, arguments(Some(page), None)))
                    .await?,
            );
        }
        let row = row(sandbox, &id).await?;
        let mut fact = |name, value: Value| findings.fact(&format!("{}_{name}", form.name()), value);
        fact("ends", starts.iter().map(EndedActor::how).collect());
        fact("row", row.into());
        fact("error", starts[starts.len() - 1].last("outcome", "error"));
        fact("fetched", details(&starts, "fetched", "page"));
        fact("attempts", details(&starts, "attempt", "number"));
        fact("attempts_at_ms", details(&starts[..1], "attempt", "at_ms"));
    }
    for resume in ["engine", "abaci"] {
        let repaired = RunConfig::new("lab/right", arguments(None, Some(resume)));
        let start = sandbox.run(Form::Right, repaired).await?;
        let mut fact = |name, value: Value| findings.fact(&format!("{resume}_resumed_{name}"), value);
        fact("row", row(sandbox, "lab/right").await?.into());
        fact("fetched", details(&[start], "fetched", "page"));
    }
    findings.observed = is_observed(&findings.facts, page);
    tell_cases(&mut findings);
    Ok(findings)
}

async fn row(sandbox: &Sandbox<'_>, id: &str) -> anyhow::Result<String> {
    let columns = "status || ', starts: ' || recovery_attempts";
    let query = format!("select {columns} from workflow_status where workflow_uuid = '{id}'");
    sandbox.text(&query).await?.context("there is no such row")
}

fn details(starts: &[EndedActor], event: &str, detail: &str) -> Value {
    let events = starts.iter().flat_map(|ended| ended.all(event));
    events.map(|details| details[detail].clone()).collect()
}

fn is_observed(facts: &Map<String, Value>, page: u64) -> bool {
    let (before, after): (Vec<u64>, Vec<u64>) = (1..=PAGES).partition(|fetched| *fetched < page);
    // Waits of 20, 40 and 80 ms, each of which may take longer and never less.
    let at_ms = |attempt: usize| facts["right_attempts_at_ms"][attempt].as_u64();
    (at_ms(1) >= Some(20) && at_ms(2) >= Some(60) && at_ms(3) >= Some(140))
        && facts["broken_ends"] == json!(["SIGSEGV"].repeat(STARTS))
        && facts["broken_row"] == "PENDING, starts: 4"
        && facts["broken_attempts"] == json!([1, 2, 3, 4].repeat(STARTS))
        && facts["right_ends"] == json!(["SIGSEGV", "SIGSEGV", "SIGSEGV", "exit 0"])
        && facts["right_row"] == "ERROR, starts: 4"
        && facts["right_error"] == POISON
        && facts["right_fetched"] == json!(before)
        && (&facts["engine_resumed_row"], &facts["engine_resumed_fetched"])
            == (&facts["right_row"], &json!([]))
        && facts["abaci_resumed_row"] == "SUCCESS, starts: 1"
        && facts["abaci_resumed_fetched"] == json!(after)
}

#[rustfmt::skip]
fn tell_cases(findings: &mut Findings) {
    let facts = findings.facts.clone();
    let text = |fact: &str| facts[fact].as_str().unwrap_or_default();
    let fetched = |resume: &str| {
        let pages = listed(&facts[&format!("{resume}_resumed_fetched")]);
        let pages = if pages.is_empty() { "none" } else { &pages };
        format!("{}; fetched pages: {pages}", text(&format!("{resume}_resumed_row")))
    };
    let attempts = format!("{}; attempts: {}", text("broken_row"), listed(&facts["broken_attempts"]));
    let parked = format!("{}; {}", text("right_row"), text("right_error"));
    findings.case(Form::Broken, [
        "only attempts are limited", "4 attempts, then an error", &attempts,
        "attempts are counted in memory, and a launch recovers what is PENDING, up to 100 times" ]);
    findings.case(Form::Right, [
        "parked when three processes died of it", "an error", &parked,
        "the engine counts a start in the row before the body runs, so that the body can look" ]);
    findings.case(Form::Right, [
        "repaired, and resumed by the engine", "it runs again", &fetched("engine"),
        "the engine resumes what was cancelled, and nothing that ended in an error" ]);
    findings.case(Form::Right, [
        "resumed as abaci does it", "every page is fetched again", &fetched("abaci"),
        "the steps that ended stay recorded, and starts are counted anew" ]);
}

/// One process: runs the workflow, or goes on with it; after the repair the engine is to resume it.
async fn act(actor: Actor) -> anyhow::Result<()> {
    let client = actor.client().await?;
    for row in client.list_workflows(&WorkflowFilter::default()).await? {
        let is = format!("{}, starts: {}", row.status.as_str(), row.recovery_attempts);
        actor.send("listed", json!({ "id": row.workflow_id, "is": is }));
    }
    // Built anew in every start, which is fine: it has settings, and no results.
    let fetcher = Arc::new(Fetcher {
        actor: actor.clone(),
        credentials: actor.argument("credentials")?,
    });
    let dbos = actor.engine();
    let workflow = dbos.register_workflow("fetch_all", move |(): ()| {
        let fetcher = Arc::clone(&fetcher);
        async move {
            match fetcher.actor.form() {
                Form::Broken => fetch_whatever_it_did(&fetcher).await,
                Form::Right => park_after_three_deaths(&fetcher).await,
            }
        }
    })?;
    if let Some(by) = actor.argument::<Option<String>>("resume")? {
        actor.send("resume", json!({ "by": by }));
        if by == "engine" {
            client.resume::<Value, StepFailed>(actor.executor_id()).await?;
        } else {
            sqlx::query(RESUME).execute(&mut actor.session().await?).await?;
        }
    }
    dbos.launch().await?;
    let handle = workflow.start_with((), actor.start_options()).await?;
    actor.send_outcome(&handle.result().await);
    dbos.shutdown().await;
    Ok(())
}

async fn fetch_whatever_it_did(fetcher: &Fetcher) -> StepResult<Vec<String>> {
    // ANCHOR: broken
    // The only limit is of attempts, counted in memory.
    fetcher.fetch_all(MAX_ATTEMPTS).await
    // ANCHOR_END: broken
}

async fn park_after_three_deaths(fetcher: &Fetcher) -> StepResult<Vec<String>> {
    // ANCHOR: right
    // Not a step: a recorded count would never grow.
    if starts(&fetcher.actor).await > DEATHS_TO_PARK {
        return Err(poison().into());
    }
    fetcher.fetch_all(MAX_ATTEMPTS).await
    // ANCHOR_END: right
}

struct Fetcher {
    actor: Actor,
    credentials: (String, String),
}

impl Fetcher {
    async fn fetch_all(&self, max_attempts: u32) -> StepResult<Vec<String>> {
        let mut pages = Vec::new();
        for page in 1..=PAGES {
            let options = StepOptions {
                max_attempts,
                interval: Duration::from_millis(20),
                ..StepOptions::default()
            };
            let began = OnceLock::new();
            let attempt = || async { self.fetch(page, &began) };
            pages.push(step_with("fetch", options, attempt).await?);
        }
        Ok(pages)
    }

    fn fetch(&self, page: u64, began: &OnceLock<Instant>) -> dbos::Result<String, StepFailed> {
        let actor = &self.actor;
        if actor.argument::<u64>("poisoned").ok() != Some(page) {
            actor.send("fetched", json!({ "page": page }));
            return Ok(format!("page {page} for {}", self.credentials.0));
        }
        let attempt = step_status().map(|status| status.current_attempt());
        let at_ms = began.get_or_init(Instant::now).elapsed().as_millis();
        actor.send("attempt", json!({ "number": attempt, "at_ms": at_ms }));
        if attempt == Some(MAX_ATTEMPTS) {
            segfault();
        }
        Err(StepFailed("no answer".to_owned()).into())
    }
}
