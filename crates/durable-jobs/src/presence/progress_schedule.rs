//! The jobs in hand as a worker's row has them, and when a beat is due.
//!
//! A look at the jobs costs no question, so there are two in a second; a beat costs a statement, so there is one at every
//! look only while there is something to say, and else at every fourth.
//! A job that has been in hand for less than half a second is not shown: its progress would be history before anyone read
//! it, and a worker that has only such jobs must not beat more often than an idle one.
//!
//! It promises nothing of the moment: what the row says is up to half a second old, and older while beats fail.

use std::collections::HashMap;
use std::time::Duration;

use crate::record::RunningJob;

/// The time between two looks at the jobs in hand, and so the age of what is shown of them.
pub(super) const LOOK_INTERVAL: Duration = Duration::from_millis(500);

/// Two seconds, a fifth of the expiry: four beats may be lost before anyone doubts.
const LOOKS_PER_BEAT: u32 = 4;

/// The server's room is doubted every ten seconds.
const LOOKS_PER_DOUBT: u32 = 20;

/// Below this a job is not shown.
const SHORTEST_SECONDS: f64 = 0.5;

/// A step is recorded in milliseconds; one that is not after so many looks is held up.
const LONGEST_PAUSE: u32 = 3;

/// More jobs than this are not shown, so that the row stays small.
const MAX_JOBS: usize = 100;

/// Reads the jobs in hand, the oldest first.
pub(crate) type RunningJobs = Box<dyn Fn() -> Vec<RunningJob> + Send + Sync>;

/// Decides when a beat is due and what it says.
pub(super) struct ProgressSchedule {
    running: RunningJobs,
    /// Looks since the server was seen to have room.
    looks_since_room: u32,
    /// Looks since the last beat.
    looks: u32,
    /// True if the last beat showed any job, so that the next one must take it back.
    has_shown: bool,
    /// In how many looks in a row each job was between two steps.
    between_steps: HashMap<String, u32>,
}

impl ProgressSchedule {
    /// The first look is due at once.
    pub(super) fn new(running: RunningJobs) -> Self {
        Self {
            running,
            looks_since_room: 0,
            looks: LOOKS_PER_BEAT,
            has_shown: false,
            between_steps: HashMap::new(),
        }
    }

    /// Says if the next beat is to find out whether the server has room to write: from time to time, and always while a job
    /// has been between two steps for so long that the database must be what keeps it.
    pub(super) fn doubts_room(&self) -> bool {
        self.looks_since_room >= LOOKS_PER_DOUBT
            || self.between_steps.values().any(|looks| *looks > LONGEST_PAUSE)
    }

    /// Notes that there is room.
    pub(super) fn saw_room(&mut self) {
        self.looks_since_room = 0;
    }

    /// Looks, and says what to beat with if a beat is due.
    pub(super) fn look(&mut self) -> Option<String> {
        self.looks += 1;
        self.looks_since_room += 1;
        let jobs = self.jobs();
        // A job that is within a step again, or has left, is forgotten with the old map.
        let mut before = std::mem::take(&mut self.between_steps);
        for job in jobs.iter().filter(|job| job.step.is_none()) {
            let looks = before.remove(&job.workflow_id).unwrap_or_default();
            self.between_steps.insert(job.workflow_id.clone(), looks + 1);
        }
        let is_due = self.looks >= LOOKS_PER_BEAT || self.has_shown || !jobs.is_empty();
        is_due.then(|| self.beat_with(&jobs))
    }

    /// Says what to beat with at this moment.
    pub(super) fn now(&mut self) -> String {
        let jobs = self.jobs();
        self.beat_with(&jobs)
    }

    /// Makes a beat due at the next look, since the last one did not get through.
    pub(super) fn hurry(&mut self) {
        self.looks = LOOKS_PER_BEAT;
    }

    fn jobs(&self) -> Vec<RunningJob> {
        let mut jobs = (self.running)();
        jobs.retain(|job| job.seconds >= SHORTEST_SECONDS);
        jobs.truncate(MAX_JOBS);
        jobs
    }

