//! Buckets: how they are reached, how a file gets there, and what is said when one does not answer.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use futures_util::TryStreamExt;
use futures_util::stream::FuturesUnordered;
use object_store::aws::{AmazonS3Builder, AmazonS3ConfigKey};
use object_store::path::Path as Key;
use object_store::{MultipartUpload, ObjectStore, ObjectStoreExt, RetryConfig};
use tokio::io::AsyncReadExt;
use tokio_util::sync::CancellationToken;
use url::Url;

use super::{BucketAccess, failed};
use crate::Error;

/// A longer file is uploaded in parts of so many bytes.
const PART_BYTES: usize = 8 << 20;

/// So many parts are held in memory and under way at once.
const PARTS_AT_ONCE: usize = 4;

/// A bucket that does not answer is given up after three more attempts and this time; the step is tried again later.
const RETRIES: RetryConfig = RetryConfig {
    backoff: object_store::BackoffConfig {
        init_backoff: Duration::from_millis(100),
        max_backoff: Duration::from_secs(2),
        base: 2.0,
    },
    max_retries: 3,
    retry_timeout: Duration::from_secs(20),
};

/// The longest explanation that is made of what a bucket says.
const MAX_REASON_CHARS: usize = 300;

/// Sends a file, a long one in parts; those are taken back when it fails or `unwanted` is cancelled.
pub(super) async fn send(
    path: &Path,
    objects: &dyn ObjectStore,
    key: &Key,
    unwanted: &CancellationToken,
) -> Result<(), String> {
    let mut file = tokio::fs::File::open(path)
        .await
        .map_err(|error| error.to_string())?;
    let first = piece_of(&mut file).await?;
    if first.len() < PART_BYTES {
        let put = objects.put(key, first.into()).await;
        return put.map(drop).map_err(|error| explained(&error));
    }
    let mut upload = objects
        .put_multipart(key)
        .await
        .map_err(|error| explained(&error))?;
    let sent = tokio::select! {
        sent = send_parts(first, file, &mut *upload) => sent,
        () = unwanted.cancelled() => Err("nobody waits for it any more".to_owned()),
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
) -> Result<(), String> {
    let mut parts = FuturesUnordered::new();
    while !piece.is_empty() {
        parts.push(upload.put_part(piece.into()));
        if parts.len() == PARTS_AT_ONCE {
            parts.try_next().await.map_err(|error| explained(&error))?;
        }
        piece = piece_of(&mut file).await?;
    }
    while parts
        .try_next()
        .await
        .map_err(|error| explained(&error))?
        .is_some()
    {}
    upload
        .complete()
        .await
        .map(drop)
        .map_err(|error| explained(&error))
}

/// As much of a file as one part has; less only at its end.
async fn piece_of(file: &mut tokio::fs::File) -> Result<Vec<u8>, String> {
    let mut piece = Vec::with_capacity(PART_BYTES);
    let read = file.take(PART_BYTES as u64).read_to_end(&mut piece).await;
    read.map(|_| piece).map_err(|error| error.to_string())
}

/// The bucket that a URL names, and the key in it.
pub(super) fn bucket_of(url: &str, access: &BucketAccess) -> Result<(Arc<dyn ObjectStore>, Key), Error> {
    let expected = "expected s3://bucket or s3://bucket/prefix";
    let parsed = Url::parse(url)
        .ok()
        .filter(|parsed| parsed.scheme() == "s3" && parsed.has_host());
    let parsed = parsed.ok_or_else(|| failed(url, expected))?;
    let key = Key::from_url_path(parsed.path()).map_err(|error| failed(url, error))?;
    // The database's driver may have chosen one already; any is as good.
    let _ = rustls::crypto::ring::default_provider().install_default();
    let settings = access.0.iter().filter_map(|(name, value)| {
        let name = name.to_ascii_lowercase().parse::<AmazonS3ConfigKey>().ok()?;
        Some((name, value))
    });
    let builder = AmazonS3Builder::new().with_retry(RETRIES);
    let builder = settings.fold(builder, |builder, (name, value)| builder.with_config(name, value));
    let bucket = parsed.host_str().unwrap_or_default();
    let objects = builder
        .with_bucket_name(bucket)
        .build()
        .map_err(|error| failed(url, explained(&error)))?;
    Ok((Arc::new(objects), key))
}

/// What a store says, on one line that names the way out.
pub(super) fn explained(error: &object_store::Error) -> String {
    let text = whole(error);
    let denied = "access denied; check the rights and AWS_ACCESS_KEY_ID, AWS_SECRET_ACCESS_KEY, AWS_REGION";
    // A list that is refused is no kind of error of its own, only its text.
    let reason = match error {
        _ if text.contains("NoSuchBucket") => "the bucket does not exist",
        _ if text.contains("AccessDenied") => denied,
        object_store::Error::PermissionDenied { .. } | object_store::Error::Unauthenticated { .. } => denied,
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
        if !text.contains(&said) {
            text = format!("{text}: {said}");
        }
        cause = inner.source();
    }
    text.split_whitespace().collect::<Vec<_>>().join(" ")
}
