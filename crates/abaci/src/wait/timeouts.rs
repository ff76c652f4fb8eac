//! What is in the way of a wait, when it is said, and when the wait gives up.
//!
//! A missing server is said once for each queue; the wait gives up when nobody takes any of its jobs any more.
//! Only what this wait saw counts: an absence that began before it did gives a server as long to appear as any other.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use durable_jobs::APPLICATION_VERSION;
use durable_jobs::client::{Others, QueueVersion, WaitEvent};

use crate::config::Period;
use crate::output;

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
    no_server: BTreeMap<QueueVersion, Obstacle>,
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
            no_server: BTreeMap::new(),
            no_database: None,
        }
    }

    /// Considers an event; one that is no obstacle means nothing here.
    pub(crate) fn consider(&mut self, event: &WaitEvent) -> Verdict {
        match event {
            WaitEvent::NoWorker { of, others, .. } => self.without_server(of, *others),
            WaitEvent::WorkerBack(of) => over(self.no_server.remove(of), || {
                format!("a worker listens on queue {:?} now", of.queue)
            }),
            WaitEvent::NoneLeft(of) => {
                self.no_server.remove(of);
                Verdict::default()
            }
            WaitEvent::DatabaseLost { reason, .. } => self.without_database(reason),
            WaitEvent::DatabaseBack => over(self.no_database.take(), || {
                "the database answers again".to_owned()
            }),
            _ => Verdict::default(),
        }
    }

    /// Considers that nobody takes jobs of a queue and version now, and that a fleet will, which says `prospect` of itself.
    ///
    /// The patience is for a server that nobody starts, so this uses none of it up.
    pub(crate) fn between_workers(&mut self, of: &QueueVersion, prospect: String) -> Verdict {
        let obstacle = self.no_server.entry(of.clone()).or_insert_with(Obstacle::begins);
        let lasting = obstacle.since.elapsed();
        obstacle.patient_since = Instant::now();
        let is_due = obstacle.is_due() && lasting >= WORTH_A_WORD;
        Verdict {
            notice: is_due.then(|| obstacle.say(prospect)),
            gave_up: None,
        }
    }

    fn without_server(&mut self, of: &QueueVersion, others: Others) -> Verdict {
        let patience = self.for_server;
        let obstacle = self.no_server.entry(of.clone()).or_insert_with(Obstacle::begins);
        let is_news = obstacle.said.is_none() && obstacle.since.elapsed() >= WORTH_A_WORD;
        // A fleet that restarts its workers has not lasted, and takes some of the jobs soon.
        let is_over = self
            .no_server
            .values()
            .all(|obstacle| obstacle.has_lasted(patience));
        if others == Others::Stand && is_over {
            let patience = Period(self.for_server);
            let (worker, way_out) = (worker_of(of), way_out(of));
            let reason = format!(
                "no {worker} listened on queue {:?} for {patience}; {way_out}",
                of.queue
            );
            return Verdict {
                gave_up: Some(reason),
                ..Verdict::default()
            };
        }
        let notice = self.no_server.get_mut(of).filter(|_| is_news);
        Verdict {
            notice: notice.map(|obstacle| obstacle.say(nobody_listens(of))),
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
pub(crate) fn nobody_listens(of: &QueueVersion) -> String {
    let (worker, way_out) = (worker_of(of), way_out(of));
    format!("no {worker} is listening on queue {:?}; {way_out}", of.queue)
}

fn worker_of(of: &QueueVersion) -> String {
    if of.version == APPLICATION_VERSION {
        "worker".to_owned()
    } else {
        format!("worker of version {:?}", of.version)
    }
}

fn way_out(of: &QueueVersion) -> String {
    if of.version == APPLICATION_VERSION {
        format!("start one with: {}", output::serve_command(&of.queue))
    } else {
        "start one by the abaci of that version".to_owned()
    }
}

fn over(obstacle: Option<Obstacle>, sentence: impl FnOnce() -> String) -> Verdict {
    let was_said = obstacle.is_some_and(|obstacle| obstacle.said.is_some());
    Verdict {
        notice: was_said.then(sentence),
        gave_up: None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(queue: &str) -> QueueVersion {
        QueueVersion::current(queue)
    }

    fn no_worker_of(of: QueueVersion, others: Others) -> WaitEvent {
        WaitEvent::NoWorker {
            of,
            since: Duration::from_hours(1),
            others,
        }
    }

    fn no_worker() -> WaitEvent {
        no_worker_of(of("fibonacci"), Others::Stand)
    }

    /// Returns what is said of an absence that has lasted.
    fn said(patience: &mut Patience, event: &WaitEvent) -> Option<String> {
        patience.consider(event);
        let long_ago = Instant::now().checked_sub(WORTH_A_WORD).unwrap();
        for obstacle in patience.no_server.values_mut() {
            obstacle.since = long_ago;
        }
        patience.consider(event).notice
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
        let back = WaitEvent::WorkerBack(of("fibonacci"));
        assert_eq!(patience.consider(&back), Verdict::default());
    }

    #[test]
    fn each_queue_is_said_once_and_so_is_its_server() {
        let mut patience = Patience::new(Duration::from_secs(30), Duration::from_mins(1));
        let start = |queue: &str| no_worker_of(of(queue), Others::Stand);
        let one = said(&mut patience, &start("one")).unwrap();
        assert!(
            one.contains("queue \"one\"") && one.ends_with("abaci serve --queue one"),
            "{one}"
        );
        let two = said(&mut patience, &start("it's two")).unwrap();
        assert!(two.ends_with(r"abaci serve --queue 'it'\''s two'"), "{two}");
        assert_eq!(said(&mut patience, &start("one")), None, "it was said twice");
        let back = patience
            .consider(&WaitEvent::WorkerBack(of("one")))
            .notice
            .unwrap();
        assert!(back.contains("\"one\""), "{back}");
    }

    #[test]
    fn jobs_of_another_version_want_a_worker_of_that_version() {
        let mut patience = Patience::new(Duration::from_secs(30), Duration::from_mins(1));
        let older = QueueVersion {
            version: "abaci-0".to_owned(),
            ..of("fibonacci")
        };
        let said = said(&mut patience, &no_worker_of(older, Others::Stand)).unwrap();
        assert!(
            said.contains("\"abaci-0\"") && !said.contains("abaci serve"),
            "{said}"
        );
    }

    #[test]
    fn a_wait_goes_on_while_somebody_takes_others_of_its_jobs() {
        let mut patience = Patience::new(Duration::ZERO, Duration::from_mins(1));
        let event = |others| no_worker_of(of("other"), others);
        assert_eq!(patience.consider(&event(Others::GoOn)), Verdict::default());
        assert!(patience.consider(&event(Others::Stand)).gave_up.is_some());
    }

    #[test]
    fn a_fleet_that_goes_on_uses_up_no_patience() {
        let mut patience = Patience::new(Duration::ZERO, Duration::from_mins(1));
        let verdict = patience.between_workers(&of("fibonacci"), "the next one starts in 4 s".to_owned());
        assert_eq!(verdict.gave_up, None);
        assert!(
            patience.consider(&no_worker()).gave_up.is_some(),
            "the patience for nobody is not that for a fleet"
        );
    }

    #[test]
    fn a_fleet_of_one_queue_keeps_the_wait_for_another_alive() {
        let mut patience = Patience::new(Duration::from_hours(1), Duration::from_mins(1));
        patience.between_workers(&of("one"), "soon".to_owned());
        let long_ago = Instant::now().checked_sub(Duration::from_hours(2)).unwrap();
        let other = no_worker_of(of("other"), Others::Stand);
        patience.consider(&other);
        patience.no_server.get_mut(&of("other")).unwrap().patient_since = long_ago;
        assert_eq!(patience.consider(&other).gave_up, None);
    }
}
