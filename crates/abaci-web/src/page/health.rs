//! One sentence that says how things are.

use durable_jobs::client::{QueueInfo, Waiting};

use super::rows::WorkerCard;
use super::words::{counted, grouped, reason, shown};

/// The verdict on workers and queues.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct FleetHealth {
    /// `ok`, `warn` or `bad`.
    pub(super) class: &'static str,
    pub(super) sentence: String,
}

/// The facts that the sentence is drawn from.
pub(super) struct Situation<'a> {
    pub(super) workers: &'a [WorkerCard],
    pub(super) queues: &'a [QueueInfo],
    /// Why the oldest waiting job waits; absent where none waits.
    pub(super) oldest: Option<&'a Waiting>,
    pub(super) now_ms: i64,
}

impl Situation<'_> {
    /// Says the worst of what there is to be said.
    pub(super) fn health(&self) -> FleetHealth {
        let waiting: u64 = self.queues.iter().map(|queue| queue.queued).sum();
        let taking = self.workers.iter().filter(|worker| worker.takes_jobs()).count();
        let (class, sentence) = match (taking, waiting) {
            (0, 0) => (
                "warn",
                "No worker is running, and no job waits; start workers with: abaci fleet".to_owned(),
            ),
            (0, _) => {
                let wait = if waiting == 1 { "waits" } else { "wait" };
                let jobs = counted(waiting, "job");
                (
                    "bad",
                    format!("{jobs} {wait}, and no worker takes jobs; start workers with: abaci fleet"),
                )
            }
            _ => self.working(u64::try_from(taking).unwrap_or(u64::MAX)),
        };
        let sentence = capitalized(sentence);
        FleetHealth { class, sentence }
    }

    fn working(&self, taking: u64) -> (&'static str, String) {
        let workers = self.workers_in_words(taking);
        // A job that waits for a slot or a rate is no trouble; one that no worker attends to needs somebody.
        if let Some(oldest) = self.oldest.filter(|oldest| oldest.lacking().is_some()) {
            let why = reason(oldest, self.now_ms);
            return (
                "bad",
                format!("{workers}, but the oldest waiting job finds none: {why}."),
            );
        }
        if let Some(paused) = self.queues.iter().find(|queue| queue.paused) {
            let (name, jobs) = (shown(&paused.name), counted(paused.queued, "job"));
            return (
                "warn",
                format!("{workers}; queue {name} is paused with {jobs} waiting."),
            );
        }
        // Those that take jobs are some of all, so the difference is not below 0.
        match self.workers.len() as u64 - taking {
            0 => ("ok", format!("Healthy: {workers}.")),
            others => ("warn", format!("{workers}; {}.", self.others_in_words(others))),
        }
    }

    fn workers_in_words(&self, taking: u64) -> String {
        match (taking, self.workers.len()) {
            (1, 1) => "the only worker takes jobs".to_owned(),
            (2, 2) => "both workers take jobs".to_owned(),
            (taking, all) if taking == all as u64 => format!("all {} workers take jobs", grouped(taking)),
            (1, all) => format!("1 of {all} workers takes jobs"),
            (taking, all) => format!("{} of {} workers take jobs", grouped(taking), grouped(all as u64)),
        }
    }

    fn others_in_words(&self, others: u64) -> String {
        let in_state =
            |state: &str| self.workers.iter().filter(|worker| worker.state == state).count() as u64;
        let count = |count: u64, one: &str, several: &str| {
            (count > 0).then(|| format!("{} {}", grouped(count), if count == 1 { one } else { several }))
        };
        // A worker that takes no jobs is in one of three states, so the rest of the others drains.
        let (gone, silent) = (in_state("gone"), in_state("silent"));
        let parts = [
            count(gone, "is gone", "are gone"),
            count(silent, "says nothing", "say nothing"),
            count(others - gone - silent, "drains", "drain"),
        ];
        parts.into_iter().flatten().collect::<Vec<_>>().join(", ")
    }
}

fn capitalized(mut sentence: String) -> String {
    // Sentences are of ours and begin with ASCII; another first sign would stay as it is.
    if let Some(first) = sentence.get_mut(..1) {
        first.make_ascii_uppercase();
    }
    sentence
}
