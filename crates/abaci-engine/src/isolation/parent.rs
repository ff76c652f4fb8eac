//! The worker's side: starts a child, hears it out, and sees to its end.
//!
//! A task of its own owns the child, not the step: when the step is dropped, by a cancel, a timeout or a drain, the task
//! kills the child, reaps it and removes what it left unfinished, in that order, since only a dead process writes nothing.

use std::process::Stdio;
use std::sync::Arc;
use std::time::Duration;

use rustix::process::{Pid, Signal, kill_process_group};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::process::{Child, ChildStderr, ChildStdin, ChildStdout, Command};
use tokio::time::timeout;
use tokio_util::sync::CancellationToken;

use super::ending::Limits;
use super::protocol::{Decoder, Order, Said, Tail};
use super::{Enabled, Isolation, ending};
use crate::compute::{self, Answer};
use crate::record::Failure;
use crate::worker::{JobLog, Meter};

/// How long a child that has said all may take to end by itself, and how long what a dead one has said is read.
const LAST_WORDS: Duration = Duration::from_millis(200);

/// A child with what is known of it.
struct Conversation {
    process: Child,
    /// Our end: the child ends when it is dropped.
    stdin: ChildStdin,
    stdout: Option<ChildStdout>,
    stderr: Option<ChildStderr>,
    decoder: Decoder,
    tail: Tail,
    meter: Meter,
    outcome: Option<Result<Answer, Failure>>,
}

/// Why a child had no answer.
#[derive(Debug)]
pub(crate) enum ChildError {
    /// It died of something.
    Died(Failure),
    /// It lived to say why, or never lived.
    Failed(Failure),
}

/// What ended a conversation.
enum End {
    /// The child said its outcome or closed its streams.
    Said,
    /// The child is dead.
    Dead,
    /// Its time is over.
    TooLate,
    /// Nobody waits for it any more.
    Unwanted,
}

impl Enabled<'_> {
    /// Computes in a child; dropping the future kills it.
    ///
    /// # Errors
    /// The child's own failure, or a retryable one that says how it ended.
    pub(crate) async fn compute(
        &self,
        order: Order,
        meter: Meter,
        log: &JobLog,
    ) -> Result<Answer, ChildError> {
        let unwanted = CancellationToken::new();
        let _unwanted_when_dropped = unwanted.clone().drop_guard();
        let conversation = Conversation::begin(self.isolation, meter).map_err(ChildError::Failed)?;
        log.child_started(conversation.process.id().unwrap_or_default());
        let isolation = Arc::clone(self.isolation);
        let task = self.tasks.spawn(conversation.hold(isolation, order, unwanted));
        task.await
            .unwrap_or_else(|_| Err(ChildError::Failed(compute::stopped())))
    }
}

impl Conversation {
    fn begin(isolation: &Isolation, meter: Meter) -> Result<Self, Failure> {
        let mut command = Command::new(&isolation.program);
        command
            .args(&isolation.arguments)
            .env_clear()
            .envs(isolation.environment.iter().map(|(name, value)| (name, value)))
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .process_group(0)
            // Only where the runtime itself is dropped; else the task sees to it.
            .kill_on_drop(true);
        let mut process = command
            .spawn()
            .map_err(|error| ending::not_started(isolation, &error))?;
        let stdin = process.stdin.take().expect("it is a pipe");
        Ok(Self {
            stdin,
            stdout: process.stdout.take(),
            stderr: process.stderr.take(),
            process,
            decoder: Decoder::default(),
            tail: Tail::default(),
            meter,
            outcome: None,
        })
    }

    /// Tells the child what to do, hears it out and reaps it; what it left unfinished is removed.
    async fn hold(
        mut self,
        isolation: Arc<Isolation>,
        order: Order,
        unwanted: CancellationToken,
    ) -> Result<Answer, ChildError> {
        let end = tokio::select! {
            end = self.talk(&order) => end,
            () = unwanted.cancelled() => End::Unwanted,
            () = passes(isolation.wall_time) => End::TooLate,
        };
        match end {
            End::Said => drop(timeout(LAST_WORDS, self.process.wait()).await),
            End::Dead => drop(timeout(LAST_WORDS, self.hear()).await),
            End::TooLate | End::Unwanted => {}
        }
        self.kill();
        let status = self.process.wait().await.unwrap_or_default();
        let outcome = match (self.outcome, end) {
            (Some(outcome), _) => outcome.map_err(ChildError::Failed),
            (None, End::TooLate) => Err(ChildError::Died(ending::wall_time_exceeded(&isolation))),
            (None, End::Unwanted) => Err(ChildError::Failed(compute::stopped())),
            (None, End::Said | End::Dead) => {
                let limits = Limits {
                    memory_bytes: order.memory_bytes,
                    cpu_time: isolation.cpu_time,
                };
                let last_words = self.tail.reason();
                Err(ChildError::Died(ending::of_process(status, &last_words, &limits)))
            }
        };
        if outcome.is_err() {
            order.place.remove();
        }
        outcome
    }

    /// Gives the order and hears what comes of it.
    async fn talk(&mut self, order: &Order) -> End {
        let mut line = serde_json::to_vec(order).unwrap_or_default();
        line.push(b'\n');
        // A child that does not read it is dead or says why on stderr.
        let _ = self.stdin.write_all(&line).await;
        loop {
            if self.outcome.is_some() || self.stdout.is_none() && self.stderr.is_none() {
                return End::Said;
            }
            tokio::select! {
                heard = read(&mut self.stdout) => self.note(&heard),
                heard = read(&mut self.stderr) => self.tail.take(&heard),
                _ = self.process.wait() => return End::Dead,
            }
        }
    }

    /// Hears the rest of what a dead child has said.
    async fn hear(&mut self) {
        while self.stdout.is_some() || self.stderr.is_some() {
            tokio::select! {
                heard = read(&mut self.stdout) => self.note(&heard),
                heard = read(&mut self.stderr) => self.tail.take(&heard),
            }
        }
    }

    fn note(&mut self, heard: &[u8]) {
        for said in self.decoder.take(heard) {
            match said {
                Said::Progress { done } => self.meter.set_share(done),
                Said::Done { answer } => self.outcome = Some(Ok(*answer)),
                Said::Failed { failure } => self.outcome = Some(Err(failure)),
            }
        }
    }

    /// Kills the child, if it is not reaped yet, and whatever is in its group.
    fn kill(&self) {
        let pid = self.process.id().and_then(|pid| i32::try_from(pid).ok());
        if let Some(pid) = pid.and_then(Pid::from_raw) {
            // It leads its group from its first moment on; a failure means that it has ended.
            let _ = kill_process_group(pid, Signal::KILL);
        }
    }
}

/// Reads what a stream has; at its end the stream is gone. Never completes without a stream. Cancel-safe.
async fn read(stream: &mut Option<impl AsyncReadExt + Unpin>) -> Vec<u8> {
    let Some(open) = stream else {
        return std::future::pending().await;
    };
    let mut bytes = vec![0; 4096];
    let count = open.read(&mut bytes).await.unwrap_or_default();
    if count == 0 {
        *stream = None;
    }
    bytes.truncate(count);
    bytes
}

/// Completes when a time limit has passed; never, where there is none.
async fn passes(limit: Option<Duration>) {
    match limit {
        Some(limit) => tokio::time::sleep(limit).await,
        None => std::future::pending().await,
    }
}
