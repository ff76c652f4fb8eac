//! Obstacles of a wait: when they are reported, and when the wait gives up.
//!
//! A missing server is reported once for each queue; the wait gives up when nobody takes any of its jobs any more.
//! Only what this wait saw counts: an absence that began before it did gives a server as long to appear as any other.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use durable_jobs::client::{Others, QueueVersion, WaitEvent};

use super::words::{limited, nobody_listens, paused, way_out, worker_of};
use crate::config::Period;

/// The shortest absence that is reported: a server that restarts is back by then.
const SHORTEST_REPORTED: Duration = Duration::from_secs(1);

/// Interval at which an outage that lasts is reported again.
const REMINDER: Duration = Duration::from_secs(5);

/// The response of a wait to an event that calls for one.
#[derive(Debug, PartialEq)]
pub(crate) enum Response {
    /// A line to print now.
    Notice(String),
    /// The reason to stop waiting now.
    GaveUp(String),
}

/// The obstacles of one wait, and the time that each may last.
pub(crate) struct WaitTimeouts {
    for_server: Duration,
    for_database: Duration,
    no_server: BTreeMap<QueueVersion, Obstacle>,
    no_database: Option<Obstacle>,
}

struct Obstacle {
    since: Instant,
    /// The moment from which its time is counted.
    counted_since: Instant,
    reported: Option<Instant>,
}

impl WaitTimeouts {
    pub(crate) fn new(for_server: Duration, for_database: Duration) -> Self {
        Self {
            for_server,
            for_database,
            no_server: BTreeMap::new(),
            no_database: None,
        }
    }

    /// Responds to an event; one that is no obstacle means nothing here.
    pub(crate) fn consider(&mut self, event: &WaitEvent) -> Option<Response> {
        match event {
            WaitEvent::NoWorker { of, others, .. } => self.without_server(of, *others),
            WaitEvent::WorkerBack(of) => over(self.no_server.remove(of), || {
                format!("a worker listens on queue {:?} now", of.queue)
            }),
            WaitEvent::NoneLeft(of) => {
                // Nothing is said: no worker came, but no job of the wait lacks one of these any more.
                self.no_server.remove(of);
                None
            }
            WaitEvent::QueuePaused(queue) => Some(Response::Notice(paused(queue))),
            WaitEvent::QueueLimited { queue, limit } => Some(Response::Notice(limited(queue, limit))),
            WaitEvent::DatabaseLost { reason, .. } => self.without_database(reason),
            WaitEvent::DatabaseBack => over(self.no_database.take(), || {
                "the database answers again".to_owned()
            }),
            _ => None,
        }
    }

    /// Responds to a queue whose jobs nobody takes now, while a fleet that reports `prospect` will take them.
    ///
    /// The timeout is for a server that nobody starts, so it begins anew.
    pub(crate) fn between_workers(&mut self, of: &QueueVersion, prospect: String) -> Option<Response> {
        let obstacle = self.no_server.entry(of.clone()).or_insert_with(Obstacle::begins);
        let lasting = obstacle.since.elapsed();
        obstacle.counted_since = Instant::now();
        let is_due = obstacle.is_due() && lasting >= SHORTEST_REPORTED;
        is_due.then(|| obstacle.report(prospect))
    }

    fn without_server(&mut self, of: &QueueVersion, others: Others) -> Option<Response> {
        let timeout = self.for_server;
        let obstacle = self.no_server.entry(of.clone()).or_insert_with(Obstacle::begins);
        let is_news = obstacle.reported.is_none() && obstacle.since.elapsed() >= SHORTEST_REPORTED;
        // A fleet that restarts its workers has not lasted, and takes some of the jobs soon.
        let is_over = self
            .no_server
            .values()
            .all(|obstacle| obstacle.has_lasted(timeout));
        if others == Others::Stand && is_over {
            let timeout = Period(self.for_server);
            let (worker, way_out) = (worker_of(of), way_out(of));
            let queue = &of.queue;
            let reason = format!("no {worker} listened on queue {queue:?} for {timeout}; {way_out}");
            return Some(Response::GaveUp(reason));
        }
        let obstacle = self.no_server.get_mut(of).filter(|_| is_news)?;
        Some(obstacle.report(nobody_listens(of)))
    }

    fn without_database(&mut self, last_answer: &str) -> Option<Response> {
        let obstacle = self.no_database.get_or_insert_with(Obstacle::begins);
        if obstacle.has_lasted(self.for_database) {
            let timeout = Period(self.for_database);
            let reason = format!("the database did not answer for {timeout} ({last_answer})");
            return Some(Response::GaveUp(reason));
        }
        let is_due = obstacle.is_due();
        let lasting = obstacle.since.elapsed().as_secs();
        let sentence =
            || format!("the database does not answer, for {lasting} s now; waiting for it ({last_answer})");
        is_due.then(|| obstacle.report(sentence()))
    }
}

impl Obstacle {
    fn begins() -> Self {
        let now = Instant::now();
        Self {
            since: now,
            counted_since: now,
            reported: None,
        }
    }

    fn has_lasted(&self, span: Duration) -> bool {
        self.counted_since.elapsed() >= span
    }

    /// Returns whether it is to be reported now.
    fn is_due(&self) -> bool {
        self.reported
            .is_none_or(|reported| reported.elapsed() >= REMINDER)
    }

    fn report(&mut self, sentence: String) -> Response {
        self.reported = Some(Instant::now());
        Response::Notice(sentence)
    }
}

fn over(obstacle: Option<Obstacle>, sentence: impl FnOnce() -> String) -> Option<Response> {
    // A trouble that was never reported has no end to report.
    obstacle?.reported?;
    Some(Response::Notice(sentence()))
}

#[cfg(test)]
mod tests {
    use fibonacci_jobs::VERSION;

