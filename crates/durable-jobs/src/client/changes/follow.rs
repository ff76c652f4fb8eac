//! Questions and answers of a follower: a caller that asks again and again from where it was.

use std::collections::{BTreeSet, VecDeque};
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

/// A follower by other moments takes the place of one that has been silent for so long.
const SILENCE: Duration = Duration::from_secs(10);

/// So many marks are those of a quarter of an hour.
const MOST_MARKS: usize = 4_096;

/// The follower that the clones of a client share.
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
    /// The snapshot whose changes were delivered, where they are too many for the moment to say.
    base: Option<String>,
    /// At these times, transactions from these numbers on had written nothing.
    marks: Marks,
}

/// Times, each with a number from which on no transaction had written anything then.
#[derive(Clone, Default)]
struct Marks(VecDeque<(i64, i64)>);

/// The database's place in its history.
pub(super) struct DatabasePlace {
    pub(super) horizon: i64,
    /// The number after the last transaction that has ended.
    pub(super) next: i64,
    /// No transaction from this number on had written anything at `now_ms`.
    pub(super) unbegun: i64,
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
    /// The number of the first transaction that is asked for; the horizon's where it is absent.
    from: Option<i64>,
    /// The transactions from there on that are not asked for.
    delivered: Arc<[i64]>,
    /// As in [`Follow::base`].
    base: Option<String>,
    /// Changes that are dated before are not found.
    dated_since_ms: i64,
    /// True if what changed cannot be delivered, and is asked for to know what is read anew.
    is_anew: bool,
}

/// The part of an answer that is delivered.
pub(super) struct SettledChanges {
    pub(super) moment: Moment,
    pub(super) jobs: Vec<Job>,
    pub(super) is_cut: bool,
}

impl Question {
    /// The most rows of an answer: one more than are delivered.
    pub(super) const LIMIT: usize = MOST + 1;

    /// Settles what is asked after `since`, by a caller that may have asked before.
    pub(super) fn after(since: Option<Moment>, follow: Option<&Follow>, now_ms: i64) -> Self {
        let Some(since) = since else {
            return Self::start(now_ms, false);
        };
        if let Some(follow) = follow.filter(|follow| follow.last == since) {
            return Self {
                base: follow.base.clone(),
                // While a transaction stays open for long, what it wrote before is not looked for.
                dated_since_ms: since.begun_ms().max(since.ms - MARGIN_MS),
                ..Self::between(since)
            };
        }
        // A statement that looks back so far reads the whole table.
        if since.ahead.is_none() || !since.is_in_reach(now_ms) {
            return Self::start(now_ms, true);
        }
        Self::between(since)
    }

    /// Asks for what a follower missed that joins those who have heard of the rest.
    pub(super) fn between(since: Moment) -> Self {
        Self {
            from: Some(since.horizon),
            delivered: since.ahead.clone().unwrap_or_default(),
            base: None,
            dated_since_ms: since.begun_ms(),
            since: Some(since),
            is_anew: false,
        }
    }

    fn start(now_ms: i64, is_anew: bool) -> Self {
        Self {
            since: None,
            from: None,
            delivered: Arc::default(),
            base: None,
            dated_since_ms: now_ms,
            is_anew,
        }
    }

    /// Returns the question to ask instead, where a part of what a transaction did is dated before what was looked at.
    pub(super) fn instead(&self, seen: &Seen, follow: Option<&Follow>) -> Option<Self> {
        let since = self.since.as_ref().filter(|_| !self.is_anew)?;
        let Seen { place, jobs } = seen;
        let follow = follow.filter(|follow| follow.last == *since)?;
        let begun_ms = |number: i64| {
            follow
                .marks
                .before(number)
                .unwrap_or(i64::MIN)
                .max(since.begun_ms())
        };
        let is_moved = place.horizon != since.horizon;
        // Of what was open at the base, savepoints may have been taken for delivered.
        if self.base.is_some() && is_moved {
            return Some(Self::anew(since.clone(), begun_ms(place.horizon)));
        }
        let first = jobs.iter().map(|(number, _)| *number).min();
        let needed_ms = match first {
            _ if is_moved => since.begun_ms(),
            Some(number) => begun_ms(number),
            None => return None,
        };
        if needed_ms >= self.dated_since_ms {
            return None;
        }
        if place.now_ms - needed_ms > REACH_MS {
            return Some(Self::anew(since.clone(), begun_ms(place.horizon)));
        }
        Some(Self {
            dated_since_ms: needed_ms,
            base: self.base.clone(),
            ..Self::between(since.clone())
        })
    }

    /// Asks for all that is beyond the horizon of now, for a follower that is to read anew.
    fn anew(since: Moment, dated_since_ms: i64) -> Self {
        Self {
            since: Some(since),
            ..Self::start(dated_since_ms, true)
        }
    }

    /// As in [`ChangesQuery`](crate::database::workflow_rows::ChangesQuery).
    pub(super) fn from(&self) -> Option<i64> {
        self.from
    }

