//! Values of settings: read from a flag or a variable, written into an environment, shown to people.

use std::ffi::OsString;
use std::path::PathBuf;

use clap::builder::ArgAction;
use clap::parser::ValueSource;
use clap::{Arg, ArgMatches, ValueHint, value_parser};

use super::environment::Environment;
use super::{Bytes, ListenAddr, LogFormat, Period};
use crate::exit::Failed;

/// A value that a flag, a variable or the file can give.
pub(crate) trait SettingValue: Clone + Send + Sync + 'static {
    /// A text that reads as such a value.
    #[cfg(test)]
    const SAMPLE: &'static str;

    /// Makes a flag take such values.
    fn takes(flag: Arg) -> Arg;

    /// Returns the value that a flag was given.
    fn of_flag(matches: &ArgMatches, id: &str) -> Option<Self> {
        // Most settings are flags of a few commands only.
        let value = matches.try_get_one::<Self>(id).ok().flatten()?;
        // A flag that takes no value has one also where it was not given.
        let is_given = matches.value_source(id) == Some(ValueSource::CommandLine);
        is_given.then(|| value.clone())
    }

    /// Returns the value of a variable.
    ///
    /// # Errors
    /// A usage error that names the variable when it cannot be read.
    fn of_variable(environment: &Environment, name: &str) -> Result<Option<Self>, Failed>;

    /// Writes the value so that [`SettingValue::of_variable`] reads it back.
    fn to_variable(&self) -> OsString;

    /// Writes the value for people.
    fn shown(&self) -> String;
}

/// The type of a setting: a [`SettingValue`], or an [`Option`] of one where nothing is a setting, too.
pub(crate) trait SettingType {
    /// The value that a source gives.
    type Given: SettingValue;

    /// Makes the setting of a value that was given.
    fn of(given: Self::Given) -> Self;

    /// Writes the setting for people; nothing where it has no value.
    fn shown(&self) -> Option<String>;
}

impl<T: SettingValue> SettingType for T {
    type Given = T;

    fn of(given: T) -> T {
        given
    }

    fn shown(&self) -> Option<String> {
        Some(SettingValue::shown(self))
    }
}

impl<T: SettingValue> SettingType for Option<T> {
    type Given = T;

    fn of(given: T) -> Self {
        Some(given)
    }

    fn shown(&self) -> Option<String> {
        self.as_ref().map(SettingValue::shown)
    }
}

/// Implements [`SettingValue`] for types that have a text form.
macro_rules! values_with_a_text_form {
    ($($type:ty, $sample:literal, $takes:expr;)*) => {$(
        impl SettingValue for $type {
            #[cfg(test)]
            const SAMPLE: &'static str = $sample;

            fn takes(flag: Arg) -> Arg {
                let takes: fn(Arg) -> Arg = $takes;
                takes(flag)
            }

            fn of_variable(environment: &Environment, name: &str) -> Result<Option<Self>, Failed> {
                environment.parsed(name)
            }

            fn to_variable(&self) -> OsString {
                self.to_string().into()
            }

            fn shown(&self) -> String {
                self.to_string()
            }
        }
    )*};
}

values_with_a_text_form! {
    String, "text", |flag| flag.value_parser(value_parser!(String));
    u32, "7", |flag| flag.value_parser(value_parser!(u32));
    u64, "7", |flag| flag.value_parser(value_parser!(u64));
    Period, "1m 7s 3ms", |flag| flag.value_parser(value_parser!(Period));
    Bytes, "3MiB", |flag| flag.value_parser(value_parser!(Bytes));
    ListenAddr, "127.0.0.1:9", |flag| flag.value_parser(value_parser!(ListenAddr));
    LogFormat, "json", |flag| flag.value_parser(value_parser!(LogFormat));
    bool, "true", |flag| flag.action(ArgAction::SetTrue);
}

/// A directory; its name need not be text.
impl SettingValue for PathBuf {
    #[cfg(test)]
    const SAMPLE: &'static str = "/text";

    fn takes(flag: Arg) -> Arg {
        flag.value_parser(value_parser!(PathBuf))
            .value_hint(ValueHint::DirPath)
    }

    fn of_variable(environment: &Environment, name: &str) -> Result<Option<Self>, Failed> {
        Ok(environment.path(name))
    }

    fn to_variable(&self) -> OsString {
        self.clone().into()
    }

    fn shown(&self) -> String {
        self.display().to_string()
    }
}
