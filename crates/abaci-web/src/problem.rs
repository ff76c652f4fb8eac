//! Refusals and failures in the form of RFC 9457, without a word of what went on inside.

use std::collections::BTreeMap;

use axum::Json;
use axum::http::{HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use durable_jobs::Error;
use durable_jobs::record::visible;
use serde::Serialize;
use serde_json::Value;
use tracing::{error, warn};
use utoipa::openapi::{ContentBuilder, Ref, RefOr, ResponseBuilder};
use utoipa::{IntoResponses, ToSchema};

/// The seconds after which a request that found no database is worth another try.
pub(crate) const RETRY_AFTER: &str = "2";

/// A refusal or a failure.
#[derive(Debug, Clone, PartialEq, Serialize, ToSchema)]
pub(crate) struct Problem {
    /// The kind, a reference that stays the same.
    #[serde(rename = "type")]
    pub(crate) kind: String,
    /// The kind in words.
    pub(crate) title: String,
    /// The status of the answer.
    pub(crate) status: u16,
    /// One line: the thing, the value, the way out.
    pub(crate) detail: String,
    /// The parts of the request that are to blame.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    #[schema(required = false)]
    pub(crate) errors: Vec<PartError>,
}

/// The answer of a handler.
pub(crate) type Answer<T> = Result<Json<T>, Problem>;

/// A part of a request that is to blame.
#[derive(Debug, Clone, PartialEq, Serialize, ToSchema)]
pub(crate) struct PartError {
    /// Where it is: `body`, `query` or `path`, and the fields that lead to it, such as `body[2].n`.
    pub(crate) location: String,
    /// One line.
    pub(crate) message: String,
    /// The value as it was given; absent where there was none.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) value: Option<Value>,
}

/// The kinds of problems: the end of the reference, the words, the status.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    Malformed,
    Unauthorized,
    ForeignHost,
    ForeignOrigin,
    NotFound,
    MethodNotAllowed,
    Timeout,
    Conflict,
    TooLarge,
    MediaType,
    Range,
    Invalid,
    TooMany,
    Internal,
    Unavailable,
}

impl Kind {
    fn describe(self) -> (&'static str, &'static str, StatusCode) {
        let (name, title, status) = match self {
            Self::Malformed => ("malformed", "The request cannot be read", 400),
            Self::Unauthorized => ("unauthorized", "A token is needed", 401),
            Self::ForeignHost => ("foreign-host", "Not a name of this server", 421),
            Self::ForeignOrigin => ("foreign-origin", "The request comes from another site", 403),
            Self::NotFound => ("not-found", "There is nothing here", 404),
            Self::MethodNotAllowed => ("method-not-allowed", "Not a method of this resource", 405),
            Self::Timeout => ("timeout", "The request took too long", 408),
            Self::Conflict => ("conflict", "The job is not in a state for this", 409),
            Self::TooLarge => ("too-large", "The request is too large", 413),
            Self::MediaType => ("media-type", "Not a form that is understood", 415),
            Self::Range => ("range", "No such range", 416),
            Self::Invalid => ("invalid", "The request asks for something impossible", 422),
            Self::TooMany => ("too-many", "Too many requests at once", 429),
            Self::Internal => ("internal", "Something went wrong here", 500),
            Self::Unavailable => ("unavailable", "Something that is needed does not answer", 503),
        };
        (name, title, StatusCode::from_u16(status).unwrap_or_default())
    }
}

impl Problem {
    pub(crate) fn new(kind: Kind, detail: impl Into<String>) -> Self {
        let (name, title, status) = kind.describe();
        Self {
            kind: format!("/problems/{name}"),
            title: title.to_owned(),
            status: status.as_u16(),
            // It may quote what anybody wrote, and be printed by a terminal.
            detail: visible(&detail.into()).into_owned(),
            errors: Vec::new(),
        }
    }

    /// Refuses a part of a request.
    pub(crate) fn of_part(
        location: impl Into<String>,
        message: impl Into<String>,
        value: Option<Value>,
    ) -> Self {
        let message = visible(&message.into()).into_owned();
        Self {
            errors: vec![PartError {
                location: location.into(),
                message: message.clone(),
                value,
            }],
            ..Self::new(Kind::Invalid, message)
        }
    }

    /// The refusal while the database cannot be asked.
    pub(crate) fn unanswered() -> Self {
        Self::new(Kind::Unavailable, "the database does not answer; try again soon")
    }

    /// The failure of reading a value that is lost, or not what was recorded.
    pub(crate) fn value_changed() -> Self {
        let detail = "the value is not where it was stored, or was changed; abaci verify says more";
        Self::new(Kind::Internal, detail)
    }

    /// A failure of which only the log says more.
    pub(crate) fn in_the_log() -> Self {
        Self::new(Kind::Internal, "the log of the server says what happened")
    }

