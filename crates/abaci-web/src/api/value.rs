//! The digits of a value, as a stream that holds a few pieces of them in memory, and the proof that they are right.
//!
//! A value in its row is checked before any of it is sent. A larger one is hashed while all of it is sent, and its last piece
//! is not sent unless the hash is the recorded one: whoever reads to the length that was named has the digits that were
//! stored. A part of it is sent as it is.

use std::io::{self, Read};
use std::ops::Range;
use std::sync::Arc;

use axum::Json;
use axum::body::Body;
use axum::extract::State;
use axum::http::{HeaderMap, HeaderName, StatusCode, header};
use axum::response::{IntoResponse, Response};
use bytes::Bytes;
use durable_jobs::JobId;
use durable_jobs::artifact::{self, BucketAccess};
use durable_jobs::record::{ArtifactRecord, JobSummary};
use fibonacci_jobs::JobResult;
use fibonacci_jobs::record::{VerifyError, WorkflowName};
use futures_util::{StreamExt, stream};
use serde::Serialize;
use tokio::sync::{OwnedSemaphorePermit, mpsc};
use tokio::task::spawn_blocking;
use tracing::warn;
use utoipa::ToSchema;

use super::range::Part;
use crate::place::{JobPath, Params};
use crate::problem::{Answer, Kind, Problem, Refusals};
use crate::state::{Shared, Web};

/// The bytes that are read and sent at once.
const PIECE_BYTES: u64 = 256 << 10;

/// The pieces that may be ahead of a reader.
const AHEAD: usize = 2;

/// A check of a value.
#[derive(Serialize, ToSchema)]
pub(crate) struct VerificationView {
    /// The id of the job.
    id: String,
    /// The index.
    n: u64,
    /// The number of digits.
    digits: u64,
    /// True if all digits were read and agree with a certificate that was computed anew.
    verified: bool,
    /// The first disagreement, or why the digits cannot be read; absent where there is none.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(required = false, nullable = false)]
    pub(crate) error: Option<String>,
}

/// The digits of a value, wherever they are.
enum DigitSource {
    Row(Bytes),
    Artifact(ArtifactRecord, BucketAccess),
}

/// Sends the digits of a value, all of them or a part.
///
/// All of them are checked against the recorded hash, which is the entity tag: the last piece is only sent if they are
/// those that were stored, so that a transfer that ends early is one that failed. A part of a large value is not checked.
#[utoipa::path(
    get,
    path = "/api/v1/jobs/{id}/value",
    tag = "jobs",
    params(
        ("id" = String, Path, description = "The id of the job"),
        ("head" = inline(Option<u64>), Query, minimum = 1, description = "Only so many of the first digits"),
        ("tail" = inline(Option<u64>), Query, minimum = 1, description = "Only so many of the last digits"),
        ("Range" = Option<String>, Header, description = "A part of the digits, such as `bytes=0-99`; several ranges are taken for all digits"),
        ("If-Range" = Option<String>, Header, description = "The entity tag of the value that the range is of"),
        ("If-None-Match" = Option<String>, Header, description = "Entity tags of values that are there already")
    ),
    responses(
        (status = 200, description = "The digits", body = String, content_type = "text/plain; charset=utf-8"),
        (status = 206, description = "The range of the digits", body = String, content_type = "text/plain; charset=utf-8"),
        (status = 304, description = "The value is the one that is there already"),
        Refusals
    )
)]
pub(super) async fn show_value(
    State(web): State<Shared>,
    JobPath(id): JobPath,
    params: Params,
    headers: HeaderMap,
) -> Result<Response, Problem> {
    let part = Part::take(params)?;
    let result = result_of(&web.client().await?.summary(&id).await?)?;
    let tag = part.tag(&result.certificate.blake3);
    // Before the range (RFC 9110, section 13.2.2): a value that is there already is not sent in parts.
    if is_known(&headers, &tag) {
        return Ok((StatusCode::NOT_MODIFIED, [(header::ETAG, tag)]).into_response());
    }
    let extent = part.extent(result.digits, &headers, &tag);
    let Some(range) = extent.range() else {
        let all = format!("bytes */{}", result.digits);
        let detail = format!(
            "the value has {} digits, and the range none of them",
            result.digits
        );
        let problem = Problem::new(Kind::Range, detail);
        return Ok(([(header::CONTENT_RANGE, all)], problem).into_response());
    };
    let source = DigitSource::of(result, web.bucket_access.clone())?;
    let described = [
        (header::CONTENT_TYPE, "text/plain; charset=utf-8".to_owned()),
        (header::CONTENT_LENGTH, (range.end - range.start).to_string()),
        (header::ACCEPT_RANGES, "bytes".to_owned()),
        (header::ETAG, tag),
        // A browser may keep it and asks with If-None-Match each time.
        (header::CACHE_CONTROL, "private, no-cache".to_owned()),
    ];
    let content_range = extent.content_range();
    let status = if content_range.is_some() {
        StatusCode::PARTIAL_CONTENT
    } else {
        StatusCode::OK
    };
    let content_range: Option<[(HeaderName, String); 1]> =
        content_range.map(|range| [(header::CONTENT_RANGE, range)]);
    let body = source.body(range, &web).await?;
    let mut response = (status, described, body).into_response();
    for (name, value) in content_range.into_iter().flatten() {
        response
            .headers_mut()
            .extend(value.parse().ok().map(|value| (name, value)));
    }
    Ok(response)
}

