//! The worker's side: starts a child, receives what it sends, and sees to its end.
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

use super::limits::ProcessLimits;
use super::protocol::{ChildMessage, ComputeRequest, Decoder, Tail, line_of};
use super::{Children, Enabled, Isolation, limits};
use crate::compute::{Activity, Computation, ComputationEnded, ProgressHandle, ResultSender, Task, stopped};
use crate::record::Failure;

/// The longest that a child that has said all may take to end by itself, and that the output of a dead one is read.
const LAST_WORDS: Duration = Duration::from_millis(200);

/// A child with what is known of it.
struct ChildSession<T: Task> {
    process: Child,
    /// Our end: the child ends when it is dropped.
    stdin: ChildStdin,
    stdout: Option<ChildStdout>,
    stderr: Option<ChildStderr>,
    decoder: Decoder,
    tail: Tail,
    progress: ProgressHandle,
    /// Where each output goes at once, and at the end the last one.
    sender: ResultSender<T::Output>,
    outcome: Option<Result<T::Output, Failure>>,
}

/// The end of a session.
enum SessionEnd {
    /// The child said its outcome or closed its streams.
    Said,
    /// The child is dead.
    Dead,
    /// Its time is over.
    TooLate,
    /// Nobody waits for it any more.
    Unwanted,
}

impl Children {
    /// Finds out whether a child can be started; it is ended at once.
    ///
    /// # Errors
    /// The reason why there is none.
    pub(crate) async fn probe(&self) -> Result<(), Failure> {
        let Some(isolation) = &self.isolation else {
            return Ok(());
        };
        // A failure means that it has ended.
        let _ = spawned(isolation)?.kill().await;
        Ok(())
    }
}

impl Enabled<'_> {
    /// Runs a task in a child and says which process that is; dropping the computation kills it.
    ///
    /// # Errors
    /// Why there is no child.
    pub(crate) fn start<T: Task>(
        &self,
        task: T,
        granted_bytes: Option<u64>,
        activity: Arc<Activity>,
    ) -> Result<(Computation<T::Output>, u32), Failure> {
        let (progress, unwanted) = (ProgressHandle::default(), CancellationToken::new());
        let (computation, sender) = Computation::new(activity, progress.clone(), unwanted.clone());
        let limits = self.limits(granted_bytes);
        let request = limits.request(task);
        // Before a process is there: a task that fits into no line needs none.
        let line = line_of("the task", &request)?;
        let session = ChildSession::<T>::begin(self.isolation, progress, sender)?;
        // It has a number until it is reaped, which only the task below does.
        let child = session.process.id().unwrap_or_default();
        self.tasks.spawn(session.hold(limits, (request, line), unwanted));
        Ok((computation, child))
    }
}

impl<T: Task> ChildSession<T> {
    fn begin(
        isolation: &Isolation,
        progress: ProgressHandle,
        sender: ResultSender<T::Output>,
    ) -> Result<Self, Failure> {
        let mut process = spawned(isolation)?;
        // Out of the handle, whose `wait` closes the input that it has: the child would end by that.
        let stdin = process.stdin.take().expect("it is a pipe");
        Ok(Self {
            stdin,
            stdout: process.stdout.take(),
            stderr: process.stderr.take(),
            process,
            decoder: Decoder::default(),
            tail: Tail::default(),
            progress,
            sender,
            outcome: None,
        })
    }

    /// Tells the child what to do, receives what it sends and reaps it; what it left unfinished is removed.
    async fn hold(
        mut self,
        limits: ProcessLimits,
        (request, line): (ComputeRequest<T>, Vec<u8>),
        unwanted: CancellationToken,
    ) {
        let end = tokio::select! {
            end = self.talk(&line) => end,
            () = unwanted.cancelled() => SessionEnd::Unwanted,
            () = passes(limits.wall_time) => SessionEnd::TooLate,
        };
        match end {
            SessionEnd::Said => drop(timeout(LAST_WORDS, self.process.wait()).await),
            SessionEnd::Dead => drop(timeout(LAST_WORDS, self.receive_rest()).await),
            SessionEnd::TooLate | SessionEnd::Unwanted => {}
        }
        // Whatever the end was: a child that has said all may still not end.
        self.kill();
        let status = self.process.wait().await.unwrap_or_default();
        let outcome = match (self.outcome, end) {
            // The answer counts, though the time was over at that moment or the end was a signal.
            (Some(outcome), _) => outcome.map_err(ComputationEnded::Failed),
            (None, SessionEnd::TooLate) => Err(ComputationEnded::Died(limits.wall_time_exceeded())),
            (None, SessionEnd::Unwanted) => Err(ComputationEnded::Failed(stopped())),
            (None, SessionEnd::Said | SessionEnd::Dead) => Err(ComputationEnded::Died(
                limits.failure_of(status, &self.tail.reason()),
            )),
        };
        // Where somebody still waits, the files that were handed over are theirs, and so is the removal of the others.
        if self.sender.send(outcome).is_err() {
            request.task.clean_up();
        }
    }

    /// Sends the request and receives what comes of it.
    async fn talk(&mut self, request: &[u8]) -> SessionEnd {
        // A child that does not read it is dead or says why on stderr.
        let _ = self.stdin.write_all(request).await;
        loop {
            if self.outcome.is_some() || self.stdout.is_none() && self.stderr.is_none() {
                return SessionEnd::Said;
            }
            tokio::select! {
                received = read(&mut self.stdout) => self.note(&received),
                received = read(&mut self.stderr) => self.tail.take(&received),
                // The ends of the streams are not enough: who has inherited them may keep them open.
                _ = self.process.wait() => return SessionEnd::Dead,
            }
        }
    }

    /// Receives the rest of what a dead child has sent.
    async fn receive_rest(&mut self) {
        while self.stdout.is_some() || self.stderr.is_some() {
            tokio::select! {
                received = read(&mut self.stdout) => self.note(&received),
                received = read(&mut self.stderr) => self.tail.take(&received),
            }
        }
    }

    fn note(&mut self, received: &[u8]) {
        for message in self.decoder.take(received) {
            match message {
                ChildMessage::Progress { done, bytes } => self.progress.set(done, bytes),
                ChildMessage::Done { what } => self.outcome = Some(Ok(what)),
                // Nobody may wait for it any more.
                ChildMessage::Sent { what } => drop(self.sender.send(Ok(what))),
                ChildMessage::Failed { failure } => self.outcome = Some(Err(failure)),
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

/// A child that waits for its order.
fn spawned(isolation: &Isolation) -> Result<Child, Failure> {
    let mut command = Command::new(&isolation.program);
    command
        .arg0(&isolation.name)
        .args(&isolation.arguments)
        // Nothing of the worker's environment, which may hold the password of the database.
        .env_clear()
        .envs(isolation.environment.iter().map(|(name, value)| (name, value)))
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        // Its own group: Ctrl-C goes to all of the worker's, which says what becomes of a child.
        .process_group(0)
        // Only where the runtime itself is dropped, or a probe; else the task sees to it.
        .kill_on_drop(true);
    command.spawn().map_err(|error| limits::not_started(&error))
}

/// Reads what a stream has; at its end the stream is gone. Never completes without a stream. Cancel-safe.
async fn read(stream: &mut Option<impl AsyncReadExt + Unpin>) -> Vec<u8> {
    let Some(open) = stream else {
        return std::future::pending().await;
    };
    let mut bytes = vec![0; 4096];
    // An error of a pipe is taken for its end: how the process ended says the rest.
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
