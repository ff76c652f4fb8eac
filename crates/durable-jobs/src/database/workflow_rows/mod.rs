//! Every statement on the engine's tables, in one place: whoever changes what a column means finds all that reads it.
//!
//! Callers bind the parameters and read the rows; what a statement promises stands beside it.
//! The engine's own work goes through its own functions ([`super::Database`]), and is not here.

mod attempts;
mod changes;
mod claim;
mod deadline;
mod gc;
mod give_back;
mod queues;
mod read;
mod resume;
mod run;
mod select;
mod submit;
mod throughput;
mod waiting;

pub(crate) use attempts::{ATTEMPTS, KEEP_HOST_FAULT};
pub(crate) use changes::ChangesQuery;
pub(crate) use claim::{
    CLAIM, CLAIMED, CLAIMED_ROW, DEFUSE, HELD_ROWS, IN_ORDER, OWN_CLAIMED, RELABEL, RELEASE_DUE,
};
use deadline::{far_ms, put_away};
pub(crate) use gc::{DELETE_ENDED, ENDED, LEFTOVERS, PARKED_BY_ENGINE, count_ended, delete, references};
pub(crate) use give_back::{GIVE_BACK, SETTLE_CLAIMS, UNDO_CLAIMS};
pub(crate) use queues::{
    ALLOWANCE, BOUND_TURN, LIMIT_QUEUE, LOCK_QUEUE, PAUSE_QUEUE, QUEUE_LIMITS, QUEUES, REGISTER_QUEUE,
    RESUME_QUEUE,
};
pub(crate) use read::{INPUTS, ORPHANS, QUEUE_STATUS, STATUSES, STEPS};
pub(crate) use resume::{FORGET_FAILED_STEPS, REQUEUE};
pub(crate) use run::{OWN_RUN, STILL_OWNS};
pub(crate) use select::{BY_INDEX, IDS_LIKE, JOB, count_up_to, dates, number_and_end, page};
pub(crate) use submit::WRITE;
pub(crate) use throughput::ENDED_PER_BUCKET;
pub(crate) use waiting::{OPEN, STANDING, WAITING_JOB};
