//! The exit codes of commands, and the errors that stand for them.
//!
//! The error that ends a command is printed here, as one line on stderr; only the end of a log follows on lines of its own.
//! A reader that closed the pipe has what it wanted, so that counts as success.

use std::fmt;
use std::process::ExitCode;

use crate::output::{self, ReaderLeft};

/// The exit codes of every command.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Exit {
    /// 0: done.
    Done,
    /// 1: a job failed, or the answer is no.
    No,
    /// 2: the command line or the configuration is wrong; nothing was done.
    Usage,
    /// 3: the database or a server cannot be reached or used.
    Unreachable,
    /// 130: interrupted by a signal.
    Interrupted,
    /// Whatever a program run on the user's behalf ended with.
    Passed(u8),
}

impl Exit {
    /// Returns the number that the process ends with.
    pub(crate) fn code(self) -> u8 {
        match self {
            Self::Done => 0,
            Self::No => 1,
            Self::Usage => 2,
            Self::Unreachable => 3,
            Self::Interrupted => 130,
            Self::Passed(code) => code,
        }
    }
}

impl From<Exit> for ExitCode {
    fn from(exit: Exit) -> Self {
        Self::from(exit.code())
    }
}

/// An error that carries its own exit code, for what no library's error stands for.
#[derive(Debug)]
pub(crate) struct Failed {
    exit: Exit,
    message: String,
}

impl Failed {
    /// Makes an error for the answer no.
    pub(crate) fn no(message: impl Into<String>) -> Self {
        Self {
            exit: Exit::No,
            message: message.into(),
        }
    }

    /// Makes an error for a wrong command line or configuration.
    pub(crate) fn usage(message: impl Into<String>) -> Self {
        Self {
            exit: Exit::Usage,
            message: message.into(),
        }
    }

    /// Makes an error for a database or a server that cannot be reached or used.
    pub(crate) fn unreachable(message: impl Into<String>) -> Self {
        Self {
            exit: Exit::Unreachable,
            message: message.into(),
        }
    }
}

impl fmt::Display for Failed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)
    }
}

impl std::error::Error for Failed {}

/// Prints the error, if there is one, and returns the exit code that it stands for.
#[must_use]
pub(crate) fn conclude(outcome: anyhow::Result<Exit>) -> Exit {
    match outcome {
        Ok(exit) => exit,
        Err(error) if error.is::<ReaderLeft>() => Exit::Done,
        Err(error) => {
            print(&error);
            of_error(&error)
        }
    }
}

/// Prints an error; one that may quote a row of the database stays on its line, whatever the row holds.
fn print(error: &anyhow::Error) {
    let line = one_line(error);
    let quotes_rows = |cause: &(dyn std::error::Error + 'static)| {
        cause.is::<durable_jobs::Error>()
            || cause.is::<Failed>()
            || cause.downcast_ref().and_then(of_fleet).is_some()
    };
    // A line break in these may come from a row: it is made visible and begins no line.
    if error.chain().any(quotes_rows) {
        return output::error(line);
    }
    let mut lines = line.lines();
    output::error(lines.next().unwrap_or_default());
    lines.for_each(output::talk);
}

/// Writes the causes of an error, outermost first, in one line.
///
/// It is `{error:#}` without the repetition of libraries whose message quotes its cause already.
pub(crate) fn one_line(error: &anyhow::Error) -> String {
    let mut line = String::new();
    for cause in error.chain().map(words) {
        if !line.contains(&cause) {
            let separator = if line.is_empty() { "" } else { ": " };
            line = format!("{line}{separator}{cause}");
        }
    }
    line
}

