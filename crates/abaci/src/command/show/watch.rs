//! `abaci show --watch`: a job looked at twice a second until it has ended.
//!
//! A terminal shows the last look in place of the one before; a pipe gets a line when something changed and the whole at the
//! end; JSON is one object per look.
//! An outage of the database ends the watch only after `wait_for_database`; a job that nobody works on never does.

use std::io::{self, IsTerminal};
use std::time::Duration;

use durable_jobs::client::WaitEvent;
use durable_jobs::{Client, Error, JobId, State};
use tokio::time::MissedTickBehavior;

use super::{Look, draw};
use crate::config::Config;
use crate::exit::{Exit, Failed};
use crate::output::{self, Format};
use crate::wait::{LocalFleet, Response, WaitTimeouts};

/// Interval at which it looks.
const INTERVAL: Duration = Duration::from_millis(500);

/// The place where looks are shown.
enum Surface {
    Terminal,
    /// With the line that was printed last.
    Pipe(String),
    Json,
}

/// Shows the job until it has ended.
///
/// # Errors
/// An error when there is no such job, or the database was away for too long.
pub(super) async fn watch(
    client: &Client,
    id: &JobId,
    format: Format,
    config: &Config,
) -> anyhow::Result<Exit> {
    let mut surface = Surface::of(format);
    // A missing server is waited for without an end: the person who watches wants to see it come.
    let mut timeouts = WaitTimeouts::new(Duration::MAX, config.wait_for_database.value.0);
    let fleet = LocalFleet::of(config);
    let mut looks = tokio::time::interval(INTERVAL);
    // After an outage there is one look, and not one for each that was missed.
    looks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        looks.tick().await;
        let look = match Look::take(client, id, &fleet).await {
            Ok(look) => look,
            Err(error @ Error::NotFound { .. }) => return Err(error.into()),
            Err(error) => {
                let lost = WaitEvent::DatabaseLost {
                    since: Duration::ZERO,
                    reason: error.to_string(),
                };
                respond(timeouts.consider(&lost))?;
                continue;
            }
        };
        respond(timeouts.consider(&WaitEvent::DatabaseBack))?;
        surface.show(&look)?;
        let state = look.detail.job.state;
        if state.is_final() {
            return Ok(if state == State::Succeeded {
                Exit::Done
            } else {
                Exit::No
            });
        }
    }
}

fn respond(response: Option<Response>) -> Result<(), Failed> {
    match response {
        Some(Response::GaveUp(reason)) => return Err(Failed::unreachable(reason)),
        Some(Response::Notice(notice)) => output::talk(notice),
        None => {}
    }
    Ok(())
}

impl Surface {
    fn of(format: Format) -> Self {
        match format {
            Format::Json => Self::Json,
            Format::Human if io::stdout().is_terminal() => Self::Terminal,
            Format::Human => Self::Pipe(String::new()),
        }
    }

    fn show(&mut self, look: &Look) -> anyhow::Result<()> {
        match self {
            Self::Json => output::json(look),
            Self::Terminal => output::screen(&draw::lines(look)),
            Self::Pipe(_) if look.detail.job.state.is_final() => {
                draw::lines(look).iter().try_for_each(output::line)
            }
            Self::Pipe(last) => {
                let line = draw::line(look);
                if *last == line {
                    return Ok(());
                }
                output::line(&line)?;
                *last = line;
                Ok(())
            }
        }
    }
}
