//! The way out of a recorded failure, in the words of the program that people use.

/// Ends the recorded messages of jobs that met a limit or were parked.
///
/// The usual words name the items of this crate; a program with commands and flags hands in its own.
#[derive(Debug, Clone, Copy)]
pub struct Advice {
    /// After a computation that needed more memory than its limit.
    pub memory: &'static str,
    /// After a computation that used up its processor time.
    pub cpu_time: &'static str,
    /// After a computation that took longer than it may by the clock.
    pub wall_time: &'static str,
    /// After three deaths: the way to start the job again.
    pub parked: &'static str,
}

impl Default for Advice {
    fn default() -> Self {
        Self {
            memory: "raise Isolation::memory_bytes of the worker, or of this job by ResumeOptions::memory_bytes",
            cpu_time: "raise Isolation::cpu_time of the worker",
            wall_time: "raise Isolation::wall_time of the worker",
            parked: "see: Client::resume",
        }
    }
}
