//! Bodies of requests: read within limits of size and time, and refused with the place that is wrong.

use std::fmt;
use std::time::Duration;

use axum::body::{Body, to_bytes};
use axum::extract::{FromRequest, Request};
use axum::http::{HeaderMap, header};
use durable_jobs::record::shorten;
use hyper::body::Body as _;
use serde::de::{Deserialize, Deserializer, Error, MapAccess, SeqAccess, Visitor};
use serde_json::{Map, Value};
use tokio::time::timeout;

use crate::problem::{Kind, Problem};

/// The longest body: ten thousand requests of a hundred bytes.
pub(crate) const MAX_BODY_BYTES: usize = 1 << 20;

/// The time for all of a body.
const BODY_TIMEOUT: Duration = Duration::from_secs(10);

/// The JSON of a body, if there is one.
pub(crate) struct OptionalBody(pub(crate) Option<Value>);

/// JSON in which no object has two fields of one name: which of them is meant nobody knows.
struct Unique(Value);

impl<'de> Deserialize<'de> for Unique {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(UniqueVisitor)
    }
}

struct UniqueVisitor;

impl<'de> Visitor<'de> for UniqueVisitor {
    type Value = Unique;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("JSON")
    }

    fn visit_bool<E>(self, value: bool) -> Result<Unique, E> {
        Ok(Unique(value.into()))
    }

    fn visit_i64<E>(self, value: i64) -> Result<Unique, E> {
        Ok(Unique(value.into()))
    }

    fn visit_u64<E>(self, value: u64) -> Result<Unique, E> {
        Ok(Unique(value.into()))
    }

    fn visit_f64<E>(self, value: f64) -> Result<Unique, E> {
        Ok(Unique(value.into()))
    }

    fn visit_str<E>(self, value: &str) -> Result<Unique, E> {
        Ok(Unique(value.into()))
    }

    fn visit_unit<E>(self) -> Result<Unique, E> {
        Ok(Unique(Value::Null))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut parts: A) -> Result<Unique, A::Error> {
        // These calls nest as deep as the text does; serde_json refuses one over 128 levels deep.
        let mut values = Vec::new();
        while let Some(Unique(value)) = parts.next_element()? {
            values.push(value);
        }
        Ok(Unique(values.into()))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut parts: A) -> Result<Unique, A::Error> {
        let mut fields = Map::new();
        while let Some((name, Unique(value))) = parts.next_entry::<String, Unique>()? {
            if fields.contains_key(&name) {
                return Err(A::Error::custom(format!(
                    "field {:?} is there twice",
                    shorten(&name)
                )));
            }
            fields.insert(name, value);
        }
        Ok(Unique(fields.into()))
    }
}

/// The fields of an object, taken one by one, so that what is left at the end is unknown.
pub(crate) struct Fields {
    place: &'static str,
    fields: Map<String, Value>,
}

/// The JSON of a body.
pub(crate) struct JsonBody(pub(crate) Value);

impl<S: Send + Sync> FromRequest<S> for JsonBody {
    type Rejection = Problem;

    async fn from_request(request: Request, _: &S) -> Result<Self, Problem> {
        let (parts, body) = request.into_parts();
        // A page of another site may send forms, but this type only if the server allows it; it does not.
        if !is_json(&parts.headers) {
            let detail = "the body is not said to be JSON; send the header Content-Type: application/json";
            return Err(Problem::new(Kind::MediaType, detail));
        }
        let bytes = bytes_of(body, &parts.headers).await?;
        serde_json::from_slice(&bytes)
            .map(|Unique(value)| Self(value))
            .map_err(|error| {
                let detail = format!("the body is not JSON: {error}");
                Problem::new(Kind::Malformed, detail)
            })
    }
}

impl<S: Send + Sync> FromRequest<S> for OptionalBody {
    type Rejection = Problem;

    async fn from_request(request: Request, state: &S) -> Result<Self, Problem> {
        // Without a body there is no type to be checked, so that a bare POST needs no header.
        if request.body().is_end_stream() {
            return Ok(Self(None));
        }
        let JsonBody(body) = JsonBody::from_request(request, state).await?;
        Ok(Self(Some(body)))
    }
}

impl Fields {
    pub(crate) fn of(place: &'static str, value: Value) -> Result<Self, Problem> {
        match value {
            Value::Object(fields) => Ok(Self { place, fields }),
            _ => Err(Problem::of_part(place, "not an object; give one", None)),
        }
    }

    /// Takes a field, read by `read`; `form` says what it should be.
    pub(crate) fn read<T>(
        &mut self,
        name: &str,
        form: &str,
        read: impl FnOnce(&Value) -> Option<T>,
    ) -> Result<Option<T>, Problem> {
        let Some(value) = self.fields.remove(name) else {
            return Ok(None);
        };
        let read = read(&value).ok_or_else(|| {
            let message = format!("{name} is {}; give {form}", shorten(&value.to_string()));
            Problem::of_part(format!("{}.{name}", self.place), message, Some(short(&value)))
        });
        read.map(Some)
    }

    /// Refuses what nobody took.
    pub(crate) fn end(&self, known: &str) -> Result<(), Problem> {
        match self.fields.iter().next() {
            Some((name, value)) => {
                let name = shorten(name);
                let message = format!("field {name:?} does not exist; known are {known}");
                Err(Problem::of_part(
                    format!("{}.{name}", self.place),
                    message,
                    Some(short(value)),
                ))
            }
            None => Ok(()),
        }
    }
}

/// Shows a value as it was given, unless it is long.
pub(crate) fn short(value: &Value) -> Value {
    match value {
        Value::Number(_) | Value::Bool(_) | Value::Null => value.clone(),
        Value::String(text) => Value::String(shorten(text)),
        other => Value::String(shorten(&other.to_string())),
    }
}

/// Reads a whole body.
pub(crate) async fn bytes_of(body: Body, headers: &HeaderMap) -> Result<bytes::Bytes, Problem> {
    let too_large = || {
        let detail = format!("the body has over {MAX_BODY_BYTES} bytes; send several smaller ones");
        Problem::new(Kind::TooLarge, detail)
    };
    // A length that is too large is refused unread; one that is not named is bounded while it is read.
    let length = headers
        .get(header::CONTENT_LENGTH)
        .and_then(|length| length.to_str().ok());
    if length
        .and_then(|length| length.parse().ok())
        .is_some_and(|length: u64| length > MAX_BODY_BYTES as u64)
    {
        return Err(too_large());
    }
    // For all of it: a client that sends a byte now and then would keep its place for ever.
    match timeout(BODY_TIMEOUT, to_bytes(body, MAX_BODY_BYTES)).await {
        Ok(Ok(bytes)) => Ok(bytes),
        // The limit was reached, or the connection broke and nobody reads this answer.
        Ok(Err(_)) => Err(too_large()),
        Err(_) => {
            let detail = format!("the body did not come within {} s", BODY_TIMEOUT.as_secs());
            Err(Problem::new(Kind::Timeout, detail))
        }
    }
}

fn is_json(headers: &HeaderMap) -> bool {
    let kind = headers
        .get(header::CONTENT_TYPE)
        .and_then(|kind| kind.to_str().ok());
    kind.and_then(|kind| kind.split(';').next())
        .is_some_and(|kind| kind.trim().eq_ignore_ascii_case("application/json"))
}
