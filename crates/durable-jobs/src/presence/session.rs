//! The one connection of a worker that stays its own: it holds the lock on the executor id, beats, and hears of submissions.
//!
//! It is never opened again behind our back: whoever finds it broken drops it and opens another, which has no lock yet.

use std::time::Duration;

use sqlx::Acquire;
use sqlx::postgres::{PgConnection, PgListener, PgPool, PgPoolOptions};

use crate::Error;
use crate::database::Address;

/// Where clients say that they submitted; the payload is the queue.
pub(crate) const CHANNEL: &str = "abaci_submitted";

pub(super) struct WorkerSession {
    listener: PgListener,
    /// Of this one connection.
    pool: PgPool,
}

impl WorkerSession {
    /// Opens the connection and begins to listen.
    ///
    /// # Errors
    /// [`Error::Unreachable`], in the server's words where it refuses, or [`Error::Refused`].
    pub(super) async fn open(address: &Address, timeout: Duration) -> Result<Self, Error> {
        // The listener takes its connection from a pool and keeps it, so the pool never renews or tests any.
        let pool = PgPoolOptions::new()
            .max_connections(1)
            .idle_timeout(None)
            .max_lifetime(None)
            .test_before_acquire(false)
            .connect_lazy_with(address.options.clone());
        match tokio::time::timeout(timeout, Self::listen(address, pool)).await {
            Ok(session) => session,
            Err(_) => Err(address.silence(timeout).await),
        }
    }

    async fn listen(address: &Address, pool: PgPool) -> Result<Self, Error> {
        let failed = |error: sqlx::Error| address.failure("listening for submissions", &error);
        let mut listener = PgListener::connect_with(&pool).await.map_err(failed)?;
        // A connection that is lost has to be missed, and the lock with it.
        listener.eager_reconnect(false);
        listener.listen(CHANNEL).await.map_err(failed)?;
        Ok(Self { listener, pool })
    }

    /// The connection, for statements.
    ///
    /// # Errors
    /// When it is lost.
    pub(super) async fn connection(&mut self) -> Result<&mut PgConnection, sqlx::Error> {
        // It opens no other: the listener loses its connection in `submitted` alone, which ends the session.
        self.listener.acquire().await
    }

    /// Completes with the queue when a client says that it submitted; with `None` when the connection is lost.
    ///
    /// Cancel-safe.
    pub(super) async fn submitted(&mut self) -> Option<String> {
        let said = self.listener.try_recv().await.ok().flatten()?;
        Some(said.payload().to_owned())
    }

    /// Closes the session, which releases the lock.
    pub(super) async fn close(self) {
        // First: the pool's end waits until every connection is back.
        drop(self.listener);
        self.pool.close().await;
    }
}
