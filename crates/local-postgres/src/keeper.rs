//! The keeper: a small detached process that runs the server while anyone uses it.
//!
//! One loop looks at two things, the server and the users' lock: a thread blocked on each would need a third to decide,
//! and a look every 100 ms costs nothing that can be measured. All that it knows is on disk or in the kernel, so it may
//! be killed at any point.
//!
//! A server that was ready once and dies is started again, with growing pauses, while there are users. One that never
//! became ready is the users' to repair, so the keeper ends and they read its log, except when PostgreSQL refuses only
//! because remains of the previous server are still ending.

use std::os::unix::process::CommandExt;
use std::process::{Command, Stdio};
use std::sync::Arc;
use std::thread;
use std::time::{Duration, Instant};

use rustix::process::{Pid, setpgid, setsid};
use signal_hook::consts::{SIGHUP, SIGINT, SIGTERM};

use crate::account::Account;
use crate::cluster;
use crate::error::Error;
use crate::lock::{Lock, LockFile};
use crate::log;
use crate::place::Place;
use crate::programs::Programs;
use crate::removal::Watch;
use crate::server::{self, Server, ServerEnd};
use crate::settings::KeeperSettings;
use crate::wait::Deadline;

/// The time for which a new keeper tries to get the keepers' lock: others look at it, for microseconds each.
const CONTEST: Duration = Duration::from_millis(500);

const LOOK_WHILE_READY: Duration = Duration::from_millis(100);
const LOOK_WHILE_STARTING: Duration = Duration::from_millis(10);

const FIRST_PAUSE: Duration = Duration::from_millis(100);
const LONGEST_PAUSE: Duration = Duration::from_secs(1);

/// A server that was ready for this long starts the pauses anew.
const STABLE_AFTER: Duration = Duration::from_secs(10);

/// Runs the server until nobody uses it; the body of the keeper process.
///
/// It returns at once when another keeper lives, or when there is neither a user nor a server to adopt. The process
/// becomes the leader of its own session and leaves its working directory.
///
/// # Errors
/// The reason why the server does not start. The caller prints it to standard error, which is the server's log, and
/// ends with a failure; users then return [`Error::StartFailed`] with the log's last lines.
pub fn keep(settings: &KeeperSettings) -> Result<(), Error> {
    leave_session();
    outlast_requests();
    let place = Place::create(&settings.data_dir)?;
    let Some(mut keeper_lock) = place.take_keepers_place(Deadline::after(CONTEST))? else {
        return Ok(());
    };
    keeper_lock.write_pid()?;
    if server::running(&place).is_none() && !place.has_users()? {
        return Ok(());
    }
    let programs = Programs::find_for(settings.bin_dir.as_deref(), &place.cluster())?;
    let account = Account::for_cluster(&place.cluster())?;
    // Only after the lines above have made names absolute: they may be relative to the starter's directory.
    leave_directory();
    cluster::make_if_missing(&place, &programs, &account)?;
    place.make_socket_dir(&account)?;
    let mut supervisor = Supervisor::new(place, programs, account)?;
    let users_lock = match supervisor.run(settings.linger) {
        Err(Error::Removed { .. }) => return supervisor.outlast_users(),
        ended => ended?,
    };
    // In this order: who gets the users' lock next must not take us for a living keeper.
    drop(keeper_lock);
    drop(users_lock);
    Ok(())
}

/// Leaves the starter's session, so that neither its terminal nor its end reaches the keeper.
///
/// The starter gave us a process group of our own from the first moment, and the leader of a group cannot leave its
/// session. So we step into the group of a child that waits for its input to end, for as long as that takes.
fn leave_session() {
    if setsid().is_ok() {
        return;
    }
    let mut child = Command::new("/bin/sh");
    child
        .args(["-c", "read -r end"])
        .process_group(0)
        .stdin(Stdio::piped())
        .stdout(Stdio::null());
    // Where a step fails we miss a session of our own; the group still keeps signals to the starter's away.
    let Ok(mut child) = child.spawn() else { return };
    if setpgid(None, Some(Pid::from_child(&child))).is_ok() {
        let _ = setsid();
    }
    drop(child.stdin.take());
    let _ = child.wait();
}