    use super::*;

    fn of(queue: &str) -> QueueVersion {
        QueueVersion::new(queue, VERSION)
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

    fn notice(response: Option<Response>) -> Option<String> {
        response.and_then(|response| match response {
            Response::Notice(said) => Some(said),
            Response::GaveUp(_) => None,
        })
    }

    fn gave_up(response: Option<Response>) -> Option<String> {
        response.and_then(|response| match response {
            Response::GaveUp(reason) => Some(reason),
            Response::Notice(_) => None,
        })
    }

    /// Returns what is said of an absence that has lasted.
    fn said(timeouts: &mut WaitTimeouts, event: &WaitEvent) -> Option<String> {
        timeouts.consider(event);
        let long_ago = Instant::now().checked_sub(SHORTEST_REPORTED).unwrap();
        for obstacle in timeouts.no_server.values_mut() {
            obstacle.since = long_ago;
        }
        notice(timeouts.consider(event))
    }

    fn lost() -> WaitEvent {
        WaitEvent::DatabaseLost {
            since: Duration::ZERO,
            reason: "connection refused".to_owned(),
        }
    }

    #[test]
    fn an_old_absence_uses_up_no_time_of_a_new_wait() {
        let mut timeouts = WaitTimeouts::new(Duration::from_secs(30), Duration::from_mins(1));
        assert_eq!(timeouts.consider(&no_worker()), None);
    }

    #[test]
    fn without_a_timeout_the_first_sign_of_absence_ends_the_wait() {
        let mut timeouts = WaitTimeouts::new(Duration::ZERO, Duration::from_mins(1));
        let reason = gave_up(timeouts.consider(&no_worker())).unwrap();
        assert!(
            reason.contains("\"fibonacci\"") && reason.contains("abaci serve"),
            "{reason}"
        );
    }

    #[test]
    fn an_outage_is_said_once_and_so_is_its_end() {
        let mut timeouts = WaitTimeouts::new(Duration::from_secs(30), Duration::from_mins(1));
        assert!(
            notice(timeouts.consider(&lost()))
                .unwrap()
                .contains("connection refused")
        );
        assert_eq!(
            timeouts.consider(&lost()),
            None,
            "the same outage was said twice at once"
        );
        assert!(notice(timeouts.consider(&WaitEvent::DatabaseBack)).is_some());
        assert_eq!(timeouts.consider(&WaitEvent::DatabaseBack), None);
    }

    #[test]
    fn the_end_of_an_absence_that_nobody_mentioned_is_not_mentioned() {
        let mut timeouts = WaitTimeouts::new(Duration::from_secs(30), Duration::from_mins(1));
        timeouts.consider(&no_worker());
        let back = WaitEvent::WorkerBack(of("fibonacci"));
        assert_eq!(timeouts.consider(&back), None);
    }

    #[test]
    fn each_queue_is_said_once_and_so_is_its_server() {
        let mut timeouts = WaitTimeouts::new(Duration::from_secs(30), Duration::from_mins(1));
        let start = |queue: &str| no_worker_of(of(queue), Others::Stand);
        let one = said(&mut timeouts, &start("one")).unwrap();
        assert!(
            one.contains("queue \"one\"") && one.ends_with("abaci serve --queue one"),
            "{one}"
        );
        let two = said(&mut timeouts, &start("it's two")).unwrap();
        assert!(two.ends_with(r"abaci serve --queue 'it'\''s two'"), "{two}");
        assert_eq!(said(&mut timeouts, &start("one")), None, "it was said twice");
        let back = notice(timeouts.consider(&WaitEvent::WorkerBack(of("one")))).unwrap();
        assert!(back.contains("\"one\""), "{back}");
    }

    #[test]
    fn jobs_of_another_version_want_a_worker_of_that_version() {
        let mut timeouts = WaitTimeouts::new(Duration::from_secs(30), Duration::from_mins(1));
        let older = QueueVersion {
            version: "abaci-0".to_owned(),
            ..of("fibonacci")
        };
        let said = said(&mut timeouts, &no_worker_of(older, Others::Stand)).unwrap();
        assert!(
            said.contains("\"abaci-0\"") && !said.contains("abaci serve"),
            "{said}"
        );
    }

    #[test]
    fn a_wait_goes_on_while_somebody_takes_others_of_its_jobs() {
        let mut timeouts = WaitTimeouts::new(Duration::ZERO, Duration::from_mins(1));
        let event = |others| no_worker_of(of("other"), others);
        assert_eq!(timeouts.consider(&event(Others::GoOn)), None);
        assert!(gave_up(timeouts.consider(&event(Others::Stand))).is_some());
    }

    #[test]
    fn a_fleet_that_goes_on_uses_up_no_time() {
        let mut timeouts = WaitTimeouts::new(Duration::ZERO, Duration::from_mins(1));
        let response = timeouts.between_workers(&of("fibonacci"), "the next one starts in 4 s".to_owned());
        assert_eq!(gave_up(response), None);
        assert!(
            gave_up(timeouts.consider(&no_worker())).is_some(),
            "the timeout for nobody is not that for a fleet"
        );
    }

    #[test]
    fn a_fleet_of_one_queue_keeps_the_wait_for_another_alive() {
        let mut timeouts = WaitTimeouts::new(Duration::from_hours(1), Duration::from_mins(1));
        timeouts.between_workers(&of("one"), "soon".to_owned());
        let long_ago = Instant::now().checked_sub(Duration::from_hours(2)).unwrap();
        let other = no_worker_of(of("other"), Others::Stand);
        timeouts.consider(&other);
        timeouts.no_server.get_mut(&of("other")).unwrap().counted_since = long_ago;
        assert_eq!(gave_up(timeouts.consider(&other)), None);
    }
}
