//! Questions and answers of one who asks again and again.

use std::collections::{HashMap, VecDeque};
use std::sync::Arc;
use std::time::{Duration, Instant};

use tokio::sync::{Mutex, MutexGuard};

use super::Moment;
use crate::record::{Job, JobId};

/// The most jobs of one answer, and the most that are remembered as told ahead.
const MOST: usize = 2_000;

/// The longest that a horizon stands before what is beyond it is told.
const PATIENCE: Duration = Duration::from_secs(1);

/// The dates of longer ago are not looked at.
const REACH_MS: i64 = 15 * 60 * 1000;

/// The age of the transactions that were open at the first question of all, as far as is known.
const UNKNOWN_AGE_MS: i64 = REACH_MS - 30_000;

/// The most that a change is dated before its transaction began to write: our own statements, and those of other clients.
const MARGIN_MS: i64 = 10_000;
const MARGIN_OF_CLIENTS_MS: i64 = 60_000;

/// A clock that is put back by less goes on.
const SETBACK_MS: i64 = 1_000;

/// One who asks by other moments takes the place of one who has been silent for so long.
const SILENCE: Duration = Duration::from_secs(10);

/// So many marks are those of a quarter of an hour.
const MOST_MARKS: usize = 4_096;

/// The one who asks again and again, shared by the clones of a client.
#[derive(Clone, Default)]
pub(in crate::client) struct Followed(Arc<Mutex<Option<Follow>>>);

impl Followed {
    pub(super) async fn lock(&self) -> MutexGuard<'_, Option<Follow>> {
        self.0.lock().await
    }
}

/// The memory of answers, up to the last.
#[derive(Clone)]
pub(super) struct Follow {
    last: Moment,
    session: i32,
    asked: Instant,
    /// Since when an open transaction has kept the horizon where it is.
    standing: Instant,
    /// The database as it was when jobs were last told ahead.
    base: Option<String>,
    ahead: Ahead,
    /// At these times, transactions from these numbers on had not begun.
    marks: VecDeque<(i64, i64)>,
}

/// The changes that were told though the horizon is not beyond them.
#[derive(Clone, Default)]
struct Ahead {
    told: HashMap<JobId, i64>,
    /// True if there were too many to remember.
    is_forgotten: bool,
}

/// The database's place in its history.
pub(super) struct Place {
    pub(super) horizon: i64,
    /// The number of the next transaction.
    pub(super) next: i64,
    pub(super) snapshot: String,
    pub(super) now_ms: i64,
    pub(super) server_start_ms: i64,
    pub(super) session: i32,
}

/// An answer of the database: its place, and jobs with the numbers of the transactions that changed them.
pub(super) struct Seen {
    pub(super) place: Place,
    pub(super) jobs: Vec<(i64, Job)>,
}

/// One question.
pub(super) enum Question {
    /// For the present moment.
    Start,
    /// For the present moment, by one whose own is out of reach.
    StartAnew,
    /// For what is between two horizons, and the number of jobs that were told ahead.
    Between(Moment, usize),
    /// For what was committed since the snapshot, all of which is beyond the horizon; dated since then; and the same number.
    Beyond(Moment, String, i64, usize),
}

/// The part of it that is told.
pub(super) struct Answer {
    pub(super) moment: Moment,
    pub(super) jobs: Vec<Job>,
    pub(super) is_cut: bool,
}

impl Question {
    /// Settles what is asked after `since`, by one who may have asked before.
    pub(super) fn after(since: Option<Moment>, follow: Option<&Follow>, now_ms: i64) -> Self {
        let Some(since) = since else {
            return Self::Start;
        };
        let Some(follow) = follow.filter(|follow| follow.last == since) else {
            // A statement that looks back so far reads the whole table.
            return if since.is_in_reach(now_ms) {
                Self::Between(since, 0)
            } else {
                Self::StartAnew
            };
        };
        let told = follow.ahead.told.len();
        if follow.standing.elapsed() < PATIENCE {
            return Self::Between(since, told);
        }
        if let Some(base) = &follow.base {
            return Self::Beyond(since, base.clone(), since.ms, told);
        }
        // All from the horizon on, of which some may have been told ahead of an earlier one.
        let nothing = format!("{0}:{0}:", since.horizon);
        Self::Beyond(since, nothing, since.begun_ms(), told)
    }

