//! One job of a submission as it is written: an index, or JSON that may say more of it.

use durable_jobs::JobId;
use durable_jobs::client::Priority;
use durable_jobs::record::{Label, shorten};
use serde::Deserialize;
use serde_json::{Map, Value};

use super::{Algorithm, Request, RequestError};

/// A request, and what is written of the job beside it.
#[derive(Debug, Clone, PartialEq)]
pub struct Entry {
    /// The number that is asked for.
    pub request: Request,
    /// The id that was chosen.
    pub id: Option<JobId>,
    /// The rank in the queue.
    pub priority: Option<Priority>,
    /// Words that it can be found by.
    pub tags: Vec<Label>,
}

/// The refusal of an entry.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{message}")]
pub struct EntryError {
    /// The field to blame; absent where it is the whole.
    pub field: Option<&'static str>,
    /// One line: the thing, the value, the way out.
    pub message: String,
}

/// One tag, or several.
#[derive(Deserialize)]
#[serde(untagged)]
enum Tags {
    One(String),
    Several(Vec<String>),
}

impl Entry {
    /// Asks for F(n), with the algorithm for that index where none is given.
    #[must_use]
    pub fn of_index(n: u64, algorithm: Option<Algorithm>) -> Self {
        Self::of(algorithm.map_or_else(|| Request::new(n), |algorithm| Request::with(n, algorithm)))
    }

    fn of(request: Request) -> Self {
        Self {
            request,
            id: None,
            priority: None,
            tags: Vec::new(),
        }
    }

    /// Reads one job from a line; `algorithm` is that of a request which names none.
    ///
    /// # Errors
    /// A line that names the field, the value and the way out.
    pub fn read(text: &str, algorithm: Option<Algorithm>) -> Result<Self, EntryError> {
        let text = text.trim();
        if !text.starts_with('{') {
            let n = Request::parse_n(text).map_err(|error| refused(&error))?;
            return Ok(Self::of_index(n, algorithm));
        }
        let not_a_request = |_| refused(&RequestError::NotARequest { given: shorten(text) });
        let fields = serde_json::from_str(text).map_err(not_a_request)?;
        Self::from_fields(fields, algorithm)
    }

    /// Reads one job from the fields of an object, as [`Entry::read`] does.
    ///
    /// # Errors
    /// The same.
    pub fn from_fields(
        mut fields: Map<String, Value>,
        algorithm: Option<Algorithm>,
    ) -> Result<Self, EntryError> {
        // Taken out first, because a request refuses fields that it does not have.
        let id = fields.remove("id").map(id_of).transpose()?;
        let priority = fields.remove("priority").as_ref().map(priority_of).transpose()?;
        let tags = fields.remove("tag").map(tags_of).transpose()?;
        let request = Request::decode(&Value::Object(fields), algorithm).map_err(|error| refused(&error))?;
        Ok(Self {
            id,
            priority,
            tags: tags.unwrap_or_default(),
            ..Self::of(request)
        })
    }
}

impl EntryError {
    fn of(field: &'static str, message: String) -> Self {
        Self {
            field: Some(field),
            message,
        }
    }
}

impl From<&RequestError> for EntryError {
    fn from(error: &RequestError) -> Self {
        Self {
            field: error.field(),
            message: error.to_string(),
        }
    }
}

/// Refuses a request; a line has more fields than the request.
fn refused(error: &RequestError) -> EntryError {
    let mut refusal = EntryError::from(error);
    if let RequestError::UnknownField { field } = error {
        refusal.message = format!(
            "field {field:?} does not exist; a line has n and algorithm, id, priority and tag, and fault where faults are enabled"
        );
    }
    refusal
}

/// Reads a priority as people write it.
///
/// # Errors
/// A line with the value and the way out.
pub fn parse_priority(text: &str) -> Result<Priority, String> {
    let priority = text.parse().ok().and_then(Priority::new);
    priority.ok_or_else(|| wrong_priority(text))
}

fn wrong_priority(given: &str) -> String {
    let given = shorten(given);
    format!(
        "priority is {given}; give a number from 0, which comes first, to {}",
        Priority::LAST
    )
}

