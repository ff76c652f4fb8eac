//! Finding PostgreSQL's programs.
//!
//! A directory counts when it has every program that is needed: Debian's `/usr/bin` has wrappers of some, and a
//! machine with only the client has no `initdb`. The order: the caller's directory and no other; `PATH` (links
//! followed); `pg_config --bindir`; Debian's and Red Hat's versioned directories, newest first; Homebrew; Postgres.app.
//! A cluster that exists takes the directory of its own major version, since no other can serve it.

use std::env;
use std::ffi::OsStr;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use crate::error::Error;
use crate::version::Version;

/// The programs that a usable directory has.
const NEEDED: [&str; 5] = ["initdb", "postgres", "pg_ctl", "psql", "createdb"];

/// Parents of one directory per version; each entry may have a `bin`.
const VERSIONED: [(&str, &str); 6] = [
    ("/usr/lib/postgresql", ""),
    ("/usr", "pgsql-"),
    ("/opt/homebrew/opt", "postgresql@"),
    ("/usr/local/opt", "postgresql@"),
    ("/home/linuxbrew/.linuxbrew/opt", "postgresql@"),
    ("/Applications/Postgres.app/Contents/Versions", ""),
];

/// A directory of PostgreSQL's programs that is complete and new enough.
#[derive(Debug, Clone)]
pub struct Programs {
    dir: PathBuf,
    version: Version,
}

impl Programs {
    /// Finds the programs: in `override_dir` alone when it is given, else by the search order of this module.
    ///
    /// # Errors
    /// [`Error::ProgramMissing`] for an incomplete `override_dir`, [`Error::ProgramsNotFound`] when the search finds
    /// none, [`Error::ProgramsTooOld`] when all are older than [`Version::OLDEST`].
    pub fn find(override_dir: Option<&Path>) -> Result<Programs, Error> {
        match override_dir {
            Some(dir) => Self::in_given(dir),
            None => Self::best_of(candidates(), |_| true),
        }
    }

    /// Finds the programs that can serve `cluster` (any, when it does not exist).
    pub(crate) fn find_for(override_dir: Option<&Path>, cluster: &Path) -> Result<Programs, Error> {
        let Some(made_by) = cluster_version(cluster) else {
            return Self::find(override_dir);
        };
        let found = match override_dir {
            Some(dir) => Self::in_given(dir)?,
            None => match Self::best_of(candidates(), |version| version == made_by) {
                // Whatever was wrong with the others, the error names what is there.
                Err(_) => Self::find(None)?,
                Ok(programs) => programs,
            },
        };
        if found.version == made_by {
            return Ok(found);
        }
        let data_dir = cluster.parent().unwrap_or(cluster).to_path_buf();
        Err(Error::VersionMismatch {
            data_dir,
            cluster: made_by,
            found: found.version,
        })
    }

    /// Returns the major version.
    #[must_use]
    pub fn version(&self) -> Version {
        self.version
    }

    /// Returns the directory of the programs.
    #[must_use]
    pub fn dir(&self) -> &Path {
        &self.dir
    }

    /// Returns the path of one program: `initdb`, `postgres`, `pg_ctl`, `psql` or `createdb`, for example.
    #[must_use]
    pub fn program(&self, name: &str) -> PathBuf {
        self.dir.join(name)
    }

    /// Returns a command for one program, untouched by the caller's environment (`PGDATA`, `LC_ALL` and the like), in
    /// a working directory that every account can enter.
    #[must_use]
    pub fn command(&self, name: &str) -> Command {
        let mut command = Command::new(self.program(name));
        command
            // The language is fixed because the keeper looks for English words in the server's log.
            .env_clear()
            .env("LC_ALL", "C")
            .env("PATH", "/usr/local/bin:/usr/bin:/bin");
        command.current_dir("/").stdin(Stdio::null());
        command
    }

    fn in_given(dir: &Path) -> Result<Programs, Error> {
        if let Some(program) = missing(dir) {
            return Err(Error::ProgramMissing {
                dir: dir.to_path_buf(),
                program,
            });
        }
        // The keeper changes its working directory, so a relative path would not last.
        let dir = std::path::absolute(dir).map_err(Error::at(dir))?;
        let programs = Self::opened(&dir)?;
        if programs.version < Version::OLDEST {
            return Err(programs.too_old());
        }
        Ok(programs)
    }

