//! Making visible what a terminal would obey or hide.
//!
//! Whoever may write into the database may write any character into an id, a name or a request: one that clears the screen,
//! turns the direction of writing or takes no room. A message that quotes such a text, and whoever prints one, shows these
//! characters by their numbers.

use std::borrow::Cow;
use std::fmt::Write;

/// Shows each hidden character as Rust writes it, such as `\u{1b}`; the rest stays as it is.
#[must_use]
pub fn visible(text: &str) -> Cow<'_, str> {
    if !text.contains(is_hidden) {
        return Cow::Borrowed(text);
    }
    let mut shown = String::with_capacity(text.len() + 16);
    for c in text.chars() {
        match c {
            '\n' | '\r' | '\t' => shown.extend(c.escape_default()),
            c if is_hidden(c) => shown.extend(c.escape_unicode()),
            c => shown.push(c),
        }
    }
    Cow::Owned(shown)
}

/// Writes each hidden character of a JSON text by its number, such as `\u009b`; the values stay what they are.
///
/// JSON of its own does so only for what is below U+0020; all the others can be in nothing but strings.
#[must_use]
pub fn visible_json(json: &str) -> Cow<'_, str> {
    if !json.contains(is_hidden) {
        return Cow::Borrowed(json);
    }
    let mut shown = String::with_capacity(json.len() + 16);
    for c in json.chars() {
        if !is_hidden(c) {
            shown.push(c);
            continue;
        }
        // JSON names a character beyond U+FFFF by the two units of its UTF-16.
        for unit in c.encode_utf16(&mut [0; 2]) {
            // A string takes whatever is written.
            let _ = write!(shown, "\\u{unit:04x}");
        }
    }
    Cow::Owned(shown)
}

/// Says that a character steers a terminal, turns the direction of writing, breaks a line or takes no room.
#[must_use]
pub fn is_hidden(c: char) -> bool {
    c.is_control()
        || matches!(c,
            '\u{ad}' | '\u{61c}' | '\u{180e}' | '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}'
            | '\u{2060}'..='\u{206f}' | '\u{feff}' | '\u{fff9}'..='\u{fffb}' | '\u{e0000}'..='\u{e007f}')
}

/// Keeps a foreign value short enough for one line, however long it is and however much of it has to be escaped.
#[must_use]
pub fn shorten(text: &str) -> String {
    const MAX_CHARS: usize = 40;
    let mut room = MAX_CHARS;
    let mut short = String::new();
    for c in text.chars() {
        let Some(left) = room.checked_sub(c.escape_debug().count()) else {
            short.push('…');
            break;
        };
        room = left;
        short.push(c);
    }
    short
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_steers_a_terminal_or_hides_is_shown_by_its_number() {
        for (text, shown) in [
            ("x\u{1b}[2J", r"x\u{1b}[2J"),
            ("a\nb\rc\td\0", r"a\nb\rc\td\u{0}"),
            ("\u{9b}2J\u{7f}", r"\u{9b}2J\u{7f}"),
            ("\u{202e}01\u{2066}", r"\u{202e}01\u{2066}"),
            ("\u{feff}10\u{200b}", r"\u{feff}10\u{200b}"),
        ] {
            assert_eq!(visible(text), shown);
        }
    }

    #[test]
    fn what_can_be_seen_stays_as_it_is() {
        for text in ["", r#"F(10) = 55 "é" \u{1b} … 数"#, "e\u{301} 👍"] {
            assert!(matches!(visible(text), Cow::Borrowed(same) if same == text));
        }
    }

    #[test]
    fn json_has_the_same_value_and_nothing_hidden() {
        let value = "\u{1b}\n\u{9b}\u{7f}\u{202e}\u{e0001}é";
        let json = serde_json::to_string(value).unwrap();
        let shown = visible_json(&json);
        assert_eq!(shown, r#""\u001b\n\u009b\u007f\u202e\udb40\udc01é""#);
        assert_eq!(serde_json::from_str::<String>(&shown).unwrap(), value);
    }
}
