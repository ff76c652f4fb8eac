//! The request of a client, and how it is refused.
//!
//! It is as long as there are reasons to refuse a request: each has its words, with the value and the way out.

use durable_jobs::JobId;
use durable_jobs::client::NewJob;
use durable_jobs::compute::Cost;
use durable_jobs::record::{shorten, visible};
use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::algorithm::names;
use super::{Algorithm, Fault, Limits, WorkflowName};

/// One Fibonacci number asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Request {
    /// The index, from 0.
    pub n: u64,
    /// The way to compute it.
    #[serde(default)]
    pub algorithm: Algorithm,
    /// The fault that it is to meet; only with [`Algorithm::Stepwise`], and only where faults are enabled.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub fault: Option<Fault>,
}

/// Why a request is refused: the field, the value, the limit.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum RequestError {
    /// Nothing was given.
    #[error(
        "n is missing: give a non-negative integer such as 100, or {{\"n\": 100, \"algorithm\": \"doubling\"}}"
    )]
    Missing,
    /// Not a non-negative integer.
    #[error(
        "n is {}, which is not a non-negative integer; give one such as 100",
        visible(given)
    )]
    NotAnIndex {
        /// The value as it was given, shortened.
        given: String,
    },
    /// Over the limit of its algorithm.
    #[error("n is {given}, over the limit of {max_n} for the algorithm {algorithm}; {way_out}")]
    TooLarge {
        /// The index as it was given, shortened.
        given: String,
        /// The largest index allowed.
        max_n: u64,
        /// The algorithm whose limit it is.
        algorithm: Algorithm,
        /// The way out.
        way_out: &'static str,
    },
    /// Needs more memory than one job may have.
    #[error(
        "n is {n}, which needs about {needed_mb} MB of memory with {algorithm}, over the limit of {limit_mb} MB for one job; {way_out}"
    )]
    TooMuchMemory {
        /// The index.
        n: u64,
        /// The algorithm.
        algorithm: Algorithm,
        /// The estimate, in megabytes of 10^6 bytes.
        needed_mb: u64,
        /// The limit, in megabytes of 10^6 bytes.
        limit_mb: u64,
        /// The way out.
        way_out: &'static str,
    },
    /// An algorithm that does not exist.
    #[error("algorithm is {given:?}, which does not exist; choose {}", names())]
    Algorithm {
        /// The name as it was given, shortened.
        given: String,
    },
    /// A field that does not exist, so that a misspelt one is not ignored.
    #[error(
        "field {field:?} does not exist; a request has n and algorithm, and fault where faults are enabled"
    )]
    UnknownField {
        /// The field's name, shortened.
        field: String,
    },
    /// The row names one workflow and asks for an algorithm of another.
    #[error(
        "algorithm {algorithm} is not run by the workflow {named:?}; enqueue {:?}",
        algorithm.workflow().name()
    )]
    OtherWorkflow {
        /// The algorithm asked for.
        algorithm: Algorithm,
        /// The workflow that the row names.
        named: &'static str,
    },
    /// A fault that does not exist.
    #[error(
        "fault is {given:?}, which does not exist; give segfault@57, abort@57, oom@57 or error@57, 57 being the index, or random:SEED"
    )]
    Fault {
        /// The fault as it was given, shortened.
        given: String,
    },
    /// A fault in a job that has no step for it.
    #[error("fault {fault} needs the algorithm stepwise, and the job uses {algorithm}")]
    FaultElsewhere {
        /// The fault.
        fault: Fault,
        /// The algorithm asked for.
        algorithm: Algorithm,
    },
    /// A fault at an index that has no step.
    #[error(
        "fault {fault} has no step to strike in F({n}), whose steps are those of the indices from 2 to {n}"
    )]
    FaultOutside {
        /// The fault.
        fault: Fault,
        /// The index asked for.
        n: u64,
    },
    /// A form of input that is no request at all.
    #[error(
        "the input is {}, which is not a request; give 100 or {{\"n\": 100, \"algorithm\": \"doubling\"}}",
        visible(given)
    )]
    NotARequest {
        /// The input as it was given, shortened.
        given: String,
    },
}

impl Request {
    /// Asks for F(n) with the algorithm for that index.
    #[must_use]
    pub fn new(n: u64) -> Self {
        Self::with(n, Algorithm::for_index(n))
    }

    /// Asks for F(n) with `algorithm`.
    #[must_use]
    pub fn with(n: u64, algorithm: Algorithm) -> Self {
        Self {
            n,
            algorithm,
            fault: None,
        }
    }

