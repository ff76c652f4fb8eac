//! The account that runs the server: the caller's own, or for root another, since PostgreSQL refuses root.
//!
//! An existing cluster decides by its owner. For a new one root takes `postgres`, else `nobody`; whatever else runs
//! under that account can then reach the database, as it could any database of that account.

use std::fs;
use std::io;
use std::os::unix::fs::{MetadataExt, chown};
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::{Command, Stdio};

use crate::error::Error;
use crate::programs::Programs;

/// Accounts that may run the server for root, in order of preference.
const ACCOUNTS_FOR_ROOT: [&str; 2] = ["postgres", "nobody"];

/// The account that runs the server and owns its files.
#[derive(Debug, Clone)]
pub struct Account {
    name: String,
    uid: u32,
    gid: u32,
    is_caller: bool,
}

impl Account {
    /// Returns the account that runs the server with the cluster `cluster`, which need not exist yet.
    ///
    /// # Errors
    /// [`Error::NoAccount`] when the caller is root and there is no account to take its place.
    pub fn for_cluster(cluster: &Path) -> Result<Account, Error> {
        let (uid, gid) = (
            rustix::process::geteuid().as_raw(),
            rustix::process::getegid().as_raw(),
        );
        if uid != 0 {
            return Ok(Account {
                name: String::from("(own)"),
                uid,
                gid,
                is_caller: true,
            });
        }
        if let Ok(owner) = fs::metadata(cluster) {
            let name = format!("uid {}", owner.uid());
            return Ok(Account {
                name,
                uid: owner.uid(),
                gid: owner.gid(),
                is_caller: false,
            });
        }
        ACCOUNTS_FOR_ROOT
            .into_iter()
            .find_map(Self::named)
            .ok_or(Error::NoAccount)
    }

    /// Asks `id`, which knows every source of accounts that the system has.
    fn named(name: &str) -> Option<Account> {
        let ask = |what: &str| -> Option<u32> {
            let output = Command::new("id")
                .args([what, name])
                .stderr(Stdio::null())
                .output()
                .ok()?;
            String::from_utf8(output.stdout).ok()?.trim().parse().ok()
        };
        Some(Account {
            name: name.to_owned(),
            uid: ask("-u")?,
            gid: ask("-g")?,
            is_caller: false,
        })
    }

    /// Returns the user id.
    #[must_use]
    pub fn uid(&self) -> u32 {
        self.uid
    }

    /// Makes `command` run under this account.
    pub fn run<'a>(&self, command: &'a mut Command) -> &'a mut Command {
        if self.is_caller {
            command
        } else {
            // For root, the standard library then drops the supplementary groups, too.
            command.uid(self.uid).gid(self.gid)
        }
    }

    /// Gives `path` to this account.
    ///
    /// # Errors
    /// The system's, for example on a file system without owners.
    pub fn give(&self, path: &Path) -> io::Result<()> {
        if self.is_caller {
            Ok(())
        } else {
            chown(path, Some(self.uid), Some(self.gid))
        }
    }

    /// Checks that this account can run the programs and enter `dir`, by doing so.
    pub(crate) fn check_reach(&self, programs: &Programs, dir: &Path) -> Result<(), Error> {
        if self.is_caller {
            return Ok(());
        }
        let program = programs.program("postgres");
        let run_in = |dir: &Path| {
            let mut command = Command::new(&program);
            command
                .arg("--version")
                .current_dir(dir)
                .stdin(Stdio::null())
                .stdout(Stdio::null())
                .stderr(Stdio::null());
            self.run(&mut command).status()
        };
        // First where every account may be: a failure here is the program's, the next one the directory's.
        run_in(Path::new("/")).map_err(|source| Error::ProgramFailed {
            program: program.clone(),
            source,
        })?;
        let unreachable = |_| Error::Unreachable {
            path: dir.to_path_buf(),
            account: self.name.clone(),
        };
        run_in(dir).map(drop).map_err(unreachable)
    }
}
