//! When a process that ended by itself is started again.
//!
//! The pause doubles with every end within the window; more ends than the intensity allows are a crash loop, which is
//! tried again once a minute, since what breaks a worker at its start may be mended from outside.
//! Ends older than the window are forgotten, so a worker that runs well again starts afresh.

use std::collections::VecDeque;
use std::time::{Duration, Instant};

/// The pause after the first end in a window.
const FIRST_PAUSE: Duration = Duration::from_millis(100);

/// The longest pause that is not a crash loop's.
const LONGEST_PAUSE: Duration = Duration::from_secs(30);

/// The pause of a crash loop.
const CRASH_LOOP_PAUSE: Duration = Duration::from_mins(1);

/// How often a process may end, and within what time.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Intensity {
    /// More ends than this are a crash loop.
    pub(crate) max_restarts: u32,
    /// The time in which ends are counted.
    pub(crate) window: Duration,
}

/// What to do after an end.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Pause {
    /// How long to wait before the next start.
    pub(super) length: Duration,
    /// Whether this is a crash loop.
    pub(super) is_crash_loop: bool,
}

/// The recent ends of one process.
#[derive(Debug)]
pub(super) struct Restarts {
    intensity: Intensity,
    ends: VecDeque<Instant>,
    is_crash_loop: bool,
}

impl Restarts {
    pub(super) fn new(intensity: Intensity) -> Self {
        Self {
            intensity,
            ends: VecDeque::new(),
            is_crash_loop: false,
        }
    }

    /// Counts an end after a run of that length and says how long to wait.
    ///
    /// A crash loop is over when a process has run for a whole window.
    pub(super) fn after_end(&mut self, now: Instant, ran: Duration) -> Pause {
        let window = self.intensity.window;
        self.is_crash_loop &= ran < window;
        while self.ends.front().is_some_and(|end| now - *end > window) {
            self.ends.pop_front();
        }
        self.ends.push_back(now);
        let ends = u32::try_from(self.ends.len()).unwrap_or(u32::MAX);
        if self.is_crash_loop || ends > self.intensity.max_restarts {
            self.is_crash_loop = true;
            // What is remembered of it is that it is one.
            self.ends.clear();
            return Pause {
                length: CRASH_LOOP_PAUSE,
                is_crash_loop: true,
            };
        }
        // Beyond thirty doublings the cap holds anyway.
        let doubled = FIRST_PAUSE.saturating_mul(1 << (ends - 1).min(30));
        Pause {
            length: doubled.min(LONGEST_PAUSE),
            is_crash_loop: false,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const INTENSITY: Intensity = Intensity {
        max_restarts: 5,
        window: Duration::from_mins(1),
    };

    const AT_ONCE: Duration = Duration::ZERO;

    fn pauses(restarts: &mut Restarts, ends_after_ms: &[u64]) -> Vec<(u128, bool)> {
        let start = Instant::now();
        let pause = |after: &u64| restarts.after_end(start + Duration::from_millis(*after), AT_ONCE);
        let pauses = ends_after_ms.iter().map(pause);
        pauses
            .map(|pause| (pause.length.as_millis(), pause.is_crash_loop))
            .collect()
    }

    #[test]
    fn the_pause_doubles_until_the_intensity_is_exceeded_and_then_stays_a_crash_loops() {
        let mut restarts = Restarts::new(INTENSITY);
        let seen = pauses(
            &mut restarts,
            &[0, 150, 400, 800, 1700, 3400, 63_500, 123_600, 999_999],
        );
        let expected = [
            (100, false),
            (200, false),
            (400, false),
            (800, false),
            (1600, false),
            (60_000, true),
            (60_000, true),
            (60_000, true),
            (60_000, true),
        ];
        assert_eq!(seen, expected);
    }

    #[test]
    fn a_process_that_has_run_for_a_window_starts_afresh() {
        let mut restarts = Restarts::new(INTENSITY);
        pauses(&mut restarts, &[0; 6]);
        let later = Instant::now() + Duration::from_mins(5);
        let pause = restarts.after_end(later, INTENSITY.window);
        assert_eq!((pause.length, pause.is_crash_loop), (FIRST_PAUSE, false));
    }

    #[test]
    fn ends_that_are_far_apart_never_add_up() {
        let mut restarts = Restarts::new(INTENSITY);
        let apart: Vec<u64> = (0..50).map(|end| end * 61_000).collect();
        assert!(
            pauses(&mut restarts, &apart)
                .iter()
                .all(|pause| *pause == (100, false))
        );
    }

    #[test]
    fn the_pause_never_exceeds_its_cap() {
        let many = Intensity {
            max_restarts: 1000,
            ..INTENSITY
        };
        let mut restarts = Restarts::new(many);
        let seen = pauses(&mut restarts, &[0; 100]);
        assert_eq!(seen.last(), Some(&(30_000, false)));
    }
}
