//! The side of an experiment that runs in a process of its own, with the engine, and may die.
//!
//! It is told its role by one line on standard input, so that the database's address is in no list of processes, says what
//! happens by lines on standard output, and ends when standard input does.

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

use crate::find;

/// How soon an outcome is seen.
const OUTCOME_POLL_INTERVAL: Duration = Duration::from_millis(20);

/// What the process ends with when nobody directs it any more.
const EXIT_DESERTED: i32 = 3;

/// Which of its forms an experiment runs.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Form {
    /// As one might write it.
    Broken,
    /// As it works.
    Right,
}

/// What an actor is told.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct Role {
    pub(crate) experiment: String,
    pub(crate) form: Form,
    pub(crate) database_url: String,
    pub(crate) schema: String,
    pub(crate) executor_id: String,
    pub(crate) application_version: String,
    /// What the experiment has to say to this actor in particular.
    pub(crate) arguments: Value,
}

/// A process that acts in an experiment. Cheap to clone.
#[derive(Debug, Clone)]
pub(crate) struct Actor {
    role: Role,
}

/// What an actor's steps and workflows fail with.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error, Serialize, Deserialize)]
#[error("{0}")]
pub(crate) struct Failed(pub(crate) String);

/// A part in an experiment, as it was given to this process.
pub struct Part(Actor);

impl Part {
    /// Takes the part that standard input tells; the process ends when standard input does.
    ///
    /// # Errors
    /// When there is none.
    pub fn take() -> anyhow::Result<Self> {
        let mut line = String::new();
        io::stdin().lock().read_line(&mut line)?;
        let role: Role = serde_json::from_str(&line).context("reading a part")?;
        end_with_stdin()?;
        Ok(Self(Actor { role }))
    }

    /// Acts: all that the process does, unless it dies of it.
    ///
    /// # Errors
    /// When what the experiment does failed; a crash does not come back.
    pub async fn act(self) -> anyhow::Result<()> {
        let experiment = find(&self.0.role.experiment).context("no such experiment")?;
        (experiment.act)(self.0).await
    }
}

impl Actor {
    pub(crate) fn form(&self) -> Form {
        self.role.form
    }

    /// The executor id, which is also a good workflow id: one that both forms have for themselves and all their processes
    /// share.
    pub(crate) fn executor_id(&self) -> &str {
        &self.role.executor_id
    }

    /// What the directing side has to say to this actor, by name.
    ///
    /// # Errors
    /// When it said nothing of that name, or something else.
    pub(crate) fn argument<T: DeserializeOwned>(&self, name: &str) -> anyhow::Result<T> {
        let value = self.role.arguments.get(name).cloned().unwrap_or(Value::Null);
        serde_json::from_value(value).with_context(|| format!("the argument {name}"))
    }

    /// The engine, not launched yet, as this actor's executor.
    ///
    /// Launching it recovers what an earlier process of the same executor id has left.
    pub(crate) fn engine(&self) -> DBOS {
        DBOS::new(Config {
            app_version: Some(self.role.application_version.clone()),
            executor_id: Some(self.role.executor_id.clone()),
            schema: self.role.schema.clone(),
            max_connections: 4,
            outcome_poll_interval: Some(OUTCOME_POLL_INTERVAL),
            migrate: false,
            ..Config::new("abaci-lab", self.role.database_url.clone())
        })
    }

    /// Starts a workflow under this actor's executor id; under an id that exists it starts nothing, and waits for that.
    pub(crate) fn start_options(&self) -> StartOptions<'_> {
        StartOptions {
            workflow_id: Some(&self.role.executor_id),
            ..StartOptions::default()
        }
    }

    /// A client of the engine's tables. What it does inside of a body is no step of it.
    ///
    /// # Errors
    /// When there is no database.
    pub(crate) async fn client(&self) -> anyhow::Result<Client> {
        let config = ClientConfig {
            schema: self.role.schema.clone(),
            ..ClientConfig::new(self.role.database_url.clone())
        };
        Ok(Client::connect(config).await?)
    }

    /// The address of the database, for what the engine does not do.
    pub(crate) fn database_url(&self) -> &str {
        &self.role.database_url
    }

    /// The schema with the engine's tables.
    pub(crate) fn schema(&self) -> &str {
        &self.role.schema
    }

    /// Runs this part with other arguments in a process of its own, unheard, which ends with this one at the latest.
    ///
    /// # Errors
    /// When there can be no such process; how it ended is none.
    pub(crate) async fn run_apart(&self, arguments: Value) -> anyhow::Result<ExitStatus> {
        let role = Role {
            arguments,
            ..self.role.clone()
        };
        let mut line = serde_json::to_vec(&role)?;
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

    /// A database session of its own, in which the engine's tables need no schema before their names.
    pub(crate) async fn session(&self) -> anyhow::Result<PgConnection> {
        let options: PgConnectOptions = self.database_url().parse()?;
        PgConnection::connect_with(&options.options([("search_path", self.schema())]))
            .await
            .context("connecting to the database")
    }

    /// Says that something happens; it is heard even if the process dies in the next moment.
    #[expect(
        clippy::unused_self,
        clippy::needless_pass_by_value,
        reason = "an actor says it, and details are built where they are said"
    )]
    pub(crate) fn say(&self, event: &str, details: Value) {
        let mut line = json!({ "event": event, "details": details }).to_string();
        line.push('\n');
        let mut stdout = io::stdout().lock();
        // Without anybody who hears it, the end of standard input ends the process.
        let _ = stdout.write_all(line.as_bytes()).and_then(|()| stdout.flush());
    }

    /// Says how a workflow ended.
    pub(crate) fn say_outcome<T: Serialize, E: std::error::Error>(&self, outcome: &Result<T, E>) {
        match outcome {
            Ok(value) => self.say("outcome", json!({ "status": "SUCCESS", "value": value })),
            Err(error) => self.say(
                "outcome",
                json!({ "status": "ERROR", "error": error.to_string() }),
            ),
        }
    }
}

/// Ends the process when nobody directs it any more.
fn end_with_stdin() -> io::Result<()> {
    thread::Builder::new().spawn(|| {
        let mut byte = [0];
        while io::stdin().lock().read(&mut byte).is_ok_and(|count| count > 0) {}
        std::process::exit(EXIT_DESERTED);
    })?;
    Ok(())
}
