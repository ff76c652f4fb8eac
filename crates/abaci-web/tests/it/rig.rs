//! A server on a database of its own, and jobs in it.

use std::net::{SocketAddr, TcpListener};
use std::time::Duration;

use abaci_web::{Access, Token, WebServer, WebSettings};
use durable_jobs::artifact::BucketAccess;
use durable_jobs::client::ClientSettings;
use durable_jobs::worker::WorkerSettings;
use durable_jobs::{Client, JobId, Worker};
use fibonacci_jobs::{DEFAULT_QUEUE, Limits, client_types, server_types};
use serde_json::Value;
use testkit::{TempDir, TestDatabase};
use tokio::runtime::Runtime;
use tokio::sync::oneshot;
use tokio::task::JoinHandle;

use crate::http::Request;

/// The token of every server here.
pub(crate) const TOKEN: &str = "the-token-of-this-test";

/// A server, and what it stands on.
pub(crate) struct Site {
    pub(crate) database: TestDatabase,
    pub(crate) artifacts: TempDir,
    pub(crate) runtime: Runtime,
    address: SocketAddr,
    stop: Option<oneshot::Sender<()>>,
    server: Option<JoinHandle<()>>,
}

impl Site {
    /// Starts a server that lets the holders of [`TOKEN`] do everything.
    pub(crate) fn new() -> Self {
        Self::with(Access::new(token()))
    }

    pub(crate) fn with(access: Access) -> Self {
        Self::shaped(access, |server| server)
    }

    /// Starts a server that `shape` has had.
    pub(crate) fn shaped(access: Access, shape: impl FnOnce(WebServer) -> WebServer) -> Self {
        let runtime = Runtime::new().unwrap();
        let database = TestDatabase::create();
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let settings = client_settings(database.url());
        let settings = WebSettings {
            connect: Box::new(move || Box::pin(Client::connect(settings.clone()))),
            access,
            limits: Limits::default(),
            database: "a database of a test".to_owned(),
            bucket_access: BucketAccess::default(),
            kill: None,
        };
        let (stop, stopped) = oneshot::channel::<()>();
        let server = shape(WebServer::new(listener, settings).unwrap());
        let server = runtime.spawn(async move {
            let stopped = async {
                // Dropped as well as told is the end.
                let _ = stopped.await;
            };
            server.run(stopped).await.unwrap();
        });
        Self {
            database,
            artifacts: TempDir::new(),
            runtime,
            address,
            stop: Some(stop),
            server: Some(server),
        }
    }

    pub(crate) fn address(&self) -> SocketAddr {
        self.address
    }

    pub(crate) fn request(&self, method: &str, path: &str) -> Request {
        Request::new(self.address, method, path)
    }

    pub(crate) fn get(&self, path: &str) -> Request {
        self.request("GET", path)
    }

    /// A change with the token, and without a body.
    pub(crate) fn change(&self, method: &str, path: &str) -> Request {
        self.request(method, path).token(TOKEN)
    }

    pub(crate) fn post(&self, path: &str, body: impl Into<Vec<u8>>) -> Request {
        self.change("POST", path).json(body)
    }

    /// Submits jobs, and returns their ids.
    #[track_caller]
    pub(crate) fn submit(&self, body: &Value) -> Vec<String> {
        let answer = self.post("/api/v1/jobs", body.to_string()).send().expect(202);
        let jobs = answer["jobs"].as_array().unwrap().iter();
        jobs.map(|job| job["id"].as_str().unwrap().to_owned()).collect()
    }

    pub(crate) fn client(&self) -> Client {
        let connect = Client::connect(client_settings(self.database.url()));
        self.runtime.block_on(connect).unwrap()
    }

    /// Starts a worker in this process.
    pub(crate) fn worker(&self) -> Worker {
        let settings = WorkerSettings {
            poll_interval: Duration::from_millis(5),
            queue: DEFAULT_QUEUE.to_owned(),
            ..WorkerSettings::new(
                self.database.url(),
                "test-host",
                self.artifacts.path(),
                server_types(Limits::default(), true),
            )
        };
        self.runtime.block_on(Worker::start(settings)).unwrap()
    }

    /// Waits until a job has ended, and returns it.
    #[track_caller]
    pub(crate) fn ended(&self, id: &str) -> Value {
        let mut waiter = self.client().wait([JobId::new(id)]);
        let ended = async { while waiter.next().await.is_some() {} };
        let ended = async { tokio::time::timeout(Duration::from_mins(1), ended).await };
        self.runtime.block_on(ended).expect("the job did not end in time");
        self.get(&format!("/api/v1/jobs/{id}")).send().expect(200)
    }

    /// Counts the rows of a table, and of those the ones of a condition that may follow its name.
    pub(crate) fn count(&self, from: &str) -> u64 {
        let count = self.database.psql(&format!("select count(*) from {from}"));
        count.trim().parse().unwrap()
    }
}

impl Drop for Site {
    fn drop(&mut self) {
        drop(self.stop.take());
        if let Some(server) = self.server.take() {
            // A test that failed already says more than this one would.
            let _ = self.runtime.block_on(server);
        }
    }
}

pub(crate) fn token() -> Token {
    Token::new(TOKEN).unwrap()
}

fn client_settings(url: impl Into<String>) -> ClientSettings {
    ClientSettings {
        queue: DEFAULT_QUEUE.to_owned(),
        ..ClientSettings::new(url, client_types(Limits::default()))
    }
}
