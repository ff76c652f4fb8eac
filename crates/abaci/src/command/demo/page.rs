//! The demo on the page: jobs of several kinds, and a button at each worker that kills it.

use std::fs::OpenOptions;
use std::io::Write;
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;

use abaci_web::WebSettings;
use anyhow::Context;
use durable_jobs::JobId;
use durable_jobs::client::SubmitOptions;
use durable_jobs::database::Tables;
use fibonacci_jobs::{Algorithm, Request, new_jobs};
use worker_fleet::signals::Signals;

use super::fleet::DemoFleet;
use super::output;
use super::sandbox::DemoSandbox;
use crate::command::web;
use crate::database_access::{DatabaseAccess, on_blocking_thread};
use crate::exit::Exit;
use crate::output::talk;
use crate::web_access;

/// Jobs that one can watch: of thousands of recorded steps, of one long computation, of a large value.
const JOBS: [(u64, Algorithm); 8] = [
    (8_000, Algorithm::Stepwise),
    (46, Algorithm::Recursive),
    (1_000_000, Algorithm::Doubling),
    (45, Algorithm::Recursive),
    (6_000, Algorithm::Stepwise),
    (48, Algorithm::Recursive),
    (10_000_000, Algorithm::Doubling),
    (47, Algorithm::Recursive),
];

/// Shows the page until somebody ends it.
pub(super) async fn show(
    sandbox: &DemoSandbox,
    access: &DatabaseAccess,
    signals: &mut Signals,
) -> anyhow::Result<Exit> {
    output::opening(sandbox, output::KILLED_BY_YOU)?;
    let Some(started) = signals.unless_any(DemoFleet::start(sandbox, access)).await else {
        talk("interrupted; cleaning up");
        return Ok(Exit::Interrupted);
    };
    let (fleet, snapshot) = started?;
    output::fleet_started(fleet.pid(), &snapshot)?;
    let shown = serve(sandbox, access, &fleet, signals).await;
    // Before the error, if there is one, is returned: its end takes a while and blocks.
    on_blocking_thread(move || drop(fleet)).await?;
    shown.map(|()| Exit::Done)
}

async fn serve(
    sandbox: &DemoSandbox,
    access: &DatabaseAccess,
    fleet: &DemoFleet,
    signals: &mut Signals,
) -> anyhow::Result<()> {
    submit(sandbox, access).await?;
    let config = &sandbox.config;
    let listener = web_access::bind((std::net::Ipv4Addr::LOCALHOST, 0).into()).await?;
    let address = listener.local_addr()?;
    let settings = WebSettings {
        connect: web::connect(config.clone(), access.clone()),
        access: web_access::access(config, address)?,
        limits: config.limits(),
        database: access.place().to_owned(),
        bucket_access: config.bucket_access(),
        kill: Some(fleet.killer()),
    };
    let url = web::login_url(&web_access::token(config)?, address)?;
    output::page(&url, is_opened(&sandbox.directory, &url)?)?;
    web::run(config, listener, settings, async {
        signals.next().await;
    })
    .await
}

async fn submit(sandbox: &DemoSandbox, access: &DatabaseAccess) -> anyhow::Result<()> {
    let jobs = JOBS.map(|(n, algorithm)| (JobId::fresh(), Request::with(n, algorithm)));
    let client = access.client_with(&sandbox.config, Tables::Make).await?;
    client
        .submit_all(&new_jobs(&jobs), SubmitOptions::default())
        .await
        .context("submitting")?;
    client.close().await;
    Ok(())
}

/// Opens the address in a browser, if there is one.
///
/// The address logs in, and everybody sees the arguments of a process: the browser gets a file that leads there.
fn is_opened(directory: &Path, url: &str) -> anyhow::Result<bool> {
    let path = directory.join("open.html");
    let mut file = OpenOptions::new()
        .write(true)
        .create_new(true)
        .mode(0o600)
        .open(&path)
        .context("writing a file for the browser")?;
    write!(
        file,
        "<!doctype html><meta charset=utf-8><meta http-equiv=refresh content=\"0; url={url}\"><title>abaci</title>"
    )?;
    Ok(open::that_detached(&path).is_ok())
}
