//! Requests to a running fleet over its socket: one line of JSON each way.
//!
//! Whoever can open the socket may ask; its permissions are the protection.

mod lock;

use std::io;
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

use serde::{Deserialize, Serialize};
use tokio::io::{AsyncBufReadExt, AsyncReadExt, AsyncWrite, AsyncWriteExt, BufReader};
use tokio::net::UnixStream;
use tokio::sync::{Semaphore, mpsc, oneshot};
use tokio::time::{MissedTickBehavior, interval, sleep, timeout};
use tracing::{debug, error, warn};

use lock::{LONGEST_SOCKET_PATH, holder, socket_in};
pub use lock::{Seat, directory_in};

use super::Event;
use crate::Error;
use crate::snapshot::Snapshot;

/// A request is a few words; nobody needs more.
const LONGEST_REQUEST: u64 = 4096;

/// How long either side may take to say what it has to say.
const TIMEOUT: Duration = Duration::from_secs(5);

/// More at once than anyone asks.
const MOST_CONNECTIONS: usize = 32;

/// How long nothing is accepted after a failure.
const ACCEPT_PAUSE: Duration = Duration::from_millis(500);

/// The pause between two looks at the socket.
const LOOK_INTERVAL: Duration = Duration::from_millis(500);

/// The longest time that a running fleet may be without its socket.
const SOCKET_PATIENCE: Duration = Duration::from_secs(2);

/// The pause between two attempts to connect to one.
const CONNECT_PAUSE: Duration = Duration::from_millis(50);

/// What a fleet can be asked.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "ask", rename_all = "snake_case")]
pub enum Request {
    /// How things stand.
    Status,
    /// To have this many workers.
    Scale {
        /// How many.
        workers: u32,
    },
    /// To replace all workers one by one; answered when that is done.
    Reload,
}

/// What a fleet answers.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(tag = "answer", rename_all = "snake_case")]
pub enum Answer {
    /// How things stand.
    Status {
        /// All that is known.
        snapshot: Box<Snapshot>,
    },
    /// It is done, or under way where that takes time; what that means in words.
    Done {
        /// The words.
        message: String,
    },
    /// It is not done, and why.
    Refused {
        /// The reason.
        reason: String,
    },
}

/// A request with the place for its answer.
#[derive(Debug)]
pub(crate) struct Asked {
    pub(crate) request: Request,
    pub(crate) answer: oneshot::Sender<Answer>,
}

/// Asks the fleet that has its place in `directory`; `None` when there is none.
///
/// A reload is answered when it is over; everything else within [`TIMEOUT`].
///
/// # Errors
/// When it does not answer, or cannot be reached.
pub async fn ask(directory: &Path, request: Request) -> Result<Option<Answer>, Error> {
    if request == Request::Reload {
        return converse_with(directory, request).await;
    }
    let answer = timeout(TIMEOUT, converse_with(directory, request)).await;
    answer.unwrap_or(Err(Error::NoAnswer { timeout: TIMEOUT }))
}

async fn converse_with(directory: &Path, request: Request) -> Result<Option<Answer>, Error> {
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
    let answer = serde_json::from_str(&line).map_err(|source| Error::Answer { source })?;
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
            return Err(Error::Unreachable {
                directory: directory.to_path_buf(),
                holder,
                socket: socket.to_path_buf(),
                source: error,
            });
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

/// Takes requests, some at a time, and sees to it that the socket stays where it is looked for; never completes.
pub(super) async fn serve(mut seat: Seat, events: mpsc::UnboundedSender<Event>) {
    let places = Arc::new(Semaphore::new(MOST_CONNECTIONS));
    let mut looks = interval(LOOK_INTERVAL);
    looks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let mut failures = 0;
    loop {
        // It is never closed.
        let Ok(place) = Arc::clone(&places).acquire_owned().await else {
            return;
        };
        let accepted = tokio::select! {
            accepted = seat.listener.accept() => accepted,
            _ = looks.tick() => {
                restore(&mut seat, &mut failures);
                continue;
            }
        };
        match accepted {
            Ok((stream, _)) => {
                let events = events.clone();
                tokio::spawn(async move {
                    let _place = place;
                    if let Err(error) = converse(stream, events).await {
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

/// Makes again what was removed of the fleet's place, and says so; a failure that stays is said once.
///
/// The first look may meet somebody who holds the lock for a moment to see whether it is free.
fn restore(seat: &mut Seat, failures: &mut u32) {
    match seat.restore() {
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
async fn converse(stream: UnixStream, events: mpsc::UnboundedSender<Event>) -> io::Result<()> {
    let (reader, mut writer) = tokio::io::split(stream);
    let mut line = String::new();
    let mut reader = BufReader::new(reader.take(LONGEST_REQUEST));
    timeout(TIMEOUT, reader.read_line(&mut line)).await??;
    // Who has given up was told that nothing was done, so nothing may be; there is nothing to read from who waits.
    if let Ok(Ok([])) = timeout(Duration::ZERO, reader.fill_buf()).await {
        return Err(io::Error::other("whoever asked has left"));
    }
    let answer = match serde_json::from_str(&line) {
        Ok(request) => {
            let (answer, answered) = oneshot::channel();
            let asked = Event::Asked(Asked { request, answer });
            let ends = || io::Error::other("the fleet ends");
            events.send(asked).map_err(|_| ends())?;
            answered.await.map_err(|_| ends())?
        }
        Err(error) => Answer::Refused {
            reason: format!("the request makes no sense: {error}"),
        },
    };
    timeout(TIMEOUT, write_line(&mut writer, &answer)).await??;
    Ok(())
}

async fn write_line(writer: &mut (impl AsyncWrite + Unpin), message: &impl Serialize) -> io::Result<()> {
    let mut line = serde_json::to_vec(message)?;
    line.push(b'\n');
    writer.write_all(&line).await
}
