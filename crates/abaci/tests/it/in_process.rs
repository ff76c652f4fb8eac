//! A worker inside of the test, whose settings can be such as no flag gives: with another program, or with less memory for
//! a computation than the estimate is checked against.

use std::time::Duration;

use durable_jobs::Worker;
use durable_jobs::process::Isolation;
use durable_jobs::worker::{WorkerObserver, WorkerSettings};
use fibonacci_jobs::{Limits, server_types};
use testkit::{children_of, started_child_of};
use tokio::runtime::Runtime;

use crate::rig::Rig;

/// A running worker with the runtime that it runs on.
pub(crate) struct OwnWorker {
    runtime: Runtime,
    worker: Worker,
    /// The processes that this one had started before: the first test to use the shared server keeps it as a child.
    others: Vec<u32>,
}

impl OwnWorker {
    /// Starts a worker of this rig's database, with the program under test for its computing processes.
    pub(crate) fn start(rig: &Rig, change: impl FnOnce(&mut Isolation)) -> Self {
        Self::start_with(rig, |settings| change(settings.isolation.as_mut().unwrap()))
    }

    /// Starts a worker of this rig's database with other settings.
    pub(crate) fn start_with(rig: &Rig, change: impl FnOnce(&mut WorkerSettings)) -> Self {
        let runtime = Runtime::new().unwrap();
        let mut settings = settings(rig);
        change(&mut settings);
        let worker = runtime.block_on(Worker::start(settings)).unwrap();
        let others = children_of(std::process::id())
            .iter()
            .map(|other| other.pid)
            .collect();
        Self {
            runtime,
            worker,
            others,
        }
    }

    pub(crate) fn observer(&self) -> WorkerObserver {
        self.worker.observer()
    }

    /// The process that computes for this worker, once there is one.
    #[track_caller]
    pub(crate) fn child(&self) -> u32 {
        started_child_of(std::process::id(), &self.others).pid
    }

    pub(crate) fn stop(self) {
        self.runtime.block_on(self.worker.drain(Duration::ZERO));
    }
}

/// The settings of a server of this rig.
pub(crate) fn settings(rig: &Rig) -> WorkerSettings {
    let artifacts = rig.directory.path().join("data/artifacts");
    let mut settings = WorkerSettings::new(
        rig.database.url(),
        "test-host",
        artifacts,
        server_types(Limits::default(), false),
    );
    fibonacci_jobs::DEFAULT_QUEUE.clone_into(&mut settings.queue);
    settings.poll_interval = Duration::from_millis(5);
    settings.isolation = Some(Isolation {
        program: env!("CARGO_BIN_EXE_abaci").into(),
        name: "abaci".into(),
        arguments: ["compute", "--worker", &std::process::id().to_string()]
            .map(str::to_owned)
            .to_vec(),
        environment: Vec::new(),
        threads: std::thread::available_parallelism().unwrap(),
        memory_bytes: Limits::DEFAULT_MEMORY_BYTES,
        cpu_time: None,
        wall_time: None,
    });
    settings
}
