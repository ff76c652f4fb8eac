//! `abaci fleet worker`: one worker of a fleet, started by its supervisor and by nobody else.
//!
//! It is `abaci serve` with a supervisor: it takes the executor id of its slot, sends heartbeats, drains on SIGTERM, hands
//! back at once what it has on SIGUSR1, and reports why it gives up instead of printing it, so that it is logged once.

use clap::Args;
use durable_jobs::Worker;
use durable_jobs::worker::{Slot, WorkerObserver};
use rustix::process::Signal;
use tokio::sync::watch;
use tracing::{info, warn};
use worker_fleet::child::{Predecessor, SupervisorLink};
use worker_fleet::die_with_parent;
use worker_fleet::signals::{HandBackSignal, Signals};
use worker_fleet::supervisor::WorkerFailure;

use crate::config::{Config, LONGEST_POLL_INTERVAL, Period, Setting, Source};
use crate::database_access::DatabaseAccess;
use crate::exit::{self, Exit, Failed};
use crate::this_process;
use crate::worker_startup;

/// One worker of a fleet.
#[derive(Debug, Args)]
pub(super) struct WorkerArgs {
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

/// Returns the arguments of the worker in a slot, for a fleet of this size, as they are parsed here.
pub(super) fn arguments(slot: u32, fleet_size: u32) -> Vec<String> {
    let supervisor = std::process::id();
    super::words(&format!(
        "fleet worker --slot {slot} --fleet-size {fleet_size} --supervisor {supervisor}"
    ))
}

impl WorkerArgs {
    pub(super) async fn run(self, config: &Config) -> anyhow::Result<Exit> {
        // First, so that whoever starts it by hand is told that it belongs to a fleet.
        let mut link = SupervisorLink::inherited()?;
        die_with_parent(self.supervisor, Signal::KILL)?;
        this_process::take_name();
        let mut config = config.clone();
        self.share_polling(&mut config.poll_interval);
        self.share_processors(&mut config);
        let (observer, reported) = watch::channel(None);
        let predecessor = link.predecessor();
        // The heartbeats go on while it drains: a long drain must not look like a worker that hangs.
        let outcome = tokio::select! {
            outcome = self.work(&config, &observer, predecessor) => outcome,
            () = link.report(reported, config.watchdog.value.0) => return Ok(Exit::Unreachable),
        };
        let Err(error) = outcome else { return outcome };
        match link.give_up(failure_of(&error)).await {
            Ok(()) => Ok(exit::of_error(&error)),
            Err(_) => Err(error),
        }
    }

    /// Lengthens the poll interval by the size of the fleet, unless one is given.
    fn share_polling(&self, poll_interval: &mut Setting<Period>) {
        if poll_interval.source == Source::Default {
            let shared = poll_interval.value.0 * self.fleet_size.max(1);
            poll_interval.value = Period(shared.min(LONGEST_POLL_INTERVAL.0));
        }
    }

    /// Gives each computation its share of the processors.
    ///
    /// A second thread costs the others of the fleet as much as it gains, unless there are processors to spare.
    fn share_processors(&self, config: &mut Config) {
        let jobs_at_once = self.fleet_size.saturating_mul(config.concurrency.value);
        let share = worker_startup::share_of_processors(jobs_at_once).get();
        let usual = u32::try_from(share).unwrap_or(u32::MAX);
        config.job_threads.value.get_or_insert(usual);
    }

    async fn work(
        &self,
        config: &Config,
        observer: &watch::Sender<Option<WorkerObserver>>,
        predecessor: watch::Receiver<Option<Predecessor>>,
    ) -> anyhow::Result<Exit> {
        worker_startup::check(config)?;
        let (mut signals, mut hand_back) = (Signals::listen()?, HandBackSignal::listen()?);
        let start = async {
            let access = DatabaseAccess::open(config).await?;
            let worker = worker_startup::start(&access, config, Slot::Number(self.slot)).await?;
            anyhow::Ok((access, worker))
        };
        let Some(started) = signals.unless_any(Box::pin(start)).await else {
            return Ok(Exit::Interrupted);
        };
        let (access, worker) = started?;
        let _kept = access.keep_running();
        // A heartbeat goes out at once, by which the supervisor learns that the worker takes jobs.
        observer.send_replace(Some(worker.observer()));
        worker_startup::announce(&worker, &access, config);
        name_death(&worker, &predecessor).await;
        // SIGUSR1 is remembered: where it ends this wait, it also ends the grace time of the drain below.
        let signal = tokio::select! {
            signal = signals.next() => signal,
            () = hand_back.wait() => "SIGUSR1",
            loss = worker.lost() => return Err(Failed::unreachable(loss.to_string()).into()),
        };
        let grace = config.grace.value;
        info!(slot = self.slot, pid = std::process::id(), signal, %grace, "asked to stop");
        // Further signals of a service manager, which sends them to all processes of a fleet, mean the same.
        let report = worker.drain_until(grace.0, hand_back.wait()).await;
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

/// Keeps how the last process in the slot ended, beside the starts of the jobs that it had.
async fn name_death(worker: &Worker, predecessor: &watch::Receiver<Option<Predecessor>>) {
    // It was told before this process had read its configuration.
    let Some(last) = predecessor.borrow().clone() else {
        return;
    };
    let (pid, how) = (last.exit.pid, last.exit.how());
    if let Err(error) = worker.name_death(pid, &how, last.age()).await {
        warn!(pid, how, %error, "could not keep how the last process in this slot ended");
    }
}

/// Describes the failure of a worker to its supervisor.
fn failure_of(error: &anyhow::Error) -> WorkerFailure {
    let engine = error.chain().find_map(|cause| cause.downcast_ref());
    WorkerFailure {
        code: exit::of_error(error).code(),
        reason: exit::one_line(error),
        is_slot_taken: matches!(engine, Some(durable_jobs::Error::ExecutorTaken { .. })),
    }
}

/// Ends a worker that has not begun: reports the reason to its supervisor; without one the error is returned.
pub(crate) fn give_up(error: anyhow::Error) -> anyhow::Result<Exit> {
    match SupervisorLink::give_up_early(failure_of(&error)) {
        Ok(()) => Ok(exit::of_error(&error)),
        Err(_) => Err(error),
    }
}
