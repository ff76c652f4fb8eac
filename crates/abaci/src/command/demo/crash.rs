//! The crash: the SIGKILL of a worker that is in the middle of a computation.
//!
//! A job that is seen running may have recorded its value a moment later, and then the crash costs nothing and shows
//! nothing. So the worker is stopped first, and its job is looked at while the worker cannot go on: only one that still
//! has the job and has recorded nothing of it is killed. Any other goes on, and the next look chooses again.
//!
//! It does not promise that a statement which the worker sent right before it was stopped is not carried out after the
//! look; the result then names the dead process, and the demo prints so.

use std::collections::HashSet;
use std::time::{Duration, Instant, SystemTime};

use anyhow::Context;
use durable_jobs::JobFilter;
use durable_jobs::record::JobDetail;
use durable_jobs::{Client, Job, JobId, State};
use fibonacci_jobs::Request;
use rustix::io::Errno;
use rustix::process::{Pid, Signal, kill_process};

use super::fleet::DemoFleet;

/// The shortest time that a job has to have run, for the crash to cost it something.
const A_MOMENT: Duration = Duration::from_millis(50);

/// The same for the last job, after which there is no other chance.
const A_BLINK: Duration = Duration::from_millis(10);

/// The moment at which a worker was killed.
#[derive(Clone)]
pub(super) struct Crash {
    /// The process that was killed.
    pub(super) pid: u32,
    /// The executor id under which it worked.
    pub(super) executor_id: String,
    /// The job that it was computing.
    pub(super) job: JobId,
    /// The index of that job.
    pub(super) n: u64,
    /// The time that the job had run.
    pub(super) ran_for: Duration,
    /// The time of the kill.
    pub(super) at: Instant,
    /// The jobs that had ended by then.
    pub(super) ended_before: HashSet<JobId>,
}

/// A worker that is held still; it goes on when this is dropped.
struct StoppedWorker {
    process: Pid,
    pid: u32,
    executor_id: String,
}

/// Kills a worker that computes one of `jobs`, if it is time and one is found in the middle of it.
pub(super) async fn bring_about(
    client: &Client,
    fleet: &DemoFleet,
    jobs: &[(JobId, Request)],
) -> anyhow::Result<Option<Crash>> {
    let rows = client.list(&JobFilter::default()).await?;
    let Some(victim) = victim_among(&rows, SystemTime::now()) else {
        return Ok(None);
    };
    let Some(worker) = StoppedWorker::stop(fleet, victim).await? else {
        return Ok(None);
    };
    let rows = client.list(&JobFilter::default()).await?;
    // Asked last, so that what the worker had sent before it was stopped has arrived.
    let detail = client.show(&victim.workflow_id).await?;
    let asked = jobs.iter().find(|(id, _)| *id == victim.workflow_id);
    match asked {
        Some((_, request)) if is_in_the_middle(&detail, &worker.executor_id) => {
            worker.kill(&detail.job, request.n, ended(&rows).cloned().collect())
        }
        _ => Ok(None),
    }
}

/// Chooses the job whose worker is to die: once half of the jobs have ended, the one that was begun last of those that
/// have run for a moment, since it is the farthest from its end.
fn victim_among(rows: &[Job], now: SystemTime) -> Option<&Job> {
    let ended = ended(rows).count();
    if ended < rows.len() / 2 {
        return None;
    }
    let moment = if ended + 1 == rows.len() {
        A_BLINK
    } else {
        A_MOMENT
    };
    let running = rows.iter().filter(|job| job.state == State::Running);
    running
        .filter(|job| has_run_for(job, now) >= moment)
        .max_by_key(|job| job.started_at_ms)
}

fn ended(rows: &[Job]) -> impl Iterator<Item = &JobId> {
    let ended = rows.iter().filter(|job| job.state.is_final());
    ended.map(|job| &job.workflow_id)
}

/// Reports that a job is in a worker's hands and nothing of it is recorded.
fn is_in_the_middle(detail: &JobDetail, executor_id: &str) -> bool {
    let job = &detail.job;
    job.state == State::Running && job.executor_id.as_deref() == Some(executor_id) && detail.steps.is_empty()
}

/// Returns how long a job had run at a moment; the database's clock is this machine's, since the database is here.
fn has_run_for(job: &Job, at: SystemTime) -> Duration {
    let started_ms = job.started_at_ms.and_then(|moment| u64::try_from(moment).ok());
    let started = started_ms.map(|moment| SystemTime::UNIX_EPOCH + Duration::from_millis(moment));
    started
        .and_then(|moment| at.duration_since(moment).ok())
        .unwrap_or_default()
}

