//! Jobs from their submission to their end, and whatever dies on the way.

mod batches;
mod cancelling;
mod clocks;
mod faults;
mod forks;
mod gc;
mod giant;
mod giant_memory;
mod hard_stops;
mod host_faults;
mod isolation;
mod poison;
mod progress;
mod queues;
mod repeating;
mod selections;
mod stepwise;
mod submitting;
mod verifying;
