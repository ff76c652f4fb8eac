//! Questions and answers of one who asks again and again.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::{Duration, Instant};

use tokio::sync::{Mutex, MutexGuard};

use super::Moment;
use crate::record::Job;

/// The most jobs of one answer.
const MOST: usize = 2_000;

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
    /// The snapshot whose changes were told, where they are too many for the moment to say.
    base: Option<String>,
    /// At these times, transactions from these numbers on had not begun.
    marks: VecDeque<(i64, i64)>,
}

/// The database's place in its history.
pub(super) struct DatabasePlace {
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
    pub(super) place: DatabasePlace,
    pub(super) jobs: Vec<(i64, Job)>,
}

/// One question.
pub(super) struct Question {
    /// The moment after which changes are asked for; for the present one alone where it is absent.
    since: Option<Moment>,
    /// As in [`Follow::base`].
    base: Option<String>,
    /// Changes that are dated before are not found.
    dated_since_ms: i64,
    /// True if the moment that was given is out of reach.
    is_anew: bool,
}

/// The part of an answer that is told.
pub(super) struct SettledChanges {
    pub(super) moment: Moment,
    pub(super) jobs: Vec<Job>,
    pub(super) is_cut: bool,
}

impl Question {
    /// The most rows of an answer: one more than are told.
    pub(super) const LIMIT: usize = MOST + 1;

    /// Settles what is asked after `since`, by one who may have asked before.
    pub(super) fn after(since: Option<Moment>, follow: Option<&Follow>, now_ms: i64) -> Self {
        let Some(since) = since else {
            return Self::start(now_ms, false);
        };
        if let Some(follow) = follow.filter(|follow| follow.last == since) {
            return Self {
                base: follow.base.clone(),
                // While a transaction stays open for long, what it wrote before is not looked for.
                dated_since_ms: since.begun_ms().max(since.ms - MARGIN_MS),
                since: Some(since),
                is_anew: false,
            };
        }
        // A statement that looks back so far reads the whole table.
        if since.ahead.is_none() || !since.is_in_reach(now_ms) {
            return Self::start(now_ms, true);
        }
        Self::between(since)
    }

    /// Asks for what one missed who joins those who have heard of the rest.
    pub(super) fn between(since: Moment) -> Self {
        Self {
            base: None,
            dated_since_ms: since.begun_ms(),
            since: Some(since),
            is_anew: false,
        }
    }

    fn start(now_ms: i64, is_anew: bool) -> Self {
        Self {
            since: None,
            base: None,
            dated_since_ms: now_ms,
            is_anew,
        }
    }

    /// Returns the question to ask instead, where a transaction has ended that wrote before the dates that were looked at.
    pub(super) fn instead(&self, place: &DatabasePlace) -> Option<Self> {
        let since = self.since.as_ref()?;
        let is_enough = place.horizon == since.horizon || self.dated_since_ms == since.begun_ms();
        if is_enough || self.base.is_some() {
            return None;
        }
        if since.is_in_reach(place.now_ms) {
            return Some(Self::between(since.clone()));
        }
        Some(Self::start(place.now_ms, true))
    }

    /// The number of the first transaction that is asked for; the horizon's where it is absent.
    pub(super) fn from(&self) -> Option<i64> {
        self.since.as_ref().map(|since| since.horizon)
    }

    /// The transactions from there on that are not asked for.
    pub(super) fn told(&self) -> &[i64] {
        let since = self.since.as_ref();
        since.and_then(|since| since.ahead.as_deref()).unwrap_or_default()
    }

    pub(super) fn base(&self) -> Option<&str> {
        self.base.as_deref()
    }

    /// The date from which changes are looked for.
    pub(super) fn dated_since_ms(&self) -> i64 {
        self.dated_since_ms - MARGIN_MS
    }

    /// The same for submissions.
    pub(super) fn created_since_ms(&self) -> i64 {
        self.dated_since_ms - MARGIN_OF_CLIENTS_MS
    }

    /// Settles what one missed who hears of everything after `until`.
    pub(super) fn missed(self, seen: Seen, follow: Option<&Follow>, until: Moment) -> SettledChanges {
        let Seen { place, jobs } = seen;
        let follow = follow.filter(|follow| follow.last == until);
        let (Some(since), Some(told)) = (self.since, until.ahead.clone()) else {
            return SettledChanges::cut(until);
        };
        let is_known = since.ahead.is_some() && since <= until && since.is_in_reach(place.now_ms);
        if !is_known || jobs.len() > MOST || place.is_another_history(&since, follow) {
            return SettledChanges::cut(until);
        }
        let is_told = |number: i64| number < until.horizon || told.binary_search(&number).is_ok();
        let jobs = jobs.into_iter().filter(|(number, _)| is_told(*number));
        SettledChanges {
            jobs: jobs.map(|(_, job)| job).collect(),
            moment: until,
            is_cut: false,
        }
    }

