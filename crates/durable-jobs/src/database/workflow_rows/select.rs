//! Jobs as they are chosen and shown.

use sqlx::{Postgres, QueryBuilder};

use crate::database::input;
use crate::record::{APPLICATION, Attributes, Cursor, JobFilter, Order, State};

/// The queue of a row that ended and has left it.
macro_rules! former_queue {
    () => {
        "(select former.queue_name from abaci.former_queues former where former.workflow_uuid = job.workflow_uuid)"
    };
}

/// Reads all of a row that is shown, but for an input that is too long to be one.
macro_rules! columns {
    () => {
        concat!(
            "select workflow_uuid, status, concat_ws('.', class_name, config_name, name) as workflow, \
             case when octet_length(",
            $crate::database::input!(),
            ") <= 65536 then ",
            $crate::database::input!(),
            " end as input, nullif(case when coalesce(queue_name, '') in ('', '_dbos_internal_queue') \
                 and status not in ('ENQUEUED', 'DELAYED', 'PENDING') then coalesce(",
            $crate::database::workflow_rows::select::former_queue!(),
            ", queue_name) else queue_name end, '') as queue, \
             executor_id, application_version, priority, attributes::text as attributes, \
             coalesce(recovery_attempts, 0) as attempts, created_at, started_at_epoch_ms, completed_at, delay_until_epoch_ms, \
             case when status = 'ERROR' then error end as error"
        )
    };
}

pub(super) use {columns, former_queue};

const FROM: &str = " from dbos.workflow_status job";

/// One row with its outcome and the number of its steps.
pub(crate) const JOB: &str = concat!(
    columns!(),
    ", output, (select count(*) from dbos.operation_outputs step where step.workflow_uuid = job.workflow_uuid) as steps from dbos.workflow_status job where workflow_uuid = $1"
);

/// For each of the texts `$1` the ids that begin so, two at most; read in one pass over the table, since no index has
/// beginnings. Where one of them is that of ten thousand jobs, others may be missing.
pub(crate) const IDS_LIKE: &str = "with near as materialized (select workflow_uuid from dbos.workflow_status \
         where workflow_uuid ^@ any($1) and (application_name is null or application_name = $2) limit 10000) \
     select given.prefix, found.workflow_uuid from unnest($1::text[]) as given (prefix), \
     lateral (select workflow_uuid from near where starts_with(workflow_uuid, given.prefix) limit 2) as found";

/// Asks for up to `limit` rows of those that are meant, from the filter's place on.
pub(crate) fn page(filter: &JobFilter, limit: i64) -> QueryBuilder<Postgres> {
    let mut query = QueryBuilder::new(columns!());
    query.push(FROM);
    restrict(&mut query, filter);
    // The id makes the order total: otherwise a page could repeat or leave out jobs of one date.
    query.push(match filter.order {
        Order::NewestFirst => " order by created_at desc, workflow_uuid desc limit ",
        Order::OldestFirst => " order by created_at, workflow_uuid limit ",
        Order::LastEndedFirst => " order by completed_at desc, workflow_uuid desc limit ",
        Order::FirstEndedFirst => " order by completed_at, workflow_uuid limit ",
    });
    query.push_bind(limit);
    query
}

/// Counts the rows that are meant, whatever their details, up to a number.
pub(crate) fn count_up_to(filter: &JobFilter, most: i64) -> QueryBuilder<Postgres> {
    let mut query = QueryBuilder::new("select count(*) from (select 1");
    query.push(FROM);
    restrict(&mut query, filter);
    query.push(" limit ").push_bind(most).push(") as meant");
    query
}

/// Asks for the number of the rows that are meant, whatever their details, and when the last of them was submitted.
pub(crate) fn number_and_end(filter: &JobFilter) -> QueryBuilder<Postgres> {
    let mut query = QueryBuilder::new("select count(*), max(created_at)");
    query.push(FROM);
    restrict(&mut query, filter);
    query
}

/// Asks when up to `most` of the rows that are meant were submitted: how many there are, the first date and the last.
pub(crate) fn dates(filter: &JobFilter, most: i64) -> QueryBuilder<Postgres> {
    let mut query =
        QueryBuilder::new("select count(*), min(created_at), max(created_at) from (select created_at");
    query.push(FROM);
    restrict(&mut query, filter);
    query.push(" limit ").push_bind(most).push(") as meant");
    query
}

/// Makes the statements of a transaction use the indexes that tags, states and dates have. The planner, which takes what is
/// meant to be spread evenly over all rows, rather reads the table from its beginning until it has as many as are asked for.
pub(crate) const BY_INDEX: &str = "set local enable_seqscan = off; set local jit = off";

