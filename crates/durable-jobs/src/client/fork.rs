//! A new job that goes on from the middle of another one.
//!
//! It keeps what the other one recorded before a step, and runs that step and what follows anew, on the same queue. The
//! statement is the engine's own, so its other tools tell the origin of a fork too.
//! What the kept steps refer to, such as large values, is referred to by both jobs from then on; nothing is copied, and the
//! collection of garbage spares it as long as one of them needs it.

use std::fmt;
use std::str::FromStr;

use dbos::sysdb::SystemDatabase;
use dbos::sysdb::types::{Fork, ForkOptions};

use super::Client;
use crate::record::{JobId, StepRecord};
use crate::{Error, Reply};

/// A step of a job, by its position or by its name.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum StepName {
    /// The position, from 0.
    Position(i32),
    /// The first step of this name.
    Name(String),
}

impl FromStr for StepName {
    type Err = std::convert::Infallible;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        Ok(text
            .parse()
            .map_or_else(|_| Self::Name(text.to_owned()), Self::Position))
    }
}

impl fmt::Display for StepName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Position(position) => write!(f, "{position}"),
            Self::Name(name) => f.pad(name),
        }
    }
}

/// A job that was forked from another one.
#[derive(Debug, Clone, PartialEq)]
pub struct Forked {
    /// The new job.
    pub id: JobId,
    /// The queue that it waits in.
    pub queue: String,
    /// The recorded steps that it keeps.
    pub kept: Vec<StepRecord>,
}

impl Client {
    /// Makes a job `fork` that keeps what `origin` recorded before the step `from`, and runs from there.
    ///
    /// # Errors
    /// [`Error::NotFound`] for an origin that is not there; [`Error::Fork`] where it has no such step, or one before it has
    /// failed, which the fork would only repeat; [`Error::IdTaken`]; [`Error::Unreachable`] or [`Error::Database`].
    pub fn fork<'a>(&'a self, origin: &'a JobId, from: &'a StepName, fork: &'a JobId) -> Reply<'a, Forked> {
        Box::pin(async move {
            let detail = self.show(origin).await?;
            let start = start_of(&detail.steps, from)?;
            // For an id that is there the engine's insert would fail, and its error would not name the id.
            match self.summary(fork).await {
                Err(Error::NotFound { .. }) => {}
                Err(error) => return Err(error),
                Ok(_) => {
                    return Err(Error::IdTaken {
                        id: fork.to_string(),
                        difference: None,
                    });
                }
            }
            let queue = detail.job.queue.unwrap_or_else(|| self.queue.clone());
            let forks = [Fork {
                forked_id: Some(fork.as_str()),
                start_step: start,
                ..Fork::new(origin.as_str())
            }];
            let options = ForkOptions {
                // Without it the engine takes its own queue, whose jobs it starts outside of our slots.
                queue_name: Some(&queue),
                ..ForkOptions::default()
            };
            let forked = self.database.engine.fork_workflows(&forks, &options, None);
            self.database
                .bounded("forking a job", self.timeout, forked)
                .await?;
            self.announce(&queue).await;
            let kept = detail.steps.into_iter().filter(|step| step.id < start);
            Ok(Forked {
                id: fork.clone(),
                queue,
                kept: kept.collect(),
            })
        })
    }
}

/// Finds the step, or the one after the last of those that are recorded.
fn start_of(steps: &[StepRecord], from: &StepName) -> Result<i32, Error> {
    let next = steps.last().map_or(0, |last| last.id + 1);
    let start = match from {
        StepName::Position(position) => (0..=next).contains(position).then_some(*position),
        StepName::Name(name) => steps.iter().find(|step| step.name == *name).map(|step| step.id),
    };
    let recorded = || {
        let names = steps.iter().map(|step| format!("{} {}", step.id, step.name));
        let names: Vec<String> = names.take(20).collect();
        if names.is_empty() {
            "none".to_owned()
        } else {
            names.join(", ")
        }
    };
    let start = start.ok_or_else(|| Error::Fork {
        reason: format!("there is no step {from}; recorded are: {}", recorded()),
    })?;
    match steps.iter().find(|step| step.error.is_some() && step.id < start) {
        Some(failed) => Err(Error::Fork {
            reason: format!(
                "step {} {} failed, and the fork would only repeat that; fork from it or from a step before it",
                failed.id, failed.name
            ),
        }),
        None => Ok(start),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn step(id: i32, name: &str, error: Option<&str>) -> StepRecord {
        StepRecord {
            id,
            name: name.to_owned(),
            started_at_ms: None,
            completed_at_ms: None,
            error: error.map(str::to_owned),
        }
    }

    #[test]
    fn a_step_is_found_by_position_or_by_its_first_name() {
        let steps = [step(0, "one", None), step(1, "two", None), step(2, "two", None)];
        let start = |from: &str| start_of(&steps, &from.parse().unwrap());
        for (from, expected) in [("0", 0), ("one", 0), ("two", 1), ("2", 2), ("3", 3)] {
            assert_eq!(start(from).unwrap(), expected, "{from}");
        }
        for from in ["4", "-1", "three", ""] {
            let error = start(from).unwrap_err().to_string();
            assert!(error.contains("0 one, 1 two, 2 two"), "{from}: {error}");
        }
    }

    #[test]
    fn nothing_is_kept_from_after_a_failed_step() {
        let steps = [
            step(0, "one", None),
            step(1, "two", Some("no")),
            step(2, "three", None),
        ];
        assert_eq!(start_of(&steps, &StepName::Position(1)).unwrap(), 1);
        let error = start_of(&steps, &StepName::Position(2)).unwrap_err().to_string();
        assert!(error.contains("step 1 two failed"), "{error}");
    }
}