fn id_of(value: Value) -> Result<JobId, EntryError> {
    let id = match value {
        Value::String(text) => text.parse().map_err(|error| format!("id: {error}")),
        other => Err(format!("id is {}; give text", shorten(&other.to_string()))),
    };
    id.map_err(|message| EntryError::of("id", message))
}

fn priority_of(value: &Value) -> Result<Priority, EntryError> {
    // Its JSON keeps the quotes of a text, so a number in quotes is refused.
    parse_priority(&value.to_string()).map_err(|message| EntryError::of("priority", message))
}

fn tags_of(value: Value) -> Result<Vec<Label>, EntryError> {
    let wrong = format!(
        "tag is {}; give text, or a list of texts",
        shorten(&value.to_string())
    );
    let refuse = |message| EntryError::of("tag", message);
    let tags = match serde_json::from_value(value) {
        Ok(Tags::One(tag)) => vec![tag],
        Ok(Tags::Several(tags)) => tags,
        Err(_) => return Err(refuse(wrong)),
    };
    let tags = tags
        .iter()
        .map(|tag| tag.parse().map_err(|error| refuse(format!("tag: {error}"))));
    tags.collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &str) -> Result<Entry, EntryError> {
        Entry::read(text, Some(Algorithm::Recursive))
    }

    #[test]
    fn a_request_that_names_its_algorithm_keeps_it() {
        let request = |text| read(text).unwrap().request;
        assert_eq!(request("30"), Request::with(30, Algorithm::Recursive));
        assert_eq!(request(r#"{"n": 30}"#), Request::with(30, Algorithm::Recursive));
        assert_eq!(
            request(r#"{"n": 30, "algorithm": "iterative"}"#),
            Request::with(30, Algorithm::Iterative)
        );
    }

    #[test]
    fn a_line_of_json_may_say_more_of_its_job() {
        let entry = read(r#"{"n": 30, "id": "mine", "priority": 7, "tag": ["a", "b c"]}"#).unwrap();
        assert_eq!(entry.id, Some(JobId::new("mine")));
        assert_eq!(entry.priority, Priority::new(7));
        assert_eq!(entry.tags, ["a", "b c"].map(|tag| tag.parse().unwrap()));
        assert_eq!(
            read(r#"{"n": 30, "tag": "a"}"#).unwrap().tags,
            ["a".parse().unwrap()]
        );
        assert_eq!(read(r#"{"n": 30}"#).unwrap(), read("30").unwrap());
    }

    #[test]
    fn nonsense_is_one_line_that_names_the_field_and_the_value() {
        for (text, words) in [
            (r#"{"n": 30, "id": 7}"#, "id is 7"),
            (r#"{"n": 30, "id": "two words"}"#, "two words"),
            (r#"{"n": 30, "id": "a\u001b[2J"}"#, "is not an id"),
            (r#"{"n": 30, "priority": -1}"#, "priority is -1"),
            (r#"{"n": 30, "priority": 1.5}"#, "priority is 1.5"),
            (r#"{"n": 30, "priority": "high"}"#, "priority is"),
            (r#"{"n": 30, "priority": 2147483648}"#, "2147483647"),
            (r#"{"n": 30, "priority": null}"#, "priority is null"),
            (r#"{"n": 30, "tag": 7}"#, "tag is 7"),
            (r#"{"n": 30, "tag": ["a", 7]}"#, "tag is"),
            (r#"{"n": 30, "tag": ""}"#, "is not a label"),
            (r#"{"n": 30, "tag": "a\nb"}"#, "is not a label"),
            (
                r#"{"n": 30, "tags": "a"}"#,
                "\"tags\" does not exist; a line has n and algorithm, id, priority and tag",
            ),
            (r#"{"id": "mine"}"#, "n"),
            ("{", "{"),
        ] {
            let error = read(text).unwrap_err().to_string();
            assert!(error.contains(words), "{text}: {error}");
            assert!(!error.contains(char::is_control), "{text}: {error}");
        }
    }
}
