//! The database of a command, and the hold on the private one while it is used.
//!
//! An address that was given is taken as it is. Without one the private PostgreSQL of the data directory is started, or
//! joined where it runs already, and a lease keeps it there for as long as a [`DatabaseAccess`] lives.
//!
//! A [`DatabaseAccess`] does not reconnect anything: connections are the engine's. It only sees to it that the private server
//! comes back when it and its keeper were both killed, and only while [`DatabaseAccess::keep_running`] is held.

use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::Context;
use durable_jobs::client::ClientSettings;
use durable_jobs::database::{Tables, printable_url};
use durable_jobs::{APPLICATION, Client, JobId};
use fibonacci_jobs::client_types;
use local_postgres::{Health, KeeperCommand, KeeperSettings, Lease, Settings};
use tokio::sync::watch;
use tokio::task::JoinSet;
use tracing::{error, info, warn};
use worker_fleet::snapshot::PrivateDatabase;

use crate::config::{Config, Layer};
use crate::this_process::{self, host_name};

/// Interval at which a long-lived user of the private database looks whether its keeper lives.
const LOOK_INTERVAL: Duration = Duration::from_secs(1);

/// Pause before a private database that did not answer is tried again.
const CONNECT_INTERVAL: Duration = Duration::from_millis(100);

/// A database that may be used while this lives.
#[derive(Clone)]
pub(crate) struct DatabaseAccess {
    url: String,
    place: String,
    lease: Option<Arc<Lease>>,
}

impl DatabaseAccess {
    /// Settles which database it is, and starts the private one if that is the one.
    ///
    /// # Errors
    /// [`durable_jobs::Error::Url`] for an address that makes no sense, [`local_postgres::Error`] when the private
    /// database cannot be had. An address that was given is not tried here.
    pub(crate) async fn open(config: &Config) -> anyhow::Result<Self> {
        let acquire = |settings: &Settings| {
            let lease = Lease::acquire(settings)?;
            lease.ensure_database(APPLICATION)?;
            Ok(lease)
        };
        Self::settle(config, acquire).await
    }

    /// Settles which database it is, and has the private one started if that is the one; no connection is made to it.
    ///
    /// It is for a supervisor, which keeps the database for its workers.
    ///
    /// # Errors
    /// As [`DatabaseAccess::open`].
    pub(crate) async fn join(config: &Config) -> anyhow::Result<Self> {
        Self::settle(config, Lease::join).await
    }

    async fn settle(
        config: &Config,
        lease: impl FnOnce(&Settings) -> Result<Lease, local_postgres::Error> + Send + 'static,
    ) -> anyhow::Result<Self> {
        if let Some(url) = config.given_database()? {
            return Ok(Self {
                url,
                place: place_of(config),
                lease: None,
            });
        }
        let settings = private_settings(config)?;
        let lease = on_blocking_thread(move || lease(&settings))
            .await?
            .map_err(|error| private_failure(config, error))?;
        Ok(Self {
            url: lease.url(APPLICATION),
            place: place_of(config),
            lease: Some(Arc::new(lease)),
        })
    }

    /// Settles which database it is and connects a client that makes tables where there are none.
    ///
    /// # Errors
    /// As [`DatabaseAccess::open`] and [`Client::connect`].
    pub(crate) async fn connect_to_write(config: &Config) -> anyhow::Result<(Self, Client)> {
        let access = Self::open(config).await?;
        let client = access.client_with(config, config.tables()).await?;
        Ok((access, client))
    }

    /// Settles which database it is and connects a client that makes no tables; nothing for a database that nobody has
    /// submitted to or served.
    ///
    /// # Errors
    /// As [`DatabaseAccess::open`] and [`Client::connect`].
    pub(crate) async fn connect_if_used(config: &Config) -> anyhow::Result<Option<(Self, Client)>> {
        let access = Self::open(config).await?;
        match access.client(config).await {
            Ok(client) => Ok(Some((access, client))),
            Err(durable_jobs::Error::NoTables { .. }) => Ok(None),
            Err(error) => Err(error.into()),
        }
    }

