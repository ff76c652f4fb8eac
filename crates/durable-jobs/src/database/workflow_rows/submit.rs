//! New rows.

/// Writes rows as the engine does, but for those that are there and for one whose key `$13` another job holds.
///
/// Each is dated `$14` milliseconds before now. A delay is counted by the database's clock: `$11` milliseconds from now, or until
/// the moment `$12`.
// Claims take rows of one date by their places in the table, so they are written in the order given.
// Their owner is a UUID of version 4 and so never taken for a run's token, which is of version 7.
pub(crate) const WRITE: &str = "insert into dbos.workflow_status (workflow_uuid, name, inputs, priority, attributes, status, \
         serialization, queue_name, application_version, application_name, workflow_timeout_ms, delay_until_epoch_ms, \
         deduplication_id, created_at, updated_at, recovery_attempts, is_debounced, owner_xid) \
     select id, job, input, rank, attribute::jsonb, case when due.ms > now.ms then 'DELAYED' else 'ENQUEUED' end, \
         $6, $7, $8, $9, $10, case when due.ms > now.ms then due.ms end, $13, now.ms - age_ms, now.ms, 0, false, \
         gen_random_uuid()::text \
     from unnest($1::text[], $2::text[], $3::text[], $4::int[], $5::text[], $14::bigint[]) with ordinality \
             as jobs (id, job, input, rank, attribute, age_ms, position), \
         (select (extract(epoch from clock_timestamp()) * 1000)::bigint as ms) as now, \
         lateral (select coalesce($12, now.ms + $11) as ms) as due \
     order by position \
     on conflict do nothing returning workflow_uuid";
