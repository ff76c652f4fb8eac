//! `abaci verify`: checks the digits of a recorded result, wherever they are kept.

use clap::Args;
use durable_jobs::JobId;
use fibonacci_jobs::JobResult;
use serde::Serialize;

use crate::config::Config;
use crate::database_access::{DatabaseAccess, on_blocking_thread};
use crate::exit::Exit;
use crate::output::{self, Format};
use crate::recorded::fibonacci_result;
use crate::selection;

/// Check the value of a job that succeeded against a certificate that is computed here and now.
///
/// All digits are read, from the database, the directory or the bucket. Exit code 0: they are those of F(n); 1: they are not,
/// or cannot be read, or there are none.
#[derive(Debug, Args)]
pub(crate) struct VerifyArgs {
    /// Id of the job
    #[arg(value_name = "ID")]
    id: String,
    /// Print one JSON object
    #[arg(long)]
    json: bool,
}

/// The outcome, as JSON.
#[derive(Debug, Serialize)]
struct Verification {
    workflow_id: JobId,
    n: u64,
    digits: u64,
    verified: bool,
    /// The first disagreement, or the reason that the digits cannot be read.
    #[serde(skip_serializing_if = "Option::is_none")]
    error: Option<String>,
}

impl VerifyArgs {
    pub(crate) async fn run(self, config: &Config) -> anyhow::Result<Exit> {
        let id = JobId::new(self.id);
        let (_access, client) = DatabaseAccess::connect_to_look(config, &id).await?;
        let id = selection::named(&client, id.to_string()).await?;
        let detail = client.show(&id).await;
        client.close().await;
        let result = fibonacci_result(&detail?)?;
        // Without a connection: the digits of a large value are read elsewhere, which may take long.
        let verification = verification(id, result, config).await?;
        match Format::of_flag(self.json) {
            Format::Json => output::json(&verification)?,
            Format::Human => print(&verification)?,
        }
        Ok(if verification.verified {
            Exit::Done
        } else {
            Exit::No
        })
    }
}

async fn verification(id: JobId, result: JobResult, config: &Config) -> anyhow::Result<Verification> {
    let access = config.bucket_access();
    let (n, digits) = (result.n, result.digits);
    let verified = on_blocking_thread(move || result.verify_all(&access)).await?;
    Ok(Verification {
        workflow_id: id,
        n,
        digits,
        verified: verified.is_ok(),
        error: verified.err().map(|error| error.to_string()),
    })
}

fn print(verification: &Verification) -> anyhow::Result<()> {
    let Verification { n, digits, .. } = verification;
    match &verification.error {
        None => output::line(format_args!(
            "F({n}) verified: {digits} digits, residues modulo three primes and BLAKE3 agree"
        )),
        Some(error) => {
            output::error(format_args!("F({n}) is not verified: {error}"));
            Ok(())
        }
    }
}
