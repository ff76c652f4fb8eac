//! Text that fits into the columns of a terminal.

use super::paint::{is_painted, unpainted};

/// Counts the cells of a terminal that some text takes, without its colours.
fn width(text: &str) -> usize {
    unpainted(text).chars().count()
}

/// Cuts a plain text to this width, with a sign where something was left out.
pub(super) fn cut(text: &str, width: usize) -> String {
    if text.chars().count() <= width {
        return text.to_owned();
    }
    let kept: String = text.chars().take(width.saturating_sub(1)).collect();
    format!("{kept}…")
}

/// Breaks a text into lines that begin with a label and go on below its end, none longer than `total`.
///
/// Lines are broken at blanks, and a word that is longer than a line where the line ends. Both may have colours.
pub(crate) fn labelled(label: &str, text: &str, total: usize) -> Vec<String> {
    let indent = width(label);
    let room = total.saturating_sub(indent).max(1);
    let mut lines: Vec<String> = Vec::new();
    let mut line = String::new();
    for word in text.split(' ').flat_map(|word| pieces(word, room)) {
        let is_first = line.is_empty();
        if !is_first && width(&line) + 1 + width(word) > room {
            lines.push(std::mem::take(&mut line));
        } else if !is_first {
            line.push(' ');
        }
        line.push_str(word);
    }
    lines.push(line);
    let starts = std::iter::once(label.to_owned()).chain(std::iter::repeat(" ".repeat(indent)));
    starts
        .zip(lines)
        .map(|(start, line)| format!("{start}{line}"))
        .collect()
}

/// Breaks a word into pieces that fit; a coloured one is short and stays whole.
fn pieces(word: &str, room: usize) -> Vec<&str> {
    if width(word) <= room || is_painted(word) {
        return vec![word];
    }
    let mut pieces = Vec::new();
    let mut rest = word;
    while let Some((end, _)) = rest.char_indices().nth(room) {
        let (piece, others) = rest.split_at(end);
        pieces.push(piece);
        rest = others;
    }
    pieces.push(rest);
    pieces
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::output::Paint;

    #[test]
    fn a_text_goes_on_below_its_beginning() {
        let lines = labelled("fleet  ", "process 7, up 4.0s, 2 of 2 workers", 24);
        assert_eq!(
            lines,
            ["fleet  process 7, up", "       4.0s, 2 of 2", "       workers"]
        );
        assert_eq!(labelled("a  ", "", 10), ["a  "]);
    }

    #[test]
    fn a_word_that_is_too_long_is_broken_where_the_line_ends() {
        let lines = labelled("at ", "in /a/very/long/path here", 12);
        assert_eq!(lines, ["at in", "   /a/very/l", "   ong/path", "   here"]);
        assert!(lines.iter().all(|line| line.chars().count() <= 12), "{lines:#?}");
    }

    #[test]
    fn colours_take_no_room() {
        let red = "down".red().to_string();
        let lines = labelled("db ", &format!("{red}: gone for good"), 18);
        assert_eq!(lines, [format!("db {red}: gone for"), "   good".to_owned()]);
    }

    #[test]
    fn a_cut_says_that_something_is_missing() {
        assert_eq!(
            (cut("12345", 5), cut("123456", 5)),
            ("12345".to_owned(), "1234…".to_owned())
        );
    }
}