/// Outlasts a request to end, such as `pkill abaci` sends to us and to our users alike.
///
/// Ending at once would leave the server to nobody; the end of the last user ends us anyway.
fn outlast_requests() {
    for signal in [SIGTERM, SIGINT, SIGHUP] {
        // Nobody reads the flag: that the signal has a handler is what keeps it from ending us.
        if let Err(error) = signal_hook::flag::register(signal, Arc::default()) {
            eprintln!("keeper: signal {signal} will end it: {error}");
        }
    }
}

/// Leaves the starter's directory, which must not stay in use.
fn leave_directory() {
    // "/" is always there, so this does not fail.
    let _ = std::env::set_current_dir("/");
}

enum KeeperState {
    Down { until: Instant },
    Starting(Server),
    Ready { server: Server, since: Instant },
}

struct Supervisor {
    place: Place,
    /// The users' lock as it was at the start; it says whether they live when the file has no name any more.
    users_lock: LockFile,
    watch: Watch,
    programs: Programs,
    account: Account,
    state: KeeperState,
    was_ready: bool,
    pause: Duration,
    log_mark_bytes: u64,
}

impl Supervisor {
    fn new(place: Place, programs: Programs, account: Account) -> Result<Self, Error> {
        let users_lock = LockFile::open(&place.users_lock())?;
        let state = KeeperState::Down {
            until: Instant::now(),
        };
        Ok(Self {
            watch: Watch::new(&place, users_lock.file_id()?),
            users_lock,
            place,
            programs,
            account,
            state,
            was_ready: false,
            pause: Duration::ZERO,
            log_mark_bytes: 0,
        })
    }

    /// Runs the server until nobody has used it for `linger`, then stops it; returns the lock that keeps users out.
    ///
    /// # Errors
    /// [`Error::Removed`] as soon as the files are no longer those that it began with; else why the server does not start.
    fn run(&mut self, linger: Duration) -> Result<Lock, Error> {
        let mut idle = IdleTime { linger, since: None };
        loop {
            // This does not hold the place: where no user lives, another database may be made there.
            self.watch.look()?;
            let looked = self.look().and_then(|state| {
                self.state = state;
                idle.is_over(&self.place)
            });
            // What fails for want of the files fails for no other reason.
            let users_lock = looked.or_else(|error| self.watch.look().and(Err(error)))?;
            if let Some(users_lock) = users_lock {
                self.stop();
                return Ok(users_lock);
            }
            thread::sleep(if let KeeperState::Ready { .. } = self.state {
                LOOK_WHILE_READY
            } else {
                LOOK_WHILE_STARTING
            });
        }
    }

    /// Moves the state one step.
    fn look(&mut self) -> Result<KeeperState, Error> {
        let now = Instant::now();
        match std::mem::replace(&mut self.state, KeeperState::Down { until: now }) {
            KeeperState::Down { until } if until <= now => self.start(),
            KeeperState::Down { until } => Ok(KeeperState::Down { until }),
            KeeperState::Starting(server) => self.look_at_starting(server),
            KeeperState::Ready { server, since } => Ok(self.look_at_ready(server, since)),
        }
    }

    fn start(&mut self) -> Result<KeeperState, Error> {
        // The lines that are read later for the reason of a failure begin here, after the words of earlier servers.
        self.log_mark_bytes = log::size(&self.place.log());
        if let Some(server) = Server::adopt(&self.place) {
            say(&format!(
                "adopted the running server, pid {}",
                server.pid().as_raw_pid()
            ));
            // Not `Ready`: the keeper before may have died while its server was still starting.
            return Ok(KeeperState::Starting(server));
        }
        Server::start(&self.place, &self.programs, &self.account).map(KeeperState::Starting)
    }