impl StoppedWorker {
    /// Stops the worker that has a job; nothing when there is none, or it has gone by itself.
    async fn stop(fleet: &DemoFleet, job: &Job) -> anyhow::Result<Option<Self>> {
        let Some(executor_id) = job.executor_id.clone() else {
            return Ok(None);
        };
        let worker = fleet.worker(&executor_id).await?;
        let Some(pid) = worker.and_then(|worker| worker.pid) else {
            return Ok(None);
        };
        let process = i32::try_from(pid)
            .ok()
            .and_then(Pid::from_raw)
            .context("a process id")?;
        match kill_process(process, Signal::STOP) {
            Err(Errno::SRCH) => return Ok(None),
            stopped => stopped.context("stopping a worker")?,
        }
        Ok(Some(Self {
            process,
            pid,
            executor_id,
        }))
    }

    /// Kills the worker, the way a crash does; nothing when somebody else has done so.
    fn kill(&self, job: &Job, n: u64, ended_before: HashSet<JobId>) -> anyhow::Result<Option<Crash>> {
        // A stopped process dies of it, too, and does not go on before.
        match kill_process(self.process, Signal::KILL) {
            Err(Errno::SRCH) => return Ok(None),
            killed => killed.context("killing a worker")?,
        }
        Ok(Some(Crash {
            pid: self.pid,
            executor_id: self.executor_id.clone(),
            job: job.workflow_id.clone(),
            n,
            ran_for: has_run_for(job, SystemTime::now()),
            at: Instant::now(),
            ended_before,
        }))
    }
}

impl Drop for StoppedWorker {
    /// Lets the worker go on; a dead one is beyond that.
    fn drop(&mut self) {
        let _ = kill_process(self.process, Signal::CONT);
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn at_ms(moment: u64) -> SystemTime {
        SystemTime::UNIX_EPOCH + Duration::from_millis(moment)
    }

    fn job(id: &str, state: State, started_at_ms: u64) -> Job {
        let fields = json!({
            "workflow_id": id, "state": state, "workflow": "fibonacci_workflow", "executor_id": "host/0",
            "attempts": 1, "created_at_ms": 0, "started_at_ms": started_at_ms,
        });
        serde_json::from_value(fields).unwrap()
    }

    fn chosen(rows: &[Job], now_ms: u64) -> Option<&str> {
        victim_among(rows, at_ms(now_ms)).map(|job| job.workflow_id.as_str())
    }

    #[test]
    fn the_victim_is_the_job_that_was_begun_last() {
        let rows = [
            job("a", State::Succeeded, 0),
            job("b", State::Running, 100),
            job("c", State::Running, 250),
            job("d", State::Queued, 0),
        ];
        assert_eq!(chosen(&rows, 400), None, "fewer than half of the jobs have ended");
        let rows = [&rows[..], &[job("e", State::Failed, 0)]].concat();
        assert_eq!(chosen(&rows, 400), Some("c"));
        assert_eq!(chosen(&rows, 290), Some("b"), "a job of 40 ms was chosen");
        assert_eq!(chosen(&rows, 149), None);
    }

    #[test]
    fn the_last_job_is_caught_sooner() {
        let rows = [job("a", State::Succeeded, 0), job("b", State::Running, 100)];
        assert_eq!(chosen(&rows, 109), None);
        assert_eq!(chosen(&rows, 110), Some("b"));
    }

    #[test]
    fn a_job_with_a_recorded_step_spares_its_worker() {
        let detail = |job: Job, steps: serde_json::Value| JobDetail {
            job,
            result: None,
            error: None,
            steps: serde_json::from_value(steps).unwrap(),
        };
        let running = job("a", State::Running, 0);
        assert!(is_in_the_middle(&detail(running.clone(), json!([])), "host/0"));
        let computed = json!([{"id": 0, "name": "compute"}]);
        assert!(!is_in_the_middle(&detail(running.clone(), computed), "host/0"));
        assert!(
            !is_in_the_middle(&detail(running, json!([])), "host/1"),
            "another worker has it"
        );
        let ended = job("a", State::Succeeded, 0);
        assert!(!is_in_the_middle(&detail(ended, json!([])), "host/0"));
    }
}
