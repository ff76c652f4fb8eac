//! A job in hand, as reports and presence rows show it.

use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;

use super::Details;

/// A job that a worker has in hand.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct RunningJob {
    /// The job's id.
    pub workflow_id: String,
    /// Its request, as its job type names it; empty until the job's body has begun.
    #[serde(flatten)]
    pub details: Details,
    /// Which start of the job this is, from 1; absent until the job's body has begun.
    pub attempt: Option<u32>,
    /// The step that runs; absent between two.
    pub step: Option<String>,
    /// The share of that step that is computed, from 0 to 1; absent before it said so.
    pub progress: Option<f64>,
    /// `computing`, or `writing` once all is computed; absent before it said so.
    #[serde(default)]
    pub phase: Option<String>,
    /// The number of bytes that are written; absent before any are.
    #[serde(default)]
    pub bytes: Option<u64>,
    /// The time that the job has been in hand.
    pub seconds: f64,
}

impl RunningJob {
    /// Reads what a worker said so many seconds ago.
    ///
    /// A job that a worker of another version described in a way that cannot be read is left out.
    pub(crate) fn all_said(said: &str, age_seconds: f64) -> Vec<Self> {
        // Each is read by itself, so that one that cannot be read hides no other.
        let jobs: Vec<&RawValue> = serde_json::from_str(said).unwrap_or_default();
        let jobs = jobs.into_iter().map(RawValue::get);
        jobs.filter_map(|job| Self::said(job, age_seconds)).collect()
    }

    /// Reads one of them.
    pub(crate) fn said(job: &str, age_seconds: f64) -> Option<Self> {
        let job = serde_json::from_str::<Self>(job).ok()?;
        Some(Self {
            // A beat may be dated after the beginning of the statement that reads it.
            seconds: job.seconds + age_seconds.max(0.0),
            ..job
        })
    }
}
