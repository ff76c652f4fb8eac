//! The types that are written to the database or printed as JSON, with a promise of compatibility.
//!
//! A field may be added; none is renamed, removed or given another meaning.
//! Integers that may exceed 2^53 are strings, since JavaScript would round them.

mod failure;
mod fault;
mod job;
mod limits;
mod request;
mod result;
mod visible;
mod workflow_name;

pub use failure::{Failure, FailureKind};
pub use fault::{Fault, FaultKind};
pub use job::{Job, JobDetail, JobId, JobIdError, State, StepRecord};
pub use limits::Limits;
pub use request::{Algorithm, Request, RequestError};
pub use result::{ArtifactRecord, CertificateRecord, INLINE_DIGITS, JobResult, VerifyError};
pub use visible::{is_hidden, visible, visible_json};
pub use workflow_name::WorkflowName;
