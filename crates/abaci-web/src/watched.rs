//! The jobs that somebody listens to by their ids: a job that is deleted changes no row, and is looked for by its id.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use durable_jobs::JobId;

/// The jobs, each with the number of those who listen to it.
#[derive(Clone, Default)]
pub(crate) struct Watched(Arc<Mutex<HashMap<JobId, usize>>>);

/// One listener of a job; dropped with it.
pub(crate) struct Watch {
    watched: Watched,
    id: JobId,
}

impl Watched {
    pub(crate) fn watch(&self, id: JobId) -> Watch {
        *self.lock().entry(id.clone()).or_default() += 1;
        Watch {
            watched: self.clone(),
            id,
        }
    }

    /// Returns each job once.
    pub(crate) fn ids(&self) -> Vec<JobId> {
        self.lock().keys().cloned().collect()
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<JobId, usize>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Watch {
    pub(crate) fn id(&self) -> &JobId {
        &self.id
    }
}

impl Drop for Watch {
    fn drop(&mut self) {
        let mut watched = self.watched.lock();
        if let Some(listeners) = watched.get_mut(&self.id) {
            *listeners -= 1;
            if *listeners == 0 {
                watched.remove(&self.id);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_job_is_watched_as_long_as_somebody_listens_to_it() {
        let watched = Watched::default();
        let [first, second, other] = ["a", "a", "b"].map(|id| watched.watch(JobId::new(id)));
        drop(first);
        assert_eq!(watched.ids().len(), 2);
        drop(second);
        assert_eq!(watched.ids(), [other.id().clone()]);
    }
}
