//! The help texts are golden files: users and completion scripts rely on them.

use testkit::TempDir;

use crate::rig::{bare, code, run};

#[test]
fn the_help_of_each_command_is_what_was_agreed() {
    let commands = [
        "",
        "demo",
        "serve",
        "fleet",
        "fleet scale",
        "fleet reload",
        "web",
        "web url",
        "status",
        "submit",
        "wait",
        "list",
        "show",
        "cancel",
        "resume",
        "verify",
        "gc",
        "lab",
        "doctor",
        "config",
        "config show",
        "db",
        "db start",
        "db stop",
        "db status",
        "db url",
        "db psql",
        "completions",
    ];
    let home = TempDir::new();
    for command in commands {
        let output = run(bare(&home, command.split_whitespace().chain(["-h"])));
        assert_eq!(code(&output), 0, "{output:#?}");
        assert!(output.stderr.is_empty(), "help belongs on stdout: {output:#?}");
        let name = format!("help {command}").trim().replace(' ', "_");
        insta::assert_snapshot!(name, output.stdout.join("\n"));
    }
}

#[test]
fn the_long_help_of_db_start_says_what_it_is_for() {
    let output = run(bare(&TempDir::new(), ["db", "start", "--help"]));
    assert_eq!(code(&output), 0, "{output:#?}");
    let options = output.stdout.iter().position(|line| line == "Options:").unwrap();
    insta::assert_snapshot!(output.stdout[..options].join("\n"));
}

#[test]
fn no_command_is_answered_with_the_help_and_counts_as_misuse() {
    let output = run(bare(&TempDir::new(), [""; 0]));
    assert_eq!(code(&output), 2);
    assert!(
        output.stderr.iter().any(|line| line.contains("abaci demo")),
        "{output:#?}"
    );
}

#[test]
fn the_version_is_on_stdout() {
    let output = run(bare(&TempDir::new(), ["--version"]));
    assert_eq!(
        (code(&output), output.stdout.as_slice()),
        (0, [format!("abaci {}", env!("CARGO_PKG_VERSION"))].as_slice())
    );
}

/// The completion script for a shell.
#[track_caller]
fn script_for(shell: &str) -> String {
    let output = run(bare(&TempDir::new(), ["completions", shell]));
    assert_eq!(code(&output), 0, "{output:#?}");
    output.stdout.join("\n")
}

/// Names of hidden commands and flags, as one script or another would have them.
const HIDDEN: [&str; 9] = [
    "Compute for a worker",
    "One worker of a fleet",
    "The health process of a fleet",
    "while somebody uses it",
    "subcmd__compute",
    "subcmd__worker",
    "fleet-size",
    "swapped",
    "until-stdin-closes",
];

#[test]
fn every_shell_gets_a_completion_script_without_hidden_words() {
    for shell in ["bash", "elvish", "fish", "powershell", "zsh"] {
        let script = script_for(shell);
        assert!(script.contains("submit") && script.contains("reload"), "{shell}");
        for hidden in HIDDEN {
            assert!(!script.contains(hidden), "{shell} offers {hidden}");
        }
    }
}

/// Returns the completions that bash offers for the last of these words.
#[track_caller]
fn offered_by_bash(words: &[&str]) -> Vec<String> {
    let home = TempDir::new();
    let script = home.path().join("abaci.bash");
    std::fs::write(&script, script_for("bash")).unwrap();
    std::fs::write(home.path().join("a-file"), "").unwrap();
    // Outside of an interactive shell there is nothing that compopt could be about.
    let run_it = "source \"$1\"; shift; compopt() { :; }; COMP_WORDS=(\"$@\"); COMP_CWORD=$(($# - 1)); \
        _abaci abaci \"${COMP_WORDS[COMP_CWORD]}\" \"${COMP_WORDS[COMP_CWORD - 1]}\"; printf '%s\\n' \"${COMPREPLY[@]}\"";
    let mut bash = std::process::Command::new("bash");
    bash.current_dir(home.path())
        .args(["-c", run_it, "bash"])
        .arg(&script)
        .args(words);
    let output = run(bash);
    assert_eq!(code(&output), 0, "{output:#?}");
    output.stdout
}

#[test]
fn bash_offers_the_values_of_an_option_and_no_files() {
    let algorithms = ["doubling", "iterative", "recursive", "stepwise", "giant"];
    assert_eq!(
        offered_by_bash(&["abaci", "submit", "--algorithm", ""]),
        algorithms
    );
    assert_eq!(offered_by_bash(&["abaci", "list", "--state", "pa"]), ["parked"]);
    assert_eq!(offered_by_bash(&["abaci", "submit", "--queue", ""]), [""]);
    assert_eq!(
        offered_by_bash(&["abaci", "submit", "--file", ""]).len(),
        2,
        "the script and the file"
    );
    let of_fleet = offered_by_bash(&["abaci", "fleet", ""]);
    assert!(of_fleet.iter().any(|word| word == "reload"), "{of_fleet:#?}");
    assert!(
        !of_fleet.iter().any(|word| word == "worker" || word == "health"),
        "{of_fleet:#?}"
    );
}

#[test]
fn zsh_and_fish_offer_the_values_of_an_option() {
    let zsh = script_for("zsh");
    for values in [
        "(doubling iterative recursive stepwise giant)",
        "(queued delayed running",
    ] {
        assert!(zsh.contains(values), "{values} is not in {zsh}");
    }
    let fish = script_for("fish");
    for line in ["-l algorithm ", "-l state "] {
        let found = fish
            .lines()
            .find(|found| found.contains(line))
            .unwrap_or_default();
        assert!(found.contains(" -f -a \""), "{found}");
    }
}
