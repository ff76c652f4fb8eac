//! The buttons: each is a form, and leads back to what it changed.

use axum::extract::State;
use axum::response::Response;
use durable_jobs::JobId;
use durable_jobs::client::{CancelOutcome, Rate, ResumeOptions, ResumeOutcome, StepName};
use serde::Deserialize;
use std::time::Duration;

use super::form::FormFields;
use super::frame::{Frame, go};
use super::refusal::{Refusal, View};
use super::rows::job_path;
use crate::api::{queue_of, verification};
use crate::place::{JobPath, NamePath};
use crate::problem::{Kind, Problem};
use crate::state::Shared;

/// The form of a fork.
#[derive(Deserialize)]
pub(super) struct ForkForm {
    from_step: String,
}

/// The form of a rate; both empty for none.
#[derive(Deserialize)]
pub(super) struct RateForm {
    starts: String,
    seconds: String,
}

/// The form of a kill.
#[derive(Deserialize)]
pub(super) struct KillForm {
    worker: String,
}

/// Cancels a job.
pub(super) async fn cancel(State(web): State<Shared>, frame: Frame, JobPath(id): JobPath) -> View {
    changed(&frame, async {
        let did = match web.client().await?.cancel(&id).await? {
            CancelOutcome::Cancelled => "cancelled",
            // Also a second click on Cancel comes here, so that this is no refusal.
            CancelOutcome::AlreadyFinal(_) => "ended",
            CancelOutcome::NotFound => return Err(absent(id.as_str())),
        };
        Ok(go(&job_path(id.as_str()), did))
    })
    .await
}

/// Puts a job back into its queue.
pub(super) async fn resume(State(web): State<Shared>, frame: Frame, JobPath(id): JobPath) -> View {
    changed(&frame, async {
        let resumed = web.client().await?.resume(&id, ResumeOptions::default()).await?;
        let did = match resumed {
            ResumeOutcome::Resumed => "resumed",
            ResumeOutcome::ResumedOn(_) => "moved",
            ResumeOutcome::Refused(_) => "stays",
            ResumeOutcome::NotFound => return Err(absent(id.as_str())),
        };
        Ok(go(&job_path(id.as_str()), did))
    })
    .await
}

/// Makes a new job that goes on from a step, and leads to it.
pub(super) async fn fork(
    State(web): State<Shared>,
    frame: Frame,
    JobPath(id): JobPath,
    fields: Result<FormFields<ForkForm>, Problem>,
) -> View {
    changed(&frame, async {
        let FormFields(ForkForm { from_step }) = fields?;
        let Ok(position) = from_step.trim().parse() else {
            let message = format!("{from_step:?} is no step; give its number as the table has it");
            return Err(Problem::of_part("body.from_step", message, None));
        };
        let (client, new) = (web.client().await?, JobId::fresh());
        let forked = client.fork(&id, &StepName::Position(position), &new).await?;
        Ok(go(&job_path(forked.id.as_str()), "forked"))
    })
    .await
}

/// Checks the value of a job against a certificate that is computed now.
pub(super) async fn verify(State(web): State<Shared>, frame: Frame, JobPath(id): JobPath) -> View {
    changed(&frame, async {
        match verification(&web, &id).await?.error {
            None => Ok(go(&job_path(id.as_str()), "verified")),
            Some(error) => Err(Problem::new(Kind::Conflict, error)),
        }
    })
    .await
}

/// Starts no more jobs of a queue.
pub(super) async fn pause(State(web): State<Shared>, frame: Frame, NamePath(queue): NamePath) -> View {
    changed(&frame, async {
        queue_of(&web, &queue).await?;
        web.client().await?.pause_queue(&queue).await?;
        Ok(go("/queues", "paused"))
    })
    .await
}

/// Starts the jobs of a queue again.
pub(super) async fn unpause(State(web): State<Shared>, frame: Frame, NamePath(queue): NamePath) -> View {
    changed(&frame, async {
        queue_of(&web, &queue).await?;
        web.client().await?.resume_queue(&queue).await?;
        Ok(go("/queues", "unpaused"))
    })
    .await
}

/// Limits how fast the jobs of a queue start.
pub(super) async fn limit(
    State(web): State<Shared>,
    frame: Frame,
    NamePath(queue): NamePath,
    fields: Result<FormFields<RateForm>, Problem>,
) -> View {
    changed(&frame, async {
        let FormFields(form) = fields?;
        let rate = form.rate()?;
        queue_of(&web, &queue).await?;
        web.client().await?.limit_queue(&queue, rate).await?;
        Ok(go(
            "/queues",
            if rate.is_some() { "limited" } else { "unlimited" },
        ))
    })
    .await
}

impl RateForm {
    fn rate(&self) -> Result<Option<Rate>, Problem> {
        let (starts, seconds) = (self.starts.trim(), self.seconds.trim());
        // One empty field of two is a mistake: it falls through to the refusal of that field.
        if starts.is_empty() && seconds.is_empty() {
            return Ok(None);
        }
        let wrong = |field: &str, message: String| Problem::of_part(format!("body.{field}"), message, None);
        let count = starts
            .parse()
            .ok()
            .filter(|starts| (1..=i32::MAX.unsigned_abs()).contains(starts));
        let count: u32 = count.ok_or_else(|| {
            wrong(
                "starts",
                format!(
                    "{starts:?} is no number of jobs; give one from 1 to 2147483647, or leave both fields empty for no rate"
                ),
            )
        })?;
        let time = seconds
            .parse()
            .ok()
            .and_then(|seconds| Duration::try_from_secs_f64(seconds).ok());
        let time = time.filter(|time| (Rate::SHORTEST..=Rate::LONGEST).contains(time));
        let time = time.ok_or_else(|| {
            wrong(
                "seconds",
                format!("{seconds:?} is no time of a rate; give seconds from 0.1 to a year"),
            )
        })?;
        Ok(Some(Rate::new(count, time)))
    }
}

/// Kills the process of a worker, where this is a demonstration.
pub(super) async fn kill(
    State(web): State<Shared>,
    frame: Frame,
    fields: Result<FormFields<KillForm>, Problem>,
) -> View {
    changed(&frame, async {
        let FormFields(KillForm { worker }) = fields?;
        // The route is there in a demonstration alone, so this refusal is for a mistake of ours.
        let absent = || Problem::new(Kind::NotFound, "this is no demonstration");
        let kill = web.kill.as_ref().ok_or_else(absent)?;
        let killed = kill(worker).await;
        killed.map_err(|reason| Problem::new(Kind::Conflict, reason))?;
        Ok(go("/", "killed"))
    })
    .await
}

/// Shows what refused a change as a page.
async fn changed(frame: &Frame, change: impl Future<Output = Result<Response, Problem>>) -> View {
    change.await.map_err(|problem| Refusal::new(frame, problem))
}

fn absent(id: &str) -> Problem {
    Problem::new(Kind::NotFound, format!("there is no job {id:?}"))
}