    fn cut_short(queued: usize, jobs: usize, cause: Self) -> Self {
        let detail = format!(
            "{queued} of {jobs} jobs were queued, then: {}; with an Idempotency-Key the same request again completes them, and without one it queues all anew",
            cause.detail
        );
        Self { detail, ..cause }
    }

    pub(crate) fn status(&self) -> StatusCode {
        StatusCode::from_u16(self.status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR)
    }
}

/// The refusals of every resource, for the description.
pub(crate) struct Refusals;

impl IntoResponses for Refusals {
    fn responses() -> BTreeMap<String, RefOr<utoipa::openapi::Response>> {
        let problem = ContentBuilder::new().schema(Some(Ref::from_schema_name("Problem")));
        let refusal = ResponseBuilder::new()
            .description("A refusal or a failure")
            .content("application/problem+json", problem.build());
        BTreeMap::from([("default".to_owned(), refusal.build().into())])
    }
}

/// The beginning of a reason that the database gave itself.
const SERVERS_WORDS: &str = "error returned from database";

impl From<Error> for Problem {
    fn from(error: Error) -> Self {
        let detail = error.to_string();
        match error {
            Error::NotFound { .. } => Self::new(Kind::NotFound, detail),
            Error::Input { .. } => Self::of_part("body", detail, None),
            Error::Timeout
            | Error::Delay
            | Error::IdTaken { .. }
            | Error::IdTwice { .. }
            | Error::KeyHeld { .. } => Self::new(Kind::Invalid, detail),
            Error::Fork { .. } => Self::new(Kind::Conflict, detail),
            Error::CutShort { queued, jobs, cause } => Self::cut_short(queued, jobs, Self::from(*cause)),
            // Before the arm of outages: a server that answers with a refusal is there.
            Error::Database { operation, reason } if reason.starts_with(SERVERS_WORDS) => {
                // The words of the database name tables, roles and settings, so they go to the log alone.
                warn!(error = detail, "the database refused");
                let detail =
                    format!("the database refused ({operation}); the log of this server has its words");
                Self::new(Kind::Unavailable, detail)
            }
            Error::Full { .. }
            | Error::NoTables { .. }
            | Error::SchemaOlder { .. }
            | Error::SchemaNewer { .. } => {
                warn!(error = detail, "the database cannot be used");
                Self::new(Kind::Unavailable, detail)
            }
            Error::Unreachable { .. } | Error::Refused { .. } | Error::Database { .. } => {
                warn!(error = detail, "the database could not be asked");
                Self::unanswered()
            }
            Error::BucketUnreachable { .. } => {
                warn!(error = detail, "a bucket could not be asked");
                Self::new(
                    Kind::Unavailable,
                    "the bucket of the value does not answer; try again soon",
                )
            }
            Error::ArtifactLost { .. } | Error::Artifacts { .. } | Error::Host { .. } => {
                warn!(error = detail, "a value could not be read");
                Self::value_changed()
            }
            _ => {
                error!(error = detail, "a request failed");
                Self::in_the_log()
            }
        }
    }
}

/// Tests whether the same request may succeed soon.
pub(crate) fn is_worth_another_try(status: StatusCode) -> bool {
    matches!(
        status,
        StatusCode::SERVICE_UNAVAILABLE | StatusCode::TOO_MANY_REQUESTS
    )
}

impl IntoResponse for Problem {
    fn into_response(self) -> Response {
        let status = self.status();
        let mut response = (status, Json(&self)).into_response();
        // page::refusals takes it out again and shows it to browsers as a page.
        response.extensions_mut().insert(self);
        let headers = response.headers_mut();
        headers.insert(
            header::CONTENT_TYPE,
            HeaderValue::from_static("application/problem+json"),
        );
        match status {
            StatusCode::UNAUTHORIZED => {
                headers.insert(header::WWW_AUTHENTICATE, HeaderValue::from_static("Bearer"));
            }
            status if is_worth_another_try(status) => {
                headers.insert(header::RETRY_AFTER, HeaderValue::from_static(RETRY_AFTER));
            }
            _ => {}
        }
        response
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_database_that_refuses_or_is_too_new_is_no_outage() {
        let of = |reason: &str| {
            Problem::from(Error::Database {
                operation: "listing jobs",
                reason: reason.to_owned(),
            })
        };
        let refused = of("error returned from database: permission denied for table jobs");
        assert!(refused.detail.starts_with("the database refused (listing jobs)"));
        assert!(!refused.detail.contains("permission"), "an internal text is told");
        assert!(of("connection reset by peer").detail.contains("does not answer"));
        let newer = Problem::from(Error::SchemaNewer {
            place: "db".to_owned(),
            found: 999,
            newest: 125,
        });
        assert_eq!(newer.status, 503);
        assert!(newer.detail.contains("use a newer program"), "{}", newer.detail);
    }
}