    /// Takes the first complete directory of a version that is supported and `wanted`.
    fn best_of(
        dirs: impl IntoIterator<Item = PathBuf>,
        wanted: impl Fn(Version) -> bool,
    ) -> Result<Programs, Error> {
        let mut refusal = None;
        for dir in dirs.into_iter().filter(|dir| missing(dir).is_none()) {
            match Self::opened(&dir) {
                Ok(programs) if programs.version < Version::OLDEST => refusal = Some(programs.too_old()),
                Ok(programs) if wanted(programs.version) => return Ok(programs),
                // No refusal: when no directory fits a cluster, `find_for` names a version that is there.
                Ok(_) => {}
                Err(error) => refusal = Some(error),
            }
        }
        Err(refusal.unwrap_or(Error::ProgramsNotFound {
            install: install_command(),
        }))
    }

    fn opened(dir: &Path) -> Result<Programs, Error> {
        let program = dir.join("postgres");
        let failed = |source| Error::ProgramFailed {
            program: program.clone(),
            source,
        };
        let output = Command::new(&program)
            .arg("--version")
            .stdin(Stdio::null())
            .output()
            .map_err(failed)?;
        let said = String::from_utf8_lossy(&output.stdout);
        let version =
            Version::parse(&said).ok_or_else(|| failed(io::Error::other(format!("it said {said:?}"))))?;
        Ok(Programs {
            dir: dir.to_path_buf(),
            version,
        })
    }

    fn too_old(self) -> Error {
        Error::ProgramsTooOld {
            dir: self.dir,
            version: self.version,
            install: install_command(),
        }
    }
}

/// Returns the major version that made `cluster`.
pub(crate) fn cluster_version(cluster: &Path) -> Option<Version> {
    Version::parse(&fs::read_to_string(cluster.join("PG_VERSION")).ok()?)
}

fn missing(dir: &Path) -> Option<&'static str> {
    NEEDED.into_iter().find(|program| !dir.join(program).is_file())
}

/// Lists where programs may be, best first; lazily, since `pg_config` is a process.
fn candidates() -> impl Iterator<Item = PathBuf> {
    let path = env::var_os("PATH").unwrap_or_default();
    on_path(&path)
        .into_iter()
        .chain(std::iter::once_with(from_pg_config).flatten())
        .chain(versioned())
}

/// Follows links: package managers link single programs of a version into a directory of `PATH`.
fn on_path(path: &OsStr) -> Vec<PathBuf> {
    let initdbs = env::split_paths(path).filter_map(|dir| fs::canonicalize(dir.join("initdb")).ok());
    initdbs
        .filter_map(|initdb| initdb.parent().map(Path::to_path_buf))
        .collect()
}

fn from_pg_config() -> Option<PathBuf> {
    let output = Command::new("pg_config")
        .arg("--bindir")
        .stdin(Stdio::null())
        .stderr(Stdio::null())
        .output()
        .ok()?;
    let dir = String::from_utf8(output.stdout).ok()?;
    (!dir.trim().is_empty()).then(|| PathBuf::from(dir.trim()))
}

fn versioned() -> impl Iterator<Item = PathBuf> {
    VERSIONED
        .into_iter()
        .flat_map(|(parent, prefix)| newest_first(Path::new(parent), prefix))
}

fn newest_first(parent: &Path, prefix: &str) -> Vec<PathBuf> {
    let entries = fs::read_dir(parent).into_iter().flatten().flatten();
    let mut found: Vec<(Version, PathBuf)> = entries
        .filter_map(|entry| {
            let name = entry.file_name().into_string().ok()?;
            let version = Version::parse(name.strip_prefix(prefix)?)?;
            Some((version, entry.path().join("bin")))
        })
        .collect();
    // Versions compare as numbers: by name, 9.6 would be newer than 13.
    found.sort_by(|a, b| b.cmp(a));
    found.into_iter().map(|(_, dir)| dir).collect()
}

