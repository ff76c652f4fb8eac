//! Which database a command uses, and the hold on the private one while it is used.
//!
//! An address that was given is taken as it is. Without one the private PostgreSQL of the data directory is started, or
//! joined where it runs already, and a lease keeps it there for as long as an [`Access`] lives.
//!
//! An [`Access`] does not reconnect anything: connections are the engine's. It only sees to it that the private server
//! comes back when it and its keeper were both killed, and only while [`Access::keep_running`] is held.

use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::Context;
use durable_jobs::client::ClientSettings;
use durable_jobs::database::{Tables, check_url, printable_url};
use durable_jobs::{APPLICATION, Client, JobId};
use local_postgres::{KeeperCommand, KeeperSettings, Lease, Settings};
use tokio::sync::watch;
use tokio::task::JoinHandle;
use tracing::{error, info};
use url::Url;
use worker_fleet::snapshot::PrivateDatabase;

use crate::config::Config;
use crate::work::host_name;

/// How often a long-lived user of the private database looks whether its keeper lives.
const LOOK_INTERVAL: Duration = Duration::from_secs(1);

/// How soon a private database that did not answer is tried again.
const CONNECT_INTERVAL: Duration = Duration::from_millis(100);

/// A database that may be used while this lives.
#[derive(Clone)]
pub struct Access {
    url: String,
    place: String,
    lease: Option<Arc<Lease>>,
}

