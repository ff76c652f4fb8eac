//! The limits of a job, and the request that would take more.

use super::{Algorithm, Request, RequestError};

const RAISE_MAX_N: &str = "lower n or raise --max-n";
const RAISE_MAX_N_OF_SERVER: &str = "lower n or raise --max-n of the server";
const RAISE_MEMORY: &str = "lower n or raise --job-memory";
const RAISE_MEMORY_OF_SERVER: &str =
    "lower n or raise --job-memory of the server, or of this job by: abaci resume --job-memory";

/// The limits of what a worker computes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limits {
    /// The largest index; all algorithms but `doubling` and `giant` have one of their own, too, and the lower one counts.
    pub max_n: u64,
    /// The memory that one job may need, in bytes, by the estimate of its algorithm.
    pub memory_bytes: u64,
}

impl Limits {
    /// The largest index unless another is set.
    pub const DEFAULT_MAX_N: u64 = 2_000_000_000;
    /// The largest index for `iterative`: some seconds of additions.
    pub const ITERATIVE_MAX_N: u64 = 1_000_000;
    /// The largest index for `stepwise`: as many recorded steps, of up to two kilobytes each.
    pub const STEPWISE_MAX_N: u64 = 10_000;
    /// The memory of one job unless another limit is set: 8 GiB.
    pub const DEFAULT_MEMORY_BYTES: u64 = 8 << 30;
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            max_n: Self::DEFAULT_MAX_N,
            memory_bytes: Self::DEFAULT_MEMORY_BYTES,
        }
    }
}

impl Limits {
    /// Refuses a request that a worker with these limits would not run.
    ///
    /// # Errors
    /// [`RequestError::TooLarge`] or [`RequestError::TooMuchMemory`], with the limit; [`RequestError::FaultElsewhere`] or
    /// [`RequestError::FaultOutside`] when the fault asked for could never strike.
    pub fn check(&self, request: &Request) -> Result<(), RequestError> {
        let Request { n, algorithm, fault } = *request;
        let max_n = self.max_n_of(algorithm);
        if n > max_n {
            // An algorithm's own limit is raised by no flag.
            let way_out = if max_n == self.max_n {
                RAISE_MAX_N
            } else {
                "use doubling"
            };
            return Err(RequestError::TooLarge {
                given: n.to_string(),
                max_n,
                algorithm,
                way_out,
            });
        }
        let estimate = request.estimate();
        let needed = estimate.peak_bytes.max(estimate.decimal_peak_bytes);
        if needed > self.memory_bytes {
            let (needed_mb, limit_mb) = (needed.div_ceil(1_000_000), self.memory_bytes / 1_000_000);
            return Err(RequestError::TooMuchMemory {
                n,
                algorithm,
                needed_mb,
                limit_mb,
                way_out: RAISE_MEMORY,
            });
        }
        match fault {
            Some(fault) if algorithm != Algorithm::Stepwise => {
                Err(RequestError::FaultElsewhere { fault, algorithm })
            }
            Some(fault) => fault.check(n),
            None => Ok(()),
        }
    }

    /// As [`Limits::check`] of a server, whose limits a client cannot raise.
    pub(crate) fn check_at_server(&self, request: &Request) -> Result<(), RequestError> {
        self.check(request).map_err(|mut refusal| {
            if let RequestError::TooLarge { way_out, .. } | RequestError::TooMuchMemory { way_out, .. } =
                &mut refusal
            {
                *way_out = match *way_out {
                    RAISE_MAX_N => RAISE_MAX_N_OF_SERVER,
                    RAISE_MEMORY => RAISE_MEMORY_OF_SERVER,
                    other => other,
                };
            }
            refusal
        })
    }

    /// The largest index that `algorithm` is given.
    #[must_use]
    pub fn max_n_of(&self, algorithm: Algorithm) -> u64 {
        algorithm.max_n().min(self.max_n)
    }
}
