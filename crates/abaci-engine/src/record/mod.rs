//! The types that are written to the database or printed as JSON, with a promise of compatibility.
//!
//! A field may be added; none is renamed, removed or given another meaning.
//! Integers that may exceed 2^53 are strings, since JavaScript would round them.

mod failure;
mod job;
mod request;
mod result;

pub use failure::{Failure, FailureKind};
pub use job::{Job, JobDetail, JobId, State, StepRecord};
pub use request::{Algorithm, Limits, Request, RequestError};
pub use result::{ArtifactRecord, CertificateRecord, INLINE_DIGITS, JobResult, VerifyError};
