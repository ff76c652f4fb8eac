//! An S3 endpoint of the test's own: its bucket works, or vanishes, or is closed to everybody.
//!
//! `s3s` speaks the protocol and `s3s-fs` keeps the objects as files, so that a test can look at them and spoil them
//! behind the client's back. Signatures are checked, with the one key that [`ObjectServer::environment`] names.
//!
//! Vanished and closed are decided here, before `s3s` sees the request: `s3s-fs` would make a vanished bucket again
//! for the next object. A request is read to its end first, since a refusal that overtakes the body of its request
//! resets the connection, which a client takes for a bad network and tries again.
//!
//! It does not promise all of S3. A key cannot be a prefix of another up to a slash, as a file is no directory; an
//! object that [`ObjectServer::write`] spoilt keeps its `ETag`; and a whole request is held in memory.

use std::fs;
use std::io::ErrorKind;
use std::net::{SocketAddr, TcpListener};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::{self, JoinHandle};

use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper::{Request, Response};
use hyper_util::rt::TokioIo;
use s3s::auth::SimpleAuth;
use s3s::service::{S3Service, S3ServiceBuilder};
use s3s::{Body, HttpError, S3Error, S3ErrorCode};
use s3s_fs::FileSystem;
use tokio::net::TcpStream;
use tokio::sync::oneshot;

use crate::temp_dir::TempDir;
use crate::wait::eventually;

const BUCKET: &str = "abaci-test";
const ACCESS_KEY_ID: &str = "testkit";
const SECRET_ACCESS_KEY: &str = "not a secret";

/// The name that `s3s-fs` gives the file of a multipart upload that is under way: `.upload-<id>.json`, beside the bucket.
const UPLOAD_PREFIX: &str = ".upload-";

/// An S3 endpoint on loopback with one bucket in a temporary directory; it ends with the value.
#[derive(Debug)]
pub struct ObjectServer {
    address: SocketAddr,
    gate: Arc<Gate>,
    stop: Option<oneshot::Sender<()>>,
    thread: Option<JoinHandle<()>>,
    dir: TempDir,
}

/// The checks between a request and the bucket.
#[derive(Debug, Default)]
struct Gate {
    is_denied: AtomicBool,
    is_removed: AtomicBool,
}

impl ObjectServer {
    /// Starts the server with an empty bucket, on a thread with a runtime of its own.
    ///
    /// # Panics
    /// When there is no directory, port or thread for it.
    #[must_use]
    pub fn start() -> Self {
        let dir = TempDir::new();
        fs::create_dir(dir.path().join(BUCKET)).expect("the directory is ours");
        // Bound before the thread starts, so that the address is known and the first client is not refused.
        let listener = TcpListener::bind("127.0.0.1:0").expect("loopback has a free port");
        listener.set_nonblocking(true).expect("the listener is ours");
        let address = listener.local_addr().expect("the listener is bound");
        let service = service(dir.path());
        let gate = Arc::new(Gate::default());
        let gate_too = Arc::clone(&gate);
        let (stop, stopped) = oneshot::channel();
        Self {
            thread: Some(thread::spawn(move || {
                serve(listener, &service, &gate_too, stopped);
            })),
            address,
            gate,
            stop: Some(stop),
            dir,
        }
    }

    /// Returns the URL of the bucket, `s3://` and its name.
    pub fn url(&self) -> String {
        format!("s3://{BUCKET}")
    }

    /// Returns the variables that a client needs in its environment: endpoint, region and key.
    pub fn environment(&self) -> Vec<(String, String)> {
        [
            ("AWS_ENDPOINT", format!("http://{}", self.address)),
            ("AWS_ALLOW_HTTP", String::from("true")),
            ("AWS_REGION", String::from("us-east-1")),
            ("AWS_ACCESS_KEY_ID", String::from(ACCESS_KEY_ID)),
            ("AWS_SECRET_ACCESS_KEY", String::from(SECRET_ACCESS_KEY)),
        ]
        .map(|(name, value)| (String::from(name), value))
        .into()
    }

    /// Returns the keys that are in the bucket now, sorted; none when it is removed.
    ///
    /// # Panics
    /// When the directory cannot be read.
    pub fn objects(&self) -> Vec<String> {
        if self.gate.is_removed.load(Ordering::SeqCst) {
            return Vec::new();
        }
        let bucket = self.bucket();
        let mut keys: Vec<String> = files_below(&bucket)
            .iter()
            .map(|path| path.strip_prefix(&bucket).expect("it is below"))
            .map(|key| key.to_str().expect("keys are UTF-8").to_owned())
            .collect();
        keys.sort();
        keys
    }

    /// Returns the content of an object, past the server: also while access is denied.
    ///
    /// # Panics
    /// When there is no such object.
    #[track_caller]
    pub fn read(&self, key: &str) -> Vec<u8> {
        fs::read(self.bucket().join(key))
            .unwrap_or_else(|error| panic!("cannot read object {key:?}: {error}"))
    }

