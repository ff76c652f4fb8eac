//! The few values of an input that lists, reports and logs show.

use std::borrow::Cow;
use std::fmt;

use serde::de::{MapAccess, Visitor};
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use serde_json::Value;

/// Named values of a job's input, in the order in which they are shown; as JSON the fields of an object.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Details(Vec<(Cow<'static, str>, Value)>);

impl Details {
    /// Adds a value.
    #[must_use]
    pub fn with(mut self, name: &'static str, value: impl Into<Value>) -> Self {
        self.0.push((name.into(), value.into()));
        self
    }

    /// Finds the value of this name.
    #[must_use]
    pub fn get(&self, name: &str) -> Option<&Value> {
        let found = self.0.iter().find(|(known, _)| known == name);
        found.map(|(_, value)| value)
    }

    /// Tests whether a text is in one of the values.
    pub(crate) fn contain(&self, text: &str) -> bool {
        self.0.iter().any(|(_, value)| match value.as_str() {
            Some(value) => value.contains(text),
            None => value.to_string().contains(text),
        })
    }
}

impl fmt::Display for Details {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (position, (name, value)) in self.0.iter().enumerate() {
            let space = if position == 0 { "" } else { " " };
            match value.as_str() {
                Some(text) => write!(f, "{space}{name}={text}")?,
                None => write!(f, "{space}{name}={value}")?,
            }
        }
        Ok(())
    }
}

impl Serialize for Details {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_map(self.0.iter().map(|(name, value)| (name, value)))
    }
}

impl<'de> Deserialize<'de> for Details {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_map(DetailFields)
    }
}

/// Reads the fields of an object in their order.
struct DetailFields;

impl<'de> Visitor<'de> for DetailFields {
    type Value = Details;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an object")
    }

    fn visit_map<M: MapAccess<'de>>(self, mut fields: M) -> Result<Details, M::Error> {
        // A `serde_json::Map` may sort the names.
        let mut details = Vec::new();
        while let Some((name, value)) = fields.next_entry::<String, Value>()? {
            details.push((Cow::Owned(name), value));
        }
        Ok(Details(details))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn details_keep_their_order_as_text_and_as_json() {
        let details = Details::default().with("to", 20).with("from", "ten");
        assert_eq!(details.to_string(), "to=20 from=ten");
        let json = serde_json::to_string(&details).unwrap();
        assert_eq!(json, r#"{"to":20,"from":"ten"}"#);
        assert_eq!(serde_json::from_str::<Details>(&json).unwrap(), details);
    }
}
