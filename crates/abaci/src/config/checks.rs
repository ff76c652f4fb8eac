//! Checks of settings; each refusal names the setting, its value, the source of that and the way out.

use std::fmt::Display;
use std::time::Duration;

use super::{Period, Setting};
use crate::exit::Failed;

/// More bytes than any name has.
const LONGEST_QUEUE_NAME: usize = 255;

impl<T: Display> Setting<T> {
    /// Refuses the value.
    pub(crate) fn refused(&self, way_out: impl Display) -> Failed {
        self.refused_as(&self.value, way_out)
    }
}

impl<T> Setting<T> {
    /// Refuses the text that the setting has, and shows where it begins and ends.
    pub(crate) fn refused_text(&self, text: &str, way_out: impl Display) -> Failed {
        self.refused_as(format_args!("{text:?}"), way_out)
    }

    fn refused_as(&self, value: impl Display, way_out: impl Display) -> Failed {
        Failed::usage(format!("{}; {way_out}", self.named(value)))
    }

    /// Names the setting with a text of its value and with its source.
    pub(crate) fn named(&self, value: impl Display) -> String {
        format!("{} is {value} ({})", self.key, self.source)
    }
}

/// Refuses a number that makes no sense as a setting.
///
/// # Errors
/// A usage error that names the setting.
pub(crate) fn at_least_one(setting: &Setting<u32>) -> Result<u32, Failed> {
    match setting.value {
        0 => Err(setting.refused("give 1 or more")),
        count => Ok(count),
    }
}

/// Refuses an interval that is no pause, since none at all would be a busy loop.
///
/// # Errors
/// A usage error that names the setting.
pub(crate) fn a_pause(setting: &Setting<Period>) -> Result<Duration, Failed> {
    match setting.value.0 {
        pause if pause < Duration::from_millis(1) => Err(setting.refused("give 1ms or more")),
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
    Err(setting.refused_text(name, way_out))
}
