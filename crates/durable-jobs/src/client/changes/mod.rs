//! Jobs that changed since a moment, for followers that show them as they change.
//!
//! Transactions have numbers, in the order in which they begin to write. A moment has two parts: the *horizon*, below which all
//! transactions had ended, and the ones *ahead* of it that had ended, too. An answer has each job whose row was changed by a
//! transaction that is neither, and its moment adds these. So no change waits for a transaction that stays open, what is committed
//! late is delivered late instead of never, and nothing is delivered twice, to whichever follower, in whichever process.
//!
//! A snapshot of the database would say the same in fewer words, but for the parts of a transaction that savepoints begin.
//! It is used where one transaction, of whatever program in whatever database of the server, is open while over five hundred others
//! end; a change behind a savepoint may come late then, and the follower reads anew at the end of that transaction.
//!
//! One question looks back as far as the transactions that may have ended since can have written: the locks of open ones, read
//! before the snapshot, say which numbers had not begun at a time. A long one that ends is looked for once more, further back.
//!
//! Rows are found by their dates, since no index knows transactions. A row's last change is never dated more than ten seconds
//! before its transaction began to write; its submission, which another client dates by its own clock, no more than a minute.
//!
//! It does not tell of jobs that are deleted, nor of one that waits and that a client with a clock that is over a minute behind
//! submitted, before it starts. A job may be delivered again looking the same: not all of its row is shown.

mod follow;
mod moment;

use futures_util::TryStreamExt;
use sqlx::postgres::PgRow;
use sqlx::{AssertSqlSafe, Either, Row};

pub(super) use follow::Followed;
pub use moment::{Moment, MomentError};

use follow::{DatabasePlace, Question, Seen};

use super::{Client, unreadable};
use crate::database::workflow_rows::ChangesQuery;
use crate::presence::{self, Presence};
use crate::record::Job;
use crate::{Error, Reply};

/// The changes since a moment.
#[derive(Debug, Clone, PartialEq)]
pub struct Changes {
    /// The moment up to which all is delivered: the next question's `since`. Each is later than the one before.
    pub moment: Moment,
    /// The jobs that changed, as they are now, each once, in the order of their changes.
    pub jobs: Vec<Job>,
    /// All workers, as [`Client::workers`] lists them.
    pub workers: Vec<Presence>,
    /// True if the changes cannot be delivered: `jobs` is empty, and the caller reads anew what it shows.
    ///
    /// They are more than two thousand, or the moment is over fifteen minutes old, or the database was restarted or its clock put
    /// back, or a transaction has ended that was open so long that too much was delivered ahead of it.
    pub is_cut: bool,
}

impl Client {
    /// Asks what changed since a moment, or for the present moment alone.
    ///
    /// One question of a few milliseconds, however many jobs there are: it reads what was changed within the last minute, or since a
    /// transaction began that has ended now.
    /// Clones of this client follow the changes together: one of them at a time asks again and again.
    ///
    /// # Errors
    /// [`Error::Unreachable`] or [`Error::Database`]; the same question may be asked again.
    pub fn changes(&self, since: Option<Moment>) -> Reply<'_, Changes> {
        Box::pin(async move {
            // Kept while the question is asked: of two at a time the older answer could be remembered last.
            let mut followed = self.followed.lock().await;
            let mut question = Question::after(since, followed.as_ref(), self.clock().now_ms());
            let (mut seen, mut workers) = self.ask_for_changes(&question).await?;
            // Each looks back further than the one before.
            while let Some(other) = question.instead(&seen, followed.as_ref()) {
                question = other;
                (seen, workers) = self.ask_for_changes(&question).await?;
            }
            let (answer, follow) = question.answer(seen, followed.as_ref());
            if let Some(follow) = follow {
                *followed = Some(follow);
            }
            Ok(Changes {
                moment: answer.moment,
                jobs: answer.jobs,
                workers,
                is_cut: answer.is_cut,
            })
        })
    }

    /// Asks what changed between two moments, of which the later is the last one that was answered here.
    ///
    /// It is for a follower that joins those who hear of the changes: what it missed, and what is delivered next, are all.
    /// A moment that is out of reach by the clock of the database is answered without a statement.
    ///
    /// # Errors
    /// As [`Client::changes`].
    pub fn missed(&self, since: Moment, until: Moment) -> Reply<'_, Changes> {
        Box::pin(async move {
            if !since.is_in_reach(self.clock().now_ms()) || !since.is_delivered_before(&until) {
                return Ok(Changes {
                    moment: until,
                    jobs: Vec::new(),
                    workers: Vec::new(),
                    is_cut: true,
                });
            }
            let followed = self.followed.lock().await;
            let question = Question::between(since);
            let (seen, _) = self.ask_for_changes(&question).await?;
            let answer = question.missed(seen, followed.as_ref(), until);
            Ok(Changes {
                moment: answer.moment,
                jobs: answer.jobs,
                workers: Vec::new(),
                is_cut: answer.is_cut,
            })
        })
    }

    async fn ask_for_changes(&self, question: &Question) -> Result<(Seen, Vec<Presence>), Error> {
        let query = ChangesQuery {
            created_since_ms: question.created_since_ms(),
            dated_since_ms: question.dated_since_ms(),
            from: question.from(),
            delivered: question.delivered(),
            seen_by: question.base(),
            limit: Question::LIMIT,
        };
        let text = format!("{}; {}", query.text(), presence::SELECT);
        let rows = async {
            let mut answers = sqlx::raw_sql(AssertSqlSafe(text)).fetch_many(&self.database.pool);
            // Those of each statement, the settings before the two questions among them.
            let (mut rows, mut all) = (Vec::new(), Vec::new());
            while let Some(answer) = answers.try_next().await? {
                match answer {
                    Either::Right(row) => rows.push(row),
                    Either::Left(_) => all.push(std::mem::take(&mut rows)),
                }
            }
            Ok::<_, sqlx::Error>(all)
        };
        let rows = self.database.bounded("asking for changes", self.timeout, rows);
        let rows = rows.await?;
        let [.., unbegun, jobs, workers] = rows.as_slice() else {
            return Err(unreadable(&sqlx::Error::RowNotFound));
        };
        let seen = self.seen_in(unbegun, jobs).map_err(|error| unreadable(&error))?;
        Ok((seen, self.workers_in(workers)?))
    }

    fn seen_in(&self, unbegun: &[PgRow], rows: &[PgRow]) -> Result<Seen, sqlx::Error> {
        let first = rows.first().ok_or(sqlx::Error::RowNotFound)?;
        let unbegun: i64 = unbegun.first().ok_or(sqlx::Error::RowNotFound)?.try_get(0)?;
        let next: i64 = first.try_get("next")?;
        let place = DatabasePlace {
            horizon: first.try_get("horizon")?,
            next,
            // The locks were read before this snapshot, since when other transactions may have ended.
            unbegun: unbegun.max(next),
            snapshot: first.try_get("snapshot")?,
            now_ms: first.try_get("now_ms")?,
            server_start_ms: first.try_get("server_start_ms")?,
            session: first.try_get("session")?,
        };
        let mut jobs = Vec::new();
        for row in rows {
            if let Some(number) = row.try_get("number")? {
                jobs.push((number, self.job_of(row)?));
            }
        }
        Ok(Seen { place, jobs })
    }
}
