//! A choice among jobs, as the parameters of a list or the filter of a bulk change.

use durable_jobs::record::{Cursor, Date, DateError, DetailFilter, Order};
use durable_jobs::{JobFilter, State};
use fibonacci_jobs::{Algorithm, IndexRange};
use serde::Deserialize;
use utoipa::{IntoParams, ToSchema};

use super::forms::{IndexBody, TagBody};
use crate::place::{FieldTypes, Params};
use crate::problem::Problem;

/// The names of a choice, for those who give another one.
pub(super) const NAMES: &str = "state, parked, workflow, algorithm, n, queue, executor, tag, batch, id_prefix, text, since, \
     until, ended_since and ended_until";

/// The fields of a choice in a body that may be more than a text.
pub(super) const FORMS: FieldTypes = FieldTypes {
    lists: &["state", "tag"],
    numbers: &["n", "since", "until", "ended_since", "ended_until"],
};

/// A choice among jobs; all that is given has to hold.
#[derive(Deserialize, IntoParams, ToSchema)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
#[schema(as = JobFilter)]
#[expect(dead_code, reason = "it describes what read takes")]
pub(super) struct FilterBody {
    /// Only these states, one by one or with commas between them: `queued`, `delayed`, `running`, `succeeded`, `failed`,
    /// `parked`, `cancelled`.
    #[param(required = false, value_type = Vec<String>)]
    #[schema(required = false)]
    state: TagBody,
    /// `true` for only those that were parked, as the state `parked`.
    #[param(required = false, pattern = "^true$")]
    #[schema(required = false, pattern = "^true$")]
    parked: String,
    /// Only jobs of this workflow, such as `fibonacci_workflow`.
    #[param(required = false)]
    #[schema(required = false)]
    workflow: String,
    /// Only this algorithm: `doubling`, `iterative`, `recursive`, `stepwise` or `giant`.
    #[param(required = false)]
    #[schema(required = false)]
    algorithm: String,
    /// Only this index, or one of `A..=B`, or of `A..B` without B.
    #[param(required = false, value_type = String)]
    #[schema(required = false)]
    n: IndexBody,
    /// Only jobs of this queue.
    #[param(required = false)]
    #[schema(required = false)]
    queue: String,
    /// Only jobs that this worker has or had last, by its id.
    #[param(required = false)]
    #[schema(required = false)]
    executor: String,
    /// Only jobs with this tag, or with all of several.
    #[param(required = false, value_type = Vec<String>)]
    #[schema(required = false)]
    tag: TagBody,
    /// Only jobs of this batch.
    #[param(required = false)]
    #[schema(required = false)]
    batch: String,
    /// Only jobs whose id begins so.
    #[param(required = false, min_length = 1)]
    #[schema(required = false, min_length = 1)]
    id_prefix: String,
    /// Only jobs with this text in their id, a tag, their batch or their request.
    #[param(required = false, min_length = 1)]
    #[schema(required = false, min_length = 1)]
    text: String,
    /// Only jobs that were submitted at this moment or later: `2026-12-24T18:00:00Z`, milliseconds since 1970-01-01 UTC, or
    /// so long ago, such as `2h`.
    #[param(required = false, value_type = String)]
    #[schema(required = false)]
    since: IndexBody,
    /// Only jobs that were submitted at this moment or earlier.
    #[param(required = false, value_type = String)]
    #[schema(required = false)]
    until: IndexBody,
    /// Only jobs that ended at this moment or later.
    #[param(required = false, value_type = String)]
    #[schema(required = false)]
    ended_since: IndexBody,
    /// Only jobs that ended at this moment or earlier.
    #[param(required = false, value_type = String)]
    #[schema(required = false)]
    ended_until: IndexBody,
}

