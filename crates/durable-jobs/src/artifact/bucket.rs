//! Buckets: how they are reached, how a file gets there, and what is said when one does not answer.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use futures_util::TryStreamExt;
use futures_util::stream::FuturesUnordered;
use object_store::aws::{AmazonS3Builder, AmazonS3ConfigKey};
use object_store::path::Path as Key;
use object_store::{ClientOptions, MultipartUpload, ObjectStore, ObjectStoreExt, RetryConfig};
use tokio::io::AsyncReadExt;
use tokio_util::sync::CancellationToken;
use url::Url;

use super::{BucketAccess, failed, lost};
use crate::Error;

/// A longer file is uploaded in parts of so many bytes.
// S3 takes no part below 5 MiB but the last.
const PART_BYTES: usize = 8 << 20;

/// So many parts are held in memory and under way at once.
const PARTS_AT_ONCE: usize = 4;

/// A request that finds no answer is made again for so long; then the step is tried again, and at last it fails.
const RETRIES: RetryConfig = RetryConfig {
    backoff: object_store::BackoffConfig {
        init_backoff: Duration::from_millis(100),
        max_backoff: Duration::from_secs(5),
        base: 2.0,
    },
    // The time is what bounds them: the pauses are short at random.
    max_retries: 1000,
    retry_timeout: Duration::from_mins(1),
};

const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);

/// A body of which nothing comes for so long is given up. There is no bound of all of it: a value may be large and a
/// network slow.
const READ_TIMEOUT: Duration = Duration::from_secs(30);

/// The longest explanation that is made of what a bucket says.
const MAX_REASON_CHARS: usize = 300;

/// Sends a file, a long one in parts; those are taken back when it fails or `unwanted` is cancelled.
pub(super) async fn send(
    path: &Path,
    objects: &dyn ObjectStore,
    key: &Key,
    unwanted: &CancellationToken,
) -> Result<(), Unsent> {
    let mut file = tokio::fs::File::open(path).await?;
    // The first piece shows if the file is a short one, which costs one request instead of three.
    let first = piece_of(&mut file).await?;
    if first.len() < PART_BYTES {
        objects.put(key, first.into()).await?;
        return Ok(());
    }
    let mut upload = objects.put_multipart(key).await?;
    let sent = tokio::select! {
        sent = send_parts(first, file, &mut *upload) => sent,
        () = unwanted.cancelled() => Err(Unsent::Unwanted),
    };
    if sent.is_err() {
        // Best effort: a rule of the bucket removes what is left of it.
        let _ = upload.abort().await;
    }
    sent
}

async fn send_parts(
    mut piece: Vec<u8>,
    mut file: tokio::fs::File,
    upload: &mut dyn MultipartUpload,
) -> Result<(), Unsent> {
    let mut parts = FuturesUnordered::new();
    while !piece.is_empty() {
        parts.push(upload.put_part(piece.into()));
        // Whichever ends first makes room: each got its number when it was made.
        if parts.len() == PARTS_AT_ONCE {
            parts.try_next().await?;
        }
        piece = piece_of(&mut file).await?;
    }
    while parts.try_next().await?.is_some() {}
    upload.complete().await?;
    Ok(())
}

/// As much of a file as one part has; less only at its end.
async fn piece_of(file: &mut tokio::fs::File) -> std::io::Result<Vec<u8>> {
    let mut piece = Vec::with_capacity(PART_BYTES);
    file.take(PART_BYTES as u64).read_to_end(&mut piece).await?;
    Ok(piece)
}

