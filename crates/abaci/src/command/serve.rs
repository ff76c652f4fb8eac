//! `abaci serve`: one server, which takes jobs from the queue until it is asked to stop.
//!
//! The first SIGINT or SIGTERM drains: nothing new is started, what runs may finish within the grace time, the rest goes
//! back to the queue for others. A second signal, half a second later or more, hands back at once what still runs, and the
//! process ends with 130.
//! With a health address the server answers there from its first moment to its last.
//!
//! A server that was cut off from the database for so long that its jobs were given to others ends all that it had and
//! begins anew, in the same process, as a fleet does it with a new one.

mod health;

use std::pin::{Pin, pin};
use std::time::Instant;

use clap::Args;
use durable_jobs::Worker;
use durable_jobs::worker::{Loss, Slot};
use tracing::{info, warn};
use worker_fleet::signals::{Signals, StopRequests};

use self::health::ServeHealth;
use crate::config::Config;
use crate::database_access::DatabaseAccess;
use crate::exit::{Exit, Failed};
use crate::flags::{HealthFlags, LimitFlags, QueueFlags, StarterFlags, TableFlags, WorkFlags};
use crate::worker_startup;

/// Run a server that takes jobs from the queue.
///
/// The first SIGINT or SIGTERM lets running jobs finish and hands the rest back to the queue; the second ends at once.
#[derive(Debug, Args)]
pub(crate) struct ServeArgs {
    #[command(flatten)]
    _queue: QueueFlags,
    #[command(flatten)]
    _work: WorkFlags,
    /// Number of the executor id on this machine [default: the lowest free]
    #[arg(long, value_name = "NUMBER")]
    slot: Option<u32>,
    #[command(flatten)]
    _health: HealthFlags,
    #[command(flatten)]
    _limits: LimitFlags,
    #[command(flatten)]
    _tables: TableFlags,
    #[command(flatten)]
    starter: StarterFlags,
}

impl ServeArgs {
    pub(crate) async fn run(self, config: &Config) -> anyhow::Result<Exit> {
        worker_startup::check(config)?;
        let health = ServeHealth::start(config, self.slot)?;
        let outcome = self.serve(config, &health).await;
        // Also after a failure, so that the last answers go out.
        health.end().await;
        outcome
    }

    async fn serve(&self, config: &Config, health: &ServeHealth) -> anyhow::Result<Exit> {
        let mut signals = Signals::listen()?;
        let slot = self.slot.map_or(Slot::Lowest, Slot::Number);
        let start = async {
            let access = DatabaseAccess::open(config).await?;
            health.set_database(access.url(), &config.queue.value)?;
            let worker = worker_startup::start(&access, config, slot).await?;
            anyhow::Ok((access, worker))
        };
        let (access, mut worker) = tokio::select! {
            started = start => started?,
            signal = signals.next() => {
                info!(signal, "stopped before it was ready");
                return Ok(Exit::Interrupted);
            }
        };
        let kept = access.keep_running();
        // Made once and not in each round: it reads stdin on a thread that nothing ends.
        let mut left = pin!(self.starter.starter_left());
        loop {
            health.ready(&worker, &kept);
            worker_startup::announce(&worker, &access, config);
            let loss = tokio::select! {
                signal = asked_to_stop(&mut signals, left.as_mut()) => {
                    health.draining();
                    return drain(worker, config, signal, &mut signals).await;
                }
                loss = worker.lost() => loss,
            };
            let Loss::ExecutorId(reason) = &loss else {
                return Err(Failed::unreachable(loss.to_string()).into());
            };
            warn!(
                executor_id = worker.executor_id(),
                reason, "lost its jobs; beginning anew"
            );
            health.starting_anew();
            worker = tokio::select! {
                started = worker_startup::start_anew(worker, &access, config, slot) => started?,
                signal = asked_to_stop(&mut signals, left.as_mut()) => {
                    info!(signal, "stopped before it was ready again");
                    return Ok(Exit::Done);
                }
            };
        }
    }
}

/// Completes, with the reason, when somebody wants the server to stop.
async fn asked_to_stop(
    signals: &mut Signals,
    starter_left: Pin<&mut impl Future<Output = &'static str>>,
) -> &'static str {
    tokio::select! {
        signal = signals.next() => signal,
        left = starter_left => left,
    }
}

async fn drain(
    worker: Worker,
    config: &Config,
    signal: &'static str,
    signals: &mut Signals,
) -> anyhow::Result<Exit> {
    let grace = config.grace.value;
    info!(signal, %grace, "asked to stop; a second signal ends it at once");
    let (mut requests, mut is_ended_at_once) = (StopRequests::default(), false);
    // The signal that began the drain is the first request.
    requests.is_second(Instant::now());
    let end_at_once = async {
        let signal = signals.next_second(&mut requests).await;
        warn!(signal, "ending at once; what runs goes back to the queue");
        is_ended_at_once = true;
    };
    let report = worker.drain_until(grace.0, end_at_once).await;
    info!(
        finished = report.finished,
        handed_back = report.handed_back,
        "drained"
    );
    Ok(if is_ended_at_once {
        Exit::Interrupted
    } else {
        Exit::Done
    })
}