impl Access {
    /// Settles which database it is, and starts the private one if that is the one.
    ///
    /// # Errors
    /// [`durable_jobs::Error::Url`] for an address that makes no sense, [`local_postgres::Error`] when the private
    /// database cannot be had. An address that was given is not tried here.
    pub async fn open(config: &Config) -> anyhow::Result<Self> {
        if let Some(url) = config.given_database()? {
            return Ok(Self {
                url,
                place: place_of(config),
                lease: None,
            });
        }
        let settings = private_settings(config)?;
        let lease = on_blocking_thread(move || -> Result<Lease, local_postgres::Error> {
            let lease = Lease::acquire(&settings)?;
            lease.ensure_database(APPLICATION)?;
            Ok(lease)
        })
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
    /// As [`Access::open`] and [`Client::connect`].
    pub async fn connect_to_write(config: &Config) -> anyhow::Result<(Self, Client)> {
        let access = Self::open(config).await?;
        let client = access.client_with(config, config.tables()).await?;
        Ok((access, client))
    }

    /// Settles which database it is and connects a client that makes no tables; nothing for a database that nobody has
    /// submitted to or served.
    ///
    /// # Errors
    /// As [`Access::open`] and [`Client::connect`].
    pub async fn connect_if_used(config: &Config) -> anyhow::Result<Option<(Self, Client)>> {
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
    /// As [`Access::open`] and [`Client::connect`]; [`durable_jobs::Error::NotFound`] where there are no tables, and so no
    /// jobs.
    pub async fn connect_to_look(config: &Config, id: &JobId) -> anyhow::Result<(Self, Client)> {
        let connected = Self::connect_if_used(config).await?;
        connected.ok_or_else(|| durable_jobs::Error::NotFound { id: id.to_string() }.into())
    }

    /// The database's address; it may hold a password and is never printed or put among a process's arguments.
    #[must_use]
    pub fn url(&self) -> &str {
        &self.url
    }

    /// The database's address, fit to be shown.
    #[must_use]
    pub fn place(&self) -> &str {
        &self.place
    }

    /// Connects a client, which makes no tables.
    ///
    /// # Errors
    /// As [`Client::connect`].
    pub async fn client(&self, config: &Config) -> Result<Client, durable_jobs::Error> {
        self.client_with(config, Tables::Expect).await
    }

    /// Connects a client that does what it may about missing tables.
    ///
    /// A private server that dies meanwhile is waited for, since its keeper starts it again.
    ///
    /// # Errors
    /// As [`Client::connect`].
    pub async fn client_with(&self, config: &Config, tables: Tables) -> Result<Client, durable_jobs::Error> {
        let settings = ClientSettings {
            queue: config.queue.value.clone(),
            limits: config.limits(),
            tables,
            host: Some(host_name()),
            patience: config.wait_for_database.value.0,
            ..ClientSettings::new(&self.url)
        };
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
    pub fn keep_running(&self) -> KeptRunning {
        let seen = watch::Sender::new(self.lease.as_ref().map(|_| PrivateDatabase::RUNNING));
        KeptRunning {
            seen: seen.subscribe(),
            task: self
                .lease
                .clone()
                .map(|lease| tokio::spawn(look_after(lease, seen))),
        }
    }
}

/// Looks after the private database until it is dropped.
pub struct KeptRunning {
    task: Option<JoinHandle<()>>,
    seen: watch::Receiver<Option<PrivateDatabase>>,
}

impl KeptRunning {
    /// What was seen of the private database last; nothing where another database is used.
    #[must_use]
    pub fn seen(&self) -> watch::Receiver<Option<PrivateDatabase>> {
        self.seen.clone()
    }
}

impl Drop for KeptRunning {
    fn drop(&mut self) {
        if let Some(task) = &self.task {
            task.abort();
        }
    }
}

/// Names the database of this configuration, without user and password.
pub(crate) fn place_of(config: &Config) -> String {
    match &config.database_url.value {
        Some(url) => printable_url(url),
        None => format!("private PostgreSQL in {}", config.postgres_dir().display()),
    }
}

/// How the private database of this configuration is started.
///
/// # Errors
/// When the path of this program cannot be found out, which is what runs the keeper.
pub fn private_settings(config: &Config) -> anyhow::Result<Settings> {
    let program = std::env::current_exe().context("finding the path of this program")?;
    let data_dir = std::path::absolute(&config.data_dir.value).context("finding the data directory")?;
    let mut keeper = KeeperCommand::new(program, ["db", "keep"]).env("ABACI_DATA_DIR", &data_dir);
    if let Some(pg_bin) = &config.pg_bin.value {
        keeper = keeper.env("ABACI_PG_BIN", pg_bin);
    }
    let settings = Settings::new(data_dir.join("postgres"), keeper);
    Ok(Settings {
        bin_dir: config.pg_bin.value.clone(),
        ..settings
    })
}

/// Adds to a failure of the private database the setting that is to blame, if one is.
pub(crate) fn private_failure(config: &Config, error: local_postgres::Error) -> anyhow::Error {
    use local_postgres::Error;
    let (data_dir, pg_bin) = (&config.data_dir, &config.pg_bin);
    let setting = match (&error, &pg_bin.value) {
        (Error::DataDirectory { .. } | Error::Unreachable { .. }, _) => {
            format!("data_dir is {} ({})", data_dir.value.display(), data_dir.source)
        }
        (Error::ProgramMissing { .. }, Some(directory)) => {
            format!("pg_bin is {} ({})", directory.display(), pg_bin.source)
        }
        _ => return anyhow::Error::new(error).context("starting the private database"),
    };
    anyhow::Error::new(error).context(setting)
}

/// How the keeper of this configuration's private database works.
#[must_use]
pub fn keeper_settings(config: &Config) -> KeeperSettings {
    let settings = KeeperSettings::new(config.postgres_dir());
    KeeperSettings {
        bin_dir: config.pg_bin.value.clone(),
        ..settings
    }
}

/// Runs what blocks where it holds nobody up.
pub(crate) async fn on_blocking_thread<T: Send + 'static>(
    work: impl FnOnce() -> T + Send + 'static,
) -> anyhow::Result<T> {
    tokio::task::spawn_blocking(work)
        .await
        .context("running on a blocking thread")
}

/// A database URL without its password, whatever form that has; one that cannot be read is not shown at all.
#[must_use]
pub fn redacted_url(url: &str) -> String {
    let shown = check_url(url).ok().and_then(|()| without_password(url, "***"));
    shown.map_or_else(|| "(cannot be read)".to_owned(), |(shown, _)| shown)
}

/// Splits a database URL into the URL with `placeholder` for a password (none at all where it is empty), and the password.
pub(crate) fn without_password(url: &str, placeholder: &str) -> Option<(String, Option<String>)> {
    let mut parsed = Url::parse(url).ok()?;
    let mut password = parsed.password().map(percent_decoded);
    if password.is_some() {
        parsed
            .set_password(Some(placeholder).filter(|text| !text.is_empty()))
            .ok()?;
    }
    if parsed.query_pairs().any(|(key, _)| key == "password") {
        let pairs: Vec<(String, String)> = parsed.query_pairs().into_owned().collect();
        let kept = pairs.iter().filter(|(key, _)| key != "password");
        password = pairs
            .iter()
            .find(|(key, _)| key == "password")
            .map(|(_, value)| value.clone());
        let kept: Vec<_> = kept.collect();
        parsed.query_pairs_mut().clear().extend_pairs(kept);
    }
    Some((parsed.into(), password))
}

fn percent_decoded(text: &str) -> String {
    let as_query = format!("_={}", text.replace('+', "%2B"));
    url::form_urlencoded::parse(as_query.as_bytes())
        .map(|(_, value)| value.into_owned())
        .collect()
}

/// Shows a private database that cannot be had.
pub(crate) fn lost(error: &local_postgres::Error) -> PrivateDatabase {
    PrivateDatabase {
        removed: matches!(error, local_postgres::Error::Removed { .. }),
        ..PrivateDatabase::down(error)
    }
}

/// Says it once when the private database is lost and once when it is back.
async fn look_after(lease: Arc<Lease>, seen: watch::Sender<Option<PrivateDatabase>>) {
    let mut was_lost = false;
    loop {
        tokio::time::sleep(LOOK_INTERVAL).await;
        let looked = Arc::clone(&lease);
        let now = match on_blocking_thread(move || looked.ensure_running()).await {
            Ok(Ok(())) => PrivateDatabase::RUNNING,
            Ok(Err(error)) => lost(&error),
            Err(error) => PrivateDatabase::down(error),
        };
        match &now.reason {
            None if was_lost => info!("private database runs again"),
            Some(reason) if !was_lost => error!(reason, "private database is down"),
            _ => {}
        }
        was_lost = !now.running;
        seen.send_replace(Some(now));
    }
}

/// Whether `directory` can be written to, found out by writing.
pub(crate) fn check_writable(directory: &Path) -> std::io::Result<()> {
    std::fs::create_dir_all(directory)?;
    let probe = directory.join(format!(".probe-{}", std::process::id()));
    std::fs::write(&probe, b"")?;
    std::fs::remove_file(&probe)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_password_is_never_shown() {
        let with_user = "postgres://ada:s3cr%2Bt@db.example:5432/abaci?sslmode=require";
        assert_eq!(
            redacted_url(with_user),
            "postgres://ada:***@db.example:5432/abaci?sslmode=require"
        );
        assert!(!redacted_url("postgres:///abaci?host=/run&password=s3cret").contains("s3cret"));
        assert!(!redacted_url("not a url with s3cret").contains("s3cret"));
    }

    #[test]
    fn the_password_can_be_told_apart_from_the_rest() {
        let (url, password) = without_password("postgres://ada:s3cr%2Bt@db/abaci", "").unwrap();
        assert_eq!(
            (url.as_str(), password.as_deref()),
            ("postgres://ada@db/abaci", Some("s3cr+t"))
        );
    }

    #[test]
    fn the_address_of_a_private_database_stays_as_it_is() {
        let url = "postgres:///abaci?host=%2Frun%2Fabaci&port=5432&user=postgres";
        assert_eq!(without_password(url, "").unwrap(), (url.to_owned(), None));
    }
}
