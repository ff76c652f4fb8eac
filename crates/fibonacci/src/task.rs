//! One computation on one or two threads, with one observer.
//!
//! The observer is called on the thread that started the computation only, also while that one waits for the
//! other; a break reaches every thread at its next [`Task::beat`]. Work is cut so that a beat comes every few
//! milliseconds on an idle machine. Small work is not worth a thread: a start and an end cost 0.1 ms.

use std::num::NonZero;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{LazyLock, Mutex, PoisonError};
use std::thread::{self, Builder, Scope, Thread};
use std::time::Duration;

use crate::progress::{Cancelled, Observer, report};

/// The time for which the waiting thread sleeps before it observes again.
const PATIENCE: Duration = Duration::from_millis(20);

/// Work of fewer units, of about a nanosecond each, stays on one thread.
const WORTH_A_THREAD: u64 = 1_000_000;

/// Returns the number of threads that can run at the same time; asked for once, since it means reading files.
pub(crate) fn processors() -> NonZero<usize> {
    static PROCESSORS: LazyLock<NonZero<usize>> =
        LazyLock::new(|| thread::available_parallelism().unwrap_or(NonZero::<usize>::MIN));
    *PROCESSORS
}

/// The state that the threads of one computation share.
pub(crate) struct Ledger {
    cancelled: AtomicBool,
    done: AtomicU64,
    total: u64,
}

/// A thread's view of the computation.
pub(crate) struct Task<'a> {
    ledger: &'a Ledger,
    /// Only on the thread that started the computation.
    observe: Option<&'a Observer<'a>>,
    /// The number of threads that this one may become, itself included.
    threads: usize,
}

impl Ledger {
    /// Starts to count, at `done` of `total` units.
    pub(crate) fn new(done: u64, total: u64) -> Self {
        Self {
            cancelled: AtomicBool::new(false),
            done: AtomicU64::new(done),
            // `Progress` promises a total of at least 1.
            total: total.max(1),
        }
    }

    /// Units of work counted as done.
    pub(crate) fn done(&self) -> u64 {
        self.done.load(Ordering::Relaxed)
    }

    fn cancel(&self) {
        // Relaxed is enough: no other data depends on the flag, and some later beat sees it.
        self.cancelled.store(true, Ordering::Relaxed);
    }
}

impl<'a> Task<'a> {
    /// Begins on the calling thread; `threads` is the most that will run at a time.
    pub(crate) fn new(ledger: &'a Ledger, observe: &'a Observer<'a>, threads: usize) -> Self {
        Self {
            ledger,
            observe: Some(observe),
            threads,
        }
    }

    /// The same, on one thread if `units` of work are not worth two.
    pub(crate) fn sized(&self, units: u64) -> Self {
        Self {
            threads: if units < WORTH_A_THREAD { 1 } else { self.threads },
            ..*self
        }
    }

    /// Returns whether [`both`](Self::both) would start a thread.
    pub(crate) fn can_fork(&self) -> bool {
        self.threads > 1
    }

    /// Counts `units` of work as done and asks whether to go on.
    pub(crate) fn beat(&self, units: u64) -> Result<(), Cancelled> {
        let done = self.ledger.done.fetch_add(units, Ordering::Relaxed) + units;
        if self.ledger.cancelled.load(Ordering::Relaxed) {
            return Err(Cancelled);
        }
        let Some(observe) = self.observe else {
            return Ok(());
        };
        // The other thread has no observer: the flag is what stops it.
        report(observe, done, self.ledger.total).inspect_err(|_| self.ledger.cancel())
    }

