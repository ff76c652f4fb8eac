//! `abaci web`: the page and the HTTP interface, on any host that reaches the database.

use std::future::Future;
use std::net::{SocketAddr, TcpListener};
use std::pin::Pin;
use std::sync::Arc;

use abaci_web::{Connect, Token, WebServer, WebSettings};
use anyhow::Context;
use clap::{Args, Subcommand};
use durable_jobs::{Client, Error};
use worker_fleet::signals::Signals;
use worker_fleet::supervisor;

use crate::config::Config;
use crate::database_access::{DatabaseAccess, client_settings};
use crate::exit::{Exit, Failed};
use crate::flags::{LimitFlags, QueueFlags, StarterFlags, WebFlags};
use crate::output;
use crate::web_access;

/// Answer over HTTP: the page, and the interface for programs.
///
/// A fleet has a web process already. Reading is open on this machine; whoever changes something needs the token, and a
/// browser gets it by the address that `abaci web url` prints.
#[derive(Debug, Args)]
#[command(args_conflicts_with_subcommands = true, flatten_help = false)]
pub(crate) struct WebArgs {
    #[command(subcommand)]
    command: Option<WebCommand>,
    #[command(flatten)]
    _web: WebFlags,
    #[command(flatten)]
    _queue: QueueFlags,
    #[command(flatten)]
    _limits: LimitFlags,
    #[command(flatten)]
    starter: StarterFlags,
}

/// The questions about the page.
#[derive(Debug, Subcommand)]
enum WebCommand {
    /// Print an address that logs a browser in once, within ten minutes
    Url {
        #[command(flatten)]
        _web: WebFlags,
    },
}

impl WebArgs {
    /// Returns whether this is a server and not a command about one.
    pub(crate) fn is_service(&self) -> bool {
        self.command.is_none()
    }

    pub(crate) async fn run(self, config: &Config) -> anyhow::Result<Exit> {
        match self.command {
            None => self.serve(config).await,
            Some(WebCommand::Url { .. }) => print_url(config).await,
        }
    }

    async fn serve(&self, config: &Config) -> anyhow::Result<Exit> {
        let Some(address) = web_access::address(config) else {
            let way_out = "give an address such as 127.0.0.1:8081";
            return Err(Failed::usage(format!("{}; {way_out}", config.web_addr.named("none"))).into());
        };
        let mut signals = Signals::listen()?;
        let access = web_access::access(config, address)?;
        let listener = web_access::bind(address).await?;
        let Some(database) = signals.unless_any(DatabaseAccess::open(config)).await else {
            return Ok(Exit::Interrupted);
        };
        let database = database?;
        let _kept = database.keep_running();
        let settings = WebSettings {
            connect: connect(config.clone(), database.clone()),
            access,
            limits: config.limits(),
            database: database.place().to_owned(),
            bucket_access: config.bucket_access(),
            kill: None,
        };
        let stop = async {
            tokio::select! {
                _ = signals.next() => {}
                _ = self.starter.starter_left() => {}
            }
        };
        run(config, listener, settings, stop).await?;
        Ok(Exit::Done)
    }
}

/// Answers until `stop` completes.
pub(super) async fn run(
    config: &Config,
    listener: TcpListener,
    settings: WebSettings,
    stop: impl Future<Output = ()>,
) -> anyhow::Result<()> {
    let token = web_access::follow_token(config, settings.access.clone());
    let server = WebServer::new(listener, settings).context("preparing the web listener")?;
    tokio::select! {
        answered = server.run(stop) => answered.context("answering over HTTP"),
        never = token => match never {},
    }
}

/// Connects clients to a database that is known.
pub(super) fn connect(config: Config, database: DatabaseAccess) -> Connect {
    let (config, database) = (Arc::new(config), database);
    Box::new(move || {
        let (config, database) = (Arc::clone(&config), database.clone());
        Box::pin(async move { database.client_with(&config, config.tables()).await })
    })
}

/// Connects clients to a database whose address is known later, by `url`.
pub(super) fn connect_to<F>(config: Config, url: impl Fn() -> F + Send + Sync + 'static) -> Connect
where
    F: Future<Output = Option<String>> + Send + 'static,
{
    let config = Arc::new(config);
    Box::new(
        move || -> Pin<Box<dyn Future<Output = Result<Client, Error>> + Send>> {
            let (config, url) = (Arc::clone(&config), url());
            Box::pin(async move {
                // None where the supervisor is gone: an empty address is refused at once.
                let url = url.await.unwrap_or_default();
                Client::connect(client_settings(&config, &url, config.tables())).await
            })
        },
    )
}

/// Prints an address that logs in once: that of the fleet of this data directory, or else the one of the settings.
async fn print_url(config: &Config) -> anyhow::Result<Exit> {
    let token = web_access::token(config)?;
    let given = web_access::address(config);
    let running = match config.web_addr.value {
        None => address_of_fleet(config).await?,
        // An address that is given counts, whatever a fleet here has.
        Some(_) => None,
    };
    let Some(address) = running.or(given) else {
        let way_out = "give the address of the page";
        return Err(Failed::usage(format!("{}; {way_out}", config.web_addr.named("none"))).into());
    };
    output::line(login_url(&token, address)?)?;
    Ok(Exit::Done)
}

/// Makes an address that logs a browser in once.
pub(super) fn login_url(token: &Token, address: SocketAddr) -> anyhow::Result<String> {
    let code = web_access::login_code(token)?;
    Ok(format!("http://{}/login?code={code}", reachable(address)))
}

async fn address_of_fleet(config: &Config) -> anyhow::Result<Option<SocketAddr>> {
    let directory = supervisor::directory_in(&config.data_dir.value)?;
    let web = supervisor::look(&directory).await?.and_then(|fleet| fleet.web);
    Ok(web.and_then(|web| web.address.parse().ok()))
}

/// Names an address by which a browser on this machine reaches it.
fn reachable(mut address: SocketAddr) -> SocketAddr {
    if address.ip().is_unspecified() {
        address.set_ip(match address {
            SocketAddr::V4(_) => std::net::Ipv4Addr::LOCALHOST.into(),
            SocketAddr::V6(_) => std::net::Ipv6Addr::LOCALHOST.into(),
        });
    }
    address
}
