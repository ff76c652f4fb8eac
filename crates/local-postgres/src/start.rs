//! Starting a keeper, by one user at a time.
//!
//! The starter holds `start.lock` until its keeper lives, so that many users who come at once start one. Who finds the
//! lock taken waits for what that keeper does.

use std::os::unix::process::{CommandExt, ExitStatusExt};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::thread;
use std::time::Duration;

use crate::account::Account;
use crate::error::Error;
use crate::lock::Lock;
use crate::log;
use crate::place::Place;
use crate::programs::Programs;
use crate::settings::Settings;
use crate::wait::Deadline;

/// Runs the keeper without descriptors that a shell or a build tool left open to its children: a reader of such a pipe
/// would wait for the keeper. Ours are closed on exec; this reaches the digits that every shell can name.
const WITHOUT_INHERITED_DESCRIPTORS: &str = r#"exec 3>&- 4>&- 5>&- 6>&- 7>&- 8>&- 9>&-; exec "$@""#;

/// The exit code of a shell that cannot run the program.
const SHELL_CANNOT_RUN: [i32; 2] = [126, 127];

/// A keeper that ends in peace without having served was beaten by another, which we then find. This many in a row may
/// be a coincidence; one more is none: the command is not a keeper.
const MOST_BEATEN: u32 = 3;

/// One user's attempts to have a keeper.
#[derive(Debug)]
pub(crate) struct Starter {
    settings: Settings,
    place: Place,
    keeper: Option<Child>,
    start_lock: Option<Lock>,
    beaten: u32,
    log_mark_bytes: u64,
}

impl Starter {
    pub(crate) fn new(settings: &Settings, place: &Place) -> Self {
        Self {
            settings: settings.clone(),
            place: place.clone(),
            keeper: None,
            start_lock: None,
            beaten: 0,
            log_mark_bytes: log::size(&place.log()),
        }
    }

    /// Starts a keeper unless one lives, and waits for up to `patience` until it does.
    ///
    /// No lock is held afterwards, so that a starter who never looks again is in nobody's way. A keeper that ends after
    /// that is judged by the next call.
    pub(crate) fn ensure_keeper(&mut self, patience: Duration) -> Result<(), Error> {
        let lives = Deadline::after(patience).poll(|| {
            if self.place.has_keeper()? {
                return Ok(Some(()));
            }
            self.start().map(|()| None)
        });
        // Before the `?`: an error must release it, too.
        self.start_lock = None;
        if lives?.is_some() {
            self.beaten = 0;
            // One lives: how ours ended, if it did, matters no more. Asking reaps it.
            self.keeper
                .take_if(|keeper| matches!(keeper.try_wait(), Ok(Some(_))));
        }
        Ok(())
    }

    /// Takes note that a keeper lives: whoever wants to stop or replace it may do so from now on.
    pub(crate) fn keeper_lives(&mut self) {
        self.start_lock = None;
    }

    /// Starts a keeper unless one is being started; called while none lives.
    pub(crate) fn start(&mut self) -> Result<(), Error> {
        if let Some(keeper) = &mut self.keeper {
            let ended = keeper
                .try_wait()
                .map_err(|error| self.settings.keeper_failed(&error))?;
            let Some(ended) = ended else { return Ok(()) };
            self.keeper = None;
            self.start_lock = None;
            return self.judge(ended);
        }
        let Some(start_lock) = Lock::try_exclusive(&self.place.start_lock())? else {
            return Ok(());
        };
        // Somebody may have started one between the caller's look and our lock.
        if self.place.has_keeper()? {
            return Ok(());
        }
        check(&self.settings, &self.place)?;
        log::rotate(&self.place.log())?;
        // Read after the rotation, which may have begun an empty file.
        self.log_mark_bytes = log::size(&self.place.log());
        self.keeper = Some(spawn(&self.settings, &self.place)?);
        self.start_lock = Some(start_lock);
        Ok(())
    }

    /// Returns the log's last lines since the last attempt began.
    pub(crate) fn log_tail(&self) -> String {
        log::tail(&self.place.log(), self.log_mark_bytes)
    }

    /// Decides what the end of our keeper means, before its server answered.
    fn judge(&mut self, ended: ExitStatus) -> Result<(), Error> {
        // A keeper that was killed says nothing of the command: the next look starts another.
        if ended.signal().is_some() {
            return Ok(());
        }
        if ended.success() && self.beaten < MOST_BEATEN {
            self.beaten += 1;
            return Ok(());
        }
        if ended.code().is_some_and(|code| SHELL_CANNOT_RUN.contains(&code)) {
            return Err(self.settings.keeper_failed(&self.log_tail()));
        }
        Err(Error::StartFailed {
            log: self.place.log(),
            tail: self.log_tail(),
        })
    }
}

impl Drop for Starter {
    fn drop(&mut self) {
        if let Some(keeper) = self.keeper.take() {
            reap_when_it_ends(keeper);
        }
    }
}

impl Settings {
    fn keeper_failed(&self, reason: &dyn std::fmt::Display) -> Error {
        Error::KeeperCommand {
            program: self.keeper.program.clone(),
            reason: reason.to_string(),
        }
    }
}

/// Finds what would make the keeper fail, where it can still be told with its own error.
fn check(settings: &Settings, place: &Place) -> Result<(), Error> {
    let programs = Programs::find_for(settings.bin_dir.as_deref(), &place.cluster())?;
    Account::for_cluster(&place.cluster())?.check_reach(&programs, place.root())
}

/// Starts a keeper and does not wait for it.
pub(crate) fn spawn(settings: &Settings, place: &Place) -> Result<Child, Error> {
    let said = log::open(&place.log())?;
    let said_too = said.try_clone().map_err(Error::at(&place.log()))?;
    let keeper = &settings.keeper;
    let mut command = Command::new("/bin/sh");
    command
        .args(["-c", WITHOUT_INHERITED_DESCRIPTORS, "keeper"])
        .arg(&keeper.program)
        .args(&keeper.args);
    command.envs(keeper.envs.iter().map(|(name, value)| (name, value)));
    // A signal to the starter's process group must not reach the keeper before it has left its session.
    command.process_group(0);
    command.stdin(Stdio::null()).stdout(said).stderr(said_too);
    command.spawn().map_err(|error| settings.keeper_failed(&error))
}

/// A keeper may end before us; without this it would stay a zombie until we end.
pub(crate) fn reap_when_it_ends(mut child: Child) {
    let reap = move || drop(child.wait());
    // Without a thread the zombie stays, which harms nothing.
    let _ = thread::Builder::new()
        .name(String::from("keeper-reaper"))
        .spawn(reap);
}
