//! Refusals of a submission for what is there already, or for what it says itself: they name the line or the flag.

use std::time::{Duration, SystemTime};

use durable_jobs::client::NewJob;
use durable_jobs::record::Batch;
use durable_jobs::{Difference, Error, JobId, Stated, Term};

use super::Submission;
use crate::config::Period;
use crate::exit::Failed;

impl Submission {
    /// Refuses an id that two of the jobs have.
    pub(super) fn refuse_twice(&self) -> Result<(), Failed> {
        let Some((first, second)) = NewJob::first_twice(self.jobs.iter().map(|(job, _)| job)) else {
            return Ok(());
        };
        let id = &self.jobs[second].0.id;
        let numbered = self.batch.as_ref().filter(|batch| batch.numbers(id));
        let numbered = numbered.map_or_else(String::new, |batch| {
            format!("; ids such as {id} are those of the positions in batch {batch}")
        });
        let [first, second] = [first, second].map(|position| &self.places[position]);
        Err(Failed::usage(format!(
            "{second}: the id {id} is that of {first} as well; give each job its own{numbered}"
        )))
    }

    /// Says where a job is written, or by which flag it was told, that is there and was submitted otherwise.
    pub(super) fn explain(&self, error: Error) -> anyhow::Error {
        let Error::IdTaken {
            id,
            difference: Some(difference),
        } = &error
        else {
            return error.into();
        };
        // One at most: an id that two of them have was refused before.
        let mut named = self.jobs.iter().zip(&self.places);
        let place = named.find(|((job, _), _)| job.id.as_str() == id);
        let place = place.map_or_else(String::new, |(_, place)| place.to_string());
        let place = match difference.term {
            Term::Input => place,
            Term::Priority => format!("{place}, --priority"),
            Term::Tags => format!("{place}, --tag"),
            Term::Batch => format!("{place}, --batch"),
            Term::Queue => "--queue".to_owned(),
            Term::Timeout => "--timeout".to_owned(),
            Term::Delay => self.delay_flag.to_owned(),
        };
        let is_numbered = |batch: &Batch| batch.numbers(&JobId::new(id));
        let other = if self.batch.as_ref().is_some_and(is_numbered) {
            "batch"
        } else {
            "id"
        };
        let Difference { term, stands, asked } = difference;
        Failed::usage(format!(
            "{place}: job {id} exists already with the {term} {}, not {}; submit it as before, or choose another {other}",
            stated(stands),
            stated(asked)
        ))
        .into()
    }
}

fn stated(value: &Stated) -> String {
    match value {
        Stated::Period(period) => Period(*period).to_string(),
        Stated::Moment(moment) => {
            let since = Duration::from_millis(moment.max(&0).unsigned_abs());
            let moment = SystemTime::UNIX_EPOCH
                .checked_add(since)
                .map(humantime::format_rfc3339_millis);
            moment.map_or_else(|| value.to_string(), |moment| format!("until {moment}"))
        }
        other => other.to_string(),
    }
}
