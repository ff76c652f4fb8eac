//! The HTTP interface of durable jobs, events, and the page over it.
//!
//! **What it does.** [`WebServer::run`] answers on a bound socket: the resources under `/api/v1`, their description at
//! `/openapi.json`, and the page, which is rendered here and works without scripts. Everything goes through the calls of
//! a [`durable_jobs::Client`], as the command line does.
//!
//! **What is handed in.** The socket, a way to connect a client, which is used at the first question and not before,
//! [`Access`] with the token of those who may change something, and the end. It knows no terminal, starts no process and
//! reads no environment.
//!
//! **What it does not promise.** What it says of a job may have changed when it is read. A listener that does not read
//! loses its connection, and takes up again where it was.
//!
//! # Layout
//!
//! A file imports only from lines below its own.
//!
//! | module | what it does |
//! |---|---|
//! | `server` | the routes of everything, and the server under them |
//! | `page` | the views, rendered to HTML |
//! | `api` | the resources under `/api/v1` |
//! | `events` | the changes of jobs, to all who listen |
//! | `guard` | access control: hosts, origins, tokens, sessions; headers of every answer |
//! | `state` | what the handlers share |
//! | `standing` | how things are, read once for all who look |
//! | `reading` | what all viewers share while it is fresh |
//! | `feed` | the loop that asks what has changed, for all listeners |
//! | `messages` | messages to listeners, and their subscriptions |
//! | `watched` | the jobs that somebody listens to by their ids |
//! | `clients` | the client, connected at the first question |
//! | `load` | how much is done at once |
//! | `views` | the JSON of answers |
//! | `access` | the token, and the sessions that it signs |
//! | `place` | names in paths, parameters of queries |
//! | `body` | bodies of requests, with their limits |
//! | `problem` | refusals and failures, in the form of RFC 9457 |
//! | `clock` | the time of day |

mod access;
mod api;
mod body;
mod clients;
mod clock;
mod events;
mod feed;
mod guard;
mod load;
mod messages;
mod page;
mod place;
mod problem;
mod reading;
mod server;
mod standing;
mod state;
mod views;
mod watched;

pub use access::{Access, Token, TokenError};
pub use clients::Connect;
pub use server::WebServer;
pub use state::{Kill, WebSettings};
