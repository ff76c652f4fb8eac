//! `abaci queue`: pauses queues, resumes them and limits how fast their jobs start.
//!
//! What is set is kept in the database, in the engine's table of queues, and counts for every worker until it is changed.

use std::str::FromStr;

use clap::{Args, Subcommand};
use durable_jobs::Client;
use durable_jobs::client::{QueueInfo, Rate};

use crate::config::{Config, Period};
use crate::database_access::DatabaseAccess;
use crate::exit::{Exit, Failed};
use crate::output::{self, Format, Table};

/// Subcommands about queues.
#[derive(Debug, Subcommand)]
pub(crate) enum QueueCommand {
    /// List the queues: what waits, what runs, what holds them up
    List(QueueListArgs),
    /// Let no job of a queue start until it is resumed; what runs goes on
    Pause(NameArgs),
    /// Let the jobs of a paused queue start again
    Resume(NameArgs),
    /// Limit how fast the jobs of a queue start, over all workers
    Limit(LimitArgs),
}

/// List the queues.
#[derive(Debug, Args)]
pub(crate) struct QueueListArgs {
    /// Print one JSON object per queue
    #[arg(long)]
    json: bool,
}

/// The queue in question.
#[derive(Debug, Args)]
pub(crate) struct NameArgs {
    /// Name of the queue [default: that of the configuration]
    #[arg(value_name = "NAME")]
    name: Option<String>,
}

/// Limit how fast the jobs of a queue start.
#[derive(Debug, Args)]
pub(crate) struct LimitArgs {
    #[command(flatten)]
    queue: NameArgs,
    /// So many starts in a time, such as 100/1m; off for no limit
    #[arg(long, value_name = "COUNT/TIME")]
    rate: StartLimit,
}

/// A limit of starts, or none.
#[derive(Debug, Clone, Copy, PartialEq)]
struct StartLimit(Option<Rate>);

impl FromStr for StartLimit {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        if text == "off" {
            return Ok(Self(None));
        }
        let wrong = || "not a rate; write it such as 100/1m, or off".to_owned();
        let (count, time) = text.split_once('/').ok_or_else(wrong)?;
        let starts = count
            .parse()
            .ok()
            .filter(|count| (1..=i32::MAX.unsigned_abs()).contains(count));
        let (starts, Period(time)) = (starts.ok_or_else(wrong)?, time.parse()?);
        let (shortest, longest) = (Period(Rate::SHORTEST), Rate::LONGEST.as_secs() / 86_400);
        if !(Rate::SHORTEST..=Rate::LONGEST).contains(&time) {
            return Err(format!(
                "the time of a rate is {shortest} at least and {longest} days at most; write it such as 100/1m, or off"
            ));
        }
        Ok(Self(Some(Rate::new(starts, time))))
    }
}

impl QueueCommand {
    pub(crate) async fn run(self, config: &Config) -> anyhow::Result<Exit> {
        match self {
            Self::List(list) => list.run(config).await,
            Self::Pause(queue) => queue.change(config, QueueChange::Pause).await,
            Self::Resume(queue) => queue.change(config, QueueChange::Resume).await,
            Self::Limit(LimitArgs { queue, rate }) => queue.change(config, QueueChange::Limit(rate)).await,
        }
    }
}

impl QueueListArgs {
    async fn run(self, config: &Config) -> anyhow::Result<Exit> {
        let Some((_access, client)) = DatabaseAccess::connect_if_used(config).await? else {
            output::talk("no queues; the first server or job makes one");
            return Ok(Exit::Done);
        };
        let queues = client.queues().await;
        client.close().await;
        match Format::of_flag(self.json) {
            Format::Json => queues?.iter().try_for_each(output::json)?,
            Format::Human => table(&queues?).print()?,
        }
        Ok(Exit::Done)
    }
}

/// A change of a queue.
#[derive(Clone, Copy)]
enum QueueChange {
    Pause,
    Resume,
    Limit(StartLimit),
}

impl NameArgs {
    async fn change(self, config: &Config, change: QueueChange) -> anyhow::Result<Exit> {
        let name = self.name.unwrap_or_else(|| config.queue.value.clone());
        let (_access, client) = DatabaseAccess::connect_to_write(config).await?;
        let done = make(&client, &name, change).await;
        client.close().await;
        output::line(done?)?;
        Ok(Exit::Done)
    }
}

/// Makes a change of a queue that is there, and says how the queue stands.
async fn make(client: &Client, name: &str, change: QueueChange) -> anyhow::Result<String> {
    if !client.queues().await?.iter().any(|queue| queue.name == name) {
        let message = format!("no queue is called {name:?}; see: abaci queue list");
        return Err(Failed::no(message).into());
    }
    Ok(match change {
        QueueChange::Pause => {
            client.pause_queue(name).await?;
            format!(
                "queue {name} is paused; what runs goes on; resume it with: {}",
                output::resume_queue_command(name)
            )
        }
        // The guard is what resumes it; it is false where the queue was not paused.
        QueueChange::Resume if client.resume_queue(name).await? => format!("queue {name} goes on"),
        QueueChange::Resume => format!("queue {name} was not paused"),
        QueueChange::Limit(StartLimit(rate)) => {
            client.limit_queue(name, rate).await?;
            format!("queue {name} starts {}", shown_rate(rate))
        }
    })
}

fn table(queues: &[QueueInfo]) -> Table {
    let mut table = Table::new(["QUEUE", "STATE", "WAITING", "RUNNING", "STARTS", "AT ONCE"]);
    for queue in queues {
        table.row([
            queue.name.clone(),
            if queue.paused { "paused" } else { "open" }.to_owned(),
            queue.queued.to_string(),
            queue.running.to_string(),
            shown_rate(queue.rate),
            queue
                .concurrency
                .map_or_else(|| "-".to_owned(), |limit| limit.to_string()),
        ]);
    }
    table
}

fn shown_rate(rate: Option<Rate>) -> String {
    rate.map_or_else(|| "without limit".to_owned(), output::rate)
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[test]
    fn a_rate_is_a_count_in_a_time_or_off() {
        let rate = |text: &str| text.parse::<StartLimit>().map(|limit| limit.0);
        assert_eq!(rate("100/1m"), Ok(Some(Rate::new(100, Duration::from_mins(1)))));
        assert_eq!(
            rate("1/250ms"),
            Ok(Some(Rate::new(1, Duration::from_millis(250))))
        );
        assert_eq!(rate("off"), Ok(None));
        for bound in ["1/100ms", "1/366days"] {
            assert!(rate(bound).is_ok(), "{bound}: {:?}", rate(bound));
        }
        let refusal = rate("1/1ns").unwrap_err();
        assert!(
            refusal.contains("100ms") && refusal.contains("366 days"),
            "{refusal}"
        );
        for text in [
            "",
            "100",
            "/1m",
            "0/1m",
            "-1/1m",
            "1/0s",
            "1/soon",
            "2147483648/1s",
            "1.5/1s",
            "none",
            "1/1ns",
            "1/99ms",
            "1/99999us",
            "1/367days",
            "1/1000000years",
            "1/600000000000years",
        ] {
            assert!(rate(text).is_err(), "{text:?} was taken for a rate");
        }
    }
}
