//! The pause before a process that ended by itself is started again.
//!
//! A run that got somewhere, or that ended in order, is no reason to wait: the next process starts after a moment.
//! Runs that got nowhere are counted: the pause doubles with each of them within the window, and more of them than the
//! intensity allows are a crash loop, which is tried again once a minute, since what breaks a worker at its start may
//! be mended from outside. A run that got somewhere ends all that, and runs older than the window are forgotten.

use std::collections::VecDeque;
use std::time::{Duration, Instant};

/// The pause after the first end in a window.
const FIRST_PAUSE: Duration = Duration::from_millis(100);

/// The longest pause that is not a crash loop's.
const LONGEST_PAUSE: Duration = Duration::from_secs(30);

/// The pause of a crash loop.
const CRASH_LOOP_PAUSE: Duration = Duration::from_mins(1);

/// Limits how often a process may end without getting anywhere within a time.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Intensity {
    /// More ends than this are a crash loop.
    pub max_restarts: u32,
    /// The time in which ends are counted.
    pub window: Duration,
}

/// Rates a run that has ended without being asked to by the supervisor.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum RunOutcome {
    /// It did what it is there for, or was able to for a while.
    Useful,
    /// Somebody else asked it to go, and it went in order.
    Orderly,
    /// It got nowhere.
    Futile,
}

/// The wait after an end.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Pause {
    pub(crate) length: Duration,
    pub(crate) is_crash_loop: bool,
}

/// The recent futile runs of one process.
#[derive(Debug)]
pub(crate) struct Restarts {
    intensity: Intensity,
    ends: VecDeque<Instant>,
    is_crash_loop: bool,
}

impl Pause {
    const SHORTEST: Self = Self {
        length: FIRST_PAUSE,
        is_crash_loop: false,
    };
}

impl Restarts {
    pub(crate) fn new(intensity: Intensity) -> Self {
        Self {
            intensity,
            ends: VecDeque::new(),
            is_crash_loop: false,
        }
    }

    /// Records the end of a run and returns how long to wait.
    pub(crate) fn after_end(&mut self, now: Instant, run: RunOutcome) -> Pause {
        match run {
            RunOutcome::Useful => {
                self.forget();
                Pause::SHORTEST
            }
            RunOutcome::Orderly => Pause::SHORTEST,
            RunOutcome::Futile => self.after_futile(now),
        }
    }

    fn forget(&mut self) {
        self.ends.clear();
        self.is_crash_loop = false;
    }

    fn after_futile(&mut self, now: Instant) -> Pause {
        while self
            .ends
            .front()
            .is_some_and(|end| now - *end > self.intensity.window)
        {
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

    fn restarts() -> Restarts {
        Restarts::new(INTENSITY)
    }

    /// The pauses in milliseconds after futile runs that end at these milliseconds, and whether each is a crash loop's.
    fn pauses(restarts: &mut Restarts, ends_after_ms: &[u64]) -> Vec<(u128, bool)> {
        let start = Instant::now();
        let pause =
            |after: &u64| restarts.after_end(start + Duration::from_millis(*after), RunOutcome::Futile);
        let pauses = ends_after_ms.iter().map(pause);
        pauses
            .map(|pause| (pause.length.as_millis(), pause.is_crash_loop))
            .collect()
    }

    #[test]
    fn pauses_double_until_a_crash_loop_begins_and_lasts() {
        let seen = pauses(
            &mut restarts(),
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
    fn a_run_that_got_somewhere_ends_a_crash_loop() {
        let mut restarts = restarts();
        pauses(&mut restarts, &[0; 6]);
        assert_eq!(
            restarts.after_end(Instant::now(), RunOutcome::Useful),
            Pause::SHORTEST
        );
        assert_eq!(
            pauses(&mut restarts, &[0, 0]),
            [(100, false), (200, false)],
            "what was before progress is still counted"
        );
    }

    #[test]
    fn useful_and_orderly_runs_never_add_up() {
        for run in [RunOutcome::Useful, RunOutcome::Orderly] {
            let mut restarts = restarts();
            for _ in 0..100 {
                assert_eq!(
                    restarts.after_end(Instant::now(), run),
                    Pause::SHORTEST,
                    "{run:?}"
                );
            }
        }
    }

    #[test]
    fn an_orderly_run_forgets_no_futile_one() {
        let mut restarts = restarts();
        pauses(&mut restarts, &[0; 4]);
        restarts.after_end(Instant::now(), RunOutcome::Orderly);
        assert_eq!(pauses(&mut restarts, &[0, 0]), [(1600, false), (60_000, true)]);
    }

    #[test]
    fn ends_that_are_far_apart_never_add_up() {
        let apart: Vec<u64> = (0..50).map(|end| end * 61_000).collect();
        assert!(
            pauses(&mut restarts(), &apart)
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
        let seen = pauses(&mut Restarts::new(many), &[0; 100]);
        assert_eq!(seen.last(), Some(&(30_000, false)));
    }
}
