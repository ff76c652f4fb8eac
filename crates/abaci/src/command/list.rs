//! `abaci list`: the jobs of every queue and every type, the newest first.

use clap::Args;
use durable_jobs::client::JobCount;
use durable_jobs::record::Cursor;
use durable_jobs::{Client, Job, JobFilter};
use indicatif::HumanCount;

use crate::config::Config;
use crate::database_access::DatabaseAccess;
use crate::exit::Exit;
use crate::output::{self, Format, Table};
use crate::selection::{AT_ONCE, JobsArgs, NO_MATCH, SelectedQueueFlag};

/// The most jobs that are counted to say how many there are.
const COUNTED: u64 = 10_000;

/// List the jobs of every queue, the newest first.
#[derive(Debug, Args)]
pub(crate) struct ListArgs {
    /// Only jobs whose id begins so, as do those of one submission
    #[arg(long, value_name = "TEXT")]
    id_prefix: Option<String>,
    #[command(flatten)]
    jobs: JobsArgs,
    #[command(flatten)]
    on: SelectedQueueFlag,
    /// Go on after this place, which a list names where it ends
    #[arg(long, value_name = "PLACE")]
    after: Option<Cursor>,
    /// At most this many jobs; 0 for all
    #[arg(long, value_name = "COUNT", default_value_t = 50)]
    limit: u32,
    /// Print one JSON object per job
    #[arg(long)]
    json: bool,
}

/// The text of one column for a job, at a moment of the database's clock.
type Cell = fn(&Job, i64) -> String;

/// The columns of the table: a new one is a row here.
const COLUMNS: [(&str, Cell); 9] = [
    ("ID", |job, _| job.workflow_id.to_string()),
    ("STATE", |job, _| job.state.to_string()),
    ("N", |job, _| shown(output::detail(&job.details, "n"))),
    ("ALGORITHM", |job, _| {
        shown(output::detail(&job.details, "algorithm"))
    }),
    ("QUEUE", |job, _| shown(job.queue.as_deref())),
    ("AGE", |job, now_ms| output::age(job.created_at_ms, now_ms)),
    ("ATTEMPTS", |job, _| job.attempts.to_string()),
    ("WORKER", |job, _| shown(job.executor_id.as_deref())),
    ("TYPE", |job, _| job.workflow.clone()),
];

/// Printed where nobody has ever submitted.
const NOTHING_EVER: &str = "no jobs; submit one with: abaci submit 100";

impl ListArgs {
    pub(crate) async fn run(self, config: &Config) -> anyhow::Result<Exit> {
        let jobs = self.jobs.read()?;
        let Some((_access, client)) = DatabaseAccess::connect_if_used(config).await? else {
            output::talk(NOTHING_EVER);
            return Ok(Exit::Done);
        };
        // Jobs that are named are all shown, however many they are.
        let limit = Some(self.limit).filter(|&limit| limit > 0 && !jobs.are_named());
        let filter = JobFilter {
            id_prefix: self.id_prefix,
            after: self.after,
            limit,
            ..jobs.filter_or_all(&client, self.on.queue).await?
        };
        let format = Format::of_flag(self.json);
        let listed = if jobs.are_named() {
            print_named(&client, &filter, format).await
        } else {
            let printed = print(&client, &filter, format, &mut None).await;
            printed.map(|()| Exit::Done)
        };
        client.close().await;
        listed
    }
}

/// Prints the jobs that are named, and says which there are not.
async fn print_named(client: &Client, filter: &JobFilter, format: Format) -> anyhow::Result<Exit> {
    let (mut exit, mut widths) = (Exit::Done, None);
    for some in filter.ids.chunks(AT_ONCE) {
        let states = client.states_of(some).await?;
        for id in some.iter().filter(|id| !states.contains_key(id)) {
            output::error(output::no_such_job(id));
            exit = Exit::No;
        }
        // An empty page would say that no job matches, after each was named as missing.
        if !states.is_empty() {
            let ids = some.to_vec();
            print(
                client,
                &JobFilter {
                    ids,
                    ..filter.clone()
                },
                format,
                &mut widths,
            )
            .await?;
        }
    }
    Ok(exit)
}

/// Prints the jobs as they are read, a page at a time, and how many more there are. The columns have the widths of the
/// first page of all, which has a header.
async fn print(
    client: &Client,
    filter: &JobFilter,
    format: Format,
    widths: &mut Option<Vec<usize>>,
) -> anyhow::Result<()> {
    let mut pages = client.pages(filter);
    let mut shown = 0;
    while let Some(jobs) = pages.next().await? {
        shown += jobs.len() as u64;
        if format == Format::Json {
            jobs.iter().try_for_each(output::json)?;
            continue;
        }
        let table = table(&jobs, client.clock().now_ms());
        match &*widths {
            None => table.print()?,
            Some(widths) => table.print_on(widths)?,
        }
        // The columns stay where the first page has them.
        widths.get_or_insert_with(|| table.column_widths());
    }
    if shown == 0 && format == Format::Human {
        output::talk(if filter.means_all() {
            NOTHING_EVER
        } else {
            NO_MATCH
        });
    }
    if let Some(place) = pages.place()
        && filter.limit.is_some_and(|limit| shown >= u64::from(limit))
        && let Some(of) = count(client, filter, place).await?
    {
        output::talk(format_args!("{}{of}; next: --after {place}", HumanCount(shown)));
    }
    Ok(())
}

/// Counts what a list could show, if there is more after a place.
async fn count(client: &Client, filter: &JobFilter, place: &Cursor) -> anyhow::Result<Option<String>> {
    let from = |after: Option<&Cursor>| JobFilter {
        after: after.cloned(),
        ..filter.clone()
    };
    // Details have to be read of each job, which may take long.
    if !filter.details.is_empty() {
        return Ok(Some(" jobs, and there may be more".to_owned()));
    }
    // Up to zero: whether there is more is known at the first of them.
    if client.count(&from(Some(place)), 0).await? == JobCount::Exactly(0) {
        return Ok(None);
    }
    Ok(Some(match client.count(&from(None), COUNTED).await? {
        JobCount::Exactly(count) => format!(" of {} jobs", HumanCount(count)),
        JobCount::Over(count) => format!(" of over {} jobs", HumanCount(count)),
    }))
}

fn table(jobs: &[Job], now_ms: i64) -> Table {
    let mut table = Table::new(COLUMNS.map(|(name, _)| name));
    for job in jobs {
        table.row(COLUMNS.map(|(_, cell)| cell(job, now_ms)));
    }
    table
}

fn shown(value: Option<impl ToString>) -> String {
    value.map_or_else(|| "-".to_owned(), |value| value.to_string())
}
