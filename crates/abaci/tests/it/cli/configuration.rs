//! Which source of a setting wins, and what `config show` says of it.

use std::fs;
use std::path::PathBuf;
use std::process::Command;

use testkit::{Process, Signal, TempDir};

use crate::rig::{Rig, assert_refused, bare, code, objects, run};

fn config_file(home: &TempDir, text: &str) -> PathBuf {
    let folder = home.path().join(".config/abaci");
    fs::create_dir_all(&folder).unwrap();
    let file = folder.join("config.toml");
    fs::write(&file, text).unwrap();
    file
}

/// Value and source of a setting.
#[track_caller]
fn shown(command: Command, key: &str) -> (String, String) {
    let output = run(command);
    assert_eq!(code(&output), 0, "{output:#?}");
    let entry = objects(&output)
        .into_iter()
        .find(|entry| entry["key"] == key)
        .unwrap();
    let text = |field: &str| entry[field].as_str().unwrap_or_default().to_owned();
    (text("value"), text("source"))
}

#[test]
fn a_flag_wins_over_variable_over_file_over_default() {
    let home = TempDir::new();
    let show = || bare(&home, ["config", "show", "--json"]);
    assert_eq!(
        shown(show(), "log_level"),
        ("info".to_owned(), "default".to_owned())
    );

    let file = config_file(&home, "log_level = \"warn\"\n");
    assert_eq!(
        shown(show(), "log_level"),
        ("warn".to_owned(), format!("file {}", file.display()))
    );

    let mut with_variable = show();
    with_variable.env("ABACI_LOG", "debug");
    assert_eq!(
        shown(with_variable, "log_level"),
        ("debug".to_owned(), "environment ABACI_LOG".to_owned())
    );

    let mut with_flag = show();
    with_flag.env("ABACI_LOG", "debug").args(["--log-level", "trace"]);
    assert_eq!(
        shown(with_flag, "log_level"),
        ("trace".to_owned(), "flag".to_owned())
    );
}

#[test]
fn an_empty_variable_counts_as_none() {
    let home = TempDir::new();
    let mut show = bare(&home, ["config", "show", "--json"]);
    show.env("ABACI_QUEUE", "");
    assert_eq!(
        shown(show, "queue"),
        ("fibonacci".to_owned(), "default".to_owned())
    );
}

/// Returns the variables that a command's help names, each with the default that stands behind it.
#[track_caller]
fn defaults_in_help(home: &TempDir, command: &str) -> Vec<(String, Option<String>)> {
    let output = run(bare(home, [command, "--help"]));
    assert_eq!(code(&output), 0, "{output:#?}");
    let words: Vec<_> = output
        .stdout
        .iter()
        .flat_map(|line| line.split_whitespace())
        .collect();
    let text = words.join(" ");
    let variables = text.split("[env: ").skip(1);
    let read = variables.filter_map(|behind| {
        let (variable, rest) = behind.split_once(']')?;
        let default = rest
            .strip_prefix(" [default: ")
            .and_then(|rest| rest.split_once(']'));
        Some((variable.to_owned(), default.map(|(text, _)| text.to_owned())))
    });
    read.collect()
}

#[test]
fn the_help_names_every_setting_with_the_default_that_is_used() {
    let home = TempDir::new();
    let commands = ["serve", "fleet", "submit", "status", "wait", "resume", "doctor"];
    let helps = commands.map(|command| defaults_in_help(&home, command)).concat();
    let processors = std::thread::available_parallelism().unwrap().to_string();
    let mut show = bare(&home, ["config", "show", "--json"]);
    show.env_remove("ABACI_WEB_ADDR");
    for setting in objects(&run(show)) {
        let key = setting["key"].as_str().unwrap();
        let variable = match key {
            "log_level" => "ABACI_LOG".to_owned(),
            key => format!("ABACI_{}", key.to_uppercase()),
        };
        let mut shown = helps.iter().filter(|(name, _)| *name == variable).peekable();
        assert!(shown.peek().is_some(), "{key} is in no help");
        let used = setting["value"].as_str();
        for default in shown.filter_map(|(_, default)| default.as_ref()) {
            match (used, default.as_str()) {
                (Some(used), "one per processor") => assert_eq!(used, processors),
                (Some(used), default) => assert!(
                    default == used
                        || default.starts_with(&[used, " "].concat())
                        || default.starts_with(&[used, ";"].concat()),
                    "the help says {default} of {key}, which is {used}"
                ),
                (None, _) => {}
            }
        }
    }
}