    /// Settles which database it is and connects a client that looks for this job there, and makes no tables.
    ///
    /// # Errors
    /// As [`DatabaseAccess::open`] and [`Client::connect`]; [`durable_jobs::Error::NotFound`] where there are no tables, and so no
    /// jobs.
    pub(crate) async fn connect_to_look(config: &Config, id: &JobId) -> anyhow::Result<(Self, Client)> {
        let connected = Self::connect_if_used(config).await?;
        connected.ok_or_else(|| durable_jobs::Error::NotFound { id: id.to_string() }.into())
    }

    /// Returns the database's address; it may hold a password and is never printed or put among a process's arguments.
    pub(crate) fn url(&self) -> &str {
        &self.url
    }

    /// Returns the database's address, fit to be shown.
    pub(crate) fn place(&self) -> &str {
        &self.place
    }

    /// Connects a client, which makes no tables.
    ///
    /// # Errors
    /// As [`Client::connect`].
    pub(crate) async fn client(&self, config: &Config) -> Result<Client, durable_jobs::Error> {
        self.client_with(config, Tables::Expect).await
    }

    /// Connects a client that does what it may about missing tables.
    ///
    /// A private server that dies meanwhile is waited for, since its keeper starts it again.
    ///
    /// # Errors
    /// As [`Client::connect`].
    pub(crate) async fn client_with(
        &self,
        config: &Config,
        tables: Tables,
    ) -> Result<Client, durable_jobs::Error> {
        let settings = ClientSettings {
            patience: config.wait_for_database.value.0,
            ..client_settings(config, &self.url, tables)
        };
        // The client spends this on a server without a free connection, the loop on a private one that died.
        let deadline = Instant::now() + settings.patience;
        loop {
            match Box::pin(Client::connect(settings.clone())).await {
                Err(durable_jobs::Error::Unreachable { .. })
                    if self.lease.is_some() && Instant::now() < deadline =>
                {
                    tokio::time::sleep(CONNECT_INTERVAL).await;
                }
                connected => return connected,
            }
        }
    }

    /// Brings the private database back whenever it and its keeper are gone, until the returned guard is dropped.
    #[must_use]
    pub(crate) fn keep_running(&self) -> KeptRunning {
        let look = |lease: &Lease| lease.ensure_running().map(|()| Health::Ready);
        self.looked_after(PrivateDatabase::RUNNING, look)
    }

    /// Does the same for a supervisor, which waits for no server and connects to none.
    #[must_use]
    pub(crate) fn keep_keeper_running(&self) -> KeptRunning {
        self.looked_after(PrivateDatabase::down("it is being started"), Lease::keep_alive)
    }

    fn looked_after(&self, begins: PrivateDatabase, look: LeaseLook) -> KeptRunning {
        let seen = watch::Sender::new(self.lease.as_ref().map(|_| begins));
        let mut kept = KeptRunning {
            seen: seen.subscribe(),
            looking: JoinSet::new(),
            _lease: self.lease.clone(),
        };
        if let Some(lease) = self.lease.clone() {
            kept.looking.spawn(look_after(lease, look, seen));
        }
        kept
    }
}

/// One look at the private database, which may bring it back.
type LeaseLook = fn(&Lease) -> Result<Health, local_postgres::Error>;

/// Looks after the private database until it is dropped.
pub(crate) struct KeptRunning {
    seen: watch::Receiver<Option<PrivateDatabase>>,
    /// Ends with this.
    looking: JoinSet<()>,
    _lease: Option<Arc<Lease>>,
}

impl KeptRunning {
    /// Watches the state of the private database; nothing where another database is used.
    pub(crate) fn seen(&self) -> watch::Receiver<Option<PrivateDatabase>> {
        self.seen.clone()
    }
}

/// Returns the settings of a client of the database at this address.
pub(crate) fn client_settings(config: &Config, url: &str, tables: Tables) -> ClientSettings {
    ClientSettings {
        queue: config.queue.value.clone(),
        tables,
        host: Some(host_name()),
        ..ClientSettings::new(url, client_types(config.limits()))
    }
}

/// Names the database of this configuration, without user and password.
pub(crate) fn place_of(config: &Config) -> String {
    match &config.database_url.value {
        Some(url) => printable_url(url),
        None => format!("private PostgreSQL in {}", config.postgres_dir().display()),
    }
}

