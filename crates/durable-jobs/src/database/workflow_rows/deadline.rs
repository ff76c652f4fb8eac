//! Deadlines of jobs as SQL expressions; `worker/deadline.rs` says why they are put away.

/// About 31,700 years, in milliseconds: more than any clock says, and than any deadline that was meant.
macro_rules! far_ms {
    () => {
        "1000000000000000"
    };
}

/// A deadline that is out of the engine's reach, as an SQL expression; of one that is already, itself.
macro_rules! put_away {
    () => {
        concat!(
            // To do it twice must change nothing: `OWN_CLAIMED` does it to rows that `CLAIM` has done it to.
            "case when workflow_deadline_epoch_ms < ",
            crate::database::workflow_rows::far_ms!(),
            " then workflow_deadline_epoch_ms + ",
            crate::database::workflow_rows::far_ms!(),
            " else workflow_deadline_epoch_ms end"
        )
    };
}

/// The deadline of a row that is claimed now, out of the engine's reach, as an SQL expression: a job's time begins with its
/// first start.
macro_rules! claimed_deadline {
    () => {
        concat!(
            "case when workflow_deadline_epoch_ms is null and workflow_timeout_ms is not null \
                then (extract(epoch from now()) * 1000)::bigint + workflow_timeout_ms + ",
            crate::database::workflow_rows::far_ms!(),
            " else ",
            crate::database::workflow_rows::put_away!(),
            " end"
        )
    };
}

/// The deadline that was put away, as an SQL expression.
macro_rules! put_back {
    () => {
        concat!(
            "case when workflow_deadline_epoch_ms >= ",
            crate::database::workflow_rows::far_ms!(),
            " then workflow_deadline_epoch_ms - ",
            crate::database::workflow_rows::far_ms!(),
            " else workflow_deadline_epoch_ms end"
        )
    };
}

/// The milliseconds that are left until the deadline, by the database's clock, as an SQL expression.
macro_rules! left_ms {
    () => {
        "workflow_deadline_epoch_ms - (extract(epoch from clock_timestamp()) * 1000)::bigint"
    };
}

pub(crate) use {claimed_deadline, far_ms, left_ms, put_away, put_back};
