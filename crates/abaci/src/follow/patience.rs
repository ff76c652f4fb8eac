//! What is in the way of a wait, when it is said, and when the wait gives up.
//!
//! Only what this wait saw counts: an absence that began before it did gives a server as long to appear as any other.

use std::time::{Duration, Instant};

use abaci_engine::client::WaitEvent;

use crate::config::Period;

/// An absence shorter than this is not worth a word: a server that restarts is back by then.
const WORTH_A_WORD: Duration = Duration::from_secs(1);

/// How often an outage that lasts is mentioned again.
const REMINDER: Duration = Duration::from_secs(5);

/// What to do about an event.
#[derive(Debug, Default, PartialEq)]
pub(crate) struct Verdict {
    /// A line to say now.
    pub(crate) notice: Option<String>,
    /// Why to stop waiting now.
    pub(crate) gave_up: Option<String>,
}

/// The obstacles of one wait.
pub(crate) struct Patience {
    for_server: Duration,
    for_database: Duration,
    no_server: Option<Obstacle>,
    no_database: Option<Obstacle>,
}

struct Obstacle {
    since: Instant,
    /// Since when the patience is used up.
    patient_since: Instant,
    said: Option<Instant>,
}

impl Patience {
    pub(crate) fn new(for_server: Duration, for_database: Duration) -> Self {
        Self {
            for_server,
            for_database,
            no_server: None,
            no_database: None,
        }
    }

    /// Considers an event; one that is no obstacle means nothing here.
    pub(crate) fn consider(&mut self, event: &WaitEvent) -> Verdict {
        match event {
            WaitEvent::NoWorker { queue, .. } => self.without_server(queue),
            WaitEvent::WorkerBack => over(&mut self.no_server, "a server listens now"),
            WaitEvent::DatabaseLost { reason, .. } => self.without_database(reason),
            WaitEvent::DatabaseBack => over(&mut self.no_database, "the database answers again"),
            _ => Verdict::default(),
        }
    }

    /// Considers that nobody takes the jobs now, and that a fleet will, which says `prospect` of itself.
    ///
    /// The patience is for a server that nobody starts, so this uses none of it up.
    pub(crate) fn between_workers(&mut self, prospect: String) -> Verdict {
        let obstacle = self.no_server.get_or_insert_with(Obstacle::begins);
        let lasting = obstacle.since.elapsed();
        obstacle.patient_since = Instant::now();
        let is_due = obstacle.is_due() && lasting >= WORTH_A_WORD;
        Verdict {
            notice: is_due.then(|| obstacle.say(prospect)),
            gave_up: None,
        }
    }

    fn without_server(&mut self, queue: &str) -> Verdict {
        let obstacle = self.no_server.get_or_insert_with(Obstacle::begins);
        if obstacle.has_lasted(self.for_server) {
            let patience = Period(self.for_server);
            let reason =
                format!("no worker listened on queue {queue:?} for {patience}; start one with: abaci serve");
            return Verdict {
                gave_up: Some(reason),
                ..Verdict::default()
            };
        }
        let is_news = obstacle.said.is_none() && obstacle.has_lasted(WORTH_A_WORD);
        Verdict {
            notice: is_news.then(|| obstacle.say(nobody_listens(queue))),
            gave_up: None,
        }
    }

    fn without_database(&mut self, last_answer: &str) -> Verdict {
        let obstacle = self.no_database.get_or_insert_with(Obstacle::begins);
        if obstacle.has_lasted(self.for_database) {
            let patience = Period(self.for_database);
            let reason = format!("the database did not answer for {patience} ({last_answer})");
            return Verdict {
                gave_up: Some(reason),
                ..Verdict::default()
            };
        }
        let is_due = obstacle.is_due();
        let lasting = obstacle.since.elapsed().as_secs();
        let sentence =
            || format!("the database does not answer, for {lasting} s now; waiting for it ({last_answer})");
        Verdict {
            notice: is_due.then(|| obstacle.say(sentence())),
            gave_up: None,
        }
    }
}

impl Obstacle {
    fn begins() -> Self {
        let now = Instant::now();
        Self {
            since: now,
            patient_since: now,
            said: None,
        }
    }

    fn has_lasted(&self, span: Duration) -> bool {
        self.patient_since.elapsed() >= span
    }

    /// Whether it is to be mentioned now.
    fn is_due(&self) -> bool {
        self.said.is_none_or(|said| said.elapsed() >= REMINDER)
    }

    fn say(&mut self, sentence: String) -> String {
        self.said = Some(Instant::now());
        sentence
    }
}

/// What to say of a queue that nobody takes jobs from.
pub(crate) fn nobody_listens(queue: &str) -> String {
    format!("no worker is listening on queue {queue:?}; start one with: abaci serve")
}

fn over(obstacle: &mut Option<Obstacle>, sentence: &str) -> Verdict {
    let was_said = obstacle.take().is_some_and(|obstacle| obstacle.said.is_some());
    Verdict {
        notice: was_said.then(|| sentence.to_owned()),
        gave_up: None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn no_worker() -> WaitEvent {
        WaitEvent::NoWorker {
            queue: "fibonacci".to_owned(),
            since: Duration::from_hours(1),
        }
    }

    fn lost() -> WaitEvent {
        WaitEvent::DatabaseLost {
            since: Duration::ZERO,
            reason: "connection refused".to_owned(),
        }
    }

    #[test]
    fn an_old_absence_does_not_use_up_the_patience_of_a_new_wait() {
        let mut patience = Patience::new(Duration::from_secs(30), Duration::from_mins(1));
        assert_eq!(patience.consider(&no_worker()), Verdict::default());
    }

    #[test]
    fn without_patience_the_first_sign_of_absence_ends_the_wait() {
        let mut patience = Patience::new(Duration::ZERO, Duration::from_mins(1));
        let reason = patience.consider(&no_worker()).gave_up.unwrap();
        assert!(
            reason.contains("\"fibonacci\"") && reason.contains("abaci serve"),
            "{reason}"
        );
    }

    #[test]
    fn an_outage_is_said_once_and_so_is_its_end() {
        let mut patience = Patience::new(Duration::from_secs(30), Duration::from_mins(1));
        assert!(
            patience
                .consider(&lost())
                .notice
                .unwrap()
                .contains("connection refused")
        );
        assert_eq!(
            patience.consider(&lost()).notice,
            None,
            "the same outage was said twice at once"
        );
        assert!(patience.consider(&WaitEvent::DatabaseBack).notice.is_some());
        assert_eq!(patience.consider(&WaitEvent::DatabaseBack).notice, None);
    }

    #[test]
    fn the_end_of_an_absence_that_nobody_mentioned_is_not_mentioned() {
        let mut patience = Patience::new(Duration::from_secs(30), Duration::from_mins(1));
        patience.consider(&no_worker());
        assert_eq!(patience.consider(&WaitEvent::WorkerBack), Verdict::default());
    }

    #[test]
    fn a_fleet_that_goes_on_uses_up_no_patience() {
        let mut patience = Patience::new(Duration::ZERO, Duration::from_mins(1));
        let verdict = patience.between_workers("the next one starts in 4 s".to_owned());
        assert_eq!(verdict.gave_up, None);
        assert!(
            patience.consider(&no_worker()).gave_up.is_some(),
            "the patience for nobody is not that for a fleet"
        );
    }
}
