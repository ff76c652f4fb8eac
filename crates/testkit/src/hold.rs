//! Holding up the sessions of others at a chosen place in a database, for as long as a value lives.

use crate::database::TestDatabase;
use crate::process::Process;
use crate::psql::{PROGRAMS, try_run};
use crate::wait::eventually;

/// The two numbers of the advisory lock that held sessions wait for; nobody else's lock has two.
const KEY: &str = "7919, 1";

/// Those sessions.
// `objsubid` is 2 for an advisory lock of two numbers, and 1 for one of a single number.
const HELD: &str = "pg_locks where locktype = 'advisory' and not granted and objsubid = 2 \
    and database = (select oid from pg_database where datname = current_database())";

/// Holds whoever inserts certain rows, in the middle of the statement.
///
/// The sessions that it holds end with it: released, they would do what their clients, which may be dead by now, no longer
/// wait for.
#[derive(Debug)]
#[must_use = "it holds only while it lives"]
pub struct InsertHold<'d> {
    database: &'d TestDatabase,
    table: &'static str,
    /// Has the lock that the others wait for; gone before the trigger is dropped.
    session: Option<Process>,
}

/// A table that nobody else can touch; free again when this is dropped, however the test ends.
#[derive(Debug)]
#[must_use = "it locks only while it lives"]
pub struct TableLock {
    _session: Process,
}

impl TestDatabase {
    /// Holds whoever inserts a row into `table` for which `condition` is true; the row is `new` in it.
    ///
    /// # Panics
    /// When there is no such table, or this database has such a hold already.
    #[track_caller]
    pub fn hold_inserts(&self, table: &'static str, condition: &str) -> InsertHold<'_> {
        // The lock comes before the trigger, which would let everybody through until it is taken.
        let session = self.session(&format!("select pg_advisory_lock({KEY})"));
        self.psql(&format!(
            "create or replace function hold() returns trigger language plpgsql as \
             'begin perform pg_advisory_xact_lock_shared({KEY}); return new; end'; \
             create trigger hold before insert on {table} for each row when ({condition}) execute function hold()"
        ));
        InsertHold {
            database: self,
            table,
            session: Some(session),
        }
    }

    /// Keeps everyone else away from `table`, readers too.
    ///
    /// # Panics
    /// When there is no such table, or others keep it for longer than the deadline.
    #[track_caller]
    pub fn lock(&self, table: &str) -> TableLock {
        let lock = format!("begin; lock table {table} in access exclusive mode");
        TableLock {
            _session: self.session(&lock),
        }
    }

    /// Locks the rows of a table that meet a condition until the returned value is dropped.
    ///
    /// # Panics
    /// When the table cannot be locked.
    #[track_caller]
    pub fn lock_rows(&self, table: &str, condition: &str) -> TableLock {
        let lock = format!("begin; select from {table} where {condition} for update");
        TableLock {
            _session: self.session(&lock),
        }
    }

    /// Opens a session that has run these statements and keeps what they took until it is dropped.
    #[track_caller]
    fn session(&self, statements: &str) -> Process {
        let mut command = PROGRAMS.command("psql");
        // At an error psql ends, and the wait for its line panics with what it wrote.
        command.args(["-X", "-q", "-A", "-t", "-v", "ON_ERROR_STOP=1", "-d", self.url()]);
        let mut session = Process::spawn(command);
        session.write_line(&format!("{statements};"));
        session.write_line("\\echo done");
        session.wait_for_line("done");
        session
    }
}

impl InsertHold<'_> {
    /// Waits until somebody is held.
    ///
    /// # Panics
    /// When the deadline passes.
    #[track_caller]
    pub fn await_somebody(&self) {
        eventually("somebody to be held", || {
            self.database.psql(&format!("select count(*) from {HELD}")) != "0"
        });
    }
}

impl Drop for InsertHold<'_> {
    fn drop(&mut self) {
        let run = |statement: &str| {
            if let Err(error) = try_run(self.database.url(), statement) {
                eprintln!("a hold on {} is not taken back in order: {error}", self.table);
            }
        };
        run(&format!("select pg_terminate_backend(pid) from {HELD}"));
        self.session = None;
        run(&format!("drop trigger hold on {}", self.table));
    }
}
