//! The resources under `/api/v1`.
//!
//! # Layout
//!
//! | module | what it does |
//! |---|---|
//! | `submit` | `POST /jobs` |
//! | `change` | changes of one job |
//! | `bulk` | changes of all jobs of a choice |
//! | `fleet` | workers, queues, estimates |
//! | `value` | the digits of a value, and their check |
//! | `jobs` | one job, its steps, and lists of jobs |
//! | `options` | what a submission says beside its jobs |
//! | `range` | the part of a value that is asked for |
//! | `filter` | a choice among jobs |
//! | `forms` | fields that may be written in more than one form |

mod bulk;
mod change;
mod filter;
mod fleet;
mod forms;
mod jobs;
mod options;
mod range;
mod submit;
mod value;

pub(crate) use filter::moment;

use utoipa::OpenApi;
use utoipa::openapi::security::{Http, HttpAuthScheme, SecurityScheme};
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

pub(crate) use fleet::queue_of;
pub(crate) use submit::MAX_JOBS;
pub(crate) use value::verification;

use crate::events;
use crate::problem::Problem;
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
        // The schemas of the description are there already, and the components with them.
        if let Some(components) = &mut openapi.components {
            let scheme = SecurityScheme::Http(Http::new(HttpAuthScheme::Bearer));
            components.add_security_scheme("token", scheme);
        }
    }
}

/// Returns the routes of everything that only reads.
pub(crate) fn reading() -> OpenApiRouter<Shared> {
    OpenApiRouter::with_openapi(Description::openapi())
        .routes(routes!(jobs::list_jobs))
        .routes(routes!(jobs::show_job))
        .routes(routes!(jobs::list_steps))
        .routes(routes!(jobs::list_attempts))
        .routes(routes!(value::show_value))
        .routes(routes!(fleet::list_workers))
        .routes(routes!(fleet::list_queues))
        .routes(routes!(fleet::estimate))
        .routes(routes!(events::all_events))
        .routes(routes!(events::job_events))
}

/// Returns the routes of everything that changes something.
pub(crate) fn changing() -> OpenApiRouter<Shared> {
    OpenApiRouter::new()
        .routes(routes!(submit::submit_jobs))
        .routes(routes!(value::verify_job))
        .routes(routes!(change::cancel_job))
        .routes(routes!(change::resume_job))
        .routes(routes!(change::fork_job))
        .routes(routes!(change::delete_job))
        .routes(routes!(bulk::bulk_cancel))
        .routes(routes!(bulk::bulk_resume))
        .routes(routes!(bulk::bulk_delete))
        .routes(routes!(fleet::pause_queue))
        .routes(routes!(fleet::resume_queue))
        .routes(routes!(fleet::limit_queue))
}
