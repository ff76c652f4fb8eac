//! The health of a server, as it shows it over HTTP and to systemd.

mod connections;
mod endpoints;
mod load;
mod outages;
mod rig;
mod systemd;

pub(crate) use rig::{SERVE, Served};
