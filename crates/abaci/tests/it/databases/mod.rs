//! Databases that are private, absent, cut off, full or not ours.

mod cut_off;
mod cut_paths;
mod private_database;
mod scarce;
mod unreachable;
mod vendor_tools;
