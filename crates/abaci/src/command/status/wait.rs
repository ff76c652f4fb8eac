//! `abaci status --wait`: until jobs are taken.
//!
//! If a fleet of the queue runs on this data directory, all its workers have to take jobs and nothing of it may be
//! shown as missing; where none does, one worker of the queue is enough, wherever it is.
//! There is one deadline, and a look that is under way then is given up, but for the first one, which has bounds of its
//! own.

use std::time::Duration;

use durable_jobs::client::QueueVersion;
use fibonacci_jobs::VERSION;
use tokio::time::{Instant, sleep, timeout_at};
use worker_fleet::signals::Signals;
use worker_fleet::snapshot::{Phase, Snapshot, WorkerExit, WorkerSnapshot};

use super::{StatusReport, look};
use crate::config::{Config, Period};
use crate::exit::Exit;
use crate::output::{self, Format};
use crate::wait::nobody_listens;

/// The pause between two looks.
const LOOK_INTERVAL: Duration = Duration::from_millis(200);

/// A wait that lasts longer than this prints what is missing before its deadline.
const WORTH_A_WORD: Duration = Duration::from_secs(3);

/// Waits for at most `limit`, and prints the state then and what is missing.
pub(super) async fn run(config: &Config, limit: Period, format: Format) -> anyhow::Result<Exit> {
    let mut signals = Signals::listen()?;
    let Some(report) = signals.unless_any(until_ready(config, limit)).await else {
        return Ok(Exit::Interrupted);
    };
    let report = report?;
    report.print(format)?;
    let Some(missing) = report.missing() else {
        return Ok(Exit::Done);
    };
    output::error(format_args!("not ready after {limit}: {missing}"));
    Ok(match report.verdict() {
        // Some worker takes jobs, and more were asked for.
        Exit::Done => Exit::No,
        verdict => verdict,
    })
}

/// Looks until nothing is missing or the time is over, and returns the last look.
async fn until_ready(config: &Config, limit: Period) -> anyhow::Result<StatusReport> {
    let began = Instant::now();
    let mut has_said = false;
    let mut report = look(config).await?;
    while let Some(missing) = report.missing() {
        if !has_said && began.elapsed() >= WORTH_A_WORD {
            has_said = true;
            output::talk(format_args!("waiting for up to {limit}: {missing}"));
        }
        let next = async {
            sleep(LOOK_INTERVAL).await;
            look(config).await
        };
        match timeout_at(began + limit.0, next).await {
            Ok(next) => report = next?,
            Err(_) => break,
        }
    }
    Ok(report)
}

impl StatusReport {
    /// Names what keeps jobs from being taken as they should.
    fn missing(&self) -> Option<String> {
        let nobody = || nobody_listens(&QueueVersion::new(&self.database.name, VERSION));
        if let Some(reason) = &self.fleet_reason {
            return Some(reason.clone());
        }
        if let Some(missing) = self.fleet_of_queue().and_then(missing_in) {
            return Some(missing);
        }
        match (self.verdict(), &self.fleet) {
            (Exit::Done, _) => None,
            (Exit::No, Some(_)) => Some(nobody()),
            (Exit::No, None) => Some(format!(
                "no fleet runs in {}, and {}",
                self.fleet_directory,
                nobody()
            )),
            (_, Some(_)) => Some(self.database_reason()),
            (_, None) => Some(format!(
                "no fleet runs in {}, and {}",
                self.fleet_directory,
                self.database_reason()
            )),
        }
    }

    fn database_reason(&self) -> String {
        let reason = self.database.reason.as_deref();
        reason.unwrap_or("the database does not answer").to_owned()
    }
}

/// Names what a fleet lacks: workers, by the first that takes no jobs, or the private database, which its supervisor sees
/// for itself.
fn missing_in(fleet: &Snapshot) -> Option<String> {
    if fleet.phase == Phase::Draining {
        return Some("the fleet is stopping".to_owned());
    }
    let ready = fleet.workers.iter().filter(|worker| worker.takes_jobs()).count();
    let wanted = fleet.wanted as usize;
    if ready < wanted {
        let absent = fleet.workers.iter().find(|worker| !worker.takes_jobs());
        let absent = absent.map_or_else(String::new, |worker| format!("; {}", why_absent(worker)));
        return Some(format!("{ready} of {wanted} workers take jobs{absent}"));
    }
    let database = fleet.private_database.as_ref().filter(|seen| !seen.running)?;
    let reason = database.reason.as_deref().unwrap_or("it does not run");
    Some(format!("private PostgreSQL is down: {reason}"))
}

/// Says why a worker takes no jobs, as far as that is known.
fn why_absent(worker: &WorkerSnapshot) -> String {
    let failure = worker
        .database
        .as_ref()
        .and_then(|contact| contact.failure.clone());
    let reason = worker
        .start_failure
        .clone()
        .or_else(|| worker.host.as_ref().map(|trouble| trouble.reason.clone()))
        .or(failure)
        .or_else(|| worker.last_exit.as_ref().map(WorkerExit::how));
    let reason = reason.map_or_else(String::new, |reason| format!(" ({reason})"));
    format!(
        "the one in slot {} is {}{reason}",
        worker.slot,
        worker.state.name()
    )
}
