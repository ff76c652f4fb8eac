//! An experiment as a person at a terminal sees it.

use testkit::eventually;

use crate::cli::terminal::OnTerminal;
use crate::rig::{Rig, code};

const RED_BROKEN: &str = "\x1b[31mbroken";
const GREEN_RIGHT: &str = "\x1b[32mright";

/// Runs an experiment on a terminal to its end, and returns what it wrote.
fn shown(rig: &Rig, columns: u16, environment: &[(&str, &str)]) -> String {
    let mut command = rig.abaci(["lab", "ex3"]);
    command.envs(environment.iter().copied());
    let mut run = OnTerminal::with_columns(command, columns);
    let code = eventually("the end of the experiment", || run.code());
    assert_eq!(code, 0, "{}", run.shown());
    run.shown()
}

/// The longest line, without its colours.
fn width(shown: &str) -> usize {
    let widths = shown.lines().map(|line| {
        // A colour is from an escape to the next `m`.
        let plain = line.split('\x1b').enumerate();
        let plain = plain.map(|(number, part)| match number {
            0 => part,
            _ => part.split_once('m').map_or(part, |(_, text)| text),
        });
        plain.collect::<String>().chars().count()
    });
    widths.max().unwrap_or_default()
}

#[test]
fn lines_are_as_wide_as_the_terminal_from_sixty_columns_on() {
    let rig = Rig::new();
    for (columns, is_table) in [(60, false), (80, false), (100, true), (140, true)] {
        let shown = shown(&rig, columns, &[]);
        assert!(width(&shown) <= usize::from(columns), "at {columns}: {shown}");
        assert_eq!(shown.contains("| FORM "), is_table, "at {columns}: {shown}");
        if is_table {
            assert_eq!(width(&shown), usize::from(columns), "{shown}");
        }
        for word in ["broken", "right", "a secret by its name", "OBSERVED"] {
            assert!(shown.contains(word), "{word:?} is not in, at {columns}: {shown}");
        }
    }
}

#[test]
fn the_forms_have_colours_on_a_terminal_unless_nobody_wants_any() {
    let rig = Rig::new();
    let coloured = shown(&rig, 100, &[]);
    // In the trace and in the table.
    for word in [RED_BROKEN, GREEN_RIGHT] {
        assert!(coloured.contains(word), "{coloured:?}");
        assert!(coloured.contains(&format!("| {word}")), "{coloured:?}");
    }
    let plain = shown(&rig, 100, &[("NO_COLOR", "1")]);
    assert!(!plain.contains('\x1b'), "{plain:?}");
    let file = rig.run(["lab", "ex3"]);
    assert_eq!(code(&file), 0);
    assert!(file.stdout.iter().all(|line| !line.contains('\x1b')), "{file:#?}");
    assert!(file.stdout.iter().any(|line| line.starts_with("| broken ")));
}
