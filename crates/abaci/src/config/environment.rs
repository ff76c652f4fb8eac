//! The environment of the process, read once.

use std::collections::BTreeMap;
use std::ffi::{OsStr, OsString};
use std::fmt::{self, Display};
use std::path::PathBuf;
use std::str::FromStr;

use super::names::nearest;
use super::settings::TABLE;
use super::{FILE, WEB_TOKEN};
use crate::exit::Failed;

/// The beginning of the name of every variable of ours.
const PREFIX: &str = "ABACI_";

/// The environment variables and the account of the process.
///
/// A variable that is set and empty counts as not set, since that is how shells and service files clear one.
#[derive(Debug, Clone, Default)]
pub struct Environment {
    variables: BTreeMap<OsString, OsString>,
    is_root: bool,
}

/// A variable that is no setting.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Unknown {
    /// Its name.
    pub variable: String,
    /// The setting's variable that may be meant.
    pub meant: Option<String>,
}

impl Unknown {
    fn new(name: &str) -> Self {
        let own_part = |name: &'static str| name.strip_prefix(PREFIX);
        let known = Environment::settings().filter_map(own_part);
        let meant = match name
            .strip_prefix(PREFIX)
            .unwrap_or(name)
            .to_ascii_uppercase()
            .as_str()
        {
            // So its key and its flag are called.
            "LOG_LEVEL" => Some("LOG"),
            own_part => nearest(own_part, known),
        };
        Self {
            variable: name.to_owned(),
            meant: meant.map(|own_part| format!("{PREFIX}{own_part}")),
        }
    }
}

impl fmt::Display for Unknown {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "the variable {} is no setting and is ignored", self.variable)?;
        match &self.meant {
            Some(meant) => write!(f, "; did you mean {meant}?"),
            None => f.write_str("; see: abaci config show"),
        }
    }
}

impl Environment {
    /// Returns the names of all variables of ours.
    pub(crate) fn settings() -> impl Iterator<Item = &'static str> {
        let of_settings = TABLE.iter().map(|row| row.variable);
        of_settings.chain([FILE, WEB_TOKEN])
    }

    /// Reads the environment of this process.
    #[must_use]
    pub fn of_process() -> Self {
        Self {
            variables: std::env::vars_os().collect(),
            is_root: rustix::process::geteuid().is_root(),
        }
    }

    /// An environment of an ordinary user with these variables and no others.
    #[cfg(test)]
    pub(crate) fn of_user<K: Into<OsString>, V: Into<OsString>>(
        variables: impl IntoIterator<Item = (K, V)>,
    ) -> Self {
        let variables = variables
            .into_iter()
            .map(|(name, value)| (name.into(), value.into()))
            .collect();
        Self {
            variables,
            is_root: false,
        }
    }

    /// Reads a variable as a path.
    pub(crate) fn path(&self, name: &str) -> Option<PathBuf> {
        self.get(name).map(PathBuf::from)
    }

    /// Reads a variable as a value of any kind that has a text form.
    ///
    /// # Errors
    /// A usage error that names the variable when it cannot be read.
    pub(crate) fn parsed<T: FromStr<Err: Display>>(&self, name: &str) -> Result<Option<T>, Failed> {
        let Some(value) = self.get(name) else {
            return Ok(None);
        };
        let text = value
            .to_str()
            .ok_or_else(|| Failed::usage(format!("{name} is not valid UTF-8")))?;
        text.parse()
            .map(Some)
            .map_err(|error| Failed::usage(format!("{name} is {text:?}: {error}")))
    }

    /// Returns the variables that are called as ours are and are no settings.
    pub(crate) fn unknown(&self) -> Vec<Unknown> {
        let names = self.variables.keys().filter_map(|name| name.to_str());
        let ours = names
            .filter(|name| name.starts_with(PREFIX) && !Self::settings().any(|setting| setting == *name));
        ours.filter(|name| self.get(name).is_some())
            .map(Unknown::new)
            .collect()
    }

    /// The variables by which the AWS tools reach buckets; secrets are among them.
    pub(crate) fn of_buckets(&self) -> Vec<(String, String)> {
        let texts = self
            .variables
            .iter()
            .filter_map(|(name, value)| Some((name.to_str()?, value.to_str()?)));
        // An empty one was cleared; passed on, it would count as a key or an address that is empty.
        let ours = texts.filter(|(name, value)| name.starts_with("AWS_") && !value.is_empty());
        ours.map(|(name, value)| (name.to_owned(), value.to_owned()))
            .collect()
    }

    /// Returns whether the account is root.
    pub(crate) fn is_root(&self) -> bool {
        self.is_root
    }

    /// Returns whether colour is unwanted, whatever the terminal can do.
    pub(crate) fn forbids_colour(&self) -> bool {
        self.get("NO_COLOR").is_some() || self.get("TERM").is_some_and(|term| term == "dumb")
    }

    fn get(&self, name: &str) -> Option<&OsStr> {
        self.variables
            .get(OsStr::new(name))
            .map(OsString::as_os_str)
            .filter(|value| !value.is_empty())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_variable_that_is_no_setting_is_told_with_the_nearest() {
        let given = [
            ("ABACI_CONCURENCY", "2"),
            ("ABACI_queue", "q"),
            ("ABACI_LOG_LEVEL", "debug"),
            ("ABACI_SERVICE_HOST", "10.0.0.1"),
            ("ABACI_WORKRES", ""),
            ("ABACI_QUEUE", "q"),
            ("MY_ABACI_QUEUE", "q"),
        ];
        let unknown = Environment::of_user(given).unknown();
        let said: Vec<_> = unknown
            .iter()
            .map(|unknown| (unknown.variable.as_str(), unknown.meant.as_deref()))
            .collect();
        let expected = [
            ("ABACI_CONCURENCY", Some("ABACI_CONCURRENCY")),
            ("ABACI_LOG_LEVEL", Some("ABACI_LOG")),
            ("ABACI_SERVICE_HOST", None),
            ("ABACI_queue", Some("ABACI_QUEUE")),
        ];
        assert_eq!(said, expected);
    }
}
