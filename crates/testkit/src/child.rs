//! Running code of the test binary in another process.
//!
//! The test binary executes itself with its one test `child_process` selected and an environment variable that names a
//! role. Without the variable that test does nothing, so it is harmless in an ordinary run.
//!
//! libtest prints lines of its own to standard output: a role that talks uses standard error, or lines that a reader
//! can tell apart.

use std::env;
use std::ffi::OsString;
use std::path::PathBuf;
use std::process::{self, Command};
use std::time::Duration;

use local_postgres::{KeeperCommand, KeeperSettings};

const ROLE: &str = "ABACI_TESTKIT_ROLE";
const KEEPER: &str = "keeper";
const KEEPER_DATA_DIR: &str = "ABACI_TESTKIT_KEEPER_DATA_DIR";
const KEEPER_BIN_DIR: &str = "ABACI_TESTKIT_KEEPER_BIN_DIR";
const KEEPER_LINGER_MS: &str = "ABACI_TESTKIT_KEEPER_LINGER_MS";

/// Selects the one test that is the entry of every role.
// Not captured: what a role prints is for the process that started it.
const ARGUMENTS: [&str; 3] = ["child_process", "--exact", "--nocapture"];

/// Declares the test `child_process`, the entry of all roles; it belongs at the root of the test binary.
///
/// The role `keeper` is always there. Others are functions without arguments, which read what they need from the
/// environment; the process ends with success when they return.
///
/// ```
/// testkit::child_process! {
///     "greeter" => || eprintln!("hello"),
/// }
/// # fn main() {}
/// ```
#[macro_export]
macro_rules! child_process {
    ($($name:literal => $role:expr),* $(,)?) => {
        #[test]
        fn child_process() {
            $crate::child::play_role(&[$(($name, $role as fn())),*]);
        }
    };
}

/// Returns the command that runs a role of this test binary; add arguments as environment variables.
///
/// # Panics
/// When the system does not tell the path of the test binary.
#[must_use]
pub fn command(role: &str) -> Command {
    let mut command = Command::new(this_binary());
    command.args(ARGUMENTS).env(ROLE, role);
    command
}

/// Returns the command of a keeper that is this test binary.
///
/// # Panics
/// When the system does not tell the path of the test binary.
#[must_use]
pub fn keeper(settings: &KeeperSettings) -> KeeperCommand {
    let command = KeeperCommand::new(this_binary(), ARGUMENTS)
        .env(ROLE, KEEPER)
        .env(KEEPER_DATA_DIR, &settings.data_dir)
        .env(KEEPER_LINGER_MS, settings.linger.as_millis().to_string());
    match &settings.bin_dir {
        Some(dir) => command.env(KEEPER_BIN_DIR, dir),
        None => command,
    }
}

/// Plays the role that the environment names, and then ends the process; returns when it names none.
///
/// # Panics
/// When there is no such role.
pub fn play_role(roles: &[(&str, fn())]) {
    let Ok(role) = env::var(ROLE) else { return };
    if role == KEEPER {
        keep();
    } else {
        let found = roles.iter().find(|(name, _)| *name == role);
        found
            .unwrap_or_else(|| panic!("this test binary has no role {role:?}"))
            .1();
    }
    process::exit(0);
}

fn keep() {
    let settings = KeeperSettings {
        data_dir: PathBuf::from(variable(KEEPER_DATA_DIR)),
        bin_dir: env::var_os(KEEPER_BIN_DIR).map(PathBuf::from),
        linger: Duration::from_millis(
            variable(KEEPER_LINGER_MS)
                .to_string_lossy()
                .parse()
                .expect("the linger is in milliseconds"),
        ),
    };
    if let Err(error) = local_postgres::keep(&settings) {
        eprintln!("keeper: {error}");
        process::exit(1);
    }
}

fn variable(name: &str) -> OsString {
    env::var_os(name).unwrap_or_else(|| panic!("{name} is not set"))
}

fn this_binary() -> PathBuf {
    env::current_exe().expect("the system tells the path of the running program")
}