    fn beat_with(&mut self, jobs: &[RunningJob]) -> String {
        self.looks = 0;
        self.has_shown = !jobs.is_empty();
        // Text and numbers always have a JSON; a heartbeat would not be the place to die of one that has none.
        serde_json::to_string(jobs).unwrap_or_else(|_| "[]".to_owned())
    }
}

#[cfg(test)]
mod tests {
    use std::sync::{Arc, Mutex};

    use serde_json::{Value, json};

    use super::*;

    type Jobs = Arc<Mutex<Vec<RunningJob>>>;

    fn job(seconds: f64) -> RunningJob {
        serde_json::from_value(json!({"workflow_id": "a", "seconds": seconds})).unwrap()
    }

    fn scheduled() -> (ProgressSchedule, Jobs) {
        let jobs = Jobs::default();
        let seen = Arc::clone(&jobs);
        (
            ProgressSchedule::new(Box::new(move || seen.lock().unwrap().clone())),
            jobs,
        )
    }

    /// Which of the next looks end in a beat.
    fn beats(schedule: &mut ProgressSchedule, looks: usize) -> Vec<bool> {
        (0..looks).map(|_| schedule.look().is_some()).collect()
    }

    #[test]
    fn idle_workers_beat_at_every_fourth_look() {
        for jobs_in_hand in [vec![], vec![job(0.4)]] {
            let (mut schedule, jobs) = scheduled();
            *jobs.lock().unwrap() = jobs_in_hand;
            assert_eq!(schedule.look().as_deref(), Some("[]"), "the first beat came late");
            assert_eq!(
                beats(&mut schedule, 8),
                [false, false, false, true, false, false, false, true]
            );
        }
    }

    #[test]
    fn a_longer_job_is_told_at_every_look_until_it_is_gone() {
        let (mut schedule, jobs) = scheduled();
        assert_eq!(beats(&mut schedule, 2), [true, false]);
        *jobs.lock().unwrap() = vec![job(0.6)];
        let shown: Value = serde_json::from_str(&schedule.look().unwrap()).unwrap();
        assert_eq!(shown[0]["workflow_id"], "a");
        assert_eq!(beats(&mut schedule, 2), [true, true]);
        jobs.lock().unwrap().clear();
        assert_eq!(
            schedule.look().as_deref(),
            Some("[]"),
            "a job that ended stayed in the row"
        );
        assert_eq!(beats(&mut schedule, 4), [false, false, false, true]);
    }

    #[test]
    fn a_lost_beat_is_due_again_at_the_next_look() {
        let (mut schedule, _jobs) = scheduled();
        assert_eq!(beats(&mut schedule, 2), [true, false]);
        schedule.hurry();
        assert_eq!(beats(&mut schedule, 2), [true, false]);
    }

    #[test]
    fn a_job_that_stays_between_two_steps_stands_still() {
        let (mut schedule, jobs) = scheduled();
        let mut between = job(3.0);
        *jobs.lock().unwrap() = vec![between.clone()];
        beats(&mut schedule, 3);
        assert!(!schedule.doubts_room());
        between.step = Some("compute".to_owned());
        *jobs.lock().unwrap() = vec![between.clone()];
        beats(&mut schedule, 1);
        between.step = None;
        *jobs.lock().unwrap() = vec![between];
        beats(&mut schedule, 3);
        assert!(!schedule.doubts_room(), "a step in between was forgotten");
        beats(&mut schedule, 1);
        assert!(schedule.doubts_room());
    }

    #[test]
    fn a_row_never_tells_of_more_than_a_hundred_jobs() {
        let (mut schedule, jobs) = scheduled();
        *jobs.lock().unwrap() = (0..500).map(|_| job(1.0)).collect();
        let shown: Vec<RunningJob> = serde_json::from_str(&schedule.now()).unwrap();
        assert_eq!(shown.len(), 100);
    }
}