fn restrict(query: &mut QueryBuilder<Postgres>, filter: &JobFilter) {
    if filter.ids.is_empty() {
        query.push(" where (application_name is null or application_name = ");
        query.push_bind(APPLICATION).push(")");
    } else {
        let ids: Vec<String> = filter.ids.iter().map(ToString::to_string).collect();
        query.push(" where workflow_uuid = any(").push_bind(ids).push(")");
    }
    if !filter.states.is_empty() {
        let states: Vec<&str> = filter.states.iter().map(|state| condition(*state)).collect();
        query.push(format!(" and ({})", states.join(" or ")));
    }
    if let Some(prefix) = &filter.id_prefix {
        query.push(" and starts_with(workflow_uuid, ");
        query.push_bind(prefix.clone()).push(")");
    }
    if let Some(attributes) = Attributes::json(&filter.tags, filter.batch.as_ref()) {
        query.push(" and attributes @> ");
        query.push_bind(attributes).push("::jsonb");
    }
    if let Some(queue) = &filter.queue {
        restrict_to_queue(query, queue);
    }
    if let Some(since) = filter.since_ms {
        query.push(" and created_at >= ").push_bind(since);
    }
    if let Some(until) = filter.until_ms {
        query.push(" and created_at <= ").push_bind(until);
    }
    restrict_to_run(query, filter);
    if let Some(text) = &filter.text {
        restrict_to_text(query, text);
    }
    if filter.order.is_by_end() {
        query.push(" and completed_at is not null");
    }
    if let Some(cursor) = &filter.after {
        restrict_to_rest(query, cursor, filter.order);
    }
}

/// Restricts to what ran, where, and when it ended.
fn restrict_to_run(query: &mut QueryBuilder<Postgres>, filter: &JobFilter) {
    if let Some(workflow) = &filter.workflow {
        query.push(" and concat_ws('.', class_name, config_name, name) = ");
        query.push_bind(workflow.clone());
    }
    if let Some(executor_id) = &filter.executor_id {
        query.push(" and executor_id = ").push_bind(executor_id.clone());
    }
    if let Some(since) = filter.completed_since_ms {
        query.push(" and completed_at >= ").push_bind(since);
    }
    if let Some(until) = filter.completed_until_ms {
        query.push(" and completed_at <= ").push_bind(until);
    }
}

/// Leaves few but the rows in which a text is where it counts: the names in attributes and inputs are no values.
fn restrict_to_text(query: &mut QueryBuilder<Postgres>, text: &str) {
    query
        .push(" and (strpos(workflow_uuid, ")
        .push_bind(text.to_owned());
    query
        .push(") > 0 or strpos(attributes::text, ")
        .push_bind(text.to_owned());
    query.push(concat!(
        ") > 0 or octet_length(",
        input!(),
        ") <= 65536 and strpos(",
        input!(),
        ", "
    ));
    query.push_bind(text.to_owned()).push(") > 0)");
}

/// A job that ended may have left its queue, which clears the column.
fn restrict_to_queue(query: &mut QueryBuilder<Postgres>, queue: &str) {
    query.push(" and (queue_name = ").push_bind(queue.to_owned());
    query.push(concat!(
        " or coalesce(queue_name, '') in ('', '_dbos_internal_queue') \
         and status not in ('ENQUEUED', 'DELAYED', 'PENDING') and ",
        former_queue!(),
        " = "
    ));
    query.push_bind(queue.to_owned()).push(")");
}

fn restrict_to_rest(query: &mut QueryBuilder<Postgres>, cursor: &Cursor, order: Order) {
    // The index knows the date alone.
    let (date, both) = match order {
        Order::NewestFirst => (" and created_at <= ", " and (created_at, workflow_uuid) < ("),
        Order::OldestFirst => (" and created_at >= ", " and (created_at, workflow_uuid) > ("),
        Order::LastEndedFirst => (" and completed_at <= ", " and (completed_at, workflow_uuid) < ("),
        Order::FirstEndedFirst => (" and completed_at >= ", " and (completed_at, workflow_uuid) > ("),
    };
    query.push(date).push_bind(cursor.date_ms);
    query.push(both).push_bind(cursor.date_ms);
    query
        .push(", ")
        .push_bind(cursor.id.as_str().to_owned())
        .push(")");
}

/// The condition of a state, in words by which the engine's partial indexes are found.
///
/// A failure says itself that its job was parked; a text in it would have its quotes escaped.
fn condition(state: State) -> &'static str {
    match state {
        State::Queued => "status = 'ENQUEUED'",
        State::Delayed => "status = 'DELAYED'",
        State::Running => "status = 'PENDING'",
        State::Succeeded => "status = 'SUCCESS'",
        // `is not true` keeps a failure without a text as well, for which the match is null.
        State::Failed => r#"status = 'ERROR' and (error ~ '"kind" *: *"parked"') is not true"#,
        State::Parked => {
            r#"(status = 'MAX_RECOVERY_ATTEMPTS_EXCEEDED' or status = 'ERROR' and error ~ '"kind" *: *"parked"')"#
        }
        State::Cancelled => "status = 'CANCELLED'",
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::record::ENGINE_QUEUE;

    #[test]
    fn the_engines_queue_has_the_name_in_the_statements() {
        assert!(JOB.contains(ENGINE_QUEUE));
    }
}
