//! The job types of these tests, each as small as what it is for.

use std::io::Write;
use std::ops::ControlFlow;
use std::time::{Duration, Instant};

use durable_jobs::artifact::{ArtifactFile, Durability, Written};
use durable_jobs::compute::{Cost, Task, TaskRun};
use durable_jobs::record::{ArtifactRecord, Details};
use durable_jobs::{Failure, JobContext, JobType, JobTypes, StepOptions};
use serde::{Deserialize, Serialize};

/// The version of these types.
pub(crate) const VERSION: &str = "test-1";

/// The largest number that is echoed.
pub(crate) const LARGEST: u64 = 1_000_000;

/// A shorter step is over before a watch of it is set up.
const WATCHED_MS: u64 = 10;

/// The output of a job: its input, and which run came to the end.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Done {
    pub(crate) number: u64,
    pub(crate) attempt: u32,
    pub(crate) executor_id: String,
}

impl Done {
    fn new(job: &JobContext, number: u64) -> Self {
        Self {
            number,
            attempt: job.attempt(),
            executor_id: job.executor_id().to_owned(),
        }
    }
}

/// Returns its number at once.
pub(crate) struct Echoes;

impl JobType for Echoes {
    const WORKFLOW: &'static str = "test_echoes";
    type Input = u64;
    type Output = Done;

    fn admit(&self, number: &u64, _: Option<u64>) -> Result<(), Failure> {
        if *number > LARGEST {
            let message = format!("the number is {number}, over the limit of {LARGEST}");
            return Err(Failure::invalid_request(message));
        }
        Ok(())
    }

    fn details(number: &u64) -> Details {
        Details::default().with("number", *number)
    }

    async fn run(&self, job: &JobContext, number: u64) -> Result<Done, Failure> {
        let options = StepOptions {
            is_watched: false,
            ..StepOptions::default()
        };
        job.step_with("echo", options, || async { Ok(Done::new(job, number)) })
            .await
    }
}

/// Takes so many milliseconds, on a thread of its worker, and returns their number.
pub(crate) struct Lasts;

impl JobType for Lasts {
    const WORKFLOW: &'static str = "test_lasts";
    type Input = u64;
    type Output = Done;

    fn details(ms: &u64) -> Details {
        Details::default().with("ms", *ms)
    }

    async fn run(&self, job: &JobContext, ms: u64) -> Result<Done, Failure> {
        let options = StepOptions {
            is_watched: ms > WATCHED_MS,
            ..StepOptions::default()
        };
        job.step_with("last", options, || async {
            job.compute(Time { ms }).await?;
            Ok(Done::new(job, ms))
        })
        .await
    }
}

#[derive(Clone, Serialize, Deserialize)]
struct Time {
    ms: u64,
}

impl Task for Time {
    const NAME: &'static str = "time";
    type Output = ();

    fn run(&self, run: &TaskRun<'_, ()>) -> Result<(), Failure> {
        for passed in 0..self.ms {
            run.progress(passed, self.ms)?;
            // The time that it takes is all its work.
            std::thread::sleep(Duration::from_millis(1));
        }
        Ok(())
    }

    fn cost(&self) -> Cost {
        Cost {
            seconds: 0.0,
            memory_bytes: 0,
        }
    }
}

/// Keeps a draft and then, instead of it, the text of its number; returns where that is.
pub(crate) struct Keeps;

impl Keeps {
    /// The content of the artifact that a job of this number ends with.
    pub(crate) fn text(number: u64) -> String {
        format!("{number} ").repeat(1000)
    }

    /// The name of its draft.
    pub(crate) fn draft(number: u64) -> String {
        format!("{number:032}-1.state")
    }
}

impl JobType for Keeps {
    const WORKFLOW: &'static str = "test_keeps";
    type Input = u64;
    type Output = ArtifactRecord;

    async fn run(&self, job: &JobContext, number: u64) -> Result<ArtifactRecord, Failure> {
        let draft = Self::draft(number);
        let _: ArtifactRecord = job
            .step("draft", || keep(job, "a draft", |_| draft.clone()))
            .await?;
        let value = job.step("value", || {
            keep(job, Self::text(number), |written| {
                format!("{}.txt", written.blake3)
            })
        });
        let value = value.await?;
        job.step("discard", || async {
            // Best effort: what is left is collected as garbage.
            let _ = job.artifacts().remove(&draft).await;
            Ok(())
        })
        .await?;
        Ok(value)
    }
}

/// Keeps a text as an artifact. Repeating it is safe: the name decides what it is.
async fn keep(
    job: &JobContext,
    text: impl AsRef<[u8]>,
    name: impl Fn(&Written) -> String,
) -> Result<ArtifactRecord, Failure> {
    let file = ArtifactFile(job.artifacts().unfinished());
    let observe = |_| ControlFlow::Continue(());
    let written = file.0.write(Durability::Cached, &observe, |writer| {
        writer.write_all(text.as_ref())
    });
    let written = written.map_err(|error| Failure::retryable("Artifact", error.to_string()))?;
    job.keep(&file, &written, &name(&written)).await
}

