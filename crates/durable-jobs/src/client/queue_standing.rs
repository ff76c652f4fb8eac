//! The state of a queue around one waiting job, and what follows from it.

use sqlx::Row;
use sqlx::postgres::PgRow;

use super::queue_control::limits_in;
use crate::record::{Rate, StartLimits, WaitReason};

/// The numbers on which the start of a waiting job depends.
pub(super) struct QueueStanding {
    /// The due jobs that its workers take.
    pub(super) due: u64,
    /// Those of them that come first.
    pub(super) ahead: u64,
    slots: u64,
    slots_in_use: u64,
    /// When the last of the jobs in these slots was started.
    last_start_ms: Option<i64>,
    /// The mean run time of the last jobs of its kind.
    mean_seconds: Option<f64>,
    limits: StartLimits,
    /// The starts that the rate leaves.
    left_of_rate: Option<u64>,
    left_of_concurrency: Option<u64>,
    /// When the rate lets a job start, if not now.
    next_start_ms: Option<i64>,
    now_ms: i64,
}

impl QueueStanding {
    /// Reads the numbers of the database; the job's workers have so many `slots`.
    pub(super) fn in_row(row: &PgRow, slots: u64) -> Result<Self, sqlx::Error> {
        let count = |name| row.try_get::<i64, _>(name).map(i64::unsigned_abs);
        // More may run or have started than a limit allows that was set since.
        let left = |name| {
            let left = row.try_get::<Option<i64>, _>(name);
            left.map(|left| left.map(|left| left.max(0).unsigned_abs()))
        };
        let now_ms: i64 = row.try_get("now_ms")?;
        let next_start_ms: Option<i64> = row.try_get("next_start_ms")?;
        Ok(Self {
            due: count("due")?,
            ahead: count("ahead")?,
            slots,
            slots_in_use: count("slots_in_use")?,
            last_start_ms: row.try_get("last_start_ms")?,
            mean_seconds: row.try_get("mean_seconds")?,
            limits: limits_in(row)?,
            left_of_rate: left("left_of_rate")?,
            left_of_concurrency: left("left_of_concurrency")?,
            next_start_ms: next_start_ms.filter(|next| *next > now_ms),
            now_ms,
        })
    }

    /// Finds why a job does not run that some worker would take, at this place if it is due.
    pub(super) fn reason(&self, position: Option<u64>, delayed_until_ms: Option<i64>) -> WaitReason {
        match (self.limits.paused, delayed_until_ms, position) {
            (true, ..) => WaitReason::Paused,
            (_, Some(until_ms), _) => WaitReason::Delayed { until_ms },
            (.., Some(position)) => self.tightest(position),
            (.., None) => WaitReason::Starting,
        }
    }

    /// Finds what lets the fewest jobs start now, if that is not enough for the one at this place.
    fn tightest(&self, position: u64) -> WaitReason {
        let limit = self.limits.limit;
        let by_rate = limit.rate.zip(self.left_of_rate).map(|(limit, left)| {
            let next_start_ms = self.next_start_ms.filter(|_| left == 0);
            (left, WaitReason::RateLimited { limit, next_start_ms })
        });
        let by_concurrency = limit.concurrency.zip(self.left_of_concurrency);
        let by_concurrency = by_concurrency.map(|(limit, left)| (left, WaitReason::Concurrency { limit }));
        let busy = WaitReason::Busy {
            slots: self.slots,
            in_use: self.slots_in_use,
        };
        let by_slots = Some((self.slots.saturating_sub(self.slots_in_use), busy));
        let limits = [by_rate, by_concurrency, by_slots].into_iter().flatten();
        limits
            // Of equals the first is taken: a free slot is no help while a rate lets nothing start.
            .min_by_key(|(left, _)| *left)
            .filter(|(left, _)| *left < position)
            .map_or(WaitReason::Starting, |(_, reason)| reason)
    }

    /// Estimates the seconds until the job at this place starts, where slots or a rate are what it waits for.
    pub(super) fn estimate(&self, position: u64, reason: &WaitReason) -> Option<f64> {
        let by_rate = self
            .limits
            .limit
            .rate
            .and_then(|rate| self.until_rate_allows(position, rate));
        match reason {
            WaitReason::Busy { .. } => Some(
                self.until_slots_suffice(position)?
                    .max(by_rate.unwrap_or_default()),
            ),
            WaitReason::RateLimited { .. } => {
                Some(by_rate?.max(self.until_slots_suffice(position).unwrap_or_default()))
            }
            _ => None,
        }
    }

    /// Slots become free one after the other, each in the mean after a run time. Where all that run have taken longer than the
    /// last ones did, it is no less than what they have taken.
    fn until_slots_suffice(&self, position: u64) -> Option<f64> {
        let youngest_ms = self.last_start_ms.map_or(0, |start| self.now_ms - start);
        let run_seconds = self.mean_seconds?.max(seconds(youngest_ms));
        let per_start = run_seconds / number(self.slots.max(1));
        Some(per_start * number(position))
    }

