//! The routes of everything, and the server under them.

use std::net::TcpListener;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::extract::State;
use axum::http::header;
use axum::middleware::from_fn_with_state;
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use tokio::sync::Semaphore;
use tokio::task::JoinSet;
use tracing::info;
use worker_fleet::http::{self, HttpLimits};

use crate::clients::Clients;
use crate::feed::Feed;
use crate::guard::{bound, guard};
use crate::load::Load;
use crate::problem::{Kind, Problem};
use crate::standing::Readings;
use crate::state::{Shared, Web, WebSettings};
use crate::{api, page};

/// The longest life of a connection: a listener comes back where it was.
const LIFETIME: Duration = Duration::from_hours(1);

/// So many large values are read at once, each by a thread.
const READS: usize = 16;

/// So many requests wait for the result of their job at once.
const WAITS: usize = 64;

/// A server of the interface and the page.
pub struct WebServer {
    listener: TcpListener,
    settings: WebSettings,
    write_timeout: Duration,
}

impl WebServer {
    /// Prepares a server on a bound listener; connections wait until [`WebServer::run`].
    ///
    /// # Errors
    /// When the listener cannot be used.
    pub fn new(listener: TcpListener, settings: WebSettings) -> std::io::Result<Self> {
        // tokio takes the socket as it is: one that blocks would hold up a thread of the runtime.
        listener.set_nonblocking(true)?;
        Ok(Self {
            listener,
            settings,
            write_timeout: http::WRITE_TIMEOUT,
        })
    }

    /// Ends a connection after so long without a byte of an answer that its client took; half a minute is usual.
    #[must_use]
    pub fn with_write_timeout(self, write_timeout: Duration) -> Self {
        Self {
            write_timeout,
            ..self
        }
    }

    /// Answers until `stop` completes, then lets answers under way finish, for at most 1 s, and returns.
    ///
    /// # Errors
    /// When the listener cannot be used.
    pub async fn run(self, stop: impl Future<Output = ()>) -> std::io::Result<()> {
        let listener = tokio::net::TcpListener::from_std(self.listener)?;
        info!(address = %listener.local_addr()?, "web");
        let clients = Arc::new(Clients::new(self.settings.connect));
        let (feed, feed_loop) = Feed::new();
        // One number for the server and for the share of listeners, or those could take all connections.
        let connections = http::capacity();
        let web = Arc::new(Web {
            load: Load::of(connections),
            access: self.settings.access,
            limits: self.settings.limits,
            database: self.settings.database,
            bucket_access: self.settings.bucket_access,
            kill: self.settings.kill,
            reads: Arc::new(Semaphore::new(READS)),
            waits: Semaphore::new(WAITS),
            clients: Arc::clone(&clients),
            feed,
            readings: Readings::default(),
        });
        let limits = HttpLimits {
            connections,
            lifetime: LIFETIME,
            write_timeout: self.write_timeout,
        };
        // A set ends its tasks with it: a bare task would outlive this future when that is dropped.
        let mut asking = JoinSet::new();
        asking.spawn(feed_loop.run(clients));
        let stop = async {
            stop.await;
            // Listeners hear of the end while answers under way may finish, and none is waited for.
            asking.shutdown().await;
        };
        http::serve(listener, router(web), limits, stop).await;
        Ok(())
    }
}

fn router(web: Shared) -> Router {
    let (reading, mut description) = api::reading().split_for_parts();
    let (changing, more) = api::changing().split_for_parts();
    let is_read_only = web.access.is_read_only();
    if !is_read_only {
        description.merge(more);
    }
    // Always valid: it is made of strings and numbers.
    let description = description.to_json().unwrap_or_default();
    // A route that is left out stays out of reach, whatever mistake the guard may have.
    let mut router = reading
        .merge(page::reading())
        .route(
            "/openapi.json",
            get(move || std::future::ready(json(description))),
        )
        .route("/healthz", get(healthz));
    if !is_read_only {
        router = router.merge(changing).merge(page::changing());
        if web.kill.is_some() {
            router = router.merge(page::demonstrating());
        }
    }
    // The last layer is the outermost: a request that guard refuses takes no place, and refusals sees every problem.
    router
        // A layer covers only what is there already: added before these two, it would leave wrong paths open.
        .fallback(nothing)
        .method_not_allowed_fallback(wrong_method)
        .layer(from_fn_with_state(Arc::clone(&web), bound))
        .layer(from_fn_with_state(Arc::clone(&web), guard))
        .layer(from_fn_with_state(Arc::clone(&web), page::refusals))
        .with_state(web)
}

fn json(text: String) -> Response {
    ([(header::CONTENT_TYPE, "application/json")], text).into_response()
}

/// Says that this process answers; it asks nobody.
async fn healthz() -> &'static str {
    "ok\n"
}

async fn nothing(State(_): State<Shared>) -> Problem {
    Problem::new(
        Kind::NotFound,
        "there is no such resource; /openapi.json lists all",
    )
}

async fn wrong_method() -> Problem {
    Problem::new(
        Kind::MethodNotAllowed,
        "the resource has other methods; /openapi.json lists them",
    )
}
