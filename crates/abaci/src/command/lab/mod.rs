//! `abaci lab`: experiments on durable execution that crash for real and say what happened.

mod page;

use std::time::Duration;

use abaci_lab::{
    ChildRole, EXPERIMENTS, Experiment, Forms, Laboratory, Removal, Report, SEED, Trace, remove_leftovers,
};
use clap::Args;
use durable_jobs::database::inspect;
use worker_fleet::signals::Signals;

use self::page::Page;
use crate::config::Config;
use crate::database_access::DatabaseAccess;
use crate::exit::{Exit, Failed};
use crate::output::{self, Format, Table};
use crate::this_process;

/// The longest that the database may take to answer before anything is done.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);

/// The hidden word that makes one process of an experiment, which another one starts.
const ACT: &str = "act";

/// Run experiments that crash for real: what goes wrong in durable execution, why, and how it is done right.
#[derive(Debug, Args)]
#[command(after_help = "Exit codes: 0 what the experiment claims was observed, 1 it was not.")]
pub(crate) struct LabArgs {
    /// Name of the experiment, such as ex1; list for all names, all to run every one
    #[arg(value_name = "EXPERIMENT")]
    what: String,
    /// Print one JSON object per experiment, and what happens meanwhile on stderr
    #[arg(long)]
    json: bool,
    /// What decides where the crashes are
    #[arg(long, value_name = "NUMBER", default_value_t = SEED)]
    seed: u64,
    /// Run the broken form in the place of the right one, which no verdict must survive
    #[arg(long, hide = true)]
    swapped: bool,
}

impl LabArgs {
    /// Says whether an experiment started this process.
    pub(crate) fn is_child(&self) -> bool {
        self.what == ACT
    }

    pub(crate) async fn run(self, config: &Config) -> anyhow::Result<Exit> {
        match self.what.as_str() {
            "list" => Page::of_stdout().list(EXPERIMENTS).map(|()| Exit::Done),
            ACT => act().await,
            "all" => self.run_these(EXPERIMENTS, config).await,
            name => {
                let unknown = || {
                    let message = format!("no experiment is called {name:?}; see: abaci lab list");
                    Failed::usage(message)
                };
                let experiment = abaci_lab::find(name).ok_or_else(unknown)?;
                self.run_these(std::slice::from_ref(experiment), config).await
            }
        }
    }

    async fn run_these(&self, experiments: &[Experiment], config: &Config) -> anyhow::Result<Exit> {
        let mut signals = Signals::listen()?;
        let Some(opened) = signals.unless_any(open(config)).await else {
            return Ok(Exit::Interrupted);
        };
        let access = opened?;
        let _kept = access.keep_running();
        let laboratory = self.laboratory(&access)?;
        let format = Format::of_flag(self.json);
        let page = Page::of_stdout();
        let trace = |trace: &Trace| match format {
            Format::Json => output::talk(page::line(trace)),
            Format::Human => page.tell(trace),
        };
        let mut reports = Vec::new();
        for experiment in experiments {
            if format == Format::Human {
                page.introduce(experiment, self.seed)?;
            }
            // Handed in, since a run that is dropped instead would leave its schema in the database.
            let interrupted = async {
                signals.next().await;
            };
            let Some(report) = experiment.run(&laboratory, &trace, interrupted).await? else {
                return Ok(Exit::Interrupted);
            };
            match format {
                Format::Json => output::json(&report)?,
                Format::Human => page.conclude(&report)?,
            }
            reports.push(report);
        }
        if format == Format::Human && reports.len() > 1 {
            print_matrix(&reports)?;
        }
        let all_observed = reports.iter().all(|report| report.observed);
        Ok(if all_observed { Exit::Done } else { Exit::No })
    }

    fn laboratory(&self, access: &DatabaseAccess) -> anyhow::Result<Laboratory> {
        Ok(Laboratory {
            database_url: access.url().to_owned(),
            program: this_process::path()?,
            arguments: ["lab", ACT].map(str::to_owned).to_vec(),
            seed: self.seed,
            forms: if self.swapped {
                Forms::Swapped
            } else {
                Forms::AsWritten
            },
        })
    }
}

/// Opens the database, and removes what runs that were killed have left there.
async fn open(config: &Config) -> anyhow::Result<DatabaseAccess> {
    let access = DatabaseAccess::open(config).await?;
    // For its bound: a database that does not answer is an error before anything is removed or started.
    inspect(access.url(), CONNECT_TIMEOUT).await?;
    for leftover in remove_leftovers(access.url(), Removal::Drop).await? {
        let size = output::size(leftover.bytes);
        output::talk(format_args!(
            "removed {} ({size}) of a run that was killed",
            leftover.schema
        ));
    }
    Ok(access)
}

async fn act() -> anyhow::Result<Exit> {
    let role = ChildRole::take();
    let role = role
        .map_err(|_| Failed::usage("this process is part of an experiment; start one with: abaci lab ex1"))?;
    role.act().await.map(|()| Exit::Done)
}

fn print_matrix(reports: &[Report]) -> anyhow::Result<()> {
    let mut table = Table::new(["NAME", "TITLE", "SECONDS", "VERDICT"]);
    for report in reports {
        table.row([
            report.experiment.clone(),
            report.title.clone(),
            format!("{:.1}", report.seconds),
            page::painted_verdict(report),
        ]);
    }
    table.print()
}
