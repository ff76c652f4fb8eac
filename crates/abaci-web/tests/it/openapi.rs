//! The description of the interface.

use std::collections::HashSet;

use serde_json::Value;

use crate::rig::Site;

#[test]
fn the_description_is_the_one_that_was_looked_at() {
    let description = Site::new().get("/openapi.json").send().expect(200);
    insta::assert_snapshot!(serde_json::to_string_pretty(&description).unwrap());
}

#[test]
fn the_description_refers_to_nothing_that_is_not_there() {
    let description = Site::new().get("/openapi.json").send().expect(200);
    assert!(description["openapi"].as_str().unwrap().starts_with("3.1."));
    let mut names = HashSet::new();
    references(&description, &mut names);
    for name in names {
        let pointer = name.strip_prefix('#').unwrap();
        assert!(description.pointer(pointer).is_some(), "{name} is not there");
    }
}

/// Collects the references of a document.
fn references<'a>(value: &'a Value, names: &mut HashSet<&'a str>) {
    match value {
        Value::Object(fields) => {
            names.extend(fields.get("$ref").and_then(Value::as_str));
            fields.values().for_each(|value| references(value, names));
        }
        Value::Array(values) => values.iter().for_each(|value| references(value, names)),
        _ => {}
    }
}
