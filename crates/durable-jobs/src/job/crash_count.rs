//! The count of processes that a job has cost, and when that is enough.
//!
//! A job is parked when the workers that died with it in hand and the processes that died computing it are three together.
//! Deaths of workers are in the row's count of claims, which every claim that is given back unharmed is taken off; those
//! of computing processes are in a table of ours, since their worker lives and claims nothing anew.
//! Every end without an answer counts, also one by a limit: the same limit will end the next one, and a person who is to
//! raise it should learn of it soon.
//!
//! It does not promise that every death is counted: one that the database could not be told of is not.

use std::time::Duration;

use crate::Error;
use crate::database::Database;
use crate::record::{Advice, Failure};

/// A job that took this many processes with it never starts again unasked.
const DEATHS_TO_PARK: u32 = 3;

const TIMEOUT: Duration = Duration::from_secs(5);

/// Counts one more and says how many there are.
const COUNT: &str = "insert into abaci.deaths (workflow_uuid, deaths, last_reason) values ($1, 1, $2) \
     on conflict (workflow_uuid) do update \
     set deaths = deaths.deaths + 1, last_reason = excluded.last_reason, at = now() \
     returning deaths";

/// The deaths of one job, as a start of it found them.
#[derive(Debug, Clone, Default)]
pub(crate) struct CrashCount {
    /// Workers that died with the job in hand.
    pub(crate) workers: u32,
    /// Processes that died computing it.
    pub(crate) children: u32,
    /// The cause of the last of those deaths.
    pub(crate) last_reason: Option<String>,
}

/// Counts further deaths of one job.
pub(crate) struct CrashCounter {
    pub(crate) database: Database,
    pub(crate) workflow_id: String,
    /// Workers that died with the job in hand.
    pub(crate) workers: u32,
    pub(crate) advice: Advice,
}

impl CrashCount {
    /// The failure that parks the job, if it cost enough.
    pub(crate) fn poison(&self, advice: &Advice) -> Option<Failure> {
        if self.workers.saturating_add(self.children) < DEATHS_TO_PARK {
            return None;
        }
        let deaths = match (self.workers, self.children) {
            (workers, 0) => format!("the job was running when its worker died {}", times(workers)),
            (0, children) => format!("the process that computed the job died {}", times(children)),
            (workers, children) => format!(
                "the process that computed the job died {}, and its worker with it {}",
                times(children),
                times(workers)
            ),
        };
        let last = self.last_reason.as_ref();
        let last = last.map_or_else(String::new, |reason| format!("; the last time: {reason}"));
        let way_out = advice.parked;
        let message = format!("{deaths}{last}; it is parked and will not start again unasked; {way_out}");
        Some(Failure::parked("Poison", message))
    }
}

impl CrashCounter {
    /// Counts the death of a computing process; the failure that parks the job, if that was one too many.
    pub(crate) async fn count(&self, death: &Failure) -> Result<Option<Failure>, Error> {
        let count = sqlx::query_scalar(COUNT)
            .bind(&self.workflow_id)
            .bind(&death.message)
            .fetch_one(&self.database.pool);
        let children: i32 = self.database.bounded("counting a death", TIMEOUT, count).await?;
        let crashes = CrashCount {
            // The number from the start still holds: only a later claim of the row can raise it.
            workers: self.workers,
            children: children.unsigned_abs(),
            last_reason: Some(death.message.clone()),
        };
        Ok(crashes.poison(&self.advice))
    }
}

fn times(count: u32) -> String {
    match count {
        1 => "once".to_owned(),
        count => format!("{count} times"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn three_deaths_of_either_kind_park_a_job() {
        let poison = |workers, children| {
            let crashes = CrashCount {
                workers,
                children,
                last_reason: (children > 0).then(|| "SIGKILL".to_owned()),
            };
            crashes.poison(&Advice::default()).map(|failure| failure.message)
        };
        for (workers, children) in [(0, 0), (2, 0), (0, 2), (1, 1)] {
            assert_eq!(poison(workers, children), None, "{workers} and {children}");
        }
        for (workers, children, words) in [
            (3, 0, ["when its worker died 3 times", "Client::resume"]),
            (0, 3, ["died 3 times", "the last time: SIGKILL"]),
            (1, 2, ["died 2 times", "worker with it once"]),
        ] {
            let message = poison(workers, children).unwrap();
            for word in words {
                assert!(message.contains(word), "{word:?} is not in: {message}");
            }
        }
    }
}
