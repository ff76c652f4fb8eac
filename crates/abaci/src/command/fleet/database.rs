//! The private database of a fleet, looked after without ever connecting to it.

use std::sync::Arc;
use std::time::Duration;

use local_postgres::{Health, Lease};
use tokio::sync::watch;
use tracing::{error, info, warn};
use worker_fleet::snapshot::PrivateDatabase;

use crate::database_access::{DatabaseAccess, lost, on_blocking_thread};

/// Interval at which the private database is looked at.
const LOOK_INTERVAL: Duration = Duration::from_secs(1);

/// Looks at the private database again and again, brings it back when it and its keeper are gone, and publishes what it
/// sees until nobody receives it; of any other database nothing is known.
pub(super) fn watch_private(access: &DatabaseAccess) -> watch::Receiver<Option<PrivateDatabase>> {
    let Some(lease) = access.lease() else {
        return watch::channel(None).1;
    };
    let (seen, seeing) = watch::channel(Some(PrivateDatabase::down("it is being started")));
    tokio::spawn(watch(lease, seen));
    seeing
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
