//! The sandbox of a run: a schema of its own, actors in processes of their own, a deadline, a trace.

use std::os::unix::process::ExitStatusExt;
use std::process::{ExitStatus, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context, bail};
use dbos::sysdb::migrations::runner;
use serde_json::{Map, Value};
use sqlx::postgres::{PgConnectOptions, PgPool, PgPoolOptions, PgRow};
use sqlx::{AssertSqlSafe, Executor, Row};
use tokio::io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader, Lines};
use tokio::process::{Child, ChildStderr, ChildStdin, ChildStdout, Command};
use tokio::time::timeout;

use crate::actor::{Assignment, Form};
use crate::laboratory::{Forms, Laboratory};
use crate::report::Trace;
use crate::schema;

/// The longest that an experiment may take.
const DEADLINE: Duration = Duration::from_mins(1);

/// The version of the application that every actor has, unless it is to have another one.
const VERSION: &str = "lab-1";

/// The sandbox of one run.
pub(crate) struct Sandbox<'l> {
    experiment: &'static str,
    laboratory: &'l Laboratory,
    trace: &'l (dyn Fn(&Trace) + Send + Sync),
    schema: String,
    pool: PgPool,
    began: Instant,
}

/// The settings of an actor, besides its form.
#[derive(Debug, Clone)]
pub(crate) struct RunConfig<'a> {
    /// Its executor id; the same one again recovers what the former left.
    pub(crate) executor_id: &'a str,
    pub(crate) application_version: &'a str,
    pub(crate) arguments: Value,
}

/// An actor whose process was started.
pub(crate) struct RunningActor<'s> {
    sandbox: &'s Sandbox<'s>,
    form: Form,
    pid: u32,
    process: Child,
    /// Our end: the process ends when it is dropped.
    _stdin: ChildStdin,
    lines: Lines<BufReader<ChildStdout>>,
    stderr: ChildStderr,
    events: Vec<ActorEvent>,
}

/// Something that happened in an actor.
#[derive(Debug, Clone, serde::Deserialize)]
pub(crate) struct ActorEvent {
    pub(crate) event: String,
    pub(crate) details: Map<String, Value>,
}

/// An actor that has ended, with all its events.
#[derive(Debug)]
pub(crate) struct EndedActor {
    status: ExitStatus,
    pub(crate) events: Vec<ActorEvent>,
    pub(crate) stderr: String,
}

impl<'a> RunConfig<'a> {
    /// An actor under this executor id.
    pub(crate) fn new(executor_id: &'a str, arguments: Value) -> Self {
        Self {
            executor_id,
            application_version: VERSION,
            arguments,
        }
    }
}

impl<'l> Sandbox<'l> {
    /// Prepares the sandbox of a run; nothing is in the database yet.
    ///
    /// # Errors
    /// When the database URL cannot be read.
    pub(crate) fn set_up(
        experiment: &'static str,
        laboratory: &'l Laboratory,
        trace: &'l (dyn Fn(&Trace) + Send + Sync),
    ) -> anyhow::Result<Self> {
        let schema = schema::name(experiment);
        let options: PgConnectOptions = laboratory
            .database_url
            .parse()
            .context("reading the database URL")?;
        let pool = PgPoolOptions::new()
            .max_connections(4)
            .connect_lazy_with(options.options([("search_path", schema.as_str())]));
        Ok(Self {
            experiment,
            laboratory,
            trace,
            schema,
            pool,
            began: Instant::now(),
        })
    }

    /// The schema of the run.
    pub(crate) fn schema(&self) -> &str {
        &self.schema
    }

    /// Makes the schema, with the engine's tables in it.
    pub(crate) async fn make_tables(&self) -> anyhow::Result<()> {
        // Boxed, since it is large.
        let tables = Box::pin(runner::run(&self.pool, &self.schema, true));
        tables.await.context("making the engine's tables")?;
        Ok(())
    }

    /// Drops the schema with all that is in it; returns how long everything took, in seconds.
    pub(crate) async fn clear(&self) -> anyhow::Result<f64> {
        let seconds = self.began.elapsed().as_secs_f64();
        let drop_schema = async {
            let mut connection = self.pool.acquire().await?;
            loop {
                match schema::drop_schema(&mut connection, &self.schema).await {
                    // With a statement of a process that was killed, which goes on now and is its last.
                    Err(error) if schema::is_deadlock(&error) => {}
                    dropped => break dropped,
                }
            }
        };
        let dropped = timeout(schema::DROP_TIMEOUT, drop_schema).await;
        let dropped = dropped
            .map_err(anyhow::Error::from)
            .and_then(|dropped| Ok(dropped?));
        dropped.with_context(|| format!("dropping the schema {}; try later: abaci gc", self.schema))?;
        self.pool.close().await;
        Ok(seconds)
    }

    /// Waits for `what`, until the deadline of the experiment.
    pub(crate) async fn in_time<T>(
        &self,
        what: impl Future<Output = anyhow::Result<T>>,
    ) -> anyhow::Result<T> {
        let left = DEADLINE.saturating_sub(self.began.elapsed());
        match timeout(left, what).await {
            Ok(outcome) => outcome,
            Err(_) => bail!("it took longer than {} s", DEADLINE.as_secs()),
        }
    }

    /// The seed, which decides where crashes are.
    pub(crate) fn seed(&self) -> u64 {
        self.laboratory.seed
    }

