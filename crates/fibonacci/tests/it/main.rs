//! The crate's promises, checked from outside, by properties and against independent computations.
#![allow(clippy::unwrap_used)]

mod algorithms;
mod cancelling;
mod certificates;
mod decimals;
mod digits;
mod independent;
mod instructions;
mod memory;
mod residues;
mod resuming;
