//! What a client may ask for, and how it is told that it may not.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};
use serde_json::Value;

/// How F(n) is computed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Algorithm {
    /// Fast doubling: about log2(n) squarings; the one for any n.
    #[default]
    Doubling,
    /// n additions; linear in n times the length of the value.
    Iterative,
    /// The naive recursion, kept as work that burns a processor: about 1.6^n calls.
    Recursive,
}

impl Algorithm {
    /// Every algorithm, the default first.
    pub const ALL: [Self; 3] = [Self::Doubling, Self::Iterative, Self::Recursive];

    /// The algorithm's name, as in the JSON and on the command line.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Doubling => "doubling",
            Self::Iterative => "iterative",
            Self::Recursive => "recursive",
        }
    }
}

impl fmt::Display for Algorithm {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.name())
    }
}

impl FromStr for Algorithm {
    type Err = RequestError;

    fn from_str(name: &str) -> Result<Self, RequestError> {
        let known = Self::ALL.into_iter().find(|algorithm| algorithm.name() == name);
        known.ok_or_else(|| RequestError::Algorithm { given: shorten(name) })
    }
}

/// One Fibonacci number asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Request {
    /// The index, from 0.
    pub n: u64,
    /// How to compute it.
    #[serde(default)]
    pub algorithm: Algorithm,
}

/// What a worker is willing to compute.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limits {
    /// The largest index for `doubling`.
    pub max_n: u64,
    /// The memory that one job may need, in bytes, by the estimate of its algorithm.
    pub memory_bytes: u64,
}

impl Limits {
    /// The largest index for `doubling` unless another is set.
    pub const DEFAULT_MAX_N: u64 = 2_000_000_000;
    /// The largest index for `iterative`: some seconds of additions.
    pub const ITERATIVE_MAX_N: u64 = 1_000_000;
    /// The memory of one job unless another limit is set: 8 GiB.
    pub const DEFAULT_MEMORY_BYTES: u64 = 8 << 30;
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            max_n: Self::DEFAULT_MAX_N,
            memory_bytes: Self::DEFAULT_MEMORY_BYTES,
        }
    }
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
    #[error("n is {given}, which is not a non-negative integer; give one such as 100")]
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
        /// What to do instead.
        way_out: &'static str,
    },
    /// Needs more memory than one job may have.
    #[error(
        "n is {n}, which needs about {needed_mb} MB of memory with {algorithm}, over the limit of {limit_mb} MB for one job; lower n or raise --job-memory"
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
    },
    /// A timeout of nothing, or one that the database's clock cannot add.
    #[error("timeout is under a millisecond or over a hundred years; give one between, or none")]
    Timeout,
    /// An algorithm that does not exist.
    #[error("algorithm is {given:?}, which does not exist; choose doubling, iterative or recursive")]
    Algorithm {
        /// The name as it was given, shortened.
        given: String,
    },
    /// A field that does not exist, so that a misspelt one is not ignored.
    #[error("field {field:?} does not exist; a request has n and algorithm")]
    UnknownField {
        /// The field's name, shortened.
        field: String,
    },
    /// A form of input that is no request at all.
    #[error(
        "the input is {given}, which is not a request; give 100 or {{\"n\": 100, \"algorithm\": \"doubling\"}}"
    )]
    NotARequest {
        /// The input as it was given, shortened.
        given: String,
    },
}

impl Request {
    /// Asks for F(n) with the default algorithm.
    #[must_use]
    pub fn new(n: u64) -> Self {
        Self {
            n,
            algorithm: Algorithm::default(),
        }
    }

    /// Asks for F(n) with `algorithm`.
    #[must_use]
    pub fn with(n: u64, algorithm: Algorithm) -> Self {
        Self { n, algorithm }
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
        if !text.bytes().all(|byte| byte.is_ascii_digit()) {
            return Err(RequestError::NotAnIndex { given: shorten(text) });
        }
        text.parse().map_err(|_| RequestError::TooLarge {
            given: shorten(text),
            max_n: Limits::DEFAULT_MAX_N,
            algorithm: Algorithm::default(),
            way_out: "lower n",
        })
    }

