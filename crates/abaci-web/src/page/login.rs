//! Logging in by a one-time code or by the token, and out.

use askama::Template;
use axum::extract::State;
use axum::http::{HeaderMap, HeaderValue, Method, StatusCode, header};
use axum::response::Response;
use serde::Deserialize;

use super::form::FormFields;
use super::frame::{Frame, go, render};
use super::refusal::{Refusal, View};
use crate::access::{Access, SESSION_LIFE};
use crate::guard::{cookies, is_by_tls};
use crate::place::Params;
use crate::problem::Problem;
use crate::state::Shared;

/// The form of a login.
#[derive(Deserialize)]
pub(super) struct LoginForm {
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
pub(super) async fn login(
    State(web): State<Shared>,
    frame: Frame,
    method: Method,
    headers: HeaderMap,
    params: Result<Params, Problem>,
) -> View {
    let code = params.and_then(|mut params| params.take("code"));
    let code = code.map_err(|problem| Refusal::new(&frame, problem))?;
    Ok(match code {
        None => form(frame, None),
        // A preview of links asks for the head alone, and logs nobody in.
        Some(_) if method == Method::HEAD => form(frame, None),
        Some(code) if web.access.spend(&code) => arrived(frame, &web.access, &headers),
        Some(_) => {
            let refusal = "This address was used before, is over ten minutes old or of another server; make a new one with: abaci web url";
            form(frame, Some(refusal))
        }
    })
}

/// Takes the token of the form.
pub(super) async fn take_token(
    State(web): State<Shared>,
    frame: Frame,
    headers: HeaderMap,
    fields: Result<FormFields<LoginForm>, Problem>,
) -> Response {
    match fields {
        // A copied token often brings a line break along, and no token has white space.
        Ok(FormFields(LoginForm { token })) if web.access.token().is(token.trim()) => {
            logged_in(&web.access, &headers)
        }
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
pub(super) async fn logout(State(web): State<Shared>, headers: HeaderMap) -> Response {
    let name = web.access.token().cookie_name();
    for (_, session) in cookies(&headers).filter(|(key, _)| *key == name) {
        web.access.end_session(session);
    }
    // An age of 0 takes it from the browser; the session itself is over by what was noted above.
    let cookie = Cookie {
        value: "",
        seconds: 0,
        is_by_tls: is_by_tls(&headers),
    };
    cookie.put_on(go("/", "out"), &web.access)
}

fn form(frame: Frame, refusal: Option<&'static str>) -> Response {
    let mut response = render(&LoginPage { frame, refusal });
    if refusal.is_some() {
        *response.status_mut() = StatusCode::UNAUTHORIZED;
    }
    response
}

fn logged_in(access: &Access, headers: &HeaderMap) -> Response {
    // The form is a page of ours, so that the browser sends the cookie along with this redirection.
    with_session(go("/", "in"), access, headers)
}

/// Logs in one who comes from elsewhere, by a page that goes on by itself: a browser sends the cookie along with what our own
/// pages lead to, and not with what another program or page does, redirections among it.
fn arrived(frame: Frame, access: &Access, headers: &HeaderMap) -> Response {
    with_session(render(&ArrivedPage { frame }), access, headers)
}

fn with_session(response: Response, access: &Access, headers: &HeaderMap) -> Response {
    let session = access.token().session();
    let cookie = Cookie {
        value: &session,
        seconds: SESSION_LIFE.as_secs(),
        is_by_tls: is_by_tls(headers),
    };
    cookie.put_on(response, access)
}

/// The cookie of a session.
struct Cookie<'a> {
    value: &'a str,
    seconds: u64,
    /// True if the browser is never to send it without TLS.
    is_by_tls: bool,
}

impl Cookie<'_> {
    fn put_on(&self, mut response: Response, access: &Access) -> Response {
        let (name, value, seconds) = (access.token().cookie_name(), self.value, self.seconds);
        let secure = if self.is_by_tls { "; Secure" } else { "" };
        let cookie = format!("{name}={value}; HttpOnly; SameSite=Strict; Path=/; Max-Age={seconds}{secure}");
        if let Ok(cookie) = HeaderValue::from_str(&cookie) {
            response.headers_mut().insert(header::SET_COOKIE, cookie);
        }
        response
    }
}
