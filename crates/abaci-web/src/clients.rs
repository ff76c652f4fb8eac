//! The client of a server, connected at the first question.

use std::future::Future;
use std::pin::Pin;
use std::time::Duration;

use durable_jobs::{Client, Error};
use tokio::sync::Mutex;
use tokio::time::timeout;
use tracing::warn;

use crate::problem::{Kind, Problem};

/// The longest that a request waits for the first connection.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);

/// A way to connect a client.
pub type Connect = Box<dyn Fn() -> Pin<Box<dyn Future<Output = Result<Client, Error>> + Send>> + Send + Sync>;

/// The client, once somebody asked something.
pub(crate) struct Clients {
    connect: Connect,
    client: Mutex<Option<Client>>,
}

impl Clients {
    pub(crate) fn new(connect: Connect) -> Self {
        Self {
            connect,
            client: Mutex::default(),
        }
    }

    /// Returns the client, connected at the first question and after a failure.
    pub(crate) async fn get(&self) -> Result<Client, Problem> {
        let mut client = self.client.lock().await;
        if let Some(client) = client.as_ref() {
            return Ok(client.clone());
        }
        let Ok(connected) = timeout(CONNECT_TIMEOUT, (self.connect)()).await else {
            warn!("no connection to the database in time");
            let detail = "the database does not answer; try again soon";
            return Err(Problem::new(Kind::Unavailable, detail));
        };
        Ok(client.insert(connected?).clone())
    }
}
