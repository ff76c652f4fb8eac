//! Reading an artifact, wherever it is.

use std::fs::File;
use std::io::{self, Read, Seek, SeekFrom};
use std::ops::Range;

use bytes::Bytes;
use object_store::{GetOptions, ObjectStoreExt};
use tokio::runtime::Handle;
use url::Url;

use super::bucket::{BucketAddress, error_of};
use super::{BucketAccess, failed, lost, refused};
use crate::Error;
use crate::record::ArtifactRecord;

/// The bytes that are read at once.
const PIECE_BYTES: usize = 1 << 20;

/// The bytes of an object that are asked for at once.
const RANGE_BYTES: u64 = 8 << 20;

/// Opens an artifact to be read from its beginning; what is read is not checked against its hash.
///
/// It blocks, also while it is read, and an artifact in a bucket needs the tokio runtime: call it on a blocking thread.
///
/// # Errors
/// [`Error::ArtifactLost`] when it is missing, [`Error::BucketUnreachable`], [`Error::Host`] with what the file system said,
/// or [`Error::Artifacts`] for any other reason.
pub fn open(record: &ArtifactRecord, access: &BucketAccess) -> Result<Box<dyn Read + Send>, Error> {
    open_range(record, access, 0..record.bytes)
}

/// Opens a part of an artifact; bytes before it are not read.
///
/// It blocks as [`open`] does, and what is read is not checked.
///
/// # Errors
/// As from [`open`].
pub fn open_range(
    record: &ArtifactRecord,
    access: &BucketAccess,
    range: Range<u64>,
) -> Result<Box<dyn Read + Send>, Error> {
    let uri = &record.uri;
    let url = Url::parse(uri).map_err(|error| failed(uri, error))?;
    if url.scheme() == "file" {
        let path = url
            .to_file_path()
            .map_err(|()| failed(uri, "not a path of this host"))?;
        let mut file = File::open(&path).map_err(|error| match error.kind() {
            io::ErrorKind::NotFound => lost(uri, "it is not there"),
            _ => refused(path.display(), &error),
        })?;
        if range == (0..record.bytes) {
            // To its end, wherever that is: whoever reads all of it compares the hash.
            return Ok(Box::new(file));
        }
        file.seek(SeekFrom::Start(range.start))
            .map_err(|error| refused(path.display(), &error))?;
        return Ok(Box::new(file.take(range.end - range.start)));
    }
    if range.is_empty() {
        // A store refuses to be asked for no byte at all.
        return Ok(Box::new(io::empty()));
    }
    let mut object = Object {
        address: BucketAddress::open(uri, access)?,
        runtime: Handle::current(),
        range,
        piece: Bytes::new(),
    };
    // The first range is asked for now, so that a missing or changed object is an error of the opening.
    let found = object.begin().map_err(|error| error_of(uri, &error))?;
    if found != record.bytes {
        let reason = format!(
            "it has {found} bytes, recorded are {}; it was changed",
            record.bytes
        );
        return Err(lost(uri, reason));
    }
    Ok(Box::new(object))
}

/// An object in a bucket that is read range by range: a reader may take its time, and a failure costs one of them.
struct Object {
    address: BucketAddress,
    runtime: Handle,
    /// The rest that is not asked for yet.
    range: Range<u64>,
    /// The rest of the last range that is not read yet.
    piece: Bytes,
}

impl Object {
    /// Asks for the first range, and says how long the object is.
    ///
    /// A question for its length alone would be answered without a word of what is wrong.
    fn begin(&mut self) -> object_store::Result<u64> {
        let start = self.range.start;
        let end = self.range.end.min(start + RANGE_BYTES);
        let options = GetOptions::new().with_range(Some(start..end));
        let BucketAddress { objects, key, .. } = &self.address;
        let (length, piece) = self.runtime.block_on(async {
            let got = objects.get_opts(key, options).await?;
            Ok::<_, object_store::Error>((got.meta.size, got.bytes().await?))
        })?;
        self.piece = piece;
        self.range.start = end;
        Ok(length)
    }
}

impl Read for Object {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        if self.piece.is_empty() && !self.range.is_empty() {
            let end = self.range.end.min(self.range.start + RANGE_BYTES);
            let BucketAddress { objects, key, url } = &self.address;
            let got = self
                .runtime
                .block_on(objects.get_range(key, self.range.start..end));
            // `io::Error` only carries ours; `unread` takes it out again.
            self.piece = got.map_err(|error| io::Error::other(error_of(url, &error)))?;
            self.range.start = end;
        }
        let count = self.piece.len().min(buffer.len());
        buffer[..count].copy_from_slice(&self.piece.split_to(count));
        Ok(count)
    }
}

/// Reads all of an artifact in pieces, and says at the end whether they were those that were stored.
///
/// It blocks; see [`open`].
///
/// # Errors
/// [`Error::ArtifactLost`] when it is missing or, once all of it was read, not what was stored; else as from [`open`].
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
            Err(error) => return Err(unread(&record.uri, error).into()),
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

/// Why an artifact could not be read on: in the words of the bucket, or of the file system.
pub(super) fn unread(uri: &str, error: io::Error) -> Error {
    error
        .downcast::<Error>()
        .unwrap_or_else(|error| refused(uri, &error))
}

/// The failure of an artifact that was changed.
fn not_as_recorded(uri: &str) -> Error {
    lost(uri, "its BLAKE3 is not the recorded one; it was changed")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_object_of_no_bytes_is_read_as_nothing() {
        let record = ArtifactRecord {
            uri: "s3://bucket/empty".to_owned(),
            blake3: blake3::hash(b"").to_hex().to_string(),
            bytes: 0,
        };
        let mut pieces = 0;
        let access = BucketAccess::default();
        let read = read(&record, &access, |_| pieces += 1);
        assert!(read.is_ok() && pieces == 0, "{read:?}");
    }
}
