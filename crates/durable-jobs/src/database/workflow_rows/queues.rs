//! The engine's table of queues, where its other tools see and change the same limits.
//!
//! It has no word for a paused queue. A paused one may have no job at once in the whole fleet: its `concurrency` is 0, or the
//! negative of a limit that somebody set before, which counts again when the queue is resumed.

/// Registers the queue `$1`, so that consoles list it; one that is there stays as it is.
pub(crate) const REGISTER_QUEUE: &str = "insert into dbos.queues (name, priority_enabled, polling_interval_sec, application_name) \
     values ($1, true, $2, $3) on conflict (name) do nothing";

/// The starts that count against the rate of the row `queue`, as the end of an SQL query.
///
/// As in the engine, a start counts as long as its row says so: not of a job that was cancelled, ran out of time or was given
/// back since, nor of one that is deleted. They are found by the index, which needs a bound of its column's type that stays the
/// same while the statement runs; another tool may have set a time that no such bound can hold.
macro_rules! counted_starts {
    () => {
        // 9e15 is beyond any date and below 2^53: it fits into a `bigint`, and a `double` holds it exactly.
        "from dbos.workflow_status where queue_name = queue.name and rate_limited = true \
             and started_at_epoch_ms > least(greatest( \
                 (extract(epoch from statement_timestamp()) - queue.rate_limit_period_sec) * 1000, 0), 9e15)::bigint"
    };
}

/// The starts that the rate of the row `queue` leaves now, as an SQL expression; null without a rate.
macro_rules! left_of_rate {
    () => {
        concat!(
            "case when queue.rate_limit_max is not null then queue.rate_limit_max - (select count(*) ",
            $crate::database::workflow_rows::queues::counted_starts!(),
            ") end"
        )
    };
}

/// The jobs that may run beside those that do, by the limit of the row `queue`, as an SQL expression; null without a limit.
macro_rules! left_of_concurrency {
    () => {
        "case when queue.concurrency is not null then queue.concurrency - \
             (select count(*) from dbos.workflow_status where queue_name = queue.name and status = 'PENDING') end"
    };
}

pub(super) use {counted_starts, left_of_concurrency, left_of_rate};

/// Reads the limits of the queue `$1`.
pub(crate) const QUEUE_LIMITS: &str = "select concurrency, rate_limit_max, rate_limit_period_sec \
     from dbos.queues where name = $1";

/// Ends the session of a process that stands still in its turn, which gives the turn to the next.
pub(crate) const BOUND_TURN: &str = "set local idle_in_transaction_session_timeout = '2s'";

/// Makes claims from the limited queue `$1` wait for each other, so that each counts what the ones before it took.
pub(crate) const LOCK_QUEUE: &str = "select name from dbos.queues where name = $1 for update";

/// Counts the jobs that may be claimed now from the queue `$1`, below `$2`, by its limits.
pub(crate) const ALLOWANCE: &str = concat!(
    "select coalesce(least($2::bigint, ",
    left_of_concurrency!(),
    ", ",
    left_of_rate!(),
    "), 0) from dbos.queues queue where name = $1"
);

/// Pauses the queue `$1`, which is registered for it.
pub(crate) const PAUSE_QUEUE: &str = "insert into dbos.queues as queue (name, concurrency, priority_enabled, application_name) \
         values ($1, 0, true, $2) \
     on conflict (name) do update set updated_at = (extract(epoch from now()) * 1000)::bigint, \
         concurrency = case when queue.concurrency > 0 then -queue.concurrency else coalesce(queue.concurrency, 0) end";

/// Resumes the queue `$1`, if it is paused.
pub(crate) const RESUME_QUEUE: &str = "update dbos.queues set updated_at = (extract(epoch from now()) * 1000)::bigint, \
         concurrency = nullif(-concurrency, 0) \
     where name = $1 and concurrency <= 0";

/// Limits the queue `$1`, which is registered for it, to `$2` starts in `$3` seconds; both absent for no limit.
pub(crate) const LIMIT_QUEUE: &str = "insert into dbos.queues as queue \
         (name, rate_limit_max, rate_limit_period_sec, priority_enabled, application_name) values ($1, $2, $3, true, $4) \
     on conflict (name) do update set updated_at = (extract(epoch from now()) * 1000)::bigint, \
         rate_limit_max = excluded.rate_limit_max, rate_limit_period_sec = excluded.rate_limit_period_sec";

/// Reads every queue but the engine's own, `$1`: those that are registered, have a worker, or have jobs that did not end.
pub(crate) const QUEUES: &str = "with open as ( \
         select queue_name as name, count(*) filter (where status <> 'PENDING') as waiting, \
             count(*) filter (where status = 'PENDING') as running \
         from dbos.workflow_status where status in ('ENQUEUED', 'PENDING', 'DELAYED') and queue_name is not null group by 1), \
     known as (select name from dbos.queues union select queue from abaci.presence union select name from open) \
     select name, concurrency, rate_limit_max, rate_limit_period_sec, \
         coalesce(waiting, 0) as waiting, coalesce(running, 0) as running \
     from known left join dbos.queues using (name) left join open using (name) where name <> $1 order by name";
