//! The sources of settings, and which of them wins.

use std::fmt;
use std::path::PathBuf;

use serde::Serialize;

use super::settings::Layer;
use super::value::SettingType;

/// The source of a setting.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Source {
    /// The command line.
    Flag,
    /// The environment variable of this name.
    Environment(&'static str),
    /// The configuration file at this path.
    File(PathBuf),
    /// None of these.
    Default,
}

impl fmt::Display for Source {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Flag => f.write_str("flag"),
            Self::Environment(variable) => write!(f, "environment {variable}"),
            Self::File(path) => write!(f, "file {}", path.display()),
            Self::Default => f.write_str("default"),
        }
    }
}

/// A value and its source.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Setting<T> {
    /// The key, as in the file.
    pub(crate) key: &'static str,
    pub(crate) value: T,
    pub(crate) source: Source,
}

impl<T: Clone> Setting<Option<T>> {
    /// Returns the setting where it has a value.
    pub(crate) fn given(&self) -> Option<Setting<T>> {
        Some(Setting {
            key: self.key,
            value: self.value.clone()?,
            source: self.source.clone(),
        })
    }
}

/// One line of `abaci config show`.
#[derive(Debug, Clone, Serialize)]
pub(crate) struct ShownSetting {
    /// The key, as in the file.
    pub(crate) key: &'static str,
    /// The value; absent where nothing is set.
    pub(crate) value: Option<String>,
    pub(crate) source: String,
}

impl<T: SettingType> Setting<T> {
    pub(super) fn entry(&self) -> ShownSetting {
        ShownSetting {
            key: self.key,
            value: self.value.shown(),
            source: self.source.to_string(),
        }
    }
}

/// The settings that each source gives.
pub(super) struct Layers {
    pub(super) flags: Layer,
    pub(super) environment: Layer,
    pub(super) file: Layer,
    /// The path of the file.
    pub(super) path: Option<PathBuf>,
}

impl Layers {
    /// Takes a setting, with this key and variable, from the strongest source that gives it, or else its default.
    pub(super) fn settle<T: SettingType>(
        &self,
        (key, variable): (&'static str, &'static str),
        field: impl Fn(&Layer) -> &Option<T::Given>,
        default: impl FnOnce() -> T,
    ) -> Setting<T> {
        let given = |layer, source| {
            let value = T::of(field(layer).clone()?);
            Some(Setting { key, value, source })
        };
        // There is a path wherever the layer of the file has a value.
        let path = || self.path.clone().unwrap_or_default();
        given(&self.flags, Source::Flag)
            .or_else(|| given(&self.environment, Source::Environment(variable)))
            .or_else(|| given(&self.file, Source::File(path())))
            .unwrap_or_else(|| Setting {
                key,
                value: default(),
                source: Source::Default,
            })
    }
}
