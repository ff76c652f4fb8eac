//! The workflows, one file each.
//!
//! A body decides and calls steps; it has no clock, no randomness and no I/O of its own.
//! Step names are constants and never change meaning; a change to their sequence changes [`VERSION`].

mod checkpointed_run;
mod fault;
mod fibonacci;
mod giant;
mod steps;
mod stepwise;

use durable_jobs::record::Details;
use durable_jobs::{Failure, JobContext, JobEvent, JobType, JobTypes, log_job_event};
use serde_json::Value;

use crate::record::{JobResult, Limits, Request, WorkflowName};

/// The version of the sequence of steps.
///
/// It changes when a step is added, removed, renamed or moved, and at no other time: a worker only takes rows of its
/// own version, so a needless change would strand the jobs in flight.
pub const VERSION: &str = "abaci-1";

/// The side that admits requests.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Side {
    Client,
    Server { enable_faults: bool },
}

/// The limits of requests, and the side that admits them.
#[derive(Debug, Clone, Copy)]
struct Rules {
    limits: Limits,
    side: Side,
}

/// Lists the job types for a client, which refuses what is over `limits` before it is queued.
#[must_use]
pub fn client_types(limits: Limits) -> JobTypes {
    job_types(Rules {
        limits,
        side: Side::Client,
    })
}

/// Lists the job types for a worker; `enable_faults` lets faults strike that jobs ask for, and the worker dies of most of
/// them.
#[must_use]
pub fn server_types(limits: Limits, enable_faults: bool) -> JobTypes {
    job_types(Rules {
        limits,
        side: Side::Server { enable_faults },
    })
}

/// Implements [`JobType`] for the workflows: name of the type, its [`WorkflowName`], its body.
macro_rules! job_types {
    ($($job_type:ident: $workflow:ident, $body:path;)*) => {
        $(
            struct $job_type(Rules);

            impl JobType for $job_type {
                const WORKFLOW: &'static str = WorkflowName::$workflow.name();

                type Input = Request;
                type Output = JobResult;

                fn decode(input: &Value) -> Result<Request, Failure> {
                    Request::decode_for(WorkflowName::$workflow, input)
                        .map_err(|error| Failure::invalid_request(error.to_string()))
                }

                fn admit(&self, request: &Request, memory_bytes: Option<u64>) -> Result<(), Failure> {
                    self.0.admit(request, memory_bytes)
                }

                fn details(request: &Request) -> Details {
                    Details::default()
                        .with("n", request.n)
                        .with("algorithm", request.algorithm.name())
                }

                fn no_details() -> Details {
                    Details::default().with("n", Value::Null).with("algorithm", Value::Null)
                }

                fn log(request: &Request, event: &JobEvent<'_>) {
                    log_job_event!(event, n = request.n, algorithm = request.algorithm.name());
                }

                async fn run(&self, job: &JobContext, request: Request) -> Result<JobResult, Failure> {
                    $body(job, request).await
                }
            }
        )*

        fn job_types(rules: Rules) -> JobTypes {
            JobTypes::new(VERSION)$(.with($job_type(rules)))*
        }
    };
}

job_types! {
    FibonacciJob: Fibonacci, fibonacci::fibonacci;
    StepwiseJob: Stepwise, stepwise::stepwise;
    GiantJob: Giant, giant::giant;
}

impl Rules {
    /// Refuses what this client or this worker does not do.
    fn admit(&self, request: &Request, memory_bytes: Option<u64>) -> Result<(), Failure> {
        // The memory granted to this job takes the place of the limit that is set here.
        let limits = Limits {
            memory_bytes: memory_bytes.unwrap_or(self.limits.memory_bytes),
            ..self.limits
        };
        let checked = match self.side {
            Side::Client => limits.check(request),
            Side::Server { .. } => limits.check_at_server(request),
        };
        checked.map_err(|error| Failure::invalid_request(error.to_string()))?;
        match (request.fault, self.side) {
            // Only a server refuses: a client does not know which one will run the job.
            (Some(fault), Side::Server { enable_faults: false }) => Err(Failure::terminal(
                "FaultsDisabled",
                format!(
                    "the job asks for the fault {fault}, and this server lets none strike; start it with --enable-faults"
                ),
            )),
            _ => Ok(()),
        }
    }
}
