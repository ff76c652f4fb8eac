//! Bodies of requests: read within limits of size and time, and refused with the place that is wrong.

use std::time::Duration;

use axum::body::{Body, to_bytes};
use axum::extract::{FromRequest, Request};
use axum::http::{HeaderMap, header};
use serde_json::Value;
use tokio::time::timeout;

use crate::problem::{Kind, Problem};

/// The longest body: ten thousand requests of a hundred bytes.
pub(crate) const MAX_BODY_BYTES: usize = 1 << 20;

/// The time for all of a body.
const BODY_TIMEOUT: Duration = Duration::from_secs(10);

/// The JSON of a body.
pub(crate) struct JsonBody(pub(crate) Value);

impl<S: Send + Sync> FromRequest<S> for JsonBody {
    type Rejection = Problem;

    async fn from_request(request: Request, _: &S) -> Result<Self, Problem> {
        let (parts, body) = request.into_parts();
        if !is_json(&parts.headers) {
            let detail = "the body is not said to be JSON; send the header Content-Type: application/json";
            return Err(Problem::new(Kind::MediaType, detail));
        }
        let bytes = bytes_of(body, &parts.headers).await?;
        serde_json::from_slice(&bytes).map(Self).map_err(|error| {
            let detail = format!("the body is not JSON: {error}");
            Problem::new(Kind::Malformed, detail)
        })
    }
}

/// Reads a whole body.
pub(crate) async fn bytes_of(body: Body, headers: &HeaderMap) -> Result<bytes::Bytes, Problem> {
    let too_large = || {
        let detail = format!("the body has over {MAX_BODY_BYTES} bytes; send several smaller ones");
        Problem::new(Kind::TooLarge, detail)
    };
    let length = headers
        .get(header::CONTENT_LENGTH)
        .and_then(|length| length.to_str().ok());
    if length
        .and_then(|length| length.parse().ok())
        .is_some_and(|length: u64| length > MAX_BODY_BYTES as u64)
    {
        return Err(too_large());
    }
    match timeout(BODY_TIMEOUT, to_bytes(body, MAX_BODY_BYTES)).await {
        Ok(Ok(bytes)) => Ok(bytes),
        Ok(Err(_)) => Err(too_large()),
        Err(_) => {
            let detail = format!("the body did not come within {} s", BODY_TIMEOUT.as_secs());
            Err(Problem::new(Kind::Timeout, detail))
        }
    }
}

fn is_json(headers: &HeaderMap) -> bool {
    let kind = headers
        .get(header::CONTENT_TYPE)
        .and_then(|kind| kind.to_str().ok());
    kind.and_then(|kind| kind.split(';').next())
        .is_some_and(|kind| kind.trim().eq_ignore_ascii_case("application/json"))
}
