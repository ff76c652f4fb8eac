//! The laboratory: experiments on durable execution, each of which does it wrong and right, crashes for real, and says
//! what happened.
//!
//! An experiment is one file to be read in five minutes. Its `direct` runs in this process: it starts actors, looks at what
//! they leave in the database, and comes to a verdict. Its `act` runs in a process of its own, with the engine, and may
//! die there. Both forms of an experiment, the broken one and the right one, are in `act`.
//!
//! Every run has a schema of its own in the database, which is dropped at the end, so nothing of it is met by anything else;
//! what a run that was killed has left, the next one drops. Seeds are fixed. A run has a deadline, and no process outlives
//! it.
//!
//! This is the only crate besides `durable-jobs` that names `dbos` and `sqlx`: it teaches them.

mod actor;
mod crash;
mod ex1_state_in_memory;
mod ex2_poisoned_workflow;
mod ex3_object_as_input;
mod ex4_concurrent_steps;
mod ex5_nested_workflows;
mod ex6_error_panic_memory;
mod ex7_new_version_in_flight;
mod ex8_shared_executor_id;
mod ex9_poisoned_queue;
mod parking;
mod report;
mod sandbox;
mod schema;

use std::path::PathBuf;

use anyhow::Context;
use futures_util::future::BoxFuture;

use self::actor::Actor;
pub use self::actor::Part;
use self::report::Findings;
pub use self::report::{Case, Report, Trace};
use self::sandbox::Stage;
use self::schema::Ownership;
pub use self::schema::{Leftover, Removal, remove_leftovers};

/// One experiment.
pub struct Experiment {
    /// Its name on the command line, such as `ex1`.
    pub name: &'static str,
    /// What it is about, in a few words.
    pub title: &'static str,
    /// What it asks.
    pub question: &'static str,
    /// What it does, in a sentence or two.
    pub method: &'static str,
    /// What to do instead of the broken form.
    pub pattern: &'static str,
    /// What it claims; the verdict is whether that was observed.
    pub claim: &'static str,
    direct: for<'a> fn(&'a Stage) -> BoxFuture<'a, anyhow::Result<Findings>>,
    act: fn(Actor) -> BoxFuture<'static, anyhow::Result<()>>,
}

/// What a run of an experiment needs.
pub struct Laboratory {
    /// A database in which schemas can be made.
    pub database_url: String,
    /// A program that takes a [`Part`] and acts.
    pub program: PathBuf,
    /// Its arguments.
    pub arguments: Vec<String>,
    /// What decides where the crashes are.
    pub seed: u64,
    /// Which forms are run as the right ones.
    pub cast: Cast,
}

/// Which forms are run where an experiment runs the right one.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Cast {
    /// The right ones.
    AsWritten,
    /// The broken ones, which no verdict must survive.
    Swapped,
}

/// The seed of every run that is given no other.
pub const SEED: u64 = 7;

/// Every experiment, in order.
pub const EXPERIMENTS: &[Experiment] = &[
    ex1_state_in_memory::EXPERIMENT,
    ex2_poisoned_workflow::EXPERIMENT,
    ex3_object_as_input::EXPERIMENT,
    ex4_concurrent_steps::EXPERIMENT,
    ex5_nested_workflows::EXPERIMENT,
    ex6_error_panic_memory::EXPERIMENT,
    ex7_new_version_in_flight::EXPERIMENT,
    ex8_shared_executor_id::EXPERIMENT,
    ex9_poisoned_queue::EXPERIMENT,
];

/// The experiment of this name, if there is one.
#[must_use]
pub fn find(name: &str) -> Option<&'static Experiment> {
    EXPERIMENTS.iter().find(|experiment| experiment.name == name)
}

impl Experiment {
    /// Runs it, telling `trace` what happens as it happens; returns nothing when it was interrupted.
    ///
    /// Its processes are killed and its schema is dropped in any case, which takes some seconds at most.
    ///
    /// # Errors
    /// When it could not be done: no database, no process, or a deadline passed. A claim that was not observed is none.
    pub async fn run(
        &self,
        laboratory: &Laboratory,
        trace: &(dyn Fn(&Trace) + Send + Sync),
        interrupted: impl Future<Output = ()>,
    ) -> anyhow::Result<Option<Report>> {
        let stage = Stage::set_up(self.name, laboratory, trace)?;
        let mut interrupted = std::pin::pin!(interrupted);
        let mut ownership = tokio::select! {
            biased;
            () = &mut interrupted => return Ok(None),
            taken = Ownership::take(&laboratory.database_url, stage.schema()) => taken?,
        };
        let experiment = async {
            stage.make_tables().await?;
            (self.direct)(&stage).await
        };
        let findings = tokio::select! {
            biased;
            () = interrupted => None,
            error = ownership.lost() => Some(Err(error)),
            findings = stage.in_time(experiment) => Some(findings),
        };
        let cleared = stage.clear().await;
        let Some(findings) = findings else {
            return cleared.map(|_| None);
        };
        let findings = findings.with_context(|| format!("running {}", self.name))?;
        Ok(Some(self.report(laboratory, findings, cleared?)))
    }

    fn report(&self, laboratory: &Laboratory, findings: Findings, seconds: f64) -> Report {
        Report {
            experiment: self.name.to_owned(),
            title: self.title.to_owned(),
            question: self.question.to_owned(),
            method: self.method.to_owned(),
            seed: laboratory.seed,
            facts: findings.facts,
            cases: findings.cases,
            pattern: self.pattern.to_owned(),
            claim: self.claim.to_owned(),
            observed: findings.observed,
            seconds,
        }
    }
}
