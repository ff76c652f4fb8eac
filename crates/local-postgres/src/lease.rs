//! A user's hold on the server.

use std::path::{Path, PathBuf};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use crate::error::Error;
use crate::lock::Lock;
use crate::log;
use crate::place::{PORT, Place};
use crate::removal::Watch;
use crate::server;
use crate::settings::Settings;
use crate::start::{self, Starter};
use crate::wait::{self, Deadline};
use crate::wire::{self, Session};

/// The longest that one answer of the server may take while we wait for it; a loaded one is asked again.
const ANSWER: Duration = Duration::from_secs(2);

/// The longest that a join waits for a keeper that lives, or for the reason why it does not, on a machine that is very busy.
const FIRST_KEEPER: Duration = Duration::from_secs(5);

/// The longest that a later look waits for a new keeper; one that takes longer is seen by the next look.
const NEXT_KEEPER: Duration = Duration::from_secs(1);

/// The longest that creating a database may take.
const CREATE_DATABASE: Duration = Duration::from_mins(1);

/// Keeps the server running; released on drop, and by the kernel when the process is killed.
///
/// Children of the process do not inherit it.
#[derive(Debug)]
pub struct Lease {
    settings: Settings,
    place: Place,
    socket_dir: PathBuf,
    /// The keepers that this lease started without waiting for their server.
    starter: Mutex<Starter>,
    /// The files that this lease began with.
    watch: Mutex<Watch>,
    // Released after `drop` has run, which may still start a keeper.
    _users_lock: Lock,
}

/// The state of the server, as seen without a question to it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Health {
    /// It has declared itself ready, and its process lives.
    Ready,
    /// A keeper starts it, or somebody stops it.
    NotReady,
}

impl Lease {
    /// Registers a user and returns when the server answers: one that runs, or else one that is started.
    ///
    /// While a predecessor is being stopped it waits for the end of that, and starts a fresh server. It blocks for up to
    /// [`Settings::start_timeout`]; about 1 s is usual for the first start, 0.2 s for later ones, 5 ms for a server that
    /// runs. From an async task call it on a blocking thread.
    ///
    /// # Errors
    /// All of [`Error`] except those of statements; the message names the way out.
    pub fn acquire(settings: &Settings) -> Result<Lease, Error> {
        let deadline = Deadline::after(settings.start_timeout);
        // The users' lock is taken first: a keeper that finds neither a user nor a server ends at once.
        let lease = Self::register(settings, deadline)?;
        lease.wait_for_server(deadline)?;
        Ok(lease)
    }

    /// Registers a user and returns when a keeper lives, which starts the server; no connection is made to it, then or
    /// later.
    ///
    /// It is for a process that keeps the server for others and must not depend on its answers; what goes wrong later
    /// shows in [`Lease::keep_alive`]. Only while a predecessor is being stopped does it wait for the end of that, for up
    /// to [`Settings::start_timeout`]; otherwise for the keeper, which takes about 20 ms and never more than five seconds.
    ///
    /// # Errors
    /// What shows at once: a data directory that cannot be used, programs or an account that are missing, a keeper that
    /// does not start; [`Error::TimedOut`] when the predecessor does not end.
    pub fn join(settings: &Settings) -> Result<Lease, Error> {
        let lease = Self::register(settings, Deadline::after(settings.start_timeout))?;
        lease.ensure_keeper(FIRST_KEEPER)?;
        Ok(lease)
    }

    /// Makes sure that a keeper lives and the server is ready, and starts what is not.
    ///
    /// It is cheap when all is well (two small files are read, no connection is made), so a long-lived user calls it
    /// every few seconds and after every lost connection: nobody else restarts a keeper and a server that were both
    /// killed. A server that died under a living keeper is started by that keeper; this then waits for it, for up to
    /// [`Settings::start_timeout`].
    ///
    /// # Errors
    /// As [`Lease::acquire`]; [`Error::Removed`] when the database is no longer the one that this lease began with.
    pub fn ensure_running(&self) -> Result<(), Error> {
        self.check_not_removed()?;
        if self.place.has_keeper()? && server::looks_ready(&self.place) {
            return Ok(());
        }
        self.wait_for_server(Deadline::after(self.settings.start_timeout))
    }

