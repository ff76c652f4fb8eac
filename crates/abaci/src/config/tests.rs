//! Properties of every row of the table, whatever rows there are.

use clap::Command;

use super::settings::TABLE;
use super::table::SettingTexts;
use super::{Config, Environment, FILE, Flags, Layer};

/// Settles a configuration in which one setting is given, and returns how that is shown.
fn shown(row: &SettingTexts, flags: Flags, environment: &Environment) -> (Option<String>, String) {
    let entries = Config::resolve(flags, environment).unwrap().entries();
    let entry = entries.into_iter().find(|entry| entry.key == row.key).unwrap();
    (entry.value, entry.source)
}

/// Rows whose values are not any text.
fn numbers_and_their_like() -> impl Iterator<Item = &'static SettingTexts> {
    TABLE.iter().filter(|row| !row.sample.contains("text"))
}

/// Writes the sample of a setting as a line of the file.
fn line(row: &SettingTexts) -> String {
    let is_bare = row.sample.parse::<u32>().is_ok() || row.sample.parse::<bool>().is_ok();
    if is_bare {
        format!("{} = {}\n", row.key, row.sample)
    } else {
        format!("{} = {:?}\n", row.key, row.sample)
    }
}

#[test]
fn every_setting_is_taken_from_its_flag_in_each_of_its_groups() {
    for row in TABLE {
        for (group, _) in row.groups {
            let command = Command::new("abaci").args(row.flag_in(*group));
            let flag = format!("--{}", row.name());
            let arguments = ["abaci", &flag, row.sample];
            let given = if row.sample == "true" { 2 } else { 3 };
            let matches = command.get_matches_from(&arguments[..given]);
            let (_, source) = shown(row, Flags::new(None, &matches), &Environment::default());
            assert_eq!(source, "flag", "{row:?}");
        }
    }
}

#[test]
fn every_setting_is_taken_from_its_variable() {
    for row in TABLE {
        let environment = Environment::of_user([(row.variable, row.sample)]);
        let (value, source) = shown(row, Flags::default(), &environment);
        assert!(value.is_some(), "{row:?}");
        assert_eq!(source, format!("environment {}", row.variable));
    }
}

#[test]
fn every_setting_is_taken_from_its_key_in_the_file() {
    let file = tempfile::NamedTempFile::new().unwrap();
    std::fs::write(file.path(), TABLE.iter().map(line).collect::<String>()).unwrap();
    let environment = Environment::of_user([(FILE, file.path())]);
    for row in TABLE {
        let (value, source) = shown(row, Flags::default(), &environment);
        assert!(value.is_some(), "{row:?}");
        assert_eq!(source, format!("file {}", file.path().display()), "{row:?}");
    }
}

#[test]
fn every_setting_survives_the_way_through_an_environment() {
    let given = Environment::of_user(TABLE.iter().map(|row| (row.variable, row.sample)));
    let layer = Layer::from_environment(&given).unwrap();
    let back = layer.to_environment();
    assert_eq!(back.len(), TABLE.len(), "a setting is not handed on: {back:?}");
    let back = Layer::from_environment(&Environment::of_user(back)).unwrap();
    assert_eq!(back, layer);
}

#[test]
fn a_variable_that_cannot_be_read_is_named_with_its_value() {
    for SettingTexts { variable, .. } in numbers_and_their_like() {
        let given = Environment::of_user([(variable, "n/a")]);
        let refusal = Layer::from_environment(&given).unwrap_err().to_string();
        assert!(
            refusal.starts_with(&format!("{variable} is \"n/a\": ")),
            "{refusal}"
        );
    }
}

#[test]
fn a_key_that_cannot_be_read_is_named_with_its_value_and_line() {
    let file = tempfile::NamedTempFile::new().unwrap();
    for SettingTexts { key, .. } in numbers_and_their_like() {
        std::fs::write(file.path(), format!("# mine\n{key} = \"n/a\"\n")).unwrap();
        let refusal = Layer::from_file(file.path()).unwrap_err().to_string();
        let place = format!("{}:2: {key} is \"n/a\": ", file.path().display());
        assert!(refusal.starts_with(&place), "{refusal}");
    }
}
