//! Who may do what over HTTP, as the settings say: the token, the names, the address.

use std::convert::Infallible;
use std::fs;
use std::io::{self, Read, Write};
use std::net::{SocketAddr, TcpListener};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::sync::mpsc;
use std::thread;
use std::time::Duration;

use abaci_web::{Access, Token};
use anyhow::Context;
use tracing::{info, warn};

use crate::bind_soon::bind_soon;
use crate::config::{Config, ListenAddr, USUAL_WEB_ADDR, WEB_TOKEN};
use crate::exit::Failed;

/// The longest file that is read for a token; a longer one is none.
const LONGEST_FILE: u64 = 4096;

/// The time in which a token has to be there.
const READ_TIMEOUT: Duration = Duration::from_secs(10);

/// The time between two looks at the file of the token.
const LOOK_INTERVAL: Duration = Duration::from_secs(1);

/// Returns the address to listen on, if there is to be one.
pub(crate) fn address(config: &Config) -> Option<SocketAddr> {
    match config.web_addr.value.unwrap_or(USUAL_WEB_ADDR) {
        ListenAddr::At(address) => Some(address),
        ListenAddr::Off => None,
    }
}

/// Binds the address.
///
/// # Errors
/// A usage error when it cannot be had.
pub(crate) async fn bind(address: SocketAddr) -> Result<TcpListener, Failed> {
    let bound = bind_soon(|| TcpListener::bind(address)).await;
    bound.map_err(|error| {
        Failed::usage(format!(
            "web address {address}: {error}; choose another with --web-addr, or none"
        ))
    })
}

/// Settles who may do what on this address.
///
/// # Errors
/// A usage error for a token that makes no sense, or where one has to be given; an error of the file system.
pub(crate) fn access(config: &Config, address: SocketAddr) -> anyhow::Result<Access> {
    let given = given_token(config)?;
    let is_open = address.ip().is_loopback();
    if given.is_none() && !is_open {
        let message = format!(
            "web_addr is {address}, which others reach, and no token was given; give one by {WEB_TOKEN} or --token-file, or an address such as 127.0.0.1:8081"
        );
        return Err(Failed::usage(message).into());
    }
    let token = match given {
        Some(token) => token,
        None => own_token(&config.data_dir.value)?,
    };
    let names = config.web_host.value.as_deref().unwrap_or_default().split(',');
    let names = names.map(str::trim).filter(|name| !name.is_empty());
    let access = Access::new(token).with_hosts(names.map(str::to_owned).collect());
    let access = if is_open { access } else { access.closed() };
    Ok(if config.read_only.value {
        access.read_only()
    } else {
        access
    })
}

/// Returns the token that the settings give, or the one of the data directory, which is made where there is none.
///
/// # Errors
/// As [`access`].
pub(crate) fn token(config: &Config) -> anyhow::Result<Token> {
    match given_token(config)? {
        Some(token) => Ok(token),
        None => own_token(&config.data_dir.value),
    }
}

/// Takes the token anew whenever its file has another one, for as long as the server runs. A file that is gone or makes no
/// sense changes nothing.
pub(crate) async fn follow_token(config: &Config, access: Access) -> Infallible {
    let Some(path) = token_path(config) else {
        return std::future::pending().await;
    };
    let mut is_failing = false;
    loop {
        tokio::time::sleep(LOOK_INTERVAL).await;
        let of = path.clone();
        // A file system that hangs holds nobody else up.
        let read = tokio::task::spawn_blocking(move || read_token(&of)).await;
        match read.unwrap_or_else(|error| Err(error.to_string())) {
            Ok(token) => {
                is_failing = false;
                if access.replace_token(token) {
                    info!(path = %path.display(), "the token is another one; sessions of the one before are over");
                }
            }
            Err(error) if !std::mem::replace(&mut is_failing, true) => {
                warn!(error, path = %path.display(), "the token cannot be read; it stays as it was");
            }
            Err(_) => {}
        }
    }
}

/// Returns the file of the token, unless the environment gives it; a pipe is read at the start alone.
fn token_path(config: &Config) -> Option<PathBuf> {
    if config.surroundings.web_token.is_some() {
        return None;
    }
    let given = config.token_file.value.clone();
    let path = given.unwrap_or_else(|| own_path(&config.data_dir.value));
    path.is_file().then_some(path)
}