/// The words of one cause; libraries know nothing of our commands and flags, so the way out is named here.
fn words(cause: &(dyn std::error::Error + 'static)) -> String {
    if let Some(words) = cause.downcast_ref().and_then(words_of_engine) {
        return words;
    }
    match cause.downcast_ref().and_then(way_out) {
        Some(way_out) => format!("{cause}; {way_out}"),
        None => cause.to_string(),
    }
}

fn words_of_engine(error: &durable_jobs::Error) -> Option<String> {
    use durable_jobs::Error;
    Some(match error {
        Error::UrlTimeout => {
            let way_out = "leave it out and give --wait-for-database";
            format!(
                "database URL: the parameter \"connect_timeout\" is not supported; {way_out}; \
                 expected postgres://user@host:5432/database"
            )
        }
        Error::NoTables { place } => format!(
            "the database at {place} has no tables of abaci yet; the first submit, serve or fleet makes them"
        ),
        Error::SchemaOlder { place, found, known } => format!(
            "a DBOS application has its tables in the database at {place}, of version {found}, and abaci needs version \
             {known}; let them be updated once with --migrate, or use another database"
        ),
        Error::SchemaNewer { place, found, newest } => format!(
            "the DBOS tables in {place} are of version {found}, and this program works with none after {newest}; \
             give abaci a database of its own by --database-url, or use a newer abaci"
        ),
        Error::NotFound { id } => output::no_such_job(id),
        _ => return None,
    })
}

fn way_out(error: &worker_fleet::Error) -> Option<&'static str> {
    use worker_fleet::Error;
    match error {
        Error::SocketPath { .. } => Some("choose a shorter --data-dir"),
        Error::Directory { .. } => Some("choose another --data-dir"),
        Error::Running { .. } => {
            Some("change it with: abaci fleet scale, or give this one another --data-dir")
        }
        Error::NoSupervisor => Some("start one with: abaci fleet"),
        Error::HealthAddress { .. } => Some("choose another with --health-addr, or none"),
        _ => None,
    }
}

/// Returns the exit code that an error stands for; the outermost cause that has one decides.
pub(crate) fn of_error(error: &anyhow::Error) -> Exit {
    error.chain().find_map(of_cause).unwrap_or(Exit::No)
}

