//! What is around every view.

use askama::Template;
use axum::extract::{FromRequestParts, Query};
use axum::http::request::Parts;
use axum::http::{Method, StatusCode};
use axum::response::{Html, IntoResponse, Redirect, Response};
use serde::Deserialize;
use tracing::error;

use super::assets::{ICON, SCRIPT, STYLE};
use super::words::ShownTime;
use crate::access::Access;
use crate::clock::now_ms;
use crate::guard::Rights;
use crate::state::Shared;

/// The views that the head of each page leads to.
const VIEWS: [(&str, &str); 5] = [
    ("Overview", "/"),
    ("Jobs", "/jobs"),
    ("Submit", "/submit"),
    ("Queues", "/queues"),
    ("Workers", "/workers"),
];

/// The head and the foot of a view.
#[derive(Debug, Clone)]
pub(super) struct Frame {
    /// The view in the head that this one belongs to.
    pub(super) place: &'static str,
    pub(super) role: PageRole,
    /// True if this is a demonstration, where workers may be killed.
    pub(super) is_show: bool,
    /// The sentence on the change just made.
    pub(super) did: Option<&'static str>,
    /// The place of the jobs; empty for those who may not know it.
    pub(super) database: String,
    /// True if the address alone shows the same again.
    pub(super) is_address: bool,
    pub(super) shown_at: ShownTime,
}

/// The rights of the reader, as views need them.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum PageRole {
    /// Look; the server changes nothing for anybody.
    ReadOnly,
    /// Look; and change something after logging in.
    Reader,
    /// Change something.
    Operator,
}

/// The word for a change in the address that follows it.
#[derive(Deserialize)]
struct Did {
    did: Option<String>,
}

/// A link in the head of a page.
pub(super) struct HeadLink {
    pub(super) name: &'static str,
    pub(super) href: &'static str,
    pub(super) is_here: bool,
}

impl Frame {
    pub(super) fn at(self, place: &'static str) -> Self {
        Self { place, ..self }
    }

    pub(super) fn new(access: &Access, rights: Rights, database: &str) -> Self {
        let role = match rights {
            _ if access.is_read_only() => PageRole::ReadOnly,
            Rights::LogIn | Rights::Read => PageRole::Reader,
            Rights::Change => PageRole::Operator,
        };
        let now = now_ms();
        Self {
            place: "",
            role,
            is_show: false,
            did: None,
            // The address names a host and a database, which only those who may read are to know.
            database: if rights == Rights::LogIn {
                String::new()
            } else {
                database.to_owned()
            },
            is_address: true,
            shown_at: ShownTime::of(now, now),
        }
    }

    pub(super) fn views(&self) -> Vec<HeadLink> {
        let links = VIEWS
            .into_iter()
            // A read-only server has no such route.
            .filter(|(name, _)| *name != "Submit" || self.role != PageRole::ReadOnly);
        let links = links.map(|(name, href)| HeadLink {
            name,
            href,
            is_here: name == self.place,
        });
        links.collect()
    }

    pub(super) fn can_change(&self) -> bool {
        self.role == PageRole::Operator
    }

    pub(super) fn can_kill(&self) -> bool {
        self.is_show && self.can_change()
    }

    pub(super) fn can_log_in(&self) -> bool {
        self.role == PageRole::Reader
    }

    pub(super) fn style() -> String {
        STYLE.path()
    }

    pub(super) fn script() -> String {
        SCRIPT.path()
    }

    pub(super) fn icon() -> String {
        ICON.path()
    }
}

impl FromRequestParts<Shared> for Frame {
    type Rejection = std::convert::Infallible;

    async fn from_request_parts(parts: &mut Parts, web: &Shared) -> Result<Self, Self::Rejection> {
        // The guard has put them in; without it a view shows the least.
        let rights = parts.extensions.get().copied().unwrap_or(Rights::LogIn);
        let did = Query::<Did>::try_from_uri(&parts.uri)
            .ok()
            .and_then(|Query(did)| did.did);
        Ok(Self {
            is_show: web.kill.is_some(),
            did: did.and_then(|did| sentence_of(&did)),
            is_address: parts.method == Method::GET,
            ..Self::new(&web.access, rights, &web.database)
        })
    }
}

/// Says what was done; a word that is none of ours says nothing, so that no link can put words on the page.
fn sentence_of(did: &str) -> Option<&'static str> {
    Some(match did {
        "queued" => "Queued.",
        "cancelled" => "Cancelled; what computes stops within half a second.",
        "ended" => "Nothing was changed: the job had ended before.",
        "resumed" => "Resumed: it waits in its queue again, and its recorded steps are kept.",
        "moved" => "Resumed on another queue, since its own is not known any more.",
        "stays" => "Nothing was changed: only a job that failed, was parked or was cancelled can be resumed.",
        "forked" => "Forked: this is the new job, which keeps the steps before.",
        "verified" => {
            "Verified: all digits were read, and agree with a certificate that was computed just now."
        }
        "paused" => "Paused: what runs goes on, and nothing more is started.",
        "unpaused" => "The queue starts jobs again.",
        "limited" => "The rate of the queue is set.",
        "unlimited" => "The queue has no rate any more.",
        "killed" => "Killed with SIGKILL: another process takes its place, and its job is done all the same.",
        "in" => "You are logged in.",
        "out" => "You are logged out.",
        _ => return None,
    })
}

/// Leads on to another view, which says what was done.
pub(super) fn go(path: &str, did: &str) -> Response {
    let sign = if path.contains('?') { '&' } else { '?' };
    Redirect::to(&format!("{path}{sign}did={did}")).into_response()
}

/// Writes a page.
pub(super) fn render(template: &impl Template) -> Response {
    match template.render() {
        Ok(text) => Html(text).into_response(),
        Err(problem) => {
            error!(error = %problem, "a page could not be written");
            (
                StatusCode::INTERNAL_SERVER_ERROR,
                "the page could not be written\n",
            )
                .into_response()
        }
    }
}