/// Returns the settings with which the private database of this configuration is started.
///
/// # Errors
/// An error when the path of this program, which runs the keeper, cannot be found out.
fn private_settings(config: &Config) -> anyhow::Result<Settings> {
    let program = this_process::path()?;
    // The keeper leaves this directory, and a relative path would be another one there.
    let data_dir = std::path::absolute(&config.data_dir.value).context("finding the data directory")?;
    let layer = Layer {
        data_dir: Some(data_dir.clone()),
        pg_bin: config.pg_bin.value.clone(),
        ..Layer::default()
    };
    let keeper = KeeperCommand::new(program, ["db", "keep"]);
    let variables = layer.to_environment().into_iter();
    let keeper = variables.fold(keeper, |keeper, (name, value)| keeper.env(name, value));
    let settings = Settings::new(data_dir.join("postgres"), keeper);
    Ok(Settings {
        bin_dir: config.pg_bin.value.clone(),
        ..settings
    })
}

/// Adds to a failure of the private database the setting that is to blame, if one is.
fn private_failure(config: &Config, error: local_postgres::Error) -> anyhow::Error {
    use local_postgres::Error;
    let (data_dir, pg_bin) = (&config.data_dir, &config.pg_bin);
    let setting = match (&error, &pg_bin.value) {
        (Error::DataDirectory { .. } | Error::Unreachable { .. }, _) => {
            data_dir.named(data_dir.value.display())
        }
        (Error::ProgramMissing { .. }, Some(directory)) => pg_bin.named(directory.display()),
        _ => return anyhow::Error::new(error).context("starting the private database"),
    };
    anyhow::Error::new(error).context(setting)
}

/// Returns the settings of the keeper of this configuration's private database.
pub(crate) fn keeper_settings(config: &Config) -> KeeperSettings {
    let settings = KeeperSettings::new(config.postgres_dir());
    KeeperSettings {
        bin_dir: config.pg_bin.value.clone(),
        ..settings
    }
}

/// Runs blocking work on a thread of its own, where it delays nothing.
pub(crate) async fn on_blocking_thread<T: Send + 'static>(
    work: impl FnOnce() -> T + Send + 'static,
) -> anyhow::Result<T> {
    tokio::task::spawn_blocking(work)
        .await
        .context("running on a blocking thread")
}

/// Shows a private database that cannot be had.
fn lost(error: &local_postgres::Error) -> PrivateDatabase {
    PrivateDatabase {
        removed: matches!(error, local_postgres::Error::Removed { .. }),
        ..PrivateDatabase::down(error)
    }
}

/// Looks again and again, publishes what it sees, and logs once when the database is lost and once when it is back.
async fn look_after(lease: Arc<Lease>, look: LeaseLook, seen: watch::Sender<Option<PrivateDatabase>>) {
    let mut before = seen.borrow().clone().unwrap_or(PrivateDatabase::RUNNING);
    // One that has just been asked for need not run yet.
    let mut was_lost = false;
    loop {
        let looked = Arc::clone(&lease);
        let now = match on_blocking_thread(move || look(&looked)).await {
            Ok(Ok(Health::Ready)) => PrivateDatabase::RUNNING,
            Ok(Ok(Health::NotReady)) => PrivateDatabase::down("it is being started, or stopped"),
            Ok(Err(error)) => lost(&error),
            Err(error) => PrivateDatabase::down(error),
        };
        match &now.reason {
            None if was_lost => info!("private database runs again"),
            // Before the warning: one that was removed is not started again, and that is an error.
            Some(reason) if now.removed && !before.removed => error!(reason, "private database is gone"),
            Some(reason) if before.running => warn!(reason, "private database does not run"),
            _ => {}
        }
        was_lost = !now.running && (was_lost || before.running || now.removed);
        before = now.clone();
        seen.send_replace(Some(now));
        tokio::time::sleep(LOOK_INTERVAL).await;
    }
}

/// Tries whether `directory` can be written to, by writing.
pub(crate) fn check_writable(directory: &Path) -> std::io::Result<()> {
    std::fs::create_dir_all(directory)?;
    // Named by this process, so that two checks at once do not remove each other's file.
    let probe = directory.join(format!(".probe-{}", std::process::id()));
    std::fs::write(&probe, b"")?;
    std::fs::remove_file(&probe)
}
