//! A value that is too large for a row.

use serde::{Deserialize, Serialize};

/// Bytes that are kept outside of the row.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ArtifactRecord {
    /// Where they are: a `file://` URL on the host of the worker, or an `s3://` one.
    pub uri: String,
    /// BLAKE3 of the bytes, in hexadecimal.
    pub blake3: String,
    /// Their size.
    pub bytes: u64,
}