    /// Starts that came together are allowed again together; a rate of none allows none ever.
    fn until_rate_allows(&self, position: u64, rate: Rate) -> Option<f64> {
        let Some(beyond) = position.checked_sub(self.left_of_rate? + 1) else {
            return Some(0.0);
        };
        let windows = beyond.checked_div(rate.starts.into())?;
        let next_start_ms = self.next_start_ms.unwrap_or(self.now_ms);
        let until_next = seconds(next_start_ms - self.now_ms);
        Some(until_next + number(windows) * rate.seconds)
    }
}

/// The difference of two moments of one clock.
#[expect(clippy::cast_precision_loss, reason = "it is far below 2^53 ms")]
fn seconds(milliseconds: i64) -> f64 {
    milliseconds as f64 / 1000.0
}

#[expect(
    clippy::cast_precision_loss,
    reason = "there are fewer jobs and slots than 2^53"
)]
fn number(count: u64) -> f64 {
    count as f64
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::record::Limit;

    /// Two slots in use, in a queue without limits whose jobs take 26 seconds.
    fn standing() -> QueueStanding {
        QueueStanding {
            due: 12,
            ahead: 2,
            slots: 2,
            slots_in_use: 2,
            last_start_ms: Some(999_000),
            mean_seconds: Some(26.0),
            limits: StartLimits::default(),
            left_of_rate: None,
            left_of_concurrency: None,
            next_start_ms: None,
            now_ms: 1_000_000,
        }
    }

    /// The same, of which so many more may start now, of ten in two seconds.
    fn rated(left: u64, next_start_ms: Option<i64>) -> QueueStanding {
        let rate = Some(Rate::new(10, Duration::from_secs(2)));
        let limit = Limit {
            rate,
            concurrency: None,
        };
        QueueStanding {
            limits: StartLimits { paused: false, limit },
            left_of_rate: Some(left),
            next_start_ms,
            ..standing()
        }
    }

    fn estimate(standing: &QueueStanding, position: u64) -> Option<f64> {
        standing.estimate(position, &standing.tightest(position))
    }

    #[test]
    fn the_third_behind_two_slots_waits_for_one_and_a_half_runs() {
        let busy = standing();
        assert_eq!(busy.tightest(3), WaitReason::Busy { slots: 2, in_use: 2 });
        assert_eq!(estimate(&busy, 3), Some(39.0));
        let unknown = QueueStanding {
            mean_seconds: None,
            ..standing()
        };
        assert_eq!(estimate(&unknown, 3), None, "nothing of its kind has ended");
    }

    #[test]
    fn jobs_that_outlast_the_last_ones_lengthen_the_estimate() {
        let long = QueueStanding {
            last_start_ms: Some(900_000),
            ..standing()
        };
        assert_eq!(estimate(&long, 1), Some(50.0));
    }

    #[test]
    fn a_free_slot_is_for_the_first_and_not_for_the_second() {
        let one_free = QueueStanding {
            slots_in_use: 1,
            ..standing()
        };
        assert_eq!(one_free.tightest(1), WaitReason::Starting);
        assert_eq!(one_free.tightest(2), WaitReason::Busy { slots: 2, in_use: 1 });
    }

    #[test]
    fn the_tightest_of_all_limits_is_the_reason() {
        let reached = rated(0, Some(1_001_500));
        let WaitReason::RateLimited { next_start_ms, .. } = reached.tightest(1) else {
            panic!("{:?}", reached.tightest(1))
        };
        assert_eq!(next_start_ms, Some(1_001_500));
        let loose = rated(9, None);
        assert_eq!(loose.tightest(1), WaitReason::Busy { slots: 2, in_use: 2 });
        let mut few = QueueStanding {
            left_of_concurrency: Some(1),
            slots: 8,
            ..standing()
        };
        few.limits.limit.concurrency = Some(3);
        assert_eq!(few.tightest(1), WaitReason::Starting);
        assert_eq!(few.tightest(2), WaitReason::Concurrency { limit: 3 });
        assert_eq!(few.estimate(2, &few.tightest(2)), None);
    }

    #[test]
    fn a_rate_lets_jobs_start_by_the_windowful() {
        let reached = |mean_seconds| QueueStanding {
            mean_seconds,
            ..rated(0, Some(1_001_500))
        };
        for (position, seconds) in [(1, 1.5), (10, 1.5), (11, 3.5), (35, 7.5)] {
            assert_eq!(
                estimate(&reached(None), position),
                Some(seconds),
                "place {position}"
            );
        }
        assert_eq!(
            estimate(&reached(Some(4.0)), 10),
            Some(20.0),
            "slots are what lacks then"
        );
        let mut never = reached(None);
        never.limits.limit.rate = Some(Rate::new(0, Duration::from_secs(1)));
        assert_eq!(estimate(&never, 1), None);
    }
}
