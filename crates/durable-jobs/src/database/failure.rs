//! Telling what passes by itself from what does not.
//!
//! A connection that breaks and a server that stops, or has none left, pass: whoever starts then waits and tries again.
//! A statement that the server has understood and refused does not.
//! It goes by SQLSTATE, or by what the driver says where the server has said nothing; by the text of a
//! message only where a pooler refuses a parameter of the start.

use std::fmt::Display;

use dbos::sysdb;
use dbos::sysdb::BackendErrorKind;
use dbos::sysdb::migrations::runner::MigrateError;
use sqlx::error::DatabaseError;

use super::Address;
use crate::Error;

impl Address {
    /// Why no connection could be made.
    pub(super) fn refusal(&self, error: &sqlx::Error) -> Error {
        match error {
            // Before the refusals: a full disk is an error of the database, too, and no outage by its code.
            _ if is_out_of_room(error) => self.full(words(error)),
            sqlx::Error::Database(said) if says_startup_parameter(said.message()) => {
                let way_out = "let the pooler pass it over: ignore_startup_parameters = extra_float_digits";
                self.unsuitable(format!("{}; {way_out}", said.message()))
            }
            sqlx::Error::Database(said) if !is_broken(error) => Error::Refused {
                place: self.place.clone(),
                reason: said.message().to_owned(),
            },
            _ => self.unreachable(words(error)),
        }
    }

    /// Why a statement over a connection failed.
    pub(crate) fn failure(&self, operation: &'static str, error: &sqlx::Error) -> Error {
        if is_out_of_room(error) {
            return self.full(words(error));
        }
        self.of(operation, is_broken(error), words(error))
    }

    /// Why the engine failed.
    pub(crate) fn engine_failure(&self, operation: &'static str, error: &dbos::Error) -> Error {
        let is_broken = match error {
            dbos::Error::SystemDatabase(sysdb::Error::Backend(said)) => match &said.sqlstate {
                // The code counts more than the kind: by that, the engine takes the classes 53 and 57 for
                // a lost connection, and so a full disk and a statement that was cancelled.
                Some(code) => is_passing(code),
                None => said.kind == BackendErrorKind::Connection,
            },
            _ => false,
        };
        self.of(operation, is_broken, error)
    }

    /// Why the engine's tables could not be made.
    pub(super) fn migration_failure(&self, operation: &'static str, error: &MigrateError) -> Error {
        let is_broken = match error {
            MigrateError::Database(cause) | MigrateError::Migration { source: cause, .. } => is_broken(cause),
            _ => false,
        };
        self.of(operation, is_broken, error)
    }

    pub(super) fn full(&self, reason: String) -> Error {
        Error::Full {
            place: self.place.clone(),
            reason,
        }
    }

    fn of(&self, operation: &'static str, is_broken: bool, error: impl Display) -> Error {
        let reason = error.to_string();
        if is_broken {
            return self.unreachable(reason);
        }
        Error::Database { operation, reason }
    }
}

/// Says in the server's words why a statement failed, without the line of the server's own source.
pub(super) fn words(error: &sqlx::Error) -> String {
    match error.as_database_error() {
        Some(said) => said.message().to_owned(),
        None => error.to_string(),
    }
}

/// The SQLSTATE of a statement that would write where nothing can be written, as after a failover.
const READ_ONLY: &str = "25006";

/// The SQLSTATE of a server whose disk is full.
const DISK_FULL: &str = "53100";

/// Tells whether the server had no room for what was asked, or for a session.
fn is_out_of_room(error: &sqlx::Error) -> bool {
    has_code(error, DISK_FULL)
}

/// Tells whether a pooler refuses what the driver of the engine asks for at the beginning of every session.
fn says_startup_parameter(message: &str) -> bool {
    message.contains("unsupported startup parameter")
}

/// The SQLSTATE of a server, role or database that allows no further connection.
const TOO_MANY_CONNECTIONS: &str = "53300";

/// Tells whether no connection could be made because all that are allowed are in use.
pub(super) fn is_full(error: &sqlx::Error) -> bool {
    has_code(error, TOO_MANY_CONNECTIONS)
}

/// Tells whether a session cannot write any more, as one that outlived the role of its server.
pub(crate) fn is_read_only(error: &sqlx::Error) -> bool {
    has_code(error, READ_ONLY)
}

fn has_code(error: &sqlx::Error, sqlstate: &str) -> bool {
    let code = error.as_database_error().and_then(DatabaseError::code);
    code.is_some_and(|code| code == sqlstate)
}

/// Tests whether the connection broke, or none could be had.
pub(crate) fn is_broken(error: &sqlx::Error) -> bool {
    match error {
        sqlx::Error::Database(said) => said.code().is_some_and(|code| is_passing(&code)),
        sqlx::Error::Io(_) | sqlx::Error::Tls(_) | sqlx::Error::PoolTimedOut | sqlx::Error::PoolClosed => {
            true
        }
        _ => false,
    }
}

/// Tests whether a SQLSTATE says that the connection is gone, that the server starts, stops or has ended the session, that
/// it has no connection left, or that it is no longer the one that can be written to.
///
/// 08P01, a violation of the protocol, is of the same class and does not pass; poolers say with it that there is no such
/// database.
fn is_passing(code: &str) -> bool {
    (code.starts_with("08") && code != "08P01")
        || code.starts_with("57P")
        || matches!(code, TOO_MANY_CONNECTIONS | READ_ONLY)
}

/// An error of either driver as text, where a question mixes both.
pub(crate) fn text(error: impl std::fmt::Display) -> String {
    error.to_string()
}

#[cfg(test)]
mod tests {
    use dbos::sysdb::BackendError;

    use super::*;

    fn of_the_engine(sqlstate: Option<&str>, kind: BackendErrorKind) -> Error {
        let address = Address::parse("postgres://ada@db.example/jobs").unwrap();
        let said = BackendError {
            message: "said".to_owned(),
            sqlstate: sqlstate.map(str::to_owned),
            kind,
        };
        let error = dbos::Error::SystemDatabase(sysdb::Error::Backend(said));
        address.engine_failure("starting the engine", &error)
    }

    #[test]
    fn outages_are_told_by_the_code_or_by_the_driver() {
        for passing in ["08006", "57P01", "57P02", "57P03", "53300", "25006"] {
            assert!(is_passing(passing), "{passing}");
        }
        // A violation of the protocol, a cancelled statement, a full disk, a missing right, a missing table.
        for lasting in ["08P01", "57014", "53100", "42501", "42P01"] {
            assert!(!is_passing(lasting), "{lasting}");
        }
        assert!(is_broken(&sqlx::Error::PoolTimedOut) && !is_broken(&sqlx::Error::RowNotFound));
    }

    #[test]
    fn only_a_lost_connection_of_the_engine_is_an_outage() {
        use BackendErrorKind::{Connection, Permanent};
        for (sqlstate, kind) in [(None, Connection), (Some("57P01"), Connection)] {
            let error = of_the_engine(sqlstate, kind);
            assert!(matches!(error, Error::Unreachable { .. }), "{error:?}");
        }
        for (sqlstate, kind) in [(None, Permanent), (Some("57014"), Connection)] {
            let error = of_the_engine(sqlstate, kind);
            assert!(matches!(error, Error::Database { .. }), "{error:?}");
        }
    }
}