    fn look_at_starting(&mut self, mut server: Server) -> Result<KeeperState, Error> {
        if server.is_ready(&self.place) {
            self.was_ready = true;
            return Ok(KeeperState::Ready {
                server,
                since: Instant::now(),
            });
        }
        match server.ended() {
            None => Ok(KeeperState::Starting(server)),
            Some(ServerEnd::Known(status)) if !self.was_ready && !self.previous_is_still_ending() => {
                Err(Error::EndedEarly {
                    program: "postgres",
                    status,
                })
            }
            // The end of an adopted server does not say why: the next start shows whether the files are good.
            Some(_) => Ok(self.down()),
        }
    }

    fn look_at_ready(&mut self, mut server: Server, since: Instant) -> KeeperState {
        match server.ended() {
            None => return KeeperState::Ready { server, since },
            Some(ServerEnd::Known(status)) => {
                say(&format!("the server ended ({status}) while it was in use"));
            }
            Some(ServerEnd::Unknown) => say("the adopted server ended while it was in use"),
        }
        if since.elapsed() >= STABLE_AFTER {
            self.pause = Duration::ZERO;
        }
        self.down()
    }

    fn down(&mut self) -> KeeperState {
        let until = Instant::now() + self.pause;
        // The first pause is zero, so that a server that dies once comes back at once.
        self.pause = (self.pause * 2).clamp(FIRST_PAUSE, LONGEST_PAUSE);
        KeeperState::Down { until }
    }

    /// Says whether PostgreSQL refused to start only for the sake of its predecessor, by its words: its exit status
    /// does not tell, and `LC_ALL=C` fixes the language.
    fn previous_is_still_ending(&self) -> bool {
        let said = log::read_from(&self.place.log(), self.log_mark_bytes).unwrap_or_default();
        let has_lock = said.contains("lock file \"") && said.contains("already exists");
        has_lock || said.contains("shared memory block")
    }

    fn stop(&mut self) {
        let down = KeeperState::Down {
            until: Instant::now(),
        };
        if let KeeperState::Starting(server) | KeeperState::Ready { server, .. } =
            std::mem::replace(&mut self.state, down)
        {
            server.stop();
        }
        self.place.remove_short_socket_dir();
    }

    /// Stops the server of a database that was removed, and lets nobody make another one in its place while users of the
    /// lost one live, or until its files are back.
    ///
    /// The server would go on for a minute, and acknowledge what it can no longer store.
    fn outlast_users(mut self) -> Result<(), Error> {
        say("the database was removed while it was in use");
        // The place is claimed before the stop, which can take a minute: nobody may fill it meanwhile.
        let mut is_lost = self.is_lost_to_users()?;
        self.stop();
        while is_lost {
            thread::sleep(LOOK_WHILE_READY);
            is_lost = self.is_lost_to_users()?;
        }
        Ok(())
    }

    /// Says whether there are users whose database is gone, and if so claims its place.
    fn is_lost_to_users(&mut self) -> Result<bool, Error> {
        Ok(!self.users_lock.is_free()? && self.watch.check().is_err())
    }
}

/// Since when nobody has used the server.
struct IdleTime {
    linger: Duration,
    since: Option<Instant>,
}

impl IdleTime {
    /// Returns the users' exclusive lock when nobody was there for the whole linger. Between two looks the lock is free:
    /// a user who comes during the linger must not wait for its end.
    fn is_over(&mut self, place: &Place) -> Result<Option<Lock>, Error> {
        let Some(users_lock) = Lock::try_exclusive(&place.users_lock())? else {
            self.since = None;
            return Ok(None);
        };
        let since = *self.since.get_or_insert_with(Instant::now);
        Ok((since.elapsed() >= self.linger).then_some(users_lock))
    }
}

/// Writes to the server's log, which is the keeper's standard error.
fn say(what: &str) {
    eprintln!("keeper {}: {what}", std::process::id());
}
