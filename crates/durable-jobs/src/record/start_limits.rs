//! The limits of a queue's starts, as the engine's table of queues has them.

use std::time::Duration;

use serde::{Deserialize, Serialize};

/// So many starts of jobs in a time, over all workers.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct Rate {
    /// The most starts within `seconds`.
    pub starts: u32,
    /// The time, which slides.
    pub seconds: f64,
}

impl Rate {
    /// The shortest time of a rate: rows count starts in milliseconds, which makes it exact to a hundredth.
    pub const SHORTEST: Duration = Duration::from_millis(100);

    /// The longest time of a rate: a start counts as long as its row is there.
    pub const LONGEST: Duration = Duration::from_hours(366 * 24);

    /// Takes so many starts in a time.
    #[must_use]
    pub fn new(starts: u32, time: Duration) -> Self {
        Self {
            starts,
            seconds: time.as_secs_f64(),
        }
    }
}

/// The limits that a queue keeps to while it is not paused.
#[derive(Debug, Clone, Copy, PartialEq, Default, Serialize, Deserialize)]
pub struct Limit {
    /// The limit of its starts, if there is one.
    pub rate: Option<Rate>,
    /// The most jobs that may run at once in the whole fleet, where another tool has set that.
    pub concurrency: Option<u32>,
}

/// The obstacles to starting the jobs of a queue as soon as there is a free slot.
#[derive(Debug, Clone, Copy, PartialEq, Default)]
pub(crate) struct StartLimits {
    /// True if none of them starts.
    pub(crate) paused: bool,
    /// The limits, which also stand while it is paused.
    pub(crate) limit: Limit,
}

impl StartLimits {
    /// Reads the columns `concurrency`, `rate_limit_max` and `rate_limit_period_sec`; a queue without a row has none of them.
    ///
    /// A concurrency of 0 or below means a pause, and the negative of it is the limit that counts after it.
    #[must_use]
    pub(crate) fn of_row(concurrency: Option<i32>, starts: Option<i32>, seconds: Option<f64>) -> Self {
        let rate = starts.zip(seconds).map(|(starts, seconds)| Rate {
            starts: starts.max(0).unsigned_abs(),
            seconds,
        });
        Self {
            paused: concurrency.is_some_and(|limit| limit <= 0),
            limit: Limit {
                rate,
                // 0 is a pause of a queue that had no limit.
                concurrency: concurrency.map(i32::unsigned_abs).filter(|limit| *limit > 0),
            },
        }
    }

    /// Returns the limit, if there is any.
    #[must_use]
    pub(crate) fn limit(&self) -> Option<Limit> {
        (self.limit != Limit::default()).then_some(self.limit)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_pause_keeps_the_limit_that_was_set_before_it() {
        let rate = Rate::new(10, Duration::from_secs(2));
        for (columns, paused, concurrency, starts) in [
            ((None, None, None), false, None, None),
            ((Some(3), None, None), false, Some(3), None),
            ((Some(0), None, None), true, None, None),
            ((Some(-3), Some(10), Some(2.0)), true, Some(3), Some(rate)),
            ((None, Some(10), Some(2.0)), false, None, Some(rate)),
            ((None, Some(10), None), false, None, None),
        ] {
            let (limit, max, seconds) = columns;
            let limits = StartLimits::of_row(limit, max, seconds);
            let expected = Limit {
                rate: starts,
                concurrency,
            };
            assert_eq!((limits.paused, limits.limit), (paused, expected), "{columns:?}");
            assert_eq!(limits.limit().is_some(), expected != Limit::default());
        }
    }
}
