//! Submission under a key that one job of a queue holds at a time, from its submission to its end.
//!
//! The engine keeps the key in the row and gives it up when the job ends, so that its other tools see the same.

use dbos::sysdb::types::{Applications, WorkflowFilter, WorkflowRecord};

use super::submit::{RETRY_INTERVAL, Rows};
use super::{Client, NewJob, SubmitOptions};
use crate::record::{JobId, Label};
use crate::{Error, Reply};

/// The outcome of a submission under a key.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Submitted {
    /// The job is queued, now or by the same submission before.
    Queued,
    /// This job waits or runs with the same key, and asks for the same.
    Joined(JobId),
}

impl Client {
    /// Submits one job, unless one that waits or runs in the queue holds this key; the job holds it until it ends.
    ///
    /// # Errors
    /// As [`Client::submit_all`], and [`Error::KeyHeld`] when the other job asks for something else.
    pub fn submit_once<'a>(
        &'a self,
        job: &'a NewJob,
        key: &'a Label,
        options: SubmitOptions,
    ) -> Reply<'a, Submitted> {
        Box::pin(async move {
            self.admit(job)?;
            options.check()?;
            let rows = Rows::of(std::slice::from_ref(job), options).under(key.as_str());
            let submitted = self.write_or_join((job, options), key, &rows);
            let submitted = match tokio::time::timeout(self.timeout, submitted).await {
                Ok(submitted) => submitted?,
                Err(_) => return Err(self.database.address.silence(self.timeout).await),
            };
            if submitted == Submitted::Queued {
                self.announce(&self.queue).await;
            }
            Ok(submitted)
        })
    }

    /// Writes the row, or finds the one that holds its key.
    async fn write_or_join(
        &self,
        (job, options): (&NewJob, SubmitOptions),
        key: &Label,
        rows: &Rows<'_>,
    ) -> Result<Submitted, Error> {
        loop {
            if !self.write(rows).await?.is_empty() {
                return Ok(Submitted::Queued);
            }
            let holders = WorkflowFilter {
                // A key is unique in a queue, whoever has the job.
                applications: Applications::Any,
                queue_names: vec![&self.queue],
                deduplication_ids: vec![key.as_str()],
                load_input: true,
                load_output: false,
                ..WorkflowFilter::default()
            };
            if let Some(holder) = self.rows_of(&holders).await?.into_iter().next() {
                return self.join(job, holder, key);
            }
            // Not the key but the id was in the way: the same submission has queued this job before.
            if self.refuse_others(&[job], options).await? > 0 {
                return Ok(Submitted::Queued);
            }
            // The holder ended between the two statements, so the key is free.
            tokio::time::sleep(RETRY_INTERVAL).await;
        }
    }

    /// Takes the job that holds the key for this one, if it asks for the same.
    fn join(&self, job: &NewJob, holder: WorkflowRecord, key: &Label) -> Result<Submitted, Error> {
        if self.request_of(&holder) != self.request(job.workflow, &job.input) {
            return Err(Error::KeyHeld {
                key: key.to_string(),
                id: holder.workflow_id,
            });
        }
        // The same submission, made again while its own job holds the key.
        if holder.workflow_id == job.id.as_str() {
            return Ok(Submitted::Queued);
        }
        Ok(Submitted::Joined(JobId::new(holder.workflow_id)))
    }
}
