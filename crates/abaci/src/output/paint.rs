//! Colour for texts of our own.
//!
//! A line is made [`visible`] as a whole when it is written, so a colour is a mark in it until then. The mark has a random
//! number of this process, which nobody who writes into the database can know.

use std::borrow::Cow;
use std::fmt::{self, Display};
use std::sync::LazyLock;

use super::visible;

static MARK: LazyLock<String> = LazyLock::new(|| format!("<{:016x}>", fastrand::u64(..)));

/// Stands after the mark where a colour ends.
const END: char = '0';

/// Marks a text for a colour.
pub(crate) trait Paint: Display + Sized {
    fn bold(self) -> Painted<Self> {
        Painted('b', self)
    }

    fn red(self) -> Painted<Self> {
        Painted('r', self)
    }

    fn green(self) -> Painted<Self> {
        Painted('g', self)
    }

    fn cyan(self) -> Painted<Self> {
        Painted('c', self)
    }

    fn yellow(self) -> Painted<Self> {
        Painted('y', self)
    }
}

impl<T: Display> Paint for T {}

/// A text between two marks; the first mark stands for the colour.
pub(crate) struct Painted<T>(char, T);

impl<T: Display> Display for Painted<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (mark, Self(colour, words)) = (&*MARK, self);
        write!(f, "{mark}{colour}{words}{mark}{END}")
    }
}

/// A line as it is written: nothing hidden in it, and the marks as colours.
pub(super) fn drawn(line: &str) -> String {
    rewritten(line, sequence)
}

/// The same without any colour, as it is for who measures it.
pub(crate) fn unpainted(line: &str) -> String {
    rewritten(line, |_| "")
}

/// Returns whether a colour begins or ends in a text.
pub(super) fn is_painted(text: &str) -> bool {
    text.contains(MARK.as_str())
}

fn rewritten(line: &str, sequence: fn(char) -> &'static str) -> String {
    let mut pieces = line.split(MARK.as_str());
    let mut written = pieces
        .next()
        .map(visible)
        .map_or_else(String::new, Cow::into_owned);
    // Each of these stands behind a mark, so its first character is a colour and no text.
    for piece in pieces {
        let mut rest = piece.chars();
        written.push_str(rest.next().map_or("", sequence));
        written.push_str(&visible(rest.as_str()));
    }
    written
}

fn sequence(colour: char) -> &'static str {
    match colour {
        'b' => "\x1b[1m",
        'r' => "\x1b[31m",
        'g' => "\x1b[32m",
        'y' => "\x1b[33m",
        'c' => "\x1b[36m",
        _ => "\x1b[0m",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_colour_is_ours_and_what_is_in_the_words_is_shown() {
        let line = format!("a {} \x1b[31mb", "SIG\x1b[2JKILL".red().bold());
        assert_eq!(
            drawn(&line),
            "a \x1b[1m\x1b[31mSIG\\u{1b}[2JKILL\x1b[0m\x1b[0m \\u{1b}[31mb"
        );
        assert_eq!(unpainted(&line), r"a SIG\u{1b}[2JKILL \u{1b}[31mb");
    }
}
