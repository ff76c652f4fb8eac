//! `abaci fleet web`: the web process of a fleet, started by its supervisor and by nobody else.

use abaci_web::WebSettings;
use clap::Args;
use rustix::process::Signal;
use worker_fleet::child::{ServingEnd, ServingProcess};
use worker_fleet::die_with_parent;

use crate::command::web;
use crate::config::Config;
use crate::exit::Exit;
use crate::this_process;
use crate::web_access;

/// The web process of a fleet.
#[derive(Debug, Args)]
pub(super) struct FleetWebArgs {
    /// Process id of the supervisor
    #[arg(long)]
    supervisor: u32,
    /// The place of the jobs, fit to be shown
    #[arg(long)]
    place: String,
}

/// Returns the arguments of the web process, as they are parsed here.
pub(super) fn arguments(place: &str) -> Vec<String> {
    let supervisor = std::process::id();
    let mut arguments = super::words(&format!("fleet web --supervisor {supervisor} --place"));
    arguments.push(place.to_owned());
    arguments
}

impl FleetWebArgs {
    pub(super) async fn run(self, config: &Config) -> anyhow::Result<Exit> {
        let process = ServingProcess::inherited()?;
        // Not a signal that ends it: a stopped process is to wake up, see the end of the channel and end.
        die_with_parent(self.supervisor, Signal::CONT)?;
        this_process::take_name();
        let listener = process.listener()?;
        let access = web_access::access(config, listener.local_addr()?)?;
        let queue = process.queue();
        let url = move || {
            let mut queue = queue.clone();
            async move {
                // The supervisor sends the address at once; a question that comes sooner waits for it.
                let known = queue.wait_for(Option::is_some).await.ok()?;
                known.as_ref().map(|at| at.url.clone())
            }
        };
        let settings = WebSettings {
            connect: web::connect_to(config.clone(), url),
            access,
            limits: config.limits(),
            database: self.place,
            bucket_access: config.bucket_access(),
            kill: None,
        };
        let mut answered = Ok(());
        let end = process
            .run(self.supervisor, |stop| async {
                answered = web::run(config, listener, settings, stop).await;
            })
            .await?;
        answered?;
        Ok(match end {
            ServingEnd::Stopped => Exit::Done,
            ServingEnd::SupervisorGone => Exit::Unreachable,
        })
    }
}