    /// Settles what is told, and what is remembered; nothing of one who asks in between.
    pub(super) fn answer(&self, seen: Seen, follow: Option<&Follow>) -> (SettledChanges, Option<Follow>) {
        let is_other = follow.is_some_and(|follow| {
            self.since.as_ref() != Some(&follow.last) && follow.asked.elapsed() < SILENCE
        });
        let (answer, next) = self.told_of(seen, follow);
        (answer, (!is_other).then_some(next))
    }

    fn told_of(&self, seen: Seen, follow: Option<&Follow>) -> (SettledChanges, Follow) {
        let Seen { place, jobs } = seen;
        let live = follow.filter(|follow| self.since.as_ref() == Some(&follow.last));
        let goes_on = |since: &&Moment| !place.is_another_history(since, live);
        let since = self.since.as_ref().filter(goes_on);
        let stands = since.is_some_and(|since| since.horizon == place.horizon);
        // Whether a part of what the base sees was written within a transaction that was open then is not known.
        let is_forgotten = self.base.is_some() && !stands;
        let is_cut =
            self.is_anew || self.since.is_some() && (since.is_none() || is_forgotten || jobs.len() > MOST);
        // All that was seen is told, or read anew by whoever is told so.
        let mut ahead: Vec<i64> = self.told().iter().copied().filter(|_| since.is_some()).collect();
        ahead.extend(jobs.iter().map(|(number, _)| *number));
        ahead.retain(|number| *number >= place.horizon);
        ahead.sort_unstable();
        ahead.dedup();
        let marks = live
            .filter(|_| since.is_some())
            .map(|follow| follow.marks.clone());
        let mut marks = marks.unwrap_or_default();
        marks.push_back((place.now_ms, place.next));
        if marks.len() > MOST_MARKS {
            marks.pop_front();
        }
        let begun_ms = place.begun_ms(&mut marks, since);
        let ms = since.map_or(place.now_ms, |since| place.now_ms.max(since.ms + 1));
        let mut moment = Moment::new(place.horizon, ms, begun_ms);
        if self.base.is_some() && stands {
            moment.ahead = None;
        } else {
            moment = moment.with_ahead(ahead);
        }
        let next = Follow {
            base: moment.ahead.is_none().then_some(place.snapshot),
            last: moment.clone(),
            session: place.session,
            asked: Instant::now(),
            marks,
        };
        if is_cut {
            return (SettledChanges::cut(moment), next);
        }
        let jobs = jobs.into_iter().filter(|_| since.is_some());
        let answer = SettledChanges {
            moment,
            jobs: jobs.map(|(_, job)| job).collect(),
            is_cut,
        };
        (answer, next)
    }
}

impl DatabasePlace {
    /// Tests whether numbers and times of before mean nothing any more. A server that crashed may give numbers out again.
    fn is_another_history(&self, since: &Moment, live: Option<&Follow>) -> bool {
        self.server_start_ms > since.ms
            || self.next < since.horizon
            || self.now_ms < since.ms - SETBACK_MS
            || live.is_some_and(|follow| follow.session != self.session)
    }

    /// The latest time of which it is known that no transaction from the horizon on had begun.
    fn begun_ms(&self, marks: &mut VecDeque<(i64, i64)>, since: Option<&Moment>) -> i64 {
        if self.horizon == self.next {
            return self.now_ms;
        }
        while marks.get(1).is_some_and(|(_, next)| *next <= self.horizon) {
            marks.pop_front();
        }
        let mark = marks.front().filter(|(_, next)| *next <= self.horizon);
        let known_ms = since.map_or(self.now_ms - UNKNOWN_AGE_MS, Moment::begun_ms);
        mark.map_or(known_ms, |(ms, _)| known_ms.max(*ms))
    }
}

impl Moment {
    /// Tests whether what changed since is looked for at all.
    pub(super) fn is_in_reach(&self, now_ms: i64) -> bool {
        now_ms - self.begun_ms() <= REACH_MS
    }
}

impl SettledChanges {
    /// An answer to one who is to read anew.
    fn cut(moment: Moment) -> Self {
        Self {
            moment,
            jobs: Vec::new(),
            is_cut: true,
        }
    }
}
