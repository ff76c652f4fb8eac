//! New rows.

/// Writes rows as the engine does, but for those that are there.
pub(crate) const WRITE: &str = "insert into dbos.workflow_status (workflow_uuid, name, inputs, status, serialization, queue_name, \
         application_version, application_name, workflow_timeout_ms, created_at, updated_at, recovery_attempts, \
         priority, is_debounced, owner_xid) \
     select id, name, input, 'ENQUEUED', $4, $5, $6, $7, $8, now.ms, now.ms, 0, 0, false, \
         gen_random_uuid()::text \
     from unnest($1::text[], $2::text[], $3::text[]) with ordinality as jobs (id, name, input, position), \
         (select (extract(epoch from clock_timestamp()) * 1000)::bigint as ms) as now \
     order by position \
     on conflict (workflow_uuid) do nothing returning workflow_uuid";
