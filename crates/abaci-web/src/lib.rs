//! The HTTP interface of durable jobs, events, and the page over it.
//!
//! # Layout
//!
//! A file imports only from lines below its own.
//!
//! | module | what it does |
//! |---|---|
