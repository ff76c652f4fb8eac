//! The client of a server, connected at the first question.

use std::future::Future;
use std::pin::Pin;
use std::time::{Duration, Instant};

use durable_jobs::{Client, Error};
use tokio::sync::Mutex;
use tokio::time::timeout;
use tracing::warn;

use crate::problem::Problem;

/// The longest that a request waits for the first connection.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);

/// A way to connect a client.
pub type Connect = Box<dyn Fn() -> Pin<Box<dyn Future<Output = Result<Client, Error>> + Send>> + Send + Sync>;

/// A failure to connect is that of all who ask within so long.
const FAILURE_COUNTS: Duration = Duration::from_secs(1);

/// The client, once somebody asked something.
pub(crate) struct Clients {
    connect: Connect,
    standing: Mutex<Connection>,
}

/// The client, or the last failure to connect one.
#[derive(Default)]
struct Connection {
    client: Option<Client>,
    failed: Option<(Instant, Problem)>,
}

impl Clients {
    pub(crate) fn new(connect: Connect) -> Self {
        Self {
            connect,
            standing: Mutex::default(),
        }
    }

    /// Returns the client, connected at the first question and after a failure.
    ///
    /// One connects at a time, and those who wait meanwhile share its success or failure: none waits longer than it.
    pub(crate) async fn get(&self) -> Result<Client, Problem> {
        let Ok(mut standing) = timeout(CONNECT_TIMEOUT, self.standing.lock()).await else {
            return Err(Problem::unanswered());
        };
        // It stays for good: after an outage its pool connects anew by itself.
        if let Some(client) = &standing.client {
            return Ok(client.clone());
        }
        match &standing.failed {
            // Or each of those who waited for the lock would wait for a try of its own after it.
            Some((when, problem)) if when.elapsed() < FAILURE_COUNTS => return Err(problem.clone()),
            _ => {}
        }
        // Under the lock, so that of many who come during an outage one alone connects.
        let connected = self.connected().await;
        match &connected {
            Ok(client) => standing.client = Some(client.clone()),
            Err(problem) => standing.failed = Some((Instant::now(), problem.clone())),
        }
        connected
    }

    async fn connected(&self) -> Result<Client, Problem> {
        let Ok(connected) = timeout(CONNECT_TIMEOUT, (self.connect)()).await else {
            warn!("no connection to the database in time");
            return Err(Problem::unanswered());
        };
        Ok(connected?)
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;
    use std::sync::atomic::{AtomicUsize, Ordering};

    use super::*;

    #[tokio::test]
    async fn those_who_ask_at_once_share_one_failure_to_connect() {
        let tries = Arc::new(AtomicUsize::new(0));
        let counted = Arc::clone(&tries);
        let clients = Clients::new(Box::new(move || {
            counted.fetch_add(1, Ordering::Relaxed);
            Box::pin(std::future::pending())
        }));
        let began = Instant::now();
        let (first, second, third) = tokio::join!(clients.get(), clients.get(), clients.get());
        for answer in [first, second, third] {
            assert_eq!(answer.err(), Some(Problem::unanswered()));
        }
        assert!(began.elapsed() < 2 * CONNECT_TIMEOUT, "one waited for another");
        assert_eq!(tries.load(Ordering::Relaxed), 1);
    }
}