    /// Starts an actor in the broken form, or in the right one.
    ///
    /// With [`Forms::Swapped`] the broken form runs in the place of the right one, and the verdict has to notice.
    pub(crate) async fn start(&self, form: Form, config: RunConfig<'_>) -> anyhow::Result<RunningActor<'_>> {
        let run_form = match self.laboratory.forms {
            Forms::AsWritten => form,
            Forms::Swapped => Form::Broken,
        };
        let assignment = Assignment {
            experiment: self.experiment.to_owned(),
            form: run_form,
            database_url: self.laboratory.database_url.clone(),
            schema: self.schema.clone(),
            executor_id: config.executor_id.to_owned(),
            application_version: config.application_version.to_owned(),
            arguments: config.arguments,
        };
        let mut process = Command::new(&self.laboratory.program)
            .args(&self.laboratory.arguments)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            // Ctrl-C reaches the conducting process alone, which ends the others.
            .process_group(0)
            .kill_on_drop(true)
            .spawn()
            .context("starting an actor")?;
        let mut stdin = process.stdin.take().context("it has a pipe")?;
        let mut line = serde_json::to_vec(&assignment)?;
        line.push(b'\n');
        stdin
            .write_all(&line)
            .await
            .context("sending an actor its assignment")?;
        let stdout = process.stdout.take().context("it has a pipe")?;
        let actor = RunningActor {
            sandbox: self,
            form,
            pid: process.id().unwrap_or_default(),
            stderr: process.stderr.take().context("it has a pipe")?,
            process,
            _stdin: stdin,
            lines: BufReader::new(stdout).lines(),
            events: Vec::new(),
        };
        let details = Map::from_iter([("executor_id".to_owned(), config.executor_id.into())]);
        self.publish(actor.pid, form, "start", details);
        Ok(actor)
    }

    /// Runs an actor to its end, whatever that is.
    pub(crate) async fn run(&self, form: Form, config: RunConfig<'_>) -> anyhow::Result<EndedActor> {
        self.start(form, config).await?.end().await
    }

    /// Rows of a query on the engine's tables, which need no schema before their names.
    pub(crate) async fn rows(&self, query: &str) -> anyhow::Result<Vec<PgRow>> {
        sqlx::query(AssertSqlSafe(query.to_owned()))
            .fetch_all(&self.pool)
            .await
            .with_context(|| format!("asking the database: {query}"))
    }

    /// Returns the one value that a query answers, cast to text; nothing for no row or null.
    pub(crate) async fn text(&self, query: &str) -> anyhow::Result<Option<String>> {
        let rows = self.rows(query).await?;
        let Some(row) = rows.first() else { return Ok(None) };
        Ok(row.try_get::<Option<String>, _>(0)?)
    }

    /// Changes something in the database.
    pub(crate) async fn execute(&self, statement: &str) -> anyhow::Result<()> {
        self.pool
            .execute(sqlx::raw_sql(AssertSqlSafe(statement.to_owned())))
            .await
            .with_context(|| format!("telling the database: {statement}"))?;
        Ok(())
    }

    fn publish(&self, pid: u32, form: Form, event: &str, details: Map<String, Value>) {
        (self.trace)(&Trace {
            pid,
            form: form.name().to_owned(),
            event: event.to_owned(),
            details,
        });
    }
}

impl RunningActor<'_> {
    /// Receives events until one of the name `event`; nothing if the actor ends before.
    pub(crate) async fn until(&mut self, event: &str) -> anyhow::Result<Option<ActorEvent>> {
        while let Some(received) = self.receive().await? {
            if received.event == event {
                return Ok(Some(received));
            }
        }
        Ok(None)
    }

    /// Kills the actor with SIGKILL.
    pub(crate) fn kill(&mut self) -> anyhow::Result<()> {
        self.process.start_kill().context("killing an actor")
    }

    /// Receives all events to the actor's end.
    pub(crate) async fn end(mut self) -> anyhow::Result<EndedActor> {
        while self.receive().await?.is_some() {}
        let mut stderr = String::new();
        self.stderr.read_to_string(&mut stderr).await?;
        let status = self.process.wait().await?;
        let ended = EndedActor {
            status,
            events: std::mem::take(&mut self.events),
            stderr: stderr.trim().to_owned(),
        };
        let mut details = Map::new();
        details.insert("how".to_owned(), ended.how().into());
        if status.code().is_some_and(|code| code != 0) {
            details.insert("why".to_owned(), ended.stderr.clone().into());
        }
        self.sandbox.publish(self.pid, self.form, "end", details);
        Ok(ended)
    }

    async fn receive(&mut self) -> anyhow::Result<Option<ActorEvent>> {
        let Some(line) = self.lines.next_line().await? else {
            return Ok(None);
        };
        let event: ActorEvent =
            serde_json::from_str(&line).with_context(|| format!("reading an actor's event {line:?}"))?;
        self.sandbox
            .publish(self.pid, self.form, &event.event, event.details.clone());
        self.events.push(event.clone());
        Ok(Some(event))
    }
}

impl EndedActor {
    /// The way it ended: `SIGSEGV`, or `exit 0`.
    pub(crate) fn how(&self) -> String {
        how(self.status)
    }

    /// Returns the details of all its events of one kind.
    pub(crate) fn all(&self, event: &str) -> impl Iterator<Item = &Map<String, Value>> {
        let events = self.events.iter().filter(move |sent| sent.event == event);
        events.map(|sent| &sent.details)
    }

    /// Returns one detail of its last event of one kind; null if there is none.
    pub(crate) fn last(&self, event: &str, detail: &str) -> Value {
        let last = self.all(event).last();
        last.and_then(|details| details.get(detail))
            .cloned()
            .unwrap_or_default()
    }
}

/// Returns the way a process ended: `SIGSEGV`, or `exit 0`.
pub(crate) fn how(status: ExitStatus) -> String {
    let signal = status.signal().map(|number| {
        let name = signal_hook::low_level::signal_name(number);
        name.map_or_else(|| format!("signal {number}"), str::to_owned)
    });
    signal.unwrap_or_else(|| format!("exit {}", status.code().unwrap_or_default()))
}
