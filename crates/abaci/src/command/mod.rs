//! The subcommands, one file or folder each.

mod cancel;
mod completions;
mod compute;
mod config;
mod db;
mod demo;
mod doctor;
mod fleet;
mod fork;
mod gc;
mod lab;
mod list;
mod queue;
mod resume;
mod serve;
mod show;
mod status;
mod submit;
mod verify;
mod wait;
mod web;

use clap::Subcommand;

pub(crate) use db::keep;
pub(crate) use fleet::give_up;

use crate::config::Config;
use crate::exit::Exit;
use crate::telemetry::Audience;

/// The subcommands of abaci.
#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Show it all at work: jobs, a worker killed in the middle, every result exact
    Demo(demo::DemoArgs),
    /// Run a server that takes jobs from the queue
    Serve(serve::ServeArgs),
    /// Run a fleet: several workers under a supervisor, with a health server
    Fleet(fleet::FleetArgs),
    /// Answer over HTTP: the page, and the interface for programs
    Web(web::WebArgs),
    /// Show the workers, what they do and how long the queue is
    Status(status::StatusArgs),
    /// Submit jobs and print their results as they complete
    Submit(Box<submit::SubmitArgs>),
    /// Wait for jobs that were submitted before
    Wait(wait::WaitArgs),
    /// List the jobs of every queue, the newest first
    List(list::ListArgs),
    /// Show one job with its steps
    Show(show::ShowArgs),
    /// Cancel jobs, waiting or running
    Cancel(cancel::CancelArgs),
    /// Put jobs that failed, were parked or were cancelled back into their queue
    Resume(resume::ResumeArgs),
    /// Make a job that keeps the steps of another one up to some step
    Fork(fork::ForkArgs),
    /// Pause queues, resume them, limit how fast their jobs start
    #[command(subcommand)]
    Queue(queue::QueueCommand),
    /// Check the value of a job that succeeded
    Verify(verify::VerifyArgs),
    /// Remove large values and states that no job refers to, and on request old jobs
    Gc(gc::GcArgs),
    /// Run experiments on durable execution that crash for real
    Lab(lab::LabArgs),
    /// Check what abaci needs, and say how to get what is missing
    Doctor(doctor::DoctorArgs),
    /// Look at the configuration
    #[command(subcommand)]
    Config(config::ConfigCommand),
    /// Handle the private database by hand
    #[command(subcommand)]
    Db(db::DbCommand),
    /// Print a completion script for a shell
    Completions(completions::CompletionsArgs),
    /// Compute for a worker
    #[command(hide = true)]
    Compute(compute::ComputeArgs),
}

impl Command {
    /// Runs the command, one of the command line that is `whole`, to its end.
    ///
    /// # Errors
    /// Any error that ended it; [`crate::exit`] turns it into a line and a code.
    pub(crate) async fn run(self, config: &Config, whole: fn() -> clap::Command) -> anyhow::Result<Exit> {
        match self {
            Self::Demo(demo) => demo.run(config).await,
            Self::Serve(serve) => serve.run(config).await,
            Self::Fleet(fleet) => fleet.run(config).await,
            Self::Web(web) => web.run(config).await,
            Self::Status(status) => status.run(config).await,
            Self::Submit(submit) => submit.run(config).await,
            Self::Wait(wait) => wait.run(config).await,
            Self::List(list) => list.run(config).await,
            Self::Show(show) => show.run(config).await,
            Self::Cancel(cancel) => cancel.run(config).await,
            Self::Resume(resume) => resume.run(config).await,
            Self::Fork(fork) => fork.run(config).await,
            Self::Queue(queue) => queue.run(config).await,
            Self::Verify(verify) => verify.run(config).await,
            Self::Gc(gc) => gc.run(config).await,
            Self::Lab(lab) => lab.run(config).await,
            Self::Doctor(doctor) => doctor.run(config).await,
            Self::Config(command) => command.run(config),
            Self::Db(db) => db.run(config).await,
            Self::Completions(completions) => completions.run(whole()),
            Self::Compute(compute) => compute.run(),
        }
    }

    /// Returns the readers of this command's log.
    pub(crate) fn audience(&self) -> Audience {
        match self {
            Self::Serve(_) => Audience::Operator,
            Self::Web(web) if web.is_service() => Audience::Operator,
            Self::Fleet(fleet) if fleet.is_service() => Audience::Operator,
            _ => Audience::Person,
        }
    }

    /// Returns whether this process is to be the keeper of the private database, which needs nothing else of a command.
    pub(crate) fn is_keeper(&self) -> bool {
        matches!(self, Self::Db(db::DbCommand::Keep))
    }

    /// Returns whether another process of this program started this one, and has given every warning before.
    pub(crate) fn is_child(&self) -> bool {
        match self {
            Self::Fleet(fleet) => fleet.is_child(),
            Self::Lab(lab) => lab.is_child(),
            Self::Compute(_) => true,
            command => command.is_keeper(),
        }
    }

    /// Returns whether this process is a worker of a fleet, which reports to its supervisor why it gives up.
    pub(crate) fn is_fleet_worker(&self) -> bool {
        matches!(self, Self::Fleet(fleet) if fleet.is_worker())
    }

    /// Returns whether the process needs one thread only: it computes nothing, and starts its children from that thread.
    pub(crate) fn is_single_threaded(&self) -> bool {
        match self {
            Self::Fleet(fleet) => !fleet.is_worker(),
            Self::Web(_) => true,
            _ => false,
        }
    }
}
