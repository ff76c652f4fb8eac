//! A reading of the database that all viewers share.
//!
//! Whoever looks is shown the last one while it is fresh, and whoever looks while it is read waits for it, so that a thousand
//! viewers cost what one does. A failure is shared in the same way. It is read no more often than once in its time, and less
//! often where it takes long.

use std::sync::Arc;
use std::time::{Duration, Instant};

use tokio::sync::Mutex;

use crate::problem::Problem;

/// A reading is fresh for so many times the time that it took.
const REST: u32 = 10;

/// A failure is told for so long before it is tried again.
const FAILURE: Duration = Duration::from_secs(1);

/// The last reading of something.
pub(crate) struct CachedReading<T> {
    last: Mutex<Option<LastReading<T>>>,
    fresh_for: Duration,
}

struct LastReading<T> {
    fresh_until: Instant,
    read: Result<Arc<T>, Problem>,
}

impl<T> CachedReading<T> {
    /// Makes a reading that is fresh for so long.
    pub(crate) fn new(fresh_for: Duration) -> Self {
        Self {
            last: Mutex::new(None),
            fresh_for,
        }
    }

    /// Returns the last reading, or reads anew where that is not fresh.
    pub(crate) async fn get(
        &self,
        read: impl Future<Output = Result<T, Problem>>,
    ) -> Result<Arc<T>, Problem> {
        // Held while it is read, so that others wait. One that is cut off frees it, and the next one reads.
        let mut last = self.last.lock().await;
        // Taken under the lock: the wait for it is no part of the time that the reading takes.
        let began = Instant::now();
        if let Some(last) = last.as_ref().filter(|last| began < last.fresh_until) {
            return last.read.clone();
        }
        let read = read.await.map(Arc::new);
        let fresh_until = match read {
            Ok(_) => began + began.elapsed().saturating_mul(REST).max(self.fresh_for),
            // A failure often took a whole timeout: ten times that would go on long after the outage.
            Err(_) => Instant::now() + FAILURE,
        };
        *last = Some(LastReading {
            fresh_until,
            read: read.clone(),
        });
        read
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicU32, Ordering};

    use futures_util::future::join_all;
    use tokio::task::yield_now;

    use super::*;
    use crate::problem::Kind;

    #[tokio::test]
    async fn many_who_look_at_once_cost_one_reading() {
        let (reading, count) = (CachedReading::new(Duration::from_mins(1)), AtomicU32::new(0));
        let look = || {
            reading.get(async {
                yield_now().await;
                Ok(count.fetch_add(1, Ordering::Relaxed))
            })
        };
        let seen = join_all((0..100).map(|_| look())).await;
        assert!(seen.iter().all(|seen| seen.as_deref() == Ok(&0)));
        assert_eq!(count.load(Ordering::Relaxed), 1);
    }

    #[tokio::test]
    async fn a_reading_that_is_not_fresh_is_made_anew() {
        let reading = CachedReading::new(Duration::ZERO);
        assert_eq!(reading.get(async { Ok(1) }).await.as_deref(), Ok(&1));
        while reading
            .last
            .lock()
            .await
            .as_ref()
            .is_some_and(|last| Instant::now() < last.fresh_until)
        {
            yield_now().await;
        }
        assert_eq!(reading.get(async { Ok(2) }).await.as_deref(), Ok(&2));
    }

    #[tokio::test]
    async fn a_failure_is_shared_and_a_reading_cut_off_is_none() {
        let reading = CachedReading::<u32>::new(Duration::from_mins(1));
        let never = reading.get(std::future::pending());
        assert!(tokio::time::timeout(Duration::ZERO, never).await.is_err());
        let failed = reading.get(async { Err(Problem::new(Kind::Unavailable, "gone")) });
        assert!(failed.await.is_err());
        // However long what was read is fresh.
        let until = reading.last.lock().await.as_ref().map(|last| last.fresh_until);
        assert!(until.is_some_and(|until| until <= Instant::now() + FAILURE));
        assert!(
            reading.get(async { Ok(1) }).await.is_err(),
            "each asked by itself"
        );
    }
}