    /// Reads the input of a row, whoever wrote it.
    ///
    /// Accepted are `10`, `"10"`, `[10]`, `{"n": 10, "algorithm": "doubling"}` and the envelope of the portable DBOS
    /// clients, `{"positionalArgs": [10, "doubling"], "namedArgs": {}}`.
    ///
    /// # Errors
    /// [`RequestError`] naming the field and the value; limits are checked by [`Limits::check`].
    pub fn decode(input: &Value) -> Result<Self, RequestError> {
        match input {
            Value::Null => Err(RequestError::Missing),
            Value::Number(_) | Value::String(_) => Ok(Self::new(index(input)?)),
            Value::Array(arguments) => Self::from_arguments(arguments),
            Value::Object(fields)
                if fields.contains_key("positionalArgs") || fields.contains_key("namedArgs") =>
            {
                Self::from_envelope(input)
            }
            Value::Object(fields) => Self::from_fields(fields),
            Value::Bool(_) => Err(RequestError::NotARequest {
                given: shorten(&input.to_string()),
            }),
        }
    }

    /// What the request takes, by the estimate of its algorithm.
    #[must_use]
    pub fn estimate(&self) -> fibonacci::Estimate {
        match self.algorithm {
            Algorithm::Doubling => fibonacci::Estimate::for_doubling(self.n),
            Algorithm::Iterative => fibonacci::Estimate::for_iterative(self.n),
            Algorithm::Recursive => fibonacci::Estimate::for_recursive(self.n),
        }
    }

    fn from_arguments(arguments: &[Value]) -> Result<Self, RequestError> {
        match arguments {
            [] => Err(RequestError::Missing),
            [Value::Object(fields)] => Self::from_fields(fields),
            [n] => Ok(Self::new(index(n)?)),
            [n, name] => Ok(Self::with(index(n)?, algorithm(name)?)),
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
            .find(|field| !matches!(field.as_str(), "n" | "algorithm"))
        {
            return Err(RequestError::UnknownField {
                field: shorten(field),
            });
        }
        let n = index(fields.get("n").unwrap_or(&Value::Null))?;
        match fields.get("algorithm") {
            None | Some(Value::Null) => Ok(Self::new(n)),
            Some(name) => Ok(Self::with(n, algorithm(name)?)),
        }
    }
}

impl Limits {
    /// Refuses a request that a worker with these limits would not run.
    ///
    /// # Errors
    /// [`RequestError::TooLarge`] or [`RequestError::TooMuchMemory`], with the limit.
    pub fn check(&self, request: &Request) -> Result<(), RequestError> {
        let Request { n, algorithm } = *request;
        let max_n = self.max_n_of(algorithm);
        if n > max_n {
            let way_out = if algorithm == Algorithm::Doubling {
                "lower n or raise --max-n"
            } else {
                "use doubling"
            };
            return Err(RequestError::TooLarge {
                given: n.to_string(),
                max_n,
                algorithm,
                way_out,
            });
        }
        let needed = request.estimate().peak_bytes;
        if needed > self.memory_bytes {
            let (needed_mb, limit_mb) = (needed.div_ceil(1_000_000), self.memory_bytes / 1_000_000);
            return Err(RequestError::TooMuchMemory {
                n,
                algorithm,
                needed_mb,
                limit_mb,
            });
        }
        Ok(())
    }

    /// The largest index that `algorithm` is given.
    #[must_use]
    pub fn max_n_of(&self, algorithm: Algorithm) -> u64 {
        match algorithm {
            Algorithm::Doubling => self.max_n,
            Algorithm::Iterative => Self::ITERATIVE_MAX_N.min(self.max_n),
            Algorithm::Recursive => fibonacci::RECURSIVE_MAX_N.min(self.max_n),
        }
    }
}

fn index(value: &Value) -> Result<u64, RequestError> {
    match value {
        Value::Null => Err(RequestError::Missing),
        Value::String(text) => Request::parse_n(text),
        Value::Number(number) => match number.as_u64() {
            Some(n) => Ok(n),
            None => Request::parse_n(&number.to_string()),
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

/// Keeps a foreign value short enough for one line, however long it is.
fn shorten(text: &str) -> String {
    const MAX_CHARS: usize = 40;
    let printable = |c: char| if c.is_control() { ' ' } else { c };
    let mut short: String = text.chars().take(MAX_CHARS).map(printable).collect();
    if text.chars().nth(MAX_CHARS).is_some() {
        short.push('…');
    }
    short
}
