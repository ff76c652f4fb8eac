//! Statements through `psql`: independent of every driver under test.

use std::sync::LazyLock;

use local_postgres::Programs;

/// The machine's PostgreSQL.
pub(crate) static PROGRAMS: LazyLock<Programs> =
    LazyLock::new(|| Programs::find(None).expect("tests need PostgreSQL's programs"));

/// Runs statements and returns the rows, one a line, columns separated by `|`; or what went wrong.
pub(crate) fn try_run(url: &str, statements: &str) -> Result<String, String> {
    let mut command = PROGRAMS.command("psql");
    command.args([
        "-X",
        "-q",
        "-A",
        "-t",
        "-v",
        "ON_ERROR_STOP=1",
        "-d",
        url,
        "-c",
        statements,
    ]);
    let output = command.output().expect("psql can be started");
    if output.status.success() {
        return Ok(String::from_utf8_lossy(&output.stdout)
            .trim_end_matches('\n')
            .to_owned());
    }
    Err(String::from_utf8_lossy(&output.stderr).into_owned())
}

/// As [`try_run`], but panics with psql's standard error.
#[track_caller]
pub(crate) fn run(url: &str, statements: &str) -> String {
    try_run(url, statements).unwrap_or_else(|stderr| panic!("psql refused {statements:?}: {stderr}"))
}