    /// Replaces the content of an object, or makes one, behind the client's back.
    ///
    /// # Panics
    /// When the file cannot be written.
    #[track_caller]
    pub fn write(&self, key: &str, bytes: &[u8]) {
        let path = self.bucket().join(key);
        let parent = path.parent().expect("it is below the bucket");
        fs::create_dir_all(parent)
            .and_then(|()| fs::write(&path, bytes))
            .unwrap_or_else(|error| panic!("cannot write object {key:?}: {error}"));
    }

    /// Removes the bucket with all objects: from now on every request is answered with 404 `NoSuchBucket`.
    ///
    /// Requests that the server has already taken are finished.
    ///
    /// # Panics
    /// When the directory cannot be removed.
    pub fn remove_bucket(&self) {
        self.gate.is_removed.store(true, Ordering::SeqCst);
        // More than once when such a request still writes to it.
        eventually("the end of the bucket", || {
            match fs::remove_dir_all(self.bucket()) {
                Err(error) if error.kind() != ErrorKind::NotFound => Err(error),
                _ => Ok(()),
            }
        });
    }

    /// Says whether from now on every request is answered with 403 `AccessDenied`, a removed bucket's too.
    ///
    /// Requests that the server has already taken are finished.
    pub fn deny(&self, yes: bool) {
        self.gate.is_denied.store(yes, Ordering::SeqCst);
    }

    /// Returns how many multipart uploads were begun, but neither completed nor aborted; the bucket's end ends none.
    ///
    /// # Panics
    /// When the directory cannot be read.
    pub fn unfinished_uploads(&self) -> usize {
        fs::read_dir(self.dir.path())
            .expect("the directory is ours")
            .map(|entry| entry.expect("the directory is ours").file_name())
            .filter(|name| name.to_string_lossy().starts_with(UPLOAD_PREFIX))
            .count()
    }

    fn bucket(&self) -> PathBuf {
        self.dir.path().join(BUCKET)
    }
}

impl Drop for ObjectServer {
    fn drop(&mut self) {
        // The thread ends when the sender is gone; a join before that would not return.
        self.stop = None;
        // Its panic has been printed, and a second one here would end the whole test process.
        let _ = self.thread.take().map(JoinHandle::join);
    }
}

impl Gate {
    /// Returns what a request is told instead of an answer; `None` lets it pass.
    fn refusal(&self) -> Option<S3Error> {
        if self.is_denied.load(Ordering::SeqCst) {
            return Some(S3Error::with_message(S3ErrorCode::AccessDenied, "Access Denied"));
        }
        let is_removed = self.is_removed.load(Ordering::SeqCst);
        is_removed
            .then(|| S3Error::with_message(S3ErrorCode::NoSuchBucket, "The specified bucket does not exist"))
    }
}

fn service(root: &Path) -> S3Service {
    let mut builder = S3ServiceBuilder::new(FileSystem::new(root).expect("the directory is ours"));
    builder.set_auth(SimpleAuth::from_single(ACCESS_KEY_ID, SECRET_ACCESS_KEY));
    builder.build()
}

/// Serves until the other end of `stopped` is gone; connections break then.
fn serve(listener: TcpListener, service: &S3Service, gate: &Arc<Gate>, stopped: oneshot::Receiver<()>) {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .expect("the system has room for a runtime");
    runtime.block_on(async {
        tokio::select! {
            () = accept(listener, service, gate) => {}
            _ = stopped => {}
        }
    });
}

async fn accept(listener: TcpListener, service: &S3Service, gate: &Arc<Gate>) {
    let listener = tokio::net::TcpListener::from_std(listener).expect("it does not block");
    loop {
        let (stream, _) = listener.accept().await.expect("the process may open more files");
        tokio::spawn(converse(stream, service.clone(), Arc::clone(gate)));
    }
}

async fn converse(stream: TcpStream, service: S3Service, gate: Arc<Gate>) {
    // Or the second half of an answer waits for the acknowledgement of the first, which takes 40 ms. It fails only
    // for a client that has gone.
    let _ = stream.set_nodelay(true);
    let answers = service_fn(|request| answer(&service, &gate, request));
    // An error is the client's going away, which is its own affair.
    let _ = http1::Builder::new()
        .serve_connection(TokioIo::new(stream), answers)
        .await;
}

async fn answer(
    service: &S3Service,
    gate: &Gate,
    request: Request<Incoming>,
) -> Result<Response<Body>, HttpError> {
    let mut request = request.map(Body::from);
    let whole = request.body_mut().store_all_limited(usize::MAX).await;
    whole.map_err(HttpError::new)?;
    match gate.refusal() {
        Some(error) => error
            .to_http_response()
            .map_err(|error| HttpError::new(Box::new(error))),
        None => service.call(request).await,
    }
}

fn files_below(dir: &Path) -> Vec<PathBuf> {
    let mut files = Vec::new();
    for entry in fs::read_dir(dir).expect("the directory is ours") {
        let path = entry.expect("the directory is ours").path();
        if path.is_dir() {
            files.extend(files_below(&path));
        } else {
            files.push(path);
        }
    }
    files
}
