//! The resources under `/api/v1`.
//!
//! # Layout
//!
//! | module | what it does |
//! |---|---|
//! | `submit` | `POST /jobs` |
//! | `jobs` | one job, and lists of them |

mod jobs;
mod submit;

use axum::extract::rejection::{PathRejection, QueryRejection};
use utoipa::OpenApi;
use utoipa::openapi::security::{Http, HttpAuthScheme, SecurityScheme};
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use crate::events;
use crate::problem::{Kind, Problem};
use crate::state::Shared;

/// The description of the interface, but for its paths.
#[derive(OpenApi)]
#[openapi(
    info(
        title = "abaci",
        description = "Durable jobs: submit them, watch them, manage them. Times are milliseconds since 1970-01-01 UTC by the database's clock.",
        license(name = "MIT", identifier = "MIT")
    ),
    modifiers(&TokenScheme),
    components(schemas(Problem))
)]
struct Description;

struct TokenScheme;

impl utoipa::Modify for TokenScheme {
    fn modify(&self, openapi: &mut utoipa::openapi::OpenApi) {
        if let Some(components) = &mut openapi.components {
            let scheme = SecurityScheme::Http(Http::new(HttpAuthScheme::Bearer));
            components.add_security_scheme("token", scheme);
        }
    }
}

/// Returns the routes of everything that only reads.
pub(crate) fn reading() -> OpenApiRouter<Shared> {
    OpenApiRouter::with_openapi(Description::openapi())
        .routes(routes!(jobs::show_job))
        .routes(routes!(events::all_events))
        .routes(routes!(events::job_events))
}

/// Returns the routes of everything that changes something.
pub(crate) fn changing() -> OpenApiRouter<Shared> {
    OpenApiRouter::new().routes(routes!(submit::submit_jobs))
}

impl From<PathRejection> for Problem {
    fn from(error: PathRejection) -> Self {
        Self::new(Kind::Malformed, error.body_text())
    }
}

impl From<QueryRejection> for Problem {
    fn from(error: QueryRejection) -> Self {
        Self::of_part("query", error.body_text(), None)
    }
}
