//! Where an experiment is directed: a schema of its own, actors in processes of their own, a deadline, a trace.

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

use crate::actor::{Form, Role};
use crate::report::Trace;
use crate::{Cast, Laboratory, schema};

/// The longest that an experiment may take.
const DEADLINE: Duration = Duration::from_mins(1);

/// The version of the application that every actor has, unless it is to have another one.
const VERSION: &str = "lab-1";

/// Where an experiment is directed.
pub(crate) struct Stage<'l> {
    experiment: &'static str,
    laboratory: &'l Laboratory,
    trace: &'l (dyn Fn(&Trace) + Send + Sync),
    schema: String,
    pool: PgPool,
    began: Instant,
}

/// What an actor is to be, besides its form.
#[derive(Debug, Clone)]
pub(crate) struct Casting<'a> {
    /// Under which executor id it works; the same one again recovers what the former left.
    pub(crate) executor_id: &'a str,
    pub(crate) application_version: &'a str,
    /// What the experiment has to say to it.
    pub(crate) arguments: Value,
}

/// A process that acts.
pub(crate) struct Acting<'s> {
    stage: &'s Stage<'s>,
    form: Form,
    pid: u32,
    process: Child,
    /// Our end: the process ends when it is dropped.
    _stdin: ChildStdin,
    lines: Lines<BufReader<ChildStdout>>,
    stderr: ChildStderr,
    said: Vec<Said>,
}

/// Something that an actor said.
#[derive(Debug, Clone, serde::Deserialize)]
pub(crate) struct Said {
    pub(crate) event: String,
    pub(crate) details: Map<String, Value>,
}

/// An actor that has ended, with all that it said.
#[derive(Debug)]
pub(crate) struct Ended {
    status: ExitStatus,
    pub(crate) said: Vec<Said>,
    /// What it wrote to standard error.
    pub(crate) complaint: String,
}

impl<'a> Casting<'a> {
    /// An actor under this executor id.
    pub(crate) fn new(executor_id: &'a str, arguments: Value) -> Self {
        Self {
            executor_id,
            application_version: VERSION,
            arguments,
        }
    }
}

impl<'l> Stage<'l> {
    /// Sets the stage of a run; nothing is in the database yet.
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
            schema::drop_schema(&mut connection, &self.schema).await
        };
        let dropped = timeout(schema::DROP_TIMEOUT, drop_schema).await;
        let dropped = dropped
            .map_err(anyhow::Error::from)
            .and_then(|dropped| Ok(dropped?));
        dropped.with_context(|| format!("dropping the schema {}; try later: abaci gc", self.schema))?;
        self.pool.close().await;
        Ok(seconds)
    }

    /// Does something that must be done before the deadline of the experiment.
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

    /// What decides where crashes are.
    pub(crate) fn seed(&self) -> u64 {
        self.laboratory.seed
    }

    /// Starts an actor in the broken form, or in the right one.
    ///
    /// A swapped cast has the broken form in the place of the right one, and the verdict has to notice.
    pub(crate) async fn start(&self, form: Form, casting: Casting<'_>) -> anyhow::Result<Acting<'_>> {
        let played = match self.laboratory.cast {
            Cast::AsWritten => form,
            Cast::Swapped => Form::Broken,
        };
        let role = Role {
            experiment: self.experiment.to_owned(),
            form: played,
            database_url: self.laboratory.database_url.clone(),
            schema: self.schema.clone(),
            executor_id: casting.executor_id.to_owned(),
            application_version: casting.application_version.to_owned(),
            arguments: casting.arguments,
        };
        let mut process = Command::new(&self.laboratory.program)
            .args(&self.laboratory.arguments)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            // Ctrl-C is told to the directing process alone, which ends the others.
            .process_group(0)
            .kill_on_drop(true)
            .spawn()
            .context("starting an actor")?;
        let mut stdin = process.stdin.take().context("it has a pipe")?;
        let mut line = serde_json::to_vec(&role)?;
        line.push(b'\n');
        stdin
            .write_all(&line)
            .await
            .context("telling an actor its role")?;
        let stdout = process.stdout.take().context("it has a pipe")?;
        let acting = Acting {
            stage: self,
            form,
            pid: process.id().unwrap_or_default(),
            stderr: process.stderr.take().context("it has a pipe")?,
            process,
            _stdin: stdin,
            lines: BufReader::new(stdout).lines(),
            said: Vec::new(),
        };
        let details = Map::from_iter([("executor_id".to_owned(), casting.executor_id.into())]);
        self.tell(acting.pid, form, "start", details);
        Ok(acting)
    }

    /// Runs an actor to its end, whatever that is.
    pub(crate) async fn run(&self, form: Form, casting: Casting<'_>) -> anyhow::Result<Ended> {
        self.start(form, casting).await?.end().await
    }

    /// Rows of a query on the engine's tables, which need no schema before their names.
    pub(crate) async fn rows(&self, query: &str) -> anyhow::Result<Vec<PgRow>> {
        sqlx::query(AssertSqlSafe(query.to_owned()))
            .fetch_all(&self.pool)
            .await
            .with_context(|| format!("asking the database: {query}"))
    }

    /// The one number or text that a query answers, cast to text; nothing for no row or null.
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

    fn tell(&self, pid: u32, form: Form, event: &str, details: Map<String, Value>) {
        (self.trace)(&Trace {
            pid,
            form: form.name().to_owned(),
            event: event.to_owned(),
            details,
        });
    }
}

