//! The side of an experiment that runs in a process of its own, with the engine, and may die.
//!
//! It reads its assignment from one line of standard input, so that the database's address is in no list of processes,
//! writes its events as lines of standard output, and ends when standard input does.

use std::io::{self, BufRead, Read, Write};
use std::process::{ExitStatus, Stdio};
use std::thread;
use std::time::Duration;

use anyhow::Context;
use dbos::{Client, ClientConfig, Config, DBOS, StartOptions};
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use sqlx::Connection;
use sqlx::postgres::{PgConnectOptions, PgConnection};
use tokio::io::AsyncWriteExt;
use tokio::process::Command;

/// The interval at which the engine looks for an outcome.
const OUTCOME_POLL_INTERVAL: Duration = Duration::from_millis(20);

/// The exit code of an actor whose standard input has ended.
const EXIT_STDIN_ENDED: i32 = 3;

/// One of the two forms of an experiment.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Form {
    /// As one might write it.
    Broken,
    /// As it works.
    Right,
}

impl Form {
    /// As in the trace.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Broken => "broken",
            Self::Right => "right",
        }
    }
}

/// The message that makes a process an actor.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct Assignment {
    pub(crate) experiment: String,
    pub(crate) form: Form,
    pub(crate) database_url: String,
    pub(crate) schema: String,
    pub(crate) executor_id: String,
    pub(crate) application_version: String,
    /// Arguments for this actor in particular.
    pub(crate) arguments: Value,
}

/// A process that acts in an experiment. Cheap to clone.
#[derive(Debug, Clone)]
pub(crate) struct Actor {
    assignment: Assignment,
}

/// The error of an actor's steps and workflows.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error, Serialize, Deserialize)]
#[error("{0}")]
pub(crate) struct StepFailed(pub(crate) String);

/// The outcome of an actor's step or workflow.
pub(crate) type StepResult<T> = dbos::Result<T, StepFailed>;

impl Actor {
    /// Takes the assignment that is on standard input; the process ends when standard input does.
    pub(crate) fn from_stdin() -> anyhow::Result<Self> {
        let mut line = String::new();
        io::stdin().lock().read_line(&mut line)?;
        let assignment = serde_json::from_str(&line).context("reading an assignment")?;
        end_with_stdin()?;
        Ok(Self { assignment })
    }

    pub(crate) fn experiment(&self) -> &str {
        &self.assignment.experiment
    }

    pub(crate) fn form(&self) -> Form {
        self.assignment.form
    }

    /// The executor id, which is also a good workflow id: one that both forms have for themselves and all their processes
    /// share.
    pub(crate) fn executor_id(&self) -> &str {
        &self.assignment.executor_id
    }

    /// Returns an argument of the assignment, by name.
    ///
    /// # Errors
    /// When there is none of that name, or it has another type.
    pub(crate) fn argument<T: DeserializeOwned>(&self, name: &str) -> anyhow::Result<T> {
        let value = self
            .assignment
            .arguments
            .get(name)
            .cloned()
            .unwrap_or(Value::Null);
        serde_json::from_value(value).with_context(|| format!("the argument {name}"))
    }

    /// Returns the engine, not launched yet, as this actor's executor.
    ///
    /// Launching it recovers what an earlier process of the same executor id has left.
    pub(crate) fn engine(&self) -> DBOS {
        DBOS::new(Config {
            app_version: Some(self.assignment.application_version.clone()),
            executor_id: Some(self.assignment.executor_id.clone()),
            schema: self.assignment.schema.clone(),
            max_connections: 4,
            outcome_poll_interval: Some(OUTCOME_POLL_INTERVAL),
            // The conducting process has made the tables.
            migrate: false,
            ..Config::new("abaci-lab", self.assignment.database_url.clone())
        })
    }

    /// Starts a workflow under this actor's executor id; under an id that exists it starts nothing, and waits for that.
    pub(crate) fn start_options(&self) -> StartOptions<'_> {
        StartOptions {
            workflow_id: Some(&self.assignment.executor_id),
            ..StartOptions::default()
        }
    }

    /// Opens a client of the engine's tables. Its calls inside of a body are no steps.
    ///
    /// # Errors
    /// When there is no database.
    pub(crate) async fn client(&self) -> anyhow::Result<Client> {
        let config = ClientConfig {
            schema: self.assignment.schema.clone(),
            ..ClientConfig::new(self.assignment.database_url.clone())
        };
        Ok(Client::connect(config).await?)
    }

    /// The address of the database, for statements of the experiment itself.
    pub(crate) fn database_url(&self) -> &str {
        &self.assignment.database_url
    }

    /// The schema with the engine's tables.
    pub(crate) fn schema(&self) -> &str {
        &self.assignment.schema
    }

    /// Runs this actor with other arguments in a process of its own, without output, which ends with this one at the latest.
    ///
    /// # Errors
    /// When there can be no such process; how it ended is none.
    pub(crate) async fn run_apart(&self, arguments: Value) -> anyhow::Result<ExitStatus> {
        let assignment = Assignment {
            arguments,
            ..self.assignment.clone()
        };
        let mut line = serde_json::to_vec(&assignment)?;
        line.push(b'\n');
        let mut process = Command::new(std::env::current_exe()?)
            .args(std::env::args_os().skip(1))
            .stdin(Stdio::piped())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .kill_on_drop(true)
            .spawn()
            .context("starting a process of its own")?;
        // Taken, since waiting would close it, and the process ends when it is closed.
        let mut stdin = process.stdin.take().context("it has a pipe")?;
        stdin.write_all(&line).await?;
        Ok(process.wait().await?)
    }

    /// Opens a database session of its own, in which the engine's tables need no schema before their names.
    pub(crate) async fn session(&self) -> anyhow::Result<PgConnection> {
        let options: PgConnectOptions = self.database_url().parse()?;
        PgConnection::connect_with(&options.options([("search_path", self.schema())]))
            .await
            .context("connecting to the database")
    }

    /// Sends an event; it arrives even if the process dies in the next moment.
    #[expect(
        clippy::unused_self,
        clippy::needless_pass_by_value,
        reason = "the actor is the sender, and details are built where they are sent"
    )]
    pub(crate) fn send(&self, event: &str, details: Value) {
        let mut line = json!({ "event": event, "details": details }).to_string();
        line.push('\n');
        let mut stdout = io::stdout().lock();
        // Where nobody reads it, the end of standard input ends the process.
        let _ = stdout.write_all(line.as_bytes()).and_then(|()| stdout.flush());
    }

    /// Sends the outcome of a workflow.
    pub(crate) fn send_outcome<T: Serialize, E: std::error::Error>(&self, outcome: &Result<T, E>) {
        match outcome {
            Ok(value) => self.send("outcome", json!({ "status": "SUCCESS", "value": value })),
            Err(error) => self.send(
                "outcome",
                json!({ "status": "ERROR", "error": error.to_string() }),
            ),
        }
    }
}

/// Ends the process when its standard input ends.
fn end_with_stdin() -> io::Result<()> {
    thread::Builder::new().spawn(|| {
        let mut byte = [0];
        while io::stdin().lock().read(&mut byte).is_ok_and(|count| count > 0) {}
        std::process::exit(EXIT_STDIN_ENDED);
    })?;
    Ok(())
}