    /// Makes sure that a keeper lives, and says how the server looks; it neither waits for the server nor connects to it.
    ///
    /// A long-lived user of [`Lease::join`] calls it every second: a server that died is started again by its keeper, and
    /// a keeper that died by this. It is cheap when a keeper lives (two small files are read); when one must be started
    /// it blocks until that lives, for up to a second. From an async task call it on a blocking thread.
    ///
    /// It does not promise that the server answers: a process that hangs looks ready.
    ///
    /// # Errors
    /// As [`Lease::join`]; [`Error::StartFailed`] with the server's words when the last keeper that was started here gave
    /// up, after which the next call starts another; [`Error::Removed`] when the database is no longer the one that this
    /// lease began with.
    pub fn keep_alive(&self) -> Result<Health, Error> {
        self.check_not_removed()?;
        self.ensure_keeper(NEXT_KEEPER)?;
        Ok(if server::looks_ready(&self.place) {
            Health::Ready
        } else {
            Health::NotReady
        })
    }

    /// Creates the database unless it is there; two callers at once both succeed.
    ///
    /// A server that is killed meanwhile is waited for, for up to [`Settings::start_timeout`].
    ///
    /// # Errors
    /// [`Error::Refused`] with PostgreSQL's reason, [`Error::NoAnswer`] when the server dies again and again; as
    /// [`Lease::acquire`] when it does not come back.
    pub fn ensure_database(&self, name: &str) -> Result<(), Error> {
        let deadline = Deadline::after(self.settings.start_timeout);
        loop {
            match self.create_database(name) {
                Err(error) if is_passing(&error) && !deadline.has_passed() => {
                    self.wait_for_server(deadline)?;
                }
                created => return created,
            }
        }
    }

    fn create_database(&self, name: &str) -> Result<(), Error> {
        let socket = self.place.socket();
        // PostgreSQL has no `create database if not exists`: a session shows whether the database is there.
        let opened = Session::open(&socket, name, CREATE_DATABASE).map(drop);
        if !matches!(&opened, Err(Error::Refused { sqlstate, .. }) if sqlstate == wire::NO_SUCH_DATABASE) {
            return opened;
        }
        let mut session = Session::open(&socket, wire::MAINTENANCE_DATABASE, CREATE_DATABASE)?;
        let statement = format!("create database \"{}\"", name.replace('"', "\"\""));
        match session.execute(&statement) {
            // Somebody else was faster: "duplicate database", or the unique index that stands behind it.
            Err(Error::Refused { sqlstate, .. }) if ["42P04", "23505"].contains(&sqlstate.as_str()) => Ok(()),
            other => other,
        }
    }

    /// Returns the URL of a database, for libpq, sqlx and their like.
    ///
    /// Its form is `postgres:///abaci?host=/path/to/socket&port=5432&user=postgres`, percent-encoded.
    #[must_use]
    pub fn url(&self, database: &str) -> String {
        let host = percent_encoded(self.socket_dir.as_os_str().as_encoded_bytes());
        format!(
            "postgres:///{}?host={host}&port={PORT}&user={}",
            percent_encoded(database.as_bytes()),
            wire::USER
        )
    }

    /// Returns the directory of the server's socket.
    #[must_use]
    pub fn socket_dir(&self) -> &Path {
        &self.socket_dir
    }

    /// Returns the file in which the server and its keeper log.
    #[must_use]
    pub fn log(&self) -> PathBuf {
        self.place.log()
    }