/// Why a file is not in the bucket.
#[derive(Debug, thiserror::Error)]
pub(super) enum Unsent {
    #[error(transparent)]
    File(#[from] std::io::Error),
    #[error(transparent)]
    Bucket(#[from] object_store::Error),
    #[error("nobody waits for it any more")]
    Unwanted,
}

/// A bucket with a key in it.
pub(super) struct BucketAddress {
    pub(super) objects: Arc<dyn ObjectStore>,
    pub(super) key: Key,
    /// The URL in its one form, in which no character has to be escaped anywhere.
    pub(super) url: String,
}

impl BucketAddress {
    /// The bucket that a URL names, and the key in it; nobody is asked.
    pub(super) fn open(url: &str, access: &BucketAccess) -> Result<Self, Error> {
        let expected = || failed(url, "expected s3://bucket or s3://bucket/prefix");
        let parsed = Url::parse(url).map_err(|_| expected())?;
        let is_plain = parsed.query().is_none()
            && parsed.fragment().is_none()
            && parsed.port().is_none()
            && parsed.username().is_empty()
            && parsed.password().is_none();
        let bucket = parsed.host_str().filter(|_| parsed.scheme() == "s3" && is_plain);
        let bucket = bucket.ok_or_else(expected)?;
        let key = Key::from_url_path(parsed.path()).map_err(|error| failed(url, error))?;
        // The database's driver may have chosen one already; any is as good.
        let _ = rustls::crypto::ring::default_provider().install_default();
        let client = ClientOptions::new()
            .with_timeout_disabled()
            .with_connect_timeout(CONNECT_TIMEOUT)
            .with_read_timeout(READ_TIMEOUT);
        let builder = AmazonS3Builder::new()
            .with_retry(RETRIES)
            .with_client_options(client);
        let objects = access
            .settings()?
            .fold(builder, |builder, (name, value)| builder.with_config(name, value))
            // After the settings, which may name another bucket.
            .with_bucket_name(bucket)
            .build()
            .map_err(|error| failed(url, explained(&error)))?;
        Ok(Self {
            objects: Arc::new(objects),
            key,
            url: parsed.as_str().trim_end_matches('/').to_owned(),
        })
    }
}

impl BucketAccess {
    /// The settings that are known, by their names.
    fn settings(&self) -> Result<impl Iterator<Item = (AmazonS3ConfigKey, &String)>, Error> {
        let settings = self.0.iter().filter_map(|(name, value)| {
            let name = name.to_ascii_lowercase().parse::<AmazonS3ConfigKey>().ok()?;
            Some((name, value))
        });
        for (name, value) in settings.clone() {
            // It would be printed with every failure.
            let has_user = |url: Url| !url.username().is_empty() || url.password().is_some();
            if name == AmazonS3ConfigKey::Endpoint && Url::parse(value).is_ok_and(has_user) {
                let reason =
                    "it holds a user or a password; give AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY";
                return Err(failed("AWS_ENDPOINT", reason));
            }
        }
        Ok(settings)
    }
}

/// Turns a store's words into an error that tells what is gone from what does not answer and from what is refused.
pub(super) fn error_of(place: &str, error: &object_store::Error) -> Error {
    let reason = explained(error);
    match error {
        // First: a missing bucket may come as `NotFound` too, which would say that the artifact is lost.
        _ if reason == NO_BUCKET || reason == DENIED || reason == NO_CREDENTIALS => failed(place, reason),
        object_store::Error::NotFound { .. } => lost(place, reason),
        _ if reason.contains("InvalidRange") => lost(place, "it is shorter than recorded; it was changed"),
        object_store::Error::Generic { store, .. } if *store == "S3" => Error::BucketUnreachable {
            place: place.to_owned(),
            reason,
        },
        _ => failed(place, reason),
    }
}

const NO_BUCKET: &str = "the bucket does not exist";
const DENIED: &str =
    "access denied; check the rights and AWS_ACCESS_KEY_ID, AWS_SECRET_ACCESS_KEY, AWS_REGION";
const NO_CREDENTIALS: &str = "there are no credentials; set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY";

/// Where credentials are asked for on machines of the cloud, if nobody gave any.
const METADATA_ADDRESS: &str = "169.254.169.254";

/// Puts a store's words on one line that names the way out.
pub(super) fn explained(error: &object_store::Error) -> String {
    let text = whole(error);
    // A list that is refused is no kind of error of its own, only its text.
    let reason = match error {
        _ if text.contains("NoSuchBucket") => NO_BUCKET,
        _ if text.contains("AccessDenied") => DENIED,
        _ if text.contains(METADATA_ADDRESS) => NO_CREDENTIALS,
        object_store::Error::PermissionDenied { .. } | object_store::Error::Unauthenticated { .. } => DENIED,
        object_store::Error::NotFound { .. } => "it is not there",
        _ => return text.chars().take(MAX_REASON_CHARS).collect(),
    };
    reason.to_owned()
}

/// An error with all its causes, in one line.
fn whole(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(inner) = cause {
        let said = inner.to_string();
        // Many an error has its cause in its own words already.
        if !text.contains(&said) {
            text = format!("{text}: {said}");
        }
        cause = inner.source();
    }
    text.split_whitespace().collect::<Vec<_>>().join(" ")
}