#[test]
fn the_example_in_the_documentation_is_a_valid_file() {
    let page = include_str!("../../../../../docs/operations.md");
    let (_, rest) = page.split_once("```toml\n").unwrap();
    let (example, _) = rest.split_once("```").unwrap();
    let home = TempDir::new();
    config_file(&home, example);
    let output = run(bare(&home, ["config", "show", "--json"]));
    let settings = objects(&output);
    let from_file = settings
        .iter()
        .filter(|entry| entry["source"].as_str().unwrap().starts_with("file "));
    let keys = example.lines().filter(|line| line.contains(" = "));
    assert_eq!(from_file.count(), keys.count(), "{output:#?}");
}

#[test]
fn an_unknown_key_is_refused_with_file_line_and_name() {
    let home = TempDir::new();
    config_file(&home, "# mine\nconcurency = 2\n");
    let output = run(bare(&home, ["config", "show"]));
    assert_refused(
        &output,
        2,
        &["config.toml:2", "concurency", "did you mean concurrency?"],
    );
}

#[test]
fn a_file_that_is_named_must_exist() {
    let home = TempDir::new();
    let output = run(bare(&home, ["config", "show", "--config", "/nowhere/abaci.toml"]));
    assert_refused(&output, 2, &["/nowhere/abaci.toml"]);
}

#[test]
fn a_setting_without_sense_is_refused_with_value_and_source() {
    let home = TempDir::new();
    let mut by_variable = bare(&home, ["serve"]);
    by_variable.env("ABACI_CONCURRENCY", "0");
    assert_refused(
        &run(by_variable),
        2,
        &["concurrency is 0 (environment ABACI_CONCURRENCY)"],
    );
    let by_flag = run(bare(&home, ["serve", "--grace", "31days"]));
    assert_refused(&by_flag, 2, &["grace is ", "(flag)", "30days"]);
    let file = config_file(&home, "retention = \"1ms\"\n");
    let source = format!("retention is 1ms (file {})", file.display());
    assert_refused(&run(bare(&home, ["serve"])), 2, &[&source, "1s"]);
}

#[test]
fn a_queue_without_a_name_is_refused_wherever_it_is_given() {
    let home = TempDir::new();
    for name in ["", " ", "jobs ", "a\tb"] {
        let shown = format!("queue is {name:?} (flag)");
        for command in [&["submit", "5"][..], &["serve"], &["fleet"], &["status"]] {
            let arguments = [command, &["--queue", name]].concat();
            assert_refused(&run(bare(&home, arguments)), 2, &[&shown, "fibonacci"]);
        }
    }
    let mut by_variable = bare(&home, ["submit", "5"]);
    by_variable.env("ABACI_QUEUE", " ");
    assert_refused(
        &run(by_variable),
        2,
        &["queue is \" \" (environment ABACI_QUEUE)"],
    );
    let file = config_file(&home, "queue = \"\"\n");
    let source = format!("queue is \"\" (file {})", file.display());
    assert_refused(&run(bare(&home, ["submit", "5"])), 2, &[&source]);
}

#[test]
fn a_misspelt_variable_is_told_once_and_is_no_error() {
    let home = TempDir::new();
    let mut show = bare(&home, ["config", "show"]);
    show.env("ABACI_CONCURENCY", "3");
    let output = run(show);
    assert_eq!(code(&output), 0, "{output:#?}");
    assert_eq!(
        output.stderr,
        [
            "abaci: the variable ABACI_CONCURENCY is no setting and is ignored; did you mean ABACI_CONCURRENCY?"
        ]
    );

    let rig = Rig::new();
    let mut fleet = rig.abaci(["fleet", "--workers", "1", "--health-addr", "none"]);
    fleet.env("ABACI_CONCURENCY", "3");
    let fleet = Process::spawn(fleet);
    fleet.wait_for_line("fleet ready");
    fleet.signal(Signal::TERM);
    let output = fleet.finish();
    let told: Vec<_> = output
        .stderr
        .iter()
        .filter(|line| line.contains("ABACI_CONCURENCY"))
        .collect();
    assert!(
        told.len() == 1 && told[0].contains("meant=\"ABACI_CONCURRENCY\""),
        "{output:#?}"
    );
}

#[test]
fn a_password_is_not_shown() {
    let home = TempDir::new();
    for arguments in [
        ["config", "show"].as_slice(),
        ["config", "show", "--json"].as_slice(),
    ] {
        let mut show = bare(&home, arguments);
        show.env("ABACI_DATABASE_URL", "postgres://ada:s3cret@db.example/abaci");
        let output = run(show);
        let all = output.stdout.join("\n");
        assert!(
            all.contains("ada:***@db.example") && !all.contains("s3cret"),
            "{all}"
        );
    }
}

#[test]
fn the_table_of_settings_is_what_was_agreed() {
    let home = TempDir::new();
    let mut show = bare(&home, ["config", "show", "--data-dir", "/data"]);
    // By default it is the number of this machine's processors.
    show.env("ABACI_WORKERS", "2").env_remove("ABACI_WEB_ADDR");
    let output = run(show);
    insta::assert_snapshot!(output.stdout.join("\n"));
}
