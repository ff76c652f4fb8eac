//! A list of any length, a page at a time.
//!
//! Each page is a question of its own that begins where the last one ended, so that a reader who takes a long time holds
//! neither a statement nor a snapshot open in the database, and no more than a page is ever in memory.
//! Jobs are ordered by the date of their submission alone: those that have the date at which a page ended are remembered,
//! and are passed over by the next one.
//!
//! It is not one moment of the database: a job may be shown as it was before another one's page was read, and what is
//! submitted meanwhile is not shown.

use std::collections::HashSet;

use dbos::sysdb::SystemDatabase;
use dbos::sysdb::types::{Timestamp, WorkflowFilter, WorkflowRecord};

use super::list::statuses_of;
use super::{Client, ListFilter};
use crate::Error;
use crate::record::Job;

/// The number of rows that are read at once.
const PAGE: usize = 500;

/// A list of jobs as far as it has not been read, the newest first.
pub struct Pages<'a> {
    client: &'a Client,
    filter: &'a ListFilter,
    /// The date at which the last page ended.
    until: Option<Timestamp>,
    /// The jobs of that date that were read.
    read: HashSet<String>,
    /// The number of jobs that may still be shown.
    left: usize,
    is_over: bool,
}

impl Client {
    /// Lists jobs, whatever their queue and their type.
    ///
    /// # Errors
    /// [`Error::Unreachable`] or [`Error::Database`].
    pub async fn list(&self, filter: &ListFilter) -> Result<Vec<Job>, Error> {
        let mut pages = self.pages(filter);
        let mut jobs = Vec::new();
        while let Some(page) = pages.next().await? {
            jobs.extend(page);
        }
        Ok(jobs)
    }

    /// Lists jobs as [`Client::list`] does, a page at a time.
    #[must_use]
    pub fn pages<'a>(&'a self, filter: &'a ListFilter) -> Pages<'a> {
        Pages {
            client: self,
            filter,
            until: None,
            read: HashSet::new(),
            left: filter.limit.map_or(usize::MAX, |limit| limit as usize),
            is_over: false,
        }
    }
}

impl Pages<'_> {
    /// Reads the next page, which has at least one job; `None` after the last.
    ///
    /// # Errors
    /// [`Error::Unreachable`] or [`Error::Database`].
    pub async fn next(&mut self) -> Result<Option<Vec<Job>>, Error> {
        while self.left > 0 && !self.is_over {
            let rows = self.rows().await?;
            let states = &self.filter.states;
            let is_asked = |job: &Job| states.is_empty() || states.contains(&job.state);
            let jobs: Vec<Job> = rows
                .iter()
                .map(|row| self.client.job_of(row))
                .filter(is_asked)
                .take(self.left)
                .collect();
            self.left -= jobs.len();
            if !jobs.is_empty() {
                return Ok(Some(jobs));
            }
        }
        Ok(None)
    }

    /// Reads the rows that come next, and moves on.
    async fn rows(&mut self) -> Result<Vec<WorkflowRecord>, Error> {
        let Self { client, filter, .. } = *self;
        let database = &client.database;
        // Parked jobs are failed ones until their failure is read, so the limit says nothing of the rows then.
        let wanted = if filter.needs_failure() {
            PAGE
        } else {
            PAGE.min(self.left)
        };
        let asked = wanted + self.read.len();
        let attributes = filter.attributes();
        let query = WorkflowFilter {
            workflow_id_prefixes: filter.id_prefix.iter().map(String::as_str).collect(),
            status: filter
                .states
                .iter()
                .flat_map(|state| statuses_of(*state))
                .copied()
                .collect(),
            attributes: attributes.as_deref(),
            created_before: self.until,
            limit: Some(i64::try_from(asked).unwrap_or(i64::MAX)),
            sort_desc: true,
            load_input: false,
            load_output: filter.needs_failure(),
            ..WorkflowFilter::default()
        };
        let rows = database.engine.list_workflows(&query, None);
        let mut rows = database.bounded("listing jobs", client.timeout, rows).await?;
        self.is_over = rows.len() < asked;
        rows.retain(|row| !self.read.contains(&row.workflow_id));
        self.move_past(&rows);
        client.restore_queues(&mut rows).await?;
        client.restore_inputs(&mut rows).await?;
        Ok(rows)
    }

    fn move_past(&mut self, rows: &[WorkflowRecord]) {
        let Some(last) = rows.last().map(|row| row.created_at) else {
            return;
        };
        if self.until != Some(last) {
            self.read.clear();
            self.until = Some(last);
        }
        let of_that_date = rows.iter().filter(|row| row.created_at == last);
        self.read.extend(of_that_date.map(|row| row.workflow_id.clone()));
    }
}