    /// Makes a job of it, under a fresh id.
    #[must_use]
    pub fn job(self) -> NewJob {
        self.job_as(JobId::fresh())
    }

    /// Makes a job of it, under this id.
    #[must_use]
    pub fn job_as(self, id: JobId) -> NewJob {
        // Numbers and names always have a form; one without is refused when it is submitted.
        let input = serde_json::to_string(&self).unwrap_or_default();
        NewJob::recorded(id, self.algorithm.workflow().name(), input)
    }

    /// Reads an index from text, as a person or another program writes it.
    ///
    /// # Errors
    /// [`RequestError::Missing`] for empty text, [`RequestError::TooLarge`] for an integer above 2^64 − 1,
    /// [`RequestError::NotAnIndex`] for everything else that is not a non-negative integer.
    pub fn parse_n(text: &str) -> Result<u64, RequestError> {
        let text = text.trim();
        if text.is_empty() {
            return Err(RequestError::Missing);
        }
        // The standard library would take a plus sign too. What it refuses after this is too large.
        if !text.bytes().all(|byte| byte.is_ascii_digit()) {
            return Err(RequestError::NotAnIndex { given: shorten(text) });
        }
        text.parse().map_err(|_| RequestError::TooLarge {
            given: shorten(text),
            // The limit that was set is not known here; this one is below 2^64 at least.
            max_n: Limits::DEFAULT_MAX_N,
            algorithm: Algorithm::default(),
            way_out: "lower n",
        })
    }

    /// Reads a request in any of its forms, whoever wrote it; `usual` is the algorithm of one that names none, if that is
    /// not to be the one for its index.
    ///
    /// Accepted are `10`, `"10"`, `[10]`, `{"n": 10, "algorithm": "doubling"}` and the envelope of the portable DBOS
    /// clients, `{"positionalArgs": [10, "doubling"], "namedArgs": {}}`.
    ///
    /// # Errors
    /// [`RequestError`] naming the field and the value; limits are checked by [`Limits::check`].
    pub fn decode(input: &Value, usual: Option<Algorithm>) -> Result<Self, RequestError> {
        let spoken = match input {
            Value::Null => Err(RequestError::Missing),
            Value::Number(_) | Value::String(_) => Spoken::index(input),
            Value::Array(arguments) => Spoken::from_arguments(arguments),
            Value::Object(fields)
                if fields.contains_key("positionalArgs") || fields.contains_key("namedArgs") =>
            {
                Spoken::from_envelope(input)
            }
            Value::Object(fields) => Spoken::from_fields(fields),
            Value::Bool(_) => Err(RequestError::NotARequest {
                given: shorten(&input.to_string()),
            }),
        };
        let Spoken { n, algorithm, fault } = spoken?;
        Ok(Self {
            n,
            algorithm: algorithm.or(usual).unwrap_or_else(|| Algorithm::for_index(n)),
            fault,
        })
    }

    /// Reads the input of a row of `workflow`.
    ///
    /// # Errors
    /// As [`Request::decode`], and [`RequestError::OtherWorkflow`] when the algorithm is that of another workflow.
    pub fn decode_for(workflow: WorkflowName, input: &Value) -> Result<Self, RequestError> {
        let request = Self::decode(input, Some(workflow.usual_algorithm()))?;
        if request.algorithm.workflow() == workflow {
            return Ok(request);
        }
        Err(RequestError::OtherWorkflow {
            algorithm: request.algorithm,
            named: workflow.name(),
        })
    }

    /// Estimates what the request takes, by its algorithm.
    #[must_use]
    pub fn estimate(&self) -> fibonacci::Estimate {
        match self.algorithm {
            Algorithm::Doubling | Algorithm::Giant => fibonacci::Estimate::for_decimal_digits(self.n),
            Algorithm::Iterative | Algorithm::Stepwise => fibonacci::Estimate::for_iterative(self.n),
            Algorithm::Recursive => fibonacci::Estimate::for_recursive(self.n),
        }
    }

    /// Estimates what the request takes of a processor and of memory.
    #[must_use]
    pub fn cost(&self) -> Cost {
        let estimate = self.estimate();
        Cost {
            seconds: estimate.seconds + estimate.decimal_seconds,
            memory_bytes: estimate.peak_bytes.max(estimate.decimal_peak_bytes),
        }
    }
}

