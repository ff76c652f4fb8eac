//! Waiting for a state with one deadline.

use std::fmt::Debug;
use std::thread;
use std::time::{Duration, Instant};

/// Long enough for a loaded machine; a test that is well never waits this long.
const DEFAULT: Duration = Duration::from_mins(1);

/// Pause between two looks.
const PAUSE: Duration = Duration::from_millis(5);

/// The result of one look at a state: `Some`, `Ok` and `true` end the wait, and an `Err` says what it saw instead.
pub trait Looked {
    /// The value that the wait returns.
    type Value;

    /// Returns the value, or a description of what was seen.
    ///
    /// # Errors
    /// The state is not there yet.
    fn value(self) -> Result<Self::Value, String>;
}

impl<T> Looked for Option<T> {
    type Value = T;

    fn value(self) -> Result<T, String> {
        self.ok_or_else(|| String::from("nothing"))
    }
}

impl<T, E: Debug> Looked for Result<T, E> {
    type Value = T;

    fn value(self) -> Result<T, String> {
        self.map_err(|seen| format!("{seen:?}"))
    }
}

impl Looked for bool {
    type Value = ();

    fn value(self) -> Result<(), String> {
        if self { Ok(()) } else { Err(String::from("false")) }
    }
}

/// One deadline for all waits of a test or of a part of it; 60 s by default.
#[derive(Debug, Clone, Copy)]
pub struct Deadline {
    start: Instant,
    after: Duration,
}

impl Default for Deadline {
    fn default() -> Self {
        Self::after(DEFAULT)
    }
}

impl Deadline {
    /// Returns a deadline that far from now.
    #[must_use]
    pub fn after(after: Duration) -> Self {
        Self {
            start: Instant::now(),
            after,
        }
    }

    /// Returns what is left, zero when it has passed.
    #[must_use]
    pub fn left(&self) -> Duration {
        self.after.saturating_sub(self.start.elapsed())
    }

    /// Returns a deadline of the same length from now.
    pub(crate) fn renewed(&self) -> Self {
        Self::after(self.after)
    }

    /// Looks until the state is there, and returns its value.
    ///
    /// # Panics
    /// When the deadline passes; the message names `what` and the last state that was seen.
    #[track_caller]
    pub fn eventually<L: Looked>(&self, what: &str, look: impl FnMut() -> L) -> L::Value {
        let found = self.poll(look);
        found.unwrap_or_else(|seen| panic!("waited {:?} in vain for {what}; last seen: {seen}", self.after))
    }

    /// Looks until the state is there, or else returns what it saw last.
    pub(crate) fn poll<L: Looked>(&self, mut look: impl FnMut() -> L) -> Result<L::Value, String> {
        loop {
            let looked = look().value();
            if looked.is_ok() || self.left().is_zero() {
                return looked;
            }
            thread::sleep(PAUSE);
        }
    }
}

/// Looks until the state is there, for up to 60 s; see [`Deadline::eventually`].
///
/// # Panics
/// When the deadline passes; the message names `what` and the last state that was seen.
#[track_caller]
pub fn eventually<L: Looked>(what: &str, look: impl FnMut() -> L) -> L::Value {
    Deadline::default().eventually(what, look)
}
