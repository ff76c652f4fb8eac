//! Checks of settings; each refusal names the setting, its value, the source of that and the way out.

use std::fmt::Display;
use std::time::Duration;

use super::{Period, Setting, Source};
use crate::exit::Failed;

/// More bytes than any name has.
const LONGEST_QUEUE_NAME: usize = 255;

impl<T: Display> Setting<T> {
    /// Refuses the value of the setting that is called `key`.
    pub(crate) fn refused(&self, key: &str, way_out: impl Display) -> Failed {
        refused(key, &self.value, &self.source, way_out)
    }
}

impl<T> Setting<T> {
    /// Refuses the text of the setting that is called `key`, and shows where it begins and ends.
    pub(crate) fn refused_text(&self, key: &str, text: &str, way_out: impl Display) -> Failed {
        refused(key, format_args!("{text:?}"), &self.source, way_out)
    }
}

fn refused(key: &str, value: impl Display, source: &Source, way_out: impl Display) -> Failed {
    Failed::usage(format!("{key} is {value} ({source}); {way_out}"))
}

/// Refuses a number that makes no sense as a setting.
///
/// # Errors
/// A usage error that names the setting.
pub(crate) fn at_least_one(key: &str, setting: &Setting<u32>) -> Result<u32, Failed> {
    match setting.value {
        0 => Err(setting.refused(key, "give 1 or more")),
        count => Ok(count),
    }
}

/// Refuses an interval that is no pause, since none at all would be a busy loop.
///
/// # Errors
/// A usage error that names the setting.
pub(crate) fn a_pause(key: &str, setting: &Setting<Period>) -> Result<Duration, Failed> {
    match setting.value.0 {
        pause if pause < Duration::from_millis(1) => Err(setting.refused(key, "give 1ms or more")),
        pause => Ok(pause),
    }
}

/// Refuses the name of a queue that nobody could type again.
pub(super) fn queue_name(setting: &Setting<String>) -> Result<(), Failed> {
    let name = &setting.value;
    let is_name = !name.is_empty()
        && name.len() <= LONGEST_QUEUE_NAME
        && name.trim() == name
        && !name.contains(char::is_control);
    if is_name {
        return Ok(());
    }
    let way_out = format!(
        "give a name such as fibonacci, of 1 to {LONGEST_QUEUE_NAME} bytes and without blanks at its ends"
    );
    Err(setting.refused_text("queue", name, way_out))
}
