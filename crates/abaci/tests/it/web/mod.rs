//! The HTTP interface and the page, as programs and browsers of others meet them.
//!
//! `./check` installs what they need; without it the tests fail and say so, since a skipped promise is a broken one.

mod browser;
mod clients;
mod demo;
mod downloads;
mod listeners;
mod login;
mod proxy;
mod rig;
mod scenarios;
mod schemathesis;
mod stream;
mod thousand;
mod token;
