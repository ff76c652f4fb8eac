//! Making visible what a terminal would obey or hide.
//!
//! Whoever may write into the database may write any character into an id, a name or a request: one that clears the screen,
//! turns the direction of writing or takes no room. A message that quotes such a text, and whoever prints one, shows these
//! characters by their numbers.

use std::borrow::Cow;

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
}
