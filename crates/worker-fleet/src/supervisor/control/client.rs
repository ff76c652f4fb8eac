//! The side of those who ask a fleet.

use std::io;
use std::path::Path;
use std::time::{Duration, Instant};

use tokio::io::{AsyncBufReadExt, BufReader};
use tokio::net::UnixStream;
use tokio::time::{sleep, timeout};

use super::lock::{LONGEST_SOCKET_PATH, holder, socket_in};
use super::{FleetAnswer, FleetRequest, Snapshot, TIMEOUT};
use crate::Error;
use crate::supervisor::ipc::write_line;

/// The longest time that a running fleet may be without its socket.
const SOCKET_PATIENCE: Duration = Duration::from_secs(2);

/// The pause between two attempts to connect to one.
const CONNECT_PAUSE: Duration = Duration::from_millis(50);

/// Asks the fleet of `directory`; `None` when there is none.
///
/// A reload is answered when it is over; everything else within five seconds.
///
/// # Errors
/// When it does not answer, or cannot be reached.
pub async fn ask(directory: &Path, request: FleetRequest) -> Result<Option<FleetAnswer>, Error> {
    if request == FleetRequest::Reload {
        return exchange(directory, request).await;
    }
    let answer = timeout(TIMEOUT, exchange(directory, request)).await;
    answer.unwrap_or_else(|_| {
        let reason = format!("the fleet does not answer within {} s", TIMEOUT.as_secs());
        Err(Error::Unreachable { reason })
    })
}

/// Asks the fleet of `directory` for all that is known; `None` when there is none.
///
/// # Errors
/// As [`ask`].
pub async fn look(directory: &Path) -> Result<Option<Snapshot>, Error> {
    Ok(match ask(directory, FleetRequest::Status).await? {
        Some(FleetAnswer::Status { snapshot }) => Some(*snapshot),
        _ => None,
    })
}

async fn exchange(directory: &Path, request: FleetRequest) -> Result<Option<FleetAnswer>, Error> {
    let socket = socket_in(directory);
    // No fleet could have made it.
    if socket.as_os_str().len() > LONGEST_SOCKET_PATH {
        return Ok(None);
    }
    let Some(mut stream) = connect(directory, &socket).await? else {
        return Ok(None);
    };
    write_line(&mut stream, &request)
        .await
        .map_err(Error::system("asking the fleet"))?;
    let mut line = String::new();
    let read = BufReader::new(stream).read_line(&mut line).await;
    read.map_err(Error::system("hearing from the fleet"))?;
    // The line is empty when the fleet went before it answered.
    let answer = serde_json::from_str(&line)
        .map_err(|error| Error::system("the fleet ended, or is of another version")(error.into()))?;
    Ok(Some(answer))
}

/// Connects to a fleet; one whose socket was removed makes another in a moment.
async fn connect(directory: &Path, socket: &Path) -> Result<Option<UnixStream>, Error> {
    let began = Instant::now();
    loop {
        let error = match UnixStream::connect(socket).await {
            Ok(stream) => return Ok(Some(stream)),
            Err(error) if is_nobody(&error) => error,
            Err(error) => return Err(Error::system("reaching the fleet")(error)),
        };
        let Some(holder) = holder(directory) else {
            return Ok(None);
        };
        if began.elapsed() > SOCKET_PATIENCE {
            let (socket, directory) = (socket.display(), directory.display());
            let reason = format!(
                "a fleet runs in {directory}, {holder}, but {socket} does not lead to it: {error}; try again, or end that \
                 process"
            );
            return Err(Error::Unreachable { reason });
        }
        sleep(CONNECT_PAUSE).await;
    }
}

fn is_nobody(error: &io::Error) -> bool {
    matches!(
        error.kind(),
        io::ErrorKind::NotFound | io::ErrorKind::ConnectionRefused | io::ErrorKind::NotADirectory
    )
}
