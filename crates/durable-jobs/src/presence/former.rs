//! The incarnations that workers of this process have had and given up.
//!
//! A process that begins anew has its old process number still, and behind a pooler its old session may stand: this tells it
//! that neither belongs to anybody who lives.

use std::collections::BTreeSet;
use std::sync::{Mutex, MutexGuard, PoisonError};

static FORMER: Mutex<BTreeSet<String>> = Mutex::new(BTreeSet::new());

/// An incarnation of this process; given up when it is dropped.
pub(super) struct Current(pub(super) String);

impl Drop for Current {
    fn drop(&mut self) {
        former().insert(std::mem::take(&mut self.0));
    }
}

/// Tests if an incarnation was one of this process.
pub(super) fn is_former(incarnation: &str) -> bool {
    former().contains(incarnation)
}

fn former() -> MutexGuard<'static, BTreeSet<String>> {
    // Whatever panicked, the set is whole.
    FORMER.lock().unwrap_or_else(PoisonError::into_inner)
}
