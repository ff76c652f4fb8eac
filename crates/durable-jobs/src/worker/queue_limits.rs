//! The limits of a queue, as the engine's table has them: paused, so many starts in a time, so many jobs at once in the fleet.
//!
//! They are read twice a second, whoever changes them; a claim from a queue without limits costs nothing more.
//! Claims from a limited queue wait for each other, so that together they take no more than it allows.

use std::time::Duration;

use sqlx::PgPool;
use tokio::sync::Mutex;
use tokio::time::Instant;
use tracing::info;

use crate::database::workflow_rows::QUEUE_LIMITS;
use crate::record::StartLimits;

/// The age at which what is known is read again.
const EXPIRY: Duration = Duration::from_millis(500);

/// The manner in which jobs may be claimed.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Claims {
    /// As many as there are free slots.
    Free,
    /// Only what is left of a limit.
    Limited,
    /// None.
    Paused,
}

impl Claims {
    fn within(limits: StartLimits) -> Self {
        match (limits.paused, limits.limit()) {
            (true, _) => Self::Paused,
            (false, Some(_)) => Self::Limited,
            (false, None) => Self::Free,
        }
    }

    fn note_change(self, before: Self, queue: &str) {
        match self {
            _ if self == before => {}
            Self::Paused => info!(queue, "queue is paused"),
            Self::Limited => info!(queue, "queue is limited"),
            Self::Free => info!(queue, "queue goes on without limit"),
        }
    }
}

/// The limits of one queue, as they were last read.
#[derive(Default)]
pub(crate) struct QueueLimits(Mutex<Option<(Instant, Claims)>>);

impl QueueLimits {
    /// Returns how jobs of `queue` may be claimed.
    pub(super) async fn of(&self, queue: &str, pool: &PgPool) -> Result<Claims, sqlx::Error> {
        // Only the claim loop asks, so nobody waits for this lock while the question is under way.
        let mut known = self.0.lock().await;
        if let Some((read_at, claims)) = *known
            && read_at.elapsed() < EXPIRY
        {
            return Ok(claims);
        }
        let row: Option<(Option<i32>, Option<i32>, Option<f64>)> = sqlx::query_as(QUEUE_LIMITS)
            .bind(queue)
            .fetch_optional(pool)
            .await?;
        // A queue without a row has no limits.
        let (concurrency, starts, seconds) = row.unwrap_or_default();
        let claims = Claims::within(StartLimits::of_row(concurrency, starts, seconds));
        let before = known.replace((Instant::now(), claims));
        // At the first look a queue without limits is no news.
        claims.note_change(before.map_or(Claims::Free, |(_, before)| before), queue);
        Ok(claims)
    }
}
