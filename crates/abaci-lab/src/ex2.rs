//! ex2: a poisoned workflow. The last attempt at one page kills the process, and so does every recovery.
//!
//! Attempts are counted in memory, so a recovery begins with attempt 1: they bound errors, not crashes. Starts are counted in
//! the row, and the engine gives up after 100 recoveries, which is fixed. A body with another cap looks before its first step,
//! and parks by cancelling: the engine resumes that, and nothing that ended in an error.

use std::sync::OnceLock;
use std::time::{Duration, Instant};

use dbos::sysdb::types::WorkflowFilter;
use dbos::{Client, Error, StepOptions, step_status, step_with};
use futures_util::FutureExt;
use serde_json::{Map, Value, json};

use crate::Experiment;
use crate::actor::{Actor, Failed, Form};
use crate::crash::segfault;
use crate::report::Findings;
use crate::stage::{Casting, Ended, Stage};

pub(crate) const EXPERIMENT: Experiment = Experiment {
    name: "ex2",
    title: "a poisoned workflow",
    question: "What stops a workflow that kills every process that runs it?",
    method: "A workflow builds an object and fetches 5 pages with it. One page fails 3 times, with growing waits; attempt 4 is \
             a segmentation fault. A dead process is started again, 4 starts in all; then the page is repaired.",
    pattern: "Bound errors by max_attempts, and crashes by the count of starts in the database: look at it before the first \
              step, park by cancelling, note why, and let a person resume.",
    claim: "without a cap each of 4 starts dies; with one the fourth parks the workflow, and once resumed it finishes without \
            fetching again what it had",
    direct: |stage| direct(stage).boxed(),
    act: |actor| act(actor).boxed(),
};

const PAGES: u64 = 5;
const STARTS: usize = 4;
const MAX_DEATHS: i64 = 3;
const MAX_ATTEMPTS: u32 = 4;

/// Directs both forms, and the repair of the right one.
async fn direct(stage: &Stage<'_>) -> anyhow::Result<Findings> {
    let page = 2 + stage.seed() % 3;
    let mut findings = Findings::default();
    findings.fact("poisoned_page", page);
    let told = |poisoned: Option<u64>| json!({ "poisoned": poisoned, "credentials": ["crawler", "letmein"] });
    for form in [Form::Broken, Form::Right] {
        let id = format!("lab/{}", form.name());
        let (mut starts, mut rows) = (Vec::new(), Vec::new());
        while starts.len() < STARTS && starts.iter().all(|ended: &Ended| ended.how() == "SIGSEGV") {
            starts.push(stage.run(form, Casting::new(&id, told(Some(page)))).await?);
            rows.push(row(stage, &id).await?);
        }
        let mut fact = |name, value: Value| findings.fact(&format!("{}_{name}", form.name()), value);
        fact("ends", starts.iter().map(Ended::how).collect());
        fact("rows", rows.into());
        fact("fetched", details(&starts, "fetched", "page"));
        fact("attempts", details(&starts, "attempt", "number"));
        fact("attempts_at_ms", details(&starts[..1], "attempt", "at_ms"));
    }
    let resumed = Casting::new("lab/right", told(None));
    let resumed = [stage.run(Form::Right, resumed).await?];
    findings.fact("resumed_fetched", details(&resumed, "fetched", "page"));
    findings.fact("resumed_value", resumed[0].last("outcome", "value"));
    findings.fact("resumed_row", row(stage, "lab/right").await?);
    findings.observed = is_observed(&findings.facts, page);
    tell_cases(&mut findings);
    Ok(findings)
}

async fn row(stage: &Stage<'_>, id: &str) -> anyhow::Result<Value> {
    let columns = "concat_ws(', ', status, 'starts: ' || recovery_attempts, attributes->>'note')";
    let query = format!("select {columns} from workflow_status where workflow_uuid = '{id}'");
    Ok(stage.text(&query).await?.into())
}

fn details(starts: &[Ended], event: &str, detail: &str) -> Value {
    let events = starts.iter().flat_map(|ended| ended.all(event));
    events.map(|details| details[detail].clone()).collect()
}

fn is_observed(facts: &Map<String, Value>, page: u64) -> bool {
    let (before, after): (Vec<u64>, Vec<u64>) = (1..=PAGES).partition(|fetched| *fetched < page);
    // Waits of 20, 40 and 80 ms, each of which may take longer and never less.
    let at_ms = |attempt: usize| facts["right_attempts_at_ms"][attempt].as_u64();
    (at_ms(1) >= Some(20) && at_ms(2) >= Some(60) && at_ms(3) >= Some(140))
        && facts["broken_ends"] == json!(["SIGSEGV"].repeat(STARTS))
        && facts["broken_rows"][3] == "PENDING, starts: 4"
        && facts["broken_attempts"] == json!([1, 2, 3, 4].repeat(STARTS))
        && facts["right_ends"] == json!(["SIGSEGV", "SIGSEGV", "SIGSEGV", "exit 0"])
        && facts["right_rows"][3] == "CANCELLED, starts: 4, 3 starts died"
        && facts["right_fetched"] == json!(before)
        && facts["resumed_fetched"] == json!(after)
        && facts["resumed_row"] == "SUCCESS, starts: 1, 3 starts died"
}

