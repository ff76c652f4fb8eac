//! Making the cluster, once.
//!
//! `initdb` works in a scratch directory that is renamed when it is complete: a cluster is there wholly or not at
//! all, whoever was killed in between. Only a keeper makes one, so there is one maker at a time.

use std::fs::{self, DirBuilder, File, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::DirBuilderExt;
use std::path::Path;

use crate::account::Account;
use crate::error::Error;
use crate::log;
use crate::place::Place;
use crate::programs::Programs;
use crate::wire;

const SCRATCH_PREFIX: &str = "initdb-";

/// Added to `postgresql.conf`. What keeps others out (no network, the socket's place and mode) is not here but on the
/// server's command line, which wins.
const OWN_CONFIGURATION: &str =
    "\n# Set when local-postgres made this cluster; yours to change.\nmax_connections = 200\n";

/// Makes the cluster unless it is there.
pub(crate) fn make_if_missing(place: &Place, programs: &Programs, account: &Account) -> Result<(), Error> {
    let cluster = place.cluster();
    if cluster.exists() {
        return Ok(());
    }
    sweep(place.root());
    let scratch = place
        .root()
        .join(format!("{SCRATCH_PREFIX}{}", std::process::id()));
    DirBuilder::new()
        .mode(0o700)
        .create(&scratch)
        .map_err(Error::at(&scratch))?;
    account.give(&scratch).map_err(Error::at(&scratch))?;
    initialise(place, programs, account, &scratch)?;
    configure(&scratch.join("postgresql.conf")).map_err(Error::at(&scratch))?;
    // A process that lost a database here a moment ago holds `removed.lock` by now.
    place.check_not_removed()?;
    fs::rename(&scratch, &cluster).map_err(Error::at(&cluster))?;
    // Until the directory is on disk a power cut could take the rename back, and with it what was stored since.
    File::open(place.root())
        .and_then(|dir| dir.sync_all())
        .map_err(Error::at(place.root()))
}

fn initialise(place: &Place, programs: &Programs, account: &Account, scratch: &Path) -> Result<(), Error> {
    let said = log::open(&place.log())?;
    let said_too = said.try_clone().map_err(Error::at(&place.log()))?;
    let mut command = programs.command("initdb");
    command
        .args(["--locale=C", "-E", "UTF8", "-A", "trust", "-U", wire::USER, "-D"])
        .arg(scratch);
    command.stdout(said).stderr(said_too);
    let status = account.run(&mut command).status();
    let failed = |source| Error::ProgramFailed {
        program: programs.program("initdb"),
        source,
    };
    let status = status.map_err(failed)?;
    if status.success() {
        Ok(())
    } else {
        Err(Error::EndedEarly {
            program: "initdb",
            status,
        })
    }
}

fn configure(file: &Path) -> io::Result<()> {
    let mut file = OpenOptions::new().append(true).open(file)?;
    // `initdb` has put its files on disk, but this one changes after that.
    file.write_all(OWN_CONFIGURATION.as_bytes())?;
    file.sync_all()
}

/// Removes what killed makers left. One whose `initdb` still runs may resist; the next maker removes that.
fn sweep(root: &Path) {
    for entry in fs::read_dir(root).into_iter().flatten().flatten() {
        if entry.file_name().to_string_lossy().starts_with(SCRATCH_PREFIX) {
            let _ = fs::remove_dir_all(entry.path());
        }
    }
}
