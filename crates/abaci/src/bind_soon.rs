//! Addresses that a process which was just killed may hold for another moment.

use std::time::{Duration, Instant};

/// The longest time that it may.
const PREDECESSOR_PATIENCE: Duration = Duration::from_secs(2);

const PAUSE: Duration = Duration::from_millis(50);

/// Binds an address, again and again until its last holder is gone.
///
/// # Errors
/// The last refusal.
pub(crate) async fn bind_soon<T, E>(bind: impl Fn() -> Result<T, E>) -> Result<T, E> {
    let began = Instant::now();
    loop {
        // The serving processes of a killed fleet hold its sockets until they have seen its end.
        // Any refusal is tried again, since `E` does not say which ones pass.
        match bind() {
            Err(_) if began.elapsed() < PREDECESSOR_PATIENCE => tokio::time::sleep(PAUSE).await,
            bound => return bound,
        }
    }
}
