//! A fault that a job asks for, so that a recovery can be watched.
//!
//! It is data: where it strikes follows from the request and from what is recorded of the job, never from what a process
//! remembers. Only a worker that was told so lets it strike.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

use super::RequestError;

/// A fault on purpose; as text `segfault@57` or `random:SEED`.
///
/// Another type than the fault of `fibonacci`, which is in a transform and known to its tests only.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub enum Fault {
    /// Strikes once, when the step of `index` runs in the first start of the job.
    At {
        /// The fault that strikes.
        kind: FaultKind,
        /// In which step, by the index that it computes.
        index: u64,
    },
    /// Two segmentation faults, in the first and in the second start of the job, at indices that follow from the seed.
    ///
    /// A third death would park the job.
    Random {
        /// The same seed strikes at the same indices.
        seed: u64,
    },
}

/// The harm to the worker, or to the step.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum FaultKind {
    /// The worker dies of SIGSEGV.
    Segfault,
    /// The worker dies of SIGABRT.
    Abort,
    /// The worker runs into a limit of its memory, and dies of that.
    OutOfMemory,
    /// The step fails with an error that is worth another attempt.
    Error,
}

/// The number of kills of a random fault: one fewer than what parks a job.
const RANDOM_DEATHS: u32 = 2;

impl FaultKind {
    /// Every kind.
    pub const ALL: [Self; 4] = [Self::Segfault, Self::Abort, Self::OutOfMemory, Self::Error];

    /// The kind's name, as on the command line.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Segfault => "segfault",
            Self::Abort => "abort",
            Self::OutOfMemory => "oom",
            Self::Error => "error",
        }
    }
}

impl Fault {
    /// Returns the fault of the step of `index` of F(n), in this start of the job, counted from 1.
    pub(crate) fn strikes(self, n: u64, index: u64, start: u32) -> Option<FaultKind> {
        match self {
            Self::At { kind, index: at } => (at == index && start == 1).then_some(kind),
            Self::Random { seed } => {
                (struck_index(seed, n, start) == Some(index)).then_some(FaultKind::Segfault)
            }
        }
    }

    /// Refuses a fault that no step of F(n) could meet.
    pub(crate) fn check(self, n: u64) -> Result<(), RequestError> {
        match self {
            Self::At { index, .. } if !(2..=n).contains(&index) => {
                Err(RequestError::FaultOutside { fault: self, n })
            }
            Self::At { .. } | Self::Random { .. } => Ok(()),
        }
    }
}

/// Where a random fault strikes in one start of the job: the first start in the first half of the indices, the second in
/// the second, so that neither strikes at a step that is recorded already.
fn struck_index(seed: u64, n: u64, start: u32) -> Option<u64> {
    if !(1..=RANDOM_DEATHS).contains(&start) {
        return None;
    }
    // Only `stepwise` has faults, whose n is small, so the product does not overflow.
    let half = |part: u32| 2 + n.saturating_sub(1) * u64::from(part) / u64::from(RANDOM_DEATHS);
    let (first, end) = (half(start - 1), half(start));
    let width = end.checked_sub(first).filter(|width| *width > 0)?;
    // Of BLAKE3, which no release changes: the same seed strikes at the same indices.
    let hash = blake3::hash(format!("{seed}/{start}").as_bytes());
    let drawn = hash
        .as_bytes()
        .iter()
        .take(8)
        .fold(0, |drawn, byte| drawn << 8 | u64::from(*byte));
    Some(first + drawn % width)
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::At { kind, index } => write!(f, "{}@{index}", kind.name()),
            Self::Random { seed } => write!(f, "random:{seed}"),
        }
    }
}

impl FromStr for Fault {
    type Err = RequestError;

    fn from_str(text: &str) -> Result<Self, RequestError> {
        let read = || {
            if let Some(seed) = text.strip_prefix("random:") {
                return Some(Self::Random {
                    seed: seed.parse().ok()?,
                });
            }
            let (name, index) = text.split_once('@')?;
            let kind = FaultKind::ALL.into_iter().find(|kind| kind.name() == name)?;
            Some(Self::At {
                kind,
                index: index.parse().ok()?,
            })
        };
        read().ok_or_else(|| RequestError::fault(text))
    }
}

impl TryFrom<String> for Fault {
    type Error = RequestError;

    fn try_from(text: String) -> Result<Self, RequestError> {
        text.parse()
    }
}

impl From<Fault> for String {
    fn from(fault: Fault) -> Self {
        fault.to_string()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_fault_is_read_as_it_is_written_and_nothing_else_is() {
        for text in ["segfault@57", "abort@2", "oom@10000", "error@3", "random:7"] {
            assert_eq!(text.parse::<Fault>().unwrap().to_string(), text);
        }
        for text in [
            "",
            "segfault",
            "segfault@",
            "segfault@-1",
            "kill@3",
            "random",
            "random:",
            "random:x",
            "@3",
        ] {
            let error = text.parse::<Fault>().unwrap_err().to_string();
            assert!(error.contains("segfault@57"), "{text:?}: {error}");
        }
    }

    #[test]
    fn a_fault_at_an_index_strikes_in_the_first_start_only() {
        let fault: Fault = "abort@5".parse().unwrap();
        assert_eq!(fault.strikes(10, 5, 1), Some(FaultKind::Abort));
        assert_eq!(fault.strikes(10, 4, 1), None);
        assert_eq!(fault.strikes(10, 5, 2), None);
    }

    #[test]
    fn a_random_fault_kills_twice_at_growing_indices() {
        let at = |seed, n, start| -> Vec<u64> {
            let fault = Fault::Random { seed };
            (0..=n)
                .filter(|index| fault.strikes(n, *index, start).is_some())
                .collect()
        };
        for seed in 0..50 {
            for n in [3, 4, 5, 100, 10_000] {
                let (first, second) = (at(seed, n, 1), at(seed, n, 2));
                let ([first], [second]) = (&first[..], &second[..]) else {
                    panic!("seed {seed}, n {n}: {first:?}, {second:?}")
                };
                assert!(
                    2 <= *first && first < second && *second <= n,
                    "seed {seed}, n {n}: {first}, {second}"
                );
                assert_eq!(at(seed, n, 3), [0; 0], "a third death parks the job");
            }
            assert_eq!(at(seed, 1, 1), [0; 0]);
        }
        assert_ne!(at(1, 10_000, 1), at(2, 10_000, 1), "the seed does not matter");
    }
}
