//! Jobs by their ids, or by the beginnings of these.

use std::collections::{HashMap, HashSet};

use uuid::Uuid;

use super::Client;
use crate::Reply;
use crate::database::workflow_rows::{IDS_LIKE, STATUSES};
use crate::record::{APPLICATION, JobId};

/// Each beginning is compared with the id of every row; more of them are rather ids of jobs that are gone.
pub const MOST_BEGINNINGS: usize = 20;

/// The jobs that a text names.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Found {
    /// The job of this id, or the only one whose id begins so.
    One(JobId),
    /// Ids of these jobs, among others, begin so.
    Several([JobId; 2]),
    /// None.
    Nothing,
}

/// Tests whether a text may be the beginning of an id: one of the form that ids have unless they are chosen is all of it.
fn may_begin_an_id(text: &str) -> bool {
    !text.is_empty() && Uuid::try_parse(text).is_err()
}

impl Client {
    /// Returns those of the jobs that are not there: deleted, or never submitted.
    ///
    /// # Errors
    /// [`Error::Unreachable`](crate::Error::Unreachable) or [`Error::Database`](crate::Error::Database).
    pub fn absent<'a>(&'a self, jobs: &'a [JobId]) -> Reply<'a, HashSet<JobId>> {
        Box::pin(async move {
            let ids: Vec<&str> = jobs.iter().map(JobId::as_str).collect();
            let known = sqlx::query_as(STATUSES).bind(ids).fetch_all(&self.database.pool);
            let known = self.database.bounded("looking for jobs", self.timeout, known);
            let known: Vec<(String, String)> = known.await?;
            let known: HashSet<&str> = known.iter().map(|(id, _)| id.as_str()).collect();
            let absent = jobs.iter().filter(|id| !known.contains(id.as_str()));
            Ok(absent.cloned().collect())
        })
    }

    /// Finds for each text the job of that id, or else the only job whose id begins so.
    ///
    /// Of more than twenty texts that are no ids none is taken for a beginning.
    ///
    /// # Errors
    /// [`Error::Unreachable`](crate::Error::Unreachable) or [`Error::Database`](crate::Error::Database).
    pub fn find<'a>(&'a self, texts: &'a [String]) -> Reply<'a, Vec<Found>> {
        Box::pin(async move {
            let pool = &self.database.pool;
            let known = async {
                let known: Vec<(String, String)> =
                    sqlx::query_as(STATUSES).bind(texts).fetch_all(pool).await?;
                let known: HashSet<String> = known.into_iter().map(|(id, _)| id).collect();
                let is_beginning = |text: &&String| !known.contains(*text) && may_begin_an_id(text);
                // Each once: the statement compares every row with each of them.
                let beginnings: HashSet<&String> = texts.iter().filter(is_beginning).collect();
                let beginnings: Vec<&String> = beginnings.into_iter().collect();
                let mut begin_so = HashMap::<String, Vec<String>>::new();
                if (1..=MOST_BEGINNINGS).contains(&beginnings.len()) {
                    let found = sqlx::query_as::<_, (String, String)>(IDS_LIKE);
                    let found = found.bind(beginnings).bind(APPLICATION).fetch_all(pool).await?;
                    for (beginning, id) in found {
                        begin_so.entry(beginning).or_default().push(id);
                    }
                }
                Ok::<_, sqlx::Error>((known, begin_so))
            };
            let known = self.database.bounded("looking for jobs", self.timeout, known);
            let (known, begin_so) = known.await?;
            let found = |text: &String| match begin_so.get(text).map(Vec::as_slice) {
                // An id that is there is meant itself, though others may begin with it.
                _ if known.contains(text) => Found::One(JobId::new(text)),
                Some([id]) => Found::One(JobId::new(id)),
                Some([first, second, ..]) => Found::Several([first, second].map(JobId::new)),
                _ => Found::Nothing,
            };
            Ok(texts.iter().map(found).collect())
        })
    }
}
