//! Forms, within the limits of every body.

use axum::Form;
use axum::body::Body;
use axum::extract::{FromRequest, Request};
use serde::de::DeserializeOwned;
use tracing::debug;

use crate::body::bytes_of;
use crate::problem::{Kind, Problem};

/// The fields of a form.
pub(super) struct FormFields<T>(pub(super) T);

impl<S: Send + Sync, T: DeserializeOwned> FromRequest<S> for FormFields<T> {
    type Rejection = Problem;

    async fn from_request(request: Request, state: &S) -> Result<Self, Problem> {
        let (parts, body) = request.into_parts();
        // Read before axum sees it, which has another limit and no time for all of a body.
        let bytes = bytes_of(body, &parts.headers).await?;
        let request = Request::from_parts(parts, Body::from(bytes));
        match Form::from_request(request, state).await {
            Ok(Form(fields)) => Ok(Self(fields)),
            Err(error) => {
                let detail = "the fields of the form are not those that are asked for, each once";
                debug!(error = error.body_text(), "a form was refused");
                Err(Problem::new(Kind::Malformed, detail))
            }
        }
    }
}
