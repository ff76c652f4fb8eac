//! Noticing that a database was removed, or replaced by another one, while it was in use.
//!
//! Whoever uses or runs the server remembers the files that it began with and compares them with what is there now. The
//! first to find another file or none holds `removed.lock` from then on, as all do who find the same. While anybody holds
//! it, nobody makes a cluster or a lease in that place: a new and empty database would stand in for the lost one without a
//! word. The kernel releases the lock with its holder, so the place is free again when the last user of the lost database
//! has ended, or has found its files back in their place.
//!
//! A keeper notices within a tenth of a second, and making a cluster takes longer than that and looks again at its end.

use std::fs;
use std::path::Path;

use crate::error::Error;
use crate::lock::{FileId, Lock};
use crate::place::Place;

/// The files that a user or a keeper began with.
#[derive(Debug)]
pub(crate) struct Watch {
    place: Place,
    users_lock: FileId,
    /// PostgreSQL never writes this file again; unknown until the cluster was first seen.
    version_file: Option<FileId>,
    /// Held from the moment at which they were found to be gone.
    removed_lock: Option<Lock>,
}

impl Watch {
    /// Begins with a file of the users' lock that is open, and with the cluster that is there now, if one is.
    pub(crate) fn new(place: &Place, users_lock: FileId) -> Watch {
        Watch {
            place: place.clone(),
            users_lock,
            version_file: file_id(&place.version_file()),
            removed_lock: None,
        }
    }

    /// Looks whether the files are still those that it began with, and holds their place when they are not.
    ///
    /// # Errors
    /// As [`Watch::look`].
    pub(crate) fn check(&mut self) -> Result<(), Error> {
        if self.is_as_it_was() {
            self.removed_lock = None;
        } else if !self.holds_the_place() {
            // Where it cannot be held, this process still returns the error.
            self.removed_lock = self.place.hold_removed_lock().unwrap_or_default();
        }
        self.look()
    }

    /// Looks whether the files are still those that it began with.
    ///
    /// # Errors
    /// [`Error::Removed`] when they are not, or when somebody else holds the place for his that are gone.
    pub(crate) fn look(&mut self) -> Result<(), Error> {
        if self.is_as_it_was() {
            self.place.check_not_removed()
        } else {
            Err(self.place.removed())
        }
    }

    /// Says whether this found the files to be gone when it last looked.
    pub(crate) fn has_lost(&self) -> bool {
        self.removed_lock.is_some()
    }

    /// Says whether others find the lock; it goes with the files when somebody is still removing them.
    fn holds_the_place(&self) -> bool {
        let held = self.removed_lock.as_ref().and_then(|lock| lock.file_id().ok());
        held.is_some() && held == file_id(&self.place.removed_lock())
    }

    fn is_as_it_was(&mut self) -> bool {
        let version_file = file_id(&self.place.version_file());
        self.version_file = self.version_file.or(version_file);
        file_id(&self.place.users_lock()) == Some(self.users_lock) && self.version_file == version_file
    }
}

/// Returns which file has this name; none where it cannot be told, as without a directory.
fn file_id(path: &Path) -> Option<FileId> {
    fs::metadata(path).ok().map(|found| FileId::of(&found))
}
