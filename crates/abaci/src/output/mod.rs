//! Output: data to stdout, talk to stderr.
//!
//! Every line is made [`visible`] here, whoever wrote what is in it, and none has a line break inside; a colour that we mean
//! is a [`Paint`]. Colour is used only on a terminal and never with `NO_COLOR`.
//! Every line of data is flushed, so that a reader at the other end of a pipe sees it when it is there; a reader that
//! left is the error [`ReaderLeft`], which [`crate::exit`] counts as success.
//! Talk that cannot be printed is dropped: its reader is gone.

mod advice;
mod format;
mod job;
mod paint;
mod table;
mod text;

use std::fmt::{self, Display};
use std::io::{ErrorKind, IsTerminal, Write};
use std::os::fd::AsFd;

use anyhow::Context;
use serde::Serialize;

pub(crate) use advice::{
    batch_flag, list_command, no_such_job, resume_queue_command, serve_command, show_command, wait_command,
};
pub(crate) use durable_jobs::record::{visible, visible_json};
pub(crate) use format::{age, counted, digits_of, limit, rate, seconds, time};
pub(crate) use job::{detail, name, progress, size};
pub(crate) use paint::{Paint, unpainted};
pub(crate) use table::{Table, with_bold_header};
pub(crate) use text::labelled;

/// The form of data on stdout.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Format {
    /// Lines for people.
    Human,
    /// One JSON object per line.
    Json,
}

impl Format {
    /// The form that a `--json` flag asks for.
    pub(crate) fn of_flag(json: bool) -> Self {
        if json { Self::Json } else { Self::Human }
    }
}

/// The end of the reader of stdout, who has what it wanted.
///
/// A type of its own: a broken pipe to a fleet or a database is a failure.
#[derive(Debug)]
pub(crate) struct ReaderLeft;

impl fmt::Display for ReaderLeft {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("nobody reads stdout any more")
    }
}

impl std::error::Error for ReaderLeft {}

/// Returns the width of the terminal that data goes to; nothing where it goes elsewhere.
pub(crate) fn columns() -> Option<usize> {
    columns_of(&std::io::stdout())
}

/// Returns the width of a terminal; nothing of what is none, or does not report one.
pub(crate) fn columns_of(stream: &(impl AsFd + IsTerminal)) -> Option<usize> {
    let size = rustix::termios::tcgetwinsize(stream).ok()?;
    (stream.is_terminal() && size.ws_col > 0).then_some(usize::from(size.ws_col))
}

/// Prints one line of data.
pub(crate) fn line(text: impl Display) -> anyhow::Result<()> {
    write(
        anstream::stdout().lock(),
        format!("{}\n", paint::drawn(&text.to_string())),
    )
}

/// Prints bytes of data as they are, with nothing after them.
pub(crate) fn bytes(data: &[u8]) -> anyhow::Result<()> {
    write(std::io::stdout().lock(), data)
}

fn write(mut stdout: impl Write, data: impl AsRef<[u8]>) -> anyhow::Result<()> {
    let written = stdout.write_all(data.as_ref()).and_then(|()| stdout.flush());
    match written {
        Err(error) if error.kind() == ErrorKind::BrokenPipe => Err(ReaderLeft.into()),
        written => written.context("writing to stdout"),
    }
}

/// Prints lines in place of what the terminal shows; where there is no terminal, one set after the other.
pub(crate) fn screen(lines: &[String]) -> anyhow::Result<()> {
    const HOME: &str = "\x1b[H";
    const ERASE_LINE: &str = "\x1b[K";
    const ERASE_BELOW: &str = "\x1b[J";
    let stdout = std::io::stdout().lock();
    // Not by the stream that knows of colours: where nobody wants any it drops the moves of the cursor as well.
    let is_plain = anstream::AutoStream::choice(&stdout) == anstream::ColorChoice::Never;
    let has_cursor = stdout.is_terminal() && anstyle_query::term_supports_ansi_color();
    let (home, end_of_line, end) = if has_cursor {
        (HOME, ERASE_LINE, ERASE_BELOW)
    } else {
        ("", "", "")
    };
    let draw = if is_plain { unpainted } else { paint::drawn };
    let lines: Vec<String> = lines.iter().map(|line| draw(line)).collect();
    let text = lines.join(&format!("{end_of_line}\n"));
    write(stdout, format!("{home}{text}{end_of_line}\n{end}"))
}

/// Prints one line of data as JSON.
pub(crate) fn json(value: &impl Serialize) -> anyhow::Result<()> {
    let json = serde_json::to_string(value).context("writing JSON")?;
    bytes(format!("{}\n", visible_json(&json)).as_bytes())
}

/// Says something to the person at the terminal.
pub(crate) fn talk(text: impl Display) {
    let _ = writeln!(anstream::stderr().lock(), "{}", paint::drawn(&text.to_string()));
}

/// Says why the command failed.
pub(crate) fn error(text: impl Display) {
    talk(format_args!("abaci: {text}"));
}