fn tell_cases(findings: &mut Findings) {
    let facts = findings.facts.clone();
    let row = |form: &str| facts[form][3].as_str().unwrap_or_default();
    findings.case(
        Form::Broken,
        [
            "max_attempts is 4, no cap on starts",
            "4 attempts, then an error",
            &format!("{}; attempts: {}", row("broken_rows"), facts["broken_attempts"]),
            "attempts are counted in memory, and a launch recovers what is PENDING, up to 100 times",
        ],
    );
    findings.case(
        Form::Right,
        [
            "a cap on starts",
            "parked after 3 deaths",
            row("right_rows"),
            "the engine counts a start in the row before the body runs, so that the body can look",
        ],
    );
    findings.case(
        Form::Right,
        [
            "resumed after the repair",
            "every page is fetched again",
            &format!("fetched {}", facts["resumed_fetched"]),
            "the steps that ended stay recorded, and starts are counted anew",
        ],
    );
}

/// One process: runs the workflow, or goes on with it; after the repair it resumes it first.
async fn act(actor: Actor) -> anyhow::Result<()> {
    let client = actor.client().await?;
    for row in client.list_workflows(&WorkflowFilter::default()).await? {
        let is = format!("{}, starts: {}", row.status.as_str(), row.recovery_attempts);
        actor.say("listed", json!({ "id": row.workflow_id, "is": is }));
    }
    let credentials = actor.argument("credentials")?;
    let given = (actor.clone(), client.clone(), credentials);
    let dbos = actor.engine();
    let workflow = dbos.register_workflow("fetch_all", move |(): ()| {
        let (actor, client, credentials) = given.clone();
        async move {
            park_poison(&actor, &client).await.map_err(Error::lift)?;
            // Built anew in every start, which is fine: it has settings, and no results.
            Fetcher { actor, credentials }.fetch_all().await
        }
    })?;
    if actor.argument::<Option<u64>>("poisoned")?.is_none() {
        client.resume::<Value, Failed>(actor.executor_id()).await?;
    }
    dbos.launch().await?;
    let handle = workflow.start_with((), actor.start_options()).await?;
    match handle.result().await {
        Err(Error::WorkflowCancelled { .. }) => actor.say("parked", json!({})),
        outcome => actor.say_outcome(&outcome),
    }
    dbos.shutdown().await;
    Ok(())
}

/// Looks at the count of starts, and in the right form parks after too many. Not a step: a recorded count would not grow.
async fn park_poison(actor: &Actor, client: &Client) -> dbos::Result<()> {
    let id = actor.executor_id();
    let rows = client.list_workflows(&WorkflowFilter::default()).await?;
    let row = rows.iter().find(|row| row.workflow_id == id);
    let starts = row.map_or(0, |row| row.recovery_attempts);
    if actor.form() == Form::Right && starts > MAX_DEATHS {
        let note = json!({ "note": format!("{} starts died", starts - 1) });
        client.update_workflow_attributes(id, note.as_object()).await?;
        // From now on the engine refuses every step of it.
        client.cancel(id).await?;
    }
    Ok(())
}

struct Fetcher {
    actor: Actor,
    credentials: (String, String),
}

impl Fetcher {
    async fn fetch_all(&self) -> dbos::Result<Vec<String>, Failed> {
        let mut pages = Vec::new();
        for page in 1..=PAGES {
            let options = StepOptions {
                max_attempts: MAX_ATTEMPTS,
                interval: Duration::from_millis(20),
                ..StepOptions::default()
            };
            let began = OnceLock::new();
            let attempt = || async { self.fetch(page, &began) };
            pages.push(step_with("fetch", options, attempt).await?);
        }
        Ok(pages)
    }

    fn fetch(&self, page: u64, began: &OnceLock<Instant>) -> dbos::Result<String, Failed> {
        let actor = &self.actor;
        if actor.argument::<u64>("poisoned").ok() != Some(page) {
            actor.say("fetched", json!({ "page": page }));
            return Ok(format!("page {page} for {}", self.credentials.0));
        }
        let attempt = step_status().map(|status| status.current_attempt());
        let at_ms = began.get_or_init(Instant::now).elapsed().as_millis();
        actor.say("attempt", json!({ "number": attempt, "at_ms": at_ms }));
        if attempt == Some(MAX_ATTEMPTS) {
            segfault();
        }
        Err(Failed("no answer".to_owned()).into())
    }
}
