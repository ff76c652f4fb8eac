//! One job's outcome as one line.

use durable_jobs::client::Outcome;
use durable_jobs::record::JobOutput;
use durable_jobs::{Failure, JobId, State};
use fibonacci_jobs::{Algorithm, JobResult, Request};
use serde::Serialize;

use crate::output::{self, Format, Paint};

/// A job that succeeded, as JSON.
#[derive(Serialize)]
struct Success<'a> {
    workflow_id: &'a JobId,
    state: State,
    #[serde(flatten)]
    result: &'a JobResult,
}

/// A job that did not, as JSON.
#[derive(Serialize)]
struct NoValue<'a> {
    workflow_id: &'a JobId,
    state: State,
    #[serde(skip_serializing_if = "Option::is_none")]
    n: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    algorithm: Option<Algorithm>,
    error: &'a Failure,
}

/// A job of another program, as JSON.
#[derive(Serialize)]
struct Foreign<'a> {
    workflow_id: &'a JobId,
    workflow: &'a str,
    state: State,
    #[serde(skip_serializing_if = "Option::is_none")]
    result: Option<&'a JobOutput>,
    #[serde(skip_serializing_if = "Option::is_none")]
    error: Option<&'a Failure>,
}

/// An ended job, with its value read and checked.
pub(crate) struct Checked {
    pub(crate) id: JobId,
    pub(crate) state: State,
    pub(crate) result: Result<Box<JobResult>, Failure>,
}

/// Checks the value of an outcome; one that does not stand becomes a failure.
pub(crate) fn checked(outcome: Outcome) -> Checked {
    // The certificate is computed here: one that was recorded with the value may be as wrong as it.
    let verified = |result: Box<JobResult>| match result.verify() {
        Ok(()) => Ok(result),
        Err(reason) => Err(Failure::terminal("Unverified", reason.to_string())),
    };
    let result = outcome.result.and_then(|output| output.read());
    Checked {
        id: outcome.id,
        state: outcome.state,
        result: result.and_then(verified),
    }
}

/// Prints an outcome; `request` is what was asked for, where that is known.
pub(crate) fn print(outcome: &Checked, request: Option<Request>, format: Format) -> anyhow::Result<()> {
    match format {
        Format::Human => output::line(human(outcome, request)),
        Format::Json => print_json(outcome, request),
    }
}

/// Prints an outcome of another program's job; an output that is no JSON makes no failure of a job that succeeded.
pub(crate) fn print_foreign(outcome: &Outcome, format: Format) -> anyhow::Result<()> {
    let Outcome {
        id,
        workflow,
        state,
        result,
    } = outcome;
    if format == Format::Json {
        return output::json(&Foreign {
            workflow_id: id,
            workflow,
            state: *state,
            result: result.as_ref().ok(),
            error: result.as_ref().err(),
        });
    }
    let said = match result {
        Ok(output) => output.json().to_owned(),
        Err(failure) => failure.to_string(),
    };
    let state = match state {
        State::Succeeded => state.to_string(),
        _ => state.red().to_string(),
    };
    output::line(format_args!("{workflow} {state}: {said}  job {id}"))
}

fn print_json(outcome: &Checked, request: Option<Request>) -> anyhow::Result<()> {
    let (workflow_id, state) = (&outcome.id, outcome.state);
    match &outcome.result {
        Ok(result) => output::json(&Success {
            workflow_id,
            state,
            result,
        }),
        Err(error) => {
            let (n, algorithm) = (
                request.map(|request| request.n),
                request.map(|request| request.algorithm),
            );
            output::json(&NoValue {
                workflow_id,
                state,
                n,
                algorithm,
                error,
            })
        }
    }
}

fn human(outcome: &Checked, request: Option<Request>) -> String {
    match &outcome.result {
        Ok(result) => {
            let again = if result.attempts > 1 {
                format!("  attempt {}", result.attempts)
            } else {
                String::new()
            };
            let spent = output::seconds(result.seconds);
            format!(
                "F({}) = {}  {spent}  pid {}{again}",
                result.n,
                output::digits_of(result),
                result.pid
            )
        }
        Err(failure) => {
            let asked = request.map_or_else(String::new, |request| format!("F({}) ", request.n));
            // A job whose value failed the check is recorded as succeeded; it is shown as failed.
            let state = if outcome.state == State::Succeeded {
                State::Failed
            } else {
                outcome.state
            };
            format!("{asked}{}: {failure}  job {}", state.name().red(), outcome.id)
        }
    }
}