    /// Asks for what one missed who joins those who have heard of the rest.
    pub(super) fn between(since: Moment) -> Self {
        Self::Between(since, 0)
    }

    /// Settles what one missed who hears of everything after `until`.
    pub(super) fn missed(&self, seen: Seen, follow: Option<&Follow>, until: Moment) -> Answer {
        let since = self.since().unwrap_or(until);
        let follow = follow.filter(|follow| follow.last == until);
        // What was told ahead is beyond the horizon, and is told to nobody again.
        let is_told = since > until
            || follow.is_none_or(|follow| !follow.ahead.told.is_empty() || follow.ahead.is_forgotten);
        if is_told || !since.is_in_reach(seen.place.now_ms) || seen.place.is_another_history(since, follow) {
            return Answer::cut(until, true);
        }
        if seen.jobs.len() > MOST {
            return Answer::cut(until, true);
        }
        let jobs = seen
            .jobs
            .into_iter()
            .filter(|(number, _)| *number < until.horizon);
        Answer::with(until, jobs.map(|(_, job)| job).collect())
    }

    /// The number of the first transaction that is asked for.
    pub(super) fn from(&self) -> i64 {
        self.since().map_or(i64::MAX, |since| since.horizon)
    }

    pub(super) fn is_ahead(&self) -> bool {
        matches!(self, Self::Beyond(..))
    }

    pub(super) fn base(&self) -> Option<&str> {
        match self {
            Self::Beyond(_, base, ..) => Some(base),
            Self::Start | Self::StartAnew | Self::Between(..) => None,
        }
    }

    pub(super) fn limit(&self) -> i64 {
        let told = match self {
            Self::Between(_, told) | Self::Beyond(.., told) => *told,
            Self::Start | Self::StartAnew => 0,
        };
        i64::try_from(MOST + 1 + told).unwrap_or(i64::MAX)
    }

    /// The date from which changes are looked for.
    pub(super) fn dated_since_ms(&self) -> i64 {
        match self {
            Self::Start | Self::StartAnew => i64::MAX,
            Self::Between(since, _) => since.begun_ms() - MARGIN_MS,
            Self::Beyond(_, _, dated_ms, _) => dated_ms - MARGIN_MS,
        }
    }

    /// The same for submissions.
    pub(super) fn created_since_ms(&self) -> i64 {
        self.dated_since_ms()
            .saturating_sub(MARGIN_OF_CLIENTS_MS - MARGIN_MS)
    }

    fn since(&self) -> Option<Moment> {
        match self {
            Self::Start | Self::StartAnew => None,
            Self::Between(since, _) | Self::Beyond(since, ..) => Some(*since),
        }
    }

    /// Settles what is told, and what is remembered; nothing of one who asks in between.
    pub(super) fn answer(&self, seen: Seen, follow: Option<&Follow>) -> (Answer, Option<Follow>) {
        let is_other = follow
            .is_some_and(|follow| self.since() != Some(follow.last) && follow.asked.elapsed() < SILENCE);
        let (answer, next) = self.told(seen, follow);
        (answer, (!is_other).then_some(next))
    }

    fn told(&self, seen: Seen, follow: Option<&Follow>) -> (Answer, Follow) {
        let first = Follow::new(Moment::first(&seen.place), &seen.place);
        let Some(since) = self.since() else {
            return (Answer::cut(first.last, matches!(self, Self::StartAnew)), first);
        };
        let live = follow.filter(|follow| follow.last == since);
        if seen.place.is_another_history(since, live) {
            return (Answer::cut(first.last, true), first);
        }
        let mut next = live.cloned().unwrap_or(first);
        let answer = if self.is_ahead() {
            next.go_ahead(since, seen)
        } else {
            next.go_on(since, seen, live.is_some())
        };
        next.last = answer.moment;
        (answer, next)
    }
}

impl Place {
    /// Tests whether numbers and times of before mean nothing any more. A server that crashed may give numbers out again.
    fn is_another_history(&self, since: Moment, live: Option<&Follow>) -> bool {
        self.server_start_ms > since.ms
            || self.next < since.horizon
            || self.now_ms < since.ms - SETBACK_MS
            || live.is_some_and(|follow| follow.session != self.session)
    }
}

impl Moment {
    /// Tests whether what changed since is looked for at all.
    pub(super) fn is_in_reach(&self, now_ms: i64) -> bool {
        now_ms - self.begun_ms() <= REACH_MS
    }