    /// Runs both, at the same time if a second thread is allowed and can be had.
    pub(crate) fn both<A, B: Send>(
        &self,
        here: impl FnOnce(&Task<'_>) -> Result<A, Cancelled>,
        there: impl FnOnce(&Task<'_>) -> Result<B, Cancelled> + Send,
    ) -> Result<(A, B), Cancelled> {
        if !self.can_fork() {
            let first = here(self)?;
            return Ok((first, there(self)?));
        }
        // Where a thread cannot be had, its work is still here to be done.
        let (work, ended) = (Mutex::new(Some(there)), AtomicBool::new(false));
        thread::scope(|scope| self.fork(scope, here, &work, &ended))
    }

    fn fork<'scope, A, B: Send + 'scope, There>(
        &self,
        scope: &'scope Scope<'scope, '_>,
        here: impl FnOnce(&Task<'_>) -> Result<A, Cancelled>,
        work: &'scope Mutex<Option<There>>,
        ended: &'scope AtomicBool,
    ) -> Result<(A, B), Cancelled>
    where
        'a: 'scope,
        There: FnOnce(&Task<'_>) -> Result<B, Cancelled> + Send + 'scope,
    {
        let (ledger, waiting) = (self.ledger, thread::current());
        // Two threads are the most, however many processors there are, so neither half forks again.
        let near = Self { threads: 1, ..*self };
        let started = Builder::new().spawn_scoped(scope, move || {
            // Bound to a name, because `_` alone would drop it before the work.
            let _end = End { ended, waiting };
            let far = Task {
                ledger,
                observe: None,
                threads: 1,
            };
            take(work).map(|there| there(&far))
        });
        // The scope waits for the other thread, so a failure here has to stop it.
        let mut first = here(&near).inspect_err(|_| ledger.cancel());
        let second = match started {
            Ok(thread) => {
                while !ended.load(Ordering::Acquire) {
                    // A break reaches the other thread by the ledger, unless that has nothing left to do.
                    if let Err(cancelled) = self.beat(0) {
                        first = Err(cancelled);
                    }
                    // An `unpark` that came before this is kept, and makes it return at once.
                    thread::park_timeout(PATIENCE);
                }
                // The panic goes on here, as it would if the work had been done on this thread.
                thread
                    .join()
                    .unwrap_or_else(|panic| std::panic::resume_unwind(panic))
            }
            Err(_) => take(work).map(|there| there(&near)),
        };
        // The work is taken once, by the thread or here, so it is never `None`.
        Ok((first?, second.unwrap_or(Err(Cancelled))?))
    }
}

/// Says that a thread has ended, also if it panicked.
struct End<'a> {
    ended: &'a AtomicBool,
    waiting: Thread,
}

impl Drop for End<'_> {
    fn drop(&mut self) {
        // The flag comes first: a thread that woke up before it would go to sleep again for `PATIENCE`.
        self.ended.store(true, Ordering::Release);
        self.waiting.unpark();
    }
}

fn take<T>(work: &Mutex<Option<T>>) -> Option<T> {
    work.lock().unwrap_or_else(PoisonError::into_inner).take()
}

#[cfg(test)]
mod tests {
    use std::cell::Cell;
    use std::ops::ControlFlow;

    use super::*;
    use crate::progress::unobserved;

    #[test]
    fn both_results_come_back_from_any_number_of_threads() {
        let ledger = Ledger::new(0, 1);
        for threads in 0..4 {
            let task = Task::new(&ledger, &unobserved, threads);
            let sum = |task: &Task<'_>| task.both(|_| Ok(1), |_| Ok(2));
            assert_eq!(task.both(sum, sum), Ok(((1, 2), (1, 2))));
        }
    }

    #[test]
    fn a_break_reaches_a_thread_that_would_never_end() {
        let ledger = Ledger::new(0, 1);
        let endless = |task: &Task<'_>| -> Result<(), Cancelled> {
            loop {
                task.beat(1)?;
            }
        };
        for (here_ends, threads) in [(false, 2), (true, 2), (false, 1)] {
            let calls = Cell::new(0);
            let observe = |_| {
                calls.set(calls.get() + 1);
                if calls.get() < 5 {
                    ControlFlow::Continue(())
                } else {
                    ControlFlow::Break(())
                }
            };
            let task = Task::new(&ledger, &observe, threads);
            let here = |task: &Task<'_>| if here_ends { Ok(()) } else { endless(task) };
            assert_eq!(task.both(here, endless), Err(Cancelled));
            ledger.cancelled.store(false, Ordering::Relaxed);
        }
    }

    #[test]
    fn small_work_stays_on_one_thread() {
        let ledger = Ledger::new(0, 1);
        let task = Task::new(&ledger, &unobserved, 2);
        assert!(task.can_fork() && !task.sized(1_000).can_fork() && task.sized(1 << 40).can_fork());
    }
}
