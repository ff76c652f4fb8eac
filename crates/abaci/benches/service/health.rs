//! How soon a fleet says how it is: 200 questions a second, each on a connection of its own, while both workers compute.

use std::io::{self, Read, Write};
use std::net::TcpStream;
use std::thread;
use std::time::{Duration, Instant};

use durable_jobs::JobId;
use durable_jobs::client::SubmitOptions;
use fibonacci_jobs::{Algorithm, Request};

use crate::database::Database;
use crate::reading::{Reading, percentiles};
use crate::server::Server;

/// One heavy job for each.
const WORKERS: u32 = 2;

/// An index that keeps a worker busy for longer than the questions take.
const LONG: u64 = 48;

/// The paths that are asked for, in turn.
const PATHS: [&str; 3] = ["/livez", "/health", "/readyz"];

/// Between two questions, whoever asks them: 200 a second.
const PACE: Duration = Duration::from_millis(5);

/// The number of clients, so that one slow answer delays no question but the next one of its own client.
const CLIENTS: u32 = 8;

/// The questions of each client: five seconds of them.
const QUESTIONS_EACH: u32 = 125;

/// Measures the three paths, from before the connection until the end of the answer.
pub(crate) fn measure() -> Vec<Reading> {
    let database = Database::start();
    let server = Server::fleet(&database.url, WORKERS, &[]);
    let (runtime, client) = database.client();
    let jobs: Vec<_> = (0..WORKERS)
        .map(|_| (JobId::fresh(), Request::with(LONG, Algorithm::Recursive)))
        .collect();
    runtime
        .block_on(client.submit_all(&fibonacci_jobs::new_jobs(&jobs), SubmitOptions::default()))
        .expect("the database answers");
    let address = server.health_address();
    while !is_well_and_busy(address) {
        thread::sleep(Duration::from_millis(50));
    }
    let times = ask_steadily(address);
    assert!(is_well_and_busy(address), "a job ended before the questions did");
    for (id, _) in &jobs {
        let job = runtime.block_on(client.cancel(id));
        job.expect("a job that runs for long can be cancelled");
    }
    let readings = PATHS.iter().zip(&times).flat_map(|(path, times)| {
        let name = format!("{path}, 200 questions/s, busy");
        let longest = times.iter().copied().max().unwrap_or_default();
        let mut readings = percentiles(&name, times);
        readings.push(Reading::milliseconds(format!("{name}, longest"), longest));
        readings
    });
    readings.collect()
}

/// Asks for the paths in turn and returns how long the answers of each took.
fn ask_steadily(address: &str) -> [Vec<Duration>; PATHS.len()] {
    let begun = Instant::now();
    let client = |number: u32| {
        (0..QUESTIONS_EACH).map(move |question| {
            let count = question * CLIENTS + number;
            thread::sleep((begun + PACE * count).saturating_duration_since(Instant::now()));
            let turn = count as usize % PATHS.len();
            (turn, ask(address, PATHS[turn]))
        })
    };
    let mut times = PATHS.map(|_| Vec::new());
    thread::scope(|scope| {
        let clients: Vec<_> = (0..CLIENTS)
            .map(|number| scope.spawn(move || client(number).collect::<Vec<_>>()))
            .collect();
        for asked in clients {
            for (turn, time) in asked.join().expect("every question is answered") {
                times[turn].push(time);
            }
        }
    });
    times
}

/// Tells if every worker takes jobs and computes one.
fn is_well_and_busy(address: &str) -> bool {
    let answer = get(address, "/health").expect("the fleet answers");
    answer.contains(r#""status":"healthy""#)
        && answer.matches(r#""state":"busy""#).count() == WORKERS as usize
}

/// Asks once and returns how long the answer took, which must be that all is well.
fn ask(address: &str, path: &str) -> Duration {
    let begun = Instant::now();
    let answer = get(address, path).expect("the fleet answers");
    let took = begun.elapsed();
    assert!(answer.starts_with("HTTP/1.1 200 "), "GET {path}: {answer}");
    took
}

fn get(address: &str, path: &str) -> io::Result<String> {
    let mut stream = TcpStream::connect(address)?;
    write!(
        stream,
        "GET {path} HTTP/1.1\r\nhost: {address}\r\nconnection: close\r\n\r\n"
    )?;
    let mut answer = String::new();
    stream.read_to_string(&mut answer)?;
    Ok(answer)
}