fn own_path(data_dir: &Path) -> PathBuf {
    data_dir.join("web").join("token")
}

fn read_token(path: &Path) -> Result<Token, String> {
    token_in(read_short(path))
}

fn token_in(text: io::Result<String>) -> Result<Token, String> {
    let text = text.map_err(|error| error.to_string())?;
    Token::new(text.trim()).map_err(|error| error.to_string())
}

/// Reads the beginning of a file: one that never ends is no token.
fn read_short(path: &Path) -> io::Result<String> {
    let mut text = String::new();
    let file = fs::File::open(path)?;
    file.take(LONGEST_FILE).read_to_string(&mut text).map(|_| text)
}

/// Reads what may be a pipe, which somebody is about to write into or not.
fn read_soon(path: &Path) -> io::Result<String> {
    let (told, read) = mpsc::channel();
    let of = path.to_owned();
    let reads = move || {
        // Nobody waits any more, perhaps.
        let _ = told.send(read_short(&of));
    };
    // It stays behind where the file says nothing.
    thread::spawn(reads);
    let late = || io::Error::new(io::ErrorKind::TimedOut, "nothing came within 10 s");
    read.recv_timeout(READ_TIMEOUT).map_err(|_| late())?
}

/// Makes a code that logs a browser in once.
///
/// # Errors
/// When the operating system has no random bytes.
pub(crate) fn login_code(token: &Token) -> anyhow::Result<String> {
    let mut random = [0; 16];
    getrandom::fill(&mut random).context("drawing random bytes")?;
    Ok(token.login_code(random))
}

fn given_token(config: &Config) -> anyhow::Result<Option<Token>> {
    if let Some(text) = &config.surroundings.web_token {
        let token = Token::new(text).map_err(|error| Failed::usage(format!("{WEB_TOKEN}: {error}")));
        return Ok(Some(token?));
    }
    let Some(path) = &config.token_file.value else {
        return Ok(None);
    };
    let named = || config.token_file.named(path.display());
    let token = token_in(read_soon(path)).map_err(|error| Failed::usage(format!("{}: {error}", named())));
    Ok(Some(token?))
}

/// Reads the token of the data directory, which the first start makes.
fn own_token(data_dir: &Path) -> anyhow::Result<Token> {
    let path = own_path(data_dir);
    let failed = |error: io::Error| Failed::usage(format!("cannot use {}: {error}", path.display()));
    match read_short(&path) {
        Ok(text) => {
            let token = Token::new(text.trim());
            let token = token.map_err(|error| {
                let message = format!("{}: {error}, or remove the file to have one made", path.display());
                Failed::usage(message)
            });
            Ok(token?)
        }
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            make_token(&path).map_err(failed)?;
            // Of two first starts one has made it.
            let text = read_short(&path).map_err(failed)?;
            Ok(Token::new(text.trim()).map_err(|error| Failed::usage(error.to_string()))?)
        }
        Err(error) => Err(failed(error).into()),
    }
}

/// Makes a token that only its owner reads, whole or not at all, unless there is one.
fn make_token(path: &Path) -> io::Result<()> {
    let mut random = [0; 32];
    getrandom::fill(&mut random).map_err(io::Error::other)?;
    let token = Token::of_random(random);
    if let Some(directory) = path.parent() {
        fs::create_dir_all(directory)?;
    }
    let new = PathBuf::from(format!("{}.{}", path.display(), std::process::id()));
    // A killed process of the same id may have left it.
    let _ = fs::remove_file(&new);
    // The mode counts only for a file that is made here, and a link that lies in its place is not followed.
    let mut file = fs::OpenOptions::new()
        .write(true)
        .create_new(true)
        .mode(0o600)
        .open(&new)?;
    writeln!(file, "{}", token.expose())?;
    // Before it has its name: a file of that name is whole even after a power failure.
    file.sync_all()?;
    // A link fails where a token is there already; a rename would replace it.
    let linked = fs::hard_link(&new, path);
    fs::remove_file(&new)?;
    match linked {
        Err(error) if error.kind() != io::ErrorKind::AlreadyExists => Err(error),
        _ => Ok(()),
    }
}
