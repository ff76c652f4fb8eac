//! Flags that several commands share.
//!
//! The flags of settings come from the table of [`crate::config`], in groups; the others are here.

#![allow(
    clippy::doc_markdown,
    reason = "the docs of flags are the help texts, which show no backticks"
)]

use clap::Args;
use clap::builder::{PossibleValuesParser, TypedValueParser};

use crate::config::{Config, FaultFlags, Period, StartFlags, help_of};
pub(crate) use crate::config::{
    FleetFlags, HealthFlags, LimitFlags, LogFlags, PlaceFlags, QueueFlags, ResumeFlags, TableFlags,
    WaitFlags, WebFlags,
};
use worker_fleet::signals::stdin_closed;

/// Work of a server, from its start to its end.
#[derive(Debug, Args)]
pub(crate) struct WorkFlags {
    #[command(flatten)]
    _work: crate::config::WorkFlags,
    #[command(flatten)]
    _start: StartFlags,
    #[command(flatten)]
    _faults: FaultFlags,
}

/// A wait until jobs are taken.
#[derive(Debug, Args)]
pub(crate) struct ReadinessFlags {
    #[arg(
        long,
        value_name = "TIME",
        conflicts_with = "watch",
        help = help_of(
            "wait_for_server",
            "Wait until all workers of the fleet here take jobs, or else any worker of the queue, for at most TIME"
        )
    )]
    #[expect(
        clippy::option_option,
        reason = "absent, bare or with a time, as clap tells it"
    )]
    wait: Option<Option<Period>>,
}

impl ReadinessFlags {
    /// Returns the longest time to wait, if there is to be a wait.
    pub(crate) fn limit(&self, config: &Config) -> Option<Period> {
        self.wait.map(|time| time.unwrap_or(config.wait_for_server.value))
    }
}

/// The tie to the process that started this one.
#[derive(Debug, Clone, Copy, Args)]
pub(crate) struct StarterFlags {
    /// Stop when stdin is closed, so that nothing outlives the process that started it
    #[arg(long, hide = true)]
    until_stdin_closes: bool,
}

impl StarterFlags {
    /// Completes, with a reason to stop, when the process that started this one is gone and that is to matter.
    pub(crate) async fn starter_left(self) -> &'static str {
        if self.until_stdin_closes {
            stdin_closed().await;
        } else {
            std::future::pending::<()>().await;
        }
        "stdin closed"
    }
}

/// Arguments of a computing process, built and parsed here.
#[derive(Debug, Args)]
pub(crate) struct ComputeFlags {
    /// Process id of the worker
    #[arg(long, value_name = "PID")]
    pub(crate) worker: u32,
}

impl ComputeFlags {
    /// Returns the arguments with which this process, a worker, starts its computing processes.
    pub(crate) fn arguments() -> Vec<String> {
        // The child compares it with its parent's, and so refuses a person who calls it by hand.
        let worker = std::process::id().to_string();
        vec!["compute".to_owned(), "--worker".to_owned(), worker]
    }
}

/// Reads the name of one of these values.
///
/// So the help lists the names, a shell offers them, and the refusal of a misspelt one names the nearest.
pub(crate) fn one_of<T: Copy + Send + Sync + 'static, const COUNT: usize>(
    values: [T; COUNT],
    name: fn(T) -> &'static str,
) -> impl TypedValueParser<Value = T> {
    PossibleValuesParser::new(values.map(name)).try_map(move |given| {
        let named = values.into_iter().find(|value| name(*value) == given);
        named.ok_or("there is no such name")
    })
}