fn of_cause(cause: &(dyn std::error::Error + 'static)) -> Option<Exit> {
    if let Some(failed) = cause.downcast_ref::<Failed>() {
        return Some(failed.exit);
    }
    if let Some(error) = cause.downcast_ref::<durable_jobs::Error>() {
        return Some(of_engine(error));
    }
    if let Some(error) = cause.downcast_ref::<worker_fleet::Error>() {
        return of_fleet(error);
    }
    cause.downcast_ref::<local_postgres::Error>().map(of_postgres)
}

fn of_engine(error: &durable_jobs::Error) -> Exit {
    use durable_jobs::Error;
    match error {
        Error::NotFound { .. } | Error::ArtifactLost { .. } => Exit::No,
        Error::Url { .. }
        | Error::UrlTimeout
        | Error::Input { .. }
        | Error::Timeout
        | Error::Delay
        | Error::Fork { .. }
        | Error::KeyHeld { .. }
        | Error::IdTaken { .. }
        | Error::IdTwice { .. }
        | Error::ExecutorTaken { .. }
        | Error::Host { .. }
        | Error::Artifacts { .. } => Exit::Usage,
        Error::CutShort { cause, .. } => of_engine(cause),
        _ => Exit::Unreachable,
    }
}

fn of_fleet(error: &worker_fleet::Error) -> Option<Exit> {
    use worker_fleet::Error;
    match error {
        Error::SocketPath { .. }
        | Error::Directory { .. }
        | Error::Running { .. }
        | Error::HealthAddress { .. }
        | Error::NoSupervisor
        | Error::NotStarted { code: 2, .. } => Some(Exit::Usage),
        Error::Unreachable { .. } | Error::NotStarted { code: 3, .. } => Some(Exit::Unreachable),
        _ => None,
    }
}

/// A private database that cannot be had for want of a usable directory is a setting to fix; for any other reason it
/// is a database that cannot be reached.
fn of_postgres(error: &local_postgres::Error) -> Exit {
    use local_postgres::Error;
    match error {
        Error::DataDirectory { .. } | Error::Unreachable { .. } | Error::ProgramMissing { .. } => Exit::Usage,
        Error::InUse { .. } => Exit::No,
        _ => Exit::Unreachable,
    }
}

#[cfg(test)]
mod tests {
    use std::io;

    use anyhow::{Context, anyhow};

    use super::*;

    fn exit_of(error: impl Into<anyhow::Error>) -> u8 {
        of_error(&error.into().context("somewhere")).code()
    }

    #[test]
    fn each_kind_of_error_has_its_documented_code() {
        let place = || String::from("localhost/abaci");
        let reason = || String::from("because");
        let unreachable = durable_jobs::Error::Unreachable {
            place: place(),
            reason: reason(),
        };
        let refused = durable_jobs::Error::Refused {
            place: place(),
            reason: reason(),
        };
        assert_eq!(exit_of(unreachable), 3);
        assert_eq!(exit_of(refused), 3);
        assert_eq!(
            exit_of(durable_jobs::Error::SchemaNewer {
                place: "db/abaci".to_owned(),
                found: 999,
                newest: 125
            }),
            3
        );
        assert_eq!(exit_of(durable_jobs::Error::Url { reason: reason() }), 2);
        assert_eq!(exit_of(durable_jobs::Error::NotFound { id: reason() }), 1);
        assert_eq!(exit_of(Failed::usage("n is missing")), 2);
        assert_eq!(exit_of(anyhow!("anything else")), 1);
    }

    #[test]
    fn a_fleets_error_has_its_code_and_names_the_flag_to_change() {
        use worker_fleet::Error;
        let reason = || String::from("no");
        let not_started = |code| Error::NotStarted {
            code,
            reason: reason(),
        };
        assert_eq!([1, 2, 3].map(|code| exit_of(not_started(code))), [1, 2, 3]);
        let busy = || Error::HealthAddress {
            address: ([127, 0, 0, 1], 8080).into(),
            source: io::ErrorKind::AddrInUse.into(),
        };
        assert_eq!(exit_of(busy()), 2);
        let line = one_line(&busy().into());
        assert!(
            line.ends_with("; choose another with --health-addr, or none"),
            "{line}"
        );
    }

    #[test]
    fn a_refusal_of_the_engine_names_our_flags_and_commands() {
        use durable_jobs::Error;
        let place = || String::from("db/abaci");
        let (found, known, newest) = (1, 2, 3);
        for (error, words) in [
            (Error::UrlTimeout, "give --wait-for-database"),
            (
                Error::NoTables { place: place() },
                "the first submit, serve or fleet",
            ),
            (
                Error::SchemaOlder {
                    place: place(),
                    found,
                    known,
                },
                "abaci needs version 2; let them be updated once with --migrate",
            ),
            (
                Error::SchemaNewer {
                    place: place(),
                    found,
                    newest,
                },
                "by --database-url, or use a newer abaci",
            ),
            (Error::NotFound { id: place() }, "see: abaci list"),
        ] {
            let line = one_line(&anyhow::Error::new(error).context("somewhere"));
            assert!(line.contains(words) && !line.contains("::"), "{line}");
        }
    }

    #[test]
    fn a_cause_that_its_library_quotes_is_not_said_twice() {
        let source = io::Error::from(io::ErrorKind::PermissionDenied);
        let quoting = local_postgres::Error::DataDirectory {
            path: "/d".into(),
            source,
        };
        let line = one_line(&anyhow::Error::new(quoting).context("starting"));
        assert!(line.starts_with("starting: cannot use /d"), "{line}");
        assert_eq!(line.matches("permission denied").count(), 1, "{line}");
    }

    #[test]
    fn a_reader_that_left_is_no_failure() {
        let left: Result<Exit, ReaderLeft> = Err(ReaderLeft);
        assert_eq!(conclude(left.context("printing a result")), Exit::Done);
        let lost: Result<Exit, io::Error> = Err(io::ErrorKind::BrokenPipe.into());
        assert_eq!(conclude(lost.context("writing to a fleet")), Exit::No);
    }
}
