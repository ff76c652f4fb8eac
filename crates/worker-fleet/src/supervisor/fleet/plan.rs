//! The fleet that there is to be.

use tokio::sync::watch;

use crate::snapshot::PrivateDatabase;
use crate::supervisor::process::{Program, WorkerTimes};
use crate::supervisor::serving_child::ServingChild;

/// The fleet that there is to be.
pub struct FleetPlan {
    /// The program of a worker; the arguments of its slot come behind its own.
    pub program: Program,
    /// The arguments of the worker in a slot, for a fleet of this size.
    pub worker_arguments: fn(slot: u32, fleet_size: u32) -> Vec<String>,
    /// The number of workers.
    pub workers: u32,
    /// The slot of the first worker.
    pub first_slot: u32,
    /// The times that each worker has.
    pub times: WorkerTimes,
    /// The health process, if there is to be one.
    pub health: Option<ServingChild>,
    /// The web process, if there is to be one.
    pub web: Option<ServingChild>,
    /// The queue that the workers take jobs from.
    pub queue: String,
    /// The place of that queue, fit to be shown.
    pub database: String,
    /// The state of the private database, where it is the one in use.
    pub private_database: watch::Receiver<Option<PrivateDatabase>>,
}

impl FleetPlan {
    pub(super) fn serving(&self) -> impl Iterator<Item = &ServingChild> {
        self.health.iter().chain(&self.web)
    }

    pub(super) fn serving_mut(&mut self) -> impl Iterator<Item = &mut ServingChild> {
        self.health.iter_mut().chain(&mut self.web)
    }
}
