//! The command blocks of the README and of docs/, run as they would be pasted.
//!
//! The blocks of a page are one session of bash: a shell with an empty home, an empty directory and the built program. Each
//! command has to succeed, and the words, counts and values that a block shows below it have to be in its output; times and
//! ids differ.
//! A block that is marked `no-run=REASON` is left out; [`NOT_RUN`] has all of those.

mod page;

use std::fs;
use std::net::TcpListener;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use testkit::{Deadline, Process, TempDir};

use self::page::{Block, blocks_of, has_part, lasting_parts};
use crate::rig::code;

/// The longest that the session of a page may take on a busy machine.
const SESSION: Duration = Duration::from_mins(4);

/// The pages whose commands are run, each by a test of its own.
const RUN: &[&str] = &[
    "README.md",
    "docs/commands.md",
    "docs/http.md",
    "docs/lab.md",
    "docs/operations.md",
    "docs/use-cases.md",
];

/// The blocks that are not run, as page, reason and number; a new one is added here or not at all.
///
/// `installs` is for what asks for root and builds, and `minutes` for measurements.
const NOT_RUN: &[(&str, &str, usize)] = &[
    ("README.md", "installs", 1),
    ("docs/arithmetic.md", "minutes", 3),
    ("docs/performance.md", "minutes", 1),
];

/// In the place of cargo: the program and the example are those of the tests' own build.
const CARGO: &str = r#"#!/bin/bash
case "$*" in
    "build --release" | "build --release -p durable-jobs --example primes") ;;
    *) echo "cargo $*: not in this sandbox" >&2; exit 1 ;;
esac
"#;

#[test]
fn the_commands_of_the_readme_run() {
    run("README.md");
}

#[test]
fn the_commands_of_the_command_page_run() {
    run("docs/commands.md");
}

#[test]
fn the_commands_of_the_http_page_run() {
    run("docs/http.md");
}

#[test]
fn the_commands_of_the_laboratory_page_run() {
    run("docs/lab.md");
}

#[test]
fn the_commands_of_the_operations_page_run() {
    run("docs/operations.md");
}

#[test]
fn the_commands_of_the_use_cases_page_run() {
    run("docs/use-cases.md");
}

#[test]
fn every_command_block_is_run_or_says_why_not() {
    let mut left_out: Vec<(String, String)> = Vec::new();
    for page in pages() {
        let blocks = blocks_of(&page, &read(&page));
        let is_run = blocks.iter().any(|block| block.no_run.is_none());
        assert_eq!(is_run, RUN.contains(&page.as_str()), "{page} and RUN differ");
        let reasons = blocks.into_iter().filter_map(|block| block.no_run);
        left_out.extend(reasons.map(|reason| (page.clone(), reason)));
    }
    left_out.sort();
    let mut counted: Vec<(&str, &str, usize)> = Vec::new();
    for group in left_out.chunk_by(|a, b| a == b) {
        counted.push((&group[0].0, &group[0].1, group.len()));
    }
    assert_eq!(
        counted, NOT_RUN,
        "blocks are left out that are not in NOT_RUN, or the other way round"
    );
}

/// Runs the blocks of a page in one session.
#[track_caller]
fn run(page: &str) {
    let home = TempDir::new();
    let free = || {
        TcpListener::bind("127.0.0.1:0")
            .unwrap()
            .local_addr()
            .unwrap()
            .to_string()
    };
    let (health, web) = (free(), free());
    let blocks = blocks_of(page, &read(page));
    let run: Vec<Block> = blocks
        .into_iter()
        .filter(|block| block.no_run.is_none())
        .collect();
    // The ports of the pages may be somebody else's here.
    let script = script_of(&run)
        .replace("localhost:8080", &health)
        .replace("localhost:8081", &web);
    let process = Process::spawn(session(&home, &script, [&health, &web]));
    let output = process.with_deadline(Deadline::after(SESSION)).finish();
    let transcript = output.stdout.join("\n");
    let log = fs::read_to_string(home.path().join("fleet.log")).unwrap_or_default();
    let end = log.lines().rev().take(20).collect::<Vec<_>>();
    assert_eq!(
        code(&output),
        0,
        "{page} cannot be pasted:\n{transcript}\nfleet.log, backwards: {end:#?}"
    );
    let mut parts = transcript.split('\u{1e}').skip(1);
    for command in run.iter().flat_map(|block| &block.commands) {
        let written = parts.next().unwrap_or_default();
        let mut missing = lasting_parts(&command.output);
        missing.retain(|part| !has_part(written, part));
        assert!(
            missing.is_empty(),
            "{page}: `{}` does not write {missing:?}, as the page shows; it wrote{written}",
            command.text
        );
    }
}

/// Returns the script of a session: a mark before each command, and the end at the first that fails.
fn script_of(blocks: &[Block]) -> String {
    let commands = blocks.iter().flat_map(|block| &block.commands);
    let steps = commands.map(|command| format!("printf '\\036\\n'\n{}\n", command.text));
    let end = "status=$?; set +e; kill $(jobs -p) 2>/dev/null; wait; abaci db stop; exit $status";
    format!(
        "exec 2>&1\nset -e\ntrap '{end}' EXIT\n{}",
        steps.collect::<String>()
    )
}

fn session(home: &TempDir, script: &str, [health, web]: [&str; 2]) -> Command {
    let program = Path::new(env!("CARGO_BIN_EXE_abaci")).parent().unwrap();
    let bin = home.path().join("bin");
    fs::create_dir(&bin).unwrap();
    fs::write(bin.join("cargo"), CARGO).unwrap();
    fs::set_permissions(bin.join("cargo"), fs::Permissions::from_mode(0o755)).unwrap();
    let search = std::env::var("PATH").unwrap();
    let mut command = Command::new("bash");
    command
        .args(["-c", script])
        .env_clear()
        .env("HOME", home.path())
        // For root it would be a place that all share.
        .env("ABACI_DATA_DIR", home.path().join("data"))
        .env("ABACI_HEALTH_ADDR", health)
        .env("ABACI_WEB_ADDR", web)
        .env(
            "PATH",
            format!(
                "{}:{}:{}:{search}",
                bin.display(),
                program.display(),
                program.join("examples").display()
            ),
        )
        .current_dir(home.path());
    command
}

/// The README and every page of docs/.
fn pages() -> Vec<String> {
    let docs = fs::read_dir(root().join("docs")).unwrap().flatten();
    let names = docs.map(|entry| format!("docs/{}", entry.file_name().to_string_lossy()));
    let is_page = |name: &String| Path::new(name).extension().is_some_and(|end| end == "md");
    let mut pages: Vec<String> = names.filter(is_page).collect();
    pages.extend(["README.md", "CONTRIBUTING.md", "ARCHITECTURE.md"].map(str::to_owned));
    pages.sort();
    pages
}

fn read(page: &str) -> String {
    fs::read_to_string(root().join(page)).unwrap()
}

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../..")
}
