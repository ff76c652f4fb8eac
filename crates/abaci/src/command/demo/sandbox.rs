//! The demo's temporary directory with a private database of its own.

use std::fs::{self, DirBuilder};
use std::io;
use std::os::unix::fs::{DirBuilderExt, PermissionsExt};
use std::path::{Path, PathBuf};

use anyhow::Context;
use durable_jobs::JobId;
use local_postgres::Force;

use crate::config::{Config, Environment, Flags, Layer};

/// A directory for one run of the demo, with the configuration that points there.
///
/// Dropping it stops the database and removes the directory, and blocks for as long as that takes: so no way out leaves
/// anything.
pub(super) struct DemoSandbox {
    pub(super) directory: PathBuf,
    pub(super) config: Config,
}

impl DemoSandbox {
    /// Makes the directory. Of the user's settings only the place of PostgreSQL's programs counts.
    pub(super) fn build(config: &Config) -> anyhow::Result<Self> {
        let directory =
            make_directory(&config.surroundings.temporary_dir).context("making a temporary directory")?;
        let layer = Layer {
            data_dir: Some(directory.clone()),
            pg_bin: config.pg_bin.value.clone(),
            ..Layer::default()
        };
        // An empty environment has no home either, and so no file of settings.
        let config = Config::resolve(Flags { file: None, layer }, &Environment::default())?;
        Ok(Self { directory, config })
    }
}

impl Drop for DemoSandbox {
    fn drop(&mut self) {
        if let Err(error) = local_postgres::stop(&self.config.postgres_dir(), Force::Yes) {
            tracing::warn!(%error, "the demo's database could not be stopped");
        }
        if let Err(error) = fs::remove_dir_all(&self.directory) {
            tracing::warn!(%error, directory = %self.directory.display(), "the demo's directory could not be removed");
        }
    }
}

/// Makes a directory with a name of its own in the first place that the account of PostgreSQL can enter, too: for root
/// that is another account than ours.
fn make_directory(temporary_dir: &Path) -> io::Result<PathBuf> {
    let is_root = rustix::process::geteuid().is_root();
    let usual = [temporary_dir, Path::new("/tmp"), Path::new("/var/tmp")];
    let parent = usual
        .into_iter()
        .find(|parent| !is_root || is_open_to_others(parent))
        .unwrap_or(temporary_dir);
    // The end of an id is its random part.
    let id = JobId::fresh();
    let name = format!(
        "abaci-demo-{}",
        id.as_str().rsplit('-').next().unwrap_or_default()
    );
    let directory = std::path::absolute(parent)?.join(name);
    DirBuilder::new()
        .mode(if is_root { 0o755 } else { 0o700 })
        .create(&directory)?;
    Ok(directory)
}

/// Returns whether every account can pass through `directory` and all above it.
fn is_open_to_others(directory: &Path) -> bool {
    let can_enter =
        |path: &Path| fs::metadata(path).is_ok_and(|found| found.permissions().mode() & 0o001 != 0);
    fs::canonicalize(directory).is_ok_and(|path| path.ancestors().all(can_enter))
}
