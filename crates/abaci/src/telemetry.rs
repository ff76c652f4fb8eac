//! The log: lines on stderr, as text or as JSON; text on a terminal is brief.
//!
//! A level alone (`debug`) speaks of our own targets; what the engine's library and the database driver say below an
//! error is their chatter and stays out. A whole filter (`info,dbos=debug`) is taken as it is.
//!
//! An event is one line whatever its fields hold, which may come from a row that anybody wrote: what a terminal would obey or
//! hide is shown as [`crate::output`] shows it.

mod brief;

use std::fmt;
use std::io::{self, IsTerminal, Write};

use brief::Brief;
use tracing::field::Field;
use tracing_appender::non_blocking::{NonBlockingBuilder, WorkerGuard};
use tracing_subscriber::EnvFilter;
use tracing_subscriber::field::MakeExt;
use tracing_subscriber::fmt::format::{self, Writer};

use crate::config::{Config, LOG_LEVEL_OF_COMMANDS, LogFormat, Source};
use crate::exit::Failed;
use crate::output::{visible, visible_json};
use crate::this_process::host_name;

/// More lines than a server logs in a second of trouble.
const BUFFERED_LINES: usize = 4096;

/// The readers of a command's log.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Audience {
    /// Whoever runs a server: events are the output.
    Operator,
    /// A person at a terminal who asked for something else: only what went wrong.
    Person,
}

/// Starts the log of this process; it is written out when what is returned is dropped.
///
/// Lines are written by a thread of their own: a terminal that was told to hold on, or a reader that does not read, must
/// not stop a supervisor or a heartbeat. Lines that find its buffer full are lost.
///
/// # Errors
/// A usage error when the level is not one.
pub(crate) fn start(config: &Config, audience: Audience) -> Result<WorkerGuard, Failed> {
    let level = level(config, audience);
    let filter = filter(&level).map_err(|way_out| config.log_level.refused_text(&level, way_out))?;
    let is_terminal = io::stderr().is_terminal();
    let colour = is_terminal && !config.surroundings.forbids_colour;
    let (writer, guard) = NonBlockingBuilder::default()
        .lossy(true)
        .buffered_lines_limit(BUFFERED_LINES)
        .thread_name("log")
        .finish(io::stderr());
    let builder = tracing_subscriber::fmt()
        .with_env_filter(filter)
        // A log that cannot be written, to a terminal that is gone say, is no reason to panic.
        .log_internal_errors(false)
        .with_ansi(colour);
    match config.log_format.value {
        LogFormat::Text if is_terminal => builder
            .with_writer(writer)
            .event_format(Brief { host: host_name() })
            .init(),
        LogFormat::Text => builder
            .with_writer(writer)
            .fmt_fields(format::debug_fn(write_field).delimited(" "))
            .with_target(false)
            .init(),
        LogFormat::Json => builder
            .with_writer(move || JsonEvents(writer.clone()))
            .json()
            .flatten_event(true)
            .init(),
    }
    Ok(guard)
}

/// Writes a field as the library does, but for what is hidden in it.
fn write_field(writer: &mut Writer<'_>, field: &Field, value: &dyn fmt::Debug) -> fmt::Result {
    let value = format!("{value:?}");
    let (name, value) = (field.name(), visible(&value));
    match name {
        "message" => write!(writer, "{value}"),
        _ if writer.has_ansi_escapes() => write!(writer, "\x1b[3m{name}\x1b[0m\x1b[2m=\x1b[0m{value}"),
        _ => write!(writer, "{name}={value}"),
    }
}

/// Writes events of JSON, each in one call.
struct JsonEvents<W>(W);

impl<W: Write> Write for JsonEvents<W> {
    fn write(&mut self, event: &[u8]) -> io::Result<usize> {
        let text = String::from_utf8_lossy(event);
        // Without the line break at its end, which would be shown by its number.
        let shown = visible_json(text.trim_end());
        self.0.write_all(format!("{shown}\n").as_bytes())?;
        // The length of what was given, or the caller would write the rest of it once more.
        Ok(event.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        self.0.flush()
    }
}

fn level(config: &Config, audience: Audience) -> String {
    match (audience, &config.log_level.source) {
        (Audience::Person, Source::Default) => LOG_LEVEL_OF_COMMANDS.to_owned(),
        _ => config.log_level.value.clone(),
    }
}

fn filter(level: &str) -> Result<EnvFilter, String> {
    let is_level_alone = !level.contains([',', '=']);
    let directives = if is_level_alone {
        format!("{level},dbos=error,object_store=error,sqlx=error")
    } else {
        level.to_owned()
    };
    let known = ["off", "error", "warn", "info", "debug", "trace"];
    // The filter takes any other word for the name of a target, and would be silent about all the rest.
    if is_level_alone && !known.contains(&level.to_ascii_lowercase().as_str()) {
        return Err(format!("choose one of {}", known.join(", ")));
    }
    EnvFilter::try_new(&directives).map_err(|error| error.to_string())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_level_alone_keeps_the_chatter_of_others_out() {
        assert_eq!(filter("debug").unwrap().to_string().matches("error").count(), 3);
    }

    #[test]
    fn a_level_that_does_not_exist_is_refused_with_those_that_do() {
        let error = filter("loud").unwrap_err();
        assert!(error.contains("info") && error.contains("warn"), "{error}");
    }

    #[test]
    fn a_whole_filter_is_taken_as_it_is() {
        assert_eq!(
            filter("info,dbos=debug")
                .unwrap()
                .to_string()
                .matches("error")
                .count(),
            0
        );
    }
}
