//! The types that are written to the database, printed as JSON or read from text, with a promise of compatibility.
//!
//! A field may be added; none is renamed, removed or given another meaning.
//! Integers that may exceed 2^53 are strings, since JavaScript would round them.

mod algorithm;
mod entry;
mod fault;
mod index_range;
mod limits;
mod request;
mod result;
mod workflow_name;

pub use algorithm::Algorithm;
pub use entry::{Entry, EntryError, parse_priority};
pub use fault::{Fault, FaultKind};
pub use index_range::IndexRange;
pub use limits::Limits;
pub use request::{Request, RequestError};
pub use result::{CertificateRecord, INLINE_DIGITS, JobResult, VerifyError};
pub use workflow_name::WorkflowName;
