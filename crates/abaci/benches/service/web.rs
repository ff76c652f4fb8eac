//! What the page and the interface cost: a web process that nobody asks, and one with a thousand listeners and 500 questions a second.

use std::collections::HashMap;
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::{Duration, Instant};

use durable_jobs::client::SubmitOptions;
use durable_jobs::{Client, JobId};
use fibonacci_jobs::{Algorithm, Request};
use tokio::io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader};
use tokio::net::TcpStream;
use tokio::task::JoinSet;
use tokio::time::{Instant as Tick, sleep, sleep_until};

use crate::database::Database;
use crate::idle::{self, SETTLE, WATCH};
use crate::reading::{Reading, percentiles};
use crate::server::Server;

const LISTENERS: usize = 1_000;

/// So many connections share the questions.
const ASKERS: u32 = 8;

/// Between two questions of one connection: 500 a second of all.
const PACE: Duration = Duration::from_millis(16);

/// The shortest time between two submissions, whose events are timed.
const BETWEEN: Duration = Duration::from_millis(100);

/// The times at which jobs were committed, and at which one listener heard of them.
type Moments = Arc<Mutex<HashMap<String, Instant>>>;

/// Measures both.
pub(crate) fn measure() -> Vec<Reading> {
    let database = Database::start();
    let _worker = Server::start(&database.url, &[]);
    let others = database.backends().len();
    let web = Server::web(&database.url);
    let mut readings = quiet(&web);
    let connections = database.backends().len().saturating_sub(others);
    assert_eq!(connections, 0, "a web process that nobody asks has connections");
    readings.extend(busy(&database, &web));
    readings
}

fn quiet(web: &Server) -> Vec<Reading> {
    thread::sleep(SETTLE);
    let before = idle::ticks(&[web.pid()]);
    thread::sleep(WATCH);
    let used = idle::ticks(&[web.pid()]) - before;
    vec![
        Reading::new("web, nobody looks", idle::share(used), "% of a core"),
        idle::memory("web, nobody looks", "VmRSS", web.pid()),
    ]
}

fn busy(database: &Database, web: &Server) -> Vec<Reading> {
    let (runtime, client) = database.client();
    let address = web.web_address().to_owned();
    let heard = Moments::default();
    let listeners = runtime.block_on(listen(&address, &heard));
    let asked = runtime.block_on(submit(&client, 90));
    thread::sleep(SETTLE);
    let transactions = || {
        database.number(
            "select xact_commit + xact_rollback from pg_stat_database where datname = current_database()",
        )
    };
    let before = (idle::ticks(&[web.pid()]), transactions());
    let began = Instant::now();
    let (times, committed) = runtime.block_on(async {
        let asking = ask_steadily(&address, asked.as_str());
        tokio::join!(asking, submit_steadily(&client))
    });
    let took = began.elapsed();
    let used = idle::ticks(&[web.pid()]) - before.0;
    let rate = |count: f64| count / took.as_secs_f64();
    // The last ones are on their way.
    thread::sleep(Duration::from_secs(2));
    let name = format!("web, {LISTENERS} listeners");
    let mut readings = percentiles(&format!("{name}, GET /jobs/{{id}}"), &times);
    readings.extend(percentiles(
        &format!("{name}, event"),
        &delays(&committed, &heard),
    ));
    #[expect(clippy::cast_precision_loss, reason = "far below 2^52")]
    let answered = times.len() as f64;
    readings.extend([
        Reading::new(format!("{name}, questions"), rate(answered), "a second"),
        Reading::new(
            format!("{name}, processor"),
            f64::from(used) / took.as_secs_f64(),
            "% of a core",
        ),
        Reading::new(
            format!("{name}, of all processes"),
            rate(transactions() - before.1),
            "transactions a second",
        ),
        idle::memory(&name, "VmRSS", web.pid()),
        idle::memory(&name, "VmHWM", web.pid()),
    ]);
    drop(listeners);
    readings
}

