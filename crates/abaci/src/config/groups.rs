//! Groups of flags, and the settings that each command takes from the command line.
//!
//! A field of a group's type, flattened into a command, puts its flags at that place of the help.
//! It holds no value: all values go to [`super::Layer`], whatever command has them.

use clap::{ArgMatches, Args, Command, FromArgMatches};

use super::settings::TABLE;

/// Declares the groups that rows of the table name.
macro_rules! groups {
    ($($(#[$doc:meta])* $group:ident,)*) => {
        /// A group of flags.
        #[derive(Debug, Clone, Copy, PartialEq, Eq)]
        #[expect(clippy::enum_variant_names, reason = "they are the names of the types")]
        pub(super) enum Group {
            $($group,)*
        }

        $(
            $(#[$doc])*
            #[derive(Debug)]
            pub(crate) struct $group;

            impl FromArgMatches for $group {
                fn from_arg_matches(_: &ArgMatches) -> Result<Self, clap::Error> {
                    Ok(Self)
                }

                fn update_from_arg_matches(&mut self, _: &ArgMatches) -> Result<(), clap::Error> {
                    Ok(())
                }
            }

            impl Args for $group {
                fn augment_args(command: Command) -> Command {
                    command.args(TABLE.iter().filter_map(|row| row.flag_in(Group::$group)))
                }

                fn augment_args_for_update(command: Command) -> Command {
                    Self::augment_args(command)
                }
            }
        )*
    };
}

groups! {
    /// Flags of every command: the database and the directories.
    PlaceFlags,
    /// Flags of every command: the log.
    LogFlags,
    /// The queue to work with.
    QueueFlags,
    /// The queue of a job that does not name its own.
    ResumeFlags,
    /// Limits of what may be asked for.
    LimitFlags,
    /// Times for which a client waits.
    WaitFlags,
    /// Work of a server, and its end.
    WorkFlags,
    /// The time for which a server waits at its start.
    StartFlags,
    /// Faults that jobs ask for.
    FaultFlags,
    /// Changes to the tables of another application.
    TableFlags,
    /// The address of the health endpoints.
    HealthFlags,
    /// The page and the HTTP interface.
    WebFlags,
    /// The make-up of a fleet, and the watch over it.
    FleetFlags,
}

impl Group {
    /// Tests whether the flags stand behind every command.
    pub(super) fn is_global(self) -> bool {
        matches!(self, Self::PlaceFlags | Self::LogFlags)
    }
}
