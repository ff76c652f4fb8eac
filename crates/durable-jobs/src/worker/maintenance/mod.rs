//! The work beside the jobs: rows of the dead go back, stranded rows too, and old jobs are deleted.

mod failover;
mod janitor;
mod retention;

pub(super) use failover::Failover;
pub(super) use janitor::Janitor;
pub(super) use retention::Retention;
