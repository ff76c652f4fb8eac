//! The database of a fleet, looked after without ever connecting to it.

use std::sync::Arc;
use std::time::Duration;

use durable_jobs::APPLICATION;
use local_postgres::{Health, Lease};
use tokio::sync::watch;
use tracing::{error, info, warn};
use worker_fleet::snapshot::PrivateDatabase;
use worker_fleet::supervisor::QueueAddress;

use crate::config::Config;
use crate::database_access::{lost, on_blocking_thread, place_of, private_failure, private_settings};

/// The time between two looks at the private database.
const LOOK_INTERVAL: Duration = Duration::from_secs(1);

/// The database of a fleet, which its workers and its health process connect to and its supervisor does not.
pub(super) struct FleetDatabase {
    url: String,
    place: String,
    queue: String,
    lease: Option<Arc<Lease>>,
}

impl FleetDatabase {
    /// Settles which database it is, and has the private one started if that is the one.
    ///
    /// # Errors
    /// An address that makes no sense, or a private database that cannot be had.
    pub(super) async fn settle(config: &Config) -> anyhow::Result<Self> {
        let queue = config.queue.value.clone();
        if let Some(url) = config.given_database()? {
            return Ok(Self {
                url,
                place: place_of(config),
                queue,
                lease: None,
            });
        }
        let settings = private_settings(config)?;
        let lease = on_blocking_thread(move || Lease::join(&settings))
            .await?
            .map_err(|error| private_failure(config, error))?;
        Ok(Self {
            url: lease.url(APPLICATION),
            place: place_of(config),
            queue,
            lease: Some(Arc::new(lease)),
        })
    }

    /// The database's address, fit to be shown.
    pub(super) fn place(&self) -> &str {
        &self.place
    }

    /// Returns the queue, for the health process to ask.
    pub(super) fn address(&self) -> QueueAddress {
        QueueAddress {
            url: self.url.clone(),
            queue: self.queue.clone(),
            version: fibonacci_jobs::VERSION.to_owned(),
        }
    }

    /// Looks at the private database again and again, brings it back when it and its keeper are gone, and publishes what it
    /// sees until nobody receives it; of any other database nothing is known.
    pub(super) fn watch(&self) -> watch::Receiver<Option<PrivateDatabase>> {
        let Some(lease) = self.lease.clone() else {
            return watch::channel(None).1;
        };
        let (seen, seeing) = watch::channel(Some(PrivateDatabase::down("it is being started")));
        tokio::spawn(watch(lease, seen));
        seeing
    }
}

async fn watch(lease: Arc<Lease>, shown: watch::Sender<Option<PrivateDatabase>>) {
    // It has just been asked for: that it does not run yet is no news.
    let (mut was_running, mut was_lost, mut was_removed) = (false, false, false);
    loop {
        let looked = Arc::clone(&lease);
        let seen = match on_blocking_thread(move || looked.keep_alive()).await {
            Ok(Ok(Health::Ready)) => PrivateDatabase::RUNNING,
            Ok(Ok(Health::NotReady)) => PrivateDatabase::down("it is being started, or stopped"),
            Ok(Err(error)) => lost(&error),
            Err(error) => PrivateDatabase::down(error),
        };
        match &seen.reason {
            None if was_lost => info!("private database runs again"),
            Some(reason) if seen.removed => {
                was_lost = true;
                if !was_removed {
                    error!(reason, "private database is gone");
                }
            }
            Some(reason) if was_running => {
                was_lost = true;
                warn!(reason, "private database does not run");
            }
            _ => {}
        }
        (was_running, was_removed) = (seen.running, seen.removed);
        was_lost &= !seen.running;
        if shown.send(Some(seen)).is_err() {
            return;
        }
        tokio::time::sleep(LOOK_INTERVAL).await;
    }
}
