//! Requests to a running fleet over its socket: one line of JSON each way.
//!
//! Whoever can open the socket may ask; its permissions are the protection.

use std::io;
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::{Context, bail};
use serde::{Deserialize, Serialize};
use tokio::io::{AsyncBufReadExt, AsyncReadExt, AsyncWrite, AsyncWriteExt, BufReader};
use tokio::net::UnixStream;
use tokio::sync::{Semaphore, mpsc, oneshot};
use tokio::time::{MissedTickBehavior, interval, sleep, timeout};
use tracing::{debug, error, warn};

use super::Event;
use super::seat::{LONGEST_SOCKET_PATH, Seat, holder, socket_in};
use crate::exit::Failed;
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
pub(crate) enum Request {
    /// How things stand.
    Status,
    /// To have this many workers.
    Scale { workers: u32 },
    /// To replace all workers one by one; answered when that is done.
    Reload,
}

/// What a fleet answers.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(tag = "answer", rename_all = "snake_case")]
pub(crate) enum Answer {
    /// How things stand.
    Status { snapshot: Box<Snapshot> },
    /// It is done, or under way where that takes time; what that means in words.
    Done { message: String },
    /// It is not done, and why.
    Refused { reason: String },
}

/// A request with the place for its answer.
#[derive(Debug)]
pub(super) struct Asked {
    pub(super) request: Request,
    pub(super) answer: oneshot::Sender<Answer>,
}

/// Asks the fleet that has its place in `directory`; `None` when there is none.
///
/// A reload is answered when it is over; everything else within [`TIMEOUT`].
pub(crate) async fn ask(directory: &Path, request: Request) -> anyhow::Result<Option<Answer>> {
    if request == Request::Reload {
        return converse_with(directory, request).await;
    }
    let answer = timeout(TIMEOUT, converse_with(directory, request)).await;
    answer.unwrap_or_else(|_| {
        let message = format!("the fleet does not answer within {} s", TIMEOUT.as_secs());
        Err(Failed::unreachable(message).into())
    })
}

async fn converse_with(directory: &Path, request: Request) -> anyhow::Result<Option<Answer>> {
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
        .context("asking the fleet")?;
    let mut line = String::new();
    let read = BufReader::new(stream).read_line(&mut line).await;
    read.context("hearing from the fleet")?;
    let answer = serde_json::from_str(&line).context("the fleet ended, or is of another version")?;
    Ok(Some(answer))
}

/// Connects to a fleet; one whose socket was removed makes another in a moment.
async fn connect(directory: &Path, socket: &Path) -> anyhow::Result<Option<UnixStream>> {
    let began = Instant::now();
    loop {
        let error = match UnixStream::connect(socket).await {
            Ok(stream) => return Ok(Some(stream)),
            Err(error) if is_nobody(&error) => error,
            Err(error) => return Err(error).context("reaching the fleet"),
        };
        let Some(holder) = holder(directory) else {
            return Ok(None);
        };
        if began.elapsed() > SOCKET_PATIENCE {
            let (socket, directory) = (socket.display(), directory.display());
            let message = format!(
                "a fleet runs in {directory}, {holder}, but {socket} does not lead to it: {error}; try again, or end that \
                 process"
            );
            return Err(Failed::unreachable(message).into());
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
                let reason = format!("{error:#}");
                error!(
                    reason,
                    "the control socket or its lock was removed; trying to make it again"
                );
            }
        }
    }
}

/// Reads one request from a connection, hands it on and writes its answer.
async fn converse(stream: UnixStream, events: mpsc::UnboundedSender<Event>) -> anyhow::Result<()> {
    let (reader, mut writer) = tokio::io::split(stream);
    let mut line = String::new();
    let mut reader = BufReader::new(reader.take(LONGEST_REQUEST));
    timeout(TIMEOUT, reader.read_line(&mut line)).await??;
    // Who has given up was told that nothing was done, so nothing may be; there is nothing to read from who waits.
    if let Ok(Ok([])) = timeout(Duration::ZERO, reader.fill_buf()).await {
        bail!("whoever asked has left");
    }
    let answer = match serde_json::from_str(&line) {
        Ok(request) => {
            let (answer, answered) = oneshot::channel();
            let asked = Event::Asked(Asked { request, answer });
            events.send(asked).ok().context("the fleet ends")?;
            answered.await.context("the fleet ends")?
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
