//! The page: views that are rendered here and work without scripts.

use axum::Router;

use crate::state::Shared;

/// Returns the views, which only read.
pub(crate) fn reading() -> Router<Shared> {
    Router::new()
}

/// Returns the forms, which change something.
pub(crate) fn changing() -> Router<Shared> {
    Router::new()
}