/// Checks all digits of a value against a certificate that is computed anew.
#[utoipa::path(
    post,
    path = "/api/v1/jobs/{id}/verify",
    tag = "jobs",
    security(("token" = [])),
    params(("id" = String, Path, description = "The id of the job")),
    responses((status = 200, description = "The outcome", body = VerificationView), Refusals)
)]
pub(super) async fn verify_job(State(web): State<Shared>, JobPath(id): JobPath) -> Answer<VerificationView> {
    verification(&web, &id).await.map(Json)
}

/// Checks all digits of a job's value, wherever they are.
pub(crate) async fn verification(web: &Web, id: &JobId) -> Result<VerificationView, Problem> {
    let result = result_of(&web.client().await?.summary(id).await?)?;
    let permit = permit(web)?;
    let (n, digits, access) = (result.n, result.digits, web.bucket_access.clone());
    let verified = spawn_blocking(move || {
        // The place goes with the thread, which reads on when a client that leaves ends this future.
        let _permit = permit;
        result.verify_all(&access)
    });
    let verified = verified.await.map_err(|_| Problem::in_the_log())?;
    // A bucket that does not answer says nothing of the digits: that is no disagreement.
    if let Err(VerifyError::Artifact(error @ durable_jobs::Error::BucketUnreachable { .. })) = verified {
        return Err(error.into());
    }
    Ok(VerificationView {
        id: id.to_string(),
        n,
        digits,
        verified: verified.is_ok(),
        error: verified.err().map(|error| words(&error)),
    })
}

/// Says what is wrong, without the places of this machine.
fn words(error: &VerifyError) -> String {
    match error {
        VerifyError::Artifact(error) => {
            warn!(%error, "a value could not be verified");
            "the digits are not where they were stored, or were changed".to_owned()
        }
        error => error.to_string(),
    }
}

/// Reads the result of a job that has digits.
fn result_of(summary: &JobSummary) -> Result<JobResult, Problem> {
    let (workflow, state) = (&summary.job.workflow, summary.job.state);
    if WorkflowName::parse(workflow).is_none() {
        let detail = format!("a job of the type {workflow:?} has no digits");
        return Err(Problem::new(Kind::Conflict, detail));
    }
    let Some(result) = &summary.result else {
        let detail = format!("the job has no value: it is {state}");
        return Err(Problem::new(Kind::Conflict, detail));
    };
    result
        .read()
        .map_err(|failure| Problem::new(Kind::Conflict, failure.message))
}

/// Tests whether the value is one that is there already.
fn is_known(headers: &HeaderMap, tag: &str) -> bool {
    let given = headers.get_all(header::IF_NONE_MATCH).into_iter();
    given
        .filter_map(|tags| tags.to_str().ok())
        .flat_map(|tags| tags.split(','))
        // If-None-Match compares weakly (RFC 9110, section 13.1.2).
        .map(|given| given.trim().trim_start_matches("W/"))
        .any(|given| given == tag || given == "*")
}

/// Takes one of the places for those who read values.
fn permit(web: &Web) -> Result<OwnedSemaphorePermit, Problem> {
    let permit = Arc::clone(&web.reads).try_acquire_owned();
    permit.map_err(|_| {
        let detail = "as many values are being read as may be at once; try again soon";
        Problem::new(Kind::TooMany, detail)
    })
}