    /// Takes the users' lock.
    fn register(settings: &Settings, deadline: Deadline) -> Result<Lease, Error> {
        let place = Place::create(&settings.data_dir)?;
        place.check_not_removed()?;
        let users_lock = deadline.poll(|| Lock::try_shared(&place.users_lock()))?;
        let Some(users_lock) = users_lock else {
            return Err(timed_out("the end of the previous server", deadline, &place));
        };
        Ok(Lease {
            settings: settings.clone(),
            socket_dir: place.socket_dir(),
            starter: Mutex::new(Starter::new(settings, &place)),
            // The id is that of the open file: by now its name may belong to another one.
            watch: Mutex::new(Watch::new(&place, users_lock.file_id()?)),
            place,
            _users_lock: users_lock,
        })
    }

    fn check_not_removed(&self) -> Result<(), Error> {
        self.watch().check()
    }

    fn watch(&self) -> MutexGuard<'_, Watch> {
        // What it remembers is whole after every assignment.
        self.watch.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn ensure_keeper(&self, patience: Duration) -> Result<(), Error> {
        // A panic leaves at most a keeper that nobody judges.
        let mut starter = self.starter.lock().unwrap_or_else(PoisonError::into_inner);
        starter.ensure_keeper(patience)
    }

    /// Waits for a keeper and a server that answers, and starts keepers as needed.
    fn wait_for_server(&self, deadline: Deadline) -> Result<(), Error> {
        let mut starter = Starter::new(&self.settings, &self.place);
        loop {
            // This comes before a keeper is started: it holds the place of files that are gone,
            // so that no keeper makes new ones there.
            self.check_not_removed()?;
            if !self.place.has_keeper()? {
                starter.start()?;
            } else if self.answers()? {
                return Ok(());
            } else {
                starter.keeper_lives();
            }
            if deadline.has_passed() {
                return Err(timed_out("starting PostgreSQL", deadline, &self.place));
            }
            wait::pause();
        }
    }

    /// Says whether the server answers, and that on a socket which nobody else can have made.
    fn answers(&self) -> Result<bool, Error> {
        // Before the server is ready, its directories may be missing and each try to connect
        // is an error in its log.
        if !server::looks_ready(&self.place) {
            return Ok(false);
        }
        self.place.check_socket_dir()?;
        Ok(wire::answers(&self.place.socket(), ANSWER))
    }
}

/// Tells an error that a server which died, or was just starting, may have caused.
fn is_passing(error: &Error) -> bool {
    match error {
        Error::NoAnswer { .. } => true,
        // It shuts down, has crashed, or starts.
        Error::Refused { sqlstate, .. } => matches!(sqlstate.as_str(), "57P01" | "57P02" | "57P03"),
        _ => false,
    }
}

impl Drop for Lease {
    /// Leaves a keeper behind when the server runs without one: it stops the server if we were its last user.
    fn drop(&mut self) {
        if self.watch().has_lost() {
            return;
        }
        let has_no_keeper = matches!(self.place.has_keeper(), Ok(false));
        if has_no_keeper && server::looks_ready(&self.place) {
            // Where it fails, the server stays until the next lease adopts it.
            if let Ok(keeper) = start::spawn(&self.settings, &self.place) {
                start::reap_when_it_ends(keeper);
            }
        }
    }
}

fn timed_out(waiting_for: &'static str, deadline: Deadline, place: &Place) -> Error {
    let log = place.log();
    let tail = log::tail(&log, 0);
    Error::TimedOut {
        waiting_for,
        after: deadline.after,
        log,
        tail,
    }
}

/// Encodes all but what no reader of URLs takes for something else.
fn percent_encoded(bytes: &[u8]) -> String {
    let is_plain = |byte: &u8| byte.is_ascii_alphanumeric() || b"/-._~".contains(byte);
    let encoded = |byte: &u8| {
        if is_plain(byte) {
            char::from(*byte).to_string()
        } else {
            format!("%{byte:02X}")
        }
    };
    bytes.iter().map(encoded).collect()
}
