//! The jobs that somebody listens to by their ids: a job that is deleted changes no row, and is looked for by its id.
//!
//! Those who listen to a job share what is read of it at a moment, its failure too.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use durable_jobs::JobId;
use durable_jobs::client::Moment;
use tokio::sync::OnceCell;

use crate::problem::Problem;
use crate::views::JobDetailView;

/// The jobs that somebody listens to.
#[derive(Clone, Default)]
pub(crate) struct Watched(Arc<Mutex<HashMap<JobId, Listened>>>);

/// A job as it was read once, or why it could not be.
type SharedRead = Arc<OnceCell<Result<Arc<JobDetailView>, Problem>>>;

/// A job that somebody listens to.
#[derive(Default)]
struct Listened {
    listeners: usize,
    /// The job as it was read when the last message about it came.
    last: Option<(Moment, SharedRead)>,
}

/// One listener of a job; dropped with it.
pub(crate) struct JobWatch {
    watched: Watched,
    id: JobId,
}

impl Watched {
    pub(crate) fn watch(&self, id: JobId) -> JobWatch {
        self.lock().entry(id.clone()).or_default().listeners += 1;
        JobWatch {
            watched: self.clone(),
            id,
        }
    }

    /// Returns each job once.
    pub(crate) fn ids(&self) -> Vec<JobId> {
        self.lock().keys().cloned().collect()
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<JobId, Listened>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl JobWatch {
    pub(crate) fn id(&self) -> &JobId {
        &self.id
    }

    /// Reads the job for all who hear of it at this moment: the first one to come does, and the others wait for it.
    pub(crate) async fn read(
        &self,
        moment: &Moment,
        read: impl Future<Output = Result<JobDetailView, Problem>>,
    ) -> Result<Arc<JobDetailView>, Problem> {
        // The lock is free again before the reading. Where the one who reads is dropped, the next one reads.
        let cell = self.cell(moment);
        let read = async { read.await.map(Arc::new) };
        cell.get_or_init(|| read).await.clone()
    }

    fn cell(&self, moment: &Moment) -> SharedRead {
        let mut watched = self.watched.lock();
        let listened = watched.entry(self.id.clone()).or_default();
        match &listened.last {
            Some((last, cell)) if last == moment => Arc::clone(cell),
            _ => {
                // A listener that is behind may put an older moment here, at the cost of one more reading.
                let cell = SharedRead::default();
                listened.last = Some((moment.clone(), Arc::clone(&cell)));
                cell
            }
        }
    }
}

impl Drop for JobWatch {
    fn drop(&mut self) {
        let mut watched = self.watched.lock();
        if let Some(listened) = watched.get_mut(&self.id) {
            listened.listeners -= 1;
            if listened.listeners == 0 {
                watched.remove(&self.id);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicUsize, Ordering};

    use super::*;
    use crate::problem::Kind;

    #[test]
    fn a_job_is_watched_as_long_as_somebody_listens_to_it() {
        let watched = Watched::default();
        let [first, second, other] = ["a", "a", "b"].map(|id| watched.watch(JobId::new(id)));
        drop(first);
        assert_eq!(watched.ids().len(), 2);
        drop(second);
        assert_eq!(watched.ids(), [other.id().clone()]);
    }

    #[tokio::test]
    async fn a_job_is_read_once_for_all_who_hear_of_a_moment() {
        let watched = Watched::default();
        let listeners = [(); 3].map(|()| watched.watch(JobId::new("a")));
        let reads = AtomicUsize::new(0);
        let read = async || {
            reads.fetch_add(1, Ordering::Relaxed);
            tokio::task::yield_now().await;
            Err(Problem::new(Kind::Unavailable, "nobody answers"))
        };
        for moment in [1_u8, 2] {
            let moment: Moment = format!("{moment:034}").parse().unwrap();
            let [first, second, third] = &listeners;
            let (first, second, third) = tokio::join!(
                first.read(&moment, read()),
                second.read(&moment, read()),
                third.read(&moment, read())
            );
            assert!([first, second, third].iter().all(Result::is_err));
        }
        assert_eq!(reads.load(Ordering::Relaxed), 2);
    }
}
