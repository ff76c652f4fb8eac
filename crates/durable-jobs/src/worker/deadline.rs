//! The time that a job may still run, whatever the clock of its worker says.
//!
//! The claim sets a job's deadline by the database's clock, once, at its first start. The engine then compares it with the
//! worker's own clock, so that a worker which is half a minute fast cancels what has half a minute left.
//! So a claimed row's deadline is put away for the moment of the engine's start, by adding [`far_ms!`], and put back by the
//! statement that begins the body, which also says how much of it is left by the database's clock; that much is then
//! measured here, by a clock that nobody sets.
//!
//! A row whose worker dies in between keeps its deadline, put away, and gets it back with its next start; a program that
//! knows nothing of this gives such a job all the time there is.
//! A row of the engine's internal queue, whose own is not known, is started by the engine alone: there the worker's own clock
//! counts as well, and the sooner of both ends the job.

use std::time::Duration;

/// The time that a job may still run; `None` for as long as it takes.
pub(crate) struct TimeLeft(Option<Duration>);

impl TimeLeft {
    /// Takes what the database said; what is less than nothing is nothing.
    pub(crate) fn from_ms(left_ms: Option<i64>) -> Self {
        Self(left_ms.map(|left_ms| Duration::from_millis(u64::try_from(left_ms).unwrap_or(0))))
    }

    /// Runs `body` for as long as that; `None`, with the body dropped, if it did not end by then.
    pub(crate) async fn bound<T>(&self, body: impl Future<Output = T>) -> Option<T> {
        match self.0 {
            None => Some(body.await),
            // Not begun at all, for a poll of it might.
            Some(Duration::ZERO) => None,
            // The runtime polls the body before the time, and takes one that no clock can hold for far away.
            Some(left) => tokio::time::timeout(left, body).await.ok(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_job_whose_time_is_over_does_not_begin() {
        let mut has_begun = false;
        for left_ms in [0, -1, i64::MIN] {
            let body = async { has_begun = true };
            assert_eq!(TimeLeft::from_ms(Some(left_ms)).bound(body).await, None);
        }
        assert!(!has_begun, "a body began after its deadline");
    }

    #[tokio::test]
    async fn a_job_has_the_time_that_is_left_of_it_and_no_more() {
        let endless = std::future::pending::<()>;
        assert_eq!(TimeLeft::from_ms(Some(1)).bound(endless()).await, None);
        for left_ms in [Some(1), Some(i64::MAX), None] {
            let ended = TimeLeft::from_ms(left_ms).bound(std::future::ready(())).await;
            assert_eq!(ended, Some(()), "a job of {left_ms:?} ms");
        }
    }
}
