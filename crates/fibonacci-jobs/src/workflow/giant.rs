//! `fibonacci_giant`: doubling up to one index after the other whose state is stored, then digits, certify and publish.
//!
//! A state is what the doubling has at an index k, n without its lowest bits: F(k) and F(k+1). It is an artifact, and its
//! place and hash are the checkpoint, so a run that begins anew in another process goes on from the last one.
//! Each state takes twice the work of the one before it, and the last product as much as everything before it; so only the
//! last states are worth their storing. While one step records its state, the computation is at the next one.
//! A state that is missing or was changed is noticed and computed again, from the state before it, and never used.
//!
//! It does not promise that a state outlasts a loss of power: it is not flushed, since its hash tells.

use durable_jobs::{Failure, JobContext};
use tokio::sync::Mutex;

use super::checkpointed_run::CheckpointedRun;
use super::steps::{CERTIFY, StoredState, certify, options, publish};
use crate::record::{JobResult, Request};

const DOUBLE: &str = "double";
const DIGITS: &str = "digits";

/// A state of this index is stored in any case: what it took is half a second of arithmetic.
const EXPENSIVE_INDEX: u64 = 300_000_000;

/// A state below is not worth a step, whatever n is.
const CHEAP_INDEX: u64 = 10_000;

/// Computes F(n) from state to state, proves it and forms the result.
pub(super) async fn giant(job: &JobContext, request: Request) -> Result<JobResult, Failure> {
    let mut states: Vec<StoredState> = Vec::new();
    let stops: Vec<u64> = stored_indices(request.n).collect();
    // A step may try its closure again, so all tries share the computation behind a lock.
    let computation = Mutex::new(CheckpointedRun::new(job, request, stops.clone(), &states));
    for k in stops {
        let next = job
            .step_with(DOUBLE, options(request), || async {
                computation.lock().await.state(k).await
            })
            .await?;
        // Outside of the step, whose closure does not run where its record is taken.
        computation.lock().await.note(&next);
        states.push(next);
    }
    let computed = job
        .step_with(DIGITS, options(request), || async {
            let computed = computation.lock().await.digits().await;
            computed.map(|computed| computed.after(&states))
        })
        .await?;
    let certified = job
        .step_with(CERTIFY, options(request), || {
            certify(job, request, &computed, &states)
        })
        .await?;
    publish(job, request, &computed, &certified, &states).await
}

/// The indices whose states are stored, in their order: the last one, and those before it that are expensive.
///
/// They follow from n alone, since they are the sequence of steps.
fn stored_indices(n: u64) -> impl Iterator<Item = u64> {
    // Both limits belong to the sequence of steps: with others, running jobs would not find their records.
    let least = EXPENSIVE_INDEX.min(n >> 1).max(CHEAP_INDEX);
    let prefixes = (1..u64::BITS).rev().map(move |bits| n >> bits);
    prefixes.filter(move |k| *k >= least)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_last_states_are_stored_and_expensive_ones_before_them() {
        for (n, stored) in [
            (0, vec![]),
            (19_999, vec![]),
            (30_001, vec![15_000]),
            (1_000_000, vec![500_000]),
            (1_000_000_000, vec![500_000_000]),
            (2_400_000_001, vec![300_000_000, 600_000_000, 1_200_000_000]),
        ] {
            assert_eq!(stored_indices(n).collect::<Vec<_>>(), stored, "F({n})");
        }
    }
}
