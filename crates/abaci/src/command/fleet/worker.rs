//! `abaci fleet worker`: one worker of a fleet, started by its supervisor and by nobody else.
//!
//! It is `abaci serve` with a supervisor: it takes the executor id of its slot, sends heartbeats, drains on SIGTERM, hands
//! back at once what it has on SIGUSR1, and says why it gives up instead of printing it, so that it is said once.

use std::time::Duration;

use clap::Args;
use durable_jobs::worker::{Slot, WorkerObserver};
use rustix::process::Signal;
use tokio::sync::watch;
use tracing::info;
use worker_fleet::die_with_parent;
use worker_fleet::signals::{Hurry, Signals};
use worker_fleet::supervisor::{FromWorker, Receiver, Sender, inherited, say_at_once};

use crate::config::{Config, Period, Setting, Source};
use crate::database::Access;
use crate::exit::{self, Exit, Failed};
use crate::program;
use crate::work;

/// A heartbeat is sent this many times before the watchdog bites.
const BEATS_PER_WATCHDOG: u32 = 20;

/// The shortest time between two heartbeats.
const SHORTEST_BEAT_INTERVAL: Duration = Duration::from_millis(50);

/// The longest time between two heartbeats.
const LONGEST_BEAT_INTERVAL: Duration = Duration::from_millis(500);

/// A fleet as a whole asks for jobs as often as one server does, but each worker at least this often.
const LONGEST_POLL_INTERVAL: Duration = Duration::from_millis(200);

/// One worker of a fleet.
#[derive(Debug, Args)]
pub(super) struct Worker {
    /// Number of the executor id on this machine
    #[arg(long)]
    slot: u32,
    /// Number of workers in the fleet
    #[arg(long)]
    fleet_size: u32,
    /// Process id of the supervisor
    #[arg(long)]
    supervisor: u32,
}

/// The arguments of the worker in a slot, for a fleet of this size, as they are parsed here.
pub(super) fn arguments(slot: u32, fleet_size: u32) -> Vec<String> {
    let supervisor = std::process::id();
    let line = format!("fleet worker --slot {slot} --fleet-size {fleet_size} --supervisor {supervisor}");
    line.split(' ').map(str::to_owned).collect()
}

/// What the heartbeat tells of: nothing until the worker takes jobs.
type Observed = watch::Receiver<Option<WorkerObserver>>;

impl Worker {
    pub(super) async fn run(self, config: &Config) -> anyhow::Result<Exit> {
        let (mut sender, receiver) = super::channel_to_supervisor(inherited())?;
        die_with_parent(self.supervisor, Signal::KILL)?;
        program::take_name();
        let mut config = config.clone();
        self.share_polling(&mut config.poll_interval);
        self.share_processors(&mut config);
        let (observer, seen) = watch::channel(None);
        let interval = config.watchdog.value.0 / BEATS_PER_WATCHDOG;
        let interval = interval.clamp(SHORTEST_BEAT_INTERVAL, LONGEST_BEAT_INTERVAL);
        let outcome = tokio::select! {
            outcome = self.work(&config, &observer) => outcome,
            () = beat(&mut sender, seen, interval) => return Ok(Exit::Unreachable),
            () = end_of(receiver) => return Ok(Exit::Unreachable),
        };
        let Err(error) = outcome else { return outcome };
        match sender.say(&last_words(&error)).await {
            Ok(()) => Ok(exit::of_error(&error)),
            Err(_) => Err(error),
        }
    }

    /// A larger fleet asks less often per worker, unless somebody has said how often.
    fn share_polling(&self, poll_interval: &mut Setting<Period>) {
        if poll_interval.source == Source::Default {
            let shared = poll_interval.value.0 * self.fleet_size.max(1);
            poll_interval.value = Period(shared.min(LONGEST_POLL_INTERVAL));
        }
    }

    /// A computation on two threads costs all others of the fleet as much as it gains, unless there are processors to spare.
    fn share_processors(&self, config: &mut Config) {
        let jobs_at_once = self.fleet_size.saturating_mul(config.concurrency.value);
        let share = work::share_of_processors(jobs_at_once).get();
        let usual = u32::try_from(share).unwrap_or(u32::MAX);
        config.job_threads.value.get_or_insert(usual);
    }

    async fn work(
        &self,
        config: &Config,
        observer: &watch::Sender<Option<WorkerObserver>>,
    ) -> anyhow::Result<Exit> {
        work::check(config)?;
        let (mut signals, mut hurry) = (Signals::listen()?, Hurry::listen()?);
        let start = async {
            let access = Access::open(config).await?;
            let worker = work::start(&access, config, Slot::Number(self.slot)).await?;
            anyhow::Ok((access, worker))
        };
        let Some(started) = signals.unless_any(Box::pin(start)).await else {
            return Ok(Exit::Interrupted);
        };
        let (access, worker) = started?;
        let _kept = access.keep_running();
        observer.send_replace(Some(worker.observer()));
        work::announce(&worker, &access, config);
        let signal = tokio::select! {
            signal = signals.next() => signal,
            () = hurry.wait() => "SIGUSR1",
            loss = worker.lost() => return Err(Failed::unreachable(loss.to_string()).into()),
        };
        let grace = config.grace.value;
        info!(slot = self.slot, pid = std::process::id(), signal, %grace, "asked to stop");
        // Further signals of a service manager, which sends them to all processes of a fleet, mean the same.
        let report = worker.drain_until(grace.0, hurry.wait()).await;
        let (finished, handed_back) = (report.finished, report.handed_back);
        info!(
            slot = self.slot,
            pid = std::process::id(),
            finished,
            handed_back,
            "drained"
        );
        Ok(Exit::Done)
    }
}

/// What a worker says that gives up.
fn last_words(error: &anyhow::Error) -> FromWorker {
    let engine = error.chain().find_map(|cause| cause.downcast_ref());
    FromWorker::Failed {
        code: exit::of_error(error).code(),
        reason: exit::one_line(error),
        is_slot_taken: matches!(engine, Some(durable_jobs::Error::ExecutorTaken { .. })),
    }
}

/// Ends a worker that has not begun: its supervisor is told why, and without one the error stays.
pub(crate) fn give_up(error: anyhow::Error) -> anyhow::Result<Exit> {
    match say_at_once(&last_words(&error)) {
        Ok(()) => Ok(exit::of_error(&error)),
        Err(_) => Err(error),
    }
}

/// Sends heartbeats until nobody hears them any more.
///
/// It runs on the async side like the worker's own heartbeat, and tells what that has seen: a loop that is stuck is silent
/// here too, and a busy processor is not.
async fn beat(sender: &mut Sender, mut observed: Observed, interval: Duration) {
    loop {
        let worker = observed.borrow_and_update().clone();
        let report = worker.as_ref().map(WorkerObserver::report);
        let is_untried = report.as_ref().is_some_and(|report| report.finished == 0);
        if sender.say(&FromWorker::Beat { report }).await.is_err() {
            return;
        }
        tokio::select! {
            () = tokio::time::sleep(interval) => {}
            // The moments at which it takes jobs and has finished the first one are news.
            Ok(()) = observed.changed() => {}
            () = first_job(worker.filter(|_| is_untried)) => {}
        }
    }
}

/// Completes when the worker has finished its first job; never without a worker.
async fn first_job(worker: Option<WorkerObserver>) {
    match worker {
        Some(worker) => worker.has_finished_a_job().await,
        None => std::future::pending().await,
    }
}

/// Completes when the supervisor is gone.
async fn end_of(mut receiver: Receiver) {
    while receiver.hear::<serde_json::Value>().await.is_some() {}
}
