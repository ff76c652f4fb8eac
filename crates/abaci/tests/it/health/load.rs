//! The time that a health answer takes while many ask, a worker stands still and the database hangs.

use std::thread;
use std::time::{Duration, Instant};

use testkit::{Signal, eventually};

use crate::fleet::rig::{Fleet, pid_of, signal};
use crate::http::{self, Response};
use crate::rig::Rig;

/// Each client has 20 ms for a question, twice as long as an answer may take: one slow answer delays no question but its own
/// client's, and few clients take little of the processor from what they ask.
const CLIENTS: u32 = 4;

/// Between two questions, whoever asks them: 200 a second.
const PACE: Duration = Duration::from_millis(5);

/// The questions of each client: three seconds of them.
const QUESTIONS_EACH: u32 = 150;

/// The bound on an answer; half of them must be within it.
const PROMPT: Duration = Duration::from_millis(10);

/// The time that no answer may take, however busy the machine is with other things.
const AT_MOST: Duration = Duration::from_secs(1);

/// Answers of one path.
struct Answers {
    path: &'static str,
    answers: Vec<Response>,
}

impl Answers {
    /// The time that half of them took at most.
    fn median(&self) -> Duration {
        let mut times: Vec<Duration> = self.answers.iter().map(|answer| answer.took).collect();
        times.sort_unstable();
        times[times.len() / 2]
    }

    /// Asserts that every question was answered with this status and in time, and half of them within `median`.
    #[track_caller]
    fn assert_prompt(&self, status: u16, median: Duration) {
        let path = self.path;
        let other = self.answers.iter().find(|answer| answer.status != status);
        assert!(
            other.is_none(),
            "{path} was not answered with {status}: {other:#?}"
        );
        let slow = self.answers.iter().find(|answer| answer.took > AT_MOST);
        assert!(
            slow.is_none(),
            "an answer of {path} took over {AT_MOST:?}: {slow:#?}"
        );
        let took = self.median();
        assert!(
            took <= median,
            "half of the answers of {path} took {took:?} or more, not {median:?} at most"
        );
    }
}

/// Asks for the paths in turn, 200 times a second in all, each time on a new connection.
fn ask_steadily<const PATHS: usize>(address: &str, paths: [&'static str; PATHS]) -> [Answers; PATHS] {
    let begun = Instant::now();
    let client = |number: u32| {
        (0..QUESTIONS_EACH).map(move |question| {
            let due = begun + PACE * (question * CLIENTS + number);
            // The pace is the subject of the test.
            thread::sleep(due.saturating_duration_since(Instant::now()));
            let turn = question as usize % PATHS;
            (turn, http::get(address, paths[turn]))
        })
    };
    let mut answers = paths.map(|path| Answers {
        path,
        answers: Vec::new(),
    });
    thread::scope(|scope| {
        let clients: Vec<_> = (0..CLIENTS)
            .map(|number| scope.spawn(move || client(number).collect::<Vec<_>>()))
            .collect();
        for asked in clients {
            for (turn, answer) in asked.join().expect("every question was answered") {
                answers[turn].answers.push(answer);
            }
        }
    });
    answers
}

#[test]
fn two_hundred_questions_a_second_are_answered_in_an_outage() {
    let rig = Rig::new();
    // The stopped worker is to stay: its end would be an event that ends the trouble.
    let fleet = Fleet::start(&rig, &["--workers", "2", "--watchdog", "60s"]);
    let before = fleet.await_health();
    let stopped = pid_of(&before["workers"][0]);
    // In this order: a worker that is stopped within a transaction would keep the lock from us.
    let lock = rig.database.lock("dbos.workflow_status");
    signal(stopped, Signal::STOP);
    eventually("a fleet that knows that its database hangs", || {
        let health = fleet.get("/health");
        if health.status == 503 { Ok(()) } else { Err(health) }
    });

    let [live, health] = ask_steadily(&fleet.address, ["/livez", "/health"]);
    live.assert_prompt(200, PROMPT);
    // It gives the database five of its ten milliseconds and then has to get the processor again. What that takes on a
    // loaded machine is seen in an answer that waits for nobody, which a bound of its own has just judged.
    health.assert_prompt(503, PROMPT + 2 * live.median());

    // Prompt answers are worth something only while they are true.
    let last = health.answers.last().expect("there are some").json();
    assert_eq!(last["database"]["status"], "unreachable", "{last:#}");
    let worker = &last["workers"][0];
    let silence = worker["heartbeat_age_seconds"].as_f64().unwrap_or_default();
    assert!(
        worker["pid"] == stopped && silence > 3.0,
        "the stopped worker is shown as if it lived: {worker:#}"
    );
    drop(lock);
    signal(stopped, Signal::CONT);
    let after = fleet.await_health();
    for slot in 0..2 {
        assert_eq!(
            after["workers"][slot]["pid"], before["workers"][slot]["pid"],
            "{after:#}"
        );
    }
}
