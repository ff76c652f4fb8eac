//! Serves HTTP with limits: it accepts connections and gives none of them more than its share.
//!
//! | against | this |
//! |---|---|
//! | a client that is slow, or silent | the header of each request has five seconds, the first one and every later one |
//! | a client that never reads its answers | what cannot be written for half a minute ends its connection |
//! | a client that does not go | a connection lives for a bounded time |
//! | many clients | a number of connections; the next ones wait in the listener's backlog until one ends |
//! | no file descriptors left | a pause before the next try, logged once |
//! | a huge header | a small buffer; the answer is 431 |
//! | a body | the router reads it, or nobody |

use std::io;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use hyper::server::conn::http1;
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::service::TowerToHyperService;
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{OwnedSemaphorePermit, Semaphore, watch};
use tokio::task::JoinSet;
use tokio::time::{sleep, timeout};
use tokio_io_timeout::TimeoutStream;
use tracing::{info, warn};

/// The number of connections that may be open at once.
const MAX_CONNECTIONS: usize = 2048;

/// The time for the header of a request, and for the silence between two.
const HEADER_TIMEOUT: Duration = Duration::from_secs(5);

/// The usual time in which something of an answer has to be read.
pub const WRITE_TIMEOUT: Duration = Duration::from_secs(30);

/// The time that an answer under way has when its connection, or the server, ends.
const LAST_ANSWERS: Duration = Duration::from_secs(1);

/// The pause when nothing can be accepted.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);

/// The bytes that are read ahead of a connection, so also the longest header.
const BUFFER_BYTES: usize = 16 * 1024;

/// The limits of a server.
#[derive(Debug, Clone, Copy)]
pub struct HttpLimits {
    /// The connections that may be open at once.
    pub connections: usize,
    /// The longest life of a connection.
    pub lifetime: Duration,
    /// The longest time in which nothing of an answer can be written.
    pub write_timeout: Duration,
}

/// Raises the process's limit of open files as far as it may be, and returns how many connections fit under it.
///
/// The other half of the descriptors is for what the process is there for.
#[must_use]
pub fn capacity() -> usize {
    let limit = getrlimit(Resource::Nofile);
    let raised = Rlimit {
        current: limit.maximum,
        maximum: limit.maximum,
    };
    let files = match setrlimit(Resource::Nofile, raised) {
        Ok(()) => limit.maximum,
        Err(_) => limit.current,
    };
    // `None` says that there is no limit.
    let half = files.map_or(MAX_CONNECTIONS, |files| {
        usize::try_from(files / 2).unwrap_or(MAX_CONNECTIONS)
    });
    half.clamp(1, MAX_CONNECTIONS)
}

/// Accepts and answers, within these limits, until `stop` completes; then lets answers under way finish.
pub async fn serve(
    listener: TcpListener,
    router: Router,
    limits: HttpLimits,
    stop: impl Future<Output = ()>,
) {
    let (end, ended) = watch::channel(());
    let mut connections = HttpConnections {
        router,
        slots: Arc::new(Semaphore::new(limits.connections)),
        ended,
        limits,
        open: JoinSet::new(),
    };
    tokio::select! {
        () = connections.accept(&listener) => {}
        () = stop => {}
    }
    // Each connection waits for the end of this sender, and then finishes.
    drop((listener, end));
    let all = async { while connections.open.join_next().await.is_some() {} };
    // What has not finished by then is cut off with the set.
    let _ = timeout(LAST_ANSWERS, all).await;
}

/// The connections of one server.
struct HttpConnections {
    router: Router,
    slots: Arc<Semaphore>,
    /// Closed when the connections are to end.
    ended: watch::Receiver<()>,
    limits: HttpLimits,
    open: JoinSet<()>,
}

impl HttpConnections {
    /// Accepts connections for ever, while there is room for them.
    async fn accept(&mut self, listener: &TcpListener) {
        let mut is_failing = false;
        // The permit comes before the connection, so a client without one waits in the backlog. The semaphore is never closed.
        while let Ok(slot) = Arc::clone(&self.slots).acquire_owned().await {
            match listener.accept().await {
                Ok((stream, _)) => {
                    if std::mem::take(&mut is_failing) {
                        info!("HTTP connections are accepted again");
                    }
                    self.open(stream, slot);
                }
                // Its client has gone; the next one may be waiting already, so there is no pause.
                Err(error) if is_of_one_connection(&error) => {}
                Err(error) => {
                    if !std::mem::replace(&mut is_failing, true) {
                        warn!(%error, "HTTP connections cannot be accepted; trying again");
                    }
                    sleep(ACCEPT_PAUSE).await;
                }
            }
            // Without this the set would keep every task that has ended.
            while self.open.try_join_next().is_some() {}
        }
    }

    fn open(&mut self, stream: TcpStream, slot: OwnedSemaphorePermit) {
        let (router, ended, limits) = (self.router.clone(), self.ended.clone(), self.limits);
        self.open.spawn(async move {
            converse(stream, router, (limits, ended)).await;
            drop(slot);
        });
    }
}

/// Answers on one connection until either side has had enough.
async fn converse(stream: TcpStream, router: Router, (limits, mut ended): (HttpLimits, watch::Receiver<()>)) {
    // Without it an answer waits for the client's acknowledgement; a failure costs that time and nothing else.
    let _ = stream.set_nodelay(true);
    let mut stream = TimeoutStream::new(stream);
    stream.set_write_timeout(Some(limits.write_timeout));
    let connection = http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(HEADER_TIMEOUT)
        .max_buf_size(BUFFER_BYTES)
        // Boxed: hyper wants a stream that can be moved, and the timer in this one cannot.
        .serve_connection(TokioIo::new(Box::pin(stream)), TowerToHyperService::new(router));
    tokio::pin!(connection);
    tokio::select! {
        // Whatever is wrong with a connection is the client's to notice.
        _ = connection.as_mut() => return,
        () = sleep(limits.lifetime) => {}
        _ = ended.changed() => {}
    }
    connection.as_mut().graceful_shutdown();
    let _ = timeout(LAST_ANSWERS, connection).await;
}

/// Says whether the connection that was to be accepted has failed, and not the accepting.
fn is_of_one_connection(error: &io::Error) -> bool {
    use io::ErrorKind::{ConnectionAborted, ConnectionRefused, ConnectionReset, Interrupted};
    matches!(
        error.kind(),
        ConnectionAborted | ConnectionRefused | ConnectionReset | Interrupted
    )
}