    pub(super) fn delivered(&self) -> &[i64] {
        &self.delivered
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

    /// Returns the changes between the moment that is asked for and `until`, for a follower that gets all after it with others.
    pub(super) fn missed(self, seen: Seen, follow: Option<&Follow>, until: Moment) -> SettledChanges {
        let Seen { place, jobs } = seen;
        let follow = follow.filter(|follow| follow.last == until);
        let (Some(since), Some(delivered)) = (self.since, until.ahead.clone()) else {
            return SettledChanges::cut(until);
        };
        let is_out = !since.is_in_reach(place.now_ms) || place.is_another_history(&since, follow);
        if is_out || jobs.len() > MOST {
            return SettledChanges::cut(until);
        }
        let is_delivered = |number: i64| number < until.horizon || delivered.binary_search(&number).is_ok();
        let jobs = jobs.into_iter().filter(|(number, _)| is_delivered(*number));
        SettledChanges {
            jobs: jobs.map(|(_, job)| job).collect(),
            moment: until,
            is_cut: false,
        }
    }

    /// Settles what is delivered, and what is remembered; nothing of a caller that asks in between.
    pub(super) fn answer(&self, seen: Seen, follow: Option<&Follow>) -> (SettledChanges, Option<Follow>) {
        // Otherwise a caller in between would replace the memory of the one who goes on.
        let is_other = follow.is_some_and(|follow| {
            self.since.as_ref() != Some(&follow.last) && follow.asked.elapsed() < SILENCE
        });
        let (answer, next) = self.answer_of(seen, follow);
        (answer, (!is_other).then_some(next))
    }

    fn answer_of(&self, seen: Seen, follow: Option<&Follow>) -> (SettledChanges, Follow) {
        let Seen { place, jobs } = seen;
        let live = follow.filter(|follow| self.since.as_ref() == Some(&follow.last));
        let goes_on = |since: &&Moment| !place.is_another_history(since, live);
        let since = self.since.as_ref().filter(goes_on);
        let is_new = self.is_anew || since.is_none();
        let mut marks = live
            .filter(|_| since.is_some())
            .map(|follow| follow.marks.clone());
        let marks = marks.get_or_insert_default();
        // Later than the moment before, also where the clock was put back a little.
        let ms = since.map_or(place.now_ms, |since| place.now_ms.max(since.ms + 1));
        let mut moment = Moment::new(place.horizon, ms, marks.begun_ms(&place, since));
        let stands = since.is_some_and(|since| since.horizon == place.horizon);
        if jobs.len() > MOST || self.base.is_some() && stands {
            moment.ahead = None;
        } else {
            // All that was seen is delivered, or read anew by a follower that learns of it.
            let delivered = self.delivered.iter().copied().filter(|_| !is_new);
            let delivered = delivered.chain(jobs.iter().map(|(number, _)| *number));
            let ahead: BTreeSet<i64> = delivered.filter(|number| *number >= place.horizon).collect();
            moment = moment.with_ahead(ahead.into_iter().collect());
        }
        let next = Follow {
            base: moment.ahead.is_none().then_some(place.snapshot),
            last: moment.clone(),
            session: place.session,
            asked: Instant::now(),
            marks: std::mem::take(marks),
        };
        if self.since.is_none() && !self.is_anew {
            return (SettledChanges::none(moment), next);
        }
        if is_new || jobs.len() > MOST {
            return (SettledChanges::cut(moment), next);
        }
        let answer = SettledChanges {
            jobs: jobs.into_iter().map(|(_, job)| job).collect(),
            ..SettledChanges::none(moment)
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
            // A server that goes on after a crash keeps the date of its start, but none of its sessions.
            || live.is_some_and(|follow| follow.session != self.session)
    }
}

impl Marks {
    /// Adds the present, and returns the latest time of which it is known that no transaction from the horizon on had written.
    fn begun_ms(&mut self, place: &DatabasePlace, since: Option<&Moment>) -> i64 {
        self.0.push_back((place.now_ms, place.unbegun));
        if self.0.len() > MOST_MARKS {
            self.0.pop_front();
        }
        let is_past = |mark: Option<&(i64, i64)>| mark.is_some_and(|(_, number)| *number <= place.horizon);
        // Nobody looks before the horizon again, so of the marks up to it the last one is enough.
        while is_past(self.0.get(1)) {
            self.0.pop_front();
        }
        let known_ms = since.map_or(place.now_ms - UNKNOWN_AGE_MS, Moment::begun_ms);
        self.before(place.horizon).map_or(known_ms, |ms| known_ms.max(ms))
    }

    /// Returns the latest of the times at which no transaction from this number on had written.
    fn before(&self, number: i64) -> Option<i64> {
        let later = self.0.iter().rev().find(|(_, unbegun)| *unbegun <= number);
        later.map(|(ms, _)| *ms)
    }
}

impl Moment {
    /// Tests whether all that changed between it and a later moment is known to a follower that has heard of that one.
    pub(super) fn is_delivered_before(&self, until: &Self) -> bool {
        let (Some(ahead), Some(delivered)) = (&self.ahead, &until.ahead) else {
            return false;
        };
        // A change that another server delivered here, and that it has not delivered there, would come again.
        let is_known = |number: &i64| *number < until.horizon || delivered.binary_search(number).is_ok();
        self <= until && ahead.iter().all(is_known)
    }

    /// Tests whether what changed since is looked for at all.
    pub(super) fn is_in_reach(&self, now_ms: i64) -> bool {
        now_ms - self.begun_ms() <= REACH_MS
    }
}

impl SettledChanges {
    /// An answer without changes.
    fn none(moment: Moment) -> Self {
        Self {
            moment,
            jobs: Vec::new(),
            is_cut: false,
        }
    }

    /// An answer to a follower that is to read anew.
    fn cut(moment: Moment) -> Self {
        Self {
            is_cut: true,
            ..Self::none(moment)
        }
    }
}
