//! How a fleet looks from outside, and who is told.

use std::time::{Duration, Instant};

use super::Fleet;
use crate::snapshot::{Phase, Snapshot, SupervisorView, WorkerState};
use crate::supervisor::process::HealthChild;

/// How often the state is published when nothing but ages has changed.
const PUBLISH_INTERVAL: Duration = Duration::from_millis(500);

/// What of a state is news when it changes: the phase, the health process, and of each worker slot, process and state.
pub(crate) type Essence = (Phase, Option<u32>, Vec<(u32, Option<u32>, WorkerState)>);

impl Fleet {
    /// Tells the health process how things stand, at once when that is news and otherwise from time to time.
    pub(crate) fn publish(&mut self, now: Instant) {
        let essence = self.essence(now);
        let is_due = self.published.as_ref().is_none_or(|(at, before)| {
            *before != essence || now.saturating_duration_since(*at) >= PUBLISH_INTERVAL
        });
        if !is_due {
            return;
        }
        self.published = Some((now, essence));
        let snapshot = self.snapshot(now);
        if let Some(health) = &self.health {
            health.tell(snapshot);
        }
    }

    fn essence(&self, now: Instant) -> Essence {
        let health = self.health.as_ref().and_then(HealthChild::pid);
        let slots = self.slots.values();
        let workers = slots.map(|slot| (slot.number, slot.pid(), slot.state(now)));
        (self.phase, health, workers.collect())
    }

    /// One line on how things stand.
    pub(crate) fn summary(&self, now: Instant) -> String {
        let ready = self.slots.values().filter(|slot| slot.takes_jobs(now)).count();
        let phase = match self.phase {
            Phase::Running => "",
            Phase::Reloading => ", reloading",
            Phase::Draining => ", stopping",
        };
        format!("{ready} of {} workers take jobs{phase}", self.wanted)
    }

    pub(crate) fn snapshot(&mut self, now: Instant) -> Snapshot {
        Snapshot {
            supervisor: Some(SupervisorView {
                pid: std::process::id(),
                uptime_seconds: (now - self.began).as_secs_f64(),
                database: self.database.clone(),
            }),
            phase: self.phase,
            queue: self.queue.clone(),
            wanted: self.wanted,
            workers: self.slots.values_mut().map(|slot| slot.view(now)).collect(),
            health: self.health.as_ref().map(|health| health.view(now)),
            private_database: self.private_database.clone(),
        }
    }
}
