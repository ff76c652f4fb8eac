//! Deadlines, and the pauses between two looks at something that another process changes.

use std::thread;
use std::time::{Duration, Instant};

/// Pause between two looks at a lock or a starting server: well below what a start takes.
const PAUSE: Duration = Duration::from_millis(5);

/// A point in time after which waiting is an error.
///
/// The `Deadline` of `testkit` is another type: it also says what a test waited for.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Deadline {
    pub(crate) after: Duration,
    end: Instant,
}

impl Deadline {
    pub(crate) fn after(after: Duration) -> Self {
        Self {
            after,
            end: Instant::now() + after,
        }
    }

    pub(crate) fn has_passed(&self) -> bool {
        Instant::now() >= self.end
    }

    /// Calls `look` until it returns something; `Ok(None)` when the deadline passes first.
    pub(crate) fn poll<T, E>(&self, mut look: impl FnMut() -> Result<Option<T>, E>) -> Result<Option<T>, E> {
        loop {
            // The look comes before the clock, so that a deadline of no time at all still has one.
            let found = look()?;
            if found.is_some() || self.has_passed() {
                return Ok(found);
            }
            pause();
        }
    }
}

pub(crate) fn pause() {
    thread::sleep(PAUSE);
}
