//! Rows that changed since a moment.

use super::select::{BY_INDEX, columns};
use crate::record::APPLICATION;

/// A number from which on no transaction has written anything: after all that have ended, and after all that hold their own lock,
/// since a snapshot does not name those that began after the last one which has ended. It is read before the snapshot is taken.
/// `pg_locks` has the lower 32 bits of a number alone, so a distance of half their range or more lies before `next`.
// An `xid` has no cast to a number, so it goes through text here and below.
const UNBEGUN: &str = "select next + coalesce(max(distance) + 1, 0) as unbegun \
     from (select pg_snapshot_xmax(pg_current_snapshot())::text::bigint as next) as place left join lateral ( \
         select mod(mod(transactionid::text::bigint - next, 4294967296) + 4294967296, 4294967296) as distance \
         from pg_locks where locktype = 'transactionid' and granted) as locks on distance < 2147483648 \
     group by next";

/// A question for rows that changed.
pub(crate) struct ChangesQuery<'a> {
    /// Dates of submissions from here on, which other clients set by their own clocks.
    pub(crate) created_since_ms: i64,
    /// Other dates from here on.
    pub(crate) dated_since_ms: i64,
    /// The number of the first transaction; that of the first one that has not ended where it is absent.
    pub(crate) from: Option<i64>,
    /// The transactions from there on that are not asked for, or a snapshot that has seen what is not asked for.
    pub(crate) delivered: &'a [i64],
    pub(crate) seen_by: Option<&'a str>,
    pub(crate) limit: usize,
}

impl ChangesQuery<'_> {
    /// Reads [`UNBEGUN`], then where the database stands, and up to `limit` of the rows that transactions from the number `from` on
    /// have changed, in the order of these; one row without a job where there is none.
    ///
    /// No index knows the transactions: rows are found by the dates that every change sets.
    /// The last of the four conditions is that of the index `abaci_changed_otherwise`, word by word.
    /// A row has the lower 32 bits of its transaction's number: the upper ones are those of `next`, or one less where the result
    /// would not be given out yet.
    ///
    /// Settings and question go to the server as one text, which is one transaction and one round trip, and takes no parameters.
    pub(crate) fn text(&self) -> String {
        let Self {
            created_since_ms,
            dated_since_ms,
            from,
            delivered,
            seen_by,
            limit,
        } = self;
        let from = from.map_or_else(|| "horizon".to_owned(), |from| format!("'{from}'::bigint"));
        let undelivered = seen_by.map_or_else(|| is_none_of(delivered), is_unseen_by);
        format!(
            concat!(
                "{by_index}; {unbegun}; with place as materialized ( \
                    select pg_snapshot_xmin(snapshot)::text::bigint as horizon, pg_snapshot_xmax(snapshot)::text::bigint as next, \
                        snapshot::text as snapshot, (extract(epoch from statement_timestamp()) * 1000)::bigint as now_ms, \
                        (extract(epoch from pg_postmaster_start_time()) * 1000)::bigint as server_start_ms, pg_backend_pid() as session \
                    from pg_current_snapshot() as snapshot), \
                 changed as materialized ( \
                    select workflow_uuid, number from dbos.workflow_status, place, \
                        lateral (select (next & ~4294967295) + xmin::text::bigint as above) as in_epoch, \
                        lateral (select above - case when above >= next then 4294967296 else 0 end as number) as wide \
                    where (created_at >= '{created}'::bigint or started_at_epoch_ms >= '{dated}'::bigint \
                            or completed_at >= '{dated}'::bigint \
                            or updated_at > greatest(created_at, started_at_epoch_ms, completed_at) + 1000 \
                                and updated_at >= '{dated}'::bigint) \
                        and number >= {from} and {undelivered} \
                        and (application_name is null or application_name = '{application}') \
                    order by number, workflow_uuid limit {limit}) ",
                columns!(),
                ", number, place.* from place left join changed on true left join dbos.workflow_status job using (workflow_uuid) \
                 order by number, workflow_uuid"
            ),
            by_index = BY_INDEX,
            unbegun = UNBEGUN,
            created = created_since_ms,
            from = from,
            undelivered = undelivered,
            limit = limit,
            dated = dated_since_ms,
            application = APPLICATION,
        )
    }
}

fn is_none_of(numbers: &[i64]) -> String {
    let numbers: Vec<String> = numbers.iter().map(ToString::to_string).collect();
    format!("number <> all ('{{{}}}'::bigint[])", numbers.join(","))
}

fn is_unseen_by(snapshot: &str) -> String {
    // Nothing but the signs of a snapshot is to come into a statement.
    let is_sign = |sign: &char| sign.is_ascii_digit() || matches!(sign, ':' | ',');
    let snapshot: String = snapshot.chars().filter(is_sign).collect();
    format!("not pg_visible_in_snapshot(number::text::xid8, '{snapshot}'::pg_snapshot)")
}