impl Acting<'_> {
    /// Hears the actor until it says that `event` happens; nothing if it ends before.
    pub(crate) async fn until(&mut self, event: &str) -> anyhow::Result<Option<Said>> {
        while let Some(said) = self.hear().await? {
            if said.event == event {
                return Ok(Some(said));
            }
        }
        Ok(None)
    }

    /// Kills the actor with SIGKILL.
    pub(crate) fn kill(&mut self) -> anyhow::Result<()> {
        self.process.start_kill().context("killing an actor")
    }

    /// Hears the actor out, and says how it ended.
    pub(crate) async fn end(mut self) -> anyhow::Result<Ended> {
        while self.hear().await?.is_some() {}
        let mut complaint = String::new();
        self.stderr.read_to_string(&mut complaint).await?;
        let status = self.process.wait().await?;
        let ended = Ended {
            status,
            said: std::mem::take(&mut self.said),
            complaint: complaint.trim().to_owned(),
        };
        let mut details = Map::new();
        details.insert("how".to_owned(), ended.how().into());
        if status.code().is_some_and(|code| code != 0) {
            details.insert("why".to_owned(), ended.complaint.clone().into());
        }
        self.stage.tell(self.pid, self.form, "end", details);
        Ok(ended)
    }

    async fn hear(&mut self) -> anyhow::Result<Option<Said>> {
        let Some(line) = self.lines.next_line().await? else {
            return Ok(None);
        };
        let said: Said = serde_json::from_str(&line).with_context(|| format!("an actor said {line:?}"))?;
        self.stage
            .tell(self.pid, self.form, &said.event, said.details.clone());
        self.said.push(said.clone());
        Ok(Some(said))
    }
}

impl Ended {
    /// How it ended: `SIGSEGV`, or `exit 0`.
    pub(crate) fn how(&self) -> String {
        how(self.status)
    }

    /// All that it said of one kind.
    pub(crate) fn all(&self, event: &str) -> impl Iterator<Item = &Map<String, Value>> {
        let said = self.said.iter().filter(move |said| said.event == event);
        said.map(|said| &said.details)
    }

    /// One detail of the last thing of one kind that it said; null if it said none.
    pub(crate) fn last(&self, event: &str, detail: &str) -> Value {
        let last = self.all(event).last();
        last.and_then(|details| details.get(detail))
            .cloned()
            .unwrap_or_default()
    }
}

/// How a process ended: `SIGSEGV`, or `exit 0`.
pub(crate) fn how(status: ExitStatus) -> String {
    let signal = status.signal().map(|number| {
        let name = signal_hook::low_level::signal_name(number);
        name.map_or_else(|| format!("signal {number}"), str::to_owned)
    });
    signal.unwrap_or_else(|| format!("exit {}", status.code().unwrap_or_default()))
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
