//! `abaci list`: the jobs of every queue and every type, the newest first.

use clap::Args;
use durable_jobs::client::ListFilter;
use durable_jobs::{Client, Job, State};

use crate::config::Config;
use crate::database_access::DatabaseAccess;
use crate::exit::Exit;
use crate::flags::one_of;
use crate::output::{self, Format, Table};
use crate::selection::SelectionFlags;

/// Every state, in the order of a job's life.
const STATES: [State; 7] = [
    State::Queued,
    State::Delayed,
    State::Running,
    State::Succeeded,
    State::Failed,
    State::Parked,
    State::Cancelled,
];

/// List the jobs of every queue, the newest first.
#[derive(Debug, Args)]
pub(crate) struct ListArgs {
    /// Only jobs in these states
    #[arg(
        long = "state",
        value_name = "STATE",
        value_delimiter = ',',
        value_parser = one_of(STATES, State::name)
    )]
    states: Vec<State>,
    /// Only jobs that were parked, as --state parked
    #[arg(long, conflicts_with = "states")]
    parked: bool,
    /// Only jobs whose id begins so, as do those of one submission
    #[arg(long, value_name = "TEXT")]
    id_prefix: Option<String>,
    #[command(flatten)]
    selection: SelectionFlags,
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
        let Some((_access, client)) = DatabaseAccess::connect_if_used(config).await? else {
            output::talk(NOTHING_EVER);
            return Ok(Exit::Done);
        };
        let limit = Some(self.limit).filter(|&limit| limit > 0);
        let states = if self.parked {
            vec![State::Parked]
        } else {
            self.states
        };
        let filter = self.selection.narrow(ListFilter {
            states,
            id_prefix: self.id_prefix,
            limit,
            ..ListFilter::default()
        });
        let shown = print(&client, &filter, Format::of_flag(self.json)).await;
        client.close().await;
        let shown = shown?;
        if limit.is_some_and(|limit| shown >= limit as usize) {
            let newest = match shown {
                1 => "the newest job".to_owned(),
                count => format!("the newest {count} jobs"),
            };
            output::talk(format_args!("{newest}; for all of them add --limit 0"));
        }
        Ok(Exit::Done)
    }
}

/// Prints the jobs as they are read, a page at a time, and returns how many there were.
async fn print(client: &Client, filter: &ListFilter, format: Format) -> anyhow::Result<usize> {
    let mut pages = client.pages(filter);
    let (mut shown, mut widths) = (0, None::<Vec<usize>>);
    while let Some(jobs) = pages.next().await? {
        shown += jobs.len();
        if format == Format::Json {
            jobs.iter().try_for_each(output::json)?;
            continue;
        }
        let table = table(&jobs, client.clock().now_ms());
        match &widths {
            None => table.print()?,
            Some(widths) => table.print_on(widths)?,
        }
        // The columns stay where the first page has them.
        widths.get_or_insert_with(|| table.column_widths());
    }
    if shown == 0 && format == Format::Human {
        output::talk(nothing(filter));
    }
    Ok(shown)
}

/// Says why a list is empty.
fn nothing(filter: &ListFilter) -> &'static str {
    if filter.states.is_empty()
        && filter.id_prefix.is_none()
        && filter.batch.is_none()
        && filter.tags.is_empty()
    {
        NOTHING_EVER
    } else {
        "no job matches; all of them: abaci list"
    }
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
