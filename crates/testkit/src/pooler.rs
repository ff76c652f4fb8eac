//! A real pgbouncer between a test and its server.

use std::fs;
use std::process::{Child, Command, Stdio};

use local_postgres::Account;
use url::Url;

use crate::psql;
use crate::temp_dir::TempDir;
use crate::wait::eventually;

/// The way a pooler shares the server's sessions.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum PoolMode {
    /// A session belongs to a connection until its end.
    Session,
    /// A session belongs to a connection for one transaction.
    Transaction,
}

/// A running pgbouncer, which ends with the value.
#[derive(Debug)]
pub struct Pooler {
    process: Child,
    url: String,
    _dir: TempDir,
}

impl Pooler {
    /// Starts one before the database at `url`, which is on a Unix socket, and waits until it passes something through.
    ///
    /// # Panics
    /// When pgbouncer is missing or does not start.
    #[must_use]
    pub fn start(url: &str, mode: PoolMode) -> Self {
        let dir = TempDir::new();
        // No such directory is there, so root gets the account of a new cluster: pgbouncer refuses root, too.
        let account = Account::for_cluster(&dir.path().join("data")).expect("an account can run pgbouncer");
        account.give(dir.path()).expect("the directory is ours");
        let database = Url::parse(url).expect("the server's URL is one");
        let of = |name: &str| {
            let found = database.query_pairs().find(|(key, _)| key == name);
            found.map_or_else(String::new, |(_, value)| value.into_owned())
        };
        let (host, port, user) = (of("host"), of("port"), of("user"));
        let name = database.path().trim_start_matches('/');
        let mode = match mode {
            PoolMode::Session => "session",
            PoolMode::Transaction => "transaction",
        };
        let here = dir.path().display();
        // sqlx sends `extra_float_digits`, which pgbouncer refuses unless its settings say to ignore it.
        let settings = format!(
            "[databases]\n{name} = host={host} port={port} dbname={name} user={user}\n\
             [pgbouncer]\npool_mode = {mode}\nauth_type = any\ndefault_pool_size = 60\nlisten_addr =\nlisten_port = 6432\n\
             unix_socket_dir = {here}\nlogfile = {here}/log\nignore_startup_parameters = extra_float_digits\n"
        );
        let file = dir.path().join("pgbouncer.ini");
        fs::write(&file, settings).expect("the directory is ours");
        let mut command = Command::new("pgbouncer");
        command
            .arg(&file)
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null());
        let mut path = std::env::var_os("PATH").unwrap_or_default();
        // Debian has it where only root looks.
        path.push(":/usr/sbin");
        command.env("PATH", path);
        let process = account
            .run(&mut command)
            .spawn()
            .expect("pgbouncer can be started; ./check installs it, as does: apt-get install pgbouncer");
        let url = format!("postgres:///{name}?host={here}&port=6432&user={user}");
        eventually("a pooler that passes questions through", || {
            psql::try_run(&url, "select 1")
        });
        Self {
            process,
            url,
            _dir: dir,
        }
    }

    /// Returns the URL of the database through the pooler.
    #[must_use]
    pub fn url(&self) -> &str {
        &self.url
    }
}

impl Drop for Pooler {
    fn drop(&mut self) {
        // It has nothing of its own to save.
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}
