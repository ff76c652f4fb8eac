//! The state of a fleet as others see it.

use std::time::{Duration, Instant};

use super::{FleetState, StateFingerprint};
use crate::snapshot::{Phase, Snapshot, SupervisorView};

/// The time between two snapshots when nothing but ages has changed.
const PUBLISH_INTERVAL: Duration = Duration::from_millis(500);

impl FleetState {
    /// Publishes a snapshot to the serving processes, at once when its fingerprint has changed and otherwise from time to
    /// time.
    pub(crate) fn publish(&mut self, now: Instant) {
        let fingerprint = self.fingerprint(now);
        let is_due = self.published.as_ref().is_none_or(|(at, before)| {
            *before != fingerprint || now.saturating_duration_since(*at) >= PUBLISH_INTERVAL
        });
        if !is_due {
            return;
        }
        self.published = Some((now, fingerprint));
        let snapshot = self.snapshot(now);
        for child in self.plan.serving() {
            child.publish(snapshot.clone());
        }
    }

    fn fingerprint(&self, now: Instant) -> StateFingerprint {
        let serving = self.plan.serving().map(|child| child.process.pid());
        let slots = self.slots.values();
        let workers = slots.map(|slot| (slot.number, slot.process.pid(), slot.state(now)));
        (self.phase, serving.collect(), workers.collect())
    }

    pub(crate) fn is_reloading(&self) -> bool {
        self.phase == Phase::Reloading
    }

    /// Says whether it has come up and neither reloads nor drains.
    pub(crate) fn is_running(&self) -> bool {
        self.phase == Phase::Running && !self.is_starting
    }

    /// Returns how many workers there should be.
    pub(crate) fn wanted(&self) -> u32 {
        self.plan.workers
    }

    /// Describes the state in one line.
    pub(crate) fn summary(&self, now: Instant) -> String {
        let ready = self.slots.values().filter(|slot| slot.takes_jobs(now)).count();
        let phase = match self.phase {
            Phase::Running => "",
            Phase::Reloading => ", reloading",
            Phase::Draining => ", stopping",
        };
        format!("{ready} of {} workers take jobs{phase}", self.plan.workers)
    }

    pub(crate) fn snapshot(&mut self, now: Instant) -> Snapshot {
        Snapshot {
            supervisor: Some(SupervisorView {
                pid: std::process::id(),
                uptime_seconds: (now - self.began).as_secs_f64(),
                database: self.plan.database.clone(),
            }),
            phase: self.phase,
            queue: self.plan.queue.clone(),
            wanted: self.plan.workers,
            workers: self.slots.values_mut().map(|slot| slot.view(now)).collect(),
            health: self.plan.health.as_ref().map(|health| health.view(now)),
            web: self.plan.web.as_ref().map(|web| web.view(now)),
            private_database: self.plan.private_database.borrow().clone(),
        }
    }
}