impl RequestError {
    /// Returns the field to blame; absent where it is the whole.
    #[must_use]
    pub fn field(&self) -> Option<&'static str> {
        match self {
            Self::Missing | Self::NotAnIndex { .. } | Self::TooLarge { .. } | Self::TooMuchMemory { .. } => {
                Some("n")
            }
            Self::Algorithm { .. } | Self::OtherWorkflow { .. } => Some("algorithm"),
            Self::Fault { .. } | Self::FaultElsewhere { .. } | Self::FaultOutside { .. } => Some("fault"),
            Self::UnknownField { .. } | Self::NotARequest { .. } => None,
        }
    }

    pub(super) fn fault(given: &str) -> Self {
        Self::Fault {
            given: shorten(given),
        }
    }
}

/// An input as it was written, before what it leaves out is filled in.
struct Spoken {
    n: u64,
    algorithm: Option<Algorithm>,
    fault: Option<Fault>,
}

impl Spoken {
    fn index(n: &Value) -> Result<Self, RequestError> {
        Ok(Self {
            n: index(n)?,
            algorithm: None,
            fault: None,
        })
    }

    fn from_arguments(arguments: &[Value]) -> Result<Self, RequestError> {
        match arguments {
            [] => Err(RequestError::Missing),
            [Value::Object(fields)] => Self::from_fields(fields),
            [n] => Self::index(n),
            [n, name] => Ok(Self {
                algorithm: Some(algorithm(name)?),
                ..Self::index(n)?
            }),
            _ => Err(RequestError::NotARequest {
                given: format!("{} arguments", arguments.len()),
            }),
        }
    }

    fn from_envelope(input: &Value) -> Result<Self, RequestError> {
        let positional = input
            .get("positionalArgs")
            .and_then(Value::as_array)
            .map_or(&[][..], Vec::as_slice);
        let named = input
            .get("namedArgs")
            .and_then(Value::as_object)
            .filter(|named| !named.is_empty());
        match (positional, named) {
            (positional, None) => Self::from_arguments(positional),
            ([], Some(named)) => Self::from_fields(named),
            ([n], Some(named)) if !named.contains_key("n") => {
                let mut fields = named.clone();
                fields.insert("n".to_owned(), n.clone());
                Self::from_fields(&fields)
            }
            _ => Err(RequestError::NotARequest {
                given: shorten(&input.to_string()),
            }),
        }
    }

    fn from_fields(fields: &serde_json::Map<String, Value>) -> Result<Self, RequestError> {
        if let Some(field) = fields
            .keys()
            .find(|field| !matches!(field.as_str(), "n" | "algorithm" | "fault"))
        {
            return Err(RequestError::UnknownField {
                field: shorten(field),
            });
        }
        let given = |name| fields.get(name).filter(|value| !value.is_null());
        Ok(Self {
            algorithm: given("algorithm").map(algorithm).transpose()?,
            fault: given("fault").map(fault).transpose()?,
            ..Self::index(fields.get("n").unwrap_or(&Value::Null))?
        })
    }
}

/// The first integer that is no index at all.
const TOO_LARGE: f64 = 18_446_744_073_709_551_616.0;

fn index(value: &Value) -> Result<u64, RequestError> {
    match value {
        Value::Null => Err(RequestError::Missing),
        Value::String(text) => Request::parse_n(text),
        Value::Number(number) => match number.as_u64() {
            Some(n) => Ok(n),
            // Negative, no integer or too large: refused, with the text of the number. JSON has the last as a float, which
            // would be written with an exponent.
            None => match number.as_f64() {
                Some(large) if large >= TOO_LARGE && large.fract() == 0.0 => {
                    Request::parse_n(&format!("{large:.0}"))
                }
                _ => Request::parse_n(&number.to_string()),
            },
        },
        other => Err(RequestError::NotAnIndex {
            given: shorten(&other.to_string()),
        }),
    }
}

fn algorithm(value: &Value) -> Result<Algorithm, RequestError> {
    match value {
        Value::String(name) => name.parse(),
        other => Err(RequestError::Algorithm {
            given: shorten(&other.to_string()),
        }),
    }
}

fn fault(value: &Value) -> Result<Fault, RequestError> {
    match value {
        Value::String(text) => text.parse(),
        other => Err(RequestError::fault(&other.to_string())),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_heavy_request_is_worth_a_process() {
        for small in [
            Request::new(0),
            Request::new(1_000_000),
            Request::with(30, Algorithm::Recursive),
        ] {
            assert!(!small.cost().is_heavy(), "{small:?}");
        }
        for heavy in [
            Request::new(100_000_000),
            Request::with(45, Algorithm::Recursive),
            Request::with(1_000_000, Algorithm::Iterative),
        ] {
            assert!(heavy.cost().is_heavy(), "{heavy:?}");
        }
    }
}