impl DigitSource {
    /// Finds the digits; those in the row are checked here and now.
    fn of(result: JobResult, access: BucketAccess) -> Result<Self, Problem> {
        match result.verify() {
            Ok(()) => {}
            Err(VerifyError::Absent { .. }) => {
                return Err(Problem::new(Kind::Conflict, "the result has no digits"));
            }
            Err(error) => {
                warn!(%error, "a result was changed");
                return Err(Problem::value_changed());
            }
        }
        match (result.value, result.artifact) {
            (Some(value), _) => Ok(Self::Row(value.into())),
            // The answer says the length and the hash of the certificate: those of what is sent have to be the same.
            (None, Some(record))
                if record.bytes == result.digits && record.blake3 == result.certificate.blake3 =>
            {
                Ok(Self::Artifact(record, access))
            }
            _ => Err(Problem::value_changed()),
        }
    }

    async fn body(self, range: Range<u64>, web: &Web) -> Result<Body, Problem> {
        let (record, access) = match self {
            Self::Row(value) => {
                // The range is within the value, which was found to have as many digits as its row says.
                let at = |position: u64| usize::try_from(position).unwrap_or(value.len());
                return Ok(Body::from(value.slice(at(range.start)..at(range.end))));
            }
            Self::Artifact(record, access) => (record, access),
        };
        let permit = permit(web)?;
        let is_all = range == (0..record.bytes);
        let length = range.end - range.start;
        // Opening asks a file system or a bucket, and so does each read: both block their thread.
        let opened = spawn_blocking(move || {
            let reader = artifact::open_range(&record, &access, range)?;
            // The place goes with the thread, which may hang on when a client that leaves ends this future.
            Ok::<_, durable_jobs::Error>((reader, record, permit))
        });
        let (reader, record, permit) = opened.await.map_err(|_| Problem::in_the_log())??;
        let (pieces, mut sent) = mpsc::channel(AHEAD);
        spawn_blocking(move || {
            let _permit = permit;
            let hash = is_all.then_some(record.blake3.as_str());
            if let Err(error) = send(reader, (length, hash), &pieces) {
                warn!(%error, uri = record.uri, "a value could not be sent");
                // Its reader may be gone.
                let _ = pieces.blocking_send(Err(error));
            }
        });
        // What fails at once is an answer of its own, and not one that breaks off.
        let first = sent.recv().await.ok_or_else(Problem::in_the_log)?;
        let first = first.map_err(unsent)?;
        let others = stream::unfold(sent, async |mut sent| Some((sent.recv().await?, sent)));
        Ok(Body::from_stream(stream::iter([Ok(first)]).chain(others)))
    }
}

/// Says why the first piece cannot be sent, as the opening of the value does: a bucket that does not answer changed nothing.
fn unsent(error: io::Error) -> Problem {
    let error = error.downcast::<durable_jobs::Error>();
    error.map_or_else(|_| Problem::value_changed(), Problem::from)
}

/// Sends so many bytes; where they have a hash, the last of them only if it is theirs.
fn send(
    reader: impl Read,
    (length, hash): (u64, Option<&str>),
    pieces: &mpsc::Sender<io::Result<Bytes>>,
) -> io::Result<()> {
    let mut reader = reader.take(length);
    let mut hasher = blake3::Hasher::new();
    let mut left = length;
    while left > 0 {
        let mut piece = Vec::new();
        reader.by_ref().take(PIECE_BYTES).read_to_end(&mut piece)?;
        // A source that ends too early would otherwise be read for ever.
        if piece.is_empty() {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        left -= piece.len() as u64;
        if let Some(hash) = hash {
            hasher.update(&piece);
            if left == 0 && hasher.finalize().to_hex().as_str() != hash {
                return Err(io::Error::other("its BLAKE3 is not the recorded one"));
            }
        }
        // Its reader is gone, which is no failure of the value.
        if pieces.blocking_send(Ok(piece.into())).is_err() {
            return Ok(());
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_bucket_that_does_not_answer_has_changed_no_value() {
        let silent = durable_jobs::Error::BucketUnreachable {
            place: "s3://values".to_owned(),
            reason: "timed out".to_owned(),
        };
        assert_eq!(unsent(io::Error::other(silent)).status, 503);
        assert_eq!(unsent(io::ErrorKind::UnexpectedEof.into()).status, 500);
    }
}
