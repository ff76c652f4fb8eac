//! The columns of the table of settings, and what is made of its rows.
//!
//! Everything that has to know all settings is made here: the [`Layer`](super::Layer) of one source with its ways in and
//! out, the flags with their help, and [`Config`](super::Config) with what `abaci config show` prints.

use clap::Arg;

use super::groups::Group;

/// The texts of one setting.
#[derive(Debug)]
pub(crate) struct SettingTexts {
    /// The name of the setting, which is its key in the file.
    pub(crate) key: &'static str,
    /// The environment variable; also the id of the flag.
    pub(crate) variable: &'static str,
    /// The flag and the name of its value, as in `--queue <NAME>`.
    pub(super) flag: &'static str,
    /// The groups that have the flag, and its help in each of them.
    pub(super) groups: &'static [(Group, &'static str)],
    /// Writes the default as the help shows it; nothing, or an empty text, where it is not shown.
    pub(super) default: fn() -> Option<String>,
    /// Makes the flag take values of the setting's type.
    pub(super) takes: fn(Arg) -> Arg,
    /// A text that reads as a value.
    #[cfg(test)]
    pub(super) sample: &'static str,
}

impl SettingTexts {
    /// Builds the flag of this setting for a group, if the group has it.
    pub(super) fn flag_in(&self, group: Group) -> Option<Arg> {
        let (_, help) = self.groups.iter().find(|(of, _)| *of == group)?;
        let flag = Arg::new(self.variable)
            .long(self.name())
            .help(self.help(help))
            .global(group.is_global());
        let flag = match self.value() {
            Some(value) => flag.value_name(value),
            None => flag,
        };
        Some((self.takes)(flag))
    }

    /// Returns a help text with the variable and the default behind it.
    pub(crate) fn help(&self, text: &str) -> String {
        let default = (self.default)().filter(|default| self.value().is_some() && !default.is_empty());
        let default = default.map_or_else(String::new, |default| format!(" [default: {default}]"));
        format!("{text} [env: {}]{default}", self.variable)
    }

    /// Returns the name of the flag, without its dashes.
    pub(super) fn name(&self) -> &'static str {
        let flag = self.flag.trim_start_matches('-');
        flag.split_once(' ').map_or(flag, |(name, _)| name)
    }

    /// Returns the name of the flag's value; a flag that is there or not has none.
    fn value(&self) -> Option<&'static str> {
        let (_, value) = self.flag.split_once(' ')?;
        Some(value.trim_matches(['<', '>']))
    }
}

/// Makes of the table of settings whatever has to know all of them.
macro_rules! settings {
    ($environment:ident => $(
        $key:ident: $type:ty = $default:expr, $(shown as $shown:expr,)?
        $variable:literal, $flag:literal, $($group:ident $help:literal),+;
    )*) => {
        /// All settings, in the order in which they are shown.
        pub(crate) const TABLE: &[SettingTexts] = &[$(SettingTexts {
            key: stringify!($key),
            variable: $variable,
            flag: $flag,
            groups: &[$((Group::$group, $help)),+],
            // A constant knows no environment: a default that is made of it needs a text by `shown as`.
            default: || settings!(@shown $type, $default $(, $shown)?),
            takes: <<$type as SettingType>::Given as SettingValue>::takes,
            #[cfg(test)]
            sample: <<$type as SettingType>::Given as SettingValue>::SAMPLE,
        },)*];

        /// Settings that one source gives; the absent ones are left to the next.
        ///
        /// The field names are the keys of the configuration file; a key that is none of them is refused.
        #[derive(Debug, Clone, Default, PartialEq, Deserialize)]
        #[serde(deny_unknown_fields)]
        pub(crate) struct Layer {
            $(pub(crate) $key: Option<<$type as SettingType>::Given>,)*
        }

        impl Layer {
            /// Reads the settings that the command line gives.
            pub(super) fn from_matches(matches: &ArgMatches) -> Self {
                Self {
                    $($key: SettingValue::of_flag(matches, $variable),)*
                }
            }

            /// Reads the settings that the environment gives.
            ///
            /// # Errors
            /// A usage error that names the variable.
            pub(super) fn from_environment(environment: &Environment) -> Result<Self, Failed> {
                Ok(Self {
                    $($key: SettingValue::of_variable(environment, $variable)?,)*
                })
            }

            /// Returns the variables of an environment that gives the same settings; a password may be among them.
            pub(crate) fn to_environment(&self) -> Vec<(&'static str, OsString)> {
                let all = [$(($variable, self.$key.as_ref().map(SettingValue::to_variable)),)*];
                let given = all.into_iter().filter_map(|(name, value)| Some((name, value?)));
                given.collect()
            }
        }

        /// All settings of one command.
        #[derive(Clone)]
        pub(crate) struct Config {
            $(pub(crate) $key: Setting<$type>,)*
            pub(crate) surroundings: Surroundings,
        }

        impl Config {
            /// Settles every setting: the strongest source that gives it wins, and the default where none does.
            pub(super) fn settle(layers: &Layers, $environment: &Environment, surroundings: Surroundings) -> Self {
                Self {
                    $($key: layers.settle((stringify!($key), $variable), |layer| &layer.$key, || $default),)*
                    surroundings,
                }
            }

            /// Returns every setting with its source, as it is; there may be a password in it.
            pub(super) fn all(&self) -> Vec<ShownSetting> {
                vec![$(self.$key.entry(),)*]
            }
        }
    };
    (@shown $type:ty, $default:expr) => {
        <$type as SettingType>::shown(&$default)
    };
    (@shown $type:ty, $default:expr, $shown:expr) => {
        Some(String::from($shown))
    };
}

pub(super) use settings;
