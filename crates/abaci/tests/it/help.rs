//! The help texts are golden files: users and completion scripts rely on them.

use abaci_testkit::TempDir;

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
fn no_command_at_all_is_answered_with_the_help_and_counts_as_misuse() {
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

#[test]
fn every_shell_gets_a_completion_script() {
    for shell in ["bash", "elvish", "fish", "powershell", "zsh"] {
        let output = run(bare(&TempDir::new(), ["completions", shell]));
        assert_eq!(code(&output), 0);
        assert!(
            output.stdout.iter().any(|line| line.contains("submit")),
            "{shell}: {output:#?}"
        );
    }
}
