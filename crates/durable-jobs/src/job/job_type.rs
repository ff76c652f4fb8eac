//! Job types: the jobs that a worker can run, and how an input is read, checked and run.

use std::collections::BTreeMap;
use std::sync::Arc;

use futures_util::future::BoxFuture;
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use serde_json::value::{RawValue, to_raw_value};

use super::context::JobContext;
use super::event::JobEvent;
use crate::database::Scope;
use crate::log_job_event;
use crate::record::{Details, Failure, shorten};

/// A kind of job: what it takes, what it gives and how that is done.
///
/// A worker runs the types that it was given, and leaves jobs of others to other workers.
pub trait JobType: Send + Sync + 'static {
    /// The name in the rows. It never changes, and neither do the steps of [`JobType::run`] under one version of
    /// [`JobTypes`].
    const WORKFLOW: &'static str;

    /// The request of a client, at most 64 KiB of JSON.
    ///
    /// Fields may be added later; none is renamed or given another meaning, since rows live on.
    type Input: Serialize + DeserializeOwned + Clone + Send + Sync + 'static;

    /// The recorded answer, a few KB at most.
    ///
    /// A larger value is written to a file of [`JobContext::artifacts`], put in its place by [`JobContext::keep`], and its
    /// [`ArtifactRecord`](crate::record::ArtifactRecord) is returned.
    type Output: Serialize + DeserializeOwned + Send + 'static;

    /// Reads the input of a row, whoever wrote it; overridden to read other forms and to refuse nonsense.
    ///
    /// Usually it takes the input's own JSON, and the envelope of the portable DBOS clients around it as the one positional
    /// argument, as several for a tuple, or as named ones.
    ///
    /// # Errors
    /// [`Failure::invalid_request`], with the value and the way out.
    fn decode(input: &Value) -> Result<Self::Input, Failure> {
        let input = without_envelope(input);
        // Read through a reference, since the refusal quotes what was read.
        Self::Input::deserialize(&input).map_err(|error| {
            Failure::invalid_request(format!(
                "the input {} is refused: {error}",
                shorten(&input.to_string())
            ))
        })
    }

    /// Refuses what this client or worker has no room for; `memory_bytes` is what somebody granted this job.
    ///
    /// # Errors
    /// The failure that ends the job; before it is submitted, why it is not.
    fn admit(&self, input: &Self::Input, memory_bytes: Option<u64>) -> Result<(), Failure> {
        let _ = (input, memory_bytes);
        Ok(())
    }

    /// Names the values of an input that lists and reports show.
    fn details(input: &Self::Input) -> Details {
        let _ = input;
        Details::default()
    }

    /// Names the same values where the input cannot be read, so that lists have the same fields for every job.
    #[must_use]
    fn no_details() -> Details {
        Details::default()
    }

    /// Writes a line of a job's log; overridden to add fields of the input.
    fn log(input: &Self::Input, event: &JobEvent<'_>) {
        log_job_event!(event, details = %Self::details(input));
    }

    /// Decides what is done and calls steps for it.
    ///
    /// It has no clock, no randomness and no I/O of its own: when it begins anew in another process it must come to the same
    /// steps in the same order, and takes their records. Whatever is outside of a step is repeated at each start.
    ///
    /// A step is known by its place in that order and by its name; the same name may repeat. So steps begin one after
    /// another in a fixed order, never as others end: not under `join!`, nor in the order of a `HashMap`.
    ///
    /// # Errors
    /// The failure of the job. A failure that a step returned may be handed on as it is.
    fn run(
        &self,
        job: &JobContext,
        input: Self::Input,
    ) -> impl Future<Output = Result<Self::Output, Failure>> + Send;
}

/// The job types of a worker or a client, and the version of their steps. Cheap to clone.
#[derive(Clone)]
pub struct JobTypes {
    version: Arc<str>,
    types: Arc<BTreeMap<&'static str, Arc<dyn AnyJobType>>>,
}

impl JobTypes {
    /// Begins a list of job types whose sequences of steps are of this version.
    ///
    /// A worker takes only rows of its own version, so it changes when a step is added, removed, renamed or moved, and at no
    /// other time. All types of the list share it, and a new job type needs no new version.
    ///
    /// After a change keep a worker of the old version until the jobs of that version have ended, or they wait.
    #[must_use]
    pub fn new(version: &str) -> Self {
        Self {
            version: version.into(),
            types: Arc::default(),
        }
    }

    /// Adds a job type; one of the same name is replaced.
    #[must_use]
    pub fn with<T: JobType>(mut self, job_type: T) -> Self {
        let typed: Arc<dyn AnyJobType> = Arc::new(Typed(Arc::new(job_type)));
        // A clone of the list that was taken before keeps its own types.
        Arc::make_mut(&mut self.types).insert(T::WORKFLOW, typed);
        self
    }

