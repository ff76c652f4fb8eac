//! Reading an artifact, wherever it is.

use std::fs::File;
use std::io::{self, Read};

use fibonacci::DecimalCheck;
use object_store::ObjectStoreExt;
use tokio::runtime::Handle;
use tokio_util::io::{StreamReader, SyncIoBridge};
use url::Url;

use super::bucket::{bucket_of, explained};
use super::{BucketAccess, failed};
use crate::Error;
use crate::record::{ArtifactRecord, JobResult, VerifyError};

/// How much is read at once.
const PIECE_BYTES: usize = 1 << 20;

/// Opens an artifact to be read from its beginning; what is read is not checked against its hash.
///
/// It blocks, also while it is read, and an artifact in a bucket needs the tokio runtime: call it on a blocking thread.
///
/// # Errors
/// [`Error::Artifacts`] when it is missing or cannot be read.
pub fn open(record: &ArtifactRecord, access: &BucketAccess) -> Result<Box<dyn Read + Send>, Error> {
    let uri = &record.uri;
    let url = Url::parse(uri).map_err(|error| failed(uri, error))?;
    if url.scheme() == "file" {
        let path = url
            .to_file_path()
            .map_err(|()| failed(uri, "not a path of this host"))?;
        let file = File::open(&path).map_err(|error| failed(path.display(), error))?;
        return Ok(Box::new(file));
    }
    let (objects, key) = bucket_of(uri, access)?;
    let runtime = Handle::current();
    let object = runtime
        .block_on(objects.get(&key))
        .map_err(|error| failed(uri, explained(&error)))?;
    let stream = object.into_stream();
    let reader = StreamReader::new(futures_util::TryStreamExt::map_err(stream, |error| {
        io::Error::other(explained(&error))
    }));
    Ok(Box::new(SyncIoBridge::new_with_handle(reader, runtime)))
}

/// Reads all of an artifact in pieces, and says at the end whether they were those that were stored.
///
/// It blocks; see [`open`].
///
/// # Errors
/// [`Error::Artifacts`] when it is missing, unreadable or, once all of it was read, not what was stored.
pub fn read(
    record: &ArtifactRecord,
    access: &BucketAccess,
    mut piece: impl FnMut(&[u8]),
) -> Result<(), Error> {
    try_read(record, access, |bytes| {
        piece(bytes);
        Ok(())
    })
}

/// Reads all of an artifact in pieces that may be refused, which ends the reading.
///
/// It blocks; see [`open`].
///
/// # Errors
/// What `piece` returned, or as from [`read`].
pub fn try_read<E: From<Error>>(
    record: &ArtifactRecord,
    access: &BucketAccess,
    mut piece: impl FnMut(&[u8]) -> Result<(), E>,
) -> Result<(), E> {
    let mut reader = open(record, access)?;
    let mut hasher = blake3::Hasher::new();
    let mut buffer = vec![0; PIECE_BYTES];
    loop {
        let count = match reader.read(&mut buffer) {
            Ok(0) => break,
            Ok(count) => count,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
            Err(error) => return Err(failed(&record.uri, error).into()),
        };
        hasher.update(&buffer[..count]);
        piece(&buffer[..count])?;
    }
    if hasher.finalize().to_hex().as_str() == record.blake3 {
        Ok(())
    } else {
        Err(not_as_recorded(&record.uri).into())
    }
}

/// Checks a result, its digits included, against a certificate computed here and now, in constant memory.
///
/// It blocks; see [`open`].
///
/// # Errors
/// [`Error::Verify`] naming what does not agree, or [`Error::Artifacts`] when the digits are missing, unreadable or not
/// what was stored.
pub fn verify(result: &JobResult, access: &BucketAccess) -> Result<(), Error> {
    result.verify()?;
    let record = match (&result.value, &result.artifact) {
        (Some(_), _) => return Ok(()),
        (None, Some(record)) => record,
        (None, None) => return Err(VerifyError::Absent { n: result.n }.into()),
    };
    let mut digits = DecimalCheck::new();
    read(record, access, |piece| digits.update(piece))?;
    Ok(result.verify_read(digits, &record.blake3)?)
}

/// What is said of an artifact that was changed.
fn not_as_recorded(uri: &str) -> Error {
    failed(uri, "its BLAKE3 is not the recorded one; it was changed")
}
