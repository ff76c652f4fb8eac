//! Clocks that differ from the database's.

use std::collections::BTreeMap;
use std::fmt;

use durable_jobs::database::ClockOffset;
use durable_jobs::presence::Presence;
use serde::Serialize;

/// A clock that differs from the database's by over a second.
#[derive(Debug, PartialEq, Eq, Serialize)]
pub(crate) struct WrongClock {
    /// The workers that have it; none where it is this machine's.
    workers: Vec<String>,
    /// The lead over the database's clock.
    offset_ms: ClockOffset,
}

/// Finds the clocks that differ, this machine's first and each worker's that lives; those of workers that differ alike
/// are one entry.
pub(crate) fn wrong_clocks(own: Option<ClockOffset>, workers: &[Presence]) -> Vec<WrongClock> {
    let mut by_seconds = BTreeMap::new();
    for worker in workers.iter().filter(|worker| worker.is_live()) {
        let Some(offset_ms) = worker.clock_offset_ms.filter(|offset| offset.is_notable()) else {
            continue;
        };
        // The text is in whole seconds, so offsets that differ by milliseconds are one entry.
        by_seconds
            .entry(offset_ms.to_string())
            .or_insert_with(|| WrongClock {
                workers: Vec::new(),
                offset_ms,
            })
            .workers
            .push(worker.executor_id.clone());
    }
    let own = own
        .filter(|offset| offset.is_notable())
        .map(|offset_ms| WrongClock {
            workers: Vec::new(),
            offset_ms,
        });
    own.into_iter().chain(by_seconds.into_values()).collect()
}

impl fmt::Display for WrongClock {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let offset = self.offset_ms;
        match self.workers.as_slice() {
            [] => write!(f, "this machine's is {offset}; set it right, as by NTP"),
            workers => write!(
                f,
                "that of {} is {offset}; set it right, as by NTP",
                workers.join(", ")
            ),
        }
    }
}
