//! The computation of one attempt of a job: it goes on from step to step, in one process where it is heavy.
//!
//! A step waits for the next thing that it has come to, a state or the digits, and records that; the computation has begun
//! with what follows by then. So a checkpoint costs the writing of a state, and neither a process nor its reading.
//! In another attempt the computation begins anew, from the last state that is as it was recorded.

use std::collections::HashMap;

use durable_jobs::artifact::{self, ArtifactFile, Fetched};
use durable_jobs::compute::ComputationEnded;
use durable_jobs::{Error, Failure, JobContext};

use super::steps::{Computed, StoredState, computed};
use crate::compute::{Done, FibonacciTask, StateFile, Stop, UNREADABLE};
use crate::record::Request;

/// Computes for the steps of one attempt.
pub(super) struct CheckpointedRun<'a> {
    job: &'a JobContext,
    request: Request,
    /// The indices whose states are wanted, in their order.
    stops: Vec<u64>,
    /// The recorded states that may be as they were recorded.
    states: Vec<StoredState>,
    /// The last index whose state is recorded.
    recorded: u64,
    begun: Option<Begun>,
    /// The output that could not be kept yet: another attempt of the step tries again, and computes nothing.
    unkept: Option<(Done, Begun)>,
}

/// A computation under way, with the files that it writes.
struct Begun {
    // Dropped from the top: a thread is stopped before its files are removed, and removes itself what
    // it writes after that.
    running: durable_jobs::compute::Computation<Done>,
    states: HashMap<u64, ArtifactFile>,
    digits: ArtifactFile,
    // Kept while the process may read it: a downloaded state is removed when this is dropped.
    _from: Option<Fetched>,
}

impl<'a> CheckpointedRun<'a> {
    /// A computation that begins with the first step that waits for it, from the last of `states`.
    pub(super) fn new(
        job: &'a JobContext,
        request: Request,
        stops: Vec<u64>,
        states: &[StoredState],
    ) -> Self {
        Self {
            job,
            request,
            stops,
            states: states.to_vec(),
            recorded: states.last().map_or(0, |state| state.k),
            begun: None,
            unkept: None,
        }
    }

    /// Takes note of a recorded state, whether this attempt has computed it or another one.
    pub(super) fn note(&mut self, state: &StoredState) {
        self.recorded = state.k;
        self.states.push(state.clone());
    }

    /// Waits for the state of index `k` and keeps it.
    ///
    /// Repeating it is safe: the state is the same, and so is its name.
    pub(super) async fn state(&mut self, k: u64) -> Result<StoredState, Failure> {
        let (done, mut begun) = self.next().await?;
        let Done::State(state) = &done else {
            return Err(misunderstood());
        };
        let file = begun.states.get(&k).filter(|_| state.k == k);
        let file = file.ok_or_else(misunderstood)?;
        let name = state_name(self.job, k);
        let kept = self.job.keep(file, &state.file, &name).await;
        let seconds = state.seconds;
        match kept {
            Ok(artifact) => {
                // With a bucket this removes the local copy; a renamed file is not under this name any more.
                begun.states.remove(&k);
                self.begun = Some(begun);
                Ok(StoredState { k, artifact, seconds })
            }
            Err(failure) => {
                self.unkept = Some((done, begun));
                Err(failure)
            }
        }
    }

    /// Waits for the digits, and keeps them where they are too many for the row.
    ///
    /// Repeating it is safe: the value is the same and its artifact is named by its hash.
    pub(super) async fn digits(&mut self) -> Result<Computed, Failure> {
        let (done, begun) = self.next().await?;
        let Done::Digits(answer) = &done else {
            return Err(misunderstood());
        };
        let computed = computed(self.job, answer.clone(), &begun.digits).await;
        if computed.is_err() {
            self.unkept = Some((done, begun));
        }
        computed
    }

    /// The next thing that the computation comes to.
    ///
    /// A process that dies is followed by another at once, until the deaths park the job.
    async fn next(&mut self) -> Result<(Done, Begun), Failure> {
        if let Some(unkept) = self.unkept.take() {
            return Ok(unkept);
        }
        loop {
            let mut begun = match self.begun.take() {
                Some(begun) => begun,
                None => self.begin().await?,
            };
            match begun.running.next().await {
                Ok(done) => return Ok((done, begun)),
                Err(ComputationEnded::Failed(failure)) if failure.name == UNREADABLE => {
                    self.forget_last(&failure.message);
                }
                Err(ComputationEnded::Failed(failure)) => return Err(failure),
                // `begun` is dropped with the dead process: the next round begins from a recorded state.
                Err(ComputationEnded::Died(death)) => self.job.count_death(death).await?,
            }
        }
    }

    /// Begins from the last state that is there, in a child process where the job is heavy.
    async fn begin(&mut self) -> Result<Begun, Failure> {
        let from = loop {
            let Some(last) = self.states.last() else {
                break None;
            };
            // A bucket shows here that a state is lost or changed; a file of this host is first opened by the
            // computation, which then ends as `UNREADABLE`.
            match self.job.artifacts().fetch(&last.artifact).await {
                Ok(fetched) => break Some((fetched, last.artifact.blake3.clone())),
                Err(error @ Error::ArtifactLost { .. }) => self.forget_last(&error.to_string()),
                // It is there, and the step will ask again.
                Err(error) => return Err(artifact::failure_of(&error)),
            }
        };
        let job = self.job;
        let file = || ArtifactFile(job.artifacts().unfinished());
        // Recorded states are not written again, even one that is lost: no step waits for them any more.
        let wanted = self.stops.iter().filter(|k| **k > self.recorded);
        let states: HashMap<u64, ArtifactFile> = wanted.clone().map(|k| (*k, file())).collect();
        let digits = file();
        let task = FibonacciTask {
            request: self.request,
            from: from.as_ref().map(|(fetched, blake3)| StateFile {
                path: fetched.path().to_owned(),
                blake3: blake3.clone(),
            }),
            stops: wanted
                .map(|k| Stop {
                    k: *k,
                    place: states[k].0.clone(),
                })
                .collect(),
            place: digits.0.clone(),
            threads: job.threads(),
        };
        Ok(Begun {
            running: job.start(task)?,
            states,
            digits,
            _from: from.map(|(fetched, _)| fetched),
        })
    }

    /// Goes back to the state before the last one, which turned out to be missing or changed.
    fn forget_last(&mut self, why: &str) {
        self.states.pop();
        let message = format!("{why}; going on from what was before it");
        self.job.log_retry(&Failure::retryable("Artifact", message));
    }
}

/// The name of a state of this job: an id may hold what no file name can.
pub(super) fn state_name(job: &JobContext, k: u64) -> String {
    let id = blake3::hash(job.id().as_str().as_bytes()).to_hex();
    // The garbage collection knows states by 32 hexadecimal digits and a number.
    format!("{}-{k}.state", &id[..32])
}

/// The failure of a computing process that did something else than it was told.
fn misunderstood() -> Failure {
    Failure::terminal(
        "Internal",
        "the computing process did something else than it was told",
    )
}
