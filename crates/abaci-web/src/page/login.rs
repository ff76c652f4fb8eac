//! Logging in by a one-time code or by the token, and out.

use askama::Template;
use axum::extract::{Query, State};
use axum::http::{HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use serde::Deserialize;

use super::form::Fields;
use super::frame::{Frame, go, render};
use crate::access::{Access, SESSION_LIFE};
use crate::problem::Problem;
use crate::state::Shared;

/// The query of a login.
#[derive(Deserialize)]
pub(super) struct Code {
    code: Option<String>,
}

/// The form of a login.
#[derive(Deserialize)]
pub(super) struct Given {
    token: String,
}

/// The page behind an address that logs in.
#[derive(Template)]
#[template(path = "arrived.html")]
struct ArrivedPage {
    frame: Frame,
}

#[derive(Template)]
#[template(path = "login.html")]
struct LoginPage {
    frame: Frame,
    refusal: Option<&'static str>,
}

/// Shows the form; an address with a good code logs in.
pub(super) async fn login(State(web): State<Shared>, frame: Frame, Query(given): Query<Code>) -> Response {
    match given.code {
        None => form(frame, None),
        Some(code) if web.access.spend(&code) => arrived(frame, &web.access),
        Some(_) => {
            let refusal = "This address was used before, is over ten minutes old or of another server; make a new one with: abaci web url";
            form(frame, Some(refusal))
        }
    }
}

/// Takes the token of the form.
pub(super) async fn take_token(
    State(web): State<Shared>,
    frame: Frame,
    fields: Result<Fields<Given>, Problem>,
) -> Response {
    match fields {
        Ok(Fields(Given { token })) if web.access.token().is(token.trim()) => logged_in(&web.access),
        Ok(_) => form(
            frame,
            Some(
                "This is not the token of this server; abaci web url prints an address that logs in without it.",
            ),
        ),
        Err(_) => form(frame, Some("The form has no token; paste it into the field.")),
    }
}

/// Ends the session of this browser.
pub(super) async fn logout(State(web): State<Shared>) -> Response {
    with_cookie(go("/", "out"), &web.access, "", 0)
}

fn form(frame: Frame, refusal: Option<&'static str>) -> Response {
    let mut response = render(&LoginPage { frame, refusal });
    if refusal.is_some() {
        *response.status_mut() = StatusCode::UNAUTHORIZED;
    }
    response
}

fn logged_in(access: &Access) -> Response {
    with_session(go("/", "in"), access)
}

/// Logs in one who comes from elsewhere, by a page that goes on by itself: a browser sends the cookie along with what our own
/// pages lead to, and not with what another program or page does, redirections among it.
fn arrived(frame: Frame, access: &Access) -> Response {
    with_session(render(&ArrivedPage { frame }), access)
}

fn with_session(response: Response, access: &Access) -> Response {
    let session = access.token().session();
    with_cookie(response, access, &session, SESSION_LIFE.as_secs())
}

fn with_cookie(response: Response, access: &Access, value: &str, seconds: u64) -> Response {
    let name = access.token().cookie_name();
    let cookie = format!("{name}={value}; HttpOnly; SameSite=Strict; Path=/; Max-Age={seconds}");
    let mut response = response.into_response();
    if let Ok(cookie) = HeaderValue::from_str(&cookie) {
        response.headers_mut().insert(header::SET_COOKIE, cookie);
    }
    response
}
