//! The tags and the batch of a job, as its row keeps them.

use serde_json::{Map, Value, json};

use super::{Batch, Label};

/// The attributes of a row that are ours, among those that another client may have given it.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Attributes {
    pub(crate) tags: Vec<Label>,
    pub(crate) batch: Option<Batch>,
}

impl Attributes {
    /// Reads the JSON of a row.
    pub(crate) fn of_row(recorded: Option<&str>) -> Self {
        let value: Value = recorded
            .and_then(|text| serde_json::from_str(text).ok())
            .unwrap_or_default();
        // Values of another form, which another client wrote, are passed over.
        let tags = value.get("tags").and_then(Value::as_array).map(Vec::as_slice);
        let tags = tags.unwrap_or_default().iter().filter_map(Value::as_str);
        Self {
            tags: tags.map(Label::of_row).collect(),
            batch: value.get("batch").and_then(Value::as_str).map(Batch::of_row),
        }
    }

    /// Writes the JSON of a row, which an index finds; absent where there is nothing to write.
    pub(crate) fn json(tags: &[Label], batch: Option<&Batch>) -> Option<String> {
        let mut attributes = Map::new();
        if !tags.is_empty() {
            attributes.insert("tags".to_owned(), json!(tags));
        }
        if let Some(batch) = batch {
            attributes.insert("batch".to_owned(), json!(batch));
        }
        (!attributes.is_empty()).then(|| Value::Object(attributes).to_string())
    }
}
