//! A job in hand, as reports and presence rows show it.

use serde::{Deserialize, Serialize};

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
