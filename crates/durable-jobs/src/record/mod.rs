//! The types that are written to the database, printed as JSON or read from text, with a promise of compatibility.
//!
//! A field may be added; none is renamed, removed or given another meaning.
//! Integers that may exceed 2^53 are strings, since JavaScript would round them.

mod advice;
mod artifact;
mod attempt;
mod attributes;
mod date;
mod details;
mod failure;
mod filter;
mod job;
mod label;
mod names;
mod running;
mod start_limits;
mod visible;
mod wait_reason;

pub use advice::Advice;
pub use artifact::ArtifactRecord;
pub use attempt::{Attempt, AttemptEnd, AttemptEndKind};
pub(crate) use attributes::Attributes;
pub(crate) use date::milliseconds;
pub use date::{Date, DateError, about};
pub use details::Details;
pub use failure::{Failure, FailureData, FailureKind};
pub use filter::{Cursor, CursorError, DetailFilter, JobFilter, Order};
pub use job::{Job, JobDetail, JobId, JobIdError, JobOutput, JobSummary, State, StepRecord};
pub use label::{Batch, BatchError, Label, LabelError};
pub(crate) use names::MAX_INPUT_BYTES;
pub use names::{APPLICATION, DEFAULT_QUEUE, ENGINE_QUEUE};
pub use running::RunningJob;
pub(crate) use start_limits::StartLimits;
pub use start_limits::{Limit, Rate};
pub use visible::{is_hidden, shorten, visible, visible_json};
pub use wait_reason::WaitReason;
