//! A database per test, on one server that all tests of a user share.
//!
//! The server's cluster stays from run to run, which saves its making; the server itself ends a few seconds after the
//! last test. A database that a killed test left is dropped by the next test process, which knows by the
//! pid in its name that its owner is gone.

use std::collections::BTreeMap;
use std::fs;
use std::os::unix::fs::MetadataExt;
use std::sync::OnceLock;
use std::sync::atomic::{AtomicU32, Ordering};

use local_postgres::{KeeperSettings, Lease, Settings};

use crate::process::is_alive;
use crate::psql;
use crate::temp_dir::place_for_clusters;
use crate::{child, psql::try_run};

/// Names a server to use in the place of the shared one: `postgres:///postgres?host=…&user=postgres`, as
/// `scripts/postgres-versions` does.
const SERVER: &str = "ABACI_TEST_SERVER";

// A static is never dropped: the kernel releases the lease when the test process ends.
static LEASE: OnceLock<Lease> = OnceLock::new();
static NEXT: AtomicU32 = AtomicU32::new(0);

/// An empty database of the test's own; dropped with the value, open connections or not.
///
/// The test binary must declare [`child_process!`](crate::child_process) at its root.
#[derive(Debug)]
pub struct TestDatabase {
    name: String,
    url: String,
    maintenance_url: String,
}

impl TestDatabase {
    /// Creates a database; the first call of a process may start the server.
    ///
    /// # Panics
    /// When the server does not start or does not create it.
    #[must_use]
    pub fn create() -> Self {
        let name = format!(
            "test_{}_{}",
            std::process::id(),
            NEXT.fetch_add(1, Ordering::Relaxed)
        );
        if let Ok(url) = std::env::var(SERVER) {
            let url = |database: &str| url.replacen("/postgres?", &format!("/{database}?"), 1);
            psql::run(&url("postgres"), &format!("create database \"{name}\""));
            return Self::at(url, name);
        }
        let lease = LEASE.get_or_init(lease);
        lease
            .ensure_running()
            .unwrap_or_else(|error| panic!("the tests' server does not run: {error}"));
        lease
            .ensure_database(&name)
            .unwrap_or_else(|error| panic!("cannot create database {name}: {error}"));
        Self::at(|database| lease.url(database), name)
    }

    fn at(url: impl Fn(&str) -> String, name: String) -> Self {
        Self {
            url: url(&name),
            maintenance_url: url("postgres"),
            name,
        }
    }

    /// Returns the URL, which names the superuser `postgres`.
    #[must_use]
    pub fn url(&self) -> &str {
        &self.url
    }

    /// Returns the name.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Runs statements and returns their rows, one a line, columns separated by `|`.
    ///
    /// # Panics
    /// With psql's standard error when a statement fails.
    #[track_caller]
    pub fn psql(&self, statements: &str) -> String {
        psql::run(&self.url, statements)
    }

    /// Inserts a row of `usual` columns and `others`, which go before them: names, and values as SQL expressions.
    ///
    /// # Panics
    /// As [`TestDatabase::psql`].
    #[track_caller]
    pub fn insert(&self, table: &str, usual: &[(&str, &str)], others: &[(&str, &str)]) {
        // Of two columns with one name, a map keeps the later.
        let row: BTreeMap<&str, &str> = usual.iter().chain(others).copied().collect();
        let names = row.keys().copied().collect::<Vec<_>>().join(", ");
        let values = row.values().copied().collect::<Vec<_>>().join(", ");
        self.psql(&format!("insert into {table} ({names}) values ({values})"));
    }
}

impl Drop for TestDatabase {
    fn drop(&mut self) {
        if let Err(error) = drop_database(&self.maintenance_url, &self.name) {
            eprintln!("database {} stays until the next test run: {error}", self.name);
        }
    }
}

fn drop_database(maintenance_url: &str, name: &str) -> Result<String, String> {
    try_run(
        maintenance_url,
        &format!("drop database if exists \"{name}\" with (force)"),
    )
}

fn lease() -> Lease {
    let data_dir = place_for_clusters().join(format!("testkit-{}", rustix::process::geteuid().as_raw()));
    let keeper = child::keeper(&KeeperSettings::new(&data_dir));
    let lease = Lease::acquire(&Settings::new(&data_dir, keeper)).unwrap_or_else(|error| {
        panic!(
            "the tests' server does not start: {error}\n(is child_process! at the root of this test binary?)"
        )
    });
    // The place is open to all, so another account may have made a directory of this name.
    let owner = fs::metadata(&data_dir).expect("the lease has just used it").uid();
    assert_eq!(
        owner,
        rustix::process::geteuid().as_raw(),
        "{} belongs to somebody else",
        data_dir.display()
    );
    sweep(&lease.url("postgres"));
    lease
}

/// Drops the databases of test processes that were killed; one of another sweeper's going first is no error.
fn sweep(maintenance_url: &str) {
    let all = psql::run(
        maintenance_url,
        r"select datname from pg_database where datname like 'test\_%'",
    );
    for name in all.lines() {
        let owner = name.split('_').nth(1).and_then(|pid| pid.parse().ok());
        if owner.is_some_and(|pid| !is_alive(pid)) {
            let _ = drop_database(maintenance_url, name);
        }
    }
}