/// Opens the listeners, of which one notes when it hears of each job first.
async fn listen(address: &str, heard: &Moments) -> JoinSet<()> {
    let mut listeners = JoinSet::new();
    for number in 0..LISTENERS {
        let stream = connect(address).await;
        let mut stream = BufReader::new(stream);
        let request = format!("GET /api/v1/events HTTP/1.1\r\nhost: {address}\r\n\r\n");
        stream
            .write_all(request.as_bytes())
            .await
            .expect("the server listens");
        let heard = (number == 0).then(|| Arc::clone(heard));
        listeners.spawn(async move {
            let mut line = String::new();
            while stream.read_line(&mut line).await.is_ok_and(|read| read > 0) {
                if let Some(heard) = &heard {
                    note(&line, heard);
                }
                line.clear();
            }
        });
    }
    listeners
}

async fn connect(address: &str) -> TcpStream {
    let stream = TcpStream::connect(address).await.expect("the server listens");
    stream.set_nodelay(true).expect("it is a connection");
    stream
}

fn note(line: &str, heard: &Moments) {
    let Some(data) = line.strip_prefix("data:") else {
        return;
    };
    let event: serde_json::Value = serde_json::from_str(data.trim()).unwrap_or_default();
    let mut heard = heard.lock().expect("nobody panics");
    for job in event["jobs"].as_array().into_iter().flatten() {
        if let Some(id) = job["id"].as_str() {
            heard.entry(id.to_owned()).or_insert_with(Instant::now);
        }
    }
}

/// Asks for one job and returns how long the answers took.
async fn ask_steadily(address: &str, id: &str) -> Vec<Duration> {
    let mut askers = JoinSet::new();
    for number in 0..ASKERS {
        let request = format!("GET /api/v1/jobs/{id} HTTP/1.1\r\nhost: {address}\r\n\r\n");
        let mut stream = BufReader::new(connect(address).await);
        askers.spawn(async move {
            let mut times = Vec::new();
            let mut due = Tick::now() + PACE * number / ASKERS;
            let end = due + WATCH;
            while due < end {
                sleep_until(due).await;
                let began = Instant::now();
                stream
                    .write_all(request.as_bytes())
                    .await
                    .expect("the server listens");
                let length = answer(&mut stream).await;
                times.push(began.elapsed());
                assert!(length > 100, "{length} bytes are no job");
                due += PACE;
            }
            times
        });
    }
    askers.join_all().await.concat()
}

/// Reads an answer, which must be one of success, and returns the length of its body.
async fn answer(stream: &mut BufReader<TcpStream>) -> usize {
    let (mut length, mut head) = (0, String::new());
    loop {
        let mut line = String::new();
        stream.read_line(&mut line).await.expect("the server answers");
        head.push_str(&line);
        if let Some(value) = line.to_ascii_lowercase().strip_prefix("content-length:") {
            length = value.trim().parse().expect("a number");
        }
        if line.trim().is_empty() {
            break;
        }
    }
    assert!(head.starts_with("HTTP/1.1 200 "), "{head}");
    let mut body = vec![0; length];
    stream.read_exact(&mut body).await.expect("the whole answer");
    length
}

async fn submit(client: &Client, n: u64) -> JobId {
    let job = [(JobId::fresh(), Request::with(n, Algorithm::Doubling))];
    let new = fibonacci_jobs::new_jobs(&job);
    let submitted = client.submit_all(&new, SubmitOptions::default()).await;
    submitted.expect("the database answers");
    let [(id, _)] = job;
    id
}

/// Submits small jobs, at no phase of the server's questions, and returns when each was committed.
async fn submit_steadily(client: &Client) -> Vec<(JobId, Instant)> {
    let mut committed = Vec::new();
    let began = Instant::now();
    while began.elapsed() < WATCH {
        let id = submit(client, 30).await;
        committed.push((id, Instant::now()));
        sleep(BETWEEN + Duration::from_millis(fastrand::u64(..250))).await;
    }
    committed
}

/// The times from a commit to the first event of the job.
///
/// # Panics
/// When a job was never told.
fn delays(committed: &[(JobId, Instant)], heard: &Moments) -> Vec<Duration> {
    let heard = heard.lock().expect("nobody panics");
    let delay = |(id, at): &(JobId, Instant)| {
        let told = heard.get(id.as_str()).expect("each job is told");
        told.saturating_duration_since(*at)
    };
    committed.iter().map(delay).collect()
}
