//! Numbers of jobs that ended.

/// Counts the jobs that ended in the last `$1` buckets of `$2` milliseconds, the running one included, in each that has any: those
/// that succeeded, and all. Of more than `$3` only the last count; then says of which the first is.
// The limit is on rows and not on groups, so it bounds what is read.
pub(crate) const ENDED_PER_BUCKET: &str = "with now as materialized (select (extract(epoch from statement_timestamp()) * 1000)::bigint / $2 as bucket), \
     ended as materialized ( \
         select completed_at, status from dbos.workflow_status \
         where completed_at >= (select (bucket - $1 + 1) * $2 from now) and completed_at < (select (bucket + 1) * $2 from now) \
             and (application_name is null or application_name = $4) \
         order by completed_at desc limit $3), \
     counted as ( \
         select completed_at / $2 as bucket, count(*) filter (where status = 'SUCCESS') as succeeded, count(*) as jobs \
         from ended group by 1) \
     select now.bucket as last, counted.bucket, coalesce(succeeded, 0) as succeeded, coalesce(jobs, 0) as jobs \
     from now left join counted on true order by counted.bucket";