/// Keeps a processor busy in so many steps.
#[derive(Clone, Serialize, Deserialize)]
pub(crate) struct Busy {
    pub(crate) steps: u32,
    pub(crate) step: Spin,
}

/// Needs so much memory and so much time.
#[derive(Clone, Copy, Serialize, Deserialize)]
pub(crate) struct Spin {
    pub(crate) bytes: usize,
    pub(crate) ms: u64,
}

/// Returns the processes that computed its steps.
pub(crate) struct Spins;

impl JobType for Spins {
    const WORKFLOW: &'static str = "test_spins";
    type Input = Busy;
    type Output = Vec<u32>;

    fn admit(&self, busy: &Busy, _: Option<u64>) -> Result<(), Failure> {
        match busy.steps {
            0 => Err(Failure::invalid_request("steps is 0; give one at least")),
            _ => Ok(()),
        }
    }

    async fn run(&self, job: &JobContext, busy: Busy) -> Result<Vec<u32>, Failure> {
        let mut pids = Vec::new();
        for _ in 0..busy.steps {
            pids.push(job.step("spin", || job.compute(busy.step)).await?);
        }
        Ok(pids)
    }
}

impl Task for Spin {
    const NAME: &'static str = "spin";
    type Output = u32;

    fn run(&self, run: &TaskRun<'_, u32>) -> Result<u32, Failure> {
        let began = Instant::now();
        let memory = std::hint::black_box(vec![1_u8; self.bytes]);
        while began.elapsed() < Duration::from_millis(self.ms) {
            run.progress(began.elapsed().as_millis().try_into().unwrap(), self.ms)?;
        }
        drop(memory);
        Ok(std::process::id())
    }
}

/// Greets somebody.
pub(crate) struct Greets;

impl JobType for Greets {
    const WORKFLOW: &'static str = "test_greets";
    type Input = String;
    type Output = String;

    async fn run(&self, job: &JobContext, name: String) -> Result<String, Failure> {
        job.step("greet", || async { Ok(format!("hello {name}")) }).await
    }
}

/// Takes its worker with it in every start.
pub(crate) struct Kills;

impl JobType for Kills {
    const WORKFLOW: &'static str = "test_kills";
    type Input = ();
    type Output = ();

    async fn run(&self, job: &JobContext, (): ()) -> Result<(), Failure> {
        job.step("kill", || async { std::process::abort() }).await
    }
}

/// Returns so many characters from its computing process, which knows no task of 0 and cannot read that of 1.
pub(crate) struct Returns;

impl JobType for Returns {
    const WORKFLOW: &'static str = "test_returns";
    type Input = usize;
    type Output = String;

    async fn run(&self, job: &JobContext, characters: usize) -> Result<String, Failure> {
        match characters {
            0 => job.step("return", || job.compute(Unlisted)).await,
            1 => job.step("return", || job.compute(Renamed { field: 1 })).await,
            characters => job.step("return", || job.compute(Text(characters))).await,
        }
    }
}

#[derive(Clone, Serialize, Deserialize)]
pub(crate) struct Text(usize);

impl Task for Text {
    const NAME: &'static str = "text";
    type Output = String;

    fn run(&self, run: &TaskRun<'_, String>) -> Result<String, Failure> {
        run.send("this is not the last one".to_owned());
        Ok("x".repeat(self.0))
    }
}

#[derive(Clone, Serialize, Deserialize)]
struct Unlisted;

impl Task for Unlisted {
    const NAME: &'static str = "unlisted";
    type Output = String;

    fn run(&self, _: &TaskRun<'_, String>) -> Result<String, Failure> {
        Ok(String::new())
    }
}

/// A task as another version writes it: the program that reads it looks for another field.
#[derive(Clone, Serialize, Deserialize)]
pub(crate) struct Renamed {
    #[serde(rename(deserialize = "another"))]
    field: u64,
}

impl Task for Renamed {
    const NAME: &'static str = "renamed";
    type Output = String;

    fn run(&self, _: &TaskRun<'_, String>) -> Result<String, Failure> {
        Ok(self.field.to_string())
    }
}

/// All types of these tests.
pub(crate) fn all_types() -> JobTypes {
    JobTypes::new(VERSION)
        .with(Echoes)
        .with(Lasts)
        .with(Keeps)
        .with(Spins)
        .with(Greets)
        .with(Kills)
        .with(Returns)
}

/// The types whose workflows are named, with commas between.
pub(crate) fn types_of(names: &str) -> JobTypes {
    names
        .split(',')
        .fold(JobTypes::new(VERSION), |types, name| match name {
            Spins::WORKFLOW => types.with(Spins),
            Greets::WORKFLOW => types.with(Greets),
            Kills::WORKFLOW => types.with(Kills),
            Returns::WORKFLOW => types.with(Returns),
            name => panic!("there is no type {name}"),
        })
}