    /// The present moment, for one who knows of none before.
    fn first(place: &Place) -> Self {
        let begun_ms = if place.horizon == place.next {
            place.now_ms
        } else {
            place.now_ms - UNKNOWN_AGE_MS
        };
        Self::new(place.horizon, place.now_ms, begun_ms)
    }
}

impl Answer {
    /// An answer without jobs.
    fn cut(moment: Moment, is_cut: bool) -> Self {
        Self {
            moment,
            jobs: Vec::new(),
            is_cut,
        }
    }

    /// An answer with these jobs, unless they are too many.
    fn with(moment: Moment, jobs: Vec<Job>) -> Self {
        if jobs.len() > MOST {
            return Self::cut(moment, true);
        }
        Self {
            moment,
            jobs,
            is_cut: false,
        }
    }
}

impl Follow {
    fn new(last: Moment, place: &Place) -> Self {
        let now = Instant::now();
        Self {
            last,
            session: place.session,
            asked: now,
            standing: now,
            base: None,
            ahead: Ahead::default(),
            marks: VecDeque::from([(place.now_ms, place.next)]),
        }
    }

    /// Tells what is between the horizons, but for what was told ahead.
    fn go_on(&mut self, since: Moment, seen: Seen, is_live: bool) -> Answer {
        let Seen { place, jobs } = seen;
        let stands = place.horizon == since.horizon;
        let begun_ms = self.begun_ms(&place, since);
        let moment = Moment::new(place.horizon, place.now_ms.max(since.ms + 1), begun_ms);
        self.note(&place, stands);
        self.base = None;
        if stands && is_live {
            return Answer::cut(moment, false);
        }
        let answer = if !since.is_in_reach(place.now_ms) || self.ahead.is_forgotten {
            Answer::cut(moment, true)
        } else {
            let jobs = self.ahead.untold(jobs);
            Answer::with(moment, jobs.into_iter().map(|(_, job)| job).collect())
        };
        self.ahead.settle(place.horizon);
        answer
    }

    /// Tells what is beyond the horizon, and leaves the moment behind.
    fn go_ahead(&mut self, since: Moment, seen: Seen) -> Answer {
        let Seen { place, jobs } = seen;
        let stands = place.horizon == since.horizon;
        let moment = Moment::new(since.horizon, place.now_ms.max(since.ms + 1), since.begun_ms());
        self.note(&place, stands);
        self.base = stands.then_some(place.snapshot);
        let jobs = self.ahead.untold(jobs);
        self.ahead.remember(&jobs);
        Answer::with(moment, jobs.into_iter().map(|(_, job)| job).collect())
    }

    fn note(&mut self, place: &Place, stands: bool) {
        self.asked = Instant::now();
        // Where nothing is open, nothing is kept back, and what comes next is told in its turn.
        if !stands || place.horizon == place.next {
            self.standing = self.asked;
        }
        self.marks.push_back((place.now_ms, place.next));
        if self.marks.len() > MOST_MARKS {
            self.marks.pop_front();
        }
    }

    /// The latest time of which it is known that no transaction from the horizon on had begun.
    fn begun_ms(&mut self, place: &Place, since: Moment) -> i64 {
        if place.horizon == place.next {
            return place.now_ms;
        }
        while self.marks.get(1).is_some_and(|(_, next)| *next <= place.horizon) {
            self.marks.pop_front();
        }
        let mark = self.marks.front().filter(|(_, next)| *next <= place.horizon);
        mark.map_or(since.begun_ms(), |(ms, _)| since.begun_ms().max(*ms))
    }
}

impl Ahead {
    fn remember(&mut self, jobs: &[(i64, Job)]) {
        let told = jobs
            .iter()
            .map(|(number, job)| (job.workflow_id.clone(), *number));
        self.told.extend(told);
        if self.told.len() > MOST {
            self.told.clear();
            self.is_forgotten = true;
        }
    }

    /// Leaves those out that were told ahead.
    fn untold(&self, mut jobs: Vec<(i64, Job)>) -> Vec<(i64, Job)> {
        jobs.retain(|(number, job)| self.told.get(&job.workflow_id) != Some(number));
        jobs
    }

    /// Forgets what the horizon has passed.
    fn settle(&mut self, horizon: i64) {
        self.told.retain(|_, number| *number >= horizon);
        self.is_forgotten = false;
    }
}
