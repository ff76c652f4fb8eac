//! The state of a server while it starts, works and drains, for the health endpoints and systemd.
//!
//! Health is answered from a thread of its own, so that a loop that stands still can be seen from outside. The beat comes
//! from that loop: it stamps the heartbeat and feeds systemd's watchdog. It goes on while the database is away; a worker that neither hears from the database nor finds that it fails has a loop that stands still.

use std::net::SocketAddr;
use std::thread;
use std::time::{Duration, Instant};

use anyhow::Context;
use durable_jobs::Worker;
use durable_jobs::client::QueueProbe;
use durable_jobs::worker::DatabaseContact;
use fibonacci_jobs::VERSION;
use tokio::sync::{oneshot, watch};
use tokio::task::JoinHandle;
use tokio::time::{MissedTickBehavior, interval, timeout};
use tracing::warn;
use worker_fleet::Notifier;
use worker_fleet::health::{self, HealthServer, OneWorker};

use crate::config::{Config, ListenAddr};
use crate::database_access::KeptRunning;
use crate::this_process::APPLICATION;

/// Interval at which the heartbeat is stamped.
const BEAT_INTERVAL: Duration = Duration::from_millis(500);

/// A contact with the database that is older than this has failed, or nobody looks after it any more.
const CONTACT_EXPIRY: Duration = Duration::from_secs(30);

/// The longest time for the last answers; the server of the answers itself takes a second at most.
const END_PATIENCE: Duration = Duration::from_secs(2);

/// The health of one server.
pub(super) struct ServeHealth {
    worker: OneWorker,
    notifier: Notifier,
    probe: watch::Sender<Option<QueueProbe>>,
    answering: Option<Answering>,
    beating: JoinHandle<()>,
}

/// The thread that answers.
struct Answering {
    stop: oneshot::Sender<()>,
    stopped: oneshot::Receiver<()>,
}

impl ServeHealth {
    /// Takes the health address, if there is one, and starts to answer and to beat.
    ///
    /// # Errors
    /// A usage error when the address cannot be had; nothing has begun then.
    pub(super) fn start(config: &Config, slot: Option<u32>) -> anyhow::Result<Self> {
        let (worker, notifier) = (OneWorker::starting(slot, &config.queue.value), Notifier::new());
        let (probe, probes) = watch::channel(None);
        let answering = match config.health_addr.value {
            Some(ListenAddr::At(address)) => Some(Answering::start(address, worker.clone(), probes)?),
            Some(ListenAddr::Off) | None => None,
        };
        notifier.status("starting");
        Ok(Self {
            beating: tokio::spawn(beat(worker.clone(), notifier)),
            worker,
            notifier,
            probe,
            answering,
        })
    }

    /// Sets the database that is asked from now on.
    pub(super) fn set_database(&self, url: &str, queue: &str) -> anyhow::Result<()> {
        self.probe
            .send_replace(Some(QueueProbe::new(url, queue, VERSION)?));
        Ok(())
    }

    /// Records that the worker takes jobs from now on.
    pub(super) fn ready(&self, worker: &Worker, kept: &KeptRunning) {
        self.worker.started(worker.observer(), kept.seen());
        self.notifier.ready();
        self.notifier
            .status(&format!("taking jobs as {}", worker.executor_id()));
    }

    /// Records that the worker is discarded and another one is being started.
    pub(super) fn starting_anew(&self) {
        self.worker.starts_anew();
        self.notifier.status("starting anew");
    }

    /// Records that the worker takes no new jobs from now on.
    pub(super) fn draining(&self) {
        self.worker.drain();
        self.notifier.stopping();
        self.notifier.status("finishing what runs");
    }

    /// Finishes the last answers.
    pub(super) async fn end(self) {
        self.beating.abort();
        if let Some(Answering { stop, stopped }) = self.answering {
            drop(stop);
            let _ = timeout(END_PATIENCE, stopped).await;
        }
    }
}

impl Answering {
    fn start(
        address: SocketAddr,
        worker: OneWorker,
        probes: watch::Receiver<Option<QueueProbe>>,
    ) -> anyhow::Result<Self> {
        let server = HealthServer::new(APPLICATION, health::bind(address)?, worker, probes)?;
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()
            .context("starting the health server's runtime")?;
        let (stop, told_to_stop) = oneshot::channel();
        let (has_stopped, stopped) = oneshot::channel();
        let run = move || {
            runtime.block_on(server.run(async {
                // The end of the sender counts as much as a message.
                let _ = told_to_stop.await;
            }));
            drop(has_stopped);
        };
        let thread = thread::Builder::new().name("health".to_owned());
        thread.spawn(run).context("starting the health server's thread")?;
        Ok(Self { stop, stopped })
    }
}

/// Beats for ever.
async fn beat(worker: OneWorker, mut notifier: Notifier) {
    let watchdog = notifier.watchdog_interval();
    let mut beats = interval(watchdog.map_or(BEAT_INTERVAL, |every| BEAT_INTERVAL.min(every)));
    // After a standstill one beat is enough; a burst of them would say nothing more.
    beats.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let mut is_held_back = false;
    loop {
        beats.tick().await;
        worker.beat();
        if worker
            .report()
            .is_none_or(|report| is_looked_after(&report.database))
        {
            notifier.feed_watchdog(Instant::now());
            is_held_back = false;
        } else if watchdog.is_some() && !std::mem::replace(&mut is_held_back, true) {
            warn!("nobody looks after the database connection any more; the watchdog is not fed");
        }
    }
}

/// Returns whether the worker either has heard from the database or knows that it does not answer.
fn is_looked_after(contact: &DatabaseContact) -> bool {
    contact.failure.is_some() || contact.age_seconds < CONTACT_EXPIRY.as_secs_f64()
}