fn install_command() -> &'static str {
    if cfg!(target_os = "macos") {
        return "brew install postgresql@17";
    }
    if Path::new("/etc/debian_version").exists() {
        // Without the first part Debian starts a server of its own on port 5432.
        return "mkdir -p /etc/postgresql-common && echo 'create_main_cluster = false' >> \
                /etc/postgresql-common/createcluster.conf && apt-get install --no-install-recommends postgresql";
    }
    if Path::new("/etc/redhat-release").exists() {
        return "dnf install postgresql-server";
    }
    if Path::new("/etc/alpine-release").exists() {
        return "apk add postgresql";
    }
    "your package manager's postgresql server package"
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;

    use super::*;

    /// Makes a directory of stand-ins that say `version`.
    fn programs_of(version: &str) -> tempfile::TempDir {
        let dir = tempfile::tempdir().unwrap();
        for name in NEEDED {
            let path = dir.path().join(name);
            fs::write(
                &path,
                format!("#!/bin/sh\necho 'postgres (PostgreSQL) {version}'\n"),
            )
            .unwrap();
            fs::set_permissions(&path, fs::Permissions::from_mode(0o755)).unwrap();
        }
        dir
    }

    #[test]
    fn versions_are_read_from_every_form_that_postgres_prints() {
        for (text, major) in [
            ("postgres (PostgreSQL) 15.14 (Debian 15.14-0+deb12u1)\n", 15),
            ("postgres (PostgreSQL) 18beta1", 18),
            ("17devel", 17),
            ("9.6.24", 9),
            ("16\n", 16),
        ] {
            assert_eq!(Version::parse(text), Some(Version(major)), "{text:?}");
        }
        assert_eq!(Version::parse("nothing here"), None);
    }

    #[test]
    fn a_search_that_finds_nothing_names_the_one_command_to_run() {
        let error = Programs::best_of([], |_| true).unwrap_err();
        assert!(matches!(error, Error::ProgramsNotFound { .. }), "{error:?}");
        assert!(error.to_string().contains("install"), "no way out in: {error}");
    }

    #[test]
    fn a_given_directory_is_not_replaced_by_a_search() {
        let empty = tempfile::tempdir().unwrap();
        let error = Programs::find(Some(empty.path())).unwrap_err();
        assert!(
            matches!(
                error,
                Error::ProgramMissing {
                    program: "initdb",
                    ..
                }
            ),
            "{error:?}"
        );
    }

    #[test]
    fn programs_older_than_13_are_refused() {
        let old = programs_of("12.22");
        let error = Programs::find(Some(old.path())).unwrap_err();
        assert!(
            matches!(
                error,
                Error::ProgramsTooOld {
                    version: Version(12),
                    ..
                }
            ),
            "{error:?}"
        );
        let error = Programs::best_of([old.path().to_path_buf()], |_| true).unwrap_err();
        assert!(matches!(error, Error::ProgramsTooOld { .. }), "{error:?}");
    }

    #[test]
    fn a_bad_directory_hides_no_good_one_behind_it() {
        let (old, good, empty) = (
            programs_of("9.6.24"),
            programs_of("16.2"),
            tempfile::tempdir().unwrap(),
        );
        let dirs = [
            empty.path().to_path_buf(),
            old.path().to_path_buf(),
            good.path().to_path_buf(),
        ];
        let found = Programs::best_of(dirs, |_| true).unwrap();
        assert_eq!((found.version().major(), found.dir()), (16, good.path()));
    }

    #[test]
    fn a_cluster_takes_the_programs_of_its_own_version() {
        let (newer, own) = (programs_of("17.1"), programs_of("15.3"));
        let dirs = || [newer.path().to_path_buf(), own.path().to_path_buf()];
        let found = Programs::best_of(dirs(), |version| version == Version(15)).unwrap();
        assert_eq!(found.dir(), own.path());
    }

    #[test]
    fn a_cluster_of_a_missing_version_is_refused_with_both_versions() {
        let (newer, data_dir) = (programs_of("17.1"), tempfile::tempdir().unwrap());
        let cluster = data_dir.path().join("cluster");
        fs::create_dir(&cluster).unwrap();
        fs::write(cluster.join("PG_VERSION"), "14\n").unwrap();
        let error = Programs::find_for(Some(newer.path()), &cluster).unwrap_err();
        let Error::VersionMismatch { cluster, found, .. } = error else {
            panic!("{error:?}")
        };
        assert_eq!((cluster, found), (Version(14), Version(17)));
    }

    #[test]
    fn versioned_directories_come_newest_first_and_by_number() {
        let parent = tempfile::tempdir().unwrap();
        for name in ["9.6", "13", "100", "notes"] {
            fs::create_dir(parent.path().join(name)).unwrap();
        }
        let names: Vec<PathBuf> = newest_first(parent.path(), "");
        let expected = ["100", "13", "9.6"].map(|name| parent.path().join(name).join("bin"));
        assert_eq!(names, expected);
    }

    #[test]
    fn links_on_path_lead_to_the_directory_of_the_programs() {
        let (good, linked) = (programs_of("16.2"), tempfile::tempdir().unwrap());
        std::os::unix::fs::symlink(good.path().join("initdb"), linked.path().join("initdb")).unwrap();
        let found = on_path(linked.path().as_os_str());
        assert_eq!(found, [fs::canonicalize(good.path()).unwrap()]);
    }
}
