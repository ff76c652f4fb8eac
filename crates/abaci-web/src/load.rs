//! Bounds on what is done at once: requests, and listeners, each with its own share, so that neither starves the other.
//!
//! A request has its place until its answer begins, and a listener until its stream ends. Who finds no place is answered
//! at once, 429 with the time after which to try again; a page that says whether the process lives has no need of one.

use std::sync::Arc;

use axum::body::Body;
use axum::response::Response;
use futures_util::StreamExt;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use crate::problem::{Kind, Problem};

/// So many requests are answered at once.
const REQUESTS: usize = 256;

/// The places of a server.
pub(crate) struct Load {
    requests: Arc<Semaphore>,
    listeners: Arc<Semaphore>,
}

/// The place of one request.
pub(crate) enum LoadPlace {
    #[expect(dead_code, reason = "it is held")]
    Request(OwnedSemaphorePermit),
    Listener(OwnedSemaphorePermit),
}

impl Load {
    /// Shares so many connections: at most three quarters of them are for listeners.
    pub(crate) fn of(connections: usize) -> Self {
        Self {
            requests: Arc::new(Semaphore::new(REQUESTS)),
            listeners: Arc::new(Semaphore::new((connections / 4 * 3).max(1))),
        }
    }

    /// Takes a place for a request of this path.
    pub(crate) fn place(&self, path: &str) -> Result<LoadPlace, Problem> {
        // By the path, before it is routed; that of a job called `events` counts as well, which harms nobody.
        let is_listener = path.starts_with("/api/") && path.ends_with("/events");
        let (places, what) = if is_listener {
            (&self.listeners, "as many listen as may at once; try again soon")
        } else {
            (
                &self.requests,
                "as many requests are answered as may be at once; try again soon",
            )
        };
        // None waits for a place: where answers are slow, those who wait would pile up and hold connections.
        match Arc::clone(places).try_acquire_owned() {
            Ok(place) if is_listener => Ok(LoadPlace::Listener(place)),
            Ok(place) => Ok(LoadPlace::Request(place)),
            Err(_) => Err(Problem::new(Kind::TooMany, what)),
        }
    }
}

impl LoadPlace {
    /// Gives the place back with the beginning of the answer, or with the end of a stream.
    pub(crate) fn leave_with(self, response: Response) -> Response {
        match self {
            // The digits of values, which stream on after the beginning, have places of their own.
            Self::Request(_) => response,
            Self::Listener(place) => kept(response, place),
        }
    }
}

/// Keeps the place until the body has ended, or its reader is gone.
fn kept(response: Response, place: OwnedSemaphorePermit) -> Response {
    response.map(|body| {
        let stream = body.into_data_stream();
        // The closure owns the place, which is free again when the body is dropped.
        Body::from_stream(stream.inspect(move |_| {
            let _ = &place;
        }))
    })
}