    /// The version of the steps.
    #[must_use]
    pub fn version(&self) -> &str {
        &self.version
    }

    /// The names of the job types, as in the rows.
    #[must_use]
    pub(crate) fn workflows(&self) -> Vec<&'static str> {
        self.types.keys().copied().collect()
    }

    /// Reads what lists show of a row's input.
    #[must_use]
    pub fn details(&self, workflow: &str, input: Option<&Value>) -> Details {
        let Some(job_type) = self.get(workflow) else {
            return Details::default();
        };
        let details = input.and_then(|input| job_type.read(input).ok());
        details.unwrap_or_else(|| job_type.no_details())
    }

    pub(crate) fn scope(&self) -> Scope {
        Scope::new(Arc::clone(&self.version), self.workflows())
    }

    pub(crate) fn get(&self, workflow: &str) -> Option<&Arc<dyn AnyJobType>> {
        self.types.get(workflow)
    }

    pub(crate) fn find(&self, workflow: &str) -> Option<(&'static str, &Arc<dyn AnyJobType>)> {
        let found = self.types.get_key_value(workflow);
        found.map(|(name, job_type)| (*name, job_type))
    }
}

/// A job type whose input and output are JSON.
pub(crate) trait AnyJobType: Send + Sync {
    /// Reads an input, and refuses one that makes no sense.
    fn read(&self, input: &Value) -> Result<Details, Failure>;

    fn no_details(&self) -> Details;

    /// The same for all inputs that ask for the same.
    fn canonical(&self, input: &Value) -> Option<Value>;

    fn admit(&self, input: &Value, memory_bytes: Option<u64>) -> Result<Arc<dyn Admitted>, Failure>;
}

/// A job that may run here.
pub(crate) trait Admitted: Send + Sync {
    fn details(&self) -> Details;

    fn log(&self, event: &JobEvent<'_>);

    fn run(self: Arc<Self>, job: Arc<JobContext>) -> BoxFuture<'static, Result<Box<RawValue>, Failure>>;
}

struct Typed<T>(Arc<T>);

struct TypedJob<T: JobType> {
    job_type: Arc<T>,
    input: T::Input,
}

impl<T: JobType> AnyJobType for Typed<T> {
    fn read(&self, input: &Value) -> Result<Details, Failure> {
        T::decode(input).map(|input| T::details(&input))
    }

    fn no_details(&self) -> Details {
        T::no_details()
    }

    fn canonical(&self, input: &Value) -> Option<Value> {
        // Every accepted form, also the envelope of other clients, becomes the JSON of the type itself.
        let input = T::decode(input).ok()?;
        serde_json::to_value(input).ok()
    }

    fn admit(&self, input: &Value, memory_bytes: Option<u64>) -> Result<Arc<dyn Admitted>, Failure> {
        let input = T::decode(input)?;
        self.0.admit(&input, memory_bytes)?;
        Ok(Arc::new(TypedJob {
            // The future of a run borrows nothing, so each job owns a share of its type.
            job_type: Arc::clone(&self.0),
            input,
        }))
    }
}

impl<T: JobType> Admitted for TypedJob<T> {
    fn details(&self) -> Details {
        T::details(&self.input)
    }

    fn log(&self, event: &JobEvent<'_>) {
        T::log(&self.input, event);
    }

    fn run(self: Arc<Self>, job: Arc<JobContext>) -> BoxFuture<'static, Result<Box<RawValue>, Failure>> {
        Box::pin(async move {
            // A clone: the log lines of the same job are made of the input while the body has its own.
            let output = self.job_type.run(&job, self.input.clone()).await?;
            // As text, so that the engine needs no type for it and records it as it is.
            to_raw_value(&output)
                .map_err(|error| Failure::terminal("Internal", format!("the output is no JSON: {error}")))
        })
    }
}

/// The input without the envelope that portable DBOS clients put around arguments.
fn without_envelope(input: &Value) -> Value {
    let is_envelope = ["positionalArgs", "namedArgs"]
        .iter()
        .any(|key| input.get(key).is_some());
    if !is_envelope {
        return input.clone();
    }
    let positional = input.get("positionalArgs").and_then(Value::as_array);
    let positional = positional.map_or(&[][..], Vec::as_slice);
    let named = input
        // A portable client that has no named arguments writes an empty object.
        .get("namedArgs")
        .filter(|named| named.as_object().is_some_and(|named| !named.is_empty()));
    match (positional, named) {
        ([], None) => Value::Null,
        ([only], None) => only.clone(),
        ([_, ..], None) => Value::Array(positional.to_vec()),
        ([], Some(named)) => named.clone(),
        // Arguments of both kinds are left as they are: the decoder refuses them, and quotes the envelope.
        _ => input.clone(),
    }
}