/// Takes a choice from parameters; `now_ms` is the time of the database.
pub(super) fn take(params: &mut Params, now_ms: i64) -> Result<JobFilter, Problem> {
    let algorithm = params.read("algorithm", str::parse::<Algorithm>)?;
    let n = params.read("n", IndexRange::or_index)?;
    let moment = |text: &str| moment(text, now_ms);
    let details = [
        algorithm.map(|algorithm| DetailFilter::Is("algorithm".to_owned(), algorithm.name().into())),
        n.map(|range| DetailFilter::Within("n".to_owned(), range.indices())),
    ];
    Ok(JobFilter {
        states: states(params)?,
        id_prefix: params.read("id_prefix", some)?,
        text: params.read("text", some)?,
        workflow: params.take("workflow")?,
        executor_id: params.take("executor")?,
        batch: params.read("batch", str::parse)?,
        tags: all(params, "tag", str::parse)?,
        queue: params.take("queue")?,
        since_ms: params.read("since", moment)?,
        until_ms: params.read("until", moment)?,
        completed_since_ms: params.read("ended_since", moment)?,
        completed_until_ms: params.read("ended_until", moment)?,
        details: details.into_iter().flatten().collect(),
        ..JobFilter::default()
    })
}

/// Reads an order.
pub(super) fn order(text: &str) -> Result<Order, &'static str> {
    match text {
        "newest" => Ok(Order::NewestFirst),
        "oldest" => Ok(Order::OldestFirst),
        "last_ended" => Ok(Order::LastEndedFirst),
        "first_ended" => Ok(Order::FirstEndedFirst),
        _ => Err("not an order; give newest, oldest, last_ended or first_ended"),
    }
}

/// Takes the place where a list goes on, if it is one of its order.
pub(super) fn place(params: &mut Params, order: Order) -> Result<Option<Cursor>, Problem> {
    params.read("cursor", |text| {
        let cursor: Cursor = text.parse().map_err(|error| format!("{error}"))?;
        if cursor.is_within(order) {
            return Ok(cursor);
        }
        Err("a place of another order; give the sort of the list that named it, or no cursor".to_owned())
    })
}

/// Reads a text that means something: each id and each name has the empty one in it.
fn some(text: &str) -> Result<String, &'static str> {
    match text {
        "" => Err("it is empty, which means all jobs; give at least one character, or leave it out"),
        text => Ok(text.to_owned()),
    }
}

fn states(params: &mut Params) -> Result<Vec<State>, Problem> {
    let mut states = Vec::new();
    for given in params.take_all("state") {
        for name in given.split(',') {
            let known = State::ALL.into_iter().find(|state| state.name() == name);
            let names = State::ALL.map(State::name).join(", ");
            let refused = || params.refuse("state", format_args!("not a state; give some of {names}"), name);
            states.push(known.ok_or_else(refused)?);
        }
    }
    // Only `true`: `false` would look like a condition and mean none.
    let parked = params.read("parked", |text| match text {
        "true" => Ok(()),
        _ => Err("give true, or leave it out; the parameter state chooses all others"),
    })?;
    match (parked, states.is_empty()) {
        (Some(()), true) => Ok(vec![State::Parked]),
        (Some(()), false) => {
            Err(params.refuse("parked", "a state is given as well; give one of both", "true"))
        }
        _ => Ok(states),
    }
}

fn all<T, E: std::fmt::Display>(
    params: &mut Params,
    name: &str,
    read: impl Fn(&str) -> Result<T, E>,
) -> Result<Vec<T>, Problem> {
    let values = params.take_all(name);
    let read = values
        .iter()
        .map(|value| read(value).map_err(|error| params.refuse(name, error, value)));
    read.collect()
}

/// Reads a moment, in milliseconds since 1970.
pub(crate) fn moment(text: &str, now_ms: i64) -> Result<i64, DateError> {
    // Digits alone are milliseconds: a date has signs between them, and an age has a unit.
    match text.parse() {
        Ok(at_ms) => Ok(at_ms),
        Err(_) => text.parse().map(|date: Date| date.milliseconds(now_ms)),
    }
}
