//! The fleet's side of the control socket.

use std::io;
use std::sync::Arc;
use std::time::Duration;

use tokio::io::{AsyncBufReadExt, AsyncReadExt, BufReader};
use tokio::net::UnixStream;
use tokio::sync::{Semaphore, oneshot};
use tokio::time::{MissedTickBehavior, interval, sleep, timeout};
use tracing::{debug, error, warn};

use super::lock::FleetLock;
use super::{FleetAnswer, PendingRequest, TIMEOUT};
use crate::supervisor::ipc::write_line;

/// The longest request in bytes.
const LONGEST_REQUEST: u64 = 4096;

/// The number of requests that are answered at once.
const MOST_CONNECTIONS: usize = 32;

/// The pause after a failure to accept.
const ACCEPT_PAUSE: Duration = Duration::from_millis(500);

/// The pause between two looks at the socket.
const LOOK_INTERVAL: Duration = Duration::from_millis(500);

/// Takes requests, some at a time, and sees to it that the socket stays where it is looked for; never completes.
pub(in crate::supervisor) async fn serve(
    mut lock: FleetLock,
    hand_on: impl Fn(PendingRequest) -> bool + Clone + Send + 'static,
) {
    let permits = Arc::new(Semaphore::new(MOST_CONNECTIONS));
    let mut looks = interval(LOOK_INTERVAL);
    // After a pause of this process one look is enough; the default makes up for each that was missed.
    looks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let mut failures = 0;
    loop {
        // The permit comes before the connection: whoever has none waits in the socket's backlog.
        // The semaphore is never closed.
        let Ok(permit) = Arc::clone(&permits).acquire_owned().await else {
            return;
        };
        let accepted = tokio::select! {
            accepted = lock.listener.accept() => accepted,
            _ = looks.tick() => {
                restore(&mut lock, &mut failures);
                continue;
            }
        };
        match accepted {
            Ok((stream, _)) => {
                let hand_on = hand_on.clone();
                tokio::spawn(async move {
                    let _permit = permit;
                    if let Err(error) = answer(stream, hand_on).await {
                        debug!(%error, "a request to the fleet was broken off");
                    }
                });
            }
            Err(error) => {
                warn!(%error, "a request to the fleet could not be taken");
                sleep(ACCEPT_PAUSE).await;
            }
        }
    }
}

/// Makes again what was removed of the lock and the socket, and logs it; a failure that stays is logged once.
///
/// The first look may meet somebody who holds the lock for a moment to see whether it is free.
fn restore(lock: &mut FleetLock, failures: &mut u32) {
    match lock.restore() {
        Ok(was_missing) => {
            if was_missing {
                warn!("the control socket or its lock was removed; both are there again");
            }
            *failures = 0;
        }
        Err(error) => {
            *failures = failures.saturating_add(1);
            if *failures == 2 {
                error!(
                    reason = %error,
                    "the control socket or its lock was removed; trying to make it again"
                );
            }
        }
    }
}

/// Reads one request from a connection, hands it on and writes its answer.
async fn answer(
    stream: UnixStream,
    hand_on: impl Fn(PendingRequest) -> bool + Clone + Send + 'static,
) -> io::Result<()> {
    let (reader, mut writer) = tokio::io::split(stream);
    let mut line = String::new();
    let mut reader = BufReader::new(reader.take(LONGEST_REQUEST));
    timeout(TIMEOUT, reader.read_line(&mut line)).await??;
    // A client that has given up has reported that nothing was done, so nothing may be; one that waits sends nothing
    // more.
    if let Ok(Ok([])) = timeout(Duration::ZERO, reader.fill_buf()).await {
        return Err(io::Error::other("whoever asked has left"));
    }
    let answer = match serde_json::from_str(&line) {
        Ok(request) => {
            let (answer, answered) = oneshot::channel();
            let ends = || io::Error::other("the fleet ends");
            if !hand_on(PendingRequest { request, answer }) {
                return Err(ends());
            }
            answered.await.map_err(|_| ends())?
        }
        Err(error) => FleetAnswer::Refused {
            reason: format!("the request makes no sense: {error}"),
        },
    };
    timeout(TIMEOUT, write_line(&mut writer, &answer)).await??;
    Ok(())
}
