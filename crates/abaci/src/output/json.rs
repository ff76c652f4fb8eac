//! JSON that shows what a terminal would obey or hide.

use std::borrow::Cow;
use std::fmt::Write;

use durable_jobs::record::is_hidden;

/// Writes each hidden character of a JSON text by its number, such as `\u009b`; the values stay what they are.
///
/// JSON of its own does so only for what is below U+0020; all the others can be in nothing but strings.
pub(crate) fn visible_json(json: &str) -> Cow<'_, str> {
    if !json.contains(is_hidden) {
        return Cow::Borrowed(json);
    }
    let mut shown = String::with_capacity(json.len() + 16);
    for c in json.chars() {
        if !is_hidden(c) {
            shown.push(c);
            continue;
        }
        for unit in c.encode_utf16(&mut [0; 2]) {
            // A string takes whatever is written.
            let _ = write!(shown, "\\u{unit:04x}");
        }
    }
    Cow::Owned(shown)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn json_has_the_same_value_and_nothing_hidden() {
        let value = "\u{1b}\n\u{9b}\u{7f}\u{202e}\u{e0001}é";
        let json = serde_json::to_string(value).unwrap();
        let shown = visible_json(&json);
        assert_eq!(shown, r#""\u001b\n\u009b\u007f\u202e\udb40\udc01é""#);
        assert_eq!(serde_json::from_str::<String>(&shown).unwrap(), value);
    }
}
