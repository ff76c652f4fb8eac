//! Names in paths and parameters of queries, refused in the form of a problem.

use axum::extract::{FromRequestParts, Path, Query};
use axum::http::request::Parts;
use durable_jobs::record::shorten;
use durable_jobs::{Error, JobId};
use percent_encoding::percent_decode_str;
use serde_json::{Map, Value};

use crate::body::short;
use crate::problem::{Kind, Problem};

/// The largest integer that the description of the interface has room for, as its format `int64` says.
pub(crate) const MAX_INTEGER: u64 = i64::MAX.unsigned_abs();

/// The job that a path names.
pub(crate) struct JobPath(pub(crate) JobId);

/// Another name in a path.
pub(crate) struct NamePath(pub(crate) String);

/// The fields of an object that may be more than a text.
#[derive(Debug, Clone, Copy)]
pub(crate) struct FieldTypes {
    /// They may be lists of texts.
    pub(crate) lists: &'static [&'static str],
    /// They may be whole numbers.
    pub(crate) numbers: &'static [&'static str],
}

/// Parameters by their names, taken one by one, so that what is left at the end is unknown.
pub(crate) struct Params {
    /// Where they were given: `query`, or the field of a body.
    place: String,
    pairs: Vec<(String, String)>,
}

impl<S: Send + Sync> FromRequestParts<S> for JobPath {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, Problem> {
        let NamePath(id) = NamePath::from_request_parts(parts, state).await?;
        // No row can have such an id, nor can a database be asked for it.
        if id.contains('\0') {
            return Err(Error::NotFound { id }.into());
        }
        // Not parsed as a new id is: rows of other clients may have any text, and each has to be reached.
        Ok(Self(JobId::new(id)))
    }
}

impl<S: Send + Sync> FromRequestParts<S> for NamePath {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, Problem> {
        let name = Path::<String>::from_request_parts(parts, state).await;
        name.map(|Path(name)| Self(name))
            .map_err(|_| Problem::new(Kind::Malformed, "the path is not UTF-8"))
    }
}

impl<S: Send + Sync> FromRequestParts<S> for Params {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, Problem> {
        // Bytes that are not UTF-8 would be taken for another text.
        let query = percent_decode_str(parts.uri.query().unwrap_or_default());
        if query.decode_utf8().is_err() {
            return Err(Problem::new(Kind::Malformed, "the query is not UTF-8"));
        }
        let pairs = Query::<Vec<(String, String)>>::try_from_uri(&parts.uri)
            .map_err(|_| Problem::new(Kind::Malformed, "the query cannot be read"))?;
        Self::checked("query", pairs.0)
    }
}

impl FieldTypes {
    /// Returns the texts of a field; nothing where it is of another form.
    fn texts(self, name: &str, value: &Value) -> Option<Vec<String>> {
        match value {
            Value::String(text) => Some(vec![text.clone()]),
            Value::Number(number) if self.numbers.contains(&name) => {
                let number = number.as_u64().filter(|number| *number <= MAX_INTEGER)?;
                Some(vec![number.to_string()])
            }
            Value::Array(values) if self.lists.contains(&name) => values
                .iter()
                .map(|value| value.as_str().map(str::to_owned))
                .collect(),
            _ => None,
        }
    }

    fn way_out(self, name: &str) -> &'static str {
        if self.lists.contains(&name) {
            "text, or a list of texts"
        } else if self.numbers.contains(&name) {
            "text, or a whole number"
        } else {
            "text"
        }
    }
}

impl Params {
    /// Takes the fields of an object for parameters: texts, and what else their forms allow.
    pub(crate) fn of_fields(
        place: &str,
        fields: Map<String, Value>,
        forms: FieldTypes,
    ) -> Result<Self, Problem> {
        let mut pairs = Vec::new();
        for (name, value) in fields {
            let Some(texts) = forms.texts(&name, &value) else {
                let message = format!(
                    "{name} is {}; give {}",
                    shorten(&value.to_string()),
                    forms.way_out(&name)
                );
                return Err(Problem::of_part(
                    format!("{place}.{name}"),
                    message,
                    Some(short(&value)),
                ));
            };
            pairs.extend(texts.into_iter().map(|text| (name.clone(), text)));
        }
        Self::checked(place, pairs)
    }

    /// Takes pairs of names and texts for parameters.
    pub(crate) fn checked(place: &str, pairs: Vec<(String, String)>) -> Result<Self, Problem> {
        let params = Self {
            place: place.to_owned(),
            pairs,
        };
        // Postgres has no such text: a statement with one fails, as if the database were at fault.
        match params.pairs.iter().find(|(_, value)| value.contains('\0')) {
            Some((name, value)) => Err(params.refuse(name, "text has no character of the code 0", value)),
            None => Ok(params),
        }
    }

    /// Tests whether a value was left empty, as forms send their fields.
    pub(crate) fn has_blank(&self) -> bool {
        self.pairs.iter().any(|(_, value)| value.trim().is_empty())
    }

    /// Refuses a value, given under a name.
    pub(crate) fn refuse(&self, name: &str, message: impl std::fmt::Display, value: &str) -> Problem {
        let message = format!("{name}: {message}");
        Problem::of_part(format!("{}.{name}", self.place), message, Some(value.into()))
    }

    /// Takes all values of a name.
    pub(crate) fn take_all(&mut self, name: &str) -> Vec<String> {
        let taken = self.pairs.extract_if(.., |(given, _)| given == name);
        taken.map(|(_, value)| value).collect()
    }

    /// Takes the only value of a name.
    pub(crate) fn take(&mut self, name: &str) -> Result<Option<String>, Problem> {
        let mut values = self.take_all(name);
        match values.len() {
            0 | 1 => Ok(values.pop()),
            _ => Err(self.refuse(name, "given twice; give it once", &values[1])),
        }
    }

    /// Takes the only value of a name, read by `read`.
    pub(crate) fn read<T, E: std::fmt::Display>(
        &mut self,
        name: &str,
        read: impl FnOnce(&str) -> Result<T, E>,
    ) -> Result<Option<T>, Problem> {
        let Some(value) = self.take(name)? else {
            return Ok(None);
        };
        let read = read(&value).map_err(|error| self.refuse(name, error, &value));
        read.map(Some)
    }

    /// Refuses what nobody took.
    pub(crate) fn end(&self, known: &str) -> Result<(), Problem> {
        match self.pairs.first() {
            Some((name, value)) => Err(self.refuse(
                name,
                format_args!("there is no such parameter; known are {known}"),
                value,
            )),
            None => Ok(()),
        }
    }
}
