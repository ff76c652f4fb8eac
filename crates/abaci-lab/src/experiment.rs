//! An experiment, and a run of it from the empty schema to the report.

use anyhow::Context;
use futures_util::future::BoxFuture;

use crate::actor::Actor;
use crate::laboratory::Laboratory;
use crate::report::{Findings, Report, Trace};
use crate::sandbox::Sandbox;
use crate::schema::Ownership;

/// One experiment.
pub struct Experiment {
    /// Its name on the command line, such as `ex1`.
    pub name: &'static str,
    /// Its subject, in a few words.
    pub title: &'static str,
    /// The question that it answers.
    pub question: &'static str,
    /// Its method, in a sentence or two.
    pub method: &'static str,
    /// The advice that follows from it.
    pub pattern: &'static str,
    /// Its claim; the verdict is whether that was observed.
    pub claim: &'static str,
    pub(crate) conduct: for<'a> fn(&'a Sandbox) -> BoxFuture<'a, anyhow::Result<Findings>>,
    pub(crate) act: fn(Actor) -> BoxFuture<'static, anyhow::Result<()>>,
}

impl Experiment {
    /// Runs it and calls `trace` for every event as it happens; returns nothing when it was interrupted.
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
        let sandbox = Sandbox::set_up(self.name, laboratory, trace)?;
        let mut interrupted = std::pin::pin!(interrupted);
        let mut ownership = tokio::select! {
            biased;
            () = &mut interrupted => return Ok(None),
            taken = Ownership::take(&laboratory.database_url, sandbox.schema()) => taken?,
        };
        let experiment = async {
            sandbox.make_tables().await?;
            (self.conduct)(&sandbox).await
        };
        let findings = tokio::select! {
            biased;
            () = interrupted => None,
            error = ownership.lost() => Some(Err(error)),
            findings = sandbox.in_time(experiment) => Some(findings),
        };
        let cleared = sandbox.clear().await;
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
