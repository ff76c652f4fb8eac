//! Rows that changed since a moment.

use super::select::columns;

/// Reads where the database stands, and up to `$6` of the rows that transactions from the number `$3` on have changed, in the
/// order of these; one row without a job where there is none.
///
/// They are those of transactions below the horizon, or, where `$4` says so, all that a snapshot, `$5`, has not seen yet.
/// No index knows the transactions: rows are found by the dates that every change sets, from `$1` on for the date of the
/// submission, which other clients set by their own clocks, and from `$2` on for the others.
/// The last of the four conditions is that of the index `abaci_changed_otherwise`, word by word.
pub(crate) const CHANGES: &str = concat!(
    "with place as materialized ( \
        select pg_snapshot_xmin(snapshot)::text::bigint as horizon, pg_snapshot_xmax(snapshot)::text::bigint as next, \
            snapshot::text as snapshot, (extract(epoch from statement_timestamp()) * 1000)::bigint as now_ms, \
            (extract(epoch from pg_postmaster_start_time()) * 1000)::bigint as server_start_ms, pg_backend_pid() as session \
        from pg_current_snapshot() as snapshot), \
     changed as materialized ( \
        select workflow_uuid, number from dbos.workflow_status, place, \
            lateral (select (next & ~4294967295) + xmin::text::bigint as above) as in_epoch, \
            lateral (select above - case when above >= next then 4294967296 else 0 end as number) as wide \
        where (created_at >= $1 or started_at_epoch_ms >= $2 or completed_at >= $2 \
                or updated_at > greatest(created_at, started_at_epoch_ms, completed_at) + 1000 and updated_at >= $2) \
            and number >= $3 \
            and case when $4 then not pg_visible_in_snapshot(number::text::xid8, $5::pg_snapshot) else number < horizon end \
            and (application_name is null or application_name = $7) \
        order by number, workflow_uuid limit $6) ",
    columns!(),
    ", number, place.* from place left join changed on true left join dbos.workflow_status job using (workflow_uuid) \
     order by number, workflow_uuid"
);
