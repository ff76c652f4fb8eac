//! The reasons why jobs wait as people read them, the same in every command.

use durable_jobs::client::{Limit, QueueVersion, Waiting};
use durable_jobs::record::{WaitReason, about};
use fibonacci_jobs::VERSION;

use crate::output;

/// Writes why a job waits, such as `place 3 of 12 in queue fibonacci; 2 of 2 slots are in use; about 40 s`.
///
/// A fleet that takes the job as soon as its workers run is the `prospect` of one that nobody takes now.
pub(crate) fn why(waiting: &Waiting, prospect: Option<&str>) -> String {
    let Waiting {
        queue, position, of, ..
    } = waiting;
    let lacking = waiting.lacking();
    let place = match (position, &lacking) {
        (Some(position), None) => Some(format!("place {position} of {of} in queue {queue}")),
        // The queue is in what follows.
        (Some(position), Some(_)) => Some(format!("place {position} of {of}")),
        (None, None) => Some(format!("in queue {queue}")),
        (None, Some(_)) => None,
    };
    let reason = match lacking {
        Some(lacking) => prospect.map_or_else(|| nobody_listens(&lacking), str::to_owned),
        None => reason(waiting),
    };
    let estimate = waiting.estimate_seconds.map(about);
    let parts = [place, Some(reason), estimate];
    parts.into_iter().flatten().collect::<Vec<_>>().join("; ")
}

fn reason(waiting: &Waiting) -> String {
    match &waiting.reason {
        WaitReason::Paused => {
            let resume = output::resume_queue_command(&waiting.queue);
            format!("it is paused until: {resume}")
        }
        WaitReason::Delayed { until_ms } => format!("until {}", output::time(*until_ms)),
        WaitReason::RateLimited { limit, next_start_ms } => {
            let next = next_start_ms.map(output::time);
            let next = next.map_or_else(String::new, |next| format!(", the next one at {next}"));
            format!("it starts {}{next}", output::rate(*limit))
        }
        WaitReason::Concurrency { limit } => format!("it runs {limit} at once at most, and they run"),
        WaitReason::Busy { slots, in_use } => format!("{in_use} of {slots} slots are in use"),
        // It waits for its start alone; where nobody takes the job, `why` has other words.
        _ => "a worker has a free slot".to_owned(),
    }
}

/// Says that a queue is paused, with the way out.
pub(crate) fn paused(queue: &str) -> String {
    let resume = output::resume_queue_command(queue);
    format!("queue {queue:?} is paused; its jobs wait until: {resume}")
}

/// Says that the limit of a queue is reached.
pub(crate) fn limited(queue: &str, limit: &Limit) -> String {
    format!(
        "queue {queue:?} {}; its jobs wait for their turn",
        output::limit(limit)
    )
}

/// Describes a queue that nobody takes jobs from, with the way out.
pub(crate) fn nobody_listens(of: &QueueVersion) -> String {
    if let Some(workflow) = &of.unknown_workflow {
        return format!(
            "no worker of queue {:?} knows jobs of type {workflow:?}; start one that does",
            of.queue
        );
    }
    let (worker, way_out) = (worker_of(of), way_out(of));
    format!("no {worker} is listening on queue {:?}; {way_out}", of.queue)
}

/// Names the worker that is missing.
pub(crate) fn worker_of(of: &QueueVersion) -> String {
    if of.version == VERSION {
        "worker".to_owned()
    } else {
        format!("worker of version {:?}", of.version)
    }
}

/// Returns what brings such a worker.
pub(crate) fn way_out(of: &QueueVersion) -> String {
    if of.version == VERSION {
        format!("start one with: {}", output::serve_command(&of.queue))
    } else {
        "start one by the program of that version".to_owned()
    }
}

#[cfg(test)]
mod tests {
    use durable_jobs::client::Rate;
    use std::time::Duration;

    use super::*;

    fn waiting(reason: WaitReason, position: Option<u64>, estimate_seconds: Option<f64>) -> Waiting {
        Waiting {
            queue: "fibonacci".to_owned(),
            version: VERSION.to_owned(),
            position,
            of: 12,
            reason,
            estimate_seconds,
        }
    }

    #[test]
    fn every_reason_is_said_with_its_place_and_what_is_known() {
        let busy = WaitReason::Busy { slots: 2, in_use: 2 };
        let rate = WaitReason::RateLimited {
            limit: Rate::new(10, Duration::from_secs(2)),
            next_start_ms: Some(1_795_409_729_100),
        };
        for (reason, position, seconds, said) in [
            (
                busy.clone(),
                Some(3),
                Some(40.4),
                "place 3 of 12 in queue fibonacci; 2 of 2 slots are in use; about 40 s",
            ),
            (
                busy,
                Some(3),
                None,
                "place 3 of 12 in queue fibonacci; 2 of 2 slots are in use",
            ),
            (
                rate,
                Some(1),
                Some(0.2),
                "place 1 of 12 in queue fibonacci; it starts 10 in 2s, the next one at 2026-11-23T04:55:29Z; about 1 s",
            ),
            (
                WaitReason::Delayed {
                    until_ms: 1_795_409_729_100,
                },
                None,
                None,
                "in queue fibonacci; until 2026-11-23T04:55:29Z",
            ),
            (
                WaitReason::Paused,
                Some(12),
                None,
                "place 12 of 12 in queue fibonacci; it is paused until: abaci queue resume fibonacci",
            ),
        ] {
            assert_eq!(why(&waiting(reason, position, seconds), None), said);
        }
    }

    #[test]
    fn a_job_that_nobody_takes_says_its_place_and_who_is_missing() {
        let unknown = WaitReason::Type {
            workflow: "mine".to_owned(),
        };
        for (reason, said) in [
            (
                WaitReason::NoWorker,
                "place 1 of 12; no worker is listening on queue \"fibonacci\"; start one with: abaci serve",
            ),
            (
                unknown,
                "place 1 of 12; no worker of queue \"fibonacci\" knows jobs of type \"mine\"; start one that does",
            ),
        ] {
            assert_eq!(why(&waiting(reason, Some(1), None), None), said);
        }
    }

    #[test]
    fn a_fleet_between_two_starts_is_said_instead_of_nobody() {
        let waiting = waiting(WaitReason::NoWorker, Some(1), None);
        assert_eq!(why(&waiting, Some("soon")), "place 1 of 12; soon");
    }
}
